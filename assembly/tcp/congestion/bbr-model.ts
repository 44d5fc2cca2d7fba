/**
 * BBR's picture of the path: the highest rate of the last two probing cycles, the lowest RTT of
 * 10 s, how much was in flight when losses grew, how ACKs clump. draft-ietf-ccwg-bbr §5.5, version
 * 3 of BBR. Called by bbr.ts and bbr-probe.ts. Works on the Bbr fields of Busy alone; rates are
 * bytes per second, gains parts in 256.
 */
import { seqGe } from "../../core/seq";
import { system } from "../../memory";
import { AF_RATE_APP_LIMITED, AckSample } from "../ack-sample";
import { Busy } from "../busy";
import { Tcb } from "../records";
import { splitUnit } from "../segments";
import { CWND_MAX, initialWindow } from "./controller";
import { RATE_MAX, sendQuantum } from "./pacing-rate";

/** BBR's part of Busy from cc0 on. Names are the draft's; times are ms unless they say µs. */
@unmanaged
export class Bbr {
  /** max_bw filter: the best of this probing cycle and of the one before. */
  bw0: u32;
  bw1: u32;
  /** bw_shortterm, BBR_INFINITE: no bound. */
  bwLo: u32;
  bwLatest: u32;
  /** inflight_latest, inflight_longterm and inflight_shortterm, bytes. */
  inflightLatest: u32;
  inflightHi: u32;
  inflightLo: u32;
  /** Busy.delivered at which this round trip, and this loss round, end. */
  roundDelivered: u32;
  lossRoundDelivered: u32;
  fullBw: u32;
  minRttUs: u32;
  minRttAtMs: u32;
  /** probe_rtt_min_delay and its time. */
  probeMinUs: u32;
  probeMinAtMs: u32;
  /** When ProbeRTT may end; 0: not drained yet. */
  probeDoneMs: u32;
  /** cycle_stamp. */
  cycleAtMs: u32;
  /** extra_acked: interval start, bytes in it, maxima of two windows of rounds. */
  extraAtUs: u32;
  extraBytes: u32;
  extra0: u32;
  extra1: u32;
  /** Growth of inflightHi while probing. */
  ackedPerInc: u32;
  upAcked: u32;
  priorCwnd: u32;
  undoBwLo: u32;
  undoInflightLo: u32;
  undoInflightHi: u32;
  /** BF_* bits. */
  flags: u16;
  probeWaitMs: u16;
  /** BbrState. */
  state: u8;
  ackPhase: u8;
  undoState: u8;
  upRounds: u8;
  fullBwCount: u8;
  roundsSinceProbe: u8;
  /** round_count, modulo 256. */
  rounds: u8;
  drainRound: u8;
  /** Rounds in extra0's window. */
  extraRounds: u8;
  /** ACKs in this loss round that told of losses. */
  lossEvents: u8;
}

/** As BbrPhase of abi.ts. */
export const enum BbrState {
  None = 0,
  Startup = 1,
  Drain = 2,
  Down = 3,
  Cruise = 4,
  Refill = 5,
  Up = 6,
  ProbeRtt = 7,
}

export const enum AckPhase {
  Init = 0,
  Refilling = 1,
  ProbeStarting = 2,
  ProbeFeedback = 3,
  ProbeStopping = 4,
}

export const BF_ROUND_START: u16 = 1;
export const BF_LOSS_ROUND_START: u16 = 2;
export const BF_FULL_REACHED: u16 = 4;
export const BF_FULL_NOW: u16 = 8;
export const BF_IDLE_RESTART: u16 = 16;
export const BF_LOSS_IN_ROUND: u16 = 32;
export const BF_PROBE_SAMPLE: u16 = 64;
export const BF_TOO_HIGH: u16 = 128;
export const BF_PRECAUTIONARY: u16 = 256;
export const BF_RTT_ROUND_DONE: u16 = 512;
/** Was in recovery, or after a time-out, at the last ACK. */
export const BF_REPAIRING: u16 = 1024;
export const BF_RTT_EXPIRED: u16 = 2048;

export const BBR_INFINITE: u32 = 0xffffffff;
export const GAIN_ONE: u32 = 256;
/** LossThresh: one in so many, 2 %. */
const LOSS_THRESH: u64 = 50;
/** Paced a little below the rate, so that no queue stands: per cent. */
export const PACING_MARGIN: u64 = 1;
const MIN_PIPE_SEGMENTS: u32 = 4;
const MIN_RTT_WINDOW_MS: u32 = 10_000;
const PROBE_RTT_INTERVAL_MS: u32 = 5000;
/** Each of extra_acked's two windows: together 5 to 10 rounds. */
const EXTRA_ROUNDS: u8 = 5;

// @ts-ignore: decorator
@inline
export function bbrOf(busy: Busy): Bbr {
  return changetype<Bbr>(changetype<usize>(busy) + offsetof<Busy>("cc0"));
}

// @ts-ignore: decorator
@inline
export function has(b: Bbr, flag: u16): bool {
  return (b.flags & flag) != 0;
}

export function mark(b: Bbr, flag: u16, on: bool): void {
  b.flags = on ? b.flags | flag : b.flags & ~flag;
}

// ---- Rates and volumes

// @ts-ignore: decorator
@inline
export function maxBw(b: Bbr): u32 {
  return max(b.bw0, b.bw1);
}

/** The rate to go by: max_bw, bounded by what losses have taught since the last probe. */
// @ts-ignore: decorator
@inline
export function bbrBw(b: Bbr): u32 {
  return min(maxBw(b), b.bwLo);
}

/** The sample's delivery rate; 0: it has none. */
export function sampleBw(sample: AckSample): u32 {
  if (sample.rateIntervalUs == 0) return 0;
  const rate = <u64>sample.rateDelivered * 1_000_000 / sample.rateIntervalUs;
  return <u32>min<u64>(rate, RATE_MAX);
}

export function minPipe(tcb: Tcb): u32 {
  return MIN_PIPE_SEGMENTS * splitUnit(tcb);
}

/** BDPMultiple: `gain` of rate times min_rtt, bytes. */
export function bdp(tcb: Tcb, b: Bbr, bw: u32, gain: u32): u32 {
  if (b.minRttUs == BBR_INFINITE) return initialWindow(tcb);
  const bytes = <u64>bw * b.minRttUs / 1_000_000 * gain >> 8;
  return <u32>min<u64>(bytes, CWND_MAX);
}

/** QuantizationBudget: room for the bursts of both hosts' offloads. */
export function quantized(tcb: Tcb, busy: Busy, b: Bbr, inflight: u32): u32 {
  let bytes = max(max(inflight, 3 * sendQuantum(tcb, busy)), minPipe(tcb));
  if (b.state == BbrState.Up) bytes += 2 * splitUnit(tcb);
  return min(bytes, CWND_MAX);
}

export function inflightWithHeadroom(tcb: Tcb, b: Bbr): u32 {
  if (b.inflightHi == BBR_INFINITE) return BBR_INFINITE;
  const headroom = max<u32>(splitUnit(tcb), <u32>(<u64>b.inflightHi * 15 / 100));
  return max(b.inflightHi > headroom ? b.inflightHi - headroom : 0, minPipe(tcb));
}

// ---- Rounds and filters

// @ts-ignore: decorator
@inline
export function startRound(busy: Busy, b: Bbr): void {
  b.roundDelivered = busy.delivered;
}

/** UpdateRound. */
function updateRound(busy: Busy, b: Bbr, sample: AckSample): void {
  const over = seqGe(sample.priorDelivered, b.roundDelivered);
  mark(b, BF_ROUND_START, over);
  if (!over) return;
  startRound(busy, b);
  b.rounds++;
  if (b.roundsSinceProbe < 255) b.roundsSinceProbe++;
}

/** UpdateLatestDeliverySignals and UpdateMaxBw; the sample has a snapshot. */
export function updateRates(busy: Busy, b: Bbr, sample: AckSample, bw: u32): void {
  b.bwLatest = max(b.bwLatest, bw);
  b.inflightLatest = max(b.inflightLatest, sample.rateDelivered);
  const lossRound = seqGe(sample.priorDelivered, b.lossRoundDelivered);
  mark(b, BF_LOSS_ROUND_START, lossRound);
  if (lossRound) b.lossRoundDelivered = busy.delivered;
  updateRound(busy, b, sample);
  const limited = (sample.flags & AF_RATE_APP_LIMITED) != 0;
  if (bw >= maxBw(b) || !limited) b.bw0 = max(b.bw0, bw);
}

/** AdvanceMaxBwFilter: one probing cycle is over. */
export function advanceMaxBw(b: Bbr): void {
  if (b.bw0 == 0) return; // nothing measured in it: keep what is known
  b.bw1 = b.bw0;
  b.bw0 = 0;
}

/** AdvanceLatestDeliverySignals. */
export function advanceLatest(b: Bbr, sample: AckSample, bw: u32): void {
  if (!has(b, BF_LOSS_ROUND_START)) return;
  b.bwLatest = bw;
  b.inflightLatest = sample.rateDelivered;
}

/** UpdateACKAggregation: bytes acknowledged beyond what the rate explains, best of some rounds. */
export function updateAggregation(tcb: Tcb, b: Bbr, bytes: u32): void {
  if (has(b, BF_ROUND_START)) {
    b.extraRounds++;
    const window: u8 = has(b, BF_FULL_REACHED) ? EXTRA_ROUNDS : 1;
    if (b.extraRounds >= window) {
      b.extraRounds = 0;
      b.extra1 = b.extra0;
      b.extra0 = 0;
    }
  }
  const now = system().now32;
  let expected = <u64>bbrBw(b) * (now - b.extraAtUs) / 1_000_000;
  if (<u64>b.extraBytes <= expected) {
    b.extraBytes = 0;
    b.extraAtUs = now;
    expected = 0;
  }
  b.extraBytes = min(b.extraBytes + bytes, CWND_MAX);
  const extra = <u64>b.extraBytes > expected ? <u64>b.extraBytes - expected : 0;
  b.extra0 = max(b.extra0, <u32>min<u64>(extra, tcb.cwnd));
}

// @ts-ignore: decorator
@inline
export function extraAcked(b: Bbr): u32 {
  return max(b.extra0, b.extra1);
}

/** UpdateMinRTT: `rttUs` is the newest segment's. */
export function updateMinRtt(b: Bbr, rttUs: u32): void {
  const now = system().nowMs;
  const expired = now - b.probeMinAtMs > PROBE_RTT_INTERVAL_MS;
  mark(b, BF_RTT_EXPIRED, expired);
  if (rttUs != BBR_INFINITE && (rttUs < b.probeMinUs || expired)) {
    b.probeMinUs = rttUs;
    b.probeMinAtMs = now;
  }
  if (b.probeMinUs < b.minRttUs || now - b.minRttAtMs > MIN_RTT_WINDOW_MS) {
    b.minRttUs = b.probeMinUs;
    b.minRttAtMs = b.probeMinAtMs;
  }
}

// ---- Losses

export function resetCongestionSignals(b: Bbr): void {
  mark(b, BF_LOSS_IN_ROUND, false);
  b.bwLatest = 0;
  b.inflightLatest = 0;
}

export function resetShortTerm(b: Bbr): void {
  b.bwLo = BBR_INFINITE;
  b.inflightLo = BBR_INFINITE;
}

/** Is more than 2 % lost of what was in flight when the newest delivered segment left? */
export function lossIsHigh(busy: Busy, sample: AckSample): bool {
  return <u64>(busy.lost - sample.priorLost) * LOSS_THRESH > <u64>sample.txInFlight;
}

/**
 * AdaptLowerBoundsFromCongestion: once a round with losses, down to what was delivered in it;
 * `gain` is the share of the rate that we sent. The draft takes what came through at 99 % of the
 * rate, and at 90 % in ProbeBW_DOWN, for the rate itself, round after round: with one packet in a
 * hundred lost by chance a fifth of the path was gone between two probes. A loss that the probes
 * bear with, 2 %, is no reason to slow down between them either.
 */
export function adaptLowerBounds(tcb: Tcb, b: Bbr, gain: u32): void {
  if (b.bwLo == BBR_INFINITE) b.bwLo = maxBw(b);
  if (b.inflightLo == BBR_INFINITE) b.inflightLo = tcb.cwnd;
  b.bwLo = lowerBound(b.bwLatest, b.bwLo, gain);
  b.inflightLo = lowerBound(b.inflightLatest, b.inflightLo, gain);
}

/** What would have come at the full rate with no loss; at least Beta, 0.7, of the bound before. */
function lowerBound(latest: u32, bound: u32, gain: u32): u32 {
  const sent = (100 - PACING_MARGIN) * (LOSS_THRESH - 1) * gain;
  const through = <u64>latest * (25600 * LOSS_THRESH) / sent;
  return <u32>min<u64>(max<u64>(through, <u64>bound * 7 / 10), BBR_INFINITE - 1);
}

if (offsetof<Bbr>() > offsetof<Busy>() - offsetof<Busy>("cc0")) ERROR("Bbr fits its place");
