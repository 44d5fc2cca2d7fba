/**
 * Scenarios as data: what a run measures, that a seed decides it, what a written scenario may say,
 * and what is printed of a report. Reno throughout: the framework is tested, not a controller.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EngineSetupError } from '../../host/core/errors.js';
import {
  checkScenario, csvLines, describeReport, jsonReport, judge, medianOf, runScenario, ScenarioError,
  sliceOf, summarize, type Report, type Scenario, type Setup,
} from '../../host/sim/scenario/index.js';
import { engine } from './module.js';

const MSS = 1448;

function path(more: Partial<Setup> = {}, link: object = {}): Setup {
  return {
    seconds: 4,
    measure: [2, 4],
    hosts: ['a', 'b'],
    links: [{ between: ['a', 'b'], rateMbps: 10, delayMs: 10, ...link }],
    flows: [{ from: 'a', to: 'b' }],
    buffersBdp: 1.9, // the window fills the path and most of the queue: nothing is lost
    ...more,
  };
}

function run(setup: Setup, options: { seed?: number; seeds?: number; queueBdp?: number } = {}) {
  const scenario: Scenario = { name: 'test', title: 'a test', setup };
  return runScenario(scenario, { module: engine, cc: 'reno', ...options });
}

const figuresOf = (report: Report) => report.outcomes[0]?.runs[0]?.figures ?? assert.fail('no run');

describe('scenario · what is measured', () => {
  test('a full path · utilization is 1 of what headers leave', () => {
    const figures = figuresOf(run(path()));
    assert.ok(Math.abs(figures.utilization - 1) < 0.01, `${figures.utilization}`);
    assert.ok(Math.abs(figures.goodputBps - (10e6 * MSS) / 1500) < 1e5, `${figures.goodputBps}`);
    assert.equal(figures.seconds, 2);
    assert.equal(figures.timeouts, 0);
  });
  test('a transfer of known size · its bytes, its end, nothing more', () => {
    const setup = path({
      measure: [0, 4], flows: [{ from: 'a', to: 'b', bytes: 100 * MSS }],
      figures: (lab) => ({
        received: lab.flows[0]?.received ?? 0, finished: lab.flows[0]?.finished ?? 0,
      }),
    });
    const figures = figuresOf(run(setup));
    assert.equal(figures['received'], 100 * MSS);
    // Ends of writes that are no whole segments may go alone, and so may the FIN.
    assert.ok(figures.segments >= 100 && figures.segments <= 103, `${figures.segments}`);
    // 100 packets of 1.2 ms, and some round trips of 20 ms.
    assert.ok((figures['finished'] ?? 0) > 0.12 && (figures['finished'] ?? 0) < 0.3);
  });
  test('lost packets are counted as dropped and as sent again', () => {
    const setup = path({ measure: [0, 4] }, { queueBdp: 20, forward: { loseData: [50, 60, 300] } });
    const figures = figuresOf(run(setup));
    assert.equal(figures.drops, 3);
    assert.ok(figures.retransmits >= 3 && figures.retransmits <= 6, `${figures.retransmits}`);
  });
  test('--queue is of every queue: a deeper one is longer', () => {
    const deep = path({ buffersBdp: 20 });
    const [one, four] = [1, 4].map((queueBdp) => figuresOf(run(deep, { queueBdp })));
    assert.ok(one !== undefined && four !== undefined);
    assert.ok(one.queueBytesP50 <= 25_000, `${one.queueBytesP50}`);
    assert.ok(four.queueBytesP50 > 30_000 && four.queueBytesP50 <= 100_000);
    assert.ok(four.rttMsP50 > one.rttMsP50 + 10);
  });
  test('a flow begins and ends when it says; a sender that stops frees the path', () => {
    const setup = path({
      seconds: 6, measure: [5, 6],
      flows: [
        { name: 'first', from: 'a', to: 'b', end: 3 },
        { name: 'second', from: 'a', to: 'b', start: 1 },
      ],
    });
    const [first, second] = run(setup).outcomes[0]?.runs[0]?.flows ?? [];
    assert.equal(first?.goodputBps, 0);
    assert.ok((second?.goodputBps ?? 0) > 9e6);
  });
  test('routers know the way, through several of them', () => {
    const setup = path({
      hosts: ['a', 'b', 'c'], routers: ['r', 's'],
      links: [
        { between: ['a', 'r'], delayMs: 1 }, { between: ['r', 's'], rateMbps: 10, delayMs: 5 },
        { between: ['s', 'b'], delayMs: 1 }, { between: ['s', 'c'], delayMs: 1 },
      ],
      flows: [
        { name: 'b', from: 'a', to: 'b' }, { name: 'c', from: 'a', to: 'c' },
        { name: 'between', from: 'b', to: 'c', bytes: MSS },
      ],
    });
    const [b, c] = run(setup).outcomes[0]?.runs[0]?.flows ?? [];
    assert.ok((b?.goodputBps ?? 0) > 1e6 && (c?.goodputBps ?? 0) > 1e6);
  });
  test('series · samples at equal times, medians of the measured ones', () => {
    const series = run(path({ sampleMs: 10 })).outcomes[0]?.runs[0]?.series;
    assert.ok(series !== undefined);
    assert.equal(series.seconds.length, 400);
    assert.equal(series.seconds[0], 0.01);
    assert.ok(Number.isNaN(series.columns.get('ssthreshBytes')?.[0]), 'no threshold yet');
    const rtt = medianOf(series, 'rttMs', 2, 4);
    assert.ok(rtt >= 20 && rtt <= 41, `${rtt}`);
  });
});

describe('scenario · seeds', () => {
  test('a seed decides everything; another one is another run', () => {
    const lossy = path({}, { forward: { loss: 0.01 } });
    const text = (seed: number): string => JSON.stringify(jsonReport(run(lossy, { seed })));
    assert.equal(text(7), text(7));
    assert.notEqual(text(7), text(8));
  });
  test('senders are jittered: without any loss two seeds differ in their samples', () => {
    const csv = (seed: number): string => {
      const series = run(path({ sampleMs: 1 }), { seed }).outcomes[0]?.runs[0]?.series;
      return series === undefined ? '' : csvLines(series).join();
    };
    assert.notEqual(csv(1), csv(2));
  });
  test('several seeds · mean and spread', () => {
    const report = run(path({}, { forward: { loss: 0.01 } }), { seeds: 3 });
    const goodputs = report.outcomes[0]?.runs.map(({ figures }) => figures.goodputBps) ?? [];
    assert.equal(goodputs.length, 3);
    assert.deepEqual(report.outcomes[0]?.summary['goodputBps'], summarize(goodputs));
    assert.deepEqual(summarize([1, 2, 3]), { mean: 2, least: 1, most: 3, deviation: 1 });
  });
});

/** What is wrong, and what the message must say. */
const WRONG: readonly [scenario: unknown, says: RegExp][] = [
  [3, /an object is wanted/],
  [{ name: 'x', title: 'x' }, /either setup or cases is wanted/],
  [{ setup: path() }, /^name: is missing/],
  [{ name: 'x', title: 'x', setup: { ...path(), seconds: 0 } }, /^setup\.seconds: a number above/],
  [{ name: 'x', title: 'x', setup: path({}, { dealyMs: 1 }) }, /^setup\.links\[0\]\.dealyMs: unk/],
  [{ name: 'x', title: 'x', setup: path({}, { forward: { loss: 2 } }) }, /loss: a number from 0/],
  [
    { name: 'x', title: 'x', setup: path({ flows: [{ from: 'a', to: 'z' }] }) },
    /^setup\.flows\[0\]\.to: no host is called z/,
  ],
  [
    {
      name: 'x', title: 'x',
      setup: path({ flows: [{ from: 'a', to: 'b', cc: 'vegas' as never }] }),
    },
    /^setup\.flows\[0\]\.cc: one of reno, cubic, bbr/,
  ],
  [{ name: 'x', title: 'x', setup: path({ measure: [3, 2] }) }, /^setup\.measure: two moments/],
  [{ name: 'x', title: 'x', setup: path({ hosts: ['a', 'a', 'b'] }) }, /a is there twice/],
  [
    { name: 'x', title: 'x', setup: path({ sysctls: { tcp_sak: 1 } as never }) },
    /^setup\.sysctls\.tcp_sak: unknown/,
  ],
  [{ name: 'x', title: 'x', cases: [{ columns: {} }] }, /^cases\[0\]\.setup: is missing/],
  [
    JSON.parse('{"name":"x","title":"x","setup":{"seconds":1,"hosts":["a","b"],"links":' +
      '[{"between":["a","b"],"delayMs":1}],"__proto__":1}}'),
    /^setup\.__proto__: unknown/,
  ],
];

describe('scenario · what may be written', () => {
  for (const [scenario, says] of WRONG) {
    test(`${says.source}`, () => assert.throws(() => checkScenario(scenario), (error: unknown) => {
      assert.ok(error instanceof ScenarioError);
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    }));
  }
  test('a sysctl that the engine refuses is named', () => {
    const setup = path({ sysctls: { tcp_init_cwnd: 5000 } });
    assert.throws(() => run(setup), (error: unknown) =>
      error instanceof EngineSetupError && /tcp_init_cwnd/.test(error.message));
  });
  test('a slice · less of the same', () => {
    const cut = sliceOf({
      name: 'x', title: 'x', seeds: 10, setup: path(),
      slice: { seeds: 2, seconds: 3, measure: [1, 3] },
    });
    assert.equal(cut.seeds, 2);
    assert.deepEqual([cut.setup?.seconds, cut.setup?.measure], [3, [1, 3]]);
  });
});

describe('scenario · reports', () => {
  const table: Scenario = {
    name: 'table', title: 'a table',
    cases: [5, 10].map((rateMbps) => ({ columns: { rateMbps }, setup: path({}, { rateMbps }) })),
    shows: ['goodputBps'],
    expect: [
      { figure: 'goodputBps', row: { rateMbps: 10 }, atLeast: 1.9,
        than: { row: { rateMbps: 5 }, times: 1 } },
      { figure: 'utilization', row: { rateMbps: 5 }, atMost: 0.5 },
      { figure: 'utilization', row: { rateMbps: 5 }, cc: ['bbr'], atMost: 0 },
    ],
  };
  const report = runScenario(table, { module: engine, cc: 'reno' });
  test('expectations · what holds, what does not, what is of another controller', () => {
    assert.deepEqual(judge(report).map(({ holds }) => holds), [true, false]);
    assert.match(judge(report)[1]?.text ?? '', /^utilization\[rateMbps 5\] ≤ 0\.5: \d/);
  });
  test('JSON · a table has rows, a single run its figures', () => {
    const json = jsonReport(report);
    assert.deepEqual(
      (json['rows'] as { rateMbps: number }[]).map(({ rateMbps }) => rateMbps), [5, 10]);
    const single = jsonReport(run(path()));
    for (const name of [
      'scenario', 'cc', 'seed', 'seconds', 'goodputBps', 'utilization', 'retransmits', 'timeouts',
      'rttMsP50', 'queueBytesP50',
    ]) assert.ok(name in single, name);
  });
  test('text · rows as columns, a chart for a single run', () => {
    const lines = describeReport(report);
    assert.match(lines[0] ?? '', /^table: a table \(reno, seed 1\)$/);
    assert.match(lines[1] ?? '', /^ {2}rateMbps {2}goodputBps/);
    assert.match(lines[3] ?? '', /^ {2}10 +9\.6\d+ Mbit\/s/);
    assert.ok(describeReport(run(path())).some((line) => /^cwndBytes .*[▁-█]{20}/.test(line)));
  });
  test('CSV · a header and a line a sample, nothing where nothing is', () => {
    const [first] = run(path({ seconds: 2, measure: [1, 2], sampleMs: 100 })).outcomes;
    const series = first?.runs[0]?.series;
    assert.ok(series !== undefined);
    const lines = csvLines(series);
    assert.match(lines[0] ?? '', /^seconds,cwndBytes,ssthreshBytes,inFlightBytes,rttMs,good/);
    assert.equal(lines.length, 21);
    assert.match(lines[1] ?? '', /^0\.1,\d+,,\d+/);
  });
});
