/**
 * SipHash (Aumasson, Bernstein 2012) of 24 bytes given as three little-endian words: 1-3 for the
 * hash table (tcp/demux.ts), 2-4 for initial sequence numbers, cookies and timestamp offsets
 * (RFC 6528, RFC 7323 §7.1). Pure functions of key and words.
 */

/** Hash tables: a flood of chosen addresses must not find one bucket. */
export function siphash13(k0: u64, k1: u64, a: u64, b: u64, c: u64): u64 {
  return siphash(k0, k1, a, b, c, 1, 3);
}

/** What a peer sees and must not predict. */
export function siphash24(k0: u64, k1: u64, a: u64, b: u64, c: u64): u64 {
  return siphash(k0, k1, a, b, c, 2, 4);
}

/** Steps: three words, the length tag, the end. */
const STEPS: u32 = 5;
const LENGTH_TAG: u64 = 24 << 56;

function siphash(k0: u64, k1: u64, a: u64, b: u64, c: u64, perWord: u32, atEnd: u32): u64 {
  let v0 = k0 ^ 0x736f6d6570736575;
  let v1 = k1 ^ 0x646f72616e646f6d;
  let v2 = k0 ^ 0x6c7967656e657261;
  let v3 = k1 ^ 0x7465646279746573;
  let word = a;
  let rounds = perWord;
  for (let step: u32 = 0; step < STEPS; step++) {
    if (step == 1) word = b;
    else if (step == 2) word = c;
    else if (step == 3) word = LENGTH_TAG;
    else if (step == 4) {
      word = 0;
      v2 ^= 0xff;
      rounds = atEnd;
    }
    v3 ^= word;
    for (let round: u32 = 0; round < rounds; round++) {
      v0 += v1;
      v1 = rotl<u64>(v1, 13) ^ v0;
      v0 = rotl<u64>(v0, 32);
      v2 += v3;
      v3 = rotl<u64>(v3, 16) ^ v2;
      v0 += v3;
      v3 = rotl<u64>(v3, 21) ^ v0;
      v2 += v1;
      v1 = rotl<u64>(v1, 17) ^ v2;
      v2 = rotl<u64>(v2, 32);
    }
    v0 ^= word;
  }
  return v0 ^ v1 ^ v2 ^ v3;
}
