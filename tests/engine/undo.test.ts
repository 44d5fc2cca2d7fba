/**
 * Reductions for losses that were none, taken back: F-RTO (RFC 5682), Eifel (RFC 3522), D-SACK
 * (RFC 3708); and those that were real, which stay. On the flight alone, without packets.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Config, Counter, COUNTERS_AT } from '../../assembly/abi.js';
import {
  AF_DUPLICATE, type Block, Ca, Engine, LOST, RETRANS, Random, compileRecovery,
} from './recovery-engine.js';

const module = compileRecovery('undo');
const MSS = 1000;
const RTT = 100_000;
const CWND = 10 * MSS;
const k = (first: number, last = first + 1): Block => [first * MSS, last * MSS];

function counts(engine: Engine): Record<string, number> {
  const named = {
    loss: Counter.TcpExtTCPLossUndo, full: Counter.TcpExtTCPFullUndo,
    partial: Counter.TcpExtTCPPartialUndo, dsack: Counter.TcpExtTCPDSACKUndo,
    spurious: Counter.TcpExtTCPSpuriousRTOs, seen: Counter.TcpExtTCPTSReorder,
  };
  const at = COUNTERS_AT >> 2;
  const all = Object.entries(named).map(([name, which]) => [name, engine.u32[at + 2 * which]]);
  return Object.fromEntries(all.filter(([, n]) => n !== 0));
}

/** Ten segments in flight, 1 ms apart, RTT 100 ms; window and data for fifty more. */
function flight(sack: boolean, config: [Config, number][] = []): Engine {
  const engine = new Engine(module, 1024);
  engine.configure(Config.tcp_recovery, 1);
  engine.configure(Config.tcp_frto, 2);
  for (const [word, value] of config) engine.configure(word, value);
  engine.call('testOpen', 0, 0, MSS, sack ? 1 : 0);
  engine.call('testRtt', 0, RTT);
  for (let n = 0; n < 10; n++) {
    engine.call('testSend', 0, MSS, 0);
    engine.advance(1000);
  }
  engine.call('testWaiting', 0, 50 * MSS, 100 * MSS);
  return engine;
}

const nowMs = (engine: Engine): number => Math.floor(engine.now / 1000);

function timeout(engine: Engine): void {
  engine.advance(engine.state().rtoUs);
  engine.call('testTimeout', 0);
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  assert.equal(engine.state().caState, Ca.Loss);
}

//= rfc5682 3.1
//= rfc5682 2.1
test('time-out · all was only late · F-RTO: new data, then everything as before', () => {
  for (const sack of [true, false]) {
    const engine = flight(sack);
    timeout(engine);
    engine.ack(0, MSS); // the head, original or not
    assert.equal(engine.state().frtoState, 2, 'new data comes first');
    engine.call('testSend', 0, 2 * MSS, 0);
    engine.advance(1000);
    engine.ack(0, 2 * MSS); // never sent again, so it was on its way all the time
    const s = engine.state();
    assert.deepEqual(counts(engine), { loss: 1, spurious: 1 });
    assert.equal(s.caState, Ca.Open);
    assert.ok(s.cwnd >= CWND, `cwnd ${s.cwnd}`);
    assert.equal(s.ssthresh, 0xffffffff);
    assert.equal(s.lostBytes, 0, 'nothing is sent again');
    assert.equal(s.pipe, 10 * MSS);
    assert.equal(engine.call('testCheck', 0), 0);
  }
});

//= rfc5682 3.1
test('time-out · the flight was lost · F-RTO: new data is SACKed alone, repair goes on', () => {
  for (const sack of [true, false]) {
    const engine = flight(sack);
    timeout(engine);
    engine.advance(RTT);
    engine.ack(0, MSS);
    assert.equal(engine.state().frtoState, 2);
    engine.call('testSend', 0, 2 * MSS, 0);
    engine.advance(RTT);
    if (sack) engine.ack(0, MSS, [k(10)]);
    else engine.ack(0, MSS, [], AF_DUPLICATE);
    const s = engine.state();
    assert.deepEqual(counts(engine), {});
    assert.equal(s.frtoState, 0);
    assert.equal(s.caState, Ca.Loss);
    assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
    assert.equal(engine.result(), MSS);
  }
});

test('time-out · no new data, or tcp_frto 0 · the usual repair', () => {
  const none = flight(true);
  none.call('testWaiting', 0, 0, 100 * MSS);
  const off = flight(true, [[Config.tcp_frto, 0]]);
  const closed = flight(true);
  closed.call('testWaiting', 0, 50 * MSS, 9 * MSS);
  for (const engine of [none, off, closed]) {
    timeout(engine);
    engine.ack(0, MSS);
    assert.equal(engine.state().frtoState, 0);
    assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  }
});

//= rfc5682 2.1
test('time-out without SACK · a hole repaired, the ACK covers all behind it · real', () => {
  const engine = flight(false);
  timeout(engine);
  engine.advance(RTT);
  engine.ack(0, 9 * MSS); // what was kept beyond the hole was never sent again either
  assert.deepEqual(counts(engine), {});
  assert.equal(engine.state().ssthresh, CWND >> 1);
});

//= rfc3522 3.2
//= rfc4015 3
test('time-out · the ACK echoes the original (Eifel) · undone at once; a later echo: not', () => {
  for (const original of [true, false]) {
    const engine = flight(true, [[Config.tcp_frto, 0]]);
    const sentMs = nowMs(engine) - 10;
    timeout(engine);
    const againMs = nowMs(engine);
    engine.advance(5000);
    engine.ack(0, MSS, [], 0, original ? sentMs : againMs);
    const s = engine.state();
    assert.deepEqual(counts(engine), original ? { loss: 1 } : {});
    assert.equal(s.caState, original ? Ca.Open : Ca.Loss);
    assert.equal(s.ssthresh, original ? 0xffffffff : CWND >> 1);
    assert.equal(s.cwnd >= CWND, original);
    assert.equal(engine.call('testCheck', 0), 0);
  }
});

/** Fast recovery for segment 0, which is only late. */
function falseRecovery(engine: Engine): number {
  engine.advance(RTT - 10_000);
  engine.ack(0, 0, [k(1, 4)]);
  assert.equal(engine.state().caState, Ca.Recovery);
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  return nowMs(engine);
}

//= rfc3522 3.2
test('recovery · a hole filled by the original · partial undo', () => {
  const engine = flight(true);
  const againMs = falseRecovery(engine);
  engine.advance(5000);
  engine.ack(0, 4 * MSS, [], 0, againMs - 50);
  let s = engine.state();
  assert.deepEqual(counts(engine), { partial: 1, seen: 1 });
  assert.equal(s.caState, Ca.Open);
  assert.ok(s.cwnd >= CWND);
  assert.equal(s.ssthresh, 0xffffffff);
  assert.equal(s.reordSeen, 1, 'and the network is known to reorder');
  // The same with an echo of what was sent again: the loss was one.
  const other = flight(true);
  const sentMs = falseRecovery(other);
  other.advance(RTT);
  other.ack(0, 4 * MSS, [], 0, sentMs);
  s = other.state();
  assert.deepEqual(counts(other), {});
  assert.equal(s.caState, Ca.Recovery);
});

//= rfc4015 3
test('recovery · ends with an echo of before it · full undo; ECN had asked as well: none', () => {
  for (const ecn of [false, true]) {
    const engine = flight(true);
    const againMs = falseRecovery(engine);
    const AF_ECE = 2048;
    if (ecn) engine.ack(0, 0, [k(1, 5)], AF_ECE);
    engine.advance(5000);
    engine.ack(0, 10 * MSS, [], 0, againMs - 50);
    assert.deepEqual(counts(engine), ecn ? {} : { full: 1 });
    assert.equal(engine.state().ssthresh, ecn ? CWND >> 1 : 0xffffffff);
    assert.equal(engine.state().caState, Ca.Open);
  }
});

//= rfc3708 3
test('recovery · D-SACKs for all that was sent again · undone; for a part of it: not yet', () => {
  const engine = flight(true);
  engine.advance(RTT - 10_000);
  engine.ack(0, 0, [k(1), k(3), k(4, 7)]); // 0 and 2
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  engine.ack(0, 0, [k(1), k(3), k(4, 9)]);
  assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
  engine.advance(5000);
  engine.ack(0, 9 * MSS);
  engine.advance(RTT);
  engine.ack(0, 9 * MSS, [k(0)]);
  assert.deepEqual(counts(engine), {});
  engine.ack(0, 9 * MSS, [k(2)]);
  assert.deepEqual(counts(engine), { dsack: 1 });
  assert.ok(engine.state().cwnd >= CWND);
  assert.equal(engine.state().ssthresh, 0xffffffff);
  engine.ack(0, 9 * MSS, [k(2)]);
  assert.deepEqual(counts(engine), { dsack: 1 }, 'once');
});

test('recovery · D-SACKs of what was never sent again · invented, and change nothing', () => {
  const engine = flight(true);
  engine.ack(0, 5 * MSS);
  for (let n = 0; n < 20; n++) engine.ack(0, 5 * MSS, [k(n % 5)]);
  assert.deepEqual(counts(engine), {});
  const { reoWndUs, minRttUs } = engine.state();
  assert.equal(reoWndUs, minRttUs >> 2);
});

test('undo · 86,000 records lost by a time-out · in flight again, in their order', () => {
  const engine = new Engine(module, 100_000);
  engine.configure(Config.tcp_recovery, 1);
  engine.configure(Config.tcp_frto, 2);
  engine.call('testOpen', 0, 0, MSS, 1);
  engine.call('testRtt', 0, RTT);
  const random = new Random(3);
  for (let n = 0; n < 86_000; n++) {
    engine.advance(1 + random.below(3));
    engine.call('testSend', 0, MSS, 0);
  }
  engine.call('testWaiting', 0, 50 * MSS, 0x3fffffff);
  // A first time-out was real, so that some have been sent again out of order.
  engine.advance(1_000_000);
  engine.call('testTimeout', 0);
  for (let n = 0; n < 50; n++) {
    engine.advance(10);
    engine.call('testRetransmit', 0, MSS);
  }
  engine.advance(2_000_000);
  engine.call('testTimeout', 0);
  engine.advance(10);
  engine.call('testRetransmit', 0, MSS);
  engine.ack(0, MSS);
  engine.call('testSend', 0, 2 * MSS, 0);
  engine.ack(0, 60 * MSS);
  assert.deepEqual(counts(engine), { loss: 1, spurious: 1 });
  assert.ok(engine.state().visited < 80, 'records acknowledged, no more');
  assert.equal(engine.call('testCheck', 0), 0, 'the list is sorted by time, the sums are right');
  const again = engine.records().filter((r) => (r.flags & (LOST | RETRANS)) === LOST);
  assert.equal(again.length, 0);
});
