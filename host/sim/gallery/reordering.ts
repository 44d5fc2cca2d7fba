/**
 * A path that reorders and loses nothing: to a sender that takes every gap for a loss it is as bad
 * as loss. RFC 8985 §6.2 adapts (docs/gallery/reordering.md).
 */
import type { Case, Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

const RTT_MS = 50;
const SHARE = 0.01;

function reorderCase(reordered: 'none' | '1 %'): Case {
  const data = reordered === 'none' ? {}
    : { data: { reorder: { share: SHARE, ms: RTT_MS / 2, leastMs: 0 } } };
  return {
    columns: { reordered },
    setup: onePath({ rateMbps: 100, rttMs: RTT_MS, seconds: 30, measure: [2, 30], ...data }, {
      figures: (_, { figures }) => ({
        sentTwiceShare: figures.retransmits / Math.max(1, figures.segments),
      }),
    }),
  };
}

export const reordering: Scenario = {
  name: 'reordering',
  title: '1 % of packets late by up to half a round trip, none lost',
  seeds: 3,
  controllers: ['cubic', 'bbr'],
  cases: [reorderCase('none'), reorderCase('1 %')],
  shows: ['goodputBps', 'utilization', 'retransmits', 'sentTwiceShare', 'timeouts'],
  slice: { seeds: 1 },
  expect: [
    {
      figure: 'goodputBps', row: { reordered: '1 %' }, cc: ['cubic', 'bbr'], atLeast: 1,
      than: { row: { reordered: 'none' }, times: 0.95 },
    },
    {
      figure: 'sentTwiceShare', row: { reordered: '1 %' }, cc: ['cubic', 'bbr'], atMost: 0.001,
    },
  ],
  golden: [
    { figure: 'goodputBps', better: 'more', tolerance: 0.02 },
    { figure: 'sentTwiceShare', better: 'less', tolerance: 0.5, slack: 0.0005 },
  ],
};
