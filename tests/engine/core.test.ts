/** Pools, treap, timer wheel, SipHash, checksum and trace ring, each against a plain model. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_AT, Fault, Trace, TRACE_BYTES, TRACE_HEADER_BYTES } from '../../assembly/abi.js';
import { type Core, Random, compileCore, makeCore } from './core-engine.js';

const module = compileCore('core');
/** Free memory of an instance begins here. */
const FREE = 65536;

test('pool · take and give at random · as a set, in bounds, counted', () => {
  const core = makeCore(module, 1);
  const { call, u32 } = core;
  const [capacity, stride] = [100, 24];
  call('poolInit', 5, FREE, stride, capacity);
  const taken: number[] = [];
  const random = new Random(1);
  let high = 0;
  let failed = 0;
  for (let step = 0; step < 20000; step++) {
    if (random.chance(step % 2000 < 1000 ? 70 : 30)) {
      const record = call('poolTake', 5);
      if (taken.length === capacity) {
        assert.equal(record, 0);
        failed++;
        continue;
      }
      assert.ok(record >= FREE && record < FREE + capacity * stride && !taken.includes(record));
      assert.equal(call('poolAt', 5, call('poolIndex', 5, record)), record);
      u32[(record + 8) >> 2] = record; // a generation must survive
      taken.push(record);
    } else if (taken.length) {
      const record = taken.splice(random.below(taken.length), 1)[0] as number;
      call('poolGive', 5, record);
      assert.equal(u32[(record + 8) >> 2], record);
    }
    high = Math.max(high, taken.length);
  }
  const at = call('pool', 5) >> 2;
  assert.deepEqual([...u32.subarray(at + 5, at + 8)], [taken.length, high, failed]);
  assert.ok(failed > 0);
});

test('pool · contains · exactly the addresses of records that were taken', () => {
  const core = makeCore(module, 1);
  core.call('poolInit', 0, FREE, 152, 10);
  const records = Array.from({ length: 7 }, () => core.call('poolTake', 0));
  for (let at = FREE - 200; at < FREE + 2000; at++) {
    assert.equal(core.call('poolContains', 0, at), records.includes(at) ? 1 : 0, `${at}`);
  }
  assert.equal(core.call('poolContains', 0, 0), 0);
});

test('pool · the same record given twice, or one of nobody · traps with Fault.Pool', () => {
  for (const offset of [0, 4]) {
    const core = makeCore(module, 1);
    core.call('poolInit', 0, FREE, 64, 10);
    const record = core.call('poolTake', 0);
    core.call('poolTake', 0);
    if (!offset) core.call('poolGive', 0, record);
    assert.throws(() => core.call('poolGive', 0, record + offset), WebAssembly.RuntimeError);
    assert.equal(core.u32[FAULT_AT >> 2], Fault.Pool);
  }
});

/** murmur3's finaliser, as in treap.ts. */
function priority(node: number, key: number): number {
  let h = node ^ key;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Checks the heap and parent rules of a treap; gives its depth and size. */
function treapShape(core: Core, rootAt: number, key = 0): { depth: number; size: number } {
  const { u32 } = core;
  let depth = 0;
  let size = 0;
  const stack: [number, number, number][] = [[u32[rootAt >> 2] as number, 0, 1]];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const [node, parent, level] = top;
    if (!node) continue;
    size++;
    depth = Math.max(depth, level);
    assert.equal(u32[(node >> 2) + 3], parent);
    assert.ok(!parent || priority(parent, key) > priority(node, key));
    stack.push([u32[(node >> 2) + 1] as number, node, level + 1]);
    stack.push([u32[(node >> 2) + 2] as number, node, level + 1]);
  }
  return { depth, size };
}

test('treap · random inserts, removals and searches across the wrap · as a sorted array', () => {
  const core = makeCore(module, 4);
  const { call, u32 } = core;
  const random = new Random(2);
  const base = 0xfffff000;
  const rootAt = FREE;
  const free = Array.from({ length: 600 }, (_, i) => FREE + 64 + i * 48);
  const sorted: { offset: number; node: number }[] = [];
  for (let step = 0; step < 60000; step++) {
    const offset = random.below(8192);
    const place = sorted.findIndex((entry) => entry.offset >= offset);
    const at = place < 0 ? sorted.length : place;
    if (random.chance(step % 4000 < 2000 ? 60 : 40) && free.length) {
      if (sorted[at]?.offset === offset) continue;
      const node = free.splice(random.below(free.length), 1)[0] as number;
      u32[node >> 2] = base + offset;
      call('treapInsert', rootAt, node);
      sorted.splice(at, 0, { offset, node });
    } else if (sorted.length) {
      const [gone] = sorted.splice(random.below(sorted.length), 1);
      call('treapRemove', rootAt, gone!.node);
      free.push(gone!.node);
    }
    const floor = sorted.filter((entry) => entry.offset <= offset).at(-1)?.node ?? 0;
    assert.equal(call('treapFloor', rootAt, (base + offset) >>> 0), floor);
    assert.equal(call('treapFirst', rootAt), sorted[0]?.node ?? 0);
    assert.equal(call('treapLast', rootAt), sorted.at(-1)?.node ?? 0);
    const i = random.below(Math.max(1, sorted.length));
    if (sorted[i]) {
      assert.equal(call('treapNext', sorted[i].node), sorted[i + 1]?.node ?? 0);
      assert.equal(call('treapPrev', sorted[i].node), sorted[i - 1]?.node ?? 0);
    }
    if (step % 1000 === 0) assert.equal(treapShape(core, rootAt).size, sorted.length);
  }
});

test('treap · 85,000 nodes in hostile orders · the depth stays logarithmic', () => {
  const n = 85000;
  const orders: Record<string, (i: number) => number> = {
    ascending: (i) => i,
    descending: (i) => n - i,
    'inside out': (i) => (i & 1 ? n + i : n - i),
    'zigzag from outside': (i) => (i & 1 ? i : 2 * n - i),
    'by stride': (i) => (i * 257) % n,
  };
  for (const [name, key] of Object.entries(orders)) {
    for (const hashKey of [0n, 0x123456789abcdefn]) {
      const core = makeCore(module, 66);
      (core.raw['setSystem'] as (...a: unknown[]) => void)(hashKey, 0n, 0, 0);
      for (let i = 0; i < n; i++) {
        const node = FREE + 64 + i * 48;
        core.u32[node >> 2] = key(i);
        core.call('treapInsert', FREE, node);
      }
      const { depth, size } = treapShape(core, FREE, Number(hashKey & 0xffffffffn));
      assert.equal(size, n);
      assert.ok(depth <= 60, `${name}: depth ${depth}`); // about 40 expected; 17 is perfect
      // A cumulative ACK takes them from the front.
      for (let i = 0; i < n; i++) core.call('treapRemove', FREE, core.call('treapFirst', FREE));
      assert.equal(core.u32[FREE >> 2], 0);
    }
  }
});

const HALF = 2 ** 31;

interface Wheel {
  core: Core;
  node: (i: number) => number;
  index: (address: number) => number;
}

function makeWheel(nodes: number, now: number): Wheel {
  const core = makeCore(module, 2 + Math.ceil((nodes * 16) / 65536));
  core.call('wheelInit', FREE, now);
  const first = FREE + 8192;
  const node = (i: number): number => first + i * 16;
  return { core, node, index: (address) => (address - first) / 16 };
}

/** Fires all that is due; every one of `due` must come, and nothing else. */
function fireAll(w: Wheel, tick: number, armed: Map<number, number>, clock: number): void {
  for (;;) {
    const record = w.core.call('wheelExpire', tick);
    if (!record) {
      if (w.core.call('wheelNext', tick) !== 0) break;
      continue;
    }
    const deadline = armed.get(w.index(record));
    assert.ok(deadline !== undefined, 'fired though not armed');
    assert.ok(deadline <= clock, 'fired early');
    armed.delete(w.index(record));
  }
  for (const deadline of armed.values()) assert.ok(deadline > clock, 'not fired');
}

test('wheel · arm, move, cancel, jumps and the wrap · never early, never lost', () => {
  for (let seed = 0; seed < 6; seed++) {
    const random = new Random(100 + seed);
    let clock = 2 ** 32 - 40000 + seed; // unwrapped time: a number beyond 2^32
    const w = makeWheel(300, clock >>> 0);
    const armed = new Map<number, number>();
    for (let step = 0; step < 30000; step++) {
      const i = random.below(300);
      const spans = [1, 3, 300, 70000, 2 ** 24, HALF - 1];
      const span = spans[random.below(spans.length)] as number;
      const deadline = clock + random.below(span) - (random.chance(5) ? 1000 : 0);
      const choice = random.below(10);
      if (choice < 5) {
        w.core.call('wheelArm', w.node(i), deadline >>> 0);
        armed.set(i, Math.min(armed.get(i) ?? Infinity, deadline));
      } else if (choice < 6) {
        w.core.call('wheelCancel', w.node(i));
        armed.delete(i);
      } else {
        const jumps = [0, 1, 2, 200, 5000, 2 ** 20, 2 ** 26, 2 ** 30 - 1];
        clock += random.below((jumps[random.below(random.chance(95) ? 5 : 8)] as number) + 1);
        fireAll(w, clock >>> 0, armed, clock);
      }
      assert.equal(w.core.call('wheelArmed', w.node(i)), armed.has(i) ? 1 : 0);
      const next = w.core.call('wheelNext', clock >>> 0);
      if (!armed.size) assert.equal(next, 0xffffffff);
      else assert.ok(clock + next <= Math.max(clock, Math.min(...armed.values())), 'late wake-up');
    }
  }
});

test('wheel · sleeping as wheelNext says · each record costs at most four wake-ups', () => {
  const random = new Random(7);
  let clock = 1000;
  const w = makeWheel(200, clock);
  const armed = new Map<number, number>();
  for (let i = 0; i < 200; i++) {
    armed.set(i, clock + random.below(HALF - 1));
    w.core.call('wheelArm', w.node(i), armed.get(i)! >>> 0);
  }
  let wakes = 0;
  for (; armed.size; wakes++) {
    clock += w.core.call('wheelNext', clock >>> 0);
    fireAll(w, clock >>> 0, armed, clock);
  }
  assert.ok(wakes <= 4 * 200, `${wakes}`);
});

test('wheel · 400 days in steps of WHEEL_STEP · bounded work, all fire', () => {
  const step = (w: Wheel): number => (w.core.raw['WHEEL_STEP'] as { value: number }).value;
  const w = makeWheel(1000, 5);
  const armed = new Map<number, number>();
  for (let i = 0; i < 1000; i++) {
    armed.set(i, 6 + i * 1000003);
    w.core.call('wheelArm', w.node(i), armed.get(i)!);
  }
  const target = 5 + (400 * 86400 * 1e6) / 64;
  const begun = process.hrtime.bigint();
  for (let clock = 5; clock < target; ) {
    clock = Math.min(target, clock + step(w));
    fireAll(w, clock % 2 ** 32, armed, clock);
  }
  assert.equal(armed.size, 0);
  assert.ok(Number(process.hrtime.bigint() - begun) < 2e9);
});

test('wheel · a million records in one slot · a call moves a bounded number, none is lost', () => {
  const n = 1_000_000;
  const w = makeWheel(n, 0);
  const deadline = 7200 * 15625; // two hours
  for (let i = 0; i < n; i++) w.core.call('wheelArm', w.node(i), deadline + (i & 0xffff));
  const seen = new Uint8Array(n);
  let left = n;
  let idle = 0;
  for (const now = deadline + 0x10000; left; ) {
    const record = w.core.call('wheelExpire', now);
    if (record) {
      const i = w.index(record);
      assert.equal(seen[i], 0);
      seen[i] = 1;
      left--;
    } else {
      assert.equal(w.core.call('wheelNext', now), 0);
      idle++;
    }
  }
  assert.ok(idle > n / 1024 && idle < (4 * n) / 1024, `${idle} calls only moved records`);
  assert.equal(w.core.call('wheelNext', deadline + 0x10000), 0xffffffff);
});

// ---- SipHash ------------------------------------------------------------------------------------

const M64 = (1n << 64n) - 1n;
const rotl = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & M64;

/** The reference algorithm, for any message, written from the paper. */
function sipReference(key: bigint[], message: Uint8Array, c: number, d: number): bigint {
  const [k0, k1] = key as [bigint, bigint];
  let [v0, v1, v2, v3] = [
    k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n,
  ];
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) {
      v0 = (v0 + v1) & M64; v1 = rotl(v1, 13n) ^ v0; v0 = rotl(v0, 32n);
      v2 = (v2 + v3) & M64; v3 = rotl(v3, 16n) ^ v2;
      v0 = (v0 + v3) & M64; v3 = rotl(v3, 21n) ^ v0;
      v2 = (v2 + v1) & M64; v1 = rotl(v1, 17n) ^ v2; v2 = rotl(v2, 32n);
    }
  };
  const padded = new Uint8Array(Math.floor(message.length / 8) * 8 + 8);
  padded.set(message);
  padded[padded.length - 1] = message.length & 255;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const word = view.getBigUint64(at, true);
    v3 ^= word;
    rounds(c);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(d);
  return v0 ^ v1 ^ v2 ^ v3;
}

test('siphash · the vectors of the paper and random words · 1-3 and 2-4 of 24 bytes', () => {
  const core = makeCore(module, 0);
  const key = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n];
  const counting = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i);
  // Appendix A of the paper, and the first vector of the reference implementation.
  assert.equal(sipReference(key, counting(15), 2, 4), 0xa129ca6149be45e5n);
  assert.equal(sipReference(key, counting(0), 2, 4), 0x726fdb47dd0e0e31n);
  const random = new Random(3);
  for (let round = 0; round < 500; round++) {
    const message = counting(24);
    const view = new DataView(message.buffer);
    const keys = round ? [0, 1].map(() => BigInt(random.u32()) << 31n ^ BigInt(random.u32())) : key;
    if (round) for (let i = 0; i < 24; i++) message[i] = random.below(256);
    const words = [0, 8, 16].map((at) => view.getBigUint64(at, true));
    const got = core.wide('siphash24', ...keys, ...words);
    assert.equal(got, sipReference(keys, message, 2, 4));
    if (!round) assert.equal(got, VECTOR_24);
    assert.equal(core.wide('siphash13', ...keys, ...words), sipReference(keys, message, 1, 3));
  }
});

/** openssl mac -macopt hexkey:000102…0f -macopt size:8 SIPHASH, of the bytes 00 to 17 hex. */
const VECTOR_24 = 0xb8ad50c6f649af94n;

// ---- Checksum -----------------------------------------------------------------------------------

/** RFC 1071 §1, byte by byte, in network order. */
function checksumReference(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += i & 1 ? (bytes[i] as number) : (bytes[i] as number) << 8;
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return ~sum & 0xffff;
}

test('checksum · every length, alignment and split · as RFC 1071 says byte by byte', () => {
  const core = makeCore(module, 4);
  const random = new Random(4);
  const partial = core.raw['checksumPiece'] as (...a: (number | bigint)[]) => bigint;
  for (let round = 0; round < 6000; round++) {
    const length = round < 600 ? round : random.below(random.chance(3) ? 70000 : 4000);
    const at = FREE + random.below(32);
    const bytes = core.u8.subarray(at, at + length);
    const kind = random.below(8);
    for (let i = 0; i < length; i++) bytes[i] = kind === 0 ? 0xff : kind === 1 ? 0 : random.u32();
    let sum = 0n;
    const cuts = random.below(4);
    let offset = 0;
    for (let cut = 0; cut <= cuts; cut++) {
      const n = cut === cuts ? length - offset : random.below(length - offset + 1);
      // Each piece stands elsewhere in memory.
      const moved = FREE + 131072 + random.below(16);
      core.u8.copyWithin(moved, at + offset, at + offset + n);
      sum = partial(moved, n, offset, sum);
      offset += n;
    }
    const field = (core.raw['checksumFinish'] as (sum: bigint) => number)(sum);
    const stored = ((field & 255) << 8) | ((field >> 8) & 255);
    assert.equal(stored, checksumReference(bytes), `length ${length}`);
  }
});

test('checksum · sums near the ends of what a word holds · folded without losing a carry', () => {
  const core = makeCore(module, 0);
  const finish = core.raw['checksumFinish'] as (sum: bigint) => number;
  const random = new Random(5);
  const edges = [0n, 1n, 0xffffn, 0x10000n, 0xffffffffn, 0x1ffff0001n, 0xffffffff00010000n,
    0xffffffffffffffffn];
  for (let i = 0; i < 5000; i++) {
    let sum = edges[i] ?? (BigInt(random.u32()) << 32n) | BigInt(random.u32());
    if (i >= edges.length && i % 3 === 0) sum |= 0xffff0000ffff0000n; // many carries
    const folded = sum ? ((sum - 1n) % 65535n) + 1n : 0n;
    assert.equal(finish(sum) & 0xffff, Number(~folded & 0xffffn), `${sum}`);
  }
});

// ---- Trace --------------------------------------------------------------------------------------

test('trace · more records than the ring holds · the last stay, the count runs on', () => {
  const core = makeCore(module, 1);
  const set = core.raw['setSystem'] as (...a: unknown[]) => void;
  const slots = 8;
  core.call('trace', Trace.Drop, 1, 2, 3, 4, 5); // no ring: nothing happens
  assert.ok(core.u8.subarray(FREE).every((byte) => byte === 0));
  for (let i = 0; i < 21; i++) {
    set(0n, 0x100000000n * 7n + BigInt(i), FREE, slots - 1);
    core.call('trace', Trace.Retransmit, i, 0x00500051, 10 + i, 20 + i, 30 + i);
  }
  assert.equal(core.u32[FREE >> 2], 21);
  for (let i = 13; i < 21; i++) {
    const at = (FREE + TRACE_HEADER_BYTES + (i % slots) * TRACE_BYTES) >> 2;
    const want = [i, 7, Trace.Retransmit, i, 0x00500051, 10 + i, 20 + i, 30 + i];
    assert.deepEqual([...core.u32.subarray(at, at + 8)], want);
  }
  const end = FREE + TRACE_HEADER_BYTES + slots * TRACE_BYTES;
  assert.ok(core.u8.subarray(end).every((byte) => byte === 0));
});
