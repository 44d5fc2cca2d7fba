/**
 * A TCP/IP stack: one engine with its links and addresses, listeners and connections as Node's
 * streams. The typed API on which the hosts of node:net's shape stand. RFC 9293 §3.9.1's user calls
 * are listen, connect, and the members of StackSocket. Holds no protocol logic.
 */

import './dispose.js';
import { parseAddress, requireAddress, requireCidr } from '../core/address.js';
import type { EngineConfig } from '../core/config.js';
import { Engine, type CallFilter, type CounterName, type ModuleSource } from
  '../core/engine.js';
import type { PoolName, PoolRecord, SocketRecord } from '../core/records.js';
import { linkEntries, type LinkEntry } from '../core/tables.js';
import { TraceReader } from '../core/trace.js';
import type { Driver } from './clock.js';
import { engineModule } from './engine.js';
import { codedError, fromEngine } from './errors.js';
import type { Link } from './link/link.js';
import { NodeLoop } from './loop.js';
import { eachOption, type SocketOptionValues } from './options.js';
import { StackServer, type ListenOptions } from './server.js';
import { StackSocket, type StackSocketOptions } from './socket.js';

export interface StackOptions {
  links: readonly Link[];
  /** CIDRs of our own, such as 10.0.0.2/24; on the first link unless said otherwise. */
  addresses: readonly (string | { link: number; cidr: string })[];
  config?: EngineConfig;
  /** The shipped engine by default. */
  module?: ModuleSource;
  /** Stands between the host and the engine's calls: a Recorder's. */
  filter?: CallFilter;
  /** Where packets go that are for no subnet of ours; without a gateway the CIDR is on the link. */
  routes?: readonly StackRoute[];
  /** Told when the engine stopped or a link broke; thrown as an uncaught exception otherwise. */
  onError?: (error: Error) => void;
}

export interface StackRoute {
  /** 0.0.0.0/0 or ::/0 for all that no other route knows. */
  to: string;
  gateway?: string;
  /** The first link by default. */
  link?: number;
}

export interface ConnectOptions extends StackSocketOptions {
  /** An IP address; names are for the caller to resolve. */
  address: string;
  port: number;
  localAddress?: string;
  localPort?: number;
  /** Set before the SYN. */
  options?: SocketOptionValues;
  /** Destroys the socket with an AbortError. */
  signal?: AbortSignal;
}

function checkPort(port: number, lowest: number): void {
  if (Number.isInteger(port) && port >= lowest && port < 65_536) return;
  throw codedError('ERR_SOCKET_BAD_PORT', `Port should be ${lowest} to 65535: ${port}`);
}

export class Stack {
  readonly engine: Engine;
  readonly driver: Driver;
  /** Everything that is not closed yet. */
  readonly #servers = new Set<StackServer>();
  readonly #sockets = new Set<StackSocket>();

  /** For drivers of one's own (the tests' virtual time); others use create(). */
  constructor(driver: Driver) {
    this.driver = driver;
    this.engine = driver.engine;
  }

  /**
   * Boots an engine, attaches the links and gives them addresses.
   * @throws EngineSetupError for a configuration or module that cannot be; TypeError with code
   *   ERR_INVALID_IP_ADDRESS for an address that is none
   */
  static async create(options: StackOptions): Promise<Stack> {
    const module = options.module ?? await engineModule();
    const engine = Engine.load(module, options.config ?? {}, options.filter);
    const onError = options.onError ?? ((error: Error) => process.nextTick(() => { throw error; }));
    const stack = new Stack(new NodeLoop(engine, options.links, onError));
    for (const entry of options.addresses) {
      const { link, cidr } = typeof entry === 'string' ? { link: 0, cidr: entry } : entry;
      stack.addAddress(cidr, link);
    }
    for (const route of options.routes ?? []) stack.addRoute(route);
    stack.driver.request();
    return stack;
  }

  /** @returns index of the address, for removeAddress */
  addAddress(cidr: string, link = 0): number {
    return this.engine.addressAdd(link, requireCidr(cidr));
  }

  removeAddress(index: number): void {
    this.engine.addressRemove(index);
    this.driver.request();
  }

  /** @returns index of the route, for removeRoute */
  addRoute(route: StackRoute): number {
    const gateway = route.gateway === undefined ? undefined : requireAddress(route.gateway);
    const index = this.engine.routeAdd(route.link ?? 0, requireCidr(route.to), gateway);
    this.driver.request();
    return index;
  }

  removeRoute(index: number): void {
    this.engine.routeRemove(index);
  }

  /** Links with their addresses, routes and neighbours. */
  links(): LinkEntry[] {
    return linkEntries(this.engine);
  }

  /**
   * Passive OPEN. @throws SocketError: EADDRINUSE, EADDRNOTAVAIL, ENFILE
   */
  listen(options: ListenOptions, onConnection?: (socket: StackSocket) => void): StackServer {
    checkPort(options.port ?? 0, 0);
    const server = new StackServer(this.driver, options);
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    if (onConnection !== undefined) server.on('connection', onConnection);
    return server;
  }

  /**
   * Active OPEN. 'connect' or 'error' (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, …) follows; what the
   * engine refuses at once (EADDRNOTAVAIL, ENETUNREACH, ENFILE) is an 'error' event too, as in
   * Node. Bytes written before are sent after the handshake.
   */
  connect(options: ConnectOptions, onConnect?: () => void): StackSocket {
    const { address, port } = options;
    checkPort(port, 1);
    const words = requireAddress(address);
    const { engine } = this;
    let handle;
    try {
      handle = engine.open();
    } catch (error) {
      throw fromEngine(error, 'connect', { address, port });
    }
    const socket = new StackSocket(this.driver, handle, true, options);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.setTarget({ address, port });
    if (onConnect !== undefined) socket.once('connect', onConnect);
    try {
      eachOption(options.options ?? {}, (option, value) => engine.setOption(handle, option, value));
      this.#bind(options, handle);
      engine.connect(handle, words, port);
      this.driver.request();
    } catch (error) {
      socket.destroy(fromEngine(error, 'connect', { address, port }));
    }
    this.#abortable(socket, options.signal);
    return socket;
  }

  #bind(options: ConnectOptions, handle: { index: number; generation: number }): void {
    const { localAddress, localPort = 0 } = options;
    if (localAddress === undefined && localPort === 0) return;
    const any = parseAddress(options.address.includes(':') ? '::' : '0.0.0.0');
    const words = localAddress === undefined ? any : requireAddress(localAddress);
    try {
      this.engine.bind(handle, words ?? [0, 0, 0, 0], localPort);
    } catch (error) {
      throw fromEngine(error, 'bind', { address: localAddress, port: localPort });
    }
  }

  #abortable(socket: StackSocket, signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = (): void => {
      socket.destroy(new DOMException('The operation was aborted', 'AbortError'));
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', abort));
  }

  /** As connect, as a promise: the socket when it is established. */
  async open(options: ConnectOptions): Promise<StackSocket> {
    const socket = this.connect(options);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve();
      });
    });
    return socket;
  }

  // ---- What an operator wants to know --------------------------------------------------------

  sockets(): SocketRecord[] {
    return [...this.engine.sockets()];
  }

  counters(): Record<CounterName, number> {
    return this.engine.counters();
  }

  pools(): Record<PoolName, PoolRecord> {
    return this.engine.pools();
  }

  /** A reader of its own over the trace ring, from now on. */
  trace(): TraceReader {
    return new TraceReader(this.engine);
  }

  /** Servers, and connections opened here, that are not closed yet. */
  get handles(): { servers: ReadonlySet<StackServer>; sockets: ReadonlySet<StackSocket> } {
    return { servers: this.#servers, sockets: this.#sockets };
  }

  // ---- Ending --------------------------------------------------------------------------------

  /**
   * Closes every server and destroys every connection; resolves when all have told so. What they
   * still have to say on the wire (FIN, RST) leaves before the links are closed.
   */
  async close(): Promise<void> {
    await this.closeSockets();
    this.driver.close();
  }

  /** The first half of close(): the links stay. */
  async closeSockets(): Promise<void> {
    const closing = [...this.#servers].map((server) => server[Symbol.asyncDispose]());
    for (const socket of this.#sockets) {
      closing.push(new Promise((resolve) => socket.once('close', () => resolve())));
      socket.destroy();
    }
    await Promise.all(closing);
    // The FINs and RSTs of the above were asked for by request(), at the end of an earlier tick.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
