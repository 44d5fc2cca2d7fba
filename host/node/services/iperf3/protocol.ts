/**
 * What iperf3 puts on its control connection: a cookie of 37 bytes, states of one signed byte, and
 * JSON behind a 32-bit big-endian length. Learned from iperf3 3.12 on the wire; there is no RFC.
 * Called by client.ts and server.ts. Decides nothing about a test; bounds everything it reads.
 */

import { randomBytes } from 'node:crypto';
import type { ServiceSocket } from '../seam.js';

/** States, as sent. Negative ones are refusals. */
export const State = {
  TEST_START: 1,
  TEST_RUNNING: 2,
  TEST_END: 4,
  PARAM_EXCHANGE: 9,
  CREATE_STREAMS: 10,
  SERVER_TERMINATE: 11,
  CLIENT_TERMINATE: 12,
  EXCHANGE_RESULTS: 13,
  DISPLAY_RESULTS: 14,
  IPERF_DONE: 16,
  ACCESS_DENIED: -1,
  SERVER_ERROR: -2,
} as const;

/** iperf3's error numbers (i_errno), of which SERVER_ERROR carries one. */
export const IperfErrno = {
  IEDURATION: 5,
  IENUMSTREAMS: 6,
  IEBLOCKSIZE: 7,
  IEBUFSIZE: 8,
  IEINTERVAL: 9,
  IEMSS: 10,
  IEOMIT: 12,
  IEENDCONDITIONS: 16,
  IEREVERSEBIDIR: 25,
  IECONNECT: 103,
  IERECVCOOKIE: 106,
  IECTRLCLOSE: 109,
  IEMESSAGE: 110,
  IERECVMESSAGE: 112,
  IERECVPARAMS: 114,
  IERECVRESULTS: 117,
  IECLIENTTERM: 119,
  IESERVERTERM: 120,
  IEACCESSDENIED: 121,
  IEPROTOCOL: 131,
  IESETCONGESTION: 134,
  IENOMSG: 144,
  IESERVERTESTDURATIONEXPIRED: 160,
  IESTREAMCONNECT: 203,
  IESTREAMACCEPT: 204,
  IESTREAMWRITE: 205,
  IESTREAMREAD: 206,
  IESTREAMID: 208,
} as const;

/** Linux errno values that go with them on the wire. */
export const Errno = { NONE: 0, EINVAL: 22, EMSGSIZE: 90, EPROTONOSUPPORT: 93, ETIMEDOUT: 110 };

const TEXTS: Readonly<Record<number, string>> = {
  5: 'test duration too long (at most 86400 seconds)',
  6: 'number of parallel streams out of range (1 to 128)',
  7: 'block size out of range (1 to 1048576 bytes)',
  8: 'socket buffer size too large (at most 536870912 bytes)',
  9: 'report interval out of range (0, or 0.1 to 60 seconds)',
  10: 'TCP MSS too large (at most 32767 bytes)',
  12: 'omitted time out of range (0 to 600 seconds)',
  16: 'only one of -t, -n and -k may be given',
  25: 'a test is either reverse or bidirectional',
  103: 'unable to connect to server',
  106: 'unable to receive cookie',
  109: 'control socket has closed unexpectedly',
  110: 'received an unknown control message',
  112: 'unable to receive control message',
  114: 'unable to receive parameters from client',
  117: 'unable to receive results',
  119: 'the client has terminated',
  120: 'the server has terminated',
  121: 'the server is busy running a test. try again later',
  131: 'protocol does not exist',
  134: 'unable to set TCP_CONGESTION',
  144: 'idle timeout for receiving data',
  160: 'the server ended the test: it ran too long',
  203: 'unable to connect stream',
  204: 'unable to accept stream connection',
  205: 'unable to write to stream socket',
  206: 'unable to read from stream socket',
  208: 'stream has an invalid id',
};

/** An error that iperf3 has a number for. `detail` is added to the number's text. */
export class Iperf3Error extends Error {
  constructor(
    readonly iperfErrno: number,
    detail = '',
    /** Linux errno for the wire, 0 when none applies. */
    readonly errno: number = Errno.NONE,
  ) {
    super((TEXTS[iperfErrno] ?? `iperf3 error ${iperfErrno}`) + (detail ? `: ${detail}` : ''));
  }
}

export const COOKIE_BYTES = 37;
/** What a peer may make us hold; iperf3 bounds parameters alike and results not at all. */
export const PARAMETERS_MAX_BYTES = 8 * 1024;
export const CLIENT_RESULTS_MAX_BYTES = 1 << 20;
/** Larger, because a server's output may come with its results. */
export const SERVER_RESULTS_MAX_BYTES = 16 << 20;

/** How long a broken data stream waits for the control connection to explain it. */
const REASON_MS = 100;

const COOKIE_LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';

/** 36 random letters of base32 and a NUL. */
export function makeCookie(): Buffer {
  const letters = Array.from(randomBytes(COOKIE_BYTES - 1), (byte) => COOKIE_LETTERS[byte % 32]);
  return Buffer.from(`${letters.join('')}\0`, 'latin1');
}

/**
 * Reads exact amounts from a socket, one read at a time, and writes frames. A read fails with
 * Iperf3Error when the connection ends first; `fail` makes the pending and all later reads fail.
 */
export class ControlChannel {
  /** Resolves, with the reason, when the connection is over; never rejects. */
  readonly closed: Promise<Iperf3Error>;
  #failure: Iperf3Error | undefined;
  #wake: () => void = () => undefined;
  #over!: (error: Iperf3Error) => void;
  #onReadable = (): void => this.#wake();
  #onEnd = (): void => this.fail(new Iperf3Error(IperfErrno.IECTRLCLOSE));
  #onError = (error: Error): void =>
    this.fail(new Iperf3Error(IperfErrno.IERECVMESSAGE, error.message));

  constructor(readonly socket: ServiceSocket) {
    this.closed = new Promise((resolve) => { this.#over = resolve; });
    socket.on('readable', this.#onReadable);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onEnd);
    socket.on('error', this.#onError);
  }

  /** Ends reading with this error; bytes that have arrived already can no longer be read. */
  fail(error: Iperf3Error): void {
    this.#failure ??= error;
    this.#over(this.#failure);
    this.#wake();
  }

  /** As fail, but leaves the peer a moment to say the reason itself: data streams break first. */
  failSoon(error: Iperf3Error): void {
    setTimeout(() => this.fail(error), REASON_MS).unref();
  }

  /** Exactly `bytes` bytes. */
  async read(bytes: number): Promise<Buffer> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const chunk = this.socket.read(bytes) as Buffer | null;
      if (chunk?.length === bytes) return chunk;
      if (chunk || this.socket.readableEnded || this.socket.destroyed) this.#onEnd();
      else await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  /** One state, a signed byte. */
  async readState(): Promise<number> {
    return (await this.read(1)).readInt8();
  }

  /**
   * One JSON value of at most `maxBytes`.
   * @throws Iperf3Error `failure` when it is longer, empty or not JSON
   */
  async readJson(maxBytes: number, failure: number): Promise<unknown> {
    const length = (await this.read(4)).readUInt32BE();
    if (length === 0 || length > maxBytes) {
      throw new Iperf3Error(failure, `a length of ${length} bytes`, Errno.EMSGSIZE);
    }
    const text = (await this.read(length)).toString('utf8');
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw new Iperf3Error(failure, 'not JSON', Errno.EINVAL);
    }
  }

  sendState(state: number): void {
    if (this.socket.writable) this.socket.write(Buffer.from(Int8Array.of(state)));
  }

  sendJson(value: unknown): void {
    const body = Buffer.from(JSON.stringify(value), 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    if (this.socket.writable) this.socket.write(Buffer.concat([length, body]));
  }

  /** SERVER_ERROR with its two numbers. */
  sendError(error: Iperf3Error): void {
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32BE(error.iperfErrno, 0);
    numbers.writeUInt32BE(error.errno, 4);
    this.sendState(State.SERVER_ERROR);
    if (this.socket.writable) this.socket.write(numbers);
  }

  /** Gives the socket back, for a data stream that began with its cookie. */
  release(): ServiceSocket {
    this.socket.off('readable', this.#onReadable);
    this.socket.off('end', this.#onEnd);
    this.socket.off('close', this.#onEnd);
    this.socket.off('error', this.#onError);
    return this.socket;
  }

  /**
   * Ends our side and reads on until the peer ends too, or `lingerMs` passed: closing over unread
   * bytes would send a RST, and our last message could be lost with it.
   */
  close(lingerMs = 2_000): void {
    const socket = this.release();
    socket.on('error', () => socket.destroy());
    if (socket.destroyed) return;
    socket.end();
    socket.on('end', () => socket.destroy());
    socket.resume();
    if (socket.readableEnded) socket.destroy();
    const linger = setTimeout(() => socket.destroy(), lingerMs);
    linger.unref();
    socket.once('close', () => clearTimeout(linger));
  }
}
