/**
 * A connection of a Stack as a Duplex with the members of net.Socket. Writes copy once into the
 * engine's send stream, reads copy once out of it and consume only what was pushed: a reader that
 * stops closes the window (RFC 9293 §3.8.6). Made by stack.ts and server.ts. Decides nothing of
 * TCP.
 */

import './dispose.js';
import { Duplex } from 'node:stream';
import {
  EVENT_CLOSED, EVENT_CONNECTED, EVENT_ERROR, EVENT_PEER_FIN, EVENT_READABLE, EVENT_SOFT_ERROR,
  EVENT_WRITABLE, Errno, Option, SHUT_WR, State,
} from '../../assembly/abi.js';
import type { Handler } from '../core/dispatch.js';
import { EngineError } from '../core/errors.js';
import type { Handle } from '../core/engine.js';
import type { EndpointRecord, TcpInfoRecord } from '../core/records.js';
import type { Driver } from './clock.js';
import { codedError, fromEngine, socketError, type ErrorPlace } from './errors.js';
import { IdleTimer } from './idle-timer.js';
import { eachOption, optionNumbers, type OptionName, type SocketOptionValues } from
  './options.js';
import { PatternSender, WriteQueue } from './write-queue.js';

/** Most bytes of one chunk: what libuv reads at once. */
const READ_MAX = 65_536;

/** Reads into the user's own buffer instead of pushing chunks; as net's option of this name. */
export interface OnRead {
  buffer: Uint8Array;
  /** @returns false to pause until read() or resume() */
  callback(bytes: number, buffer: Uint8Array): boolean | void;
}

export interface StackSocketOptions {
  /** False (the default): our side ends when the peer's has ended. */
  allowHalfOpen?: boolean;
  onread?: OnRead;
  highWaterMark?: number;
  /** Do not read until resume(). */
  pauseOnConnect?: boolean;
}

/** What a service wants to know of a connection; tcpInfo() has everything. */
export interface SocketSummary {
  /** Segments sent again since the beginning. */
  retransmits: number;
  snd_cwnd_bytes: number;
  snd_wnd: number;
  rtt_us: number;
  rttvar_us: number;
  pmtu: number;
  snd_mss: number;
  congestion: string;
}

export class StackSocket extends Duplex implements Handler {
  connecting: boolean;
  /** Bytes handed to the reader, and bytes that the user wrote (queued ones too). */
  bytesRead = 0;
  readonly #driver: Driver;
  readonly #writes: WriteQueue;
  readonly #idle: IdleTimer;
  readonly #onread: OnRead | undefined;
  #handle: Handle | undefined;
  #pattern: PatternSender | undefined;
  #discard: ((bytes: number) => void) | undefined;
  #wantRead = false;
  #reading = false;
  #ended = false;
  #referenced = true;
  #reset = false;
  #readErrno = 0;
  #target: ErrorPlace = {};
  #local: EndpointRecord | undefined;
  #remote: EndpointRecord | undefined;
  #whenConnected: (() => void)[] = [];

  /** @param handle of an accepted connection, or of one that tcpOpen gave */
  constructor(
    driver: Driver, handle: Handle, connecting: boolean, options: StackSocketOptions = {},
  ) {
    const { highWaterMark, allowHalfOpen = false } = options;
    super({
      allowHalfOpen, emitClose: true, autoDestroy: true, decodeStrings: true,
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
    });
    this.#driver = driver;
    this.#handle = handle;
    this.connecting = connecting;
    this.#onread = options.onread;
    this.#idle = new IdleTimer(driver.clock, () => this.emit('timeout'));
    this.#writes = new WriteQueue(driver.engine, () => this.#handle);
    driver.dispatcher.attachConnection(handle, this);
    driver.ref();
    if (options.pauseOnConnect === true) this.pause();
    else if (!connecting) this.read(0);
  }

  // ---- Events of the engine ------------------------------------------------------------------

  /** Called by the dispatcher. */
  onEvents(mask: number): void {
    this.#idle.touch();
    if ((mask & EVENT_CONNECTED) !== 0 && this.connecting) this.#connected();
    if ((mask & (EVENT_READABLE | EVENT_PEER_FIN)) !== 0) this.#readable();
    if ((mask & EVENT_WRITABLE) !== 0) this.#writable();
    if ((mask & EVENT_SOFT_ERROR) !== 0) this.emit('softError', this.#pendingError('tcp'));
    if ((mask & EVENT_ERROR) !== 0) this.#failed();
    else if ((mask & EVENT_CLOSED) !== 0) this.#readable();
  }

  #connected(): void {
    this.connecting = false;
    for (const action of this.#whenConnected) action();
    this.#whenConnected = [];
    this.emit('connect');
    this.emit('ready');
    if (this.destroyed) return;
    if (!this.isPaused()) this.read(0);
    this.#writable();
  }

  #pendingError(syscall: string): Error {
    const handle = this.#handle;
    let errno = this.#readErrno;
    if (errno === 0 && handle !== undefined) {
      const { index, generation } = handle;
      errno = this.#driver.engine.calls.tcpGetOption(index, generation, Option.SO_ERROR);
    }
    // An end without a name: a reset is what it looks like.
    return socketError(errno > 0 ? errno : Errno.ECONNRESET, syscall, this.#target);
  }

  #failed(): void {
    if (this.destroyed) return;
    if (!this.connecting) this.#target = {};
    this.destroy(this.#pendingError(this.connecting ? 'connect' : 'read'));
  }

  // ---- Reading -------------------------------------------------------------------------------

  override _read(): void {
    this.#wantRead = true;
    if (!this.connecting) this.#readable();
  }

  #readable(): void {
    if (this.#reading || this.#ended || this.connecting) return;
    if (this.#discard === undefined && !this.#wantRead) return;
    this.#reading = true;
    try {
      if (this.#discard !== undefined) this.#drop(this.#discard);
      else this.#fill();
    } finally {
      this.#reading = false;
    }
  }

  /** Pushes until the reader has enough or nothing is left. */
  #fill(): void {
    const { engine } = this.#driver;
    while (this.#wantRead && this.#handle !== undefined) {
      const handle = this.#handle;
      const waiting = engine.calls.tcpGetOption(handle.index, handle.generation, Option.SIOCINQ);
      const own = this.#onread?.buffer;
      const buffer = own ?? Buffer.allocUnsafeSlow(Math.min(Math.max(waiting, 1), READ_MAX));
      const got = engine.read(handle, buffer, 0, buffer.length);
      if (got < 0) {
        this.#noteError(got);
        return;
      }
      if (got === 0) {
        this.#endOfStream();
        return;
      }
      // The window opens by what was consumed: the engine wants to tell the peer.
      this.#driver.request();
      this.#idle.touch();
      this.bytesRead += got;
      this.#deliver(buffer, got);
    }
  }

  /*
   * With onread nothing is pushed, so that Readable waits for its first _read for ever: stopping
   * and going on are ours.
   */
  override resume(): this {
    super.resume();
    if (this.#onread !== undefined) {
      this.#wantRead = true;
      this.#readable();
    }
    return this;
  }

  override pause(): this {
    if (this.#onread !== undefined) this.#wantRead = false;
    return super.pause();
  }

  #deliver(buffer: Uint8Array, length: number): void {
    if (this.#onread !== undefined) {
      if (this.#onread.callback(length, buffer) === false) this.#wantRead = false;
    } else {
      const chunk = length === buffer.length ? buffer : buffer.subarray(0, length);
      if (!this.push(chunk)) this.#wantRead = false;
    }
  }

  /** A read takes the error away from SO_ERROR, as on Linux; the event that says so follows. */
  #noteError(result: number): void {
    if (result !== -Errno.EAGAIN) this.#readErrno = -result;
  }

  #endOfStream(): void {
    this.#ended = true;
    this.push(null);
    // Nobody may be reading; 'end' must come all the same when there is nothing to read.
    if (this.readableLength === 0) this.read(0);
  }

  #drop(onBytes: (bytes: number) => void): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    const dropped = this.#driver.engine.discard(handle);
    if (dropped > 0) {
      this.bytesRead += dropped;
      this.#driver.request();
      onBytes(dropped);
      // Behind the bytes there may be the FIN.
      if (this.#handle !== undefined) this.#drop0(this.#handle);
    } else if (dropped === 0) {
      this.#endOfStream();
      this.resume();
    } else {
      this.#noteError(dropped);
    }
  }

  #drop0(handle: Handle): void {
    if (this.#driver.engine.calls.tcpRecvPeek(handle.index, handle.generation, 0) === 0) {
      this.#endOfStream();
      this.resume();
    }
  }

  /**
   * From now on every byte is dropped in the engine and only counted: nothing is copied. 'end',
   * 'error' and 'close' still come; 'data' does not. Bytes that came before and wait in the Duplex
   * are dropped and counted too.
   */
  discardAll(onBytes: (bytes: number) => void): void {
    this.#discard = onBytes;
    const waiting = this.readableLength;
    this.resume();
    if (waiting > 0) onBytes(waiting);
    this.#readable();
  }

  // ---- Writing -------------------------------------------------------------------------------

  /** Bytes that the user wrote, those that wait included. */
  get bytesWritten(): number {
    return this.#writes.accepted + this.writableLength + (this.#pattern?.accepted ?? 0);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#queue([chunk], done);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: (error?: Error) => void,
  ): void {
    this.#queue(chunks.map(({ chunk }) => chunk), done);
  }

  #queue(chunks: Uint8Array[], done: (error?: Error) => void): void {
    this.#writes.add(chunks, done);
    if (!this.connecting) this.#writable();
  }

  #writable(): void {
    if (this.connecting || this.#handle === undefined) return;
    const moved = this.#writes.pump() + (this.#pattern?.pump() ?? 0);
    if (moved > 0) {
      this.#idle.touch();
      this.#driver.request();
    }
  }

  override _final(done: (error?: Error) => void): void {
    if (this.connecting) {
      this.#whenConnected.push(() => this._final(done));
      return;
    }
    const handle = this.#handle;
    try {
      if (handle !== undefined) this.#driver.engine.shutdown(handle, SHUT_WR);
    } catch (error) {
      // The peer reset it meanwhile: the error event tells, and a second error would hide it.
      if (!(error instanceof EngineError)) throw error;
    }
    this.#driver.request();
    done();
  }

  /**
   * Sends `chunk` again and again, as the window allows, until stop(). Bytes taken before stop()
   * are delivered. write() must not be used meanwhile.
   * @param onBytes how many bytes the send stream took
   */
  sendPattern(chunk: Uint8Array, onBytes: (bytes: number) => void = () => undefined): {
    stop(): void;
  } {
    const pattern = new PatternSender(this.#driver.engine, () => this.#handle, chunk, onBytes);
    this.#pattern = pattern;
    this.#writable();
    return { stop: () => pattern.stop() };
  }

  // ---- Ending --------------------------------------------------------------------------------

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const handle = this.#handle;
    this.#handle = undefined;
    this.#idle.set(0);
    this.connecting = false;
    if (handle !== undefined) {
      this.#names(handle);
      this.#release(handle);
    }
    this.#writes.fail(error);
    done(error);
  }

  #release(handle: Handle): void {
    const { engine, dispatcher } = this.#driver;
    dispatcher.detachConnection(handle);
    if (this.#referenced) this.#driver.unref();
    if (this.#reset) engine.calls.tcpAbort(handle.index, handle.generation);
    else engine.calls.tcpClose(handle.index, handle.generation);
    this.#driver.request();
  }

  /** Ends our side, then destroys when everything was queued. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** RFC 9293 ABORT: a RST. A socket that is still connecting is only destroyed. */
  resetAndDestroy(): this {
    if (this.#handle === undefined) {
      this.destroy(codedError('ERR_SOCKET_CLOSED', 'Socket is closed'));
      return this;
    }
    this.#reset = true;
    return this.destroy() as this;
  }

  /** The same without events to come: for hosts that shut down. */
  abort(): this {
    return this.resetAndDestroy();
  }

  // ---- Options and facts ---------------------------------------------------------------------

  /** Undefined once the socket is destroyed. */
  get handle(): Handle | undefined {
    return this.#handle;
  }

  #live(): Handle {
    if (this.#handle === undefined) throw socketError(Errno.EBADF, 'setsockopt');
    return this.#handle;
  }

  /** @throws SocketError: EBADF, EINVAL, ENOPROTOOPT, … */
  setOption(name: OptionName, value: number | string | boolean): this {
    try {
      this.#driver.engine.setOption(this.#live(), ...optionNumbers(name, value));
    } catch (error) {
      throw fromEngine(error, 'setsockopt');
    }
    this.#driver.request();
    return this;
  }

  /** @throws SocketError */
  setOptions(values: SocketOptionValues): void {
    try {
      eachOption(values, (option, value) => {
        this.#driver.engine.setOption(this.#live(), option, value);
      });
    } catch (error) {
      throw fromEngine(error, 'setsockopt');
    }
    this.#driver.request();
  }

  /** @throws SocketError */
  getOption(name: OptionName): number {
    try {
      return this.#driver.engine.getOption(this.#live(), optionNumbers(name, 0)[0]);
    } catch (error) {
      throw fromEngine(error, 'getsockopt');
    }
  }

  setNoDelay(on = true): this {
    return this.#handle === undefined ? this : this.setOption('TCP_NODELAY', on);
  }

  /** @param initialDelay ms of silence before the first probe; 0 leaves it as it is */
  setKeepAlive(on = false, initialDelay = 0): this {
    if (this.#handle === undefined) return this;
    const seconds = Math.floor(initialDelay / 1000);
    if (on && seconds > 0) this.setOption('TCP_KEEPIDLE', seconds);
    return this.setOption('SO_KEEPALIVE', on);
  }

  /** 'timeout' is emitted after this many ms without activity; 0 turns it off. */
  setTimeout(ms: number, callback?: () => void): this {
    this.#idle.set(ms);
    if (callback !== undefined) {
      if (ms === 0) this.removeListener('timeout', callback);
      else this.once('timeout', callback);
    }
    return this;
  }

  get timeout(): number {
    return this.#idle.ms;
  }

  ref(): this {
    if (!this.#referenced && this.#handle !== undefined) this.#driver.ref();
    this.#referenced = true;
    return this;
  }

  unref(): this {
    if (this.#referenced && this.#handle !== undefined) this.#driver.unref();
    this.#referenced = false;
    return this;
  }

  /** struct tcp_info, by Linux's names; undefined once the socket is destroyed. */
  tcpInfo(): TcpInfoRecord | undefined {
    return this.#handle === undefined ? undefined : this.#driver.engine.info(this.#handle);
  }

  info(): SocketSummary | undefined {
    const info = this.tcpInfo();
    return info && {
      retransmits: info.total_retrans, snd_cwnd_bytes: info.cwnd_bytes, snd_wnd: info.snd_wnd,
      rtt_us: info.rtt, rttvar_us: info.rttvar, pmtu: info.pmtu, snd_mss: info.snd_mss,
      congestion: info.congestion,
    };
  }

  /** Reads both names once: they stay known after the end, as Node's do. */
  #names(handle: Handle | undefined = this.#handle): void {
    if (handle === undefined || this.#remote !== undefined) return;
    const { engine } = this.#driver;
    const { index, generation } = handle;
    if (engine.calls.tcpName(index, generation, 0) >= 0) {
      const local = engine.name(handle, 'local');
      if (local.port !== 0) this.#local = local;
    }
    if (engine.calls.tcpName(index, generation, 1) >= 0) {
      const remote = engine.name(handle, 'remote');
      if (remote.port !== 0) this.#remote = remote;
    }
  }

  /** Where an error of connect() points. Called by the stack. */
  setTarget(place: ErrorPlace): void {
    this.#target = place;
  }

  get localAddress(): string | undefined {
    this.#names();
    return this.#local?.address;
  }

  get localPort(): number | undefined {
    this.#names();
    return this.#local?.port;
  }

  get localFamily(): 'IPv4' | 'IPv6' | undefined {
    this.#names();
    return this.#local?.family;
  }

  get remoteAddress(): string | undefined {
    this.#names();
    return this.#remote?.address;
  }

  get remotePort(): number | undefined {
    this.#names();
    return this.#remote?.port;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    this.#names();
    return this.#remote?.family;
  }

  address(): { address: string; family: 'IPv4' | 'IPv6'; port: number } | Record<string, never> {
    this.#names();
    if (this.#local === undefined) return {};
    const { address, family, port } = this.#local;
    return { address, family, port };
  }

  /** As net.Socket's: not connected yet. */
  get pending(): boolean {
    return this.#handle === undefined || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** RFC 9293's state, CLOSE once the socket is destroyed. */
  get state(): keyof typeof State {
    return this.tcpInfo()?.state ?? 'CLOSE';
  }
}
