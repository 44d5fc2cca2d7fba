/**
 * Each element of a link by itself: what it does to a train of frames, that it gives every frame
 * back to the pool, and that equal seeds do equal things.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  blackhole, burstLoss, corrupt, delay, duplicate, jitter, loss, lossPattern, mtu, outage, rate,
  reorder, spike, stripOptions, tailDrop, tap,
} from '../../host/sim/elements/index.js';
import type { ElementFactory } from '../../host/sim/element.js';
import { fold, put16, put32, sum } from '../../host/sim/packet.js';
import { Random } from '../../host/sim/random.js';
import { Actor, Schedule } from '../../host/sim/schedule.js';
import { ElementBench } from './bench.js';

const COUNT = 20_000;

function through(...factories: ElementFactory[]): ElementBench {
  const bench = new ElementBench(factories);
  bench.train(COUNT, 100, 10);
  bench.run();
  assert.equal(bench.pool.live, 0, 'every frame went back to the pool');
  return bench;
}

/** Within five standard deviations of a binomial distribution. */
function assertShare(hits: number, p: number, count = COUNT): void {
  const deviation = 5 * Math.sqrt(count * p * (1 - p));
  assert.ok(Math.abs(hits - count * p) < deviation, `${hits} of ${count} is not ${p}`);
}

test('delay · every frame arrives later by the same time and in order', () => {
  const bench = through(delay(25_000));
  assert.deepEqual(bench.numbers(), Array.from({ length: COUNT }, (_, at) => at));
  for (const [at, { timeUs }] of bench.arrivals.entries()) assert.equal(timeUs, at * 10 + 25_000);
});

test('spike · frames of these times come later, nobody overtakes', () => {
  const [fromUs, untilUs, us] = [50_000, 60_000, 30_000];
  const bench = through(spike({ fromUs, untilUs, us }));
  assert.deepEqual(bench.numbers(), Array.from({ length: COUNT }, (_, at) => at));
  for (const [at, { timeUs }] of bench.arrivals.entries()) {
    const sent = at * 10;
    const late = sent >= fromUs && sent < untilUs ? sent + us : sent;
    // What was caught last leaves at 89,990: those behind it wait for it.
    assert.equal(timeUs, sent >= untilUs ? Math.max(late, untilUs - 10 + us) : late);
  }
});

test('reorder · held back for a time between two limits when there are two', () => {
  const delays = through(reorder(1, 2000, 500)).arrivals.map(({ timeUs, bytes }) =>
    timeUs - new DataView(bytes.buffer).getUint32(0) * 10);
  assert.ok(Math.min(...delays) >= 500 && Math.max(...delays) <= 2000);
  assert.ok(Math.min(...delays) < 510 && Math.max(...delays) > 1990);
});

test('jitter · keeps the order by default, and may lose it when told', () => {
  const ordered = through(jitter(1000));
  assert.deepEqual(ordered.numbers(), Array.from({ length: COUNT }, (_, at) => at));
  const free = through(jitter(1000, { reorder: true }));
  let overtaken = 0;
  const numbers = free.numbers();
  for (const [at, number] of numbers.entries()) if (number !== at) overtaken++;
  assert.ok(overtaken > COUNT / 2, `${overtaken} frames out of place`);
  const late = free.arrivals.map(({ timeUs }, at) => timeUs - (numbers[at] as number) * 10);
  assert.ok(Math.min(...late) >= 0 && Math.max(...late) <= 1000);
  assertShare(late.filter((us) => us <= 500).length, 501 / 1001);
});

test('loss · the share is the probability, and 0 and 1 are exact', () => {
  assertShare(through(loss(0.03)).arrivals.length, 0.97);
  assert.equal(through(loss(0)).arrivals.length, COUNT);
  assert.equal(through(loss(1)).arrivals.length, 0);
  assert.throws(() => loss(1.5), RangeError);
  assert.throws(() => loss(NaN), RangeError);
});

test('loss pattern · exactly the frames that were named', () => {
  const bench = new ElementBench([lossPattern({ at: [0, 3, 4], every: 10 })]);
  bench.train(20, 40, 1);
  bench.run();
  assert.deepEqual(bench.numbers(), [1, 2, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
  const odd = new ElementBench([
    lossPattern({ only: (frame) => ((frame[3] as number) & 1) === 1, at: [1] }),
  ]);
  odd.train(6, 40, 1);
  odd.run();
  assert.deepEqual(odd.numbers(), [0, 1, 2, 4, 5], 'the second odd frame');
});

test('burst loss · share and mean burst length are the model’s', () => {
  const bench = through(burstLoss({ toBad: 0.01, toGood: 0.25 }));
  const arrived = new Set(bench.numbers());
  let bursts = 0;
  let lost = 0;
  for (let at = 0; at < COUNT; at++) {
    if (arrived.has(at)) continue;
    lost++;
    if (at === 0 || arrived.has(at - 1)) bursts++;
  }
  const share = lost / COUNT;
  assert.ok(Math.abs(share - 0.01 / 0.26) < 0.01, `share ${share}`);
  assert.ok(Math.abs(lost / bursts - 4) < 1, `mean burst ${lost / bursts}`);
});

test('reorder · held frames come later by the time given, all others at once', () => {
  const bench = through(reorder(0.05, 35));
  const numbers = bench.numbers();
  const held = bench.arrivals.filter(({ timeUs }, at) => timeUs !== (numbers[at] as number) * 10);
  assertShare(held.length, 0.05);
  assert.equal(bench.arrivals.length, COUNT);
});

test('duplicate · the share is the probability, twins are equal and adjacent', () => {
  const bench = through(duplicate(0.02));
  assertShare(bench.arrivals.length - COUNT, 0.02);
  const numbers = bench.numbers();
  const doubled = numbers.filter((number, at) => numbers[at - 1] === number).length;
  assert.equal(doubled, bench.arrivals.length - COUNT);
});

test('corrupt · exactly one bit of the share of frames', () => {
  const bench = through(corrupt(0.1));
  let changed = 0;
  for (const [at, { bytes }] of bench.arrivals.entries()) {
    const want = new Uint8Array(100);
    new DataView(want.buffer).setUint32(0, at);
    let bits = 0;
    for (const [place, byte] of bytes.entries()) {
      for (let x = byte ^ (want[place] as number); x > 0; x >>= 1) bits += x & 1;
    }
    assert.ok(bits <= 1);
    changed += bits;
  }
  assertShare(changed, 0.1);
});

test('rate · frames leave at the bit rate, the queue drops its tail', () => {
  const fast = new ElementBench([rate(8e6, tailDrop({ packets: 1e6 }))]); // 1 byte a µs
  fast.train(1000, 500, 0);
  fast.run();
  assert.equal(fast.arrivals.at(-1)?.timeUs, 500_000);
  assert.deepEqual(fast.arrivals.slice(0, 3).map(({ timeUs }) => timeUs), [500, 1000, 1500]);
  const odd = new ElementBench([rate(9.6e9)]); // 1,200 bits: an eighth of a µs
  odd.train(800, 150, 0);
  odd.run();
  assert.equal(odd.arrivals.at(-1)?.timeUs, 100, 'fractions of a µs are not lost');
  const packets = new ElementBench([rate(8e6, tailDrop({ packets: 4 }))]);
  packets.train(10, 500, 0);
  packets.run();
  assert.deepEqual(packets.numbers(), [0, 1, 2, 3, 4], 'one is sent, four wait');
  const bytes = new ElementBench([rate(8e6, tailDrop({ bytes: 1400 }))]);
  bytes.train(10, 500, 0);
  bytes.run();
  assert.deepEqual(bytes.numbers(), [0, 1, 2], 'one is sent, 1,000 of 1,400 bytes wait');
  assert.equal(bytes.elements[0]?.dropped, 7);
});

test('outage · nothing passes while it lasts; a black hole lasts', () => {
  const bench = new ElementBench([outage({ fromUs: 50, untilUs: 80 })]);
  bench.train(12, 40, 10);
  bench.run();
  assert.deepEqual(bench.numbers(), [0, 1, 2, 3, 4, 8, 9, 10, 11]);
  const hole = new ElementBench([blackhole(50)]);
  hole.train(12, 40, 10);
  hole.run();
  assert.deepEqual(hole.numbers(), [0, 1, 2, 3, 4]);
});

/** A TCP segment with these options, checksums right. */
function segment(version: 4 | 6, options: readonly number[], payload: number): Uint8Array {
  const ip = version === 4 ? 20 : 40;
  const header = 20 + options.length;
  const bytes = new Uint8Array(ip + header + payload);
  const total = bytes.length;
  if (version === 4) {
    bytes.set([0x45, 0, total >> 8, total & 255, 0, 1, 0x40, 0, 64, 6]);
    put32(bytes, 12, 0x0a000001);
    put32(bytes, 16, 0x0a000002);
    put16(bytes, 10, fold(sum(bytes, 0, 20)));
  } else {
    bytes.set([0x60, 0, 0, 0, (total - 40) >> 8, (total - 40) & 255, 6, 64, 0xfd]);
    bytes[23] = 1;
    bytes.set([0xfd], 24);
    bytes[39] = 2;
  }
  put16(bytes, ip, 1234);
  put16(bytes, ip + 2, 80);
  bytes[ip + 12] = (header / 4) << 4;
  bytes[ip + 13] = 2;
  bytes.set(options, ip + 20);
  bytes.fill(0xa5, ip + header);
  put16(bytes, ip + 16, tcpSum(bytes, version));
  return bytes;
}

/** 0 over a segment whose checksum is right; the checksum where the field is 0. */
function tcpSum(bytes: Uint8Array, version: 4 | 6): number {
  const ip = version === 4 ? 20 : 40;
  const pseudo = version === 4 ? sum(bytes, 12, 20) : sum(bytes, 8, 40);
  return fold(sum(bytes, ip, bytes.length, pseudo + 6 + bytes.length - ip));
}

test('mtu · what is too large is dropped and answered with the MTU', () => {
  for (const version of [4, 6] as const) {
    const bench = new ElementBench([mtu(1280)]);
    bench.send(0, segment(version, [], 1200));
    bench.send(1, segment(version, [], 1300));
    bench.run();
    assert.equal(bench.arrivals.length, 1);
    assert.equal(bench.returned.length, 1);
    const error = bench.returned[0]?.bytes as Uint8Array;
    const view = new DataView(error.buffer);
    const at = version === 4 ? 20 : 40;
    assert.equal(error.length, version === 4 ? 576 : 1280);
    assert.deepEqual([...error.subarray(at, at + 2)], version === 4 ? [3, 4] : [2, 0]);
    assert.equal(view.getUint32(at + 4), 1280);
    const pseudo = version === 4 ? 0 : sum(error, 8, 40, error.length - 40 + 58);
    assert.equal(fold(sum(error, at, error.length, pseudo)), 0, 'the ICMP checksum is right');
    if (version === 4) assert.equal(fold(sum(error, 0, 20)), 0, 'and the header’s');
    assert.equal(bench.pool.live, 0);
  }
  const silent = new ElementBench([mtu(1280, { icmp: false })]);
  silent.send(0, segment(4, [], 1300));
  silent.run();
  assert.deepEqual([silent.arrivals.length, silent.returned.length], [0, 0]);
});

test('strip options · named options become NOPs, the checksum stays right', () => {
  // MSS, NOP, window scale, SACK permitted, timestamps, end: the last at an odd offset once.
  const options = [2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 0];
  for (const version of [4, 6] as const) {
    const bench = new ElementBench([stripOptions(3, 8)]);
    bench.send(0, segment(version, options, 33));
    bench.run();
    const bytes = bench.arrivals[0]?.bytes as Uint8Array;
    const at = (version === 4 ? 20 : 40) + 20;
    const want = [2, 4, 5, 180, 1, 1, 1, 1, 4, 2, ...new Array<number>(13).fill(1), 0];
    assert.deepEqual([...bytes.subarray(at, at + options.length)], want);
    assert.equal(tcpSum(bytes, version), 0);
  }
});

test('strip options · a damaged packet stays damaged, rubbish passes untouched', () => {
  const damaged = segment(4, [3, 3, 7, 1], 10);
  damaged[50] = 0x5a;
  const rubbish = new Random(7).fill(new Uint8Array(64));
  rubbish.set([0x45, 0, 0, 64, 0, 0, 0, 0, 64, 6]);
  rubbish[32] = 0xf0; // a header longer than the packet
  const bench = new ElementBench([stripOptions(3)]);
  bench.send(0, damaged);
  bench.send(1, rubbish);
  bench.run();
  assert.notEqual(tcpSum(bench.arrivals[0]?.bytes as Uint8Array, 4), 0);
  assert.deepEqual(bench.arrivals[1]?.bytes, rubbish);
});

test('elements in a row · frames meet them in order, and a seed decides everything', () => {
  const run = (seed: number): { bench: ElementBench; seen: number } => {
    let seen = 0;
    const count = tap(() => seen++);
    const bench = new ElementBench(
      [loss(0.1), count, rate(100e6), delay(5000), jitter(300), reorder(0.1, 500), corrupt(0.1)],
      seed,
    );
    bench.train(5000, 200, 20);
    bench.run();
    assert.equal(bench.pool.live, 0);
    return { bench, seen };
  };
  const first = run(42);
  assert.ok(first.seen < 5000 && first.seen > 4000, 'the tap is behind the loss');
  assert.deepEqual(run(42).bench.arrivals, first.bench.arrivals);
  assert.notDeepEqual(run(43).bench.arrivals, first.bench.arrivals);
});

test('schedule · fires in order of time, then of setting; moving and cancelling hold', () => {
  const schedule = new Schedule();
  const random = new Random(3);
  class Note extends Actor {
    fire(): void { /* never called here */ }
  }
  const actors = Array.from({ length: 500 }, () => new Note());
  const wanted = new Map<Note, [number, number]>();
  for (let round = 0; round < 5000; round++) {
    const actor = random.pick(actors);
    if (random.chance(0.2)) {
      schedule.cancel(actor);
      wanted.delete(actor);
    } else {
      const dueUs = random.below(300);
      schedule.set(actor, dueUs);
      wanted.set(actor, [dueUs, round]);
    }
  }
  const order = [...wanted].sort(([, a], [, b]) => a[0] - b[0] || a[1] - b[1]);
  for (const [actor] of order) assert.equal(schedule.take(), actor);
  assert.equal(schedule.size, 0);
});
