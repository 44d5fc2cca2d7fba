/**
 * The gallery: every scenario that comes with Ackorn, in the order in which --list shows them.
 */
import type { Scenario } from '../scenario/index.js';
import { bdpLongFat, bdpShort, bdpWide } from './bdp.js';
import { nagle } from './nagle.js';
import { slowStart } from './slow-start.js';

export const GALLERY: readonly Scenario[] = [
  slowStart, bdpShort, bdpWide, bdpLongFat, nagle,
];
