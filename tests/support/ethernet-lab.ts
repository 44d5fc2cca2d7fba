/**
 * One engine with Ethernet links on a bench: a test puts frames in, reads what comes out as what it
 * is (ARP, IPv4, IPv6), and owns the clock. Frames are built and read here field by field, apart
 * from the engine and from the decoders. Called by tests/engine and tests/robust.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  LINK_ETHERNET, LINK_UP, Table, TableWord, type NeighborState,
} from '../../assembly/abi.js';
import {
  formatAddress, parseAddress, requireCidr, type AddressWords,
} from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { Engine, type CounterName } from '../../host/core/engine.js';
import { POOL_NAMES } from '../../host/core/records.js';
import { LinkRing } from '../../host/core/ring.js';
import {
  be16, be32, concat, icmp6Message, internetChecksum, ip4, ip6, ipv6Packet,
} from './frames.js';

export const module = new WebAssembly.Module(
  readFileSync(new URL('../../../../build/engine.wasm', import.meta.url)),
);

/** MACs of ours and of others. */
export const MAC = '02:00:00:00:00:01';
export const PEER_MAC = '02:00:00:00:00:02';
export const ROUTER_MAC = '02:00:00:00:00:fe';
export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
export const US = '10.1.0.1';
export const PEER = '10.1.0.2';

export const ARP = 0x0806;
export const IPV4 = 0x0800;
export const IPV6 = 0x86dd;

export function macBytes(text: string): number[] {
  return text.split(':').map((part) => Number.parseInt(part, 16));
}

export function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export function ethernet(
  from: string, to: string, type: number, payload: Uint8Array, tag?: number,
): Uint8Array {
  const tagged = tag === undefined ? [] : [0x81, 0, ...be16(tag)];
  return concat(macBytes(to), macBytes(from), tagged, be16(type), payload);
}

export interface ArpFields {
  op: 1 | 2;
  from: string;
  fromMac: string;
  to: string;
  toMac?: string;
  /** Of the frame: broadcast, unless said otherwise. */
  destination?: string;
}

export function arp(fields: ArpFields): Uint8Array {
  const packet = concat(
    be16(1), be16(IPV4), [6, 4], be16(fields.op), macBytes(fields.fromMac), ip4(fields.from),
    macBytes(fields.toMac ?? '00:00:00:00:00:00'), ip4(fields.to),
  );
  return ethernet(fields.fromMac, fields.destination ?? BROADCAST, ARP, packet);
}

/** What came out. */
export interface Frame {
  to: string;
  from: string;
  type: number;
  vlan?: number;
  length: number;
  payload: Uint8Array;
  vnet: Uint8Array;
  timeMs: number;
}

export interface ArpSeen {
  op: number;
  from: string;
  fromMac: string;
  target: string;
  destination: string;
  timeMs: number;
}

function v4Text(bytes: Uint8Array): string {
  return [...bytes].join('.');
}

/** Text of the 16 bytes of an IPv6 address. */
export function v6Text(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return formatAddress([0, 4, 8, 12].map((at) => view.getUint32(at)) as unknown as AddressWords);
}

export function readArp(frame: Frame): ArpSeen {
  const at = frame.payload;
  return {
    op: (at[6]! << 8) | at[7]!,
    fromMac: macText(at.subarray(8, 14)), from: v4Text(at.subarray(14, 18)),
    target: v4Text(at.subarray(24, 28)), destination: frame.to, timeMs: frame.timeMs,
  };
}

export interface Nd {
  type: number;
  from: string;
  to: string;
  hopLimit: number;
  /** Of a solicitation or advertisement of a neighbour. */
  target: string;
  flags: number;
  /** The MAC of its first option, or undefined. */
  mac: string | undefined;
  destination: string;
  timeMs: number;
}

/** An ICMPv6 message without extension headers. */
export function readNd(frame: Frame): Nd {
  const at = frame.payload;
  const message = at.subarray(40);
  const fixed = message[0] === 133 ? 8 : 24;
  const option = message.length >= fixed + 8
    ? macText(message.subarray(fixed + 2, fixed + 8)) : undefined;
  return {
    type: message[0]!, from: v6Text(at.subarray(8, 24)), to: v6Text(at.subarray(24, 40)),
    hopLimit: at[7]!, flags: message[4]!,
    target: fixed === 24 ? v6Text(message.subarray(8, 24)) : '',
    mac: option, destination: frame.to, timeMs: frame.timeMs,
  };
}

/** The MAC of the group that an IPv6 address is solicited by (RFC 2464 §7, RFC 4291 §2.7.1). */
export function solicitedMac(address: string): string {
  const bytes = ip6(address);
  return macText(Uint8Array.from([0x33, 0x33, 0xff, ...bytes.slice(13)]));
}

export function solicitedGroup(address: string): string {
  const bytes = ip6(address);
  const [a, b, c] = bytes.slice(13) as [number, number, number];
  const hex = (value: number): string => value.toString(16);
  return `ff02::1:${hex(0xff00 | a)}:${hex((b << 8) | c)}`;
}

export interface NdOptions {
  hopLimit?: number;
  destination?: string;
}

/** A neighbour discovery message in its frame. `rest`: what follows the first eight bytes. */
export function nd(
  fromMac: string, from: string, to: string, type: number, word: number, rest: Uint8Array,
  options: NdOptions = {},
): Uint8Array {
  const packet = ipv6Packet(
    { from, to, nextHeader: 58, hopLimit: options.hopLimit ?? 255 },
    icmp6Message({ from, to }, type, 0, word, rest),
  );
  const last = ip6(to).slice(12);
  const group = macText(Uint8Array.from([0x33, 0x33, ...last]));
  const destination = options.destination ?? (to.startsWith('ff') ? group : MAC);
  return ethernet(fromMac, destination, IPV6, packet);
}

export function macOption(kind: 1 | 2, mac: string): number[] {
  return [kind, 1, ...macBytes(mac)];
}

export function neighborSolicit(
  fromMac: string, from: string, to: string, target: string, options: NdOptions = {},
): Uint8Array {
  const option = from === '::' ? [] : macOption(1, fromMac);
  return nd(fromMac, from, to, 135, 0, concat(ip6(target), option), options);
}

/** `flags`: R 0x80, S 0x40, O 0x20. */
export function neighborAdvertise(
  mac: string, target: string, to: string, flags: number, options: NdOptions = {},
): Uint8Array {
  const rest = concat(ip6(target), macOption(2, mac));
  return nd(mac, target, to, 136, (flags << 24) >>> 0, rest, options);
}

export interface NeighborRow {
  address: string;
  state: NeighborState;
  mac: string;
  queued: number;
}

export interface AddressRow {
  address: string;
  prefixLength: number;
  state: number;
  origin: number;
  validS: number;
  preferredS: number;
}

export interface RouteRow {
  to: string;
  gateway: string;
  link: number;
  origin: number;
  validS: number;
}

function wordsText(row: Uint32Array, word: TableWord): string {
  return formatAddress([...row.subarray(word, word + 4)] as unknown as AddressWords);
}

function rowMac(row: Uint32Array): string {
  const bytes = Uint8Array.from([...be32(row[TableWord.b0]!), ...be16(row[TableWord.b1]!)]);
  return macText(bytes);
}

export interface EthernetLabOptions {
  config?: EngineConfig;
  mtu?: number;
  flags?: number;
  /** Of link 0; none: no addresses at all. */
  addresses?: readonly string[];
  vlan?: number;
  auto?: number;
  /** Link 0 gets its MAC and its addresses at once (default). */
  start?: boolean;
}

const NEVER = 0xffffffff;

export class EthernetLab {
  readonly engine: Engine;
  readonly rings: LinkRing[] = [];
  nowUs = 5_000_000;
  waitUs = NEVER;
  /** What came out of link 0 and was not taken yet. */
  seen: Frame[] = [];
  /** And of the others. */
  seenOthers: Frame[][] = [];
  /** Frames stay in the transmit rings while true. */
  holdTx = false;
  readonly #out = new Uint8Array(70_000);

  constructor(options: EthernetLabOptions = {}) {
    // Addresses are ours at once unless a test is about that.
    const quick = { arp_probes: 0, dad_transmits: 0 };
    this.engine = Engine.load(module, { profile: 'test', seed: 7, ...quick, ...options.config });
    this.engine.poll(this.nowUs, 64);
    this.addLink(options.flags, options.mtu);
    if (options.start === false) return;
    const mac = Uint8Array.from(macBytes(MAC));
    this.engine.linkEthernet(0, mac, options.vlan ?? 0, options.auto ?? 0);
    for (const cidr of options.addresses ?? [`${US}/24`]) this.address(cidr);
    this.poll();
  }

  addLink(flags = LINK_UP | LINK_ETHERNET, mtu = 1500): number {
    const id = this.engine.linkAdd(flags, mtu);
    const { bytes, words } = this.engine;
    this.rings.push(new LinkRing(bytes, words, this.engine.linkRing(id)));
    this.seenOthers.push([]);
    return id;
  }

  address(cidr: string, link = 0): number {
    return this.engine.addressAdd(link, requireCidr(cidr));
  }

  route(cidr: string, gateway?: string, link = 0): number {
    const words = gateway === undefined ? undefined : parseAddress(gateway)!;
    return this.engine.routeAdd(link, requireCidr(cidr), words);
  }

  inject(frame: Uint8Array, link = 0, vnet?: Uint8Array): void {
    const ring = this.rings[link]!;
    if (ring.rxFree() === 0) this.poll();
    assert.ok(ring.receive(frame, frame.length, vnet), 'the receive ring does not empty');
  }

  /** Puts frames in and lets the engine work; what came out because of them. */
  exchange(...frames: Uint8Array[]): Frame[] {
    this.take();
    for (const frame of frames) this.inject(frame);
    this.poll();
    return this.take();
  }

  take(): Frame[] {
    const seen = this.seen;
    this.seen = [];
    return seen;
  }

  arps(): ArpSeen[] {
    return this.take().filter(({ type }) => type === ARP).map(readArp);
  }

  poll(us = 0): void {
    this.nowUs += us;
    for (let round = 0; round < 5000; round++) {
      this.waitUs = this.engine.poll(this.nowUs, 256);
      this.rings.forEach((ring, link) => this.#drain(ring, link));
      if (this.waitUs > 0 || this.holdTx) return;
    }
    assert.fail('the engine never comes to rest');
  }

  /** Lets time pass timer by timer. */
  run(ms: number): void {
    const endUs = this.nowUs + ms * 1000;
    this.poll();
    while (this.waitUs !== NEVER && this.nowUs + this.waitUs <= endUs) this.poll(this.waitUs);
    this.nowUs = Math.max(this.nowUs, endUs);
    this.poll();
  }

  #drain(ring: LinkRing, link: number): void {
    if (this.holdTx) return;
    while (ring.txReady() > 0) {
      const length = ring.txCopy(this.#out, 10);
      ring.txVnet(this.#out, 0);
      ring.txReturn(1);
      const frame = this.#read(this.#out.slice(0, 10), this.#out.slice(10, 10 + length));
      if (link === 0) this.seen.push(frame);
      this.seenOthers[link]!.push(frame);
    }
  }

  #read(vnet: Uint8Array, bytes: Uint8Array): Frame {
    const tagged = bytes[12] === 0x81 && bytes[13] === 0;
    const at = tagged ? 16 : 12;
    return {
      to: macText(bytes.subarray(0, 6)), from: macText(bytes.subarray(6, 12)), vnet,
      type: (bytes[at]! << 8) | bytes[at + 1]!, payload: bytes.subarray(at + 2),
      length: bytes.length, timeMs: this.nowUs / 1000,
      ...(tagged ? { vlan: ((bytes[14]! & 15) << 8) | bytes[15]! } : {}),
    };
  }

  counter(name: CounterName): number {
    return this.engine.counter(name);
  }

  /** Counters that `action` changed, of those whose names match. */
  changed(action: () => void, names = /./): Record<string, number> {
    const before = this.engine.counters();
    action();
    const after = this.engine.counters();
    return Object.fromEntries((Object.keys(after) as CounterName[])
      .filter((name) => names.test(name) && after[name] !== before[name])
      .map((name) => [name, after[name] - before[name]]));
  }

  neighbors(): NeighborRow[] {
    return [...this.engine.table(Table.Neighbors)].map((row) => ({
      address: wordsText(row, TableWord.a0), state: row[TableWord.state]! as NeighborState,
      mac: rowMac(row), queued: row[TableWord.preferredS]!,
    }));
  }

  neighbor(address: string): NeighborRow | undefined {
    return this.neighbors().find((row) => row.address === address);
  }

  addresses(): AddressRow[] {
    return [...this.engine.table(Table.Addresses)].map((row) => ({
      address: wordsText(row, TableWord.a0), prefixLength: row[TableWord.prefixLength]!,
      state: row[TableWord.state]!, origin: row[TableWord.origin]!,
      validS: row[TableWord.validS]!, preferredS: row[TableWord.preferredS]!,
    }));
  }

  routes(): RouteRow[] {
    return [...this.engine.table(Table.Routes)].map((row) => ({
      to: `${wordsText(row, TableWord.a0)}/${row[TableWord.prefixLength]}`,
      gateway: wordsText(row, TableWord.b0), link: row[TableWord.link]!,
      origin: row[TableWord.origin]!, validS: row[TableWord.validS]!,
    }));
  }

  /** Sends an echo request from the engine. */
  ping(to: string, sequence = 1, size = 8): void {
    this.engine.echo(parseAddress(to)!, 1, sequence, size);
  }

  /** Throws unless every pool is empty and nothing waits for a neighbour. */
  assertBaseline(story = ''): void {
    this.poll(); // what was returned last is free from then on
    this.poll();
    for (const name of POOL_NAMES) {
      assert.equal(this.engine.pool(name).used, 0, `${name} is not back ${story}`);
    }
    for (const row of this.neighbors()) assert.equal(row.queued, 0, `packets wait ${story}`);
  }
}

/** An IPv4 header's and, of ICMP, the message's checksum are right. */
export function assertIpv4(payload: Uint8Array): void {
  const total = (payload[2]! << 8) | payload[3]!;
  assert.equal(internetChecksum(payload.subarray(0, 20)), 0);
  if (payload[9] === 1) assert.equal(internetChecksum(payload.subarray(20, total)), 0);
}
