/**
 * Recovery over a simulated path (delay, loss, a bottleneck), RTT and RTO against a BigInt model,
 * delivery rate, back-off and giving up, windows after idle time. Numbers by RFC 6298 and Linux.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Config } from '../../assembly/abi.js';
import { AF_DUPLICATE, Ca, Engine, Random, compileRecovery } from './recovery-engine.js';

const module = compileRecovery('path');
const MSS = 1000;
const DELAY = 20000;

interface Packet {
  at: number;
  seq: number;
  length: number;
}

interface Result {
  us: number;
  timeouts: number;
  needless: number;
  cwnds: number[];
}

/** A receiver that keeps what it gets and reports the newest three ranges. */
class Receiver {
  next = 0;
  ranges: [number, number][] = [];
  needless = 0;

  /** Returns whether the data was in order. */
  take(start: number, end: number): boolean {
    if (end <= this.next || this.ranges.some(([s, e]) => s <= start && end <= e)) {
      this.needless++;
      return false;
    }
    let range: [number, number] = [start, end];
    const others: [number, number][] = [];
    for (const r of this.ranges) {
      if (r[0] > range[1] || r[1] < range[0]) others.push(r);
      else range = [Math.min(r[0], range[0]), Math.max(r[1], range[1])];
    }
    if (range[0] > this.next) {
      this.ranges = [range, ...others];
      return false;
    }
    this.next = range[1];
    this.ranges = others;
    return true;
  }
}

/** Sends `total` segments over a path that drops by `drop`, `usPerSegment` at the bottleneck. */
class Path {
  readonly engine: Engine;
  readonly receiver = new Receiver();
  #data: Packet[] = [];
  #acks: { at: number; ack: number; blocks: [number, number][]; duplicate: boolean }[] = [];
  #free = 0;
  #sent = 0;
  #deadline = Infinity;
  readonly result: Result = { us: 0, timeouts: 0, needless: 0, cwnds: [] };

  constructor(
    readonly sack: boolean, readonly total: number, readonly usPerSegment: number,
    readonly drop: (seq: number) => boolean,
  ) {
    this.engine = new Engine(module, 4096);
    this.engine.call('testOpen', 0, 0, MSS, sack ? 1 : 0);
  }

  #transmit(seq: number, length: number): void {
    for (let at = seq; at < seq + length; at += MSS) {
      this.#free = Math.max(this.#free, this.engine.now) + this.usPerSegment;
      if (!this.drop(at)) this.#data.push({ at: this.#free + DELAY, seq: at, length: MSS });
    }
  }

  #output(): void {
    const { engine } = this;
    for (let turn = 0; ; turn++) {
      assert.ok(turn < 10000, 'output comes to an end');
      const quota = engine.state().quota;
      if (quota < MSS) break;
      const again = engine.call('testRetransmit', 0, quota);
      if (again) {
        this.#transmit(engine.result(), again);
      } else if (this.#sent < this.total) {
        assert.equal(engine.call('testSend', 0, MSS, 0), 1);
        this.#transmit(this.#sent * MSS, MSS);
        this.#sent++;
      } else {
        const forward = engine.call('testForward', 0);
        if (!forward) break;
        this.#transmit(engine.result(), forward);
      }
    }
    engine.call('testValidate', 0, this.#sent < this.total ? 1 : 0);
    if (this.#deadline === Infinity) this.#deadline = engine.now + engine.state().rtoUs;
  }

  #receive(p: Packet): void {
    const before = this.receiver.next;
    this.receiver.take(p.seq, p.seq + p.length);
    const blocks = this.receiver.ranges.slice(0, 3);
    const duplicate = this.receiver.next === before;
    this.#acks.push({ at: p.at + DELAY, ack: this.receiver.next, blocks, duplicate });
  }

  run(): Result {
    const { engine, result } = this;
    this.#output();
    for (let step = 0; engine.state().sndUna < this.total * MSS; step++) {
      assert.ok(step < 400000 && result.timeouts < 200, 'the transfer comes to an end');
      const data = this.#data[0]?.at ?? Infinity;
      const acks = this.#acks[0]?.at ?? Infinity;
      const next = Math.min(data, acks, this.#deadline);
      engine.advance(Math.max(next - engine.now, 0));
      if (next === data) {
        this.#receive(this.#data.shift()!);
      } else if (next === acks) {
        const { ack, blocks, duplicate } = this.#acks.shift()!;
        const before = engine.state().sndUna;
        engine.ack(0, ack, blocks, duplicate ? AF_DUPLICATE : 0);
        if (ack !== before) this.#deadline = Infinity;
        this.#output();
      } else {
        result.timeouts++;
        engine.call('testTimeout', 0);
        this.#deadline = Infinity;
        this.#output();
      }
      assert.equal(engine.call('testCheck', 0), 0);
      result.cwnds.push(engine.state().cwnd);
    }
    result.us = engine.now;
    result.needless = this.receiver.needless;
    return result;
  }
}

test('path · random loss up to 10 %, with and without SACK · all arrives, nothing leaks', () => {
  for (const sack of [true, false]) {
    for (let seed = 1; seed <= 12; seed++) {
      const random = new Random(seed);
      const percent = [1, 3, 10][seed % 3]!;
      const path = new Path(sack, 1500, 100, () => random.below(100) < percent);
      path.run();
      assert.equal(path.receiver.next, 1500 * MSS);
      assert.ok(path.engine.state().caState <= Ca.Loss);
      assert.equal(path.engine.call('testRelease', 0), 0);
    }
  }
});

test('path · eight holes in one window, SACK · repaired in recovery, nothing needless', () => {
  const lost = new Set([200, 203, 204, 210, 222, 223, 230, 241].map((n) => n * MSS));
  const path = new Path(true, 1200, 200, (seq) => lost.delete(seq));
  const result = path.run();
  assert.equal(result.timeouts, 0);
  assert.equal(result.needless, 0, 'nothing was sent twice for nothing');
  assert.equal(path.engine.state().caState, Ca.Open);
});

test('path · the same without SACK · a hole for each round trip, no time-out', () => {
  const lost = new Set([200, 203, 210, 222].map((n) => n * MSS));
  const path = new Path(false, 1200, 200, (seq) => lost.delete(seq));
  const result = path.run();
  assert.equal(result.timeouts, 0);
  assert.equal(result.needless, 0);
});

test('path · a retransmission is lost too · time-out, slow start, all arrives', () => {
  let times = 0;
  const path = new Path(true, 400, 200, (seq) => seq === 100 * MSS && times++ < 2);
  const result = path.run();
  assert.equal(result.timeouts, 1);
  assert.ok(result.cwnds.includes(MSS), 'one segment after the time-out');
  assert.equal(path.engine.state().caState, Ca.Open);
});

test('delivery rate · a bottleneck of 5,000 segments a second · found within 2 %', () => {
  const path = new Path(true, 3000, 200, () => false);
  path.run();
  const rate = path.engine.state().deliveryRate;
  assert.ok(Math.abs(rate - 5e6) < 1e5, `${rate} bytes/s`);
  assert.ok(path.engine.state().minRttUs >= 2 * DELAY);
  assert.ok(path.engine.state().minRttUs <= 2 * DELAY + 400);
});

test('rtt · 20,000 random samples · RFC 6298 in BigInt, floor of Linux', () => {
  for (const seed of [1, 2, 3, 4]) {
    const engine = new Engine(module, 16);
    engine.call('testOpen', 0, 0, MSS, 1);
    assert.equal(engine.state().rtoUs, 1000000, 'before the first sample');
    const random = new Random(seed);
    let srtt8 = 0n;
    let var4 = 0n;
    for (let n = 0; n < 5000; n++) {
      const us = random.below([100, 50000, 1e6, 4e9][random.below(4)]!);
      engine.call('testRtt', 0, us);
      const most = (1n << 28n) - 1n;
      let r = BigInt(us) < most ? BigInt(us) : most;
      if (r === 0n) r = 1n;
      if (srtt8 === 0n) {
        srtt8 = r * 8n;
        var4 = r * 2n;
      } else {
        const srtt = srtt8 / 8n;
        var4 += (srtt > r ? srtt - r : r - srtt) - var4 / 4n;
        srtt8 += r - srtt;
        if (srtt8 < 1n) srtt8 = 1n;
      }
      const s = engine.state();
      assert.equal(BigInt(s.srtt8Us), srtt8);
      assert.equal(BigInt(s.rttvar4Us), var4);
      const rto = srtt8 / 8n + (var4 > 200000n ? var4 : 200000n);
      assert.equal(BigInt(s.rtoUs), rto < 120000000n ? rto : 120000000n);
    }
  }
});

test('rtt · Karn: an ACK of something sent twice is no sample, and keeps the back-off', () => {
  const engine = new Engine(module, 16);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testRtt', 0, 100000);
  const rto = engine.state().rtoUs;
  engine.call('testSend', 0, MSS, 0);
  engine.advance(rto);
  engine.call('testTimeout', 0);
  assert.equal(engine.state().rtoUs, 2 * rto);
  engine.call('testRetransmit', 0, MSS);
  engine.advance(5);
  engine.ack(0, MSS);
  assert.equal(engine.state().rtoUs, 2 * rto);
  engine.call('testSend', 0, MSS, 0);
  engine.advance(100000);
  engine.ack(0, 2 * MSS);
  assert.ok(engine.state().rtoUs <= rto, 'the next plain sample ends it');
  assert.equal(engine.state().srtt8Us, 800000);
  // An ACK that was waiting for the one sent again says nothing about the one behind it either.
  engine.call('testSend', 0, MSS, 0);
  engine.advance(10);
  engine.call('testSend', 0, MSS, 0);
  engine.advance(rto);
  engine.call('testTimeout', 0);
  engine.call('testRetransmit', 0, MSS);
  engine.advance(100000);
  engine.ack(0, 4 * MSS);
  assert.equal(engine.state().srtt8Us, 800000);
});

test('rtt · the SYN was sent again and gave no sample · 3 s, and one segment', () => {
  const engine = new Engine(module, 16);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testHandshake', 0, 1);
  assert.equal(engine.state().rtoUs, 3000000);
  assert.equal(engine.state().cwnd, MSS);
});

test('rtt · the minimum of 300 s · forgotten when the path has grown longer', () => {
  const engine = new Engine(module, 16);
  engine.call('testOpen', 0, 0, MSS, 1);
  const once = (us: number): number => {
    const { sndNxt } = engine.state();
    engine.call('testSend', 0, MSS, 0);
    engine.advance(us);
    engine.ack(0, sndNxt + MSS);
    return engine.state().minRttUs;
  };
  assert.equal(once(10000), 10000);
  for (let s = 0; s < 290; s++) {
    engine.advance(980000);
    assert.equal(once(20000), 10000);
  }
  for (let s = 0; s < 20; s++) {
    engine.advance(980000);
    once(20000);
  }
  assert.equal(engine.state().minRttUs, 20000);
  assert.equal(once(15000), 15000);
});

test('retransmission · R1, R2 and orphans · as long as Linux tries', () => {
  const engine = new Engine(module, 16);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testRtt', 0, 10);
  const verdict = (retries: number, orphan = 0, user = 0, worth = 0): number =>
    engine.call('testVerdict', 0, retries, orphan, user, worth);
  verdict(0, 0, 0, 15);
  assert.equal(engine.result(1), 924600, 'tcp_retries2 15 is 924.6 s');
  verdict(0, 0, 0, 3);
  assert.equal(engine.result(1), 3000, 'tcp_retries1 3 is 3 s');
  const first = (orphan: number, user: number, want: number): number =>
    Array.from({ length: 40 }, (_, n) => n).find((n) => verdict(n, orphan, user) >= want) ?? -1;
  assert.equal(first(0, 0, 1), 4, 'R1: at least three retransmissions');
  // 0.4 + 0.8 + … + 102.4 s are nine; then 120 s each: 924.6 s are passed at the sixteenth.
  assert.equal(first(0, 0, 2), 16);
  assert.equal(first(1, 0, 2), 9, 'an orphan: the worth of eight, 102.2 s, is passed at the ninth');
  assert.equal(first(0, 5000, 2), 4, 'TCP_USER_TIMEOUT: 0.4 + 0.8 + 1.6 + 3.2 s pass 5 s');
  verdict(4, 0, 5000);
  assert.equal(engine.result(0), 2200000, 'and the timer is cut short to meet it');
});

test('cwnd · not filled, it does not grow · idle, it decays to the initial window', () => {
  const engine = new Engine(module, 64);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testRtt', 0, 10000);
  for (let n = 0; n < 20; n++) {
    engine.call('testSend', 0, 2 * MSS, 0);
    engine.call('testValidate', 0, 0);
    engine.advance(10000);
    engine.ack(0, engine.state().sndNxt);
  }
  assert.equal(engine.state().cwnd, 10 * MSS, 'two segments never filled ten');
  for (let n = 0; n < 3; n++) {
    engine.call('testSend', 0, engine.state().quota, 0);
    engine.call('testValidate', 0, 1);
    engine.advance(10000);
    engine.ack(0, engine.state().sndNxt);
  }
  assert.equal(engine.state().cwnd, 80 * MSS, 'slow start doubles what is used');
  engine.call('testIdle', 0, 150);
  assert.equal(engine.state().cwnd, 80 * MSS, 'less than an RTO');
  engine.call('testIdle', 0, 450);
  assert.equal(engine.state().cwnd, 20 * MSS, 'two RTOs');
  assert.equal(engine.state().ssthresh >>> 0, 0xffffffff);
  engine.call('testIdle', 0, 3600000);
  assert.equal(engine.state().cwnd, 10 * MSS);
  engine.configure(Config.tcp_slow_start_after_idle, 0);
  engine.call('testSend', 0, 10 * MSS, 0);
  engine.ack(0, engine.state().sndNxt);
  const { cwnd } = engine.state();
  engine.call('testIdle', 0, 3600000);
  assert.equal(engine.state().cwnd, cwnd);
});

test('cwnd · congestion avoidance · one segment for each window acknowledged', () => {
  const lost = new Set([20 * MSS]);
  const path = new Path(true, 60, 100, (seq) => lost.delete(seq));
  path.run();
  const { engine } = path;
  const start = engine.state().cwnd;
  assert.ok(start >= engine.state().ssthresh, 'past slow start');
  let acked = 0;
  while (engine.state().cwnd === start) {
    engine.call('testSend', 0, MSS, 0);
    engine.call('testValidate', 0, 1);
    engine.ack(0, engine.state().sndNxt);
    acked += MSS;
  }
  assert.equal(engine.state().cwnd, start + MSS);
  assert.ok(acked <= start + MSS);
});
