/**
 * BBR, version 3: sends at the rate that the path was measured to deliver, with about one BDP in
 * flight, and answers loss only where it is more than 2 %. draft-ietf-ccwg-bbr §5.2 and §5.6: the
 * order of an ACK, and the three controls pacing rate, burst and cwnd. The model is bbr-model.ts,
 * the states bbr-probe.ts. Called through controller.ts only.
 */
import { seqGt } from "../../core/seq";
import { system } from "../../memory";
import { AF_LOSS_HIGH, AF_RATE, AckSample, RTT_NONE } from "../ack-sample";
import { Busy, CaState } from "../busy";
import { Tcb } from "../records";
import { pipe } from "../segments";
import {
  BBR_INFINITE, BF_FULL_REACHED, BF_IDLE_RESTART, BF_LOSS_IN_ROUND, BF_LOSS_ROUND_START,
  BF_PROBE_SAMPLE, BF_REPAIRING, Bbr, BbrState, GAIN_ONE, PACING_MARGIN, adaptLowerBounds,
  advanceLatest, bbrBw, bbrOf, bdp, extraAcked, has, inflightWithHeadroom, mark, minPipe, quantized,
  resetShortTerm, sampleBw, updateAggregation, updateMinRtt, updateRates,
} from "./bbr-model";
import {
  checkDrain, checkFullBw, checkProbeRtt, checkProbeRttDone, checkStartup, cwndGain, enterStartup,
  inProbeBw, inflightTooHigh, isProbing, pacingGain, probeRttCwnd, resetFullBw, saveCwnd,
  startRefill, updatePhase,
} from "./bbr-probe";
import { SSTHRESH_INFINITE, initialWindow } from "./controller";
import { paceAt } from "./pacing-rate";

/** OnInit, at the first send or ACK with a fresh Busy record. */
function bbrBegin(tcb: Tcb, busy: Busy): void {
  const b = bbrOf(busy);
  const now = system().nowMs;
  tcb.ssthresh = SSTHRESH_INFINITE;
  b.minRttUs = tcb.srtt8Us != 0 ? tcb.srtt8Us >> 3 : BBR_INFINITE;
  b.minRttAtMs = now;
  b.probeMinUs = b.minRttUs;
  b.probeMinAtMs = now;
  b.extraAtUs = system().now32;
  b.inflightHi = BBR_INFINITE;
  b.ackedPerInc = BBR_INFINITE;
  b.roundDelivered = busy.delivered;
  b.lossRoundDelivered = busy.delivered;
  resetShortTerm(b);
  enterStartup(b);
  const rttUs = tcb.srtt8Us != 0 ? tcb.srtt8Us >> 3 : 1000;
  const nominal = <u64>max(initialWindow(tcb), tcb.cwnd) * 1_000_000 / max<u32>(rttUs, 1);
  paceAt(busy, nominal * pacingGain(BbrState.Startup) >> 8);
}

/** Data is about to be sent: HandleRestartFromIdle. */
export function bbrOnSend(tcb: Tcb, busy: Busy): void {
  const b = bbrOf(busy);
  if (b.state == BbrState.None) bbrBegin(tcb, busy);
  if (busy.appLimited == 0 || tcb.sndUna != tcb.sndNxt) return;
  mark(b, BF_IDLE_RESTART, true);
  b.extraAtUs = system().now32;
  if (inProbeBw(b)) setPacing(busy, b, GAIN_ONE);
  else if (b.state == BbrState.ProbeRtt) checkProbeRttDone(tcb, busy, b);
}

/** UpdateOnACK. */
export function bbrOnSample(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const b = bbrOf(busy);
  if (b.state == BbrState.None) bbrBegin(tcb, busy);
  repaired(tcb, busy, b);
  if (sample.lostBytes != 0) lost(tcb, busy, b, sample);
  if (sample.flags & AF_RATE) model(tcb, busy, b, sample);
  setPacing(busy, b, pacingGain(b.state));
  setCwnd(tcb, busy, b, sample.deliveredBytes);
}

/** UpdateModelAndState, in the draft's order. */
function model(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample): void {
  const bw = sampleBw(sample);
  updateRates(busy, b, sample, bw);
  if (has(b, BF_LOSS_ROUND_START)) {
    const gain: u32 = b.state == BbrState.Down ? pacingGain(b.state) : GAIN_ONE;
    if (has(b, BF_LOSS_IN_ROUND) && !isProbing(b)) adaptLowerBounds(tcb, b, gain);
    mark(b, BF_LOSS_IN_ROUND, false);
  }
  updateAggregation(tcb, b, sample.deliveredBytes);
  checkFullBw(b, sample, bw);
  checkStartup(tcb, busy, b, sample);
  checkDrain(tcb, busy, b);
  updatePhase(tcb, busy, b, sample, bw);
  const rtt = sample.recentRttUs != RTT_NONE ? sample.recentRttUs : sample.sackRttUs;
  updateMinRtt(b, rtt);
  checkProbeRtt(tcb, busy, b);
  if (b.state == BbrState.ProbeRtt) ignoreRates(tcb, busy);
  if (sample.deliveredBytes != 0) mark(b, BF_IDLE_RESTART, false);
  advanceLatest(b, sample, bw);
}

/** ProbeRTT sends little on purpose: samples of it must not lower the rate. */
function ignoreRates(tcb: Tcb, busy: Busy): void {
  const end = busy.delivered + pipe(tcb, busy);
  busy.appLimited = end == 0 ? 1 : end;
}

// ---- Losses

/** Recovery begins or ends: cwnd goes back to what it was before the trouble. */
function repaired(tcb: Tcb, busy: Busy, b: Bbr): void {
  const now = busy.caState == CaState.Recovery || busy.caState == CaState.Loss;
  if (has(b, BF_REPAIRING) && !now) tcb.cwnd = max(tcb.cwnd, b.priorCwnd);
  mark(b, BF_REPAIRING, now);
}

/** NoteLoss: a round that knows of losses begins with the first of them, if not put off longer. */
function noteLoss(busy: Busy, b: Bbr): void {
  const later = seqGt(busy.delivered, b.lossRoundDelivered);
  if (!has(b, BF_LOSS_IN_ROUND) && later) b.lossRoundDelivered = busy.delivered;
  mark(b, BF_LOSS_IN_ROUND, true);
}

/** HandleLostPacket, for all that this ACK marked. */
function lost(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample): void {
  noteLoss(busy, b);
  if (!has(b, BF_PROBE_SAMPLE) || (sample.flags & AF_LOSS_HIGH) == 0) return;
  inflightTooHigh(tcb, busy, b, sample, sample.lossInFlight);
}

/** SaveStateUponLoss. */
function saveState(tcb: Tcb, b: Bbr): void {
  saveCwnd(tcb, b);
  b.undoState = <u8>BbrState.None;
  b.undoBwLo = b.bwLo;
  b.undoInflightLo = b.inflightLo;
  b.undoInflightHi = b.inflightHi;
}

/** Recovery begins; ssthresh means nothing here. */
export function bbrOnLoss(tcb: Tcb, busy: Busy): u32 {
  saveState(tcb, bbrOf(busy));
  return tcb.ssthresh;
}

/** The retransmission timer fired: recovery.ts leaves one segment of cwnd, ACKs bring it back. */
export function bbrOnTimeout(tcb: Tcb, busy: Busy): u32 {
  const b = bbrOf(busy);
  saveState(tcb, b);
  noteLoss(busy, b);
  return tcb.ssthresh;
}

/** A mark is congestion like a loss (the draft's §4.4): the short-term model answers it. */
export function bbrOnEcn(tcb: Tcb, busy: Busy): u32 {
  const b = bbrOf(busy);
  saveState(tcb, b);
  noteLoss(busy, b);
  return tcb.ssthresh;
}

/** HandleSpuriousLossDetection. */
export function bbrOnUndo(tcb: Tcb, busy: Busy): void {
  const b = bbrOf(busy);
  tcb.cwnd = max(tcb.cwnd, b.priorCwnd);
  mark(b, BF_LOSS_IN_ROUND, false);
  resetFullBw(b, 0);
  b.bwLo = max(b.bwLo, b.undoBwLo);
  b.inflightLo = max(b.inflightLo, b.undoInflightLo);
  b.inflightHi = max(b.inflightHi, b.undoInflightHi);
  const from = b.undoState;
  b.undoState = <u8>BbrState.None;
  if (from == BbrState.Startup && b.state != BbrState.Startup) {
    mark(b, BF_FULL_REACHED, false);
    if (b.state != BbrState.ProbeRtt) enterStartup(b);
  } else if (from == BbrState.Up && b.state != BbrState.Up && b.state != BbrState.ProbeRtt) {
    startRefill(busy, b);
  }
}

// ---- Controls

/** SetPacingRateWithGain: before the pipe is full only upwards. */
function setPacing(busy: Busy, b: Bbr, gain: u32): void {
  const rate = <u64>bbrBw(b) * gain / 256 * (100 - PACING_MARGIN) / 100;
  if (rate == 0) return;
  if (has(b, BF_FULL_REACHED) || rate > <u64>busy.pacingRate) paceAt(busy, rate);
}

/** SetCwnd, BoundCwndForProbeRTT and BoundCwndForModel. */
function setCwnd(tcb: Tcb, busy: Busy, b: Bbr, acked: u32): void {
  const full = bdp(tcb, b, bbrBw(b), cwndGain(b.state)) + extraAcked(b);
  const most = quantized(tcb, busy, b, full);
  const first = initialWindow(tcb);
  let cwnd = tcb.cwnd;
  if (has(b, BF_FULL_REACHED)) cwnd = min(cwnd + acked, most);
  else if (cwnd < most || busy.delivered < first) cwnd += acked;
  cwnd = max(cwnd, minPipe(tcb));
  if (b.state == BbrState.ProbeRtt) cwnd = min(cwnd, probeRttCwnd(tcb, b));
  let cap = BBR_INFINITE;
  if (b.state == BbrState.ProbeRtt || b.state == BbrState.Cruise) {
    cap = inflightWithHeadroom(tcb, b);
  } else if (inProbeBw(b)) cap = b.inflightHi;
  cap = max(min(cap, b.inflightLo), minPipe(tcb));
  tcb.cwnd = min(cwnd, cap);
}
