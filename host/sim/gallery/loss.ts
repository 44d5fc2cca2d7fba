/**
 * What random loss does to each controller: sawtooths, Mathis' formula, BBR's indifference up to
 * its loss threshold, the table of a stack with 32 KiB buffers. RFC 5681, RFC 9438; Mathis,
 * Semke, Mahdavi, Ott 1997 (docs/gallery/sawtooth.md, mathis.md, bbr-loss.md, smoltcp-table.md).
 */
import type { Case, CcName, Lab, Measured, Scenario } from '../scenario/index.js';
import { onePath, type PathSpec } from './paths.js';

const PATH: PathSpec = { rateMbps: 100, rttMs: 50, seconds: 60 };
const CONTROLLERS: readonly CcName[] = ['reno', 'cubic', 'bbr'];

const flowOf = (cc: CcName) => ({ from: 'sender', to: 'receiver', cc });

function sawtoothCase(cc: CcName, lossPercent: number): Case {
  const path = { ...PATH, measure: [5, 60] as const, data: { loss: lossPercent / 100 } };
  return { columns: { cc, lossPercent }, setup: onePath(path, { flows: [flowOf(cc)] }) };
}

const SAWTOOTH_LOSSES = [0, 0.01, 0.1, 1];

export const sawtooth: Scenario = {
  name: 'sawtooth',
  title: 'Reno, CUBIC and BBR on 100 Mbit/s × 50 ms at several rates of random loss',
  cases: CONTROLLERS.flatMap((cc) => SAWTOOTH_LOSSES.map((loss) => sawtoothCase(cc, loss))),
  shows: ['goodputBps', 'utilization', 'retransmits', 'queueBytesP50', 'rttMsP50'],
  slice: { seconds: 20, measure: [5, 20] },
  expect: [
    ...CONTROLLERS.map((cc) =>
      ({ figure: 'utilization', row: { cc, lossPercent: 0 }, atLeast: 0.9 })),
    // Loss that the path does not cause costs Reno and CUBIC most of it, and BBR little.
    ...(['reno', 'cubic'] as const).map((cc) => ({
      figure: 'goodputBps', row: { cc, lossPercent: 1 }, atMost: 0.25,
      than: { row: { cc, lossPercent: 0 }, times: 1 },
    })),
    { figure: 'utilization', row: { cc: 'bbr', lossPercent: 1 }, atLeast: 0.85 },
  ],
  golden: [{ figure: 'goodputBps', better: 'more', tolerance: 0.1 }],
};

const MATHIS_C = 1.22;

/** Goodput over MSS × C / (RTT × √p): 1 is the formula. */
function mathisRatio(lab: Lab, { figures }: Measured, p: number): number {
  const mss = Math.max(...lab.flows.map(({ last }) => last.mss));
  const formula = (mss * 8 * MATHIS_C) / ((PATH.rttMs / 1000) * Math.sqrt(p));
  return figures.goodputBps / formula;
}

function mathisCase(lossPercent: number): Case {
  const p = lossPercent / 100;
  const path: PathSpec = { ...PATH, seconds: 300, measure: [30, 300], data: { loss: p } };
  return {
    columns: { lossPercent },
    setup: onePath(path, {
      flows: [flowOf('reno')],
      figures: (lab, measured) => ({ mathisRatio: mathisRatio(lab, measured, p) }),
    }),
  };
}

const MATHIS_LOSSES = [0.1, 1];

export const mathis: Scenario = {
  name: 'mathis',
  title: 'Reno under random loss beside the formula of Mathis et al. (C = 1.22)',
  cc: 'reno',
  seeds: 10,
  cases: MATHIS_LOSSES.map(mathisCase),
  shows: ['mathisRatio', 'goodputBps', 'retransmits', 'timeouts'],
  slice: { seeds: 4 },
  expect: MATHIS_LOSSES.map((lossPercent) =>
    ({ figure: 'mathisRatio', row: { lossPercent }, atLeast: 0.85, atMost: 1.15 })),
  golden: [{ figure: 'mathisRatio', better: 'same', tolerance: 0.05 }],
};

export const bbrLoss: Scenario = {
  name: 'bbr-loss-1',
  title: 'BBR on 100 Mbit/s × 50 ms with 1 % of data lost at random',
  cc: 'bbr',
  seeds: 10,
  setup: onePath({ ...PATH, seconds: 300, measure: [30, 300], data: { loss: 0.01 } }),
  slice: { seeds: 1, seconds: 60, measure: [30, 60] },
  expect: [{ figure: 'utilization', cc: ['bbr'], atLeast: 0.9 }],
  golden: [{ figure: 'utilization', better: 'more', tolerance: 0.02 }],
};

const LOSS5_SPAN = [5, 30] as const;
const LOSS5_LONG = 120;

/** Goodput from the beginning of the measured seconds to the end of the run. */
function longGoodput({ series }: Measured): number {
  const [from] = LOSS5_SPAN;
  const goodput = series.columns.get('goodputBps') as Float64Array;
  const picked = goodput.filter((_, at) => (series.seconds[at] as number) > from);
  return picked.reduce((left, right) => left + right, 0) / picked.length;
}

function loss5Case(cc: CcName): Case {
  const path: PathSpec = {
    ...PATH, seconds: LOSS5_LONG, measure: LOSS5_SPAN, data: { loss: 0.05 },
  };
  return {
    columns: { cc },
    setup: onePath(path, {
      flows: [flowOf(cc)],
      figures: (_, measured) => ({ goodputTo120sBps: longGoodput(measured) }),
    }),
  };
}

export const loss5: Scenario = {
  name: 'loss-5',
  title: 'BBR and CUBIC with 5 % of data lost, past the threshold of BBR',
  seeds: 10,
  cases: [loss5Case('bbr'), loss5Case('cubic')],
  shows: ['goodputBps', 'goodputTo120sBps', 'utilization', 'timeouts'],
  slice: { seeds: 3, seconds: 30 },
  expect: [{
    figure: 'goodputBps', row: { cc: 'bbr' }, atLeast: 1, than: { row: { cc: 'cubic' }, times: 3 },
  }],
  golden: [{ figure: 'goodputBps', better: 'more', tolerance: 0.15 }],
};

const SMALL_BUFFER = 32 * 1024;
/** Per cent of packets lost, each way, and bytes a second that must get through. */
const SMOLTCP_ROWS: readonly (readonly [number, number])[] = [
  [0, 310_000], [1, 140_000], [2, 100_000], [5, 50_000], [10, 4_788], [20, 603],
];

function smoltcpCase(lossPercent: number): Case {
  const lossy = { loss: lossPercent / 100 };
  return {
    columns: { lossPercent },
    setup: {
      seconds: 100,
      hosts: ['sender', 'receiver'],
      // No rate: the buffers are the limit, 32 KiB a round trip.
      links: [{
        between: ['sender', 'receiver'], delayMs: 50, forward: lossy, backward: lossy,
      }],
      flows: [{
        from: 'sender', to: 'receiver',
        options: { SO_SNDBUF: SMALL_BUFFER, SO_RCVBUF: SMALL_BUFFER },
        receiverOptions: { SO_SNDBUF: SMALL_BUFFER, SO_RCVBUF: SMALL_BUFFER },
      }],
      figures: (_, { figures }) => ({ bytesPerSecond: figures.goodputBps / 8 }),
    },
  };
}

export const smoltcpTable: Scenario = {
  name: 'smoltcp-table',
  title: '32 KiB buffers, RTT 100 ms, loss in both directions',
  seeds: 20,
  cases: SMOLTCP_ROWS.map(([lossPercent]) => smoltcpCase(lossPercent)),
  shows: ['bytesPerSecond', 'retransmits', 'timeouts'],
  slice: { seeds: 10 },
  expect: SMOLTCP_ROWS.map(([lossPercent, atLeast]) =>
    ({ figure: 'bytesPerSecond', row: { lossPercent }, cc: ['cubic'] as const, atLeast })),
  golden: [{ figure: 'bytesPerSecond', better: 'more', tolerance: 0.1 }],
};
