/**
 * The Internet checksum and its pseudo-headers. RFC 1071; RFC 9293 §3.1; RFC 8200 §8.1.
 * Called by the decoders to verify, and by offload.ts to complete what a device left open.
 * Sums are kept unfolded in a double: 2³⁷ additions of 16 bits stay exact.
 */
import { u16 } from './bytes.js';
import type { Checksum } from './types.js';

/** Sum of 16-bit words, an odd last byte padded with zero on its right; not yet folded. */
export function sumBytes(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  const even = to - ((to - from) & 1);
  for (let at = from; at < even; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (even < to) sum += bytes[even]! << 8;
  return sum;
}

/** One's-complement fold to 16 bits (not inverted). */
export function fold(sum: number): number {
  const once = Math.floor(sum / 65536) + (sum % 65536);
  const twice = Math.floor(once / 65536) + (once % 65536);
  return (twice >>> 16) + (twice & 0xffff);
}

/**
 * Unfolded sum of the pseudo-header. `addresses` is the offset of the source address, which the
 * destination follows; `length` is the upper layer's, header included.
 */
export function pseudoHeaderSum(
  bytes: Uint8Array, addresses: number, addressBytes: number, protocol: number, length: number,
): number {
  const sum = sumBytes(bytes, addresses, addresses + 2 * addressBytes);
  return sum + protocol + Math.floor(length / 65536) + (length % 65536);
}

/** Judges a checksum field against the folded sum over everything, the field included. */
export function judge(value: number, foldedSum: number): Checksum {
  if (foldedSum === 0xffff) return { value, status: 'good', expected: value };
  return { value, status: 'bad', expected: fold(value + (~foldedSum & 0xffff)) };
}

/** Verifies bytes[from, to) with a field at `at`, on top of `initial` (a pseudo-header's sum). */
export function verify(
  bytes: Uint8Array, from: number, to: number, at: number, initial: number,
): Checksum {
  const value = u16(bytes, at);
  if (to > bytes.length) return { value, status: 'unverified', expected: 0 };
  return judge(value, fold(initial + sumBytes(bytes, from, to)));
}
