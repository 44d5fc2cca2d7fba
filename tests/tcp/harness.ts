/**
 * One engine (the shipped build/engine.wasm), virtual time, and scripted peers that speak raw
 * packets. `both` runs a script over IPv4 and over IPv6. At its end every segment must have been
 * expected, and, when all handles are closed and time has passed, every pool be empty again.
 * Called by the tests of this folder.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  Congestion, EVENT_ERROR, LINK_UP, type HandleKind, type Option, State,
} from '../../assembly/abi.js';
import { ADDRESS_ANY, requireAddress, requireCidr } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { Engine, type CounterName, type Handle } from '../../host/core/engine.js';
import { errnoName } from '../../host/core/errors.js';
import type { SocketRecord, StateName, TcpInfoRecord } from '../../host/core/records.js';
import { LinkRing } from '../../host/core/ring.js';
import { at } from '../../tools/repository.js';
import { Peer, type PeerSetup, type Wanted } from './peer.js';
import { octet, pattern, seen, type Seen, text } from './segment.js';

const module = new WebAssembly.Module(readFileSync(at('build', 'engine.wasm')));
const START_US = 1_000_000_000;
const FOREVER = 0xffffffff;
/** Polls at one instant before the harness takes the engine for one that never comes to rest. */
const POLLS_MAX = 1000;

export interface BenchOptions {
  family?: 4 | 6;
  config?: EngineConfig;
  /** 1,500 by default. */
  mtu?: number;
}

/** How a test's connection begins: the peer's SYN options and the engine's own settings. */
export interface Beginning extends PeerSetup {
  backlog?: number;
  /** Options of the listener, or of the socket before it connects. */
  options?: readonly (readonly [Option, number])[];
}

/** A handle of the engine's with what the harness remembers of it. */
export class Socket {
  events = 0;
  open = true;
  /** Bytes written and read so far: where the pattern goes on. */
  written = 0;
  consumed = 0;

  constructor(readonly bench: Bench, readonly handle: Handle) {}

  #done<T>(result: T): T {
    this.bench.acted();
    return result;
  }

  /** Writes `length` bytes of the pattern. @returns bytes queued, or a negative Errno */
  write(length: number, flags = 0): number {
    const bytes = pattern(this.written, length);
    const queued = this.bench.engine.write(this.handle, bytes, 0, length, flags);
    if (queued > 0) this.written += queued;
    return this.#done(queued);
  }

  /** Writes exactly that. */
  writeAll(length: number, flags = 0): void {
    assert.equal(this.write(length, flags), length, 'bytes queued');
  }

  /** Reads at most `most` bytes and checks them. @returns bytes, 0: FIN, or an Errno's name */
  read(most = 1 << 24): number | string {
    const into = new Uint8Array(Math.min(most, 1 << 20));
    const got = this.bench.engine.read(this.handle, into, 0, into.length);
    for (let i = 0; i < got; i++) {
      if (into[i] !== octet(this.consumed + i)) assert.fail(`octet ${this.consumed + i} read`);
    }
    if (got > 0) this.consumed += got;
    return this.#done(got < 0 ? errnoName(-got) : got);
  }

  shutdown(how: number): void {
    this.bench.engine.shutdown(this.handle, how);
    this.#done(undefined);
  }

  close(): void {
    this.open = false;
    this.bench.engine.close(this.handle);
    this.#done(undefined);
  }

  abort(): void {
    this.open = false;
    this.bench.engine.abort(this.handle);
    this.#done(undefined);
  }

  set(option: Option, value: number): void {
    this.bench.engine.setOption(this.handle, option, value);
    this.#done(undefined);
  }

  get(option: Option): number {
    return this.bench.engine.getOption(this.handle, option);
  }

  get info(): TcpInfoRecord {
    return this.bench.engine.info(this.handle);
  }

  get state(): StateName {
    return this.info.state;
  }

  /** The pending error's name; OK when there is none. It is taken by asking. */
  error(soError: Option): string {
    return errnoName(this.get(soError));
  }

  /** Events since the last question. */
  takeEvents(): number {
    this.bench.collect();
    const { events } = this;
    this.events = 0;
    return events;
  }
}

export class Bench {
  readonly engine: Engine;
  readonly family: 4 | 6;
  readonly address: string;
  readonly peers: Peer[] = [];
  readonly sockets: Socket[] = [];
  readonly listeners: Handle[] = [];
  /** Packets to nobody and ICMP, for tests that look at them. */
  readonly strays: Seen[] = [];
  readonly icmp: Uint8Array[] = [];
  nowUs = START_US;
  /** When the last thing of the script happened. */
  markUs = START_US;
  #wakeUs = Number.POSITIVE_INFINITY;
  readonly #ring: LinkRing;
  readonly linkId: number;
  #ports = 40000;

  constructor(options: BenchOptions = {}) {
    this.family = options.family ?? 4;
    // Reno unless a test says otherwise: its windows are the ones that scripts can count.
    const config = { tcp_congestion_control: Congestion.reno, ...options.config };
    this.engine = Engine.load(module, { profile: 'test', seed: 7, ...config });
    this.linkId = this.engine.linkAdd(LINK_UP, options.mtu ?? 1500);
    this.#ring = new LinkRing(
      this.engine.bytes, this.engine.words, this.engine.linkRing(this.linkId),
    );
    this.engine.addressAdd(this.linkId, requireCidr('10.0.0.1/24'));
    this.engine.addressAdd(this.linkId, requireCidr('fd00::1/64'));
    this.address = this.family === 4 ? '10.0.0.1' : 'fd00::1';
    this.poll();
  }

  get peerAddress(): string {
    return this.family === 4 ? '10.0.0.2' : 'fd00::2';
  }

  sinceStartMs(): number {
    return (this.nowUs - START_US) / 1000;
  }

  // ---- Time

  /** Lets the engine work at this instant until it rests, and takes out what it sent. */
  poll(): void {
    for (let turn = 0; ; turn++) {
      assert.ok(turn < POLLS_MAX, 'the engine comes to rest');
      const wait = this.engine.poll(this.nowUs, 256);
      const drained = this.#drain();
      this.#wakeUs = wait === FOREVER ? Number.POSITIVE_INFINITY : this.nowUs + wait;
      if (wait !== 0 && !drained) break;
    }
    this.collect();
  }

  #drain(): boolean {
    const ring = this.#ring;
    const some = ring.txReady() > 0;
    while (ring.txReady() > 0) {
      const frame = new Uint8Array(ring.txLength());
      ring.txCopy(frame, 0);
      ring.txReturn(1);
      const s = seen(frame, this.nowUs);
      if (s === undefined) {
        this.icmp.push(frame);
        continue;
      }
      const peer = this.peers.find(({ address, port }) =>
        address === s.to && port === s.tcp.destinationPort);
      if (peer === undefined) this.strays.push(s);
      else peer.arrived(s);
    }
    return some;
  }

  collect(): void {
    this.engine.events((kind: HandleKind, index, generation, mask) => {
      const socket = this.sockets.find(({ handle }) =>
        handle.index === index && handle.generation === generation);
      if (kind === 1 && socket !== undefined) socket.events |= mask;
    });
  }

  /** Time passes until `untilUs`, or until `stop` says so; the clock then stands there. */
  runUntil(untilUs: number, stop: () => boolean = () => false): void {
    while (!stop()) {
      if (this.#wakeUs > untilUs) {
        if (untilUs > this.nowUs) this.nowUs = untilUs;
        return;
      }
      this.nowUs = Math.max(this.nowUs, this.#wakeUs);
      this.poll();
    }
  }

  /** `ms` pass; the next `after` counts from their end. */
  run(ms: number): void {
    this.runUntil(this.nowUs + ms * 1000);
    this.markUs = this.nowUs;
    this.poll();
  }

  /** The user did something. */
  acted(): void {
    this.markUs = this.nowUs;
    this.poll();
  }

  deliver(...frames: Uint8Array[]): void {
    this.markUs = this.nowUs;
    for (const frame of frames) {
      if (this.#ring.rxFree() === 0) this.poll();
      assert.ok(this.#ring.receive(frame, frame.length), 'a free receive entry');
    }
    this.poll();
  }

  // ---- Users and peers

  listen(port: number, backlog = 16, flags = 0, address = 'any'): Handle & { port: number } {
    const words = address === 'any' ? ADDRESS_ANY : requireAddress(address);
    const handle = this.engine.listen(words, port, backlog, flags);
    this.listeners.push(handle);
    return handle;
  }

  accept(listener: Handle): Socket | undefined {
    const handle = this.engine.accept(listener);
    return handle === undefined ? undefined : this.adopt(handle);
  }

  adopt(handle: Handle): Socket {
    const socket = new Socket(this, handle);
    this.sockets.push(socket);
    return socket;
  }

  socket(): Socket {
    return this.adopt(this.engine.open());
  }

  /** A peer of a port of its own. */
  peer(enginePort: number, setup: PeerSetup = {}, port = ++this.#ports): Peer {
    const peer = new Peer(this, this.peerAddress, port, enginePort, setup);
    this.peers.push(peer);
    return peer;
  }

  /** SYN out to a new peer; the SYN stands in the peer's queue. */
  connect(beginning: Beginning = {}, socket = this.socket()): { sock: Socket; peer: Peer } {
    for (const [option, value] of beginning.options ?? []) socket.set(option, value);
    const peer = this.peer(0, beginning);
    this.engine.connect(socket.handle, requireAddress(peer.address), peer.port);
    this.acted();
    return { sock: socket, peer };
  }

  /** An established connection that the peer opened. */
  passive(b: Beginning = {}, listener = this.listener(b)): { sock: Socket; peer: Peer } {
    const peer = this.peer(listener.port, b);
    peer.sends({ flags: 'S' });
    this.answer(peer, 'S.', b);
    peer.sends({ flags: '.' });
    const sock = this.accept(listener);
    assert.ok(sock !== undefined, 'a connection to accept');
    peer.quiet();
    return { sock, peer };
  }

  listener(b: Beginning = {}, port = 80): Handle & { port: number } {
    const listener = this.listen(port, b.backlog ?? 16);
    for (const [option, value] of b.options ?? []) {
      this.engine.listenerSetOption(listener, option, value);
    }
    return listener;
  }

  /** Takes the engine's SYN or SYN-ACK. */
  answer(peer: Peer, flags: string, b: Beginning, more: Partial<Wanted> = {}): Seen {
    const s = peer.expect({ flags, seq: 0, ...more });
    peer.ts = b.ts !== undefined;
    return s;
  }

  /** An established connection that the engine opened. */
  active(b: Beginning = {}): { sock: Socket; peer: Peer } {
    const { sock, peer } = this.connect(b);
    this.answer(peer, 'S', b);
    peer.sends({ flags: 'S.' });
    peer.expect({ flags: '.', seq: 1, ack: 1 });
    assert.equal(sock.state, 'ESTABLISHED');
    return { sock, peer };
  }

  // ---- What is so

  counter(name: CounterName): number {
    return this.engine.counter(name);
  }

  /** The record of a four-tuple, whatever it is. */
  record(peer: Peer): SocketRecord | undefined {
    for (const socket of this.engine.sockets()) {
      const { remote } = socket;
      if (socket.state === 'CLOSE') continue; // a handle that its user still holds
      if (remote.port === peer.port && remote.address === peer.address) return socket;
    }
    return undefined;
  }

  state(peer: Peer): StateName | 'none' {
    return this.record(peer)?.state ?? 'none';
  }

  /** Everything was expected; nothing is left when all is closed. */
  finish(): void {
    for (const peer of this.peers) peer.quiet();
    assert.deepEqual(this.strays.map((s) => text(s, 0, 0)), [], 'no packet to nobody');
    for (const socket of this.sockets) if (socket.open) socket.abort();
    for (const listener of this.listeners) this.closeListener(listener);
    this.run(400_000); // every orphan has given up by then
    for (const [name, { used }] of Object.entries(this.engine.pools())) {
      assert.equal(used, 0, `pool ${name} is empty`);
    }
  }

  closeListener(listener: Handle): void {
    const { index, generation } = listener;
    this.engine.calls.listenerClose(index, generation);
    this.acted();
  }
}

export type Script = (bench: Bench) => void;

/** One script, over one family. */
export function only(family: 4 | 6, name: string, script: Script, options?: BenchOptions): void {
  test(name, () => {
    const bench = new Bench({ ...options, family });
    script(bench);
    bench.finish();
  });
}

/** One script, over IPv4 and over IPv6. */
export function both(name: string, script: Script, options?: BenchOptions): void {
  only(4, name, script, options);
  only(6, `${name} · IPv6`, script, options);
}

/** Did the connection end with an error event? */
export function failed(events: number): boolean {
  return (events & EVENT_ERROR) !== 0;
}

export { State };
