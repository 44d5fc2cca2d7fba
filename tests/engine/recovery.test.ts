/**
 * The flight and RFC 6675 loss marks against a naive model: an array of MSS-sized segments that is
 * walked in full for every ACK. Also the bounds: records looked at for an ACK, hostile SACKs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, COUNTERS_AT } from '../../assembly/abi.js';
import {
  AF_DUPLICATE, Ca, Engine, LOST, RETRANS, Random, SACKED, type State, compileRecovery,
} from './recovery-engine.js';

const module = compileRecovery('flight');
const MSS = 1000;

interface Segment {
  seq: number;
  end: number;
  sacked: boolean;
  lost: boolean;
  retrans: boolean;
  ever: boolean;
  judged: boolean;
}

interface Undo {
  partial: boolean;
  /** The same, but retransmissions are out: nothing is judged before they have told. */
  held: boolean;
  loss: boolean;
}

/** What RFC 6675 says, word by word, on MSS-sized pieces; positions from 0, no wrap. */
class Model {
  flight: Segment[] = [];
  una = 0;
  nxt = 0;
  dupAcks = 0;
  reordering = 3;
  highSack = 0;

  send(segments: number): void {
    for (let k = 0; k < segments; k++) {
      const seq = this.nxt;
      this.nxt += MSS;
      const fresh = { sacked: false, lost: false, retrans: false, ever: false, judged: false };
      this.flight.push({ seq, end: this.nxt, ...fresh });
    }
  }

  /** `undo`: what recovery took back with this ACK; whether, it decides and not the model. */
  ack(
    ack: number, blocks: readonly (readonly [number, number])[], caState: number, undo: Undo,
  ): void {
    const priorUna = this.una;
    const priorHigh = this.highSack;
    const advanced = ack > this.una;
    this.una = Math.max(this.una, ack);
    let lowest = Infinity;
    let news = false;
    for (const [start, end] of blocks) {
      if (end > this.nxt || start >= end || start <= this.una) continue;
      for (const s of this.flight) {
        if (s.sacked || s.seq < start || s.end > end) continue;
        if (!s.ever) lowest = Math.min(lowest, s.seq);
        s.sacked = true;
        s.lost = s.retrans = false;
        this.highSack = Math.max(this.highSack, s.end);
        news = true;
      }
    }
    for (const s of this.flight) {
      if (s.seq < ack && !s.sacked && !s.ever) lowest = Math.min(lowest, s.seq);
    }
    this.flight = this.flight.filter((s) => s.end > ack);
    const first = this.flight[0];
    if (first && first.seq < ack) first.seq = ack;
    this.highSack = Math.max(this.highSack, this.una);
    if (lowest < priorHigh) {
      const distance = Math.ceil((priorHigh - lowest) / MSS);
      this.reordering = Math.min(Math.max(this.reordering, distance), 255);
    }
    this.dupAcks = advanced ? 0 : this.dupAcks + (news ? 1 : 0);
    if (undo.partial || undo.held) {
      const distance = Math.ceil((this.highSack - priorUna) / MSS);
      this.reordering = Math.min(Math.max(this.reordering, distance), 255);
    }
    if (undo.held) return;
    if (undo.partial || undo.loss) for (const s of this.flight) s.lost = s.judged = false;
    if (news || caState !== Ca.Open) this.detect(caState, advanced);
  }

  detect(caState: number, advanced: boolean): void {
    for (const s of this.flight) {
      if (s.sacked || s.judged || !this.isLost(s)) continue;
      s.judged = true;
      s.lost = true;
    }
    // An ACK that ends recovery or loss takes Open's rules; the test tells by `caState`.
    const open = caState < Ca.Recovery;
    const first = this.flight[0];
    if (!open || advanced || !first || this.dupAcks < this.reordering) return;
    if (!first.sacked && this.sum('lost') === 0) first.lost = true;
  }

  isLost(s: Segment): boolean {
    let bytes = 0;
    let pieces = 0;
    let inside = false;
    for (const other of this.flight) {
      if (other.seq <= s.seq) continue;
      if (other.sacked) bytes += other.end - other.seq;
      if (other.sacked && !inside) pieces++;
      inside = other.sacked;
    }
    return bytes > (this.reordering - 1) * MSS || pieces >= this.reordering;
  }

  sum(mark: 'sacked' | 'lost' | 'retrans'): number {
    return this.flight.reduce((n, s) => n + (s[mark] ? s.end - s.seq : 0), 0);
  }

  retransmit(seq: number, bytes: number): void {
    for (const s of this.flight) {
      if (s.seq >= seq && s.end <= seq + bytes) s.retrans = s.ever = true;
    }
  }

  timeout(caState: number): void {
    const forget = this.flight[0]?.sacked ?? false;
    if (caState <= Ca.Disorder && this.sum('sacked') >= this.reordering * MSS) {
      this.reordering = Math.min(this.reordering, 3);
    }
    if (forget) this.highSack = this.una;
    for (const s of this.flight) {
      if (forget) s.sacked = false;
      s.judged = true;
      s.lost = !s.sacked;
      s.retrans = false;
    }
    this.dupAcks = 0;
  }
}

function counter(engine: Engine, which: Counter): number {
  return engine.u32[(COUNTERS_AT >> 2) + 2 * which] as number;
}

interface Undone extends Undo {
  dsack: boolean;
  counts: number[];
}

/** What was undone since `before`. */
function undoOf(engine: Engine, before?: Undone): Undone {
  const counts = [
    Counter.TcpExtTCPPartialUndo, Counter.TcpExtTCPTSReorder, Counter.TcpExtTCPLossUndo,
    Counter.TcpExtTCPDSACKUndo,
  ].map((which) => counter(engine, which));
  const [partial, seen, loss, dsack] = counts.map((n, at) => n !== before?.counts[at]);
  return {
    partial: partial === true, held: seen === true && partial === false, loss: loss === true,
    dsack: dsack === true, counts,
  };
}

/** Blocks as a peer might report them: mostly honest, some absurd. Positions from 0. */
function randomBlocks(random: Random, m: Model, ack: number): [number, number][] {
  const blocks: [number, number][] = [];
  const span = Math.max((m.nxt - ack) / MSS, 1);
  for (let n = random.below(4); n > 0; n--) {
    let start = ack + random.below(span) * MSS;
    let end = start + (1 + random.below(random.below(8) === 0 ? span : 4)) * MSS;
    if (random.below(20) === 0) start += random.below(MSS);
    if (random.below(20) === 0) end -= random.below(MSS);
    if (random.below(50) === 0) [start, end] = [end, start];
    if (random.below(50) === 0) start -= 3 * MSS;
    blocks.push([start, end]);
  }
  return blocks;
}

/** Every byte's marks, and every count, as the model has them. */
function compare(engine: Engine, m: Model, base: number, what: string): State {
  const s = engine.state();
  const wrong = engine.call('testCheck', 0);
  assert.equal(wrong, 0, `${what}: segmentsCheck`);
  assert.equal(s.sackedBytes, m.sum('sacked'), `${what}: sackedBytes`);
  assert.equal(s.lostBytes, m.sum('lost'), `${what}: lostBytes`);
  assert.equal(s.retransBytes, m.sum('retrans'), `${what}: retransBytes`);
  assert.equal(s.reordering, m.reordering, `${what}: reordering`);
  assert.equal((s.highSack - base) >>> 0, m.highSack, `${what}: highSack`);
  const pipe = m.nxt - m.una - s.sackedBytes - s.lostBytes + s.retransBytes;
  assert.equal(s.pipe, pipe, `${what}: pipe`);
  let at = 0;
  for (const r of engine.records()) {
    const end = ((r.seq - base) >>> 0) + r.length;
    for (let seg = m.flight[at]; seg && seg.seq < end; seg = m.flight[++at]) {
      const flags = (seg.sacked ? SACKED : 0) | (seg.lost ? LOST : 0) | (seg.retrans ? RETRANS : 0);
      assert.equal(r.flags & 7, flags, `${what}: marks at ${seg.seq}`);
      assert.ok(seg.end <= end, `${what}: record ends within a segment`);
    }
  }
  assert.equal(at, m.flight.length, `${what}: all segments have a record`);
  return s;
}

/**
 * A peer on a path that loses but never reorders: SACKs go upward only, holes are filled by what
 * was sent again. Returns the ACK and its blocks.
 */
function orderlyPeer(random: Random, m: Model): [number, [number, number][]] {
  let ack = m.una;
  for (const s of m.flight) {
    if (!s.sacked && !s.ever && (s.seq < m.highSack || random.below(6) === 0)) break;
    if (!s.sacked && random.below(4) === 0) break;
    ack = s.end;
  }
  const from = Math.max(m.highSack, ack) + (1 + random.below(2)) * MSS;
  const to = from + (1 + random.below(3)) * MSS;
  return [ack, to <= m.nxt ? [[from, to]] : []];
}

function randomPeer(random: Random, m: Model): [number, [number, number][]] {
  let ack = m.una;
  if (random.below(3) === 0) ack += random.below(m.flight.length + 1) * MSS;
  if (random.below(12) === 0) ack += random.below(MSS);
  ack = Math.min(Math.max(ack, m.una), m.nxt);
  return [ack, randomBlocks(random, m, ack)];
}

function randomStep(
  engine: Engine, m: Model, random: Random, base: number, orderly: boolean,
): void {
  const before = engine.state();
  const kind = random.below(100);
  engine.advance(random.below(3) * 500);
  if (kind < 30) {
    const segments = 1 + random.below(random.below(4) === 0 ? 40 : 3);
    if (m.flight.length > 120) return;
    assert.equal(engine.call('testSend', 0, segments * MSS, 0), 1);
    m.send(segments);
  } else if (kind < 75) {
    const [ack, blocks] = orderly ? orderlyPeer(random, m) : randomPeer(random, m);
    const undone = undoOf(engine);
    engine.ack(0, base + ack, blocks.map(([s, e]) => [base + s, base + e] as const));
    const undo = undoOf(engine, undone);
    const ended = before.caState >= Ca.Recovery && engine.state().caState < Ca.Cwr;
    const left = ended || undo.partial || undo.loss || undo.dsack;
    m.ack(ack, blocks, left ? Ca.Disorder : before.caState, undo);
  } else if (kind < 95) {
    const bytes = engine.call('testRetransmit', 0, (1 + random.below(5)) * MSS);
    const seq = (engine.result() - base) >>> 0;
    const head = m.flight.find((s) => s.lost && !s.retrans);
    assert.equal(bytes !== 0, head !== undefined, 'something is lost');
    if (bytes) m.retransmit(seq, bytes);
  } else if (kind < 98) {
    const bytes = engine.call('testForward', 0);
    if (bytes) m.retransmit((engine.result() - base) >>> 0, bytes);
  } else if (m.flight.length && (!orderly || random.below(8) === 0)) {
    engine.call('testTimeout', 0);
    m.timeout(before.caState);
  }
}

test('flight · 120,000 random sends, ACKs, SACKs, repairs, time-outs · as the model', () => {
  const steps = [0, 0, 0, 0, 0];
  for (let seed = 1; seed <= 60; seed++) {
    const engine = new Engine(module, 4096);
    const random = new Random(seed);
    const base = seed % 3 === 0 ? 0xffffff00 : random.below(2 ** 31); // the wrap is crossed
    engine.call('testOpen', 0, base, MSS, 1);
    const m = new Model();
    m.una = m.nxt = m.highSack = 0;
    for (let step = 0; step < 2000; step++) {
      randomStep(engine, m, random, base, seed % 2 === 0);
      const now = compare(engine, m, base, `seed ${seed} step ${step}`);
      steps[now.caState]!++;
    }
    assert.equal(engine.call('testRelease', 0), 0, 'all records are back');
  }
  for (const state of [Ca.Open, Ca.Disorder, Ca.Recovery, Ca.Loss]) {
    assert.ok(steps[state]! > 10000, `each state was tried: ${steps}`);
  }
});

test('flight of 85,000 records · every second one SACKed by ACKs · no walk', () => {
  const engine = new Engine(module, 200000);
  const count = 85000;
  engine.call('testOpen', 0, 7, MSS, 1);
  for (let n = 0; n < count; n++) {
    engine.advance(1);
    engine.call('testSend', 0, MSS, 0);
  }
  assert.equal(engine.state().segmentCount, count);
  let most = 0;
  for (let n = 1; n < count; n += 2) {
    engine.ack(0, 7, [[7 + n * MSS, 7 + (n + 1) * MSS]]);
    most = Math.max(most, engine.state().visited);
  }
  assert.ok(most <= 8, `records looked at for one ACK: ${most}`);
  assert.equal(engine.state().sackedBytes, (count / 2) * MSS);
  // The holes close in one block: as many steps as records change, and the SACKed between them.
  engine.ack(0, 7, [[7 + MSS, 7 + count * MSS]]);
  assert.ok(engine.state().visited <= count + 8);
  engine.ack(0, 7, [[7 + MSS, 7 + count * MSS]]);
  assert.ok(engine.state().visited <= 4, 'told again, it costs nothing');
  assert.equal(engine.state().segmentCount, 2, 'SACKed neighbours are one record');
  assert.equal(engine.call('testCheck', 0), 0);
});

test('super-segments · hostile SACK pieces at small MSS · the pool stays everyone’s', () => {
  const engine = new Engine(module, 1024);
  const mss = 48;
  for (let i = 0; i < 12; i++) {
    engine.call('testOpen', i, 0, mss, 1);
    for (let n = 0; n < 16; n++) {
      engine.advance(10);
      assert.equal(engine.call('testSend', i, mss * 1365, 0), 1);
    }
  }
  const exhausted = (): number => counter(engine, Counter.AckornSegmentsExhausted);
  for (let i = 0; i < 11; i++) {
    for (let n = 1; n < 8000; n += 2) engine.ack(i, 0, [[n * mss, (n + 1) * mss]]);
  }
  assert.ok(exhausted() > 0, 'pieces beyond the share were ignored');
  // The first one takes half of the pool; from then on each has its eighth.
  for (let i = 0; i < 11; i++) {
    const most = i === 0 ? 1024 / 2 + 1 : 1024 / 8;
    assert.ok(engine.state(i).segmentCount <= most, `${i}: ${engine.state(i).segmentCount}`);
    assert.equal(engine.call('testCheck', i), 0);
  }
  // The neighbour still sends, is SACKed, and repairs.
  engine.ack(11, mss * 1365 * 16);
  assert.equal(engine.call('testSend', 11, mss * 20, 0), 1, 'a connection with no flight may send');
  assert.equal(engine.call('testCheck', 11), 0);
});

test('loss · no record left to cut the super-segment · one segment at a time, and no stall', () => {
  const engine = new Engine(module, 1);
  engine.call('testOpen', 0, 0, MSS, 1);
  assert.equal(engine.call('testSend', 0, 4 * MSS, 0), 1);
  engine.advance(10);
  assert.equal(engine.call('testSend', 0, MSS, 0), 0, 'no record, no new data');
  engine.call('testTimeout', 0);
  for (let n = 0; n < 4; n++) {
    assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
    assert.equal(engine.result(), n * MSS);
    assert.equal(engine.call('testRetransmit', 0, MSS), 0, 'not again before an answer');
    engine.ack(0, (n + 1) * MSS);
    assert.equal(engine.call('testCheck', 0), 0);
  }
  assert.equal(engine.state().poolUsed, 0);
});

test('established · three duplicate ACKs without SACK · NewReno repairs hole by hole', () => {
  const engine = new Engine(module, 256);
  engine.call('testOpen', 0, 0, MSS, 0);
  for (let n = 0; n < 10; n++) {
    engine.advance(100);
    engine.call('testSend', 0, MSS, 0);
  }
  engine.call('testValidate', 0, 1);
  // Segments 1 and 4 are lost.
  engine.advance(50000);
  engine.ack(0, MSS);
  assert.equal(engine.state().quota, 1 * MSS + MSS, 'slow start: one acknowledged, one more');
  engine.call('testSend', 0, 2 * MSS, 0);
  for (let n = 1; n <= 2; n++) {
    engine.ack(0, MSS, [], AF_DUPLICATE);
    assert.equal(engine.state().quota, MSS, 'limited transmit: one new segment for each');
    engine.call('testSend', 0, MSS, 0);
    assert.equal(engine.call('testRetransmit', 0, MSS), 0);
  }
  engine.ack(0, MSS, [], AF_DUPLICATE);
  let s = engine.state();
  assert.equal(s.caState, Ca.Recovery);
  assert.equal(s.ssthresh, 5500);
  assert.equal(engine.call('testRetransmit', 0, s.quota), MSS);
  assert.equal(engine.result(), MSS);
  engine.ack(0, 4 * MSS); // partial: up to the second hole
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  assert.equal(engine.result(), 4 * MSS);
  engine.ack(0, engine.state().sndNxt);
  s = engine.state();
  // Exactly the recovery point: NewReno waits for more than that.
  assert.equal(s.caState, Ca.Recovery);
  engine.call('testSend', 0, MSS, 0);
  engine.ack(0, engine.state().sndNxt);
  s = engine.state();
  assert.equal(s.caState, Ca.Open);
  assert.equal(s.cwnd, 5500);
  assert.equal(engine.call('testCheck', 0), 0);
});

test('established · one loss with SACK · cwnd ends at half, nothing is sent twice', () => {
  const engine = new Engine(module, 1024);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testSend', 0, 10 * MSS, 0);
  engine.call('testValidate', 0, 1);
  engine.advance(50000);
  const sent: number[] = [];
  let high = MSS;
  for (let n = 1; n < 10; n++) {
    high += MSS;
    engine.ack(0, 0, [[MSS, high]]);
    for (let q = engine.state().quota; q >= MSS; q = engine.state().quota) {
      if (engine.call('testRetransmit', 0, MSS)) sent.push(engine.result());
      else engine.call('testSend', 0, MSS, 0);
    }
  }
  assert.deepEqual(sent, [0], 'the one hole, once');
  const s = engine.state();
  assert.equal(s.caState, Ca.Recovery);
  assert.equal(s.ssthresh, 5 * MSS);
  assert.ok(s.pipe <= 6 * MSS && s.pipe >= 4 * MSS, `pipe near ssthresh: ${s.pipe}`);
  engine.ack(0, s.sndNxt);
  assert.equal(engine.state().caState, Ca.Open);
  // The last ACK's own delivery, a window of it, is congestion avoidance again.
  assert.equal(engine.state().cwnd, 6 * MSS);
});

test('established · small segments · three SACKed pieces above make one lost (IsLost)', () => {
  const engine = new Engine(module, 256);
  engine.call('testOpen', 0, 0, MSS, 1);
  for (let n = 0; n < 8; n++) {
    engine.advance(10);
    engine.call('testSend', 0, 100, 0);
  }
  engine.ack(0, 0, [[100, 200], [300, 400]]);
  assert.equal(engine.state().lostBytes, 0);
  engine.ack(0, 0, [[500, 600]]);
  assert.equal(engine.state().lostBytes, 100, 'the first; three pieces are above it alone');
  engine.ack(0, 0, [[700, 800]]);
  assert.equal(engine.state().lostBytes, 200);
  assert.equal(engine.call('testCheck', 0), 0);
});

test('recovery · cwnd comes down in step with the ACKs (PRR) · one segment for every two', () => {
  const engine = new Engine(module, 256);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testSend', 0, 10 * MSS, 0);
  engine.call('testValidate', 0, 1);
  engine.ack(0, 10 * MSS); // cwnd 20
  engine.call('testSend', 0, 20 * MSS, 0);
  let silent = 0;
  let sent = 0;
  for (let n = 12; n <= 30; n++) {
    engine.ack(0, 10 * MSS, [[11 * MSS, n * MSS]]);
    silent++;
    while (engine.state().quota >= MSS) {
      if (!engine.call('testRetransmit', 0, MSS)) engine.call('testSend', 0, MSS, 0);
      silent = 0;
      sent++;
    }
    assert.ok(silent <= 2, `no stop: ${silent} ACKs without sending at ${n}`);
  }
  assert.equal(engine.state().ssthresh, 10 * MSS);
  assert.ok(Math.abs(sent - 11) <= 1, `half of what was delivered: ${sent}`);
});

test('recovery · the tail is lost as well · one rescue retransmission of the last segment', () => {
  const engine = new Engine(module, 256);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testSend', 0, 10 * MSS, 0);
  engine.advance(30000);
  for (let n = 2; n <= 4; n++) engine.ack(0, 0, [[MSS, n * MSS]]);
  assert.equal(engine.call('testForward', 0), 0, 'a lost one goes first');
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  assert.equal(engine.call('testForward', 0), 0, 'no rescue before the first is acknowledged');
  engine.ack(0, 4 * MSS);
  assert.equal(engine.call('testForward', 0), MSS);
  assert.equal(engine.result(), 9 * MSS);
  assert.equal(engine.call('testForward', 0), 0, 'once in a recovery');
  assert.equal(engine.call('testCheck', 0), 0);
});

test('loss · the head was SACKed and then thrown away · all is sent again', () => {
  const engine = new Engine(module, 256);
  engine.call('testOpen', 0, 0, MSS, 1);
  for (let n = 0; n < 6; n++) {
    engine.advance(10);
    engine.call('testSend', 0, MSS, 0);
  }
  engine.ack(0, 0, [[MSS, 4 * MSS]]);
  engine.ack(0, MSS);
  engine.call('testTimeout', 0);
  const s = engine.state();
  assert.equal(s.sackedBytes, 0);
  assert.equal(s.lostBytes, 5 * MSS);
  assert.equal(s.cwnd, MSS);
  assert.equal(s.caState, Ca.Loss);
  assert.equal(counter(engine, Counter.TcpExtTCPSACKReneging), 1);
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  assert.equal(engine.result(), MSS, 'the head first');
});
