/**
 * Received bytes beyond a hole: ranges in a treap by sequence number and in a list by age of their
 * last arrival, newest first, which is the order of SACK blocks (RFC 2018 §4). The bytes themselves
 * already stand at their place in the receive stream. A FIN beyond a hole counts as one more octet
 * of the range it ends. Called by tcp/text.ts and tcp/output.ts (for the blocks).
 */
import { Counter, Fault } from "../abi";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { PoolId, poolGive, poolTake } from "../core/pool";
import { seqGe, seqLe, seqLt, seqMax, seqMin } from "../core/seq";
import {
  treapFirst, treapFloor, treapInsert, treapLast, treapNext, treapRemove,
} from "../core/treap";
import { Busy, Range } from "./busy";
import { recordMayTake } from "./record-share";

// @ts-ignore: decorator
@inline
function rootAt(busy: Busy): usize {
  return changetype<usize>(busy) + offsetof<Busy>("rangeRoot");
}

// @ts-ignore: decorator
@inline
function rangeAt(record: usize): Range {
  return changetype<Range>(record);
}

/** Lowest range, or 0. */
export function rangeFirst(busy: Busy): usize {
  return busy.rangeRoot == 0 ? 0 : treapFirst(rootAt(busy));
}

/** Highest range, or 0. */
export function rangeLast(busy: Busy): usize {
  return busy.rangeRoot == 0 ? 0 : treapLast(rootAt(busy));
}

/**
 * Notes [seq, end) as received; returns false when no record is left (the piece is to be dropped).
 * What overlaps or touches is merged; the merged range becomes the newest.
 */
export function rangeInsert(busy: Busy, seq: u32, end: u32, fin: bool): bool {
  invariant(seqLt(seq, end), Fault.Reassembly);
  let low = seq;
  let high = end;
  let hasFin = fin;
  let kept: usize = 0;
  // Every range that overlaps or touches [seq, end) is swallowed: the first is kept and widened.
  let record = treapFloorOrFirst(busy, seq);
  while (record != 0 && seqLe(rangeAt(record).seq, high)) {
    const range = rangeAt(record);
    const next = treapNext(record);
    if (seqGe(range.end, low)) {
      low = seqMin(low, range.seq);
      high = seqMax(high, range.end);
      hasFin = hasFin || range.fin != 0;
      count(Counter.TcpExtTCPOFOMerge);
      if (kept == 0) {
        kept = record;
        unlink(busy, range);
        busy.rangeBytes -= range.end - range.seq;
      } else rangeRemove(busy, record);
    }
    record = next;
  }
  if (kept == 0) {
    kept = recordMayTake(busy, true) ? poolTake(PoolId.Segment) : 0;
    if (kept == 0) {
      count(Counter.AckornSegmentsExhausted);
      return false;
    }
    rangeAt(kept).seq = low;
    treapInsert(rootAt(busy), kept);
    busy.rangeCount++;
  }
  const range = rangeAt(kept);
  range.seq = low; // no other range lies between the old key and this one: order holds
  range.end = high;
  range.fin = hasFin ? 1 : 0;
  busy.rangeBytes += high - low;
  push(busy, range);
  return true;
}

function treapFloorOrFirst(busy: Busy, seq: u32): usize {
  if (busy.rangeRoot == 0) return 0;
  const floor = treapFloor(rootAt(busy), seq);
  return floor != 0 ? floor : treapFirst(rootAt(busy));
}

/** Is [seq, end) already there as a whole or in part (a duplicate for D-SACK)? */
export function rangeOverlap(busy: Busy, seq: u32, end: u32): usize {
  let record = treapFloorOrFirst(busy, seq);
  if (record == 0) return 0;
  if (seqLe(rangeAt(record).end, seq)) record = treapNext(record);
  if (record == 0 || seqGe(rangeAt(record).seq, end)) return 0;
  return record;
}

export function rangeRemove(busy: Busy, record: usize): void {
  const range = rangeAt(record);
  unlink(busy, range);
  busy.rangeBytes -= range.end - range.seq;
  busy.rangeCount--;
  treapRemove(rootAt(busy), record);
  poolGive(PoolId.Segment, record);
}

/** Gives up about `want` bytes of the highest range, or all of it; bytes given up. */
export function rangeTrimHighest(busy: Busy, want: u32): u32 {
  const record = treapLast(rootAt(busy));
  const range = rangeAt(record);
  const length = range.end - range.seq;
  if (length <= want) {
    rangeRemove(busy, record);
    return length;
  }
  range.end -= want;
  range.fin = 0; // it was the last octet
  busy.rangeBytes -= want;
  return want;
}

export function rangesRelease(busy: Busy): void {
  while (busy.rangeRoot != 0) rangeRemove(busy, treapFirst(rootAt(busy)));
}

function push(busy: Busy, range: Range): void {
  const self = <u32>changetype<usize>(range);
  range.newer = 0;
  range.older = busy.rangeRecent;
  if (busy.rangeRecent != 0) rangeAt(busy.rangeRecent).newer = self;
  busy.rangeRecent = self;
}

function unlink(busy: Busy, range: Range): void {
  if (range.newer != 0) rangeAt(range.newer).older = range.older;
  else busy.rangeRecent = range.older;
  if (range.older != 0) rangeAt(range.older).newer = range.newer;
}
