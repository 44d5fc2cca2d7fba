/**
 * The Internet checksum. RFC 1071. wire/ and ip/ call it for headers, pseudo-headers and payload.
 * Sums are of little-endian words in a u64, which no packet can overflow; the folded result is in
 * network order when stored as it is, because the sum commutes with a byte swap (RFC 1071 §2 B).
 */

/*
 * ns at 20 / 60 / 1500 / 65536 bytes, x86-64, Node 20 (bench/checksum.ts):
 *   SIMD above 64 bytes (sumWide)     4 / 6 / 44 / 1800
 *   u64 words throughout              4 / 6 / 89 / 3870    where there is no SIMD
 * Four accumulators of u32 words were tried: 8 / 7 / 70 / 2980.
 */
/** Bytes of one step of sumWide. */
const WIDE: u32 = 64;
/** Bytes after which sumWide's lanes are emptied; they would overflow after 8 times as many. */
const WIDE_MAX: u32 = 65536;

/** Adds `length` bytes at `at`; an odd last byte counts as if a zero followed. */
export function checksumPartial(at: usize, length: u32, sum: u64): u64 {
  const end = at + length;
  if (ASC_FEATURE_SIMD && length >= WIDE) {
    sum = sumWide(at, length & ~(WIDE - 1), sum);
    at += length & ~(WIDE - 1);
    length &= WIDE - 1;
  }
  let sum1: u64 = 0;
  for (const last = at + (length & ~15); at < last; at += 16) {
    const a = load<u64>(at);
    const b = load<u64>(at, 8);
    sum += (a & 0xffffffff) + (a >> 32);
    sum1 += (b & 0xffffffff) + (b >> 32);
  }
  sum += sum1;
  for (; at + 4 <= end; at += 4) sum += load<u32>(at);
  if (at + 2 <= end) {
    sum += load<u16>(at);
    at += 2;
  }
  if (at < end) sum += load<u8>(at);
  return sum;
}

/** `length` is a multiple of WIDE. Sums of pairs of 16-bit words in 32-bit lanes. */
function sumWide(at: usize, length: u32, sum: u64): u64 {
  while (length) {
    const bytes = min(length, WIDE_MAX);
    length -= bytes;
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    for (const last = at + bytes; at < last; at += WIDE) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
    }
    a = i32x4.add(a, b);
    sum += (<u64>(<u32>i32x4.extract_lane(a, 0))) + <u32>i32x4.extract_lane(a, 1);
    sum += (<u64>(<u32>i32x4.extract_lane(a, 2))) + <u32>i32x4.extract_lane(a, 3);
  }
  return sum;
}

/** Adds one piece of a longer message, at byte `offset` of it: right for odd offsets too. */
export function checksumPiece(at: usize, length: u32, offset: u32, sum: u64): u64 {
  if (!(offset & 1)) return checksumPartial(at, length, sum);
  return checksumSwap(checksumPartial(at, length, checksumSwap(sum)));
}

/** The sum as it is with all bytes shifted by one: for what follows an odd number of bytes. */
export function checksumSwap(sum: u64): u64 {
  return bswap<u16>(<u16>checksumFold(sum));
}

/** The sum in 16 bits, not complemented; 0 only if every byte was 0. */
export function checksumFold(sum: u64): u32 {
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return <u32>((sum >> 16) + (sum & 0xffff));
}

/** The checksum field: store<u16> it as it is. */
export function checksumFinish(sum: u64): u16 {
  return ~(<u16>checksumFold(sum));
}
