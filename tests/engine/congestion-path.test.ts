/**
 * Controllers on the shipped engine over a simulated bottleneck: slow start's end, BBR's states and
 * queue, what it keeps at random loss, pacing on a host with a coarse clock, and the options and
 * figures that belong to them. The figures of whole scenarios are the simulator's (ackorn sim).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BbrPhase, Congestion, Option } from '../../assembly/abi.js';
import { formatSs } from '../../host/node/format/ss.js';
import { tcpInfoFromWords } from '../../host/node/format/socket-record.js';
import { Flow, median } from './bottleneck.js';

const { cubic, bbr, reno } = Congestion;

describe('slow start', () => {
  test('100 Mbit/s × 80 ms · at 90 % of the rate within 8 round trips of the first data', () => {
    for (const controller of [reno, cubic, bbr]) {
      const flow = new Flow(controller, { mbps: 100, rttMs: 80 }).to(1);
      // The first data leaves 80 ms after the SYN; what arrives is told half a round trip later.
      const over = 0.08 + 8 * 0.08 + 0.04;
      const got = flow.utilization(over - 0.08, over);
      assert.ok(got > 0.9, `${Congestion[controller]}: ${got}`);
    }
  });

  test('classic HyStart · over at 1 to 1.5 BDP, before the queue overflows', () => {
    const path = { mbps: 100, rttMs: 80, config: { tcp_cubic_hystart: 1 } };
    const flow = new Flow(cubic, path).to(2);
    const { snd_ssthresh, total_retrans } = flow.info;
    const bdp = 1e8 * 0.08 / 8 / 1500;
    assert.equal(total_retrans, 0);
    assert.ok(snd_ssthresh >= 0.95 * bdp && snd_ssthresh < 1.6 * bdp, `${snd_ssthresh} ${bdp}`);
    assert.ok(flow.utilization(1.2, 2) > 0.97);
  });

  test('without HyStart it overflows', () => {
    const path = { mbps: 100, rttMs: 80, config: { tcp_cubic_hystart: 0 } };
    assert.ok(new Flow(cubic, path).to(2).info.total_retrans > 500);
  });

  test('HyStart++ in a queue of 12 BDP · a quarter as fast once the RTT rises, then over', () => {
    const buffers = { tcp_rmem_max: 1 << 23, tcp_wmem_max: 1 << 23, arenaBytes: 1 << 24 };
    const config = { tcp_cubic_hystart: 2, ...buffers };
    const flow = new Flow(cubic, { mbps: 100, rttMs: 40, queue: 12, config }).to(3);
    const bdp = 1e8 * 0.04 / 8 / 1500;
    const { snd_ssthresh, total_retrans } = flow.info;
    assert.equal(total_retrans, 0);
    assert.ok(snd_ssthresh > 2 * bdp && snd_ssthresh < 12 * bdp, `${snd_ssthresh / bdp} BDP`);
  });
});

describe('bbr', () => {
  const flow = new Flow(bbr, { mbps: 100, rttMs: 50, queue: 4 }).to(20);
  const phases = flow.samples.map(({ bbr_phase }) => BbrPhase[bbr_phase]);
  const times = (phase: string): number[] =>
    phases.flatMap((name, at) => (name === phase && phases[at - 1] !== phase ? [at / 100] : []));

  test('startup, drain, and the four phases of ProbeBW, in their order', () => {
    const order = phases.filter((name, at) => name !== phases[at - 1]);
    assert.deepEqual(order.slice(0, 3), ['none', 'startup', 'drain']);
    for (const phase of ['probe_bw_down', 'probe_bw_cruise', 'probe_bw_refill', 'probe_bw_up']) {
      assert.ok(times(phase).length >= 3, phase);
    }
    order.forEach((name, at) => {
      if (name === 'probe_bw_up') assert.equal(order[at - 1], 'probe_bw_refill');
    });
    assert.ok((times('drain')[0] ?? 9) < 1, 'Startup is over within a second');
  });

  test('ProbeRTT every 5 s or a little more · half a BDP in flight, 200 ms at least', () => {
    const begun = times('probe_rtt');
    assert.ok(begun.length >= 3, `${begun.join()}`);
    begun.slice(1).forEach((at, n) => {
      const gap = at - (begun[n] ?? 0);
      assert.ok(gap > 4.9 && gap < 10, `${gap}`);
    });
    const bdp = 1e8 * 0.05 / 8 / 1500;
    const first = Math.round((begun[0] ?? 0) * 100);
    const least = Math.min(...flow.samples.slice(first, first + 40).map((i) => i.unacked));
    assert.ok(least > 0.3 * bdp && least < 0.6 * bdp, `${least} of ${bdp}`);
  });

  test('path full, queue short: under a tenth of a BDP at the median, nothing lost', () => {
    assert.ok(flow.utilization(5, 20) > 0.95, `${flow.utilization(5, 20)}`);
    const rtt = median(flow.between(5, 20).map((info) => info.rtt));
    assert.ok(rtt < 55_000, `${rtt}`);
    assert.equal(flow.info.total_retrans, 0);
  });

  test('tcp_info and ss tell of it', () => {
    const { info } = flow;
    assert.ok(Math.abs(info.bbr_bw * 8 / 96.5e6 - 1) < 0.03, `${info.bbr_bw}`);
    assert.ok(info.bbr_min_rtt >= 50_000 && info.bbr_min_rtt < 50_500);
    assert.ok(info.pacing_rate <= info.bbr_bw * 1.25 && info.pacing_rate > info.bbr_bw * 0.85);
    assert.ok(info.max_pacing_rate > 2 ** 63, 'no limit');
    const words = { ...tcpInfoFromWords(new Uint32Array(0)), ...info, state: 1, congestion: bbr };
    const text = formatSs([{
      handle: undefined, state: 1, family: 4, localAddress: '10.0.0.1', localPort: 1,
      remoteAddress: '10.0.0.2', remotePort: 2, recvQ: 0, sendQ: 0, timer: 0, timerMs: 0,
      retransmits: 0, memoryBytes: 0, info: words,
    }], { info: true });
    assert.match(text, / bbr:\(bw:9\d\.\dMbps,mrtt:50\.\d+,pacing_gain:[\d.]+,cwnd_gain:2/);
  });

  test('1 % random loss · at least 90 % of the rate; 5 %: three times CUBIC', () => {
    const one = new Flow(bbr, { mbps: 100, rttMs: 50, lossShare: 0.01 }).to(15);
    assert.ok(one.utilization(5, 15) > 0.9, `${one.utilization(5, 15)}`);
    const [five, other] = [bbr, cubic].map((controller) =>
      new Flow(controller, { mbps: 100, rttMs: 50, lossShare: 0.05 }).to(30).utilization(5, 30));
    assert.ok((five ?? 0) > 3 * (other ?? 1), `${five} ${other}`);
  });
});

describe('pacing', () => {
  const RATE = 2_500_000;
  const options = [[Option.SO_MAX_PACING_RATE, RATE]] as const;

  for (const controller of [cubic, bbr]) {
    test(`SO_MAX_PACING_RATE before connect, ${Congestion[controller]} · kept within 1 %`, () => {
      const flow = new Flow(controller, { mbps: 100, rttMs: 20, options }).to(4);
      const wanted = controller === bbr ? 0.985 : 1; // bbr: ProbeRTT, and its margin
      const got = (flow.utilization(1, 4) * 100e6 * (1448 / 1500)) / 8 / RATE;
      assert.ok(got < 1.01 && got > wanted - 0.015, `${got}`);
      assert.equal(flow.info.max_pacing_rate, RATE);
      assert.equal(flow.client.engine.getOption(flow.end.handle, Option.SO_MAX_PACING_RATE), RATE);
      assert.equal(flow.info.total_retrans, 0);
    });
  }

  test('a host that looks every ms · the rate within 2 %, in bursts of some ms at most', () => {
    const flow = new Flow(cubic, { mbps: 100, rttMs: 20, options });
    const { client, simulation } = flow;
    client.onPoll = () => client.sleep();
    const tick = (): void => {
      client.resume();
      simulation.after(1000, tick);
    };
    tick();
    flow.to(4);
    const got = (flow.utilization(1, 4) * 100e6 * (1448 / 1500)) / 8 / RATE;
    assert.ok(Math.abs(got - 1) < 0.02, `${got}`);
    assert.ok(Math.max(...flow.between(1, 4).map((info) => info.rtt)) < 24_000, 'no queue');
  });

  test('the rate is the limit · cwnd neither grows for it nor decays', () => {
    const flow = new Flow(cubic, { mbps: 100, rttMs: 20, options }).to(6);
    const [early, late] = [flow.samples[200], flow.samples[599]];
    assert.equal(late?.snd_cwnd, early?.snd_cwnd);
  });

  test('taken off, the path is filled', () => {
    const flow = new Flow(cubic, { mbps: 100, rttMs: 20, options }).to(1);
    flow.client.engine.setOption(flow.end.handle, Option.SO_MAX_PACING_RATE, 0xffffffff);
    flow.to(4);
    assert.ok(flow.utilization(3, 4) > 0.9, `${flow.utilization(3, 4)}`);
    assert.throws(() => {
      flow.client.engine.setOption(flow.end.handle, Option.SO_MAX_PACING_RATE, 0);
    }, /EINVAL/);
  });
});

describe('TCP_CONGESTION', () => {
  test('changed on a live connection, each to the next · it goes on and fills the path', () => {
    const flow = new Flow(reno, { mbps: 50, rttMs: 20 }).to(2);
    let at = 2;
    for (const next of [cubic, bbr, cubic, reno, bbr]) {
      flow.client.engine.setOption(flow.end.handle, Option.TCP_CONGESTION, next);
      assert.equal(flow.info.congestion, Congestion[next]);
      at += 3;
      flow.to(at);
      assert.ok(flow.utilization(at - 1, at) > 0.9, `${Congestion[next]}`);
    }
    const { handle } = flow.end;
    assert.equal(flow.client.engine.getOption(handle, Option.TCP_CONGESTION), bbr);
    assert.throws(() => flow.client.engine.setOption(handle, Option.TCP_CONGESTION, 3), /EINVAL/);
  });
});
