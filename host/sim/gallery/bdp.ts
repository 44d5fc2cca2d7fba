/**
 * Full use of a path by one connection: the window must hold the bandwidth-delay product, and
 * buffers must let it. Three paths from a data centre to a long fat one (docs/gallery/bdp.md).
 */
import type { Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

/** Buffers of at most four BDP: what must be enough. */
const BUFFERS_BDP = 4;

function bdp(name: string, title: string, rateMbps: number, rttMs: number): Scenario {
  return {
    name, title,
    page: 'bdp',
    controllers: ['cubic', 'bbr'],
    setup: onePath(
      { rateMbps, rttMs, seconds: 20, measure: [5, 20] },
      { buffersBdp: BUFFERS_BDP, sampleMs: 20 },
    ),
    expect: [{ figure: 'utilization', atLeast: 0.95, cc: ['cubic', 'bbr'] }],
    golden: [
      { figure: 'utilization', better: 'more', tolerance: 0.01 },
      { figure: 'retransmits', better: 'less', tolerance: 0.5, slack: 100 },
    ],
  };
}

export const bdpShort: Scenario = {
  ...bdp('bdp-1g-0.5ms', 'one connection in a data centre', 1000, 0.5),
  slice: { seconds: 10, measure: [5, 10] },
};
export const bdpWide: Scenario = {
  ...bdp('bdp-1g-80ms', 'one connection, 10 MB in flight', 1000, 80),
};
/**
 * Its slice is short, a second of it is 833,000 packets: right after its beginning BBR still looks
 * for the rate.
 */
export const bdpLongFat: Scenario = {
  ...bdp('bdp-10g-100ms', 'one connection, 125 MB in flight', 10_000, 100),
  slice: {
    seconds: 6, measure: [5, 6], expect: [
      { figure: 'utilization', cc: ['cubic'], atLeast: 0.95 },
      { figure: 'utilization', cc: ['bbr'], atLeast: 0.8 },
    ],
  },
};
