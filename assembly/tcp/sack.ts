/**
 * Selective acknowledgement, the sender's side: checks the blocks a peer reports, marks the
 * records they cover, counts duplicates (D-SACK) and survives a peer that forgets. RFC 2018 §5 and
 * §8, RFC 2883, RFC 6675 §4 (Update). Called by ack.ts with parsed blocks. Judges no loss and
 * sends nothing; what recovery makes of the marks is in recovery.ts.
 */
import { Counter } from "../abi";
import { readU32 } from "../core/bytes";
import { count } from "../core/counters";
import { seqGe, seqGt, seqLe, seqLt } from "../core/seq";
import { treapNext } from "../core/treap";
import { AF_DSACK, AF_DSACK_TLP, AF_REORDERED, AckSample } from "./ack-sample";
import { Busy, RF_TLP_OUT, RF_TLP_RETRANS, SEG_SACKED } from "./busy";
import { Extra, Tcb } from "./records";
import {
  boundaryAfter, boundaryBefore, segmentAt, segmentEnd, segmentFloor, segmentMarkSacked, segmentsIn,
  segmentsSplit,
} from "./segments";
import { undoPossible } from "./undo";

/** Blocks that fit in the option space; more are not looked at. */
const SACK_BLOCKS_MAX: u32 = 4;
/** Segments; Linux's tcp_max_reordering is 300, the field has eight bits. */
const REORDERING_MAX: u32 = 255;

/**
 * `count` blocks at `blocksAt`: pairs of u32 (start, end) in the machine's order, as the peer sent
 * them. sndUna is the segment's ACK already. Call before segmentsAcked.
 */
export function sackReceive(
  tcb: Tcb, busy: Busy, blocks: u32, blocksAt: usize, sample: AckSample,
): void {
  const n = min(blocks, SACK_BLOCKS_MAX);
  if (n == 0) return;
  const dsack = isDsack(sample.ack, blocksAt, n);
  if (dsack) dsackSeen(tcb, busy, readU32(blocksAt), readU32(blocksAt + 4), sample);
  for (let i: u32 = 0; i < n; i++) {
    const start = readU32(blocksAt + (i << 3));
    const end = readU32(blocksAt + (i << 3) + 4);
    const duplicate = dsack && i == 0;
    if (!blockValid(tcb, busy, start, end, duplicate)) {
      blockRefused(tcb, busy, end, duplicate, sample);
    } else if (seqGt(end, tcb.sndUna)) {
      markRange(tcb, busy, start, end, sample);
    }
  }
}

//= rfc2883 4
/** The first block lies below the ACK, or within the second: it reports a duplicate. */
function isDsack(ack: u32, blocksAt: usize, n: u32): bool {
  const start = readU32(blocksAt);
  const end = readU32(blocksAt + 4);
  if (seqLt(start, ack)) {
    count(Counter.TcpExtTCPDSACKRecv);
    return true;
  }
  if (n < 2) return false;
  if (seqLt(start, readU32(blocksAt + 8)) || seqGt(end, readU32(blocksAt + 12))) return false;
  count(Counter.TcpExtTCPDSACKOfoRecv);
  return true;
}

/** A duplicate of what we sent again tells that sending it again was needless (RFC 3708). */
function dsackSeen(tcb: Tcb, busy: Busy, start: u32, end: u32, sample: AckSample): void {
  if (!seqLt(start, end)) return;
  const pieces = segmentsIn(tcb, min<u32>(end - start, busy.maxSndWnd));
  if (tcb.extra != 0) {
    const extra = changetype<Extra>(<usize>tcb.extra);
    extra.dsackDups = <u16>min<u32>(<u32>extra.dsackDups + pieces, 0xffff);
    // More duplicates than were ever sent again: the network makes them, or the peer invents them.
    if (<u32>extra.dsackDups > extra.totalRetrans) return;
  }
  sample.flags |= AF_DSACK;
  const probe = RF_TLP_OUT | RF_TLP_RETRANS;
  const ofProbe = (busy.recoveryFlags & probe) == probe && end == busy.tlpEndSeq;
  if (ofProbe) sample.flags |= AF_DSACK_TLP;
  const left = <i32>busy.undoRetrans;
  if (!undoPossible(busy) || left <= 0 || !seqGt(end, busy.undoMarker)) return;
  busy.undoRetrans = <u32>left > pieces ? <u32>left - pieces : 0;
}

/**
 * In the window, the right way round. Blocks are the peer's to invent, so what lies beyond sndNxt
 * or touches sndUna means nothing; D-SACKs may lie below, down to where our retransmissions began.
 */
function blockValid(tcb: Tcb, busy: Busy, start: u32, end: u32, duplicate: bool): bool {
  if (seqGt(end, tcb.sndNxt) || !seqLt(start, end) || seqGe(start, tcb.sndNxt)) return false;
  if (seqGt(start, tcb.sndUna)) return true;
  if (!duplicate || !undoPossible(busy) || seqGt(end, tcb.sndUna)) return false;
  if (seqGe(start, busy.undoMarker)) return true;
  if (seqLe(end, busy.undoMarker)) return false;
  return end - start <= busy.maxSndWnd;
}

function blockRefused(
  tcb: Tcb, busy: Busy, end: u32, duplicate: bool, sample: AckSample,
): void {
  if (duplicate) {
    const ignored = undoPossible(busy)
      ? Counter.TcpExtTCPDSACKIgnoredOld
      : Counter.TcpExtTCPDSACKIgnoredNoUndo;
    count(ignored);
    return;
  }
  // Old blocks on an ACK that itself is older than another we had: reordered, nobody's fault.
  if (sample.ack != tcb.sndUna && seqLe(end, tcb.sndUna)) return;
  count(Counter.TcpExtTCPSACKDiscard);
}

//= rfc6675 4
/**
 * Marks what lies wholly in [start, end). Edges inside a record cut it at an MSS boundary; bytes
 * that make no whole segment stay as they are, and so do all when no record is left for the cut.
 * Costs one descent, and a step for each record that becomes SACKED (those that are are merged).
 */
function markRange(tcb: Tcb, busy: Busy, start: u32, end: u32, sample: AckSample): void {
  let at = segmentFloor(busy, start);
  if (at == 0) return;
  sample.visited++;
  if (segmentAt(at).seq != start) {
    at = afterEdge(tcb, busy, at, start);
  }
  while (at != 0) {
    const segment = segmentAt(at);
    if (seqGe(segment.seq, end)) return;
    sample.visited++;
    let marked = segment;
    if ((segment.flags & SEG_SACKED) == 0) {
      if (seqGt(segmentEnd(segment), end)) {
        const whole = boundaryBefore(tcb, segment, end - segment.seq);
        if (whole == 0 || !segmentsSplit(busy, segment, whole)) return;
      }
      marked = segmentMarkSacked(busy, segment, sample);
    }
    at = treapNext(changetype<usize>(marked));
  }
}

/** The first record that begins at or after `start`, which lies inside the one at `at`. */
function afterEdge(tcb: Tcb, busy: Busy, at: usize, start: u32): usize {
  const segment = segmentAt(at);
  if ((segment.flags & SEG_SACKED) == 0) {
    const outside = boundaryAfter(tcb, segment, start - segment.seq);
    // Refused or not, what may be SACKed begins with the next record.
    if (outside < segment.length) segmentsSplit(busy, segment, outside);
  }
  return treapNext(at);
}

// ---- Reordering and reneging

/** A segment sent once was delivered below one SACKed before: the network reorders that far. */
export function reorderingSeen(sample: AckSample, seq: u32): void {
  if (!seqLt(seq, sample.priorHighSack)) return;
  if (sample.flags & AF_REORDERED && seqLe(sample.reorderSeq, seq)) return;
  sample.flags |= AF_REORDERED;
  sample.reorderSeq = seq;
}

/** Raises DupThresh to what this ACK has shown (Linux: tcp_check_sack_reordering). */
export function reorderingUpdate(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if ((sample.flags & AF_REORDERED) == 0) return;
  reorderingRaise(tcb, busy, sample.priorHighSack - sample.reorderSeq);
  count(Counter.TcpExtTCPSACKReorder);
}

/** The network has reordered over a distance of `bytes`. */
export function reorderingRaise(tcb: Tcb, busy: Busy, bytes: u32): void {
  const distance = segmentsIn(tcb, bytes);
  if (distance > <u32>busy.reordering) busy.reordering = <u8>min(distance, REORDERING_MAX);
  if (busy.reordSeen < 255) busy.reordSeen++;
}

/**
 * At a retransmission time-out: is the first record one that the peer had SACKed? Then it has
 * thrown it away, and all its marks are worth nothing (RFC 2018 §8). Counts.
 */
export function sackReneged(busy: Busy): bool {
  const first = busy.segmentFirst;
  if (first == 0 || (segmentAt(first).flags & SEG_SACKED) == 0) return false;
  count(Counter.TcpExtTCPSACKReneging);
  return true;
}
