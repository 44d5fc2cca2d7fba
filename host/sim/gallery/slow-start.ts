/**
 * The ramp of slow start: a window that doubles each round trip needs several of them to fill a
 * path, however fast it is (docs/gallery/slow-start.md). RFC 5681 §3.1, RFC 6928.
 */
import type { Lab, Measured, Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

const RATE_MBPS = 100;
const RTT_MS = 80;
/** The share of the rate that counts as filled, over one round trip. */
const FILLED = 0.9;

/** Round trips from the first data sent until the receiver gets 90 % of what headers leave. */
function rounds(lab: Lab, { series }: Measured): number {
  const goodput = series.columns.get('goodputBps') as Float64Array;
  const mss = Math.max(...lab.flows.map(({ last }) => last.mss));
  const wanted = FILLED * RATE_MBPS * 1e6 * (mss / 1500);
  const everyMs = lab.setup.sampleMs as number;
  const span = RTT_MS / everyMs;
  // The handshake takes one round trip; the first data leaves with its last ACK.
  const firstMs = RTT_MS;
  for (let at = span; at <= goodput.length; at++) {
    const mean = goodput.subarray(at - span, at).reduce((a, b) => a + b, 0) / span;
    // Delivered in the round trip that begins here.
    if (mean >= wanted) return ((at - span) * everyMs - firstMs) / RTT_MS;
  }
  return Infinity;
}

export const slowStart: Scenario = {
  name: 'slow-start',
  title: 'how many round trips until 100 Mbit/s × 80 ms is full',
  setup: onePath(
    { rateMbps: RATE_MBPS, rttMs: RTT_MS, seconds: 3 },
    { sampleMs: 1, figures: (lab, measured) => ({ roundTripsToFill: rounds(lab, measured) }) },
  ),
  expect: [{ figure: 'roundTripsToFill', atMost: 8 }],
  golden: [{ figure: 'roundTripsToFill', better: 'less', tolerance: 0.1 }],
};
