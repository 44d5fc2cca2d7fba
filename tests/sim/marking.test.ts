/**
 * Congestion marks on a link: the bits and their checksum, marks by chance and above a threshold,
 * CoDel's law (RFC 8289) to the packet, and two engines that answer marks instead of losses
 * (RFC 3168). And a middlebox that takes window scale out of a SYN alone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineConfig } from '../../host/core/config.js';
import {
  codel, Codel, delay, mark, markAbove, rate, stripOptions, tailDrop, tap, type Discipline,
} from '../../host/sim/elements/index.js';
import { connect, Server, Simulation, type ElementFactory } from '../../host/sim/index.js';
import { ecnOf, markCe } from '../../host/sim/packet.js';
import { decodeFrame } from '../../host/node/decode/index.js';
import { tcpFrame } from '../support/frames.js';
import { ElementBench } from './bench.js';
import { engine } from './module.js';

const ENDS = {
  4: { from: '10.0.0.1', to: '10.0.0.2' }, 6: { from: 'fd00::1', to: 'fd00::2' },
} as const;
const MS = 1000;

/** A TCP packet of `length` bytes with this TOS byte; its seq is `number`. */
function packet(version: 4 | 6, tos: number, length = 1000, number = 0): Uint8Array {
  const payload = new Uint8Array(length - (version === 4 ? 40 : 60));
  const fields = { ...ENDS[version], sourcePort: 1, destinationPort: 2, seq: number };
  return tcpFrame(fields, payload, { tos });
}

function seqOf(bytes: Uint8Array): number {
  const { transport } = decodeFrame(bytes);
  assert.ok(transport?.kind === 'tcp');
  return transport.seq;
}

for (const version of [4, 6] as const) {
  test(`IPv${version} · ECT(0), ECT(1), CE become CE and stay well-formed, Not-ECT stays`, () => {
    for (const tos of [0xb8, 0xb9, 0xba, 0xbb]) {
      const before = packet(version, tos);
      const bytes = before.slice();
      assert.equal(ecnOf(bytes, bytes.length), tos & 3);
      assert.equal(markCe(bytes, bytes.length), (tos & 3) !== 0);
      if ((tos & 3) === 0) assert.deepEqual(bytes, before);
      const { ip, issues } = decodeFrame(bytes);
      assert.deepEqual(issues, []);
      const got = ip?.version === 4 ? ip.tos : ip?.trafficClass;
      assert.equal(got, (tos & 3) === 0 ? tos : 0xbb);
    }
  });
}

test('marks · what is no IP packet stays as it is', () => {
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0x45, 2), new Uint8Array(40).fill(0x32)]) {
    const copy = bytes.slice();
    assert.equal(markCe(copy, copy.length), false);
    assert.deepEqual(copy, bytes);
  }
});

test('mark · the share is the probability; Not-ECT passes', () => {
  const bench = new ElementBench([mark(0.2)]);
  const count = 5000;
  for (let at = 0; at < count; at++) bench.send(at, packet(4, at % 2 === 0 ? 2 : 0, 60, at));
  bench.run();
  const marked = bench.arrivals.filter(({ bytes }) => ecnOf(bytes, bytes.length) === 3);
  assert.ok(marked.every(({ bytes }) => seqOf(bytes) % 2 === 0));
  const deviation = 5 * Math.sqrt((count / 2) * 0.2 * 0.8);
  assert.ok(Math.abs(marked.length - (count / 2) * 0.2) < deviation, `${marked.length}`);
  assert.equal(bench.arrivals.length, count);
  assert.throws(() => mark(2), RangeError);
});

test('mark above · what finds the queue at the threshold; full is full', () => {
  const run = (limits: Parameters<typeof markAbove>[0]): string => {
    const bench = new ElementBench([rate(8e6, markAbove(limits))]); // 1 byte a µs
    for (let at = 0; at < 8; at++) bench.send(0, packet(4, at === 5 ? 0 : 1, 500, at));
    bench.run();
    assert.equal(bench.pool.live, 0);
    return bench.arrivals.map(({ bytes }) => ecnOf(bytes, bytes.length)).join('');
  };
  // One is being sent; the next ones find 0, 500, 1,000 … bytes.
  assert.equal(run({ aboveBytes: 1000 }), '11133033');
  assert.equal(run({ abovePackets: 3, packets: 6 }), '1111303');
});

// ---- CoDel

/** Packets of 1,000 bytes at 1 byte a µs, `everyUs` apart: what came out, and what is missing. */
function overload(
  discipline: () => Discipline, count: number, everyUs: number, tos: number,
): { bench: ElementBench; missing: number[]; markedAtMs: number[] } {
  const bench = new ElementBench([rate(8e6, discipline)]);
  for (let at = 0; at < count; at++) bench.send(at * everyUs, packet(4, tos, 1000, at));
  bench.run();
  assert.equal(bench.pool.live, 0);
  const arrived = new Set(bench.arrivals.map(({ bytes }) => seqOf(bytes)));
  const missing = Array.from({ length: count }, (_, at) => at).filter((at) => !arrived.has(at));
  const marked = bench.arrivals.filter(({ bytes }) => ecnOf(bytes, bytes.length) === 3);
  return { bench, missing, markedAtMs: marked.map(({ timeUs }) => timeUs / MS) };
}

test('CoDel · standing queue · marks an interval later, then at interval / √count', () => {
  const { markedAtMs, missing } = overload(codel(), 800, 800, 2);
  assert.deepEqual(missing, []);
  // Every fifth packet makes the queue one longer: the 25th is the first to wait 5 ms.
  const first = markedAtMs[0] as number;
  assert.ok(first >= 125 && first <= 130, `${first}`);
  let due = first;
  for (const [at, ms] of markedAtMs.slice(0, 12).entries()) {
    assert.ok(Math.abs(ms - due) <= 2, `mark ${at} at ${ms}, not ${due}`);
    due += 100 / Math.sqrt(at + 1);
  }
  assert.ok(markedAtMs.length > 12);
});

test('CoDel · Not-ECT, or told not to mark · drops where it would mark', () => {
  const { bench } = overload(codel(), 300, 800, 2);
  const marked = bench.arrivals.find(({ bytes }) => ecnOf(bytes, bytes.length) === 3);
  for (const [options, tos] of [[{}, 0], [{ ecn: false }, 2]] as const) {
    const { missing, bench: other } = overload(codel(options), 300, 800, tos);
    assert.equal(missing[0], seqOf(marked?.bytes as Uint8Array));
    assert.ok(missing.length >= 2);
    assert.equal(other.elements[0]?.dropped, missing.length);
    assert.ok(other.arrivals.every(({ bytes }) => ecnOf(bytes, bytes.length) === tos));
  }
});

test('CoDel · a burst that drains within an interval, a short wait · nothing is dropped', () => {
  assert.deepEqual(overload(codel(), 90, 1, 0).missing, []);
  assert.deepEqual(overload(codel(), 2000, 1000, 0).missing, []);
  const { missing } = overload(tailDrop({ packets: 1000 }), 400, 800, 0);
  assert.deepEqual(missing, [], 'the same load without it');
});

test('CoDel · queue gone · stops; back soon · goes on about as fast as it was', () => {
  const make = (): { judge: Codel; at: (ms: number, waitMs: number) => boolean } => {
    const judge = codel({ ecn: false })();
    const bytes = packet(4, 0);
    const frame = { bytes, length: bytes.length, vnet: new Uint8Array(10), dueUs: 0 };
    return {
      judge,
      at: (ms, waitMs) => {
        frame.dueUs = (ms - waitMs) * MS;
        return judge.release(frame, ms * MS, 10_000);
      },
    };
  };
  const drops = (of: ReturnType<typeof make>, from: number, until: number): number[] => {
    const list: number[] = [];
    for (let ms = from; ms < until; ms++) while (!of.at(ms, 6)) list.push(ms - from);
    return list;
  };
  const one = make();
  const first = drops(one, 1000, 1600);
  assert.deepEqual(first.slice(0, 4), [100, 200, 271, 329]);
  assert.equal(one.at(1600, 1), true);
  const again = drops(one, 1700, 1900);
  assert.ok((again[1] as number) - (again[0] as number) < 50, `${again.join()}`);
  assert.equal(one.at(1900, 1), true);
  const late = drops(one, 10_000, 10_600);
  assert.deepEqual(late.slice(0, 3), [100, 200, 271], 'much later it begins anew');
  assert.throws(() => codel({ targetUs: -1 }), RangeError);
});

test('CoDel · one packet behind the head is no queue, however long it waited', () => {
  const bench = new ElementBench([rate(8e5, codel())]); // a packet takes 10 ms
  for (let at = 0; at < 100; at++) bench.send(at * 10 * MS, packet(4, 0, 1000, at));
  bench.send(1, packet(4, 0, 1000, 1000));
  bench.run();
  assert.equal(bench.elements[0]?.dropped, 0);
});

// ---- Engines

interface Outcome {
  seconds: number;
  retransmits: number;
  counters: (name: 'TcpExtTCPDeliveredCE' | 'TcpExtTCPTimeouts') => number;
  /** IP headers' codepoints of what the receiver's side saw. */
  seen: Set<number>;
  cwr: number;
  ece: number;
}

function transfer(
  config: EngineConfig, queue: () => Discipline, more: readonly ElementFactory[] = [],
): Outcome {
  const simulation = new Simulation({ module: engine, seed: 5 });
  const a = simulation.host('a', { config });
  const b = simulation.host('b', { config });
  const seen = new Set<number>();
  let cwr = 0;
  let ece = 0;
  const look = tap((bytes) => {
    seen.add(ecnOf(bytes, bytes.length));
    if (((bytes[33] as number) & 0x80) !== 0) cwr++;
  });
  const back = tap((bytes) => { if (((bytes[33] as number) & 0x50) === 0x50) ece++; });
  const link = simulation.link(a, b, {
    forward: [rate(10e6, queue), delay(20 * MS), ...more, look],
    backward: [delay(20 * MS), back],
  });
  const server = new Server(b, 80, () => ({ receiveSeed: 1 }));
  const startUs = simulation.nowUs;
  const bytes = 6e6;
  const end = connect(a, link.addresses[1][0] as never, 80, { sendBytes: bytes, sendSeed: 1 });
  simulation.runWhile(() => end.state === 'open', 60e6);
  assert.equal(end.state, 'done');
  assert.equal(server.ends[0]?.received, bytes);
  assert.equal(server.ends[0]?.wrongAt, -1);
  return {
    seconds: (simulation.nowUs - startUs) / 1e6, seen, cwr, ece,
    retransmits: a.engine.counter('TcpRetransSegs'),
    counters: (name) => a.engine.counter(name),
  };
}

test('two engines · tcp_ecn 1, CoDel · marks are answered, nothing is lost', () => {
  const ecn = transfer({ tcp_ecn: 1 }, codel());
  assert.equal(ecn.retransmits, 0);
  assert.ok(ecn.seen.has(2) && ecn.seen.has(3) && !ecn.seen.has(1));
  assert.ok(ecn.cwr > 1 && ecn.ece > 1, `${ecn.cwr} CWR, ${ecn.ece} ECE`);
  assert.ok(ecn.counters('TcpExtTCPDeliveredCE') > 0);
  assert.ok(ecn.seconds < 6e6 * 8 / 10e6 / 0.8, `${ecn.seconds} s`);
  const without = transfer({ tcp_ecn: 2 }, codel());
  assert.ok(without.retransmits > 0, 'without ECN the same queue drops');
  assert.deepEqual([...without.seen], [0]);
  assert.equal(without.cwr + without.ece, 0);
});

test('two engines · marks above a threshold · the queue never fills', () => {
  const limits = { aboveBytes: 15_000, bytes: 60_000 };
  const ecn = transfer({ tcp_ecn: 1 }, markAbove(limits));
  assert.equal(ecn.retransmits, 0);
  assert.ok(ecn.cwr > 1);
});

test('two engines · one in a hundred marked by chance · cwnd comes down, nothing again', () => {
  const marked = transfer({ tcp_ecn: 1 }, tailDrop({ packets: 1000 }), [mark(0.01)]);
  assert.equal(marked.retransmits, 0);
  assert.ok(marked.cwr > 5);
});

test('strip window scale alone · both ends fall back to 64 KiB, all else stays agreed', () => {
  const simulation = new Simulation({ module: engine, seed: 5 });
  const a = simulation.host('a');
  const b = simulation.host('b');
  const options: string[] = [];
  const windows: number[] = [];
  const link = simulation.link(a, b, {
    elements: [stripOptions(3), tap((bytes) => {
      const { transport, issues } = decodeFrame(bytes);
      assert.deepEqual(issues, []);
      assert.ok(transport?.kind === 'tcp' && transport.checksum.status === 'good');
      if ((transport.flags & 2) !== 0) options.push(transport.options.map((o) => o.name).join());
      else windows.push(transport.window);
    })],
  });
  new Server(b, 80, () => ({ receiveSeed: 1 }));
  const end = connect(a, link.addresses[1][0] as never, 80, { sendBytes: 1e6, sendSeed: 1 });
  simulation.runWhile(() => end.state === 'open', 60e6);
  assert.equal(end.state, 'done');
  // NOPs where window scale stood, behind the one that was there; the answer has none.
  assert.deepEqual(options, ['mss,sackOK,TS,nop,nop,nop,nop', 'mss,sackOK,TS']);
  assert.ok(Math.max(...windows) > 32_768, 'unscaled windows');
});
