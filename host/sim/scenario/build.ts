/**
 * From a setup to a network in virtual time: hosts with memory for their windows, routers with
 * their routes, links with their elements in the order in which a packet meets them. Called by
 * run.ts alone; holds no time and starts nothing.
 */
import { Congestion } from '../../../assembly/abi.js';
import type { AddressWords, Cidr } from '../../core/address.js';
import type { EngineConfig } from '../../core/config.js';
import type { ModuleSource } from '../../core/engine.js';
import type { Element, ElementFactory } from '../element.js';
import {
  corrupt, delay, duplicate, jitter, loss, lossPattern, mtu, outage, rate, reorder, spike,
  stripOptions, tailDrop,
} from '../elements/index.js';
import { Rate } from '../elements/rate.js';
import { tcpPayloadLength } from '../packet.js';
import { Router, RouterInterface } from '../router.js';
import type { SimHost } from '../sim-host.js';
import { Simulation, type Link } from '../simulation.js';
import type { CcName, DirectionSpec, LinkSpec, Setup } from './types.js';

export const USUAL_MTU = 1500;
/** The clock of a run begins here: a connection made at time 0 has no time before it. */
export const START_US = 1_000_000;

export interface Wire {
  readonly spec: LinkSpec;
  readonly link: Link;
  readonly forward: readonly Element[];
  readonly backward: readonly Element[];
}

export interface Network {
  readonly simulation: Simulation;
  readonly hosts: ReadonlyMap<string, SimHost>;
  readonly addresses: ReadonlyMap<string, AddressWords>;
  readonly wires: readonly Wire[];
  /** The link of the least rate and its queue towards the second node; undefined without rates. */
  readonly bottleneck: { readonly spec: LinkSpec; readonly queue: Rate } | undefined;
}

const micros = (seconds: number): number => Math.round(seconds * 1e6);
const moment = (seconds: number): number => START_US + micros(seconds);

/** Bytes of a link's bandwidth-delay product; 0 for a link without a rate. */
export function bdpBytes(spec: LinkSpec): number {
  const rttMs = spec.queueRttMs ?? 2 * spec.delayMs;
  return Math.round(((spec.rateMbps ?? 0) * 1e6 * rttMs) / 8e3);
}

/** The link of the least rate. */
export function slowestLink(setup: Setup): LinkSpec | undefined {
  const rated = setup.links.filter(({ rateMbps }) => rateMbps !== undefined);
  return rated.sort((left, right) => (left.rateMbps ?? 0) - (right.rateMbps ?? 0))[0];
}

/** What a direction does before the queue, and what on the wire behind it. */
function edges(spec: DirectionSpec): [before: ElementFactory[], behind: ElementFactory[]] {
  const before: ElementFactory[] = [];
  const behind: ElementFactory[] = [];
  if (spec.stripOptions !== undefined) before.push(stripOptions(...spec.stripOptions));
  if (spec.narrowMtu !== undefined) {
    before.push(mtu(spec.narrowMtu.bytes, { icmp: spec.narrowMtu.silent !== true }));
  }
  if (spec.outages !== undefined) {
    before.push(outage(...spec.outages.map(({ from, until }) => ({
      fromUs: moment(from), ...(until === undefined ? {} : { untilUs: moment(until) }),
    }))));
  }
  if (spec.loseData !== undefined) {
    const only = (frame: Uint8Array): boolean => tcpPayloadLength(frame, frame.length) > 0;
    before.push(lossPattern({ only, at: spec.loseData }));
  }
  if (spec.loss !== undefined) behind.push(loss(spec.loss));
  if (spec.corrupt !== undefined) behind.push(corrupt(spec.corrupt));
  if (spec.duplicate !== undefined) behind.push(duplicate(spec.duplicate));
  return [before, behind];
}

/** The elements of one direction. @param sendJitterUs of the host that sends into it */
function direction(
  link: LinkSpec, spec: DirectionSpec, queueBdp: number, sendJitterUs: number,
): ElementFactory[] {
  const [before, behind] = edges(spec);
  const elements = sendJitterUs > 0 ? [jitter(sendJitterUs), ...before] : before;
  if (link.rateMbps !== undefined) {
    // Two packets at least: one is always in the way of the next.
    const least = 2 * (link.mtu ?? USUAL_MTU);
    const bytes = Math.max(least, Math.round(bdpBytes(link) * queueBdp));
    elements.push(rate(link.rateMbps * 1e6, tailDrop({ bytes })));
  }
  elements.push(...behind);
  if (link.delayMs > 0) elements.push(delay(Math.round(link.delayMs * 1000)));
  if (spec.spikes !== undefined) {
    elements.push(spike(...spec.spikes.map(({ from, until, ms }) => ({
      fromUs: moment(from), untilUs: moment(until), us: Math.round(ms * 1000),
    }))));
  }
  if (spec.jitterMs !== undefined) elements.push(jitter(Math.round(spec.jitterMs * 1000)));
  if (spec.reorder !== undefined) {
    const { share, ms, leastMs = ms } = spec.reorder;
    elements.push(reorder(share, Math.round(ms * 1000), Math.round(leastMs * 1000)));
  }
  return elements;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Linux's maxima of tcp_rmem and tcp_wmem: what hosts have that nobody tuned. */
const RMEM_MAX = 6 * MIB;
const WMEM_MAX = 4 * MIB;
const ARENA_MOST = 2048 * MIB;
const ARENA_GRAIN = 4096;

/** Memory for the windows of a path, and records for what is in flight there. */
function hostConfig(setup: Setup, name: string, cc: CcName): EngineConfig {
  const bdp = Math.max(...setup.links.map(bdpBytes), 0);
  const own = setup.buffersBdp;
  const buffer = own === undefined ? undefined : Math.max(4 * KIB, Math.round(own * bdp));
  const rmem = buffer ?? Math.max(RMEM_MAX, 4 * bdp);
  const wmem = buffer ?? Math.max(WMEM_MAX, 4 * bdp);
  const given = { ...setup.sysctls, ...setup.hostSysctls?.[name] };
  // Pressure begins at half of the arena: windows are limited by what a scenario says, not by it.
  const need = 4 * Math.max(given.tcp_rmem_max ?? rmem, given.tcp_wmem_max ?? wmem, 2 * MIB);
  const arenaBytes = Math.min(ARENA_MOST, Math.ceil(need / ARENA_GRAIN) * ARENA_GRAIN);
  const mtus = setup.links.map((link) => link.mtu ?? USUAL_MTU);
  return {
    profile: 'test',
    tcp_congestion_control: Congestion[cc],
    tcp_rmem_default: Math.min(128 * KIB, rmem),
    tcp_rmem_max: rmem,
    tcp_wmem_default: Math.min(16 * KIB, wmem),
    tcp_wmem_max: wmem,
    arenaBytes,
    // Four BDP in single segments, all of them holes.
    segmentsMax: Math.max(8192, Math.ceil((8 * bdp) / USUAL_MTU)),
    rxSlotBytes: Math.max(2 * KIB, Math.ceil((Math.max(...mtus) + 64) / KIB) * KIB),
    ...given,
  };
}

/** Every router learns the way to every host: breadth first from the host. */
function route(nodes: ReadonlyMap<string, SimHost | Router>, wires: readonly Wire[]): void {
  const cidrOf = (words: AddressWords): Cidr => ({ words, family: 4, prefixLength: 32 });
  for (const [name, node] of nodes) {
    if (node instanceof Router) continue;
    const own = wires.flatMap(({ spec, link }) => spec.between.flatMap((end, side) =>
      end === name ? [link.addresses[side as 0 | 1][0] as AddressWords] : []));
    const seen = new Set([name]);
    const queue = [name];
    for (let at = 0; at < queue.length; at++) {
      const here = queue[at] as string;
      for (const { spec, link } of wires) {
        const side = spec.between.indexOf(here);
        const there = spec.between[1 - side];
        if (side < 0 || there === undefined || seen.has(there)) continue;
        seen.add(there);
        const end = link.ends[1 - side];
        if (!(end instanceof RouterInterface)) continue;
        for (const words of own) end.router.route(cidrOf(words), end);
        queue.push(there);
      }
    }
  }
}

export interface BuildOptions {
  module: ModuleSource;
  seed: number;
  cc: CcName;
  /** Of every queue, instead of what the links say. */
  queueBdp?: number | undefined;
}

/** @throws RangeError for values that elements refuse; EngineSetupError for sysctls */
export function build(setup: Setup, options: BuildOptions): Network {
  const { module, seed, cc } = options;
  const simulation = new Simulation({ module, seed, startUs: START_US });
  const hosts = new Map(setup.hosts.map((name) =>
    [name, simulation.host(name, { config: hostConfig(setup, name, cc) })] as const));
  const nodes = new Map<string, SimHost | Router>(hosts);
  for (const name of setup.routers ?? []) nodes.set(name, simulation.router(name));
  const slowest = slowestLink(setup);
  const packetUs = slowest === undefined ? 0
    : Math.round(((slowest.mtu ?? USUAL_MTU) * 8) / (slowest.rateMbps ?? 1));
  const senders = new Set((setup.flows ?? []).map(({ from }) => from));
  const wires = setup.links.map((spec): Wire => {
    const [first, second] = spec.between;
    const queue = options.queueBdp ?? spec.queueBdp ?? 1;
    const jitterOf = (name: string): number => (senders.has(name) ? packetUs : 0);
    const link = simulation.link(
      nodes.get(first) as SimHost, nodes.get(second) as SimHost, {
        mtu: spec.mtu ?? USUAL_MTU,
        forward: direction(spec, spec.forward ?? {}, queue, jitterOf(first)),
        backward: direction(spec, spec.backward ?? {}, queue, jitterOf(second)),
      });
    return { spec, link, forward: link.forward, backward: link.backward };
  });
  route(nodes, wires);
  const addresses = new Map<string, AddressWords>();
  for (const { spec, link } of wires) {
    spec.between.forEach((name, side) => {
      const words = link.addresses[side as 0 | 1][0] as AddressWords;
      if (hosts.has(name) && !addresses.has(name)) addresses.set(name, words);
    });
  }
  const narrow = wires.find(({ spec }) => spec === slowest);
  const queue = narrow?.forward.find((element) => element instanceof Rate);
  const bottleneck = narrow === undefined || queue === undefined ? undefined
    : { spec: narrow.spec, queue: queue as Rate };
  return { simulation, hosts, addresses, wires, bottleneck };
}
