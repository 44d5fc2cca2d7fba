/**
 * The flight: one record for each sent super-segment or part of it, in a treap by sequence number
 * and in two lists: in flight by time of transmission, and lost. RFC 6675's scoreboard lives here
 * as marks with exact byte counts. An ACK costs O(log n) for each edge and O(1), amortised, for
 * each record that it changes; the flight is never walked. Called by output.ts (sent), ack.ts
 * (acked), sack.ts and recovery.ts (marks). Decides nothing about loss or rate.
 */
import { Config, Counter, Fault } from "../abi";
import { config } from "../config";
import { count, countMany } from "../core/counters";
import { invariant } from "../core/invariant";
import { PoolId, poolGive, poolTake } from "../core/pool";
import { seqGt, seqLe, seqLt, seqMin } from "../core/seq";
import { treapFloor, treapInsert, treapNext, treapPrev, treapRemove } from "../core/treap";
import { system } from "../memory";
import {
  AF_ADVANCED, AF_DATA_ACKED, AF_NEW_SACK, AF_ORIGINAL, AF_RENEGING, AF_RETRANS_ACKED,
  AF_SYN_ACKED, AckSample, RTT_NONE,
} from "./ack-sample";
import {
  Busy, CaState, SEG_APP_LIMITED, SEG_EVER_RETRANS, SEG_FIN, SEG_LOST, SEG_PARTIAL, SEG_RETRANS,
  SEG_SACKED, SEG_SYN, Segment, stateOf,
} from "./busy";
import { rateOnDelivered, rateOnLost, rateOnSend } from "./delivery-rate";
import { rackOnDelivered, rackOnFlight, rackRecent } from "./rack";
import { recordMayTake } from "./record-share";
import { Extra, Tcb } from "./records";
import { reorderingSeen } from "./sack";
import { undoStamp } from "./undo";

/** A record made by sending grows to the size of the largest super-segment, no further. */
const MERGE_MAX: u32 = 65536;

// @ts-ignore: decorator
@inline
export function segmentAt(address: usize): Segment {
  return changetype<Segment>(address);
}

// @ts-ignore: decorator
@inline
export function segmentEnd(segment: Segment): u32 {
  return segment.seq + segment.length;
}

// @ts-ignore: decorator
@inline
function rootOf(busy: Busy): usize {
  return changetype<usize>(busy) + offsetof<Busy>("segmentRoot");
}

/** The record that holds `seq`, or the last one before it; 0: none. */
// @ts-ignore: decorator
@inline
export function segmentFloor(busy: Busy, seq: u32): usize {
  return treapFloor(rootOf(busy), seq);
}

// @ts-ignore: decorator
@inline
function addressOf(segment: Segment): u32 {
  return <u32>changetype<usize>(segment);
}

//= rfc6675 3
/** Bytes estimated to be in the network: RFC 6675's pipe, kept instead of computed. */
export function pipe(tcb: Tcb, busy: Busy): u32 {
  const out = tcb.sndNxt - tcb.sndUna + busy.retransBytes;
  const left = busy.sackedBytes + busy.lostBytes;
  return out > left ? out - left : 0;
}

/** Bytes at whose multiples records are split: the MSS, never below tcp_min_snd_mss. */
export function splitUnit(tcb: Tcb): u32 {
  return max<u32>(max<u32>(tcb.sndMss, config(Config.tcp_min_snd_mss)), 1);
}

/** `bytes` in segments, rounded up. */
export function segmentsIn(tcb: Tcb, bytes: u32): u32 {
  const unit = splitUnit(tcb);
  return (bytes + unit - 1) / unit;
}

/** Bytes of `segment` up to the last MSS boundary at or before `bytes`; 0: there is none. */
export function boundaryBefore(tcb: Tcb, segment: Segment, bytes: u32): u32 {
  const cut = <u32>segment.cut;
  const unit = splitUnit(tcb);
  const at = ((bytes + cut) / unit) * unit;
  return at > cut ? at - cut : 0;
}

/** Bytes of `segment` up to the first MSS boundary at or after `bytes`. */
export function boundaryAfter(tcb: Tcb, segment: Segment, bytes: u32): u32 {
  const cut = <u32>segment.cut;
  const unit = splitUnit(tcb);
  return ((bytes + cut + unit - 1) / unit) * unit - cut;
}

// ---- Records and their lists

function recordTake(busy: Busy, newData: bool): usize {
  const record = recordMayTake(busy, newData) ? poolTake(PoolId.Segment) : 0;
  if (record == 0) count(Counter.AckornSegmentsExhausted);
  return record;
}

// @ts-ignore: decorator
@inline
function inLostList(flags: u8): bool {
  return (flags & (SEG_LOST | SEG_RETRANS)) == SEG_LOST;
}

function listAppend(busy: Busy, segment: Segment): void {
  const self = addressOf(segment);
  segment.listNext = 0;
  if (inLostList(segment.flags)) {
    segment.listPrev = busy.lostTail;
    if (busy.lostTail == 0) busy.lostHead = self;
    else segmentAt(busy.lostTail).listNext = self;
    busy.lostTail = self;
  } else {
    segment.listPrev = busy.flightTail;
    if (busy.flightTail == 0) busy.flightHead = self;
    else segmentAt(busy.flightTail).listNext = self;
    busy.flightTail = self;
  }
}

function listRemove(busy: Busy, segment: Segment): void {
  const lost = inLostList(segment.flags);
  const prev = segment.listPrev;
  const next = segment.listNext;
  if (prev != 0) segmentAt(prev).listNext = next;
  else if (lost) busy.lostHead = next;
  else busy.flightHead = next;
  if (next != 0) segmentAt(next).listPrev = prev;
  else if (lost) busy.lostTail = prev;
  else busy.flightTail = prev;
  segment.listPrev = 0;
  segment.listNext = 0;
}

/** Puts `segment` right after `before`, in the list that both are in. */
function listInsertAfter(busy: Busy, before: Segment, segment: Segment): void {
  const self = addressOf(segment);
  const next = before.listNext;
  segment.listPrev = addressOf(before);
  segment.listNext = next;
  before.listNext = self;
  if (next != 0) segmentAt(next).listPrev = self;
  else if (inLostList(segment.flags)) busy.lostTail = self;
  else busy.flightTail = self;
}

/** Out of the treap and back to the pool; the caller has settled lists and counts. */
function recordGive(busy: Busy, segment: Segment): void {
  const self = addressOf(segment);
  if (busy.segmentFirst == self) busy.segmentFirst = <u32>treapNext(self);
  if (busy.segmentLast == self) busy.segmentLast = <u32>treapPrev(self);
  treapRemove(rootOf(busy), self);
  busy.segmentCount--;
  poolGive(PoolId.Segment, self);
}

// ---- Sending

/**
 * New data [seq, seq + length) is being sent; `flags`: SEG_SYN, SEG_FIN, whose octets are in
 * `length`. False: out of records, and the caller sends nothing new. Does not move sndNxt: call it
 * before. A connection with nothing in flight is refused only by an empty pool.
 */
export function segmentsSent(tcb: Tcb, busy: Busy, seq: u32, length: u32, flags: u8): bool {
  invariant(length != 0, Fault.Segment);
  const now = system().now32;
  const marks: u8 = busy.appLimited != 0 ? flags | SEG_APP_LIMITED : flags;
  const last = segmentAt(busy.segmentLast);
  if (busy.segmentLast != 0) {
    invariant(segmentEnd(last) == seq, Fault.Segment);
    if (
      last.txTimeUs == now && last.flags == marks && last.delivered == busy.delivered &&
      (marks & (SEG_SYN | SEG_FIN)) == 0 && last.length + length <= MERGE_MAX &&
      (last.length + last.cut) % splitUnit(tcb) == 0
    ) {
      last.length += length;
      last.txInFlight += length;
      sentCount(busy, length);
      return true;
    }
  }
  const record = recordTake(busy, true);
  if (record == 0) return false;
  const segment = segmentAt(record);
  segment.seq = seq;
  segment.length = length;
  segment.flags = marks;
  segment.retransmits = 0;
  segment.cut = 0;
  rateOnSend(busy, segment, pipe(tcb, busy) + length);
  if (busy.segmentFirst == 0) rackOnFlight(busy, seq);
  treapInsert(rootOf(busy), record);
  busy.segmentCount++;
  if (busy.segmentFirst == 0) busy.segmentFirst = <u32>record;
  busy.segmentLast = <u32>record;
  listAppend(busy, segment);
  sentCount(busy, length);
  return true;
}

/** PRR counts all that leaves while it governs (RFC 9937 §6: prr_out). */
function sentCount(busy: Busy, bytes: u32): void {
  if (busy.caState == CaState.Recovery || busy.caState == CaState.Cwr) busy.prrOut += bytes;
}

/**
 * `sent` bytes from the front of the record are being sent again (all of it, unless splitting
 * failed). Counts the retransmission: TcpRetransSegs, TCPFastRetrans or TCPSlowStartRetrans,
 * Extra.
 */
export function segmentRetransmitted(tcb: Tcb, busy: Busy, segment: Segment, sent: u32): void {
  invariant((segment.flags & SEG_SACKED) == 0 && sent <= segment.length, Fault.Segment);
  listRemove(busy, segment);
  undoStamp(busy);
  if ((segment.flags & SEG_RETRANS) == 0) busy.retransBytes += segment.length;
  segment.flags |= SEG_RETRANS | SEG_EVER_RETRANS;
  segment.flags &= ~(SEG_PARTIAL | SEG_APP_LIMITED);
  if (sent < segment.length) segment.flags |= SEG_PARTIAL;
  if (busy.appLimited != 0) segment.flags |= SEG_APP_LIMITED;
  if (segment.retransmits < 255) segment.retransmits++;
  rateOnSend(busy, segment, pipe(tcb, busy));
  listAppend(busy, segment);
  sentCount(busy, sent);
  const pieces = segmentsIn(tcb, sent);
  if (<i32>busy.undoRetrans < 0) busy.undoRetrans = 0;
  busy.undoRetrans += pieces;
  countMany(Counter.TcpRetransSegs, pieces);
  if (stateOf(busy) >= CaState.Recovery) {
    const slow = busy.caState == CaState.Loss;
    countMany(slow ? Counter.TcpExtTCPSlowStartRetrans : Counter.TcpExtTCPFastRetrans, pieces);
  }
  if (tcb.extra != 0) {
    const extra = changetype<Extra>(<usize>tcb.extra);
    extra.totalRetrans += pieces;
    extra.bytesRetrans += sent;
  }
}

/**
 * Cuts a record that is not SACKed in two after `bytes`, an MSS boundary. False: out of
 * records (counted), nothing changed. Marks and place in the list stay with both pieces.
 */
export function segmentsSplit(busy: Busy, segment: Segment, bytes: u32): bool {
  invariant(bytes != 0 && bytes < segment.length, Fault.Segment);
  invariant((segment.flags & SEG_SACKED) == 0, Fault.Segment);
  const record = recordTake(busy, false);
  if (record == 0) return false;
  const tail = segmentAt(record);
  tail.seq = segment.seq + bytes;
  tail.length = segment.length - bytes;
  tail.txTimeUs = segment.txTimeUs;
  tail.delivered = segment.delivered;
  tail.deliveredTimeUs = segment.deliveredTimeUs;
  tail.firstTxTimeUs = segment.firstTxTimeUs;
  tail.lost = segment.lost;
  tail.txInFlight = segment.txInFlight;
  segment.txInFlight -= min(segment.txInFlight, tail.length);
  tail.flags = segment.flags & ~SEG_SYN;
  tail.retransmits = segment.retransmits;
  tail.cut = 0;
  segment.length = bytes;
  segment.flags &= ~SEG_FIN;
  treapInsert(rootOf(busy), record);
  busy.segmentCount++;
  if (busy.segmentLast == addressOf(segment)) busy.segmentLast = <u32>record;
  listInsertAfter(busy, segment, tail);
  return true;
}

// ---- Marks

/**
 * Marks lost what is in flight: an original, or, if it had been sent again, its retransmission. It
 * goes to the end of the lost list. Nothing happens to what is in that list already.
 */
export function segmentMarkLost(busy: Busy, segment: Segment, sample: AckSample): void {
  const flags = segment.flags;
  invariant((flags & SEG_SACKED) == 0, Fault.Segment);
  if (inLostList(flags)) return;
  listRemove(busy, segment);
  if ((flags & SEG_LOST) == 0) busy.lostBytes += segment.length;
  if (flags & SEG_RETRANS) busy.retransBytes -= segment.length;
  segment.flags = (flags | SEG_LOST) & ~(SEG_RETRANS | SEG_PARTIAL);
  sample.lostBytes += segment.length;
  rateOnLost(busy, sample, segment);
  listAppend(busy, segment);
}

/**
 * The original is lost, but a retransmission that was sent ahead of that verdict may still arrive.
 */
export function segmentMarkOriginalLost(busy: Busy, segment: Segment, sample: AckSample): void {
  invariant((segment.flags & (SEG_SACKED | SEG_LOST)) == 0, Fault.Segment);
  invariant((segment.flags & SEG_RETRANS) != 0, Fault.Segment);
  segment.flags |= SEG_LOST;
  busy.lostBytes += segment.length;
  sample.lostBytes += segment.length;
  rateOnLost(busy, sample, segment);
}

/** The peer has it. Merges with SACKed neighbours; returns the record that it is part of now. */
export function segmentMarkSacked(
  busy: Busy, segment: Segment, sample: AckSample,
): Segment {
  const length = segment.length;
  const flags = segment.flags;
  invariant((flags & SEG_SACKED) == 0, Fault.Segment);
  listRemove(busy, segment);
  if (flags & SEG_LOST) busy.lostBytes -= length;
  if (flags & SEG_RETRANS) busy.retransBytes -= length;
  rateOnDelivered(busy, sample, segment);
  rackOnDelivered(busy, sample, segment, segmentEnd(segment), true);
  if ((flags & SEG_EVER_RETRANS) == 0) {
    if (flags & SEG_LOST) sample.flags |= AF_ORIGINAL;
    const rtt = system().now32 - segment.txTimeUs;
    if (sample.sackRttUs == RTT_NONE || rtt > sample.sackRttUs) sample.sackRttUs = rtt;
    reorderingSeen(sample, segment.seq);
  }
  segment.flags = (flags | SEG_SACKED) & ~(SEG_LOST | SEG_RETRANS | SEG_PARTIAL);
  sample.newlySackedBytes += length;
  sample.deliveredBytes += length;
  sample.flags |= AF_NEW_SACK;
  busy.sackedBytes += length;
  busy.sackedBlocks++;
  if (seqLt(segment.seq, busy.lossCursor)) {
    busy.sackedBlocksBelowCursor++;
    busy.sackedBelowCursor += bytesBelow(segment, busy.lossCursor);
  }
  if (seqGt(segmentEnd(segment), busy.highSack)) busy.highSack = segmentEnd(segment);
  const next = <u32>treapNext(changetype<usize>(segment));
  if (next != 0 && segmentAt(next).flags & SEG_SACKED) merge(busy, segment, segmentAt(next));
  const prev = <u32>treapPrev(changetype<usize>(segment));
  if (prev == 0 || (segmentAt(prev).flags & SEG_SACKED) == 0) return segment;
  merge(busy, segmentAt(prev), segment);
  return segmentAt(prev);
}

/** How many of the record's bytes lie before `seq`, which is not before its first. */
// @ts-ignore: decorator
@inline
function bytesBelow(segment: Segment, seq: u32): u32 {
  return seqMin(segmentEnd(segment), seq) - segment.seq;
}

/** Two SACKed neighbours become one: the holes alone cost records. */
function merge(busy: Busy, left: Segment, right: Segment): void {
  invariant(segmentEnd(left) == right.seq, Fault.Segment);
  if (seqLt(right.seq, busy.lossCursor)) busy.sackedBlocksBelowCursor--;
  busy.sackedBlocks--;
  left.length += right.length;
  left.flags |= right.flags;
  recordGive(busy, right);
}

// ---- Acknowledgement

/**
 * Everything before `ack` is delivered: pops whole records, cuts the first one short. sndUna is
 * `ack` already. Fills the sample: bytes, RTT, flags, rate. O(records acknowledged).
 */
export function segmentsAcked(tcb: Tcb, busy: Busy, ack: u32, sample: AckSample): void {
  if ((sample.flags & AF_ADVANCED) == 0) return;
  sample.ackedBytes = ack - sample.priorUna;
  while (busy.segmentFirst != 0) {
    const segment = segmentAt(busy.segmentFirst);
    if (seqLe(ack, segment.seq)) break;
    sample.visited++;
    const whole = seqLe(segmentEnd(segment), ack);
    const bytes = whole ? segment.length : ack - segment.seq;
    acked(busy, segment, bytes, whole, sample);
    if (whole) continue;
    // SYN is the first octet: once part of the record is acknowledged, it is gone.
    segment.seq = ack;
    segment.cut = <u16>((bytes + segment.cut) % splitUnit(tcb));
    segment.length -= bytes;
    segment.flags &= ~SEG_SYN;
    if (segment.flags & SEG_PARTIAL) segmentMarkLost(busy, segment, sample);
  }
  if (seqLt(busy.highSack, ack)) busy.highSack = ack;
  if (seqLt(busy.lossCursor, ack)) {
    busy.lossCursor = ack;
    invariant(busy.sackedBelowCursor == 0, Fault.Segment);
    invariant(busy.sackedBlocksBelowCursor == 0, Fault.Segment);
  }
  const first = busy.segmentFirst;
  if (first != 0 && segmentAt(first).flags & SEG_SACKED) sample.flags |= AF_RENEGING;
}

/**
 * Takes `bytes` at the front of `segment` out of all counts, and the record away if that is all.
 */
function acked(
  busy: Busy, segment: Segment, bytes: u32, whole: bool, sample: AckSample,
): void {
  const flags = segment.flags;
  if (flags & SEG_EVER_RETRANS) sample.flags |= AF_RETRANS_ACKED;
  if (flags & SEG_SYN) sample.flags |= AF_SYN_ACKED;
  if ((flags & SEG_SYN) == 0 || bytes > 1) sample.flags |= AF_DATA_ACKED;
  if (flags & SEG_SACKED) {
    busy.sackedBytes -= bytes;
    if (seqLt(segment.seq, busy.lossCursor)) {
      const below = bytesBelow(segment, busy.lossCursor);
      busy.sackedBelowCursor -= min(below, bytes);
      if (whole || below <= bytes) busy.sackedBlocksBelowCursor--;
    }
    if (whole) busy.sackedBlocks--;
  } else {
    if (flags & SEG_LOST) busy.lostBytes -= bytes;
    if (flags & SEG_RETRANS) busy.retransBytes -= bytes;
    sample.deliveredBytes += bytes;
    rateOnDelivered(busy, sample, segment);
    rackOnDelivered(busy, sample, segment, segment.seq + bytes, false);
    if ((flags & SEG_EVER_RETRANS) == 0) {
      if (flags & SEG_LOST) sample.flags |= AF_ORIGINAL;
      const rtt = system().now32 - segment.txTimeUs;
      if (sample.rttUs == RTT_NONE) sample.rttUs = rtt;
      sample.recentRttUs = rtt;
      reorderingSeen(sample, segment.seq);
    }
    if (whole) listRemove(busy, segment);
  }
  if (whole) recordGive(busy, segment);
}

// ---- Whole flight: time-out, end, and the check for tests

/**
 * Marks what is not SACKED lost and lists it by sequence, so that the head is sent again first; but
 * for the head not what RACK calls recent. `forget`: SACK marks too (RFC 2018 §8). Walks the
 * flight: a time-out may, an ACK may not.
 */
export function segmentsMarkAllLost(tcb: Tcb, busy: Busy, forget: bool): void {
  const first = busy.segmentFirst;
  busy.lostHead = 0;
  busy.lostTail = 0;
  busy.retransBytes = 0;
  busy.lostBytes = 0;
  if (forget) {
    busy.sackedBytes = 0;
    busy.sackedBlocks = 0;
    busy.highSack = tcb.sndUna;
  }
  for (let at = <usize>busy.segmentFirst; at != 0; at = treapNext(at)) {
    const segment = segmentAt(at);
    const flags = segment.flags;
    if (flags & SEG_SACKED && !forget) continue;
    if (!inLostList(flags) && (flags & SEG_SACKED) == 0) {
      if (!forget && <u32>at != first && rackRecent(tcb, busy, segment)) {
        if (flags & SEG_LOST) busy.lostBytes += segment.length;
        if (flags & SEG_RETRANS) busy.retransBytes += segment.length;
        continue;
      }
      listRemove(busy, segment);
      busy.lost += segment.length;
    }
    if (!inLostList(flags)) busy.lost += segment.length;
    segment.flags = (flags | SEG_LOST) & ~(SEG_SACKED | SEG_RETRANS | SEG_PARTIAL);
    busy.lostBytes += segment.length;
    listAppend(busy, segment);
  }
  busy.lossCursor = tcb.sndNxt;
  busy.sackedBelowCursor = forget ? 0 : busy.sackedBytes;
  busy.sackedBlocksBelowCursor = busy.sackedBlocks;
}

/**
 * What is marked lost is in flight again, as it was sent (undo). The lost list goes before the
 * flight, for what is in it was sent earlier; where a time-out has listed it by sequence, a record
 * sent again once takes the time of its successor, so that the order holds. Costs a step for each
 * mark, and where retransmissions are out for each record in flight, which the time-out paid for.
 */
export function segmentsUnmarkLost(busy: Busy): void {
  if (busy.retransBytes != 0) {
    for (let at = busy.flightHead; at != 0; at = segmentAt(at).listNext) {
      segmentAt(at).flags &= ~SEG_LOST;
    }
  }
  const head = busy.flightHead;
  let latest: u32 = head == 0 ? system().now32 : segmentAt(head).txTimeUs;
  for (let at = busy.lostTail; at != 0; at = segmentAt(at).listPrev) {
    const segment = segmentAt(at);
    segment.flags &= ~SEG_LOST;
    if (seqGt(segment.txTimeUs, latest)) segment.txTimeUs = latest;
    latest = segment.txTimeUs;
  }
  if (busy.lostTail != 0) {
    segmentAt(busy.lostTail).listNext = head;
    if (head != 0) segmentAt(head).listPrev = busy.lostTail;
    else busy.flightTail = busy.lostTail;
    busy.flightHead = busy.lostHead;
  }
  busy.lostHead = 0;
  busy.lostTail = 0;
  busy.lostBytes = 0;
  // DupThresh judges anew as well.
  busy.lossCursor = busy.segmentFirst == 0 ? busy.highSack : segmentAt(busy.segmentFirst).seq;
  busy.sackedBelowCursor = 0;
  busy.sackedBlocksBelowCursor = 0;
}

/** Gives every record back and forgets the flight. O(records). */
export function segmentsRelease(busy: Busy): void {
  while (busy.segmentFirst != 0) {
    const segment = segmentAt(busy.segmentFirst);
    recordGive(busy, segment);
  }
  invariant(busy.segmentCount == 0 && busy.segmentRoot == 0, Fault.Segment);
  busy.segmentLast = 0;
  busy.flightHead = 0;
  busy.flightTail = 0;
  busy.lostHead = 0;
  busy.lostTail = 0;
  busy.sackedBytes = 0;
  busy.sackedBlocks = 0;
  busy.sackedBelowCursor = 0;
  busy.sackedBlocksBelowCursor = 0;
  busy.lostBytes = 0;
  busy.retransBytes = 0;
}
