/**
 * Runs a scenario: its network in virtual time, seed after seed, row after row, and the figures of
 * the measured seconds. Called by the command line, the gallery and tests; portable. A run is a
 * function of scenario, controller, seed and queue.
 */
import type { ModuleSource } from '../../core/engine.js';
import { build, slowestLink, START_US, USUAL_MTU } from './build.js';
import { Lab } from './lab.js';
import { medianOf, Sampler } from './sampler.js';
import { jain, summarize, type Summary } from './summary.js';
import type {
  CcName, Figures, FlowFigures, Outcome, Report, Run, Scenario, Series, Setup, StandardFigures,
} from './types.js';

export interface RunOptions {
  module: ModuleSource;
  cc?: CcName | undefined;
  /** The first seed; 1. */
  seed?: number | undefined;
  /** How many, one after the other; the scenario's number. */
  seeds?: number | undefined;
  /** Of every queue, in BDP, instead of the scenario's. */
  queueBdp?: number | undefined;
  /** Told now and then. @param share of all virtual time that has passed */
  onProgress?: ((share: number) => void) | undefined;
}

/** Totals at a moment; figures are differences of two. */
interface Mark {
  received: number[];
  retransmits: number[];
  timeouts: number[];
  totals: { retransmits: number; timeouts: number; segments: number; drops: number };
}

function markNow(lab: Lab): Mark {
  const samples = lab.flows.map((flow) => flow.sample());
  return {
    received: lab.flows.map(({ received }) => received),
    retransmits: samples.map(({ retransmits }) => retransmits),
    timeouts: samples.map(({ timeouts }) => timeouts),
    totals: {
      retransmits: lab.total('TcpRetransSegs'),
      timeouts: lab.total('TcpExtTCPTimeouts'),
      segments: lab.total('TcpExtTCPOrigDataSent'),
      drops: lab.drops,
    },
  };
}

/** Share of the slowest link's bits that is payload. */
function payloadShare(setup: Setup, lab: Lab): number {
  const mtu = slowestLink(setup)?.mtu ?? USUAL_MTU;
  const mss = Math.max(...lab.flows.map(({ last }) => last.mss), 0);
  return mss === 0 ? 1 : mss / mtu;
}

function flowFigures(lab: Lab, series: Series, marks: [Mark, Mark], span: number[]): FlowFigures[] {
  const [from = 0, until = 0] = span;
  const difference = (field: 'received' | 'retransmits' | 'timeouts', at: number): number =>
    (marks[1][field][at] as number) - (marks[0][field][at] as number);
  return lab.flows.map((flow, at) => ({
    name: flow.name,
    cc: flow.cc,
    goodputBps: (difference('received', at) * 8) / (until - from),
    retransmits: difference('retransmits', at),
    timeouts: difference('timeouts', at),
    rttMsP50: medianOf(
      series, lab.flows.length === 1 ? 'rttMs' : `rttMs.${flow.name}`, from, until,
    ),
  }));
}

function standardFigures(
  setup: Setup, lab: Lab, series: Series, marks: [Mark, Mark], flows: FlowFigures[],
): StandardFigures {
  const [from, until] = setup.measure ?? [0, setup.seconds];
  const goodputBps = flows.reduce((sum, flow) => sum + flow.goodputBps, 0);
  const rateBps = (slowestLink(setup)?.rateMbps ?? 0) * 1e6;
  const [before, after] = [marks[0].totals, marks[1].totals];
  return {
    seconds: until - from,
    goodputBps,
    utilization: rateBps === 0 ? 0 : goodputBps / (rateBps * payloadShare(setup, lab)),
    retransmits: after.retransmits - before.retransmits,
    timeouts: after.timeouts - before.timeouts,
    segments: after.segments - before.segments,
    drops: after.drops - before.drops,
    rttMsP50: medianOf(series, 'rttMs', from, until),
    queueBytesP50: medianOf(series, 'queueBytes', from, until),
    jain: jain(flows.map((flow) => flow.goodputBps)),
  };
}

const SLICES = 200;

/** One run of one setup. */
export function runSetup(
  setup: Setup, cc: CcName, seed: number, options: RunOptions,
  onProgress: (share: number) => void = () => {},
): Run {
  const { module, queueBdp } = options;
  const network = build(setup, { module, seed, cc, queueBdp });
  const lab = new Lab(setup, network, cc, seed);
  const sampler = new Sampler(
    lab, Math.round((setup.sampleMs ?? Math.max(1, setup.seconds)) * 1000),
  );
  for (const flow of lab.flows) flow.plan();
  setup.script?.(lab);
  const runTo = (seconds: number): void => {
    const { simulation } = lab;
    const [fromUs, untilUs] = [simulation.nowUs, START_US + seconds * 1e6];
    const sliceUs = (setup.seconds * 1e6) / SLICES;
    for (let us = fromUs + sliceUs; us < untilUs; us += sliceUs) {
      simulation.runUntil(us);
      onProgress((us - START_US) / 1e6 / setup.seconds);
    }
    simulation.runUntil(untilUs);
  };
  const [from, until] = setup.measure ?? [0, setup.seconds];
  runTo(from);
  const first = markNow(lab);
  runTo(until);
  const marks: [Mark, Mark] = [first, markNow(lab)];
  runTo(setup.seconds);
  const series = sampler.series();
  const flows = flowFigures(lab, series, marks, [from, until]);
  const figures = standardFigures(setup, lab, series, marks, flows);
  const own: Figures = setup.figures?.(lab, { series, flows, figures }) ?? {};
  return { seed, cc, figures: { ...figures, ...own }, flows, story: lab.story, series };
}

/** Mean and spread of every figure that all runs have. */
function summarizeRuns(runs: readonly Run[]): Record<string, Summary> {
  const names = Object.keys(runs[0]?.figures ?? {});
  return Object.fromEntries(names.map((name) =>
    [name, summarize(runs.map(({ figures }) => figures[name] as number))]));
}

/** The setups of a scenario: its one, or one for each row. */
export function casesOf(scenario: Scenario): NonNullable<Scenario['cases']> {
  if (scenario.cases !== undefined) return scenario.cases;
  if (scenario.setup === undefined) throw new RangeError(`${scenario.name} has no setup`);
  return [{ columns: {}, setup: scenario.setup }];
}

/** What tests run of a scenario: its slice, with a different setup for each row. */
export function sliceOf(scenario: Scenario): Scenario {
  const { slice } = scenario;
  if (slice === undefined) return scenario;
  const { seeds = scenario.seeds, seconds, measure, expect = scenario.expect } = slice;
  const cut = (setup: Setup): Setup => ({
    ...setup, ...(seconds === undefined ? {} : { seconds }),
    ...(measure === undefined ? {} : { measure }),
  });
  return {
    ...scenario,
    ...(seeds === undefined ? {} : { seeds }),
    ...(expect === undefined ? {} : { expect }),
    ...(scenario.setup === undefined ? {} : { setup: cut(scenario.setup) }),
    ...(scenario.cases === undefined ? {} : {
      cases: scenario.cases.map(({ columns, setup }) => ({ columns, setup: cut(setup) })),
    }),
  };
}

export const DEFAULT_CC: CcName = 'cubic';

/**
 * Runs all rows with all seeds.
 * @throws EngineError when the engine does not know the controller
 */
export function runScenario(scenario: Scenario, options: RunOptions): Report {
  const cc = options.cc ?? scenario.cc ?? DEFAULT_CC;
  const count = options.seeds ?? (options.seed === undefined ? scenario.seeds ?? 1 : 1);
  const seeds = Array.from({ length: count }, (_, at) => (options.seed ?? 1) + at);
  const cases = casesOf(scenario);
  const total = cases.length * seeds.length;
  let done = 0;
  const outcomes = cases.map(({ columns, setup }): Outcome => {
    const runs = seeds.map((seed) => {
      const run = runSetup(setup, cc, seed, options, (share) =>
        options.onProgress?.((done + share) / total));
      done++;
      return run;
    });
    return { columns, runs, summary: summarizeRuns(runs) };
  });
  // Expectations are of the queues that the scenario says.
  const judged = options.queueBdp === undefined ? scenario : { ...scenario, expect: [] };
  return { scenario: judged, cc, seeds, outcomes };
}
