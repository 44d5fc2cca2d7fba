/**
 * Flows that share a queue: equals, unequal round-trip times, BBR beside CUBIC, and what a deep
 * buffer does to everybody's delay. Jain, Chiu, Hawe 1984; RFC 9438 §5.2 (docs/gallery/fairness.md,
 * rtt-unfairness.md, bbr-vs-cubic.md, bufferbloat.md).
 */
import { bdpBytes, type Case, type CcName, type Scenario, type Setup } from '../scenario/index.js';
import { onePath, pathLink, sharedPath, type PathSpec } from './paths.js';

const PATH: PathSpec = { rateMbps: 100, rttMs: 50, seconds: 60 };

/** Hosts of their own, each on a link ten times as fast, behind one router: whose bursts meet. */
function crowd(flows: number): Setup {
  const senders = Array.from({ length: flows }, (_, at) => `sender${at + 1}`);
  const access = { rateMbps: 10 * PATH.rateMbps, delayMs: 0, queueRttMs: PATH.rttMs };
  return {
    seconds: PATH.seconds,
    hosts: [...senders, 'receiver'],
    routers: ['router'],
    links: [
      ...senders.map((sender) => ({ between: [sender, 'router'] as [string, string], ...access })),
      { between: ['router', 'receiver'], rateMbps: PATH.rateMbps, delayMs: PATH.rttMs / 2 },
    ],
    flows: senders.map((from, at) => ({ name: `flow${at + 1}`, from, to: 'receiver' })),
  };
}

function fairness(name: string, flows: number, least: number): Scenario {
  return {
    name,
    page: 'fairness',
    title: `${flows} flows of one controller from the same start; Jain's index`,
    seeds: 10,
    controllers: ['reno', 'cubic', 'bbr'],
    setup: crowd(flows),
    // Two flows differ much from seed to seed: what holds is the mean of all ten.
    slice: { seeds: flows === 2 ? 10 : 2 },
    expect: [
      { figure: 'jain', atLeast: least }, { figure: 'utilization', atLeast: 0.85 },
    ],
    golden: [{ figure: 'jain', better: 'more', tolerance: 0.03 }],
  };
}

export const fairnessTwo = fairness('fairness-2', 2, 0.97);
export const fairnessTen = fairness('fairness-10', 10, 0.95);

const SHORT_MS = 40;
const LONG_MS = 160;

export const rttUnfairness: Scenario = {
  name: 'rtt-unfairness',
  title: `two flows with round trips of ${SHORT_MS} and ${LONG_MS} ms in one queue`,
  seeds: 10,
  setup: {
    seconds: 120,
    measure: [20, 120],
    hosts: ['near', 'far', 'receiver'],
    routers: ['router'],
    links: [
      { between: ['near', 'router'], delayMs: 0 },
      { between: ['far', 'router'], delayMs: (LONG_MS - SHORT_MS) / 2 },
      {
        between: ['router', 'receiver'], rateMbps: 100, delayMs: SHORT_MS / 2,
        queueRttMs: (SHORT_MS + LONG_MS) / 2, // one BDP of their mean
      },
    ],
    flows: [
      { name: 'near', from: 'near', to: 'receiver' }, { name: 'far', from: 'far', to: 'receiver' },
    ],
    figures: (_, { flows }) => ({
      rateRatio: (flows[0]?.goodputBps ?? 0) / Math.max(1, flows[1]?.goodputBps ?? 0),
    }),
  },
  slice: { seeds: 2, seconds: 80, measure: [20, 80] },
  expect: [{ figure: 'rateRatio', cc: ['cubic'], atMost: 1.5 * (LONG_MS / SHORT_MS) }],
  golden: [{ figure: 'rateRatio', better: 'less', tolerance: 0.2 }],
};

export const bbrVsCubic: Scenario = {
  name: 'bbr-vs-cubic',
  title: 'one BBR and one CUBIC flow in one queue',
  seeds: 10,
  setup: sharedPath(
    PATH, [{ name: 'bbr', cc: 'bbr' }, { name: 'cubic', cc: 'cubic' }], {
      figures: (_, { flows, figures }) => ({
        cubicShare: (flows[1]?.goodputBps ?? 0) / Math.max(1, figures.goodputBps),
      }),
    },
  ),
  slice: { seeds: 2 },
  expect: [{ figure: 'cubicShare', atLeast: 1 / 3 }, { figure: 'utilization', atLeast: 0.9 }],
  golden: [{ figure: 'cubicShare', better: 'more', tolerance: 0.15 }],
};

const DEEP_BDP = 4;

function bloatCase(cc: CcName): Case {
  const path: PathSpec = { ...PATH, measure: [10, 60], queueBdp: DEEP_BDP };
  const bdp = bdpBytes(pathLink(path));
  return {
    columns: { cc },
    setup: onePath(path, {
      buffersBdp: 2 * DEEP_BDP, // windows must be able to fill the queue
      flows: [{ from: 'sender', to: 'receiver', cc }],
      figures: (_, { figures }) => ({ queueBdpP50: figures.queueBytesP50 / bdp }),
    }),
  };
}

export const bufferbloat: Scenario = {
  name: 'bufferbloat',
  title: `the standing queue of BBR and of CUBIC in a buffer of ${DEEP_BDP} BDP`,
  cases: [bloatCase('bbr'), bloatCase('cubic')],
  shows: ['queueBdpP50', 'rttMsP50', 'utilization', 'drops'],
  expect: [
    { figure: 'queueBdpP50', row: { cc: 'bbr' }, atMost: 1 },
    // A queue that is never less than half full at its median is what "filled" means here.
    { figure: 'queueBdpP50', row: { cc: 'cubic' }, atLeast: DEEP_BDP / 2 },
    { figure: 'utilization', row: { cc: 'bbr' }, atLeast: 0.9 },
  ],
  golden: [{ figure: 'rttMsP50', better: 'same', tolerance: 0.2 }],
};
