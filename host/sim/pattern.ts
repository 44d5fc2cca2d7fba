/**
 * Content that says where it belongs: the byte at an offset of a stream follows from a seed and the
 * offset, so that a receiver finds every byte that is wrong, missing or of another connection. Used
 * by the simulator's applications and by tests.
 */

import { Random } from './random.js';

/** A prime, so that no block size of the stack divides the period and hides a shifted block. */
const PERIOD = 65_521;

const cache = new Map<number, Uint8Array>();

/** Two periods' worth, so that any piece up to a period long is one subarray. */
function period(seed: number): Uint8Array {
  let bytes = cache.get(seed);
  if (bytes === undefined) {
    if (cache.size > 256) cache.clear();
    const random = new Random(seed);
    bytes = new Uint8Array(PERIOD * 2);
    for (let at = 0; at < PERIOD; at++) bytes[at] = bytes[at + PERIOD] = random.u32() & 255;
    cache.set(seed, bytes);
  }
  return bytes;
}

/** Bytes from an offset on: `length` of them, fewer when length is above 64 KiB. */
export function patternAt(seed: number, offset: number, length: number): Uint8Array {
  const start = offset % PERIOD;
  return period(seed).subarray(start, start + Math.min(length, PERIOD));
}

/** Offset in `got` of the first byte that is not the pattern's; -1 when all are right. */
export function patternDiffers(seed: number, offset: number, got: Uint8Array): number {
  const bytes = period(seed);
  let place = offset % PERIOD;
  for (let at = 0; at < got.length; at++) {
    if (got[at] !== bytes[place]) return at;
    if (++place === PERIOD) place = 0;
  }
  return -1;
}
