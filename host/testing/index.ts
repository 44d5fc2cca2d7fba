/**
 * `ackorn/testing`: two stacks on a wire inside the process, with faults, in virtual or real time. No
 * privileges, any system that runs Node. `await using` frees them and fails on what was left open:
 * connections, listeners, records and memory that did not come back.
 */

import '../node/dispose.js';
import type { EngineConfig } from '../core/config.js';
import { formatAddress } from '../core/address.js';
import { POOL_NAMES, type PoolName } from '../core/records.js';
import { engineModule } from '../node/engine.js';
import { Stack } from '../node/stack.js';
import {
  corrupt, delay, duplicate, jitter, loss, rate, reorder, Simulation, type ElementFactory, type Link,
  type SimHost,
} from '../sim/index.js';
import { Pacer, SimDriver } from './driver.js';

export * from '../sim/elements/index.js';

/** What the wire does to packets, each way. Shares are from 0 to 1, times in ms. */
export interface Faults {
  loss?: number;
  /** One way. */
  delayMs?: number;
  /** Up to this much more, drawn for each packet; the order is kept. */
  jitterMs?: number;
  /** Share of packets that are held back for reorderMs (one delay, or 1 ms). */
  reorder?: number;
  reorderMs?: number;
  duplicate?: number;
  /** Share of packets with one bit flipped. */
  corrupt?: number;
  /** bit/s, with a queue of 1,000 packets. */
  rate?: number;
}

export interface PairOptions {
  faults?: Faults;
  /** Elements of one's own, behind the faults. */
  elements?: readonly ElementFactory[];
  /** True by default: nothing waits, an hour takes as long as its packets. */
  virtualTime?: boolean;
  seed?: number;
  mtu?: number;
  /** Of both engines, or of each. */
  config?: EngineConfig | readonly [EngineConfig, EngineConfig];
  module?: WebAssembly.Module;
}

function elementsOf(faults: Faults): ElementFactory[] {
  const us = (ms: number): number => Math.round(ms * 1000);
  const list: ElementFactory[] = [];
  if (faults.corrupt !== undefined) list.push(corrupt(faults.corrupt));
  if (faults.loss !== undefined) list.push(loss(faults.loss));
  if (faults.duplicate !== undefined) list.push(duplicate(faults.duplicate));
  if (faults.rate !== undefined) list.push(rate(faults.rate));
  if (faults.delayMs !== undefined) list.push(delay(us(faults.delayMs)));
  if (faults.jitterMs !== undefined) list.push(jitter(us(faults.jitterMs)));
  if (faults.reorder !== undefined) {
    list.push(reorder(faults.reorder, us(faults.reorderMs ?? faults.delayMs ?? 1)));
  }
  return list;
}

type Baseline = Record<PoolName, number>;

function usage(host: SimHost): Baseline {
  const now: Partial<Baseline> = {};
  for (const name of POOL_NAMES) now[name] = host.engine.pool(name).used;
  return now as Baseline;
}

/** Longest that the end of everything may take: retransmissions of FINs, TIME-WAIT, time-outs. */
const SETTLE_US = 3600e6;

/** Two stacks, and what the test can do to their world. */
export class Pair {
  readonly client: Stack;
  readonly server: Stack;
  readonly simulation: Simulation;
  readonly link: Link;
  readonly #hosts: readonly [SimHost, SimHost];
  readonly #baseline: readonly [Baseline, Baseline];
  readonly #pacer: Pacer;
  #error: Error | undefined;
  #disposed = false;

  constructor(module: WebAssembly.Module, options: PairOptions) {
    const { faults = {}, elements = [], seed = 1, mtu = 1500, config = {} } = options;
    this.simulation = new Simulation({ module, seed });
    const configs = Array.isArray(config) ? config : [config, config];
    this.#hosts = [
      this.simulation.host('client', { config: configs[0] as EngineConfig }),
      this.simulation.host('server', { config: configs[1] as EngineConfig }),
    ];
    this.link = this.simulation.link(this.#hosts[0], this.#hosts[1], {
      mtu, elements: [...elementsOf(faults), ...elements],
    });
    this.#pacer = new Pacer(this.simulation, options.virtualTime ?? true, (error) => {
      this.#error ??= error;
      process.nextTick(() => { throw error; });
    });
    this.client = new Stack(new SimDriver(this.#hosts[0], this.#pacer));
    this.server = new Stack(new SimDriver(this.#hosts[1], this.#pacer));
    this.#baseline = [usage(this.#hosts[0]), usage(this.#hosts[1])];
  }

  #address(end: 0 | 1, family: 'IPv4' | 'IPv6'): string {
    const place = family === 'IPv4' ? 0 : 1;
    return formatAddress(this.link.addresses[end][place] as readonly [
      number, number, number, number,
    ]);
  }

  get clientAddress(): string {
    return this.#address(0, 'IPv4');
  }

  get serverAddress(): string {
    return this.#address(1, 'IPv4');
  }

  get clientAddress6(): string {
    return this.#address(0, 'IPv6');
  }

  get serverAddress6(): string {
    return this.#address(1, 'IPv6');
  }

  /** The pair's clock, ms; virtual or real. */
  get nowMs(): number {
    return this.#pacer.clock.nowUs() / 1000;
  }

  /** Resolves when the pair's clock is `ms` further. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#pacer.clock.after(ms, resolve));
  }

  /**
   * Frees both stacks.
   * @throws Error when sockets or servers were left open, or records or memory did not come back
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    // What the test closed last tells so at the next tick: it is not left open.
    await new Promise((resolve) => setImmediate(resolve));
    const left = [
      ...this.#left('client', this.client), ...this.#left('server', this.server),
    ];
    await this.client.closeSockets();
    await this.server.closeSockets();
    this.#pacer.close();
    if (this.#error !== undefined) throw this.#error;
    this.#settle(left);
    if (left.length > 0) throw new Error(`left behind: ${left.join('; ')}`);
  }

  #left(name: string, stack: Stack): string[] {
    const { servers, sockets } = stack.handles;
    const found: string[] = [];
    for (const server of servers) {
      found.push(`${name}: server on port ${server.port}`);
      for (const socket of server.sockets) found.push(`${name}: ${this.#describe(socket)}`);
    }
    for (const socket of sockets) found.push(`${name}: ${this.#describe(socket)}`);
    return found;
  }

  #describe(socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string {
    return `connection with ${socket.remoteAddress}:${socket.remotePort}`;
  }

  /** What the wire still holds and TIME-WAIT is let pass in virtual time, also after a real one. */
  #settle(left: string[]): void {
    for (const host of this.#hosts) host.wake();
    this.simulation.runToIdle(SETTLE_US);
    for (const side of [0, 1] as const) {
      const host = this.#hosts[side];
      const now = usage(host);
      for (const name of POOL_NAMES) {
        const before = this.#baseline[side][name];
        if (now[name] !== before) left.push(`${host.name}: ${name} ${now[name]}, not ${before}`);
      }
    }
    if (this.simulation.pool.live > 0) left.push(`${this.simulation.pool.live} frames`);
  }
}

/** Makes two stacks on a wire. Use with `await using`. */
export async function createPair(options: PairOptions = {}): Promise<Pair> {
  return new Pair(options.module ?? await engineModule(), options);
}
