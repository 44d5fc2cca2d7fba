/**
 * RACK: a segment is lost when one that was sent later has been delivered and its own time, an RTT
 * and a window for reordering, is up. RFC 8985 §6, with Linux's tcp_recovery. Called by segments.ts
 * (delivered), recovery.ts (an ACK, the timer) and timers.ts (how long to wait). The flight list
 * stands in the order of transmission, so only its head is ever looked at. Marks; decides nothing
 * about states or windows. For connections with SACK only.
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { countMany } from "../core/counters";
import { seqGe, seqGt } from "../core/seq";
import { system } from "../memory";
import { AF_DSACK, AF_DSACK_TLP, AF_ECHO, AF_LOST_RETRANS, AckSample } from "./ack-sample";
import {
  Busy, CaState, RF_DSACK_ROUND, SEG_EVER_RETRANS, SEG_RETRANS, Segment, stateOf,
} from "./busy";
import { TF_SACK_OK, Tcb } from "./records";
import { minRttUs } from "./rtt";
import { segmentAt, segmentEnd, segmentMarkLost, segmentsIn, splitUnit } from "./segments";

/** Bits of tcp_recovery (Linux). */
const RECOVERY_RACK: u32 = 1;
const RECOVERY_STATIC_REO_WND: u32 = 2;
const RECOVERY_NO_DUPTHRESH: u32 = 4;
/** Recoveries without a D-SACK until the window is small again. */
const PERSIST: u8 = 16;

/** Is RACK what finds losses here? Otherwise DupThresh (RFC 6675, RFC 6582) does. */
export function rackOn(tcb: Tcb): bool {
  return (tcb.flags & TF_SACK_OK) != 0 && (config(Config.tcp_recovery) & RECOVERY_RACK) != 0;
}

// @ts-ignore: decorator
@inline
function sentAfter(time: u32, end: u32, otherTime: u32, otherEnd: u32): bool {
  return seqGt(time, otherTime) || (time == otherTime && seqGt(end, otherEnd));
}

//= rfc8985 6.2
/**
 * Bytes of `segment` up to `end` are delivered for the first time: is it the newest one sent?
 * `sacked`: beyond a hole, where the peer echoes what came before the hole, so that the echo says
 * nothing of this segment (RFC 7323 §4.3); then the RTT alone tells, as on Linux.
 */
export function rackOnDelivered(
  busy: Busy, sample: AckSample, segment: Segment, end: u32, sacked: bool,
): void {
  const sent = segment.txTimeUs;
  const rtt = max<u32>(system().now32 - sent, 1);
  if (segment.flags & SEG_EVER_RETRANS) {
    // Step 2: it may be the original that arrived, and then it tells nothing about when.
    const echoed = !sacked && (sample.flags & AF_ECHO) != 0;
    if (echoed && <i32>(sample.echoMs - clockMsAt(sent)) < 0) return;
    if (rtt < minRttUs(busy)) return;
  }
  const first = busy.rackRttUs == 0;
  busy.rackRttUs = rtt;
  if (!first && !sentAfter(sent, end, busy.rackTimeUs, busy.rackEndSeq)) return;
  busy.rackTimeUs = sent;
  busy.rackEndSeq = end;
}

/** The clock of timestamps as it stood at `us`, a time not long ago. */
function clockMsAt(us: u32): u32 {
  const s = system();
  return <u32>((s.nowUs - <u64>(s.now32 - us)) / 1000);
}

/** A flight begins: what was delivered before it was sent earlier than any of it. */
export function rackOnFlight(busy: Busy, seq: u32): void {
  busy.rackTimeUs = system().now32;
  busy.rackEndSeq = seq;
}

//= rfc8985 6.2
/** Once an ACK. A D-SACK says that the window was too small: wider by one step, once a round. */
export function rackOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (config(Config.tcp_recovery) & RECOVERY_STATIC_REO_WND) return;
  let flags = busy.recoveryFlags;
  if (flags & RF_DSACK_ROUND && seqGe(tcb.sndUna, busy.rackDsackRound)) flags &= ~RF_DSACK_ROUND;
  const told = (sample.flags & (AF_DSACK | AF_DSACK_TLP)) == AF_DSACK;
  if (told && (flags & RF_DSACK_ROUND) == 0) {
    flags |= RF_DSACK_ROUND;
    busy.rackDsackRound = tcb.sndNxt;
    if (busy.rackReoWndMult < 255) busy.rackReoWndMult++;
    busy.rackReoWndPersist = PERSIST;
  }
  busy.recoveryFlags = flags;
}

/** A recovery ended that was none too many: after 16 the window is what it was at first. */
export function rackRecovered(busy: Busy): void {
  if (busy.rackReoWndPersist != 0) busy.rackReoWndPersist--;
  if (busy.rackReoWndPersist == 0) busy.rackReoWndMult = 1;
}

/** As many SACKed as DupThresh asks for (RFC 6675's count, so that small segments count too). */
function dupThreshReached(tcb: Tcb, busy: Busy): bool {
  const thresh = <u32>busy.reordering;
  if (busy.dupAcks >= thresh || busy.sackedBlocks >= thresh) return true;
  return busy.sackedBytes > (thresh - 1) * splitUnit(tcb);
}

//= rfc8985 6.2
/** How much longer than an RTT a segment may take, µs. */
export function rackReoWndUs(tcb: Tcb, busy: Busy): u32 {
  if (busy.reordSeen == 0) {
    if (stateOf(busy) >= CaState.Recovery) return 0;
    const early = (config(Config.tcp_recovery) & RECOVERY_NO_DUPTHRESH) == 0;
    if (early && dupThreshReached(tcb, busy)) return 0;
  }
  const wanted = <u64>(minRttUs(busy) >> 2) * busy.rackReoWndMult;
  return <u32>min<u64>(wanted, tcb.srtt8Us >> 3);
}

/**
 * µs until the oldest in flight counts as lost, which was sent before one that has been delivered;
 * 0: it is due; negative: there is none such.
 */
function remaining(tcb: Tcb, busy: Busy): i64 {
  if (busy.flightHead == 0 || busy.rackRttUs == 0) return -1;
  const oldest = segmentAt(busy.flightHead);
  const sent = oldest.txTimeUs;
  if (!sentAfter(busy.rackTimeUs, busy.rackEndSeq, sent, segmentEnd(oldest))) return -1;
  const age = <u64>(system().now32 - sent);
  const allowed = <u64>busy.rackRttUs + rackReoWndUs(tcb, busy);
  return allowed > age ? <i64>(allowed - age) : 0;
}

//= rfc8985 6.2
/** Step 5: marks what is overdue. O(1), amortised: each record looked at but one is marked. */
export function rackDetectLoss(tcb: Tcb, busy: Busy, sample: AckSample): void {
  while (remaining(tcb, busy) == 0) {
    const segment = segmentAt(busy.flightHead);
    sample.visited++;
    if (segment.flags & SEG_RETRANS) {
      sample.flags |= AF_LOST_RETRANS;
      countMany(Counter.TcpExtTCPLostRetransmit, segmentsIn(tcb, segment.length));
    }
    segmentMarkLost(busy, segment, sample);
  }
}

/**
 * µs until the reordering timer shall fire; 0: nothing to wait for. RFC 8985 waits for the last
 * that may be overdue then, here it is the first: repaired sooner, and found without a walk.
 */
export function rackTimeoutUs(tcb: Tcb, busy: Busy): u32 {
  if (busy.caState == CaState.Open || !rackOn(tcb)) return 0;
  const us = remaining(tcb, busy);
  return us < 0 ? 0 : max<u32>(<u32>us, 1);
}

//= rfc8985 6.3
/** At a time-out: sent so lately that its ACK may still be on its way? */
export function rackRecent(tcb: Tcb, busy: Busy, segment: Segment): bool {
  return rackOn(tcb) && system().now32 - segment.txTimeUs < busy.rackRttUs;
}
