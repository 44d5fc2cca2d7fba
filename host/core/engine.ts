/**
 * One engine: a WebAssembly instance with its memory, configured and booted, and its calls with
 * types (docs/abi.md). Hot calls return numbers, negative for an Errno; the others throw
 * EngineError. Holds no protocol logic, no clock and no I/O, imports nothing of Node: hosts, the
 * simulator and the browser use it alike. Views over the memory are made once: it never grows after
 * boot.
 */

import {
  ABI_VERSION, CONFIG_AT, COUNTERS_AT, Config, Counter, DIRECTORY_AT, Directory, EVENT_BYTES,
  FAULT_AT, RESULT_AT, RESULT_BYTES, TableWord, TcpInfo, type HandleKind, type Option, type Table,
} from '../../assembly/abi.js';
import { configWords, type ConfigName, type EngineConfig } from './config.js';
import type { AddressWords, Cidr } from './address.js';
import { EngineError, EngineFault, EngineSetupError } from './errors.js';
import { guardCalls, type EngineCalls } from './exports.js';
import {
  POOL_NAMES, readEndpoint, readSocket, readTcpInfo, type EndpointRecord, type PoolName,
  type PoolRecord, type SocketRecord, type TcpInfoRecord,
} from './records.js';

/** A handle: index and generation. A stale one is refused by the engine with EBADF. */
export interface Handle {
  readonly index: number;
  readonly generation: number;
}

export type EventCallback = (
  kind: HandleKind, index: number, generation: number, mask: number,
) => void;

export type CounterName = Exclude<keyof typeof Counter, 'COUNT'>;
const COUNTER_NAMES = Object.keys(Counter).filter(
  (name) => Number.isNaN(Number(name)) && name !== 'COUNT',
) as CounterName[];

/** What may stand between the calls and their user: sim/recorder.ts. */
export type CallFilter = (calls: EngineCalls, engine: { readonly buffer: ArrayBuffer }) =>
  EngineCalls;

const PAGE = 65536;
const RESULT = RESULT_AT >>> 2;

function setupError(message: string): never {
  throw new EngineSetupError(message);
}

/** The bytes of a module and a compiled one are both welcome; pages compile asynchronously. */
export type ModuleSource = WebAssembly.Module | ArrayBuffer | ArrayBufferView;

export class Engine {
  readonly calls: EngineCalls;
  /** The whole memory. */
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** RESULT of the last call. */
  readonly result: Uint32Array;
  readonly #eventRing: number;

  /**
   * Instantiates, checks, configures and boots.
   * @throws EngineSetupError when the module is of another version, has imports, or refuses the
   *   configuration (the message names the word)
   */
  static load(source: ModuleSource, config: EngineConfig = {}, filter?: CallFilter): Engine {
    const module = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
    return new Engine(module, config, filter);
  }

  private constructor(module: WebAssembly.Module, config: EngineConfig, filter?: CallFilter) {
    const imports = WebAssembly.Module.imports(module);
    if (imports.length > 0) setupError(`not an engine: it imports ${imports[0]?.name}`);
    const { exports } = new WebAssembly.Instance(module, {});
    const memory = exports['memory'] as WebAssembly.Memory;
    const { calls, missing } = guardCalls(exports, (cause) => this.#trapped(memory, cause));
    const version = missing.includes('abiVersion') ? 0 : calls.abiVersion();
    if (version !== ABI_VERSION) {
      setupError(`the engine speaks ABI ${version}, this host ${ABI_VERSION}: build both again`);
    }
    if (missing.length > 0) setupError(`not an engine: it lacks ${missing.join(', ')}`);
    new Uint32Array(memory.buffer).set(configWords(config), CONFIG_AT >>> 2);
    Engine.#grow(memory, calls.memoryRequired() >>> 0);
    this.buffer = memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Uint32Array(this.buffer);
    this.result = this.words.subarray(RESULT, RESULT + RESULT_BYTES / 4);
    this.calls = filter === undefined ? calls : filter(calls, this);
    const booted = this.calls.boot();
    if (booted < 0) setupError(`boot: ${new EngineError(booted, 'boot').message}`);
    this.#eventRing = this.directory(Directory.EventRing);
  }

  static #grow(memory: WebAssembly.Memory, required: number): void {
    if (required === 0) {
      const word = new Uint32Array(memory.buffer)[(FAULT_AT >>> 2) + 1] as number;
      setupError(`the engine refuses the configuration: ${Config[word] ?? `word ${word}`}`);
    }
    const pages = Math.ceil(required / PAGE) - memory.buffer.byteLength / PAGE;
    try {
      if (pages > 0) memory.grow(pages);
    } catch (cause) {
      throw new EngineSetupError(`no memory of ${required} bytes is to be had`, { cause });
    }
  }

  #trapped(memory: WebAssembly.Memory, cause: unknown): Error {
    if (!(cause instanceof WebAssembly.RuntimeError)) return cause as Error;
    const words = new Uint32Array(memory.buffer, FAULT_AT, 2);
    return new EngineFault(words[0] as number, words[1] as number, cause);
  }

  /** @throws EngineError when result is negative */
  static check(result: number, syscall: string): number {
    if (result < 0) throw new EngineError(result, syscall);
    return result;
  }

  /** Where a region of the memory is; abi.ts names the words. */
  directory(word: Directory): number {
    return this.words[(DIRECTORY_AT >>> 2) + word] as number;
  }

  // ---- Time and events -----------------------------------------------------------------------

  /**
   * Lets the engine work: frames in, timers, frames out.
   * @param nowUs µs of the host's monotonic clock, an integer below 2⁵³
   * @param budget most frames and sends before it returns
   * @returns µs until the next call is wanted; 0: at once; 0xffffffff: when something arrives
   */
  poll(nowUs: number, budget: number): number {
    return this.calls.poll(Math.floor(nowUs / 2 ** 32), nowUs >>> 0, budget) >>> 0;
  }

  /** Tells every pending event, and those that arise while telling. @returns how many */
  events(callback: EventCallback): number {
    let total = 0;
    for (;;) {
      const count = this.calls.eventsCollect();
      if (count <= 0) return total;
      total += count;
      let at = this.#eventRing >>> 2;
      for (let seen = 0; seen < count; seen++, at += EVENT_BYTES / 4) {
        const words = this.words;
        callback(
          words[at] as HandleKind, words[at + 1] as number,
          words[at + 2] as number, words[at + 3] as number,
        );
      }
    }
  }

  // ---- Links and addresses -------------------------------------------------------------------

  /** @returns the link's id */
  linkAdd(flags: number, mtu: number): number {
    return Engine.check(this.calls.linkAdd(flags, mtu), 'linkAdd');
  }

  /** @returns address of the link's LinkWord block */
  linkRing(id: number): number {
    return this.calls.linkRing(id) >>> 0;
  }

  linkSet(id: number, up: boolean): void {
    Engine.check(this.calls.linkSet(id, up ? 1 : 0), 'linkSet');
  }

  /** @returns index of the address, for addressRemove */
  addressAdd(link: number, cidr: Cidr): number {
    const [a0, a1, a2, a3] = cidr.words;
    const result = this.calls.addressAdd(link, a0, a1, a2, a3, cidr.prefixLength);
    return Engine.check(result, 'addressAdd');
  }

  /**
   * Tells an Ethernet link its MAC (six bytes), its VLAN (0: none) and what it finds out itself.
   * @param auto AUTO_* bits
   */
  linkEthernet(id: number, mac: Uint8Array, vlan = 0, auto = 0): void {
    const view = new DataView(mac.buffer, mac.byteOffset, 6);
    const result = this.calls.linkEthernet(id, view.getUint32(0), view.getUint16(4), vlan, auto);
    Engine.check(result, 'linkEthernet');
  }

  /**
   * @param gateway absent: the destination is on the link
   * @returns index of the route, for routeRemove
   */
  routeAdd(link: number, to: Cidr, gateway: AddressWords = [0, 0, 0, 0]): number {
    const [d0, d1, d2, d3] = to.words;
    const [g0, g1, g2, g3] = gateway;
    const { calls } = this;
    const result = calls.routeAdd(link, d0, d1, d2, d3, to.prefixLength, g0, g1, g2, g3);
    return Engine.check(result, 'routeAdd');
  }

  routeRemove(index: number): void {
    Engine.check(this.calls.routeRemove(index), 'routeRemove');
  }

  /** Every entry of a table, as words (TableWord). */
  *table(table: Table): Generator<Uint32Array> {
    for (let cursor = 0; ; ) {
      cursor = this.calls.tableNext(table, cursor) >>> 0;
      if (cursor === 0) return;
      yield this.result.slice(0, TableWord.WORDS);
    }
  }

  addressRemove(index: number): void {
    Engine.check(this.calls.addressRemove(index), 'addressRemove');
  }

  sysctlSet(name: ConfigName, value: number): void {
    Engine.check(this.calls.sysctlSet(Config[name], value), name);
  }

  sysctlGet(name: ConfigName): number {
    return this.words[(CONFIG_AT >>> 2) + Config[name]] as number;
  }

  // ---- Listeners -----------------------------------------------------------------------------

  /** Passive OPEN (RFC 9293 §3.9.1.1). Port 0 lets the engine choose. */
  listen(address: AddressWords, port: number, backlog: number, flags = 0): Handle & {
    readonly port: number;
  } {
    const [a0, a1, a2, a3] = address;
    const result = this.calls.tcpListen(a0, a1, a2, a3, port, backlog, flags);
    const index = Engine.check(result, 'listen');
    const [generation, bound] = this.result as unknown as [number, number];
    return { index, generation, port: bound };
  }

  listenerName(handle: Handle): EndpointRecord {
    Engine.check(this.calls.listenerName(handle.index, handle.generation), 'getsockname');
    return readEndpoint(this.result, 0);
  }

  listenerSetOption(handle: Handle, option: Option, value: number): void {
    const { index, generation } = handle;
    Engine.check(this.calls.listenerSetOption(index, generation, option, value), 'setsockopt');
  }

  listenerGetOption(handle: Handle, option: Option): number {
    const { index, generation } = handle;
    return Engine.check(this.calls.listenerGetOption(index, generation, option), 'getsockopt');
  }

  listenerClose(handle: Handle): void {
    Engine.check(this.calls.listenerClose(handle.index, handle.generation), 'close');
  }

  /** @returns undefined when no connection waits */
  accept(handle: Handle): Handle | undefined {
    const index = this.calls.tcpAccept(handle.index, handle.generation);
    if (index === -11) return undefined;
    Engine.check(index, 'accept');
    return { index, generation: this.result[0] as number };
  }

  // ---- Connections ---------------------------------------------------------------------------

  open(): Handle {
    const index = Engine.check(this.calls.tcpOpen(), 'socket');
    return { index, generation: this.result[0] as number };
  }

  bind(handle: Handle, address: AddressWords, port: number): void {
    const [a0, a1, a2, a3] = address;
    const { index, generation } = handle;
    Engine.check(this.calls.tcpBind(index, generation, a0, a1, a2, a3, port), 'bind');
  }

  /** Active OPEN: the SYN is on its way; EVENT_CONNECTED or EVENT_ERROR follows. */
  connect(handle: Handle, address: AddressWords, port: number): void {
    const [a0, a1, a2, a3] = address;
    const { index, generation } = handle;
    Engine.check(this.calls.tcpConnect(index, generation, a0, a1, a2, a3, port), 'connect');
  }

  /**
   * Copies bytes into the send stream, as many as there is room for.
   * @returns bytes queued (0: EVENT_WRITABLE follows), or a negative Errno
   */
  write(handle: Handle, from: Uint8Array, start: number, end: number, flags = 0): number {
    const { calls, result, bytes } = this;
    const { index, generation } = handle;
    let at = start;
    while (at < end) {
      const room = calls.tcpSendReserve(index, generation, end - at);
      if (room <= 0) return at > start || room === 0 ? at - start : room;
      const length = Math.min(room, end - at);
      const whole = at === 0 && length === from.length;
      bytes.set(whole ? from : from.subarray(at, at + length), result[0] as number);
      const queued = calls.tcpSendCommit(index, generation, length, flags);
      if (queued < 0) return at > start ? at - start : queued;
      at += queued;
    }
    return at - start;
  }

  /**
   * Copies readable bytes out and consumes them.
   * @returns bytes read; 0: the peer's FIN; negative Errno, -EAGAIN when there is nothing yet
   */
  read(handle: Handle, into: Uint8Array, start: number, end: number): number {
    const { calls, result, bytes } = this;
    const { index, generation } = handle;
    let at = start;
    while (at < end) {
      // Behind bytes that were read the engine is asked for more bytes only: an error that follows
      // them is told once, and must be for the next call.
      const ready = calls.tcpRecvPeek(index, generation, at - start);
      if (ready <= 0 && at === start) return ready;
      if (ready <= 0) break;
      const from = result[0] as number;
      const length = Math.min(ready, end - at);
      into.set(bytes.subarray(from, from + length), at);
      at += length;
    }
    if (at > start) calls.tcpRecvConsume(index, generation, at - start);
    return at - start;
  }

  /** Consumes everything readable without copying. @returns bytes dropped, or a negative Errno */
  discard(handle: Handle): number {
    const { index, generation } = handle;
    let total = 0;
    for (;;) {
      const ready = this.calls.tcpRecvPeek(index, generation, total);
      if (ready <= 0 && total === 0) return ready;
      if (ready <= 0) return this.calls.tcpRecvConsume(index, generation, total);
      total += ready;
    }
  }

  /** @param how SHUT_RD, SHUT_WR or SHUT_RDWR */
  shutdown(handle: Handle, how: number): void {
    Engine.check(this.calls.tcpShutdown(handle.index, handle.generation, how), 'shutdown');
  }

  /** CLOSE (RFC 9293 §3.9.1.4): the handle is gone, the connection ends by itself. */
  close(handle: Handle): void {
    Engine.check(this.calls.tcpClose(handle.index, handle.generation), 'close');
  }

  /** ABORT (RFC 9293 §3.9.1.5): RST. */
  abort(handle: Handle): void {
    Engine.check(this.calls.tcpAbort(handle.index, handle.generation), 'abort');
  }

  setOption(handle: Handle, option: Option, value: number): void {
    const { index, generation } = handle;
    Engine.check(this.calls.tcpSetOption(index, generation, option, value), 'setsockopt');
  }

  getOption(handle: Handle, option: Option): number {
    const { index, generation } = handle;
    return Engine.check(this.calls.tcpGetOption(index, generation, option), 'getsockopt');
  }

  name(handle: Handle, end: 'local' | 'remote'): EndpointRecord {
    const { index, generation } = handle;
    const result = this.calls.tcpName(index, generation, end === 'remote' ? 1 : 0);
    Engine.check(result, end === 'remote' ? 'getpeername' : 'getsockname');
    return readEndpoint(this.result, 0);
  }

  info(handle: Handle): TcpInfoRecord {
    Engine.check(this.calls.tcpInfo(handle.index, handle.generation), 'tcp_info');
    return readTcpInfo(this.result.subarray(0, TcpInfo.WORDS));
  }

  // ---- What an operator wants to know --------------------------------------------------------

  /** One record for each connection, half-open one, TIME-WAIT and listener. */
  *sockets(): Generator<SocketRecord> {
    for (let cursor = 0; ; ) {
      cursor = this.calls.tcpNext(cursor) >>> 0;
      if (cursor === 0) return;
      yield readSocket(this.result);
    }
  }

  counter(name: CounterName): number {
    const at = (COUNTERS_AT >>> 2) + Counter[name] * 2;
    return (this.words[at] as number) + (this.words[at + 1] as number) * 2 ** 32;
  }

  counters(): Record<CounterName, number> {
    const values: Partial<Record<CounterName, number>> = {};
    for (const name of COUNTER_NAMES) values[name] = this.counter(name);
    return values as Record<CounterName, number>;
  }

  pool(name: PoolName): PoolRecord {
    const used = this.calls.poolUse(POOL_NAMES.indexOf(name)) >>> 0;
    // Held bytes have no pool of their own: they are part of the arena's.
    if (name === 'held') return { used, capacity: used, highWater: used, refused: 0 };
    const [capacity, highWater, refused] = this.result as unknown as [number, number, number];
    return { used, capacity, highWater, refused };
  }

  pools(): Record<PoolName, PoolRecord> {
    const pools: Partial<Record<PoolName, PoolRecord>> = {};
    for (const name of POOL_NAMES) pools[name] = this.pool(name);
    return pools as Record<PoolName, PoolRecord>;
  }

  hashLongest(): number {
    return this.calls.hashLongest();
  }

  /**
   * Sends an echo request; the answer is a trace record (EchoReply or EchoError).
   * @param size payload bytes
   * @param ttl TTL or hop limit; 0: ip_default_ttl
   */
  echo(address: AddressWords, id: number, sequence: number, size: number, ttl = 0): void {
    const [a0, a1, a2, a3] = address;
    Engine.check(this.calls.icmpEcho(a0, a1, a2, a3, id, sequence, size, ttl), 'icmpEcho');
  }

  // ---- Snapshots -----------------------------------------------------------------------------

  /** A copy of everything that the engine is. */
  snapshot(): Uint8Array {
    return this.bytes.slice();
  }

  /** @throws RangeError when the snapshot is of an engine of another size */
  restore(snapshot: Uint8Array): void {
    if (snapshot.length !== this.bytes.length) {
      throw new RangeError(`a snapshot of ${snapshot.length} bytes, not ${this.bytes.length}`);
    }
    this.bytes.set(snapshot);
  }
}
