/**
 * What the tests of ip/, link/ and wire/ stand on: compiles assembly/testing-ip.ts with probes in
 * TCP's place, boots it, puts frames into its ring and reads what comes out; and builds packets,
 * with a checksum of its own so that the engine's is checked against another.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Config, CONFIG_AT, Counter, COUNTERS_AT, LINK_UP, LinkWord, RX_DESCRIPTOR_BYTES, TRACE_BYTES,
  TRACE_HEADER_BYTES, TX_PIECES, TX_SLOT_BYTES, TX_TOTAL, VNET_HDR_BYTES,
} from '../../assembly/abi.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** The testing module's bytes. The sources are compiled in a copy, where the probes replace TCP. */
function compileTestingIp(): Buffer {
  const at = mkdtempSync(join(tmpdir(), 'ackorn-ip-'));
  try {
    cpSync(join(root, 'assembly'), join(at, 'assembly'), { recursive: true });
    copyFileSync(join(root, 'asconfig.json'), join(at, 'asconfig.json'));
    for (const name of ['input', 'icmp']) {
      const probe = readFileSync(join(root, `assembly/testing-tcp-${name}.ts`), 'utf8');
      const moved = probe.replaceAll('from "./', 'from "../'); // one folder down
      writeFileSync(join(at, 'assembly/tcp', `${name}.ts`), moved);
    }
    const asc = join(root, 'node_modules/assemblyscript/bin/asc.js');
    const options = ['--target', 'release', '--outFile', 'ip.wasm', '--textFile', 'ip.wat'];
    execFileSync(process.execPath, [asc, 'assembly/testing-ip.ts', ...options], { cwd: at });
    return readFileSync(join(at, 'ip.wasm'));
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

/** Words of CONFIG that differ from the harness's own. */
export type Words = Partial<Record<number, number>>;

type Calls = Record<string, (...args: number[]) => number>;

export interface Sent {
  vnet: Buffer;
  frame: Buffer;
  pieces: { address: number; length: number }[];
}

export interface TraceRecord {
  kind: number;
  index: number;
  ports: number;
  a: number;
  b: number;
  c: number;
}

export const RX_SLOTS = 64;
export const TX_SLOTS = 16;
export const RX_SLOT_BYTES = 4096;
const MEMORY_PAGES = 64;
const TRACE_SLOTS = 16;
/** Bytes that tests may use freely: behind everything that boot lays out. */
export const SCRATCH_AT = (MEMORY_PAGES - 3) * 65536;

export class Engine {
  readonly calls: Calls;
  readonly memory: Buffer;
  readonly view: DataView;
  readonly counters: BigUint64Array;
  private traced = 0;

  constructor(module: WebAssembly.Module, config: Words = {}) {
    const instance = new WebAssembly.Instance(module, {});
    const memory = instance.exports['memory'] as WebAssembly.Memory;
    memory.grow(MEMORY_PAGES - 1);
    this.calls = instance.exports as unknown as Calls;
    this.memory = Buffer.from(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.counters = new BigUint64Array(memory.buffer, COUNTERS_AT, Counter.COUNT);
    const words: Record<number, number | undefined> = {
      [Config.seed0]: 0x1234, [Config.seed1]: 0x5678, [Config.arenaBytes]: 1 << 20,
      [Config.arenaBlockShift]: 9, [Config.linksMax]: 2, [Config.addressesMax]: 4,
      [Config.rxSlots]: RX_SLOTS, [Config.rxSlotBytes]: RX_SLOT_BYTES, [Config.txSlots]: TX_SLOTS,
      [Config.traceSlots]: TRACE_SLOTS, [Config.ip_default_ttl]: 64, [Config.min_pmtu]: 552,
      [Config.icmp_ratelimit]: 1000, [Config.icmp_msgs_per_sec]: 1000, ...config,
    };
    for (const [word, value] of Object.entries(words)) {
      this.view.setUint32(CONFIG_AT + Number(word) * 4, value ?? 0, true);
    }
    if (this.call('boot') > SCRATCH_AT) throw new Error('the layout reaches into SCRATCH_AT');
    this.call('setNowMs', 100_000);
  }

  call(name: string, ...args: number[]): number {
    const f = this.calls[name];
    if (f === undefined) throw new Error(`no export ${name}`);
    return f(...args);
  }

  word(link: number, word: LinkWord): number {
    return this.view.getUint32(this.call('linkRing', link) + word * 4, true);
  }

  setWord(link: number, word: LinkWord, value: number): void {
    this.view.setUint32(this.call('linkRing', link) + word * 4, value, true);
  }

  /** Address of the receive descriptor that the host fills next. */
  nextDescriptor(link = 0): number {
    const at = this.word(link, LinkWord.rxHead) & this.word(link, LinkWord.rxMask);
    return this.word(link, LinkWord.rxDescriptors) + at * RX_DESCRIPTOR_BYTES;
  }

  /** Fills the next receive entry; run() makes the engine look at it. */
  push(frame: Uint8Array, vnet?: Uint8Array, link = 0): void {
    const descriptor = this.nextDescriptor(link);
    const at = this.view.getUint32(descriptor, true);
    this.memory.set(frame, at);
    if (vnet !== undefined) this.memory.set(vnet, at - VNET_HDR_BYTES);
    this.view.setUint32(descriptor + 8, frame.length, true);
    this.view.setUint32(descriptor + 12, 0, true);
    this.setWord(link, LinkWord.rxHead, (this.word(link, LinkWord.rxHead) + 1) >>> 0);
  }

  run(link = 0): number {
    return this.call('input', link, 1 << 20);
  }

  /** One frame in; the frames that it made the engine send. */
  exchange(frame: Uint8Array, vnet?: Uint8Array): Sent[] {
    this.push(frame, vnet);
    this.run();
    return this.take();
  }

  /** Reads what was published, and gives it back (unless told to keep it). */
  take(link = 0, giveBack = true): Sent[] {
    const sent: Sent[] = [];
    const mask = this.word(link, LinkWord.txMask);
    const head = this.word(link, LinkWord.txHead);
    let tail = this.word(link, LinkWord.txTail);
    for (; tail !== head; tail = (tail + 1) >>> 0) {
      sent.push(this.readSlot(this.word(link, LinkWord.txSlots) + (tail & mask) * TX_SLOT_BYTES));
    }
    if (giveBack) {
      this.setWord(link, LinkWord.txTail, tail);
      this.call('poll', link);
    }
    return sent;
  }

  private readSlot(slot: number): Sent {
    const pieces = [];
    const count = this.view.getUint32(slot, true);
    for (let i = 0; i < count; i++) {
      const at = slot + TX_PIECES + i * 8;
      const address = this.view.getUint32(at, true);
      pieces.push({ address, length: this.view.getUint32(at + 4, true) });
    }
    const frame = Buffer.concat(
      pieces.map((p) => this.memory.subarray(p.address, p.address + p.length)));
    if (frame.length !== this.view.getUint32(slot + TX_TOTAL, true)) throw new Error('TX_TOTAL');
    const header = pieces[0]!.address;
    return {
      vnet: Buffer.from(this.memory.subarray(header - VNET_HDR_BYTES, header)),
      frame: Buffer.from(frame), pieces,
    };
  }

  /** Trace records written since the last call (at most the ring's size). */
  traces(): TraceRecord[] {
    const ring = this.call('traceRing');
    const produced = this.view.getUint32(ring, true);
    const records: TraceRecord[] = [];
    for (let n = Math.max(this.traced, produced - TRACE_SLOTS); n < produced; n++) {
      const at = ring + TRACE_HEADER_BYTES + (n & (TRACE_SLOTS - 1)) * TRACE_BYTES;
      const [kind, index, ports, a, b, c] = [8, 12, 16, 20, 24, 28]
        .map((offset) => this.view.getUint32(at + offset, true)) as [
          number, number, number, number, number, number];
      records.push({ kind, index, ports, a, b, c });
    }
    this.traced = produced;
    return records;
  }

  snapshot(): bigint[] {
    return [...this.counters];
  }

  /** Counters that changed since `before`, by name. */
  changed(before: bigint[]): Record<string, number> {
    const out: Record<string, number> = {};
    for (let i = 0; i < Counter.COUNT; i++) {
      const delta = Number(this.counters[i]! - before[i]!);
      if (delta !== 0) out[Counter[i]!] = delta;
    }
    return out;
  }
}

// ---- one link, two addresses ------------------------------------------------------------------

export const US = '10.99.0.2';
export const PEER = '10.99.0.1';
export const US6 = 'fd00::2';
export const PEER6 = 'fd00::1';

/** What the probes, assembly/testing-tcp-*.ts, write into the trace ring. */
export const PROBE_TCP = 100;
export const PROBE_ICMP_ERROR = 101;
export const PROBE_PATH_MTU = 102;

const module = new WebAssembly.Module(compileTestingIp());

/** An engine with nothing set up. */
export function bare(config: Words = {}): Engine {
  return new Engine(module, config);
}

/** An engine with link 0 and US and US6 on it, addresses 0 and 1. */
export function engine(flags = LINK_UP, config: Words = {}): Engine {
  const e = bare(config);
  assert.equal(e.call('linkAdd', flags, 1500), 0);
  assert.equal(e.call('addressAdd', ...words(US), 24, 0), 0);
  assert.equal(e.call('addressAdd', ...words(US6), 64, 0), 1);
  return e;
}

const DROP = new RegExp('^(Ip6?In(Hdr|Addr|Csum)Errors|Ip6?In(TruncatedPkts|UnknownProtos)|' +
  'Ip6?ReasmFails|Icmp6?In(Csum)?Errors|Udp(NoPorts|In(Csum)?Errors)|TcpIn(Errs|CsumErrors)|' +
  'AckornLinkIn(Errors|Truncated|Down))$');

/** The counters that say that a packet is gone. */
export const DROPS = Array.from({ length: Counter.COUNT }, (_, i) => i)
  .filter((i) => DROP.test(Counter[i]!));

/** Of changed counters, those. */
export function dropsOf(changed: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(changed).filter(([name]) => DROP.test(name)));
}

/** Is the packet's length right, its IPv4 header's checksum, and its transport's? */
export function assertWhole(frame: Buffer): void {
  const v4 = frame[0]! >> 4 === 4;
  const l3 = v4 ? (frame[0]! & 15) * 4 : 40;
  assert.equal(v4 ? frame.readUInt16BE(2) : 40 + frame.readUInt16BE(4), frame.length);
  if (v4) assert.equal(onesSum(frame.subarray(0, l3)), 0xffff);
  const protocol = frame[v4 ? 9 : 6]!;
  const l4 = frame.subarray(l3);
  const addresses = frame.subarray(v4 ? 12 : 8, v4 ? 20 : 40);
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(l4.length, 0);
  tail[7] = protocol;
  const before = protocol === 1 ? Buffer.alloc(0) : Buffer.concat([addresses, tail]);
  assert.equal(onesSum(before, l4), 0xffff);
}

/** The one frame that was sent, whole. */
export function only(sent: Sent[]): Buffer {
  assert.equal(sent.length, 1);
  assertWhole(sent[0]!.frame);
  return sent[0]!.frame;
}

// ---- addresses --------------------------------------------------------------------------------

/** 16 bytes of "a.b.c.d" (mapped) or of a short IPv6 text with at most one "::". */
export function address(text: string): Buffer {
  const bytes = Buffer.alloc(16);
  if (text.includes('.')) {
    bytes.writeUInt16BE(0xffff, 10);
    text.split('.').forEach((part, i) => { bytes[12 + i] = Number(part); });
    return bytes;
  }
  const [front = '', back = ''] = text.split('::');
  const words = (s: string): number[] => (s === '' ? [] : s.split(':').map((w) => parseInt(w, 16)));
  const head = words(front);
  const tail = words(back);
  head.forEach((w, i) => bytes.writeUInt16BE(w, i * 2));
  tail.forEach((w, i) => bytes.writeUInt16BE(w, 16 - 2 * (tail.length - i)));
  return bytes;
}

/** The four words that the engine's calls take: as they stand in a packet. */
export function words(text: string): [number, number, number, number] {
  const b = address(text);
  return [b.readUInt32LE(0), b.readUInt32LE(4), b.readUInt32LE(8), b.readUInt32LE(12)];
}

// ---- packets ----------------------------------------------------------------------------------

/** One's complement sum of big-endian words, folded: RFC 1071 as it is written there. */
export function onesSum(...parts: Uint8Array[]): number {
  const all = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) {
    sum += (all[i]! << 8) | (all[i + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

export function checksum(...parts: Uint8Array[]): number {
  return ~onesSum(...parts) & 0xffff;
}

export interface V4Options {
  options?: Uint8Array;
  ttl?: number;
  tos?: number;
  fragment?: number;
  /** Bytes that the header claims; default: all. */
  total?: number;
}

export function ipv4(
  from: string, to: string, protocol: number, payload: Uint8Array, o: V4Options = {},
): Buffer {
  const options = o.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = o.tos ?? 0;
  header.writeUInt16BE(o.total ?? header.length + payload.length, 2);
  header.writeUInt16BE(0x1c46, 4);
  header.writeUInt16BE(o.fragment ?? 0, 6);
  header[8] = o.ttl ?? 64;
  header[9] = protocol;
  address(from).copy(header, 12, 12);
  address(to).copy(header, 16, 12);
  header.set(options, 20);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

export function ipv6(
  from: string, to: string, next: number, payload: Uint8Array, length = payload.length,
): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = next;
  header[7] = 64;
  address(from).copy(header, 8);
  address(to).copy(header, 24);
  return Buffer.concat([header, payload]);
}

/** What stands before the transport header in its checksum. */
export function pseudo(from: string, to: string, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail[7] = protocol;
  const skip = from.includes('.') ? 12 : 0;
  return Buffer.concat([address(from).subarray(skip), address(to).subarray(skip), tail]);
}

export function icmp(
  type: number, code: number, rest: number, payload: Uint8Array, pseudoHeader?: Uint8Array,
): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), payload]);
  message[0] = type;
  message[1] = code;
  message.writeUInt32BE(rest >>> 0, 4);
  message.writeUInt16BE(checksum(pseudoHeader ?? Buffer.alloc(0), message), 2);
  return message;
}

export function icmp6(
  from: string, to: string, type: number, code: number, rest: number, payload: Uint8Array,
): Buffer {
  return icmp(type, code, rest, payload, pseudo(from, to, 58, 8 + payload.length));
}

export function udp(from: string, to: string, payload: Uint8Array, length?: number): Buffer {
  const datagram = Buffer.concat([Buffer.alloc(8), payload]);
  datagram.writeUInt16BE(5353, 0);
  datagram.writeUInt16BE(9, 2);
  datagram.writeUInt16BE(length ?? datagram.length, 4);
  datagram.writeUInt16BE(checksum(pseudo(from, to, 17, datagram.length), datagram), 6);
  return datagram;
}

export function tcp(
  from: string, to: string, payload: Uint8Array, options = Buffer.alloc(0), offset?: number,
): Buffer {
  const segment = Buffer.concat([Buffer.alloc(20), options, payload]);
  segment.writeUInt16BE(40000, 0);
  segment.writeUInt16BE(80, 2);
  segment.writeUInt32BE(0x01020304, 4);
  segment[12] = (offset ?? (20 + options.length) / 4) << 4;
  segment[13] = 0x10;
  segment.writeUInt16BE(checksum(pseudo(from, to, 6, segment.length), segment), 16);
  return segment;
}

/** Every byte from a counter: the same payload for the same length. */
export function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + 1) & 255));
}
