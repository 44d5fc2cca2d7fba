/**
 * A listener of a Stack, with the events and members of net.Server: 'connection', 'close', 'error',
 * 'drop'. Takes connections out of the engine's accept queue as they come, unless maxConnections
 * are open: then they wait in the queue and its backlog limits them, as on Linux. Made by stack.ts.
 */

import './dispose.js';
import { EventEmitter } from 'node:events';
import { LISTEN_REUSEADDR, LISTEN_V6ONLY } from '../../assembly/abi.js';
import { ADDRESS_ANY, isAny, parseAddress, type AddressWords } from '../core/address.js';
import type { Handler } from '../core/dispatch.js';
import type { Handle } from '../core/engine.js';
import type { Driver } from './clock.js';
import { codedError, fromEngine } from './errors.js';
import { eachOption, type SocketOptionValues } from './options.js';
import { StackSocket, type StackSocketOptions } from './socket.js';

export interface ListenOptions extends StackSocketOptions {
  /** 0 or none: the engine chooses. */
  port?: number;
  /** Local address; `::` and none listen on all addresses of both families. */
  address?: string;
  /** Established connections that may wait to be accepted; 511 as in Node, at most somaxconn. */
  backlog?: number;
  ipv6Only?: boolean;
  /** Set on the listener and inherited by its connections. */
  options?: SocketOptionValues;
  /** Accept no more while this many are open. */
  maxConnections?: number;
}

interface ServerEvents {
  connection: [socket: StackSocket];
  close: [];
  error: [error: Error];
}

export class StackServer extends EventEmitter<ServerEvents> implements Handler {
  readonly sockets = new Set<StackSocket>();
  maxConnections: number;
  readonly #driver: Driver;
  readonly #options: ListenOptions;
  #handle: Handle | undefined;
  readonly #port: number;
  readonly #words: AddressWords;
  #referenced = true;
  #paused = false;

  /** @throws SocketError: EADDRINUSE, EADDRNOTAVAIL, … */
  constructor(driver: Driver, options: ListenOptions) {
    super();
    const { port = 0, address = '::', backlog = 511 } = options;
    this.#driver = driver;
    this.#options = options;
    this.maxConnections = options.maxConnections ?? Infinity;
    const words = parseAddress(address);
    if (words === undefined) {
      throw codedError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${address}`);
    }
    this.#words = words;
    const flags = LISTEN_REUSEADDR | (options.ipv6Only === true ? LISTEN_V6ONLY : 0);
    try {
      const listener = driver.engine.listen(anyOf(words), port, backlog, flags);
      this.#handle = listener;
      this.#port = listener.port;
      eachOption(options.options ?? {}, (option, value) => {
        driver.engine.listenerSetOption(listener, option, value);
      });
    } catch (error) {
      throw fromEngine(error, 'listen', { address, port });
    }
    driver.dispatcher.attachListener(this.#handle, this);
    driver.ref();
  }

  /** Called by the dispatcher: somebody waits to be accepted. */
  onEvents(): void {
    this.#accept();
  }

  #accept(): void {
    while (this.#handle !== undefined && !this.#paused) {
      if (this.sockets.size >= this.maxConnections) return;
      const handle = this.#driver.engine.accept(this.#handle);
      if (handle === undefined) return;
      this.#driver.request();
      const socket = new StackSocket(this.#driver, handle, false, this.#options);
      this.sockets.add(socket);
      socket.once('close', () => this.#gone(socket));
      this.emit('connection', socket);
    }
  }

  #gone(socket: StackSocket): void {
    this.sockets.delete(socket);
    this.#accept();
    this.#maybeClosed();
  }

  /** Leaves connections in the accept queue until resume(). */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#accept();
  }

  get listening(): boolean {
    return this.#handle !== undefined;
  }

  get port(): number {
    return this.#port;
  }

  address(): { address: string; family: 'IPv4' | 'IPv6'; port: number } | null {
    if (this.#handle === undefined) return null;
    const { address, family } = this.#driver.engine.listenerName(this.#handle);
    const four = this.#options.address?.includes('.') === true && isAny(anyOf(this.#words));
    if (four) return { address: '0.0.0.0', family: 'IPv4', port: this.#port };
    return { address, family, port: this.#port };
  }

  /**
   * Stops listening: what is half open or not accepted is reset. 'close' comes when the last
   * connection has ended.
   */
  close(callback?: (error?: Error) => void): this {
    if (this.#handle === undefined) {
      const error = codedError('ERR_SERVER_NOT_RUNNING', 'Server is not running.');
      if (callback !== undefined) process.nextTick(callback, error);
      return this;
    }
    if (callback !== undefined) this.once('close', () => callback());
    const handle = this.#handle;
    this.#handle = undefined;
    this.#driver.dispatcher.detachListener(handle);
    this.#driver.engine.calls.listenerClose(handle.index, handle.generation);
    if (this.#referenced) this.#driver.unref();
    this.#driver.request();
    this.#maybeClosed();
    return this;
  }

  #closeTold = false;

  #maybeClosed(): void {
    if (this.#handle !== undefined || this.sockets.size > 0 || this.#closeTold) return;
    this.#closeTold = true;
    process.nextTick(() => this.emit('close'));
  }

  /** Destroys the connections that are still open, after close() or before. */
  closeAllConnections(): void {
    for (const socket of this.sockets) socket.destroy();
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

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#handle === undefined && this.sockets.size === 0) return;
    const closed = new Promise<void>((resolve) => this.once('close', resolve));
    if (this.#handle !== undefined) this.close();
    this.closeAllConnections();
    await closed;
  }
}

/** 0.0.0.0 and :: are the engine's "any". */
function anyOf(words: AddressWords): AddressWords {
  return words[2] === 0xffff && words[3] === 0 ? ADDRESS_ANY : words;
}
