/**
 * The window of CUBIC after one loss beside its formula W(t) = C(t − K)³ + Wmax, on a path long and
 * fast enough to be outside the Reno-friendly region. RFC 9438 §4.2 (docs/gallery/cubic-window.md).
 */
import type { Lab, Measured, Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

const C = 0.4;
const BETA = 0.7;
/** Which data packet is lost: in slow start, with half of the path full. */
const LOST = 10_000;
/** After the loss, until recovery is over. */
const SETTLED_SECONDS = 1;

/** Largest distance of cwnd from the formula, as a share of the formula. */
function worstDeviation(lab: Lab, { series }: Measured): number {
  const cwnd = series.columns.get('cwndBytes') as Float64Array;
  const ssthresh = series.columns.get('ssthreshBytes') as Float64Array;
  const mss = Math.max(...lab.flows.map(({ last }) => last.mss));
  const retransmitted = lab.noted('lossSeconds');
  const before = series.seconds.findIndex((seconds) => seconds >= retransmitted) - 1;
  // The window at the loss: ssthresh is β of it.
  const settled = before + Math.ceil((SETTLED_SECONDS * 1000) / (lab.setup.sampleMs as number));
  const wMax = (ssthresh[settled] as number) / BETA / mss;
  const k = Math.cbrt((wMax * (1 - BETA)) / C);
  // The epoch begins when recovery ends: one round trip after the retransmission, when the window
  // stands at ssthresh.
  let epoch = before + 1;
  while ((cwnd[epoch + 1] as number) <= (ssthresh[settled] as number)) epoch++;
  const start = series.seconds[epoch] as number;
  let worst = 0;
  for (let at = settled; at < cwnd.length; at++) {
    const t = (series.seconds[at] as number) - start;
    const formula = C * (t - k) ** 3 + wMax;
    worst = Math.max(worst, Math.abs((cwnd[at] as number) / mss / formula - 1));
  }
  return worst;
}

export const cubicWindow: Scenario = {
  name: 'cubic-window',
  title: 'the window of CUBIC after one loss beside W(t) = C(t−K)³ + Wmax',
  cc: 'cubic',
  setup: onePath(
    {
      rateMbps: 1000, rttMs: 100, seconds: 45, measure: [5, 45], queueBdp: 4,
      data: { loseData: [LOST] },
    },
    {
      buffersBdp: 10, sampleMs: 50,
      script: (lab) => {
        lab.trace('sender', (record, seconds) => {
          if (record.kind === 'Retransmit' && !lab.notes.has('lossSeconds')) {
            lab.note('lossSeconds', seconds);
            lab.say('the one lost segment is sent again');
          }
        });
      },
      figures: (lab, measured) => ({ worstDeviation: worstDeviation(lab, measured) }),
    },
  ),
  slice: { seconds: 25, measure: [5, 25] },
  expect: [{ figure: 'worstDeviation', cc: ['cubic'], atMost: 0.05 }],
  golden: [{ figure: 'worstDeviation', better: 'less', tolerance: 0.5, slack: 0.005 }],
};
