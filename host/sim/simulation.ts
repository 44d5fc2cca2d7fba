/**
 * A simulated network: engines, routers and links under one virtual clock and one seed. A run is a
 * function of its seed: everything random comes from it, and equal times fire in a fixed order.
 * Time is integer µs. Used by tests, benchmarks, `ackorn sim` and ackorn/testing; portable.
 */

import { LINK_CSUM, LINK_TSO4, LINK_TSO6, LINK_UP, LINK_VNET_HDR } from '../../assembly/abi.js';
import { parseAddress, requireCidr, type AddressWords } from '../core/address.js';
import type { EngineConfig } from '../core/config.js';
import { Engine, type CallFilter, type ModuleSource } from '../core/engine.js';
import type { Element, ElementFactory } from './element.js';
import { FramePool } from './frame.js';
import { makePath } from './path.js';
import { Port } from './port.js';
import { Random } from './random.js';
import { Router, type RouterInterface } from './router.js';
import { Actor, Schedule } from './schedule.js';
import { SimHost } from './sim-host.js';

export interface SimulationOptions {
  /** The compiled engine; compile it once for many simulations. */
  module: ModuleSource;
  seed?: number;
  /** First instant, µs; one second by default. */
  startUs?: number;
}

export interface HostOptions {
  /** The `test` profile by default, its seed drawn from the simulation's. */
  config?: EngineConfig;
  /** Stands between the engine and its calls: a Recorder's. */
  filter?: CallFilter;
}

export interface LinkOptions {
  /** Largest IP packet, bytes; 1,500 by default. */
  mtu?: number;
  /** Elements of both directions, each with a state of its own. */
  elements?: readonly ElementFactory[];
  /** Elements of one direction; instead of `elements`. */
  forward?: readonly ElementFactory[];
  backward?: readonly ElementFactory[];
  /** Super-segments and unfinished checksums cross as they are; only without elements. */
  offload?: boolean;
  /**
   * Frames cross without their payload, and their checksums are taken for right: the receiver gets
   * bytes without meaning, for half of the time. For measuring, with elements that look at headers
   * only (not corrupt, mtu and stripOptions).
   */
  hollow?: boolean;
  /** CIDRs of the first and the second end; 10.N.0.1/24, fd00:N::1/64 and …2 by default. */
  addresses?: readonly [readonly string[], readonly string[]];
  /** Latency of a link without elements, µs; 1 by default. */
  latencyUs?: number;
  /** Descriptors of the first end are kept this long before their bytes are read. */
  txHoldUs?: number;
}

export interface Link {
  readonly ends: readonly [Port | RouterInterface, Port | RouterInterface];
  /** Addresses of both ends, the first of each family first. */
  readonly addresses: readonly [readonly AddressWords[], readonly AddressWords[]];
  readonly forward: readonly Element[];
  readonly backward: readonly Element[];
}

class Once extends Actor {
  constructor(readonly callback: (nowUs: number) => void) {
    super();
  }

  fire(nowUs: number): void {
    this.callback(nowUs);
  }
}

const OFFLOAD = LINK_VNET_HDR | LINK_TSO4 | LINK_TSO6 | LINK_CSUM;

export class Simulation {
  readonly schedule = new Schedule();
  readonly pool = new FramePool();
  readonly random: Random;
  readonly hosts: SimHost[] = [];
  readonly links: Link[] = [];
  nowUs: number;
  /** Actors that have fired: the length of the run. */
  steps = 0;
  readonly #module: WebAssembly.Module;

  constructor(options: SimulationOptions) {
    const { module } = options;
    this.#module = module instanceof WebAssembly.Module ? module : new WebAssembly.Module(module);
    this.random = new Random(options.seed ?? 1);
    this.nowUs = options.startUs ?? 1_000_000;
  }

  host(name: string, options: HostOptions = {}): SimHost {
    // Drawn even when the user gives a seed: the others' draws must not depend on that.
    const drawn = this.random.u32();
    const config: EngineConfig = { profile: 'test', seed: drawn, ...options.config };
    const engine = Engine.load(this.#module, config, options.filter);
    const host = new SimHost(name, engine, this.schedule, this);
    this.hosts.push(host);
    return host;
  }

  router(name: string): Router {
    const four = parseAddress('192.0.2.254') as AddressWords;
    const six = parseAddress('2001:db8::fe') as AddressWords;
    return new Router(name, this.pool, four, six);
  }

  /**
   * A link between two hosts or routers.
   * @throws RangeError for offload with elements: a lost super-segment is not a lost packet
   */
  link(first: SimHost | Router, second: SimHost | Router, options: LinkOptions = {}): Link {
    const forward = options.forward ?? options.elements ?? [];
    const backward = options.backward ?? options.elements ?? [];
    const direct = forward.length === 0 && backward.length === 0 &&
      first instanceof SimHost && second instanceof SimHost;
    if (options.offload === true && !direct) {
      throw new RangeError('offload: only between two hosts, without elements');
    }
    const one = this.#end(first, options, options.txHoldUs ?? 0);
    const two = this.#end(second, options, 0);
    const addresses = this.#address([one, two], options);
    let link: Link = { ends: [one, two], addresses, forward: [], backward: [] };
    if (one instanceof Port && two instanceof Port && direct) {
      one.connectDirect(two, options.latencyUs ?? 1);
      two.connectDirect(one, options.latencyUs ?? 1);
    } else {
      const { schedule, pool } = this;
      const random = this.random.fork();
      const there = makePath(forward, { schedule, pool, random, back: one }, two);
      const here = makePath(backward, { schedule, pool, random, back: two }, one);
      one.connectPath(there.first);
      two.connectPath(here.first);
      link = { ...link, forward: there.elements, backward: here.elements };
    }
    this.links.push(link);
    return link;
  }

  #end(node: SimHost | Router, options: LinkOptions, txHoldUs: number): Port | RouterInterface {
    if (node instanceof Router) return node.interface();
    const { hollow = false, mtu = 1500 } = options;
    const flags = LINK_UP | (options.offload === true ? OFFLOAD : 0) |
      (hollow ? LINK_VNET_HDR | LINK_CSUM : 0);
    return new Port(node, this.pool, { mtu, flags, txHoldUs, hollow });
  }

  #address(
    ends: readonly [Port | RouterInterface, Port | RouterInterface], options: LinkOptions,
  ): [AddressWords[], AddressWords[]] {
    const net = this.links.length + 1;
    const usual = (host: number): string[] => [
      `10.${net >> 8}.${net & 255}.${host}/24`, `fd00:${net.toString(16)}::${host}/64`,
    ];
    const texts = options.addresses ?? [usual(1), usual(2)];
    return [0, 1].map((side) => {
      const cidrs = (texts[side] as readonly string[]).map(requireCidr);
      const end = ends[side] as Port | RouterInterface;
      const other = ends[1 - side] as Port | RouterInterface;
      for (const cidr of cidrs) {
        if (end instanceof Port) end.host.engine.addressAdd(end.linkId, cidr);
        if (!(other instanceof Port)) other.router.route(cidr, other);
      }
      return cidrs.map(({ words }) => words);
    }) as [AddressWords[], AddressWords[]];
  }

  /** Calls back at a time. @returns what cancel() takes */
  at(timeUs: number, callback: (nowUs: number) => void): Actor {
    const once = new Once(callback);
    this.schedule.set(once, Math.max(timeUs, this.nowUs));
    return once;
  }

  after(us: number, callback: (nowUs: number) => void): Actor {
    return this.at(this.nowUs + us, callback);
  }

  cancel(actor: Actor): void {
    this.schedule.cancel(actor);
  }

  /** Lets the next actor act. @returns false when nothing is to come */
  step(): boolean {
    const dueUs = this.schedule.nextUs;
    const actor = this.schedule.take();
    if (actor === undefined) return false;
    this.nowUs = Math.max(this.nowUs, dueUs);
    this.steps++;
    actor.fire(this.nowUs);
    return true;
  }

  /** Lets everything up to a time happen; the clock then stands at that time. */
  runUntil(timeUs: number): void {
    while (this.schedule.nextUs <= timeUs) this.step();
    this.nowUs = Math.max(this.nowUs, timeUs);
  }

  runFor(us: number): void {
    this.runUntil(this.nowUs + us);
  }

  /**
   * Runs while the condition holds and something is to come.
   * @param limitUs virtual time that this may take
   * @returns true when the condition ended it; false when time or actors ran out
   */
  runWhile(condition: () => boolean, limitUs: number): boolean {
    const endUs = this.nowUs + limitUs;
    while (condition()) {
      if (this.schedule.nextUs > endUs || !this.step()) return !condition();
    }
    return true;
  }

  /** Runs until nothing is to come, or the limit. @returns true when nothing is to come */
  runToIdle(limitUs: number): boolean {
    this.runWhile(() => this.schedule.size > 0, limitUs);
    return this.schedule.size === 0;
  }
}
