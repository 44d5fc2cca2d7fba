/**
 * Content that says where it belongs: the byte at an offset of a stream follows from a seed and the
 * offset, so that a receiver finds every byte that is wrong, missing or of another connection. Used
 * by the simulator's applications and by tests.
 */

import { Random } from './random.js';

/** A prime, so that no block size of the stack divides the period and hides a shifted block. */
const PERIOD = 65_521;

interface Period {
  /** Two periods' worth, so that any piece up to a period long is one subarray. */
  readonly bytes: Uint8Array;
  /** The same from byte 0, 1, 2 and 3 on, in words: four bytes are compared at a time. */
  readonly words: readonly Uint32Array[];
}

const cache = new Map<number, Period>();

function make(seed: number): Period {
  const random = new Random(seed);
  const bytes = new Uint8Array(PERIOD * 2 + 2); // whole words
  for (let at = 0; at < PERIOD; at++) bytes[at] = bytes[at + PERIOD] = random.u32() & 255;
  const words = [0, 1, 2, 3].map((shift) => {
    const shifted = new Uint8Array(bytes.length);
    shifted.set(bytes.subarray(shift));
    return new Uint32Array(shifted.buffer);
  });
  return { bytes, words };
}

function period(seed: number): Period {
  let found = cache.get(seed);
  if (found === undefined) {
    if (cache.size > 64) cache.clear();
    found = make(seed);
    cache.set(seed, found);
  }
  return found;
}

/** Bytes from an offset on: `length` of them, fewer when length is above 64 KiB. */
export function patternAt(seed: number, offset: number, length: number): Uint8Array {
  const start = offset % PERIOD;
  return period(seed).bytes.subarray(start, start + Math.min(length, PERIOD));
}

/** The same by single bytes, from `at` on. */
function bytesDiffer(bytes: Uint8Array, offset: number, got: Uint8Array, from: number): number {
  for (let at = from; at < got.length; at++) {
    if (got[at] !== bytes[(offset + at) % PERIOD]) return at;
  }
  return -1;
}

/** Offset in `got` of the first byte that is not the pattern's; -1 when all are right. */
export function patternDiffers(seed: number, offset: number, got: Uint8Array): number {
  const { bytes, words } = period(seed);
  if (got.length > PERIOD || got.byteOffset % 4 !== 0) return bytesDiffer(bytes, offset, got, 0);
  const start = offset % PERIOD;
  const wanted = words[start & 3] as Uint32Array;
  const first = start >>> 2;
  const count = got.length >>> 2;
  const have = new Uint32Array(got.buffer, got.byteOffset, count);
  for (let at = 0; at < count; at++) {
    if (have[at] !== wanted[first + at]) return bytesDiffer(bytes, offset, got, at * 4);
  }
  return bytesDiffer(bytes, offset, got, count * 4);
}
