/**
 * What one ACK told: filled by sack.ts, segments.ts and delivery-rate.ts while they work through
 * it, read by rtt.ts, recovery.ts and congestion/. There is one, at a fixed place: an ACK is worked
 * through before the next one is looked at. tcp/ack.ts opens it with ackBegin before it moves
 * sndUna. Decides nothing.
 */
import { SEGMENT_AT } from "../memory";
import { zeroBytes } from "../core/bytes";
import { seqGt } from "../core/seq";
import { Busy } from "./busy";
import { Tcb } from "./records";
import { pipe } from "./segments";

@unmanaged
export class AckSample {
  ack: u32;
  /** sndUna, pipe and highSack before this ACK. */
  priorUna: u32;
  priorPipe: u32;
  priorHighSack: u32;
  /** Bytes newly acknowledged cumulatively, newly SACKed, and both less what was SACKed before. */
  ackedBytes: u32;
  newlySackedBytes: u32;
  deliveredBytes: u32;
  /** Bytes that were marked lost because of this ACK. */
  lostBytes: u32;
  /** Of the oldest segment acknowledged that was sent once; RTT_NONE: there is none (Karn). */
  rttUs: u32;
  /** Of the newest such segment, free of the peer's ACK delay: for the minimum. */
  recentRttUs: u32;
  /** As rttUs, of segments SACKed. */
  sackRttUs: u32;
  /** AF_* bits. */
  flags: u32;
  /** Lowest never-retransmitted sequence delivered below priorHighSack, while AF_REORDERED. */
  reorderSeq: u32;
  // -- delivery-rate.ts: snapshot of the segment delivered that was sent last, while AF_RATE
  priorDelivered: u32;
  priorTimeUs: u32;
  sendElapsedUs: u32;
  priorLost: u32;
  txInFlight: u32;
  lastTxUs: u32;
  lastEndSeq: u32;
  /** The answer: bytes over µs; interval 0: no valid sample. */
  rateDelivered: u32;
  rateIntervalUs: u32;
  /** Segment records looked at for this ACK (tests hold it to a bound). */
  visited: u32;
  /** Our clock in ms when the segment left that this ACK echoes, while AF_ECHO (RFC 7323). */
  echoMs: u32;
  /** Bytes in flight at which losses passed LOSS_THRESH, while AF_LOSS_HIGH (delivery-rate.ts). */
  lossInFlight: u32;
}
export const ACK_SAMPLE_AT: usize = SEGMENT_AT + 128;
export const RTT_NONE: u32 = 0xffffffff;

/** sndUna advanced. */
export const AF_ADVANCED: u32 = 1;
/** A segment that carried SYN, or any data or FIN, was acknowledged (whole or in part). */
export const AF_SYN_ACKED: u32 = 2;
export const AF_DATA_ACKED: u32 = 4;
/** Something acknowledged had been sent more than once. */
export const AF_RETRANS_ACKED: u32 = 8;
/** A duplicate ACK as RFC 5681 §2 has it; tcp/ack.ts says so. */
export const AF_DUPLICATE: u32 = 16;
export const AF_NEW_SACK: u32 = 32;
export const AF_DSACK: u32 = 64;
/** The first segment not acknowledged was SACKed: the peer has forgotten it (RFC 2018 §8). */
export const AF_RENEGING: u32 = 128;
export const AF_REORDERED: u32 = 256;
/** The rate snapshot is filled; it comes from an application-limited stretch. */
export const AF_RATE: u32 = 512;
export const AF_RATE_APP_LIMITED: u32 = 1024;
/** ECN-Echo that counts (RFC 3168); tcp/ack.ts says so. */
export const AF_ECE: u32 = 2048;
/** More than LOSS_THRESH of a flight was lost; it was sent in an application-limited stretch. */
export const AF_LOSS_HIGH: u32 = 1 << 20;
export const AF_LOSS_APP_LIMITED: u32 = 1 << 21;

/** echoMs is filled. */
export const AF_ECHO: u32 = 1 << 16;
/** Marked lost, never sent again, and delivered after all: the verdict was wrong. */
export const AF_ORIGINAL: u32 = 1 << 17;
/** A retransmission was found lost. */
export const AF_LOST_RETRANS: u32 = 1 << 18;
/** The D-SACK is for the loss probe: no sign of reordering. */
export const AF_DSACK_TLP: u32 = 1 << 19;

/** Opens the sample; `flags`: AF_DUPLICATE, AF_ECE. Call it before sndUna moves to `ack`. */
export function ackBegin(tcb: Tcb, busy: Busy, ack: u32, flags: u32): AckSample {
  zeroBytes(ACK_SAMPLE_AT, offsetof<AckSample>());
  const sample = changetype<AckSample>(ACK_SAMPLE_AT);
  sample.ack = ack;
  sample.priorUna = tcb.sndUna;
  sample.priorPipe = pipe(tcb, busy);
  sample.priorHighSack = busy.highSack;
  sample.rttUs = RTT_NONE;
  sample.recentRttUs = RTT_NONE;
  sample.sackRttUs = RTT_NONE;
  sample.flags = seqGt(ack, tcb.sndUna) ? flags | AF_ADVANCED : flags;
  return sample;
}

if (offsetof<AckSample>() > 128) ERROR("AckSample fits its place");
