/**
 * RACK-TLP on the flight: RFC 8985's example, the reordering window, a model that walks the whole
 * flight for every ACK, and bounds: records looked at with 86,000 in flight.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Config, Counter, COUNTERS_AT } from '../../assembly/abi.js';
import {
  AF_DUPLICATE, type Block, Ca, Engine, LOST, RETRANS, Random, SACKED, compileRecovery,
} from './recovery-engine.js';

const module = compileRecovery('rack');
const MSS = 1000;
const RTT = 100_000;

function counter(engine: Engine, which: Counter): number {
  return engine.u32[(COUNTERS_AT >> 2) + 2 * which] as number;
}

interface Setup {
  records?: number;
  tcp_recovery?: number;
  tcp_frto?: number;
}

/** A connection with RACK-TLP and an RTT of 100 ms, known from one segment. */
function rack(setup: Setup = {}): Engine {
  const engine = new Engine(module, setup.records ?? 1024);
  engine.configure(Config.tcp_recovery, setup.tcp_recovery ?? 1);
  engine.configure(Config.tcp_early_retrans, 3);
  engine.configure(Config.tcp_frto, setup.tcp_frto ?? 2);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testSend', 0, MSS, 0);
  engine.advance(RTT);
  engine.ack(0, MSS);
  assert.equal(engine.state().minRttUs, RTT);
  return engine;
}

/** Sends `n` segments `us` apart. */
function sendTrain(engine: Engine, n: number, us = 100): void {
  for (let k = 0; k < n; k++) {
    assert.equal(engine.call('testSend', 0, MSS, 0), 1);
    engine.advance(us);
  }
}

/** Block of whole segments. */
const k = (first: number, last = first + 1): Block => [first * MSS, last * MSS];

/** Numbers of the segments marked lost and not sent again. */
function lost(engine: Engine): number[] {
  return engine.records().filter((r) => (r.flags & (LOST | RETRANS)) === LOST)
    .flatMap((r) => Array.from({ length: r.length / MSS }, (_, n) => r.seq / MSS + n));
}

/** Sends what is lost again as far as the quota goes; its segment numbers. */
function repair(engine: Engine): number[] {
  const sent: number[] = [];
  while (engine.state().quota >= MSS && engine.call('testRetransmit', 0, MSS) !== 0) {
    sent.push(engine.result() / MSS);
  }
  return sent;
}

//= rfc8985 7.3
test('rack · example of RFC 8985 §3 · probe, two losses and a lost retransmission, no RTO', () => {
  const engine = rack();
  sendTrain(engine, 4); // 1 to 4, of which 2, 3 and 4 are lost
  engine.advance(RTT - 400);
  engine.ack(0, 2 * MSS);
  assert.equal(engine.state().probeUs, 2 * RTT + 2000, 'PTO is twice the smoothed RTT');
  engine.advance(2 * RTT + 2000);
  assert.equal(engine.call('testProbe', 0, 0), MSS);
  assert.equal(engine.result(), 4 * MSS, 'the last one');
  engine.advance(RTT);
  engine.ack(0, 2 * MSS, [k(4)]);
  assert.equal(engine.state().caState, Ca.Recovery);
  assert.deepEqual(lost(engine), [2, 3]);
  assert.deepEqual(repair(engine), [2]);
  engine.advance(10);
  // PRR gives the second one with the ACK that follows; here it is sent all the same.
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  engine.advance(RTT);
  engine.ack(0, 2 * MSS, [k(3, 5)]);
  assert.deepEqual(lost(engine), [2], 'its retransmission was sent before that of 3, which came');
  assert.equal(counter(engine, Counter.TcpExtTCPLostRetransmit), 1);
  assert.deepEqual(repair(engine), [2]);
  engine.advance(RTT);
  engine.ack(0, 5 * MSS);
  assert.equal(engine.state().caState, Ca.Open);
  assert.equal(counter(engine, Counter.TcpExtTCPTimeouts), 0);
  assert.equal(engine.call('testCheck', 0), 0);
});

//= rfc8985 6.2
test('rack · one SACK beyond a hole · lost only when a quarter of the RTT has passed', () => {
  const engine = rack();
  sendTrain(engine, 3, 1000);
  engine.advance(RTT - 2000);
  engine.ack(0, MSS, [k(2)]); // 1 is not there yet, sent 1 ms earlier
  let s = engine.state();
  assert.equal(s.caState, Ca.Disorder);
  assert.equal(s.reoWndUs, RTT / 8 > RTT / 4 ? RTT / 8 : RTT / 4);
  assert.equal(s.reorderUs, RTT / 4 - 1000, 'counted from its own transmission');
  engine.advance(s.reorderUs - 1);
  engine.call('testReorderTimer', 0);
  assert.deepEqual(lost(engine), []);
  engine.advance(1);
  engine.call('testReorderTimer', 0);
  assert.deepEqual(lost(engine), [1]);
  s = engine.state();
  assert.equal(s.caState, Ca.Recovery);
  assert.equal(s.quota, MSS, 'one segment: the timer lets no burst out');
  assert.equal(s.reorderUs, 0, 'nothing more to wait for: 3 was sent after 2');
});

test('rack · DupThresh reached, no reordering ever seen · lost at once; bit 4: not', () => {
  for (const [bits, want] of [[1, [1]], [5, []]] as const) {
    const engine = rack({ tcp_recovery: bits });
    sendTrain(engine, 5);
    engine.advance(RTT - 500);
    for (const last of [3, 4]) engine.ack(0, MSS, [k(2, last)]);
    assert.deepEqual(lost(engine), [], 'two are fewer than three');
    engine.ack(0, MSS, [k(2, 5)]);
    assert.deepEqual(lost(engine), [...want]);
  }
});

test('rack · reordering was seen · three SACKs mark nothing, the window does', () => {
  const engine = rack();
  sendTrain(engine, 8);
  engine.advance(RTT - 800);
  engine.ack(0, MSS, [k(2)]);
  engine.ack(0, 3 * MSS); // 1 came after 2
  assert.equal(engine.state().reordSeen, 1);
  for (const last of [5, 6, 7, 8]) engine.ack(0, 3 * MSS, [k(4, last)]);
  assert.deepEqual(lost(engine), []);
  engine.advance(RTT / 4);
  engine.call('testReorderTimer', 0);
  assert.deepEqual(lost(engine), [3]);
});

/** Segment 2 arrives before 1: the first three after the handshake. */
function reorder(engine: Engine): void {
  sendTrain(engine, 3);
  engine.advance(RTT - 300);
  engine.ack(0, MSS, [k(2)]);
  engine.advance(10);
  engine.ack(0, 4 * MSS);
  assert.equal(engine.state().reordSeen, 1);
}

/** The network reorders so that a D-SACK comes for what was sent again. */
function dsack(engine: Engine): void {
  const { sndNxt: seq } = engine.state();
  sendTrain(engine, 3, 1);
  engine.advance(RTT + RTT / 2);
  engine.ack(0, seq, [[seq + MSS, seq + 3 * MSS]]);
  engine.advance(2 * RTT);
  engine.call('testReorderTimer', 0);
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  engine.advance(10);
  engine.ack(0, seq + 3 * MSS);
  engine.advance(RTT);
  engine.ack(0, seq + 3 * MSS, [[seq, seq + MSS]]);
}

//= rfc8985 6.2
test('rack · D-SACK · the window grows by a quarter RTT each, and stays for 16 recoveries', () => {
  const engine = rack();
  reorder(engine);
  const step = (): number => Math.floor(engine.state().minRttUs / 4);
  assert.equal(engine.state().reoWndUs, step());
  dsack(engine);
  assert.equal(engine.state().reoWndUs, 2 * step());
  dsack(engine);
  assert.equal(engine.state().reoWndUs, 3 * step());
  for (let n = 0; n < 12; n++) dsack(engine);
  const { srtt8Us, reoWndUs } = engine.state();
  assert.equal(reoWndUs, srtt8Us >> 3, 'never more than the smoothed RTT');
  // Recoveries that were no mistake: after 16 of them the window is a quarter again.
  for (let n = 1; n <= 16; n++) {
    const { sndNxt: seq } = engine.state();
    sendTrain(engine, 3, 1);
    engine.advance(RTT);
    engine.ack(0, seq, [[seq + MSS, seq + 3 * MSS]]);
    engine.advance(2 * RTT);
    engine.call('testReorderTimer', 0);
    assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
    engine.advance(RTT);
    engine.ack(0, seq + 3 * MSS, [], 0, Math.floor(engine.now / 1000) - RTT / 1000);
    const wide = engine.state().reoWndUs > step();
    assert.equal(wide, n < 16, `after ${n}`);
  }
});

test('rack · tcp_recovery 3 · the window is static, whatever D-SACKs say', () => {
  const engine = rack({ tcp_recovery: 3 });
  reorder(engine);
  dsack(engine);
  dsack(engine);
  assert.equal(engine.state().reoWndUs, Math.floor(engine.state().minRttUs / 4));
});

test('rack · ACK of an original that was sent again · dates nothing (echo, or faster than light)',
  () => {
    for (const echoed of [true, false]) {
      const engine = rack();
      sendTrain(engine, 6);
      engine.advance(RTT - 600);
      engine.ack(0, MSS, [k(2, 5)]);
      assert.deepEqual(repair(engine), [1]);
      const { rackRttUs } = engine.state();
      const sentMs = Math.floor(engine.now / 1000) - 100;
      engine.advance(echoed ? RTT : 5000);
      // The original of 1, late: what was sent after the original may not count as older now.
      engine.ack(0, 5 * MSS, [], 0, echoed ? sentMs : 0);
      assert.equal(engine.state().rackRttUs, rackRttUs);
    }
  });

//= rfc8985 6.3
test('time-out · what was sent within the last RTT is not lost yet, the head is', () => {
  const engine = rack();
  sendTrain(engine, 2);
  engine.advance(3 * RTT);
  sendTrain(engine, 2);
  engine.advance(RTT / 2);
  engine.call('testTimeout', 0);
  assert.deepEqual(lost(engine), [1, 2]);
  assert.equal(engine.state().pipe, 2 * MSS);
  assert.equal(engine.state().quota, MSS, 'cwnd is what is in flight and one segment');
  assert.equal(engine.call('testCheck', 0), 0);
});

//= rfc8985 7.2
test('probe · one segment in flight · waits for a delayed ACK, never past the time-out', () => {
  const engine = rack();
  engine.call('testSend', 0, MSS, 0);
  const { probeUs, rtoUs } = engine.state();
  assert.ok(2 * RTT + 200_000 > rtoUs, 'the time-out comes first here');
  assert.equal(probeUs, rtoUs);
  engine.configure(Config.tcp_rto_min_us, 40_000);
  assert.equal(engine.state().probeUs, 2 * RTT + 40_000);
  engine.configure(Config.tcp_early_retrans, 0);
  assert.equal(engine.state().probeUs, 0, 'tcp_early_retrans 0: none');
  engine.configure(Config.tcp_early_retrans, 3);
  sendTrain(engine, 2);
  engine.advance(RTT);
  engine.ack(0, MSS, [k(2)]);
  assert.equal(engine.state().probeUs, 0, 'SACKed: the reordering timer’s');
});

//= rfc8985 7.4
test('probe · the tail was lost, and the probe repaired it · one reduction', () => {
  const engine = rack();
  engine.call('testValidate', 0, 1);
  sendTrain(engine, 10);
  engine.advance(RTT - 1000);
  engine.ack(0, 10 * MSS);
  engine.advance(2 * RTT + 2000);
  assert.equal(engine.call('testProbe', 0, 0), MSS);
  const { cwnd } = engine.state();
  engine.advance(RTT);
  engine.ack(0, 11 * MSS);
  assert.equal(engine.state().cwnd, cwnd, 'a D-SACK may still come');
  engine.call('testSend', 0, MSS, 0);
  engine.advance(RTT);
  engine.ack(0, 12 * MSS);
  assert.equal(engine.state().ssthresh, cwnd >> 1);
  assert.equal(counter(engine, Counter.TcpExtTCPLossProbeRecovery), 1);
  assert.equal(engine.state().caState, Ca.Open);
});

//= rfc8985 7.4
test('probe · both arrive · D-SACK or a plain duplicate ACK says so, nothing is reduced', () => {
  for (const sack of [true, false]) {
    const engine = rack();
    engine.call('testSend', 0, MSS, 0);
    engine.advance(3 * RTT);
    assert.equal(engine.call('testProbe', 0, 0), MSS);
    engine.ack(0, 2 * MSS);
    engine.advance(RTT);
    engine.ack(0, 2 * MSS, sack ? [k(1)] : [], sack ? 0 : AF_DUPLICATE);
    engine.call('testSend', 0, MSS, 0);
    engine.advance(RTT);
    engine.ack(0, 3 * MSS);
    assert.equal(engine.state().ssthresh, 0xffffffff);
    assert.equal(counter(engine, Counter.TcpExtTCPLossProbeRecovery), 0);
    assert.equal(engine.state().reoWndUs, RTT / 4, 'and it is no sign of reordering');
  }
});

test('rack · SACK of a retransmission, echo of what came before the hole · it dates all the same',
  () => {
    const engine = rack();
    sendTrain(engine, 4);
    engine.advance(RTT - 400);
    const echo = Math.floor(engine.now / 1000) - 100;
    engine.ack(0, 2 * MSS, [], 0, echo);
    engine.advance(2 * RTT);
    assert.equal(engine.call('testProbe', 0, 0), MSS);
    engine.advance(RTT);
    engine.ack(0, 2 * MSS, [k(4)], 0, echo); // RFC 7323: the last segment that came in order
    assert.deepEqual(lost(engine), [2, 3]);
  });

test('probe · the FIN rides on the last segment · both leave, not the FIN alone', () => {
  const engine = rack();
  sendTrain(engine, 1);
  engine.call('testSend', 0, MSS + 1, 16);
  engine.advance(3 * RTT);
  engine.call('testProbe', 0, 0);
  const last = engine.records().at(-1);
  assert.equal(last?.length, MSS + 1);
  assert.equal(engine.result(), 2 * MSS);
});

// ---- Against a model that walks everything

interface Segment {
  seq: number;
  end: number;
  tx: number;
  ever: boolean;
  sacked: boolean;
  lost: boolean;
  retrans: boolean;
}

/** RFC 8985 §6.2 as it is written: every segment is looked at for every ACK. */
class Model {
  flight: Segment[] = [];
  una = 0;
  nxt = 0;
  rtt = 0;
  rackTx = -1;
  rackEnd = 0;

  send(segments: number, tx: number): void {
    if (this.flight.length === 0) [this.rackTx, this.rackEnd] = [tx, this.nxt];
    for (let n = 0; n < segments; n++, this.nxt += MSS) {
      const fresh = { tx, ever: false, sacked: false, lost: false, retrans: false };
      this.flight.push({ seq: this.nxt, end: this.nxt + MSS, ...fresh });
    }
  }

  delivered(s: Segment, end: number, now: number, minRtt: number): void {
    const rtt = Math.max(now - s.tx, 1);
    if (s.ever && rtt < minRtt) return;
    const newer = s.tx > this.rackTx || (s.tx === this.rackTx && end > this.rackEnd);
    const first = this.rtt === 0;
    this.rtt = rtt;
    if (newer || first) [this.rackTx, this.rackEnd] = [s.tx, end];
  }

  ack(ack: number, blocks: readonly Block[], now: number, minRtt: number): void {
    this.una = ack;
    for (const [start, end] of blocks) {
      for (const s of this.flight) {
        if (s.sacked || s.seq < start || s.end > end || end <= ack) continue;
        this.delivered(s, s.end, now, minRtt);
        s.sacked = true;
        s.lost = s.retrans = false;
      }
    }
    for (const s of this.flight) {
      if (s.seq < ack && !s.sacked) this.delivered(s, Math.min(s.end, ack), now, minRtt);
    }
    this.flight = this.flight.filter((s) => s.end > ack);
    if (this.flight[0] && this.flight[0].seq < ack) this.flight[0].seq = ack;
  }

  detect(now: number, reoWnd: number): void {
    for (const s of this.flight) {
      if (s.sacked || (s.lost && !s.retrans)) continue;
      const before = s.tx < this.rackTx || (s.tx === this.rackTx && s.end < this.rackEnd);
      if (this.rtt === 0 || !before || now - s.tx < this.rtt + reoWnd) continue;
      s.lost = true;
      s.retrans = false;
    }
  }

  timeout(now: number): void {
    const forget = this.flight[0]?.sacked ?? false;
    for (const [n, s] of this.flight.entries()) {
      if (forget) s.sacked = false;
      if (s.sacked || (!forget && n > 0 && (!s.lost || s.retrans) && this.recent(s, now))) continue;
      s.lost = true;
      s.retrans = false;
    }
  }

  recent(s: Segment, now: number): boolean {
    return now - s.tx < this.rtt;
  }
}

const UNDOS = [
  Counter.TcpExtTCPPartialUndo, Counter.TcpExtTCPLossUndo, Counter.TcpExtTCPTSReorder,
] as const;

function undos(engine: Engine): [number, number, number] {
  return UNDOS.map((which) => counter(engine, which)) as [number, number, number];
}

function compareMarks(engine: Engine, m: Model, what: string): void {
  assert.equal(engine.call('testCheck', 0), 0, `${what}: segmentsCheck`);
  let at = 0;
  for (const r of engine.records()) {
    const end = r.seq + r.length;
    for (let seg = m.flight[at]; seg && seg.seq < end; seg = m.flight[++at]) {
      const flags = (seg.sacked ? SACKED : 0) | (seg.lost ? LOST : 0) | (seg.retrans ? RETRANS : 0);
      assert.equal(r.flags & 7, flags, `${what}: marks at ${seg.seq}`);
    }
  }
  assert.equal(at, m.flight.length, what);
}

function randomAck(random: Random, m: Model): [number, Block[]] {
  const some = m.flight.length;
  let ack = m.una;
  if (random.below(3) === 0) ack = m.una - (m.una % MSS) + random.below(some + 1) * MSS;
  ack = Math.min(Math.max(ack, m.una), m.nxt);
  const blocks: Block[] = [];
  for (let n = random.below(4); n > 0; n--) {
    const start = ack - (ack % MSS) + (1 + random.below(some + 1)) * MSS;
    const end = start + (1 + random.below(4)) * MSS;
    if (end <= m.nxt) blocks.push([start, end]);
  }
  return [ack, blocks];
}

function modelStep(engine: Engine, m: Model, random: Random): void {
  engine.advance(1 + random.below(random.below(6) === 0 ? 60_000 : 3000));
  const kind = random.below(100);
  const { now } = engine;
  if (kind < 35) {
    if (m.flight.length > 60) return;
    const segments = 1 + random.below(6);
    engine.call('testSend', 0, segments * MSS, 0);
    m.send(segments, now);
  } else if (kind < 75) {
    const before = engine.state();
    const counts = undos(engine);
    const [ack, blocks] = randomAck(random, m);
    engine.ack(0, ack, blocks);
    const after = engine.state();
    m.ack(ack, blocks, now, before.minRttUs);
    const [partial, loss, seen] = undos(engine).map((n, at) => n !== counts[at]);
    if (partial === true || loss === true) for (const s of m.flight) s.lost = false;
    const told = before.caState !== Ca.Open || blocks.length !== 0;
    const held = seen === true && partial !== true;
    if (told && !held) m.detect(now, after.reoWndUs);
  } else if (kind < 92) {
    const bytes = engine.call('testRetransmit', 0, (1 + random.below(3)) * MSS);
    const seq = engine.result();
    for (const s of m.flight) {
      if (bytes === 0 || s.seq < seq || s.end > seq + bytes) continue;
      s.retrans = s.ever = true;
      s.tx = now;
    }
  } else if (kind < 97) {
    if (engine.state().caState === Ca.Open) return;
    const { reoWndUs } = engine.state();
    engine.call('testReorderTimer', 0);
    m.detect(now, reoWndUs);
  } else if (m.flight.length !== 0) {
    engine.call('testTimeout', 0);
    // The record at the head goes as one, and what of it is recent with it.
    const head = engine.records()[0];
    const before = m.flight.map((s) => ({ ...s }));
    m.timeout(now);
    for (const [n, s] of m.flight.entries()) {
      const inHead = head !== undefined && s.end <= head.seq + head.length;
      if (inHead && before[n]?.sacked !== true) Object.assign(s, { lost: true, retrans: false });
    }
  }
}

//= rfc8985 6.2
test('rack · 60,000 random sends, ACKs, SACKs, repairs, timers, time-outs · as the model', () => {
  let marked = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const engine = rack({ records: 4096, tcp_recovery: 5, tcp_frto: 0 });
    reorder(engine); // known from here on: the window depends on no state
    const m = new Model();
    m.una = m.nxt = 4 * MSS;
    m.rtt = engine.state().rackRttUs;
    const random = new Random(seed);
    for (let step = 0; step < 1000; step++) {
      modelStep(engine, m, random);
      compareMarks(engine, m, `seed ${seed} step ${step}`);
      marked += lost(engine).length;
    }
    assert.equal(engine.call('testRelease', 0), 0);
  }
  assert.ok(marked > 10_000, `RACK had work: ${marked}`);
});

// ---- Bounds

test('rack · flight of 86,000 segments, 5 % lost · an ACK looks at a few records', () => {
  const engine = rack({ records: 200_000 });
  const count = 86_000;
  const random = new Random(5);
  const missing = Array.from({ length: count }, () => random.below(20) === 0);
  missing[0] = true;
  for (let n = 0; n < count; n++) {
    engine.advance(1);
    engine.call('testSend', 0, MSS, 0);
  }
  engine.advance(RTT);
  let most = 0;
  let sum = 0;
  let acks = 0;
  const blocks: Block[] = [];
  const lastOf = (): void => {
    const { visited } = engine.state();
    most = Math.max(most, visited);
    sum += visited;
    acks++;
  };
  for (let n = 1; n < count; n++) {
    engine.advance(1);
    if (missing[n]) continue;
    const seq = (n + 1) * MSS;
    if (blocks[0]?.[1] === seq) blocks[0] = [blocks[0][0], seq + MSS];
    else blocks.unshift([seq, seq + MSS]);
    blocks.length = Math.min(blocks.length, 3);
    engine.ack(0, MSS, blocks);
    lastOf();
  }
  const holes = missing.filter(Boolean).length;
  assert.equal(lost(engine).length, missing.lastIndexOf(false) < count - 1 ? holes - 1 : holes);
  assert.ok(most <= 24, `records looked at for one ACK: ${most}`);
  assert.ok(sum <= 8 * acks, `and on average ${sum / acks}`);
  // All of it is sent again; the retransmissions that are lost once more cost no walk either.
  while (engine.call('testRetransmit', 0, MSS) !== 0) engine.advance(1);
  engine.advance(RTT);
  most = 0;
  for (let n = 1; n < count; n++) {
    if (!missing[n] || random.below(20) === 0) continue;
    engine.advance(1);
    engine.ack(0, MSS, [[(n + 1) * MSS, (n + 2) * MSS]]);
    lastOf();
  }
  assert.ok(most <= 24, `${most} records for the SACK of a retransmission`);
  assert.ok(counter(engine, Counter.TcpExtTCPLostRetransmit) > 150);
  assert.equal(engine.call('testCheck', 0), 0);
});

test('rack · SACKs of every second piece, MSS 48 and 8, fragments of pieces · bounded', () => {
  for (const mss of [48, 8]) {
    const engine = new Engine(module, 4096);
    engine.configure(Config.tcp_recovery, 1);
    const unit = Math.max(mss, 48); // tcp_min_snd_mss
    engine.call('testOpen', 0, 0, mss, 1);
    for (let n = 0; n < 16; n++) {
      engine.advance(10);
      engine.call('testSend', 0, 48 * 1365, 0);
    }
    const pieces = (16 * 48 * 1365) / unit;
    engine.advance(RTT);
    let most = 0;
    for (let n = 1; n + 6 < pieces; n += 8) {
      const blocks = [0, 2, 4, 6].map((at): Block => [(n + at) * unit, (n + at + 1) * unit]);
      // Every third ACK cuts pieces into fragments, or takes parts of what others told.
      if (n % 3 === 0) blocks[1] = [blocks[1]![0] + 1, blocks[1]![1] - 1];
      engine.ack(0, 0, blocks);
      most = Math.max(most, engine.state().visited);
      if (n % 2 === 1) engine.call('testRetransmit', 0, unit);
    }
    const { segmentCount } = engine.state();
    assert.ok(segmentCount > 500 && segmentCount <= 4096 / 2 + 1, `${segmentCount} records`);
    assert.ok(most <= 40, `records looked at for one ACK: ${most}`);
    for (let n = 0; n < 2000; n++) {
      // The same again, and mirrored blocks: nothing new, no work.
      engine.ack(0, 0, [[unit, 2 * unit], [3 * unit, 4 * unit], [(n + 1) * unit, n * unit]]);
      assert.ok(engine.state().visited <= 12);
    }
    assert.equal(engine.call('testCheck', 0), 0);
  }
});
