/**
 * Loss recovery in Linux's states. Detection marks records lost: RACK (rack.ts) with SACK,
 * DupThresh (RFC 6675) where tcp_recovery turns that off, NewReno (RFC 6582) without; limited
 * transmit is RFC 3042's. The states react to marks. Called by ack.ts (recoveryOnAck), the timers
 * (recoveryOnTimeout, recoveryOnReorderTimer) and output.ts (what may be sent, and what again).
 * Chooses no window itself: congestion/ says how far down, prr.ts how fast. Sends nothing, arms
 * nothing.
 */
import { Config, Counter, Fault, Trace } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { PoolId, poolIndex } from "../core/pool";
import { seqGe, seqGt, seqLt } from "../core/seq";
import { trace } from "../core/trace";
import { treapNext } from "../core/treap";
import { system } from "../memory";
import {
  AF_ADVANCED, AF_DATA_ACKED, AF_DSACK, AF_DUPLICATE, AF_ECE, AF_LOST_RETRANS, AF_NEW_SACK,
  AckSample, ackBegin,
} from "./ack-sample";
import {
  Busy, CaState, RF_RESCUE_SENT, RF_TLP_OUT, SEG_EVER_RETRANS, SEG_LOST, SEG_RETRANS, SEG_SACKED,
  Segment, stateOf,
} from "./busy";
import {
  congestionOnAck, congestionOnEcn, congestionOnLoss, congestionOnSample, congestionOnTimeout,
  congestionSetsCwnd, currentSsthresh,
} from "./congestion/controller";
import { rateOnAck } from "./delivery-rate";
import { ecnOweCwr } from "./ecn";
import { FrtoState, FrtoVerdict, frtoBegin, frtoOnAck } from "./frto";
import { prrBegin, prrEnd, prrFollow, prrOnAck } from "./prr";
import { rackDetectLoss, rackOn, rackOnAck, rackRecovered } from "./rack";
import { Extra, TF_SACK_OK, Tcb } from "./records";
import { minRttBegin } from "./rtt";
import { reorderingUpdate, sackReneged } from "./sack";
import {
  boundaryAfter, boundaryBefore, pipe, segmentAt, segmentEnd, segmentFloor, segmentMarkLost,
  segmentMarkOriginalLost, segmentsMarkAllLost, segmentsSplit, splitUnit,
} from "./segments";
import { tailSegment, tlpForget, tlpRepaired } from "./tlp";
import {
  mayUndo, undoBegin, undoByDsack, undoForget, undoPartial, undoReduction,
} from "./undo";

/** Records looked at for NextSeg's rule 3; further on, the rescue or the time-out repairs. */
const FORWARD_STEPS: u32 = 8;

// @ts-ignore: decorator
@inline
function hasSack(tcb: Tcb): bool {
  return (tcb.flags & TF_SACK_OK) != 0;
}

function dupThresh(): u32 {
  return min<u32>(max<u32>(config(Config.tcp_reordering), 1), 255);
}

/** A fresh, zeroed Busy record learns where the connection stands. */
export function recoveryBegin(tcb: Tcb, busy: Busy): void {
  busy.reordering = <u8>dupThresh();
  busy.rackReoWndMult = 1;
  busy.highSack = tcb.sndUna;
  busy.lossCursor = tcb.sndUna;
  busy.recoveryPoint = tcb.sndUna;
  busy.cwndUsedSeq = tcb.sndNxt;
  busy.cwndUsedAtUs = system().now32;
  minRttBegin(tcb, busy);
}

function setCaState(tcb: Tcb, busy: Busy, state: CaState): void {
  if (busy.caState == <u8>state) return;
  const ports = (<u32>tcb.localPort << 16) | <u32>tcb.remotePort;
  const index = poolIndex(PoolId.Tcb, changetype<usize>(tcb));
  trace(Trace.CongestionState, index, ports, busy.caState, state, tcb.cwnd);
  busy.caState = <u8>state;
  if (state != CaState.Loss) busy.frtoState = <u8>FrtoState.Off;
}

// ---- An ACK

/**
 * The one call for each ACK, when SACK blocks and the cumulative ACK are in the sample: detects
 * losses, moves between the states, counts the delivery and lets cwnd follow.
 */
export function recoveryOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (hasSack(tcb)) countSack(tcb, busy, sample);
  else countWithoutSack(tcb, busy, sample);
  if (rackOn(tcb)) rackOnAck(tcb, busy, sample);
  if (busy.recoveryFlags & RF_TLP_OUT && tlpRepaired(busy, sample)) probeRepaired(tcb, busy);
  const dubious = sample.flags & (AF_NEW_SACK | AF_DUPLICATE | AF_ECE | AF_DSACK);
  if (busy.caState != CaState.Open || dubious != 0) react(tcb, busy, sample);
  rateOnAck(tcb, busy, sample);
  if (!congestionSetsCwnd(tcb)) {
    if (reducing(busy)) prrOnAck(tcb, busy, sample);
    else if (mayRaise(busy, sample)) congestionOnAck(tcb, busy, sample);
  }
  congestionOnSample(tcb, busy, sample);
  invariant(tcb.cwnd != 0, Fault.Congestion);
}

// @ts-ignore: decorator
@inline
function reducing(busy: Busy): bool {
  return busy.caState == CaState.Recovery || busy.caState == CaState.Cwr;
}

/** Where the network reorders much, SACKed bytes count as progress too (Linux). */
function mayRaise(busy: Busy, sample: AckSample): bool {
  let progress = AF_DATA_ACKED;
  if (<u32>busy.reordering > dupThresh()) progress |= AF_NEW_SACK;
  return (sample.flags & progress) != 0;
}

/** Duplicate ACKs are those that brought new SACK information (RFC 6675 §2). */
function countSack(tcb: Tcb, busy: Busy, sample: AckSample): void {
  reorderingUpdate(tcb, busy, sample);
  if (sample.flags & AF_ADVANCED) busy.dupAcks = 0;
  else if (sample.flags & AF_NEW_SACK && busy.dupAcks < 255) busy.dupAcks++;
}

//= rfc6582 3.2
/**
 * Without SACK each duplicate ACK tells of one segment that arrived, nobody knows which.
 * sackedBytes holds that guess, so that pipe, limited transmit and PRR need no case of their own
 * (Linux's sacked_out). Replaces deliveredBytes by what was not counted as a guess before.
 */
function countWithoutSack(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const mss = splitUnit(tcb);
  const guessed = busy.sackedBytes;
  if (sample.flags & AF_ADVANCED) {
    const acked = sample.ackedBytes;
    // One part of it filled the hole, the rest are the segments behind the duplicate ACKs.
    const fresh = acked > guessed ? acked - guessed : 0;
    sample.deliveredBytes = max(fresh, min(acked, mss));
    const rest = acked > mss ? acked - mss : 0;
    const kept = busy.caState == CaState.Recovery && guessed > rest;
    busy.sackedBytes = kept ? guessed - rest : 0;
    busy.dupAcks = 0;
  } else if (sample.flags & AF_DUPLICATE) {
    if (busy.dupAcks < 255) busy.dupAcks++;
    // After a time-out duplicates may be of what was sent again; only of new data do they tell.
    const tells = busy.caState != CaState.Loss || seqGt(tcb.sndNxt, busy.recoveryPoint);
    if (tells) busy.sackedBytes = guessed + mss;
  }
  const out = tcb.sndNxt - tcb.sndUna;
  const holes = max(busy.lostBytes, mss);
  busy.sackedBytes = min(busy.sackedBytes, out > holes ? out - holes : 0);
  if ((sample.flags & AF_ADVANCED) == 0 && busy.sackedBytes > guessed) {
    sample.deliveredBytes += busy.sackedBytes - guessed;
  }
}

function react(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (sample.flags & AF_ECE) undoForget(busy);
  leaveState(tcb, busy, sample);
  if (busy.caState == CaState.Recovery) {
    if (sample.flags & AF_ADVANCED && undoPartial(tcb, busy, sample)) {
      if (busy.retransBytes != 0) return; // no more of them before those have told
      keepOpen(tcb, busy);
    }
    if (undoByDsack(tcb, busy)) keepOpen(tcb, busy);
  } else if (busy.caState == CaState.Loss) {
    lossOnAck(tcb, busy, sample);
  } else if (stateOf(busy) <= CaState.Disorder) {
    undoByDsack(tcb, busy);
  }
  detectLoss(tcb, busy, sample);
  if (busy.caState == CaState.Recovery) return;
  if (busy.caState == CaState.Loss && (sample.flags & AF_LOST_RETRANS) == 0) return;
  if (busy.lostBytes != 0) enterRecovery(tcb, busy, sample);
  else if (sample.flags & AF_ECE) recoveryEnterCwr(tcb, busy, sample);
  else if (busy.caState != CaState.Cwr) keepOpen(tcb, busy);
}

/** CWR and Recovery end when what was outstanding at their beginning is acknowledged. */
function leaveState(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (busy.caState != CaState.Cwr && busy.caState != CaState.Recovery) return;
  if (seqLt(tcb.sndUna, busy.recoveryPoint)) return;
  const beyond = seqGt(tcb.sndUna, busy.recoveryPoint);
  if (busy.caState == CaState.Cwr) {
    // CWR must reach the receiver on new data first (RFC 3168 §6.1.2).
    if (!beyond) return;
    prrEnd(tcb);
  } else {
    const undone = mayUndo(busy, sample);
    if (undone) {
      undoReduction(tcb, busy, false);
      count(Counter.TcpExtTCPFullUndo);
    } else {
      rackRecovered(busy);
    }
    if (heldWithoutSack(tcb, busy)) return;
    if (!undone) prrEnd(tcb);
  }
  setCaState(tcb, busy, CaState.Open);
}

//= rfc6582 4.1
/** NewReno: an ACK of exactly the recovery point may be a duplicate of the same loss. */
function heldWithoutSack(tcb: Tcb, busy: Busy): bool {
  if (hasSack(tcb)) return false;
  busy.sackedBytes = 0;
  return tcb.sndUna == busy.recoveryPoint;
}

/** After a time-out: undone, or new data first (F-RTO), or over. */
function lossOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const recovered = seqGe(tcb.sndUna, busy.recoveryPoint);
  const eifel = (sample.flags & AF_ADVANCED) != 0 && mayUndo(busy, sample);
  const verdict = eifel ? FrtoVerdict.Unknown : frtoOnAck(tcb, busy, sample, recovered);
  const spurious = verdict == FrtoVerdict.Spurious;
  if (eifel || spurious) {
    undoReduction(tcb, busy, true);
    count(Counter.TcpExtTCPLossUndo);
    if (spurious) count(Counter.TcpExtTCPSpuriousRTOs);
    tcb.retries = 0;
    if (heldWithoutSack(tcb, busy) || (!spurious && !hasSack(tcb))) return;
  } else {
    if (!recovered) return;
    rackRecovered(busy);
    if (heldWithoutSack(tcb, busy)) return;
  }
  setCaState(tcb, busy, CaState.Open);
}

//= rfc8985 7.4
/** A loss probe has repaired what nobody had noticed: one reduction, and nothing to repair. */
function probeRepaired(tcb: Tcb, busy: Busy): void {
  if (stateOf(busy) >= CaState.Cwr) return;
  tcb.ssthresh = congestionOnLoss(tcb, busy);
  prrEnd(tcb);
  count(Counter.TcpExtTCPLossProbeRecovery);
}

/** Open, or Disorder while something is out of order. */
function keepOpen(tcb: Tcb, busy: Busy): void {
  const first = busy.segmentFirst;
  const repairing = first != 0 && (segmentAt(first).flags & SEG_EVER_RETRANS) != 0;
  const disorder = (busy.sackedBytes | busy.retransBytes) != 0 || repairing;
  const state = disorder ? CaState.Disorder : CaState.Open;
  if (busy.caState == <u8>state) return;
  setCaState(tcb, busy, state);
  busy.recoveryPoint = tcb.sndNxt;
}

// ---- Detection

function detectLoss(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (rackOn(tcb)) rackDetectLoss(tcb, busy, sample);
  else if (hasSack(tcb)) lossBySack(tcb, busy, sample);
  else lossByDuplicates(tcb, busy, sample);
}

/** The reordering timer fired: what was given its time and has not come is lost. */
//= rfc8985 6.3
export function recoveryOnReorderTimer(tcb: Tcb, busy: Busy): void {
  const sample = ackBegin(tcb, busy, tcb.sndUna, 0);
  rackDetectLoss(tcb, busy, sample);
  if (sample.lostBytes == 0) return;
  if (busy.caState != CaState.Recovery) enterRecovery(tcb, busy, sample);
  if (!congestionSetsCwnd(tcb)) prrFollow(tcb, busy, sample);
  congestionOnSample(tcb, busy, sample);
}

/** Marks the first segment alone: what enough duplicate ACKs prove. */
function markHead(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (busy.segmentFirst == 0) return;
  const first = segmentAt(busy.segmentFirst);
  if (first.flags & (SEG_SACKED | SEG_LOST)) return;
  // Without a record for the cut all of it is marked; recoveryPrepare sends one segment of it.
  const one = boundaryAfter(tcb, first, 1);
  if (first.length > one) segmentsSplit(busy, first, one);
  segmentMarkLost(busy, first, sample);
}

//= rfc5681 3.2
function lossByDuplicates(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const fast = stateOf(busy) < CaState.Recovery && busy.dupAcks >= busy.reordering;
  const partial = busy.caState == CaState.Recovery && (sample.flags & AF_ADVANCED) != 0;
  if (fast || partial) markHead(tcb, busy, sample);
}

//= rfc6675 4
/**
 * IsLost for every record, each judged once: SACKed bytes and pieces above a sequence number can
 * only fall as it rises, so those that are lost are the ones before a cursor that moves up. A
 * record the cursor has passed is RACK's or the time-out's to judge again.
 */
function lossBySack(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const fast = stateOf(busy) < CaState.Recovery && busy.dupAcks >= busy.reordering;
  if (isLostAtCursor(tcb, busy)) {
    let at = segmentFloor(busy, busy.lossCursor);
    while (at != 0 && isLostAtCursor(tcb, busy)) {
      sample.visited++;
      cursorPass(busy, segmentAt(at), sample);
      at = treapNext(at);
    }
  }
  //= rfc6675 5
  if (fast && busy.lostBytes == 0) markHead(tcb, busy, sample);
}

/** DupThresh discontiguous pieces, or more than (DupThresh - 1) × MSS bytes, SACKed above. */
function isLostAtCursor(tcb: Tcb, busy: Busy): bool {
  invariant(busy.sackedBelowCursor <= busy.sackedBytes, Fault.Segment);
  const bytesAbove = busy.sackedBytes - busy.sackedBelowCursor;
  const piecesAbove = busy.sackedBlocks - busy.sackedBlocksBelowCursor;
  const thresh = <u32>busy.reordering;
  return bytesAbove > (thresh - 1) * splitUnit(tcb) || piecesAbove >= thresh;
}

function cursorPass(busy: Busy, segment: Segment, sample: AckSample): void {
  const end = segmentEnd(segment);
  invariant(seqGt(end, busy.lossCursor), Fault.Segment);
  const flags = segment.flags;
  if (flags & SEG_SACKED) {
    if (seqGe(segment.seq, busy.lossCursor)) busy.sackedBlocksBelowCursor++;
    busy.sackedBelowCursor += end - busy.lossCursor;
  } else if ((flags & SEG_LOST) == 0) {
    if (flags & SEG_RETRANS) segmentMarkOriginalLost(busy, segment, sample);
    else segmentMarkLost(busy, segment, sample);
  }
  busy.lossCursor = end;
}

// ---- Entering the states

//= rfc6675 5
//= rfc6582 3.2
function enterRecovery(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const sack = hasSack(tcb);
  count(sack ? Counter.TcpExtTCPSackRecovery : Counter.TcpExtTCPRenoRecovery);
  busy.recoveryPoint = tcb.sndNxt;
  busy.recoveryFlags &= ~RF_RESCUE_SENT;
  tlpForget(busy);
  undoBegin(tcb, busy);
  // In CWR cwnd is on its way down already: one reduction for a window of data.
  if (busy.caState != CaState.Cwr) {
    tcb.ssthresh = congestionOnLoss(tcb, busy);
    ecnOweCwr(tcb);
    prrBegin(tcb, busy, sample);
  }
  setCaState(tcb, busy, CaState.Recovery);
}

/**
 * The network asked for less (ECN-Echo), or our own link did: reduce once a window, repair
 * nothing.
 */
export function recoveryEnterCwr(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (stateOf(busy) >= CaState.Cwr) return;
  undoForget(busy);
  busy.priorSsthresh = currentSsthresh(tcb, busy);
  busy.priorCwnd = tcb.cwnd;
  busy.recoveryPoint = tcb.sndNxt;
  tcb.ssthresh = congestionOnEcn(tcb, busy);
  ecnOweCwr(tcb);
  prrBegin(tcb, busy, sample);
  setCaState(tcb, busy, CaState.Cwr);
}

/**
 * The retransmission timer fired (before tcb.retries counts it): all that is not SACKED is lost,
 * unless sent within the last RTT (RACK), and one segment may leave. What the peer SACKed stays so,
 * unless it has reneged (RFC 6675 §5.1).
 */
//= rfc5681 3.1
//= rfc6675 5.1
//= rfc9293 MUST-19
export function recoveryOnTimeout(tcb: Tcb, busy: Busy): void {
  const sack = hasSack(tcb);
  const forget = sackReneged(busy) || !sack;
  const before = stateOf(busy);
  const reordered = busy.sackedBytes >= <u32>busy.reordering * splitUnit(tcb);
  const fresh =
    before <= CaState.Disorder || seqGe(tcb.sndUna, busy.recoveryPoint) ||
    (before == CaState.Loss && tcb.retries == 0);
  segmentsMarkAllLost(tcb, busy, forget);
  tlpForget(busy);
  frtoBegin(busy, before < CaState.Recovery || tcb.retries != 0);
  // The same loss must not halve ssthresh twice (RFC 5681 §3.1 below equation 4).
  if (fresh) {
    undoBegin(tcb, busy);
    tcb.ssthresh = congestionOnTimeout(tcb, busy);
  }
  if (sack && forget) undoForget(busy); // what the peer threw away is lost whatever comes
  // So much SACKed and still a time-out: DupThresh had grown too far (Linux).
  if (reordered && before <= CaState.Disorder) {
    busy.reordering = <u8>min<u32>(busy.reordering, dupThresh());
  }
  tcb.cwnd = pipe(tcb, busy) + splitUnit(tcb);
  ecnOweCwr(tcb);
  busy.dupAcks = 0;
  busy.recoveryPoint = tcb.sndNxt;
  setCaState(tcb, busy, CaState.Loss);
  count(Counter.TcpExtTCPTimeouts);
  if (tcb.extra == 0) return;
  const extra = changetype<Extra>(<usize>tcb.extra);
  if (extra.totalRto != 0xffff) extra.totalRto++;
}

// ---- What output may do

/**
 * Bytes that may join the flight now, sent again or new. Full segments only: a rest smaller than
 * the next segment waits, unless nothing is in flight. Limited transmit is in it, because SACKed
 * bytes, or guessed ones, have left the pipe.
 */
//= rfc3042 2
//= rfc5681 3.1
export function sendQuota(tcb: Tcb, busy: Busy): u32 {
  const inFlight = pipe(tcb, busy);
  const cwnd = inFlight == 0 ? max(tcb.cwnd, splitUnit(tcb)) : tcb.cwnd;
  return cwnd > inFlight ? cwnd - inFlight : 0;
}

/** The record to send again before anything new (NextSeg's rule 1); 0: none. */
// @ts-ignore: decorator
@inline
export function recoveryNext(busy: Busy): usize {
  return busy.lostHead;
}

/**
 * How many bytes from the front of `segment` to send now, at most `limit` (but one segment at
 * least): cuts the record there. Send them, then call segmentRetransmitted with the same number.
 */
export function recoveryPrepare(tcb: Tcb, busy: Busy, segment: Segment, limit: u32): u32 {
  const one = boundaryAfter(tcb, segment, 1);
  if (segment.length <= max(limit, one)) return segment.length;
  const bytes = max(boundaryBefore(tcb, segment, limit), one);
  segmentsSplit(busy, segment, bytes);
  return bytes;
}

/**
 * In SACK recovery, when nothing is lost and no new data can leave: the record to send again on
 * suspicion, one segment of it (rule 3), or the last one, once, so that its SACK tells of a lost
 * tail (rule 4, the rescue). 0: none. The caller sends what it is given.
 */
//= rfc6675 4
export function recoveryForward(tcb: Tcb, busy: Busy): usize {
  if (busy.caState != CaState.Recovery || !hasSack(tcb) || busy.lostHead != 0) return 0;
  // RACK needs neither: the ACK of a retransmission dates all that was sent before it.
  if (rackOn(tcb)) return 0;
  let at = segmentFloor(busy, busy.lossCursor);
  for (let step: u32 = 0; step < FORWARD_STEPS && at != 0; step++) {
    const segment = segmentAt(at);
    if (seqGt(segmentEnd(segment), busy.highSack)) break;
    if ((segment.flags & (SEG_SACKED | SEG_LOST | SEG_RETRANS)) == 0) return at;
    at = treapNext(at);
  }
  return rescue(tcb, busy);
}

function rescue(tcb: Tcb, busy: Busy): usize {
  if (busy.recoveryFlags & RF_RESCUE_SENT || !seqGt(tcb.sndUna, busy.undoMarker)) return 0;
  const at = tailSegment(tcb, busy);
  if (at != 0) busy.recoveryFlags |= RF_RESCUE_SENT;
  return at;
}
