/**
 * CUBIC on a path without a bottleneck, one round trip a step: its window against RFC 9438's curve
 * in floating point, the Reno-friendly region, fast convergence, undo, idle time, marks, and a
 * change of the controller in the middle.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Config, Congestion } from '../../assembly/abi.js';
import { Ca, Engine, compileRecovery } from './recovery-engine.js';

const module = compileRecovery('cubic');
const MSS = 1448;
/** One ACK stands for a super-segment. */
const PIECE = 45 * MSS;
const AF_ECE = 2048;
const C = 0.4;

/** A flow whose window leaves at once and is acknowledged one round trip later. */
class Flow {
  readonly engine = new Engine(module, 4096);

  constructor(readonly rttMs: number, controller: Congestion) {
    this.engine.call('testOpen', 0, 0, MSS, 1);
    this.engine.configure(Config.tcp_slow_start_after_idle, 0);
    this.engine.call('testCongestion', 0, controller);
  }

  get segments(): number {
    return this.engine.state().cwnd / MSS;
  }

  get nowS(): number {
    return this.engine.now / 1e6;
  }

  send(): void {
    const { quota } = this.engine.state();
    for (let left = quota - (quota % MSS); left > 0; left -= PIECE) {
      assert.equal(this.engine.call('testSend', 0, Math.min(left, PIECE), 0), 1);
    }
    this.engine.call('testValidate', 0, 1);
  }

  acknowledge(flags = 0): void {
    const { sndUna, sndNxt } = this.engine.state();
    for (let at = sndUna; at < sndNxt; at += PIECE) {
      this.engine.ack(0, Math.min(at + PIECE, sndNxt), [], flags);
    }
  }

  rounds(count: number): this {
    for (let round = 0; round < count; round++) {
      this.send();
      this.engine.advance(this.rttMs * 1000);
      this.acknowledge();
    }
    return this;
  }

  until(segments: number): this {
    for (let round = 0; this.segments < segments; round++) {
      assert.ok(round < 1000, 'the window grows');
      this.rounds(1);
    }
    return this;
  }

  /** The first segment of a window is lost and sent again. @returns segments when it was found */
  lose(): number {
    const { engine } = this;
    this.send();
    engine.advance(this.rttMs * 1000);
    const { sndUna, sndNxt, cwnd } = engine.state();
    engine.ack(0, sndUna, [[sndUna + MSS, sndNxt]]);
    assert.equal(engine.state().caState, Ca.Recovery);
    assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
    engine.advance(this.rttMs * 1000);
    engine.ack(0, sndNxt);
    assert.equal(engine.state().caState, Ca.Open);
    return cwnd / MSS;
  }
}

/** RFC 9438 figures 1 and 2, segments and seconds. */
function curve(plateau: number, from: number): { k: number; at: (t: number) => number } {
  const k = Math.cbrt((plateau - from) / C);
  return { k, at: (t) => C * (t - k) ** 3 + plateau };
}

describe('cubic · window', () => {
  test('1 Gbit/s × 100 ms · loss at 10,000 segments · W(t) within 5 %, before and after K', () => {
    const flow = new Flow(100, Congestion.cubic).until(8000);
    const wMax = flow.lose();
    const begun = flow.nowS;
    const { k, at } = curve(wMax, flow.segments);
    assert.ok(k > 15 && Math.abs(flow.segments / wMax - 0.7) < 0.01, `${k} s, beta 0.7`);
    let worst = 0;
    while (flow.nowS - begun < 1.5 * k) {
      flow.rounds(1);
      const wanted = at(flow.nowS - begun);
      worst = Math.max(worst, Math.abs(flow.segments - wanted) / wanted);
    }
    assert.ok(worst < 0.05, `${(100 * worst).toFixed(2)} % off`);
    assert.ok(flow.segments > 1.03 * wMax, 'past the plateau it probes');
  });

  test('10 ms, 40 segments · Reno-friendly: 9/17 of a segment a round trip, then a whole', () => {
    const flow = new Flow(10, Congestion.cubic).until(40);
    const wMax = flow.lose();
    const from = flow.segments;
    const needed = Math.round(((wMax - from) * 17) / 9);
    flow.rounds(needed);
    assert.ok(Math.abs(flow.segments - wMax) < 2, `${flow.segments} of ${wMax}`);
    const { at } = curve(wMax, from);
    assert.ok(flow.segments > 1.1 * at(needed / 100), 'the curve alone would be far behind');
    const before = flow.segments;
    flow.rounds(20);
    assert.ok(Math.abs(flow.segments - before - 20) < 2.5, `${flow.segments - before} in 20`);
  });

  test('a loss below the last one\'s window · fast convergence: the plateau is 0.85 of it', () => {
    const flow = new Flow(100, Congestion.cubic).until(8000);
    flow.lose();
    const second = flow.lose();
    const { k } = curve(0.85 * second, flow.segments);
    const begun = flow.nowS;
    while (flow.nowS - begun < k) flow.rounds(1);
    assert.ok(Math.abs(flow.segments / (0.85 * second) - 1) < 0.01, `${flow.segments} ${second}`);
    const growth = flow.segments;
    flow.rounds(10);
    assert.ok(flow.segments - growth < 0.002 * second, 'flat around the plateau');
  });
});

describe('cubic · events', () => {
  test('the loss was none · undo gives window and curve back', () => {
    const [flow, other] = [1, 2].map(() => {
      const made = new Flow(100, Congestion.cubic).until(2000);
      made.lose();
      return made.rounds(20);
    }) as [Flow, Flow];
    const before = flow.segments;
    flow.lose();
    assert.ok(flow.segments < 0.75 * before);
    flow.engine.call('testUndo', 0);
    assert.equal(flow.segments, before);
    flow.rounds(30);
    other.rounds(32);
    assert.ok(Math.abs(flow.segments / other.segments - 1) < 0.01);
  });

  test('five idle seconds · the curve waits as long', () => {
    const flow = new Flow(100, Congestion.cubic).until(2000);
    const wMax = flow.lose();
    const { at } = curve(wMax, flow.segments);
    flow.rounds(20);
    flow.engine.advance(5_000_000);
    flow.engine.call('testIdle', 0, 5000);
    flow.engine.call('testIdle', 0, 5000); // output looks twice before it sends
    flow.rounds(20);
    assert.ok(Math.abs(flow.segments / at(4) - 1) < 0.02, `${flow.segments} ${at(4)} ${at(9)}`);
  });

  test('a time-out · one segment; afterwards the plateau is where slow start ends', () => {
    const flow = new Flow(100, Congestion.cubic).until(2000);
    const { cwnd } = flow.engine.state();
    flow.send();
    flow.engine.advance(1_000_000);
    flow.engine.call('testTimeout', 0);
    const { ssthresh } = flow.engine.state();
    assert.ok(Math.abs(ssthresh / cwnd - 0.7) < 0.01);
    while (flow.engine.call('testRetransmit', 0, 1 << 30) !== 0);
    flow.engine.advance(100_000);
    flow.acknowledge();
    flow.until(ssthresh / MSS);
    const before = flow.segments;
    flow.rounds(10);
    assert.ok(flow.segments < before + 12, 'flat: K is 0');
  });

  test('ECN-Echo · beta_ecn: 0.85 with CUBIC, 0.8 with Reno (RFC 8511)', () => {
    for (const [controller, beta] of [[Congestion.cubic, 0.85], [Congestion.reno, 0.8]] as const) {
      const flow = new Flow(100, controller).until(1000);
      flow.send();
      flow.engine.advance(100_000);
      const { cwnd } = flow.engine.state();
      flow.engine.ack(0, flow.engine.state().sndUna + PIECE, [], AF_ECE);
      assert.equal(flow.engine.state().caState, Ca.Cwr);
      assert.ok(Math.abs(flow.engine.state().ssthresh / cwnd - beta) < 0.001);
    }
  });

  test('TCP_CONGESTION in recovery, each to each · the window stays one that can be', () => {
    for (const from of [Congestion.reno, Congestion.cubic, Congestion.bbr]) {
      for (const to of [Congestion.reno, Congestion.cubic, Congestion.bbr]) {
        const flow = new Flow(50, from).until(100);
        const { engine } = flow;
        flow.send();
        engine.advance(50_000);
        const { sndUna, sndNxt } = engine.state();
        engine.ack(0, sndUna, [[sndUna + MSS, sndNxt]]);
        engine.call('testCongestion', 0, to);
        assert.equal(engine.call('testRetransmit', 0, MSS), MSS);
        engine.advance(50_000);
        engine.ack(0, sndNxt);
        flow.rounds(5); // slow start again: the new controller knows no ssthresh
        assert.ok(flow.segments >= 4 && flow.segments < 1e5, `${from} to ${to}: ${flow.segments}`);
      }
    }
  });

  test('cube root · whole numbers up to 2⁶³, each side of a cube', () => {
    const engine = new Engine(module, 16);
    for (let root = 0n; root < 2_097_151n; root += 1n + root / 7n) {
      for (const n of [root ** 3n, (root + 1n) ** 3n - 1n]) {
        const got = engine.call('testCubeRoot', Number(n >> 32n), Number(n & 0xffffffffn));
        assert.equal(BigInt(got), root, `${n}`);
      }
    }
  });
});
