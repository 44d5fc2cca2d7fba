/**
 * Applications for simulated hosts: one end of a transfer, with content that is verified byte by
 * byte; a server that makes an end for each connection; echo. They call the engine as any host
 * does, from events, and note what they learn. Every end ends by itself: done, failed, or cut by
 * the test.
 */

import {
  EVENT_CLOSED, EVENT_CONNECTED, EVENT_ERROR, EVENT_PEER_FIN, EVENT_READABLE, EVENT_WRITABLE,
  Errno, LISTEN_REUSEADDR, Option, SHUT_WR,
} from '../../assembly/abi.js';
import { ADDRESS_ANY, type AddressWords } from '../core/address.js';
import type { Handler } from '../core/dispatch.js';
import { errnoName, type ErrnoName } from '../core/errors.js';
import type { Handle } from '../core/engine.js';
import { patternAt, patternDiffers } from './pattern.js';
import type { SimHost } from './sim-host.js';

export interface EndOptions {
  /** Bytes to send before the FIN. */
  sendBytes?: number;
  sendSeed?: number;
  /** Seed of what the peer sends; undefined: bytes are counted and not looked at. */
  receiveSeed?: number | undefined;
  /** Read at most this much at each event; all of it by default. */
  readLimit?: number;
  /** Send only after the peer's FIN. */
  answerAfterFin?: boolean;
  /** Close as soon as everything is queued and read, and do not wait to hear that it arrived. */
  hasty?: boolean;
  /** Never read: the peer's window closes. */
  stalled?: boolean;
  /** Set on the connection before anything else. */
  options?: readonly (readonly [Option, number])[];
}

/** How an end ended. */
export type EndState = 'open' | 'done' | 'failed';

/** One end of a connection. */
export class End implements Handler {
  state: EndState = 'open';
  connected = false;
  /** What SO_ERROR said when it failed. */
  error: ErrnoName | undefined;
  sent = 0;
  received = 0;
  /** The peer's FIN was read: everything before it has come. */
  peerFinished = false;
  /** First offset at which a received byte was wrong; -1: none. */
  wrongAt = -1;
  #finished = false;
  #closed = false;
  #readError = 0;
  readonly #scratch = new Uint8Array(16_384);

  constructor(
    readonly host: SimHost, readonly handle: Handle, readonly options: EndOptions = {},
  ) {
    host.dispatcher.attachConnection(handle, this);
    for (const [option, value] of options.options ?? []) {
      host.engine.setOption(handle, option, value);
    }
  }

  onEvents(mask: number): void {
    if (this.state !== 'open') return;
    if ((mask & EVENT_CLOSED) !== 0) this.#closed = true;
    if ((mask & EVENT_CONNECTED) !== 0) this.established();
    if ((mask & (EVENT_READABLE | EVENT_PEER_FIN | EVENT_ERROR | EVENT_CLOSED)) !== 0) this.#read();
    if ((mask & (EVENT_ERROR | EVENT_CLOSED)) !== 0 && this.state === 'open') {
      // A read takes the error away from SO_ERROR, as on Linux.
      const error = this.#readError || this.host.engine.getOption(this.handle, Option.SO_ERROR);
      // Closed without an error is a close that both sides agreed on; a slow reader still has to
      // read what came before it.
      const slow = this.options.readLimit !== undefined;
      if (error !== 0 || !this.#finished || (!this.peerFinished && !slow)) this.fail(error);
    }
    if ((mask & EVENT_WRITABLE) !== 0) this.#send();
    this.#maybeDone();
  }

  /** The connection is there: begin. Called for accepted ones by the server. */
  established(): void {
    this.connected = true;
    this.#send();
    this.#read();
    this.#maybeDone();
  }

  #send(): void {
    const { sendBytes = 0, sendSeed = 1, answerAfterFin } = this.options;
    if (!this.connected || this.#finished || this.state !== 'open') return;
    if (answerAfterFin === true && !this.peerFinished) return;
    const { engine } = this.host;
    while (this.sent < sendBytes) {
      const piece = patternAt(sendSeed, this.sent, sendBytes - this.sent);
      const queued = engine.write(this.handle, piece, 0, piece.length);
      if (queued < 0) return this.#sendFailed(queued);
      this.sent += queued;
      this.host.wake();
      if (queued < piece.length) return;
    }
    this.#finished = true;
    // ENOTCONN: it has ended meanwhile, and the event that says so is on its way.
    engine.calls.tcpShutdown(this.handle.index, this.handle.generation, SHUT_WR);
    this.host.wake();
  }

  #sendFailed(result: number): void {
    // EPIPE only says that it is too late; the error event, which comes, says why.
    if (result !== -Errno.EPIPE) this.fail(-result);
  }

  #read(): void {
    const { receiveSeed, readLimit = Infinity, stalled } = this.options;
    if (stalled === true || this.peerFinished) return;
    let left = readLimit;
    while (left > 0) {
      const want = Math.min(left, this.#scratch.length);
      const got = this.host.engine.read(this.handle, this.#scratch, 0, want);
      if (got === 0) {
        this.peerFinished = true;
        this.#send();
        return;
      }
      if (got < 0) {
        if (got !== -Errno.EAGAIN) this.#readError = -got;
        return;
      }
      if (receiveSeed !== undefined && this.wrongAt < 0) {
        const wrong = patternDiffers(receiveSeed, this.received, this.#scratch.subarray(0, got));
        if (wrong >= 0) this.wrongAt = this.received + wrong;
      }
      this.received += got;
      left -= got;
      this.host.wake();
    }
  }

  /** Reads again, for ends with a readLimit or those that were stalled. */
  readMore(): void {
    if (this.state !== 'open') return;
    this.#read();
    this.#maybeDone();
  }

  #maybeDone(): void {
    if (this.state !== 'open' || !this.#finished || !this.peerFinished) return;
    if (!this.#closed && this.options.hasty !== true) return;
    this.state = 'done';
    this.#release(false);
  }

  fail(errno: number): void {
    if (this.state !== 'open') return;
    this.state = 'failed';
    this.error = errnoName(errno);
    this.#release(false);
  }

  /** The test ends it: RST. */
  abort(): void {
    if (this.state !== 'open') return;
    this.state = 'failed';
    this.#release(true);
  }

  #release(reset: boolean): void {
    this.host.dispatcher.detachConnection(this.handle);
    if (reset) this.host.engine.abort(this.handle);
    else this.host.engine.close(this.handle);
    this.host.wake();
  }
}

/** Listens, and makes an end of each connection. */
export class Server implements Handler {
  readonly ends: End[] = [];
  readonly handle: Handle;
  readonly port: number;
  /** Does not accept while true: the queue fills. */
  paused = false;

  constructor(
    readonly host: SimHost,
    port: number,
    readonly options: (index: number) => EndOptions,
    backlog = 128,
    address: AddressWords = ADDRESS_ANY,
  ) {
    const listener = host.engine.listen(address, port, backlog, LISTEN_REUSEADDR);
    this.handle = listener;
    this.port = listener.port;
    host.dispatcher.attachListener(this.handle, this);
  }

  onEvents(): void {
    if (this.paused) return;
    for (;;) {
      const handle = this.host.engine.accept(this.handle);
      if (handle === undefined) return;
      const end = this.make(handle, this.ends.length);
      this.ends.push(end);
      this.host.wake();
      end.established();
    }
  }

  protected make(handle: Handle, index: number): End {
    return new End(this.host, handle, this.options(index));
  }

  close(): void {
    this.host.dispatcher.detachListener(this.handle);
    this.host.engine.listenerClose(this.handle);
    this.host.wake();
  }
}

/** Opens a connection and gives its end; the SYN leaves when the simulation runs on. */
export function connect(
  host: SimHost, address: AddressWords, port: number, options: EndOptions = {},
): End {
  const handle = host.engine.open();
  const end = new End(host, handle, options);
  host.engine.connect(handle, address, port);
  host.wake();
  return end;
}
