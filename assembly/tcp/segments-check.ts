/**
 * Walks a whole flight and compares it with every count and list that segments.ts keeps. For test
 * entries only: the shipped module never reaches it.
 */
import { treapFirst, treapNext } from "../core/treap";
import { Busy, SEG_LOST, SEG_RETRANS, SEG_SACKED, Segment } from "./busy";
import { Tcb } from "./records";
import { segmentAt, segmentEnd } from "./segments";

/** 0: all is right; else the number of what is not. `exactSack`: sackedBytes is no guess. */
export function segmentsCheck(tcb: Tcb, busy: Busy, exactSack: bool): u32 {
  let records: u32 = 0;
  let lost: u32 = 0;
  let retrans: u32 = 0;
  let last: usize = 0;
  const root = changetype<usize>(busy) + offsetof<Busy>("segmentRoot");
  if (treapFirst(root) != <usize>busy.segmentFirst) return 1;
  for (let at = <usize>busy.segmentFirst; at != 0; at = treapNext(at)) {
    const segment = segmentAt(at);
    if (segment.length == 0) return 2;
    if (last != 0) {
      if (segmentEnd(segmentAt(last)) != segment.seq) return 3;
      if (segment.flags & segmentAt(last).flags & SEG_SACKED) return 4;
    } else if (segment.seq != tcb.sndUna) {
      return 5;
    }
    if (segment.flags & SEG_SACKED && segment.flags & (SEG_LOST | SEG_RETRANS)) return 6;
    if (segment.flags & SEG_LOST) lost += segment.length;
    if (segment.flags & SEG_RETRANS) retrans += segment.length;
    records++;
    last = at;
  }
  if (last != <usize>busy.segmentLast || records != busy.segmentCount) return 7;
  if (last != 0 && segmentEnd(segmentAt(last)) != tcb.sndNxt) return 8;
  if (lost != busy.lostBytes) return 9;
  if (retrans != busy.retransBytes) return 10;
  if (exactSack) {
    const wrong = sackedCheck(busy);
    if (wrong != 0) return wrong;
  }
  return listsCheck(busy);
}

function sackedCheck(busy: Busy): u32 {
  let sacked: u32 = 0;
  let blocks: u32 = 0;
  let below: u32 = 0;
  let blocksBelow: u32 = 0;
  for (let at = <usize>busy.segmentFirst; at != 0; at = treapNext(at)) {
    const segment = segmentAt(at);
    if ((segment.flags & SEG_SACKED) == 0) continue;
    sacked += segment.length;
    blocks++;
    const before = <i32>(busy.lossCursor - segment.seq);
    if (before <= 0) continue;
    below += min<u32>(before, segment.length);
    blocksBelow++;
  }
  if (sacked != busy.sackedBytes) return 11;
  if (blocks != busy.sackedBlocks) return 12;
  if (below != busy.sackedBelowCursor) return 13;
  return blocksBelow == busy.sackedBlocksBelowCursor ? 0 : 14;
}

function listsCheck(busy: Busy): u32 {
  let listed: u32 = 0;
  let prev: usize = 0;
  for (let at = <usize>busy.flightHead; at != 0; at = segmentAt(at).listNext) {
    const segment = segmentAt(at);
    if (<usize>segment.listPrev != prev || ++listed > busy.segmentCount) return 15;
    if (segment.flags & SEG_SACKED) return 16;
    if ((segment.flags & (SEG_LOST | SEG_RETRANS)) == SEG_LOST) return 17;
    if (prev != 0 && <i32>(segment.txTimeUs - segmentAt(prev).txTimeUs) < 0) return 18;
    prev = at;
  }
  if (prev != <usize>busy.flightTail) return 19;
  prev = 0;
  for (let at = <usize>busy.lostHead; at != 0; at = segmentAt(at).listNext) {
    const segment = segmentAt(at);
    if (<usize>segment.listPrev != prev || ++listed > busy.segmentCount) return 20;
    if ((segment.flags & (SEG_SACKED | SEG_LOST | SEG_RETRANS)) != SEG_LOST) return 21;
    prev = at;
  }
  if (prev != <usize>busy.lostTail) return 22;
  return listed + busy.sackedBlocks == busy.segmentCount ? 0 : 23;
}
