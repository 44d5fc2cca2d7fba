/**
 * All elements of a link, one file each. Order matters: frames meet them as they are listed.
 */
export { codel, Codel, type CodelOptions } from './codel.js';
export { corrupt } from './corrupt.js';
export { delay } from './delay.js';
export { duplicate } from './duplicate.js';
export { jitter } from './jitter.js';
export { burstLoss, loss, lossPattern, type BurstLoss, type LossPattern } from './loss.js';
export { mark, markAbove, MarkAbove, type MarkLimits } from './mark.js';
export { mtu, type MtuOptions } from './mtu.js';
export { blackhole, outage, type Outage } from './outage.js';
export { tailDrop, type Discipline } from './queue.js';
export { rate } from './rate.js';
export { reorder } from './reorder.js';
export { spike, type Spike } from './spike.js';
export { stripOptions } from './strip-options.js';
export { tap, type TapCallback } from './tap.js';
