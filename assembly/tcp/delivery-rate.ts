/**
 * Delivery rate: how fast the network took our data, measured on each ACK from snapshots that every
 * segment carries. draft-cheng-iccrg-delivery-rate-estimation §2 and §3, as Linux's tcp_rate.c.
 * Called by segments.ts (sent, delivered), recovery.ts (once an ACK) and output.ts (nothing left to
 * send). Reads the flight, changes no mark and no window.
 */
import { Counter } from "../abi";
import { countMany } from "../core/counters";
import { seqGt } from "../core/seq";
import { system } from "../memory";
import {
  AF_ECE, AF_LOSS_APP_LIMITED, AF_LOSS_HIGH, AF_RATE, AF_RATE_APP_LIMITED, AF_RENEGING, AckSample,
} from "./ack-sample";
import { Busy, SEG_APP_LIMITED, SEG_SACKED, Segment } from "./busy";
import { Extra, Tcb } from "./records";
import { minRttUs } from "./rtt";
import { pipe, segmentEnd, segmentsIn } from "./segments";

/** One part in so many of a flight may be lost: BBR's LossThresh, 2 %. */
const LOSS_THRESH: u32 = 50;

/**
 * Snapshots for a segment that leaves now, for the first time or again; stamps txTimeUs.
 * `inFlight`: bytes, the segment's own among them.
 */
export function rateOnSend(busy: Busy, segment: Segment, inFlight: u32): void {
  const now = system().now32;
  // After an idle spell the interval begins with this segment, not with what was sent before it.
  if (busy.segmentFirst == 0) {
    busy.firstTxAtUs = now;
    busy.deliveredAtUs = now;
  }
  segment.txTimeUs = now;
  segment.delivered = busy.delivered;
  segment.deliveredTimeUs = busy.deliveredAtUs;
  segment.firstTxTimeUs = busy.firstTxAtUs;
  segment.lost = busy.lost;
  segment.txInFlight = inFlight;
}

/**
 * `bytes` of a segment are marked lost for the first time since they were sent. Notes the first one
 * with whose loss the share lost of what had been in flight was too high, and at which byte of it:
 * solved for the part of the segment, because a super-segment is many packets.
 */
export function rateOnLost(busy: Busy, sample: AckSample, segment: Segment): void {
  busy.lost += segment.length;
  if (sample.flags & AF_LOSS_HIGH) return;
  const lost = busy.lost - segment.lost;
  if (<u64>lost * LOSS_THRESH <= <u64>segment.txInFlight) return;
  sample.flags |= AF_LOSS_HIGH;
  if (segment.flags & SEG_APP_LIMITED) sample.flags |= AF_LOSS_APP_LIMITED;
  const size = min(segment.length, segment.txInFlight);
  const before = segment.txInFlight - size;
  const lostBefore = <u64>(lost - min(size, lost)) * LOSS_THRESH;
  const room = <u64>before > lostBefore ? (<u64>before - lostBefore) / (LOSS_THRESH - 1) : 0;
  sample.lossInFlight = before + <u32>room;
}

/** A segment is SACKed or acknowledged for the first time: the one sent last gives the sample. */
export function rateOnDelivered(busy: Busy, sample: AckSample, segment: Segment): void {
  if (segment.flags & SEG_SACKED) return;
  const sent = segment.txTimeUs;
  const end = segmentEnd(segment);
  if (sample.flags & AF_RATE) {
    if (seqGt(sample.lastTxUs, sent)) return;
    if (sample.lastTxUs == sent && !seqGt(end, sample.lastEndSeq)) return;
  }
  sample.flags = (sample.flags | AF_RATE) & ~AF_RATE_APP_LIMITED;
  if (segment.flags & SEG_APP_LIMITED) sample.flags |= AF_RATE_APP_LIMITED;
  sample.priorDelivered = segment.delivered;
  sample.priorTimeUs = segment.deliveredTimeUs;
  sample.sendElapsedUs = sent - segment.firstTxTimeUs;
  sample.priorLost = segment.lost;
  sample.txInFlight = segment.txInFlight;
  sample.lastTxUs = sent;
  sample.lastEndSeq = end;
  busy.firstTxAtUs = sent;
}

/**
 * Once an ACK, when all its deliveries are in the sample: counts them and answers rateDelivered
 * over rateIntervalUs. The best recent sample stays in Busy for tcp_info.
 */
export function rateOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const now = system().now32;
  const bytes = sample.deliveredBytes;
  if (bytes != 0) {
    busy.delivered += bytes;
    busy.deliveredAtUs = now;
    const pieces = segmentsIn(tcb, bytes);
    countMany(Counter.TcpExtTCPDelivered, pieces);
    if (sample.flags & AF_ECE) {
      countMany(Counter.TcpExtTCPDeliveredCE, pieces);
      busy.deliveredCe += pieces;
    }
    if (tcb.extra != 0) changetype<Extra>(<usize>tcb.extra).delivered += pieces;
  }
  if (busy.appLimited != 0 && seqGt(busy.delivered, busy.appLimited)) busy.appLimited = 0;
  if ((sample.flags & AF_RATE) == 0 || sample.flags & AF_RENEGING) return;
  const delivered = busy.delivered - sample.priorDelivered;
  const interval = max(sample.sendElapsedUs, now - sample.priorTimeUs);
  // Faster than the path's own delay: a retransmission took the credit of its original.
  if (interval == 0 || interval < minRttUs(busy)) return;
  sample.rateDelivered = delivered;
  sample.rateIntervalUs = interval;
  const faster = <u64>delivered * busy.rateIntervalUs >= <u64>busy.rateDelivered * interval;
  if ((sample.flags & AF_RATE_APP_LIMITED) == 0 || faster) {
    busy.rateDelivered = delivered;
    busy.rateIntervalUs = interval;
  }
}

/**
 * output.ts stopped: `unsent` bytes wait. Marks the stretch if the application was the limit, not
 * cwnd, not the pacing rate: what pacing holds back is data that the application has written.
 */
export function rateAppLimited(tcb: Tcb, busy: Busy, unsent: u32): void {
  if (unsent >= <u32>tcb.sndMss || busy.lostHead != 0) return;
  const inFlight = pipe(tcb, busy);
  if (inFlight < tcb.cwnd) rateMarkLimited(busy, inFlight);
}

/** What is in flight now, and what follows until it is delivered, says little about the path. */
export function rateMarkLimited(busy: Busy, inFlight: u32): void {
  const mark = busy.delivered + inFlight;
  busy.appLimited = mark == 0 ? 1 : mark;
}

/** Bytes per second; 0: no sample yet. */
export function deliveryRate(busy: Busy): u64 {
  if (busy.rateIntervalUs == 0) return 0;
  return (<u64>busy.rateDelivered * 1000000) / busy.rateIntervalUs;
}
