/**
 * How losses are repaired, and what it costs: fast retransmit against time-out, SACK against none,
 * back-off on a dark path, a delay spike that was no loss (docs/gallery/fast-retransmit.md,
 * sack.md, rto-backoff.md, delay-spike.md). RFC 5681 §3.2, RFC 6675, RFC 6298 §5.5, RFC 5682.
 */
import { TraceRetransmit } from '../../../assembly/abi.js';
import type { Case, Lab, Scenario } from '../scenario/index.js';
import { onePath, type PathSpec } from './paths.js';

const MSS = 1448;

/** There is room for all of it at once: segments are full, and the nth is where it is said to be. */
const transfer = (segments: number) => ({
  from: 'sender', to: 'receiver', bytes: segments * MSS, keepOpen: true,
  options: { SO_SNDBUF: 1_000_000 },
});

/** How long the transfer took, ms, and what was sent again. */
const finish = (lab: Lab) => ({ finishMs: (lab.flows[0]?.finished ?? Infinity) * 1000 });

const PATH: PathSpec = { rateMbps: 100, rttMs: 50, seconds: 10 };
/** Four doublings of the initial window. */
const SEGMENTS = 150;
/** The flight between the doublings: the 70 segments behind the first 30. */
const IN_FLIGHT = { first: 70, last: 149 };

const LOSSES: readonly (readonly [lost: string, data: readonly number[]])[] = [
  ['nothing', []],
  ['one of a window', [IN_FLIGHT.first]],
  ['the last one', [SEGMENTS - 1]],
  ['a whole window', Array.from({ length: IN_FLIGHT.last - IN_FLIGHT.first + 1 },
    (_, at) => IN_FLIGHT.first + at)],
];

export const fastRetransmit: Scenario = {
  name: 'fast-retransmit',
  title: 'what a loss costs: repaired by duplicate ACKs, by a probe, by time-out',
  cases: LOSSES.map(([lost, loseData]): Case => ({
    columns: { lost },
    setup: onePath({ ...PATH, data: { loseData } }, {
      sampleMs: 1,
      flows: [transfer(SEGMENTS)],
      script: (lab) => lab.tellRetransmissions('sender'),
      figures: finish,
    }),
  })),
  shows: ['finishMs', 'retransmits', 'timeouts'],
  expect: [
    { figure: 'timeouts', row: { lost: 'one of a window' }, atMost: 0 },
    {
      figure: 'finishMs', row: { lost: 'one of a window' }, atMost: 1.5,
      than: { row: { lost: 'nothing' }, times: 1 },
    },
    // A loss probe finds it, two round trips later.
    { figure: 'timeouts', row: { lost: 'the last one' }, atMost: 0 },
    {
      figure: 'finishMs', row: { lost: 'a whole window' }, atLeast: 1.5,
      than: { row: { lost: 'nothing' }, times: 1 },
    },
  ],
  golden: [{ figure: 'finishMs', better: 'less', tolerance: 0.02 }],
};

/** Eight holes in one window. */
const HOLES = Array.from({ length: 8 }, (_, at) => 70 + at * 4);

export const sack: Scenario = {
  name: 'sack',
  title: 'eight losses in one window, with selective acknowledgements and without',
  cases: ['on', 'off'].map((tcpSack): Case => ({
    columns: { sack: tcpSack },
    setup: onePath({ ...PATH, seconds: 20, data: { loseData: HOLES } }, {
      sampleMs: 1,
      sysctls: { tcp_sack: tcpSack === 'on' ? 1 : 0 },
      flows: [transfer(400)],
      script: (lab) => lab.tellRetransmissions('sender'),
      figures: finish,
    }),
  })),
  shows: ['finishMs', 'retransmits', 'timeouts'],
  expect: [
    { figure: 'timeouts', row: { sack: 'on' }, atMost: 0 },
    // One more at most: RFC 6675's rescue retransmission.
    { figure: 'retransmits', row: { sack: 'on' }, atMost: HOLES.length + 1 },
    // Without SACK one hole a round trip: seven round trips more.
    {
      figure: 'finishMs', row: { sack: 'off' }, atLeast: 1.5,
      than: { row: { sack: 'on' }, times: 1 },
    },
  ],
  golden: [{ figure: 'finishMs', better: 'less', tolerance: 0.05 }],
};

const DARK = { from: 2, until: 62 };

export const rtoBackoff: Scenario = {
  name: 'rto-backoff',
  title: 'a path that is dark for a minute: the timer doubles, and then nobody notices the light',
  setup: onePath({ rateMbps: 10, rttMs: 50, seconds: 130, data: { outages: [DARK] } }, {
    sampleMs: 50,
    script: (lab) => {
      let last = DARK.from;
      let gap = 0;
      lab.note('doublings', 0);
      lab.at(DARK.from, () => lab.say('the path goes dark'));
      lab.at(DARK.until, () => lab.say('the path is back'));
      lab.trace('sender', (record, seconds) => {
        if (record.kind !== 'Retransmit' || record.c !== TraceRetransmit.Timeout) return;
        if (lab.notes.has('resumedSeconds')) return;
        const waited = seconds - last;
        if (waited < 0.05) return; // of the same time-out
        lab.say(`time-out after ${waited.toFixed(2)} s`);
        if (gap > 0 && Math.abs(waited / gap - 2) < 0.1) {
          lab.note('doublings', lab.noted('doublings') + 1);
        }
        if (seconds > DARK.until && !lab.notes.has('resumedSeconds')) {
          lab.note('resumedSeconds', seconds - DARK.until);
        }
        last = seconds;
        gap = waited;
      });
    },
    figures: (lab) => ({
      doublings: lab.noted('doublings'), idleAfterLightSeconds: lab.noted('resumedSeconds'),
    }),
  }),
  expect: [
    { figure: 'doublings', atLeast: 5 },
    // The last wait was already running: up to as long as the path was dark.
    { figure: 'idleAfterLightSeconds', atLeast: 1, atMost: 60 },
  ],
  golden: [{ figure: 'doublings', better: 'same', tolerance: 0 }],
};

const SPIKE = { from: 5, until: 5.3, ms: 1000 };

export const delaySpike: Scenario = {
  name: 'delay-spike',
  title: 'packets stand still for a second: a time-out for nothing, and how it is undone',
  setup: onePath({
    rateMbps: 10, rttMs: 50, seconds: 15, measure: [4, 15], data: { spikes: [SPIKE] }, queueBdp: 6,
  }, {
    buffersBdp: 3, // the window fills the path and never the queue: nothing is ever lost
    script: (lab) => {
      lab.at(SPIKE.from, () => {
        lab.tellRetransmissions('sender');
        lab.say('packets stand still');
        lab.note('flightBefore', lab.flows[0]?.sample().inFlightBytes ?? 0);
      });
      lab.at(SPIKE.from + 2.5, () =>
        lab.note('flightAfter', lab.flows[0]?.sample().inFlightBytes ?? 0));
    },
    figures: (lab) => ({
      undone: lab.counter('sender', 'TcpExtTCPLossUndo') +
        lab.counter('sender', 'TcpExtTCPFullUndo'),
      flightKept: lab.noted('flightAfter') / lab.noted('flightBefore'),
    }),
  }),
  expect: [
    { figure: 'timeouts', atLeast: 1 },
    { figure: 'undone', atLeast: 1 },
    { figure: 'drops', atMost: 0 },
    // Nothing was lost: a few segments went twice, not the flight.
    { figure: 'retransmits', atMost: 5 },
    // Halved it would be at most a half.
    { figure: 'flightKept', atLeast: 0.75 },
  ],
  golden: [{ figure: 'retransmits', better: 'less', tolerance: 0.2, slack: 1 }],
};
