/**
 * Sequence numbers and other counters that wrap at 2³². RFC 9293 §3.4.
 * The only place where such numbers are compared; everybody calls it.
 */

/** a is before b, within half the number space. */
// @ts-ignore: decorator
@inline
export function seqLt(a: u32, b: u32): bool {
  return i32(a - b) < 0;
}

// @ts-ignore: decorator
@inline
export function seqLe(a: u32, b: u32): bool {
  return i32(a - b) <= 0;
}

// @ts-ignore: decorator
@inline
export function seqGt(a: u32, b: u32): bool {
  return i32(a - b) > 0;
}

// @ts-ignore: decorator
@inline
export function seqGe(a: u32, b: u32): bool {
  return i32(a - b) >= 0;
}

/** low <= x < low + length, also across the wrap. */
// @ts-ignore: decorator
@inline
export function seqWithin(x: u32, low: u32, length: u32): bool {
  return x - low < length;
}

// @ts-ignore: decorator
@inline
export function seqMax(a: u32, b: u32): u32 {
  return seqGt(a, b) ? a : b;
}

// @ts-ignore: decorator
@inline
export function seqMin(a: u32, b: u32): u32 {
  return seqLt(a, b) ? a : b;
}
