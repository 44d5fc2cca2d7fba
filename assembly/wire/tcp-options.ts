/**
 * TCP options (RFC 9293 §3.2, RFC 7323, RFC 2018, RFC 7413): a total parser into one fixed record,
 * and writers in Linux's order. Whether an option is allowed on this segment (MSS, window scale and
 * SACK-permitted only count on SYNs) is decided in tcp/options.ts, not here.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { SEGMENT_AT } from "../memory";

const KIND_EOL: u32 = 0;
const KIND_NOP: u32 = 1;
const KIND_MSS: u32 = 2;
const KIND_WSCALE: u32 = 3;
const KIND_SACK_PERMITTED: u32 = 4;
const KIND_SACK: u32 = 5;
const KIND_TIMESTAMPS: u32 = 8;
const KIND_MD5: u32 = 19;
const KIND_FASTOPEN: u32 = 34;

/** A data offset of 15 leaves this much; the parser never looks beyond it. */
export const TCP_OPTIONS_MAX: u32 = 40;
/** RFC 7323 §2.3. */
export const WSCALE_MAX: u32 = 14;
export const SACK_BLOCKS_MAX: u32 = 4;
/** RFC 7413 §4.1.1: a cookie has 4 to 16 bytes, an even number; 0 asks for one. */
const COOKIE_MIN: u32 = 4;
const COOKIE_MAX: u32 = 16;

/** Bits of TcpOptions.present. */
export const OPT_MSS: u32 = 1;
export const OPT_WSCALE: u32 = 2;
export const OPT_SACK_PERMITTED: u32 = 4;
export const OPT_TIMESTAMPS: u32 = 8;
export const OPT_SACK: u32 = 16;
export const OPT_FASTOPEN: u32 = 32;
/** RFC 2385: no key is ever set, so such a segment is not for us (Linux: TCPMD5Unexpected). */
export const OPT_MD5: u32 = 64;
/** A length that cannot be true stopped the parser. */
export const OPT_MALFORMED: u32 = 128;

/** The options of one segment; memory.ts gives the one being received its place. */
@unmanaged
export class TcpOptions {
  present: u32;
  tsVal: u32;
  tsEcr: u32;
  /** Bytes; not 0 while OPT_MSS. */
  mss: u16;
  /** At most 14. */
  wscale: u8;
  sackCount: u8;
  // -- SACK blocks in the order of the segment: [start, end)
  start0: u32;
  end0: u32;
  start1: u32;
  end1: u32;
  start2: u32;
  end2: u32;
  start3: u32;
  end3: u32;
  /** Address of the Fast Open cookie in the segment, and its bytes. */
  cookieAt: u32;
  cookieBytes: u32;

  /** First sequence number of SACK block i < sackCount. */
  @inline sackStart(i: u32): u32 {
    return load<u32>(changetype<usize>(this) + (<usize>i << 3), offsetof<TcpOptions>("start0"));
  }
  /** The one after its last. */
  @inline sackEnd(i: u32): u32 {
    return load<u32>(changetype<usize>(this) + (<usize>i << 3), offsetof<TcpOptions>("end0"));
  }
}
if (offsetof<TcpOptions>() > 256) ERROR("TcpOptions fits its place");

/** The options of the segment being received. */
// @ts-ignore: decorator
@inline
export function segmentOptions(): TcpOptions {
  return changetype<TcpOptions>(SEGMENT_AT);
}

/**
 * Parses `length` bytes of options at `at` into `o`, overwriting it. False when a length cannot be
 * true: what came before it stands, the rest is not looked at, AckornTcpBadOption is counted.
 */
//= rfc9293 MUST-4
//= rfc9293 MUST-5
//= rfc9293 MUST-64
export function optionsParse(o: TcpOptions, at: usize, length: u32): bool {
  o.present = 0;
  o.sackCount = 0;
  if (length == 12 && load<u32>(at) == 0x0a080101) { // nop nop TS: all that most segments carry
    o.present = OPT_TIMESTAMPS;
    o.tsVal = bswap<u32>(load<u32>(at, 4));
    o.tsEcr = bswap<u32>(load<u32>(at, 8));
    return true;
  }
  const end = at + min(length, TCP_OPTIONS_MAX);
  while (at < end) { // bounded: each turn moves on by at least one of 40 bytes
    const kind: u32 = load<u8>(at);
    //= rfc9293 MUST-69
    if (kind == KIND_EOL) return true; // what follows is padding (MUST-69), whatever it holds
    if (kind == KIND_NOP) {
      at += 1;
      continue;
    }
    //= rfc9293 MUST-7
    const bytes: u32 = at + 1 < end ? load<u8>(at, 1) : 0;
    if (bytes < 2 || at + bytes > end) {
      o.present |= OPT_MALFORMED;
      count(Counter.AckornTcpBadOption);
      return false;
    }
    parseOption(o, kind, at + 2, bytes - 2);
    //= rfc9293 MUST-6
    //= rfc9293 MUST-68
    at += bytes;
  }
  return true;
}

/** A known option whose length is not its own is skipped, as Linux does. */
function parseOption(o: TcpOptions, kind: u32, at: usize, length: u32): void {
  switch (kind) {
    case KIND_MSS: {
      const mss = length == 2 ? <u32>bswap<u16>(load<u16>(at)) : 0;
      if (mss == 0) return;
      o.mss = <u16>mss;
      o.present |= OPT_MSS;
      return;
    }
    case KIND_WSCALE: {
      if (length != 1) return;
      o.wscale = <u8>min(<u32>load<u8>(at), WSCALE_MAX);
      o.present |= OPT_WSCALE;
      return;
    }
    case KIND_SACK_PERMITTED: {
      if (length == 0) o.present |= OPT_SACK_PERMITTED;
      return;
    }
    case KIND_TIMESTAMPS: {
      if (length != 8) return;
      o.tsVal = bswap<u32>(load<u32>(at));
      o.tsEcr = bswap<u32>(load<u32>(at, 4));
      o.present |= OPT_TIMESTAMPS;
      return;
    }
    case KIND_SACK: return parseSack(o, at, length);
    case KIND_MD5: {
      if (length == 16) o.present |= OPT_MD5;
      return;
    }
    case KIND_FASTOPEN: {
      if (length != 0 && (length < COOKIE_MIN || length > COOKIE_MAX || (length & 1) != 0)) return;
      o.cookieAt = <u32>at;
      o.cookieBytes = length;
      o.present |= OPT_FASTOPEN;
      return;
    }
    default: return;
  }
}

function parseSack(o: TcpOptions, at: usize, length: u32): void {
  const blocks = length >> 3;
  if (blocks == 0 || blocks > SACK_BLOCKS_MAX || (length & 7) != 0) return;
  const to = changetype<usize>(o) + offsetof<TcpOptions>("start0");
  for (let i: u32 = 0; i < blocks * 2; i++) {
    store<u32>(to + (i << 2), bswap<u32>(load<u32>(at + (i << 2))));
  }
  o.sackCount = <u8>blocks;
  o.present |= OPT_SACK;
}

/**
 * Writes the options of a SYN or SYN-ACK in Linux's order: mss, sackOK, TS, nop, wscale; without
 * timestamps mss, nop, nop, sackOK, nop, wscale. `wscale` -1: none. Returns their bytes, at most
 * 20, always a multiple of four.
 */
//= rfc9293 MUST-14, SHLD-5, MAY-3
//= rfc9293 MUST-65 (the one writer of MSS)
export function optionsWriteSyn(
  at: usize, mss: u32, sackOk: bool, ts: bool, tsVal: u32, tsEcr: u32, wscale: i32,
): u32 {
  store<u32>(at, bswap<u32>(KIND_MSS << 24 | 4 << 16 | (mss & 0xffff)));
  let bytes: u32 = 4;
  const sack: u32 = sackOk ? KIND_SACK_PERMITTED << 24 | 2 << 16 : KIND_NOP << 24 | KIND_NOP << 16;
  if (ts) {
    store<u32>(at, bswap<u32>(sack | KIND_TIMESTAMPS << 8 | 10), 4);
    store<u32>(at, bswap<u32>(tsVal), 8);
    store<u32>(at, bswap<u32>(tsEcr), 12);
    bytes = 16;
  } else if (sackOk) {
    store<u32>(at, bswap<u32>(KIND_NOP << 24 | KIND_NOP << 16 | KIND_SACK_PERMITTED << 8 | 2), 4);
    bytes = 8;
  }
  if (wscale < 0) return bytes;
  const shift: u32 = min(<u32>wscale, WSCALE_MAX);
  store<u32>(at + bytes, bswap<u32>(KIND_NOP << 24 | KIND_WSCALE << 16 | 3 << 8 | shift));
  return bytes + 4;
}

/** nop, nop, TS. Returns 12. */
export function optionsWriteTimestamps(at: usize, tsVal: u32, tsEcr: u32): u32 {
  store<u32>(at, 0x0a080101);
  store<u32>(at, bswap<u32>(tsVal), 4);
  store<u32>(at, bswap<u32>(tsEcr), 8);
  return 12;
}

/** How many SACK blocks fit behind `used` bytes of other options (RFC 2018 §3). */
export function optionsSackRoom(used: u32): u32 {
  const room = TCP_OPTIONS_MAX - used;
  return room < 12 ? 0 : min((room - 4) >> 3, SACK_BLOCKS_MAX);
}

/** nop, nop and the head of a SACK option of `blocks` > 0. Returns 4; the blocks follow. */
export function optionsWriteSackHead(at: usize, blocks: u32): u32 {
  const head = KIND_NOP << 24 | KIND_NOP << 16 | KIND_SACK << 8;
  store<u32>(at, bswap<u32>(head | (2 + (blocks << 3))));
  return 4;
}

/** One block [start, end). Returns 8. */
export function optionsWriteSackBlock(at: usize, start: u32, end: u32): u32 {
  store<u32>(at, bswap<u32>(start));
  store<u32>(at, bswap<u32>(end), 4);
  return 8;
}
