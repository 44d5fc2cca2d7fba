/**
 * The gallery: every scenario that comes with Ackorn, in the order in which --list shows them.
 */
import type { Scenario } from '../scenario/index.js';
import { bdpLongFat, bdpShort, bdpWide } from './bdp.js';
import { cubicWindow } from './cubic-window.js';
import { bbrVsCubic, bufferbloat, fairnessTen, fairnessTwo, rttUnfairness } from './fairness.js';
import { closeWait, halfClose, timeWait } from './lifecycle.js';
import { bbrLoss, loss5, mathis, sawtooth, smoltcpTable } from './loss.js';
import { framing, headOfLine } from './messages.js';
import { mtuBlackHole } from './mtu.js';
import { nagle } from './nagle.js';
import { acceptQueue, synBacklog } from './queues.js';
import { delaySpike, fastRetransmit, rtoBackoff, sack } from './recovery.js';
import { reordering } from './reordering.js';
import { slowStart } from './slow-start.js';
import { windowScale, zeroWindow } from './window.js';

export const GALLERY: readonly Scenario[] = [
  slowStart, bdpShort, bdpWide, bdpLongFat,
  sawtooth, mathis, bbrLoss, loss5, cubicWindow, smoltcpTable,
  fastRetransmit, sack, rtoBackoff, delaySpike, reordering,
  fairnessTwo, fairnessTen, rttUnfairness, bbrVsCubic, bufferbloat,
  nagle, zeroWindow, windowScale, mtuBlackHole, framing, headOfLine,
  acceptQueue, synBacklog, timeWait, closeWait, halfClose,
];
