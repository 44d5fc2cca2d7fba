/**
 * BBR's states: Startup, Drain, the four phases of ProbeBW (down, cruise, refill, up) and ProbeRTT,
 * and what leads from one to the next. draft-ietf-ccwg-bbr §5.3. Called by bbr.ts with each ACK.
 * Works on the Bbr fields of Busy alone, and on cwnd where ProbeRTT ends.
 */
import { system } from "../../memory";
import { AF_LOSS_APP_LIMITED, AF_RATE_APP_LIMITED, AckSample } from "../ack-sample";
import { Busy, RF_CWND_LIMITED } from "../busy";
import { Tcb } from "../records";
import { pipe, splitUnit } from "../segments";
import {
  AckPhase, BBR_INFINITE, BF_FULL_NOW, BF_FULL_REACHED, BF_IDLE_RESTART, BF_LOSS_ROUND_START,
  BF_PRECAUTIONARY, BF_PROBE_SAMPLE, BF_REPAIRING, BF_ROUND_START, BF_RTT_EXPIRED,
  BF_RTT_ROUND_DONE, BF_TOO_HIGH, Bbr, BbrState, GAIN_ONE, advanceMaxBw, bbrBw, bdp, has,
  inflightWithHeadroom, lossIsHigh, mark, maxBw, minPipe, quantized, resetCongestionSignals,
  resetShortTerm, startRound,
} from "./bbr-model";
import { cubeRoot } from "./cubic";

/** Rounds without a quarter more rate after which the pipe is taken to be full. */
const FULL_ROUNDS: u8 = 3;
/** ACKs with losses in a round that end Startup when more than 2 % was lost. */
const STARTUP_LOSS_EVENTS: u8 = 6;
const DRAIN_ROUNDS: u8 = 3;
const PROBE_RTT_MS: u32 = 200;
const PROBE_RTT_GAIN: u32 = 128;
/**
 * Wait between probes before up to 1 s of chance is added, or as many rounds as Reno would need to
 * grow. The draft waits 2 s always; then a CUBIC flow beside us, whose way back takes longer, loses
 * again before it has come back, and is left with a fifth of 100 Mbit/s at 50 ms.
 */
const PROBE_WAIT_MIN_MS: u32 = 2000;
const PROBE_WAIT_MAX_MS: u32 = 4000;
const RENO_ROUNDS_MAX: u32 = 63;

export function pacingGain(state: u32): u32 {
  switch (state) {
    case BbrState.Startup: return 709; // 2.77 = 4 ln 2
    case BbrState.Drain: return 128;
    case BbrState.Down: return 230; // 0.9
    case BbrState.Up: return 320; // 1.25
    default: return GAIN_ONE;
  }
}

export function cwndGain(state: u32): u32 {
  if (state == BbrState.ProbeRtt) return PROBE_RTT_GAIN;
  return state == BbrState.Up ? 576 : 512; // 2.25, 2
}

// @ts-ignore: decorator
@inline
export function inProbeBw(b: Bbr): bool {
  return b.state >= <u8>BbrState.Down && b.state <= <u8>BbrState.Up;
}

// @ts-ignore: decorator
@inline
export function isProbing(b: Bbr): bool {
  return b.state == BbrState.Startup || b.state == BbrState.Refill || b.state == BbrState.Up;
}

// ---- Startup and Drain

export function enterStartup(b: Bbr): void {
  b.state = <u8>BbrState.Startup;
}

export function resetFullBw(b: Bbr, bw: u32): void {
  b.fullBw = bw;
  b.fullBwCount = 0;
  mark(b, BF_FULL_NOW, false);
}

/** CheckFullBWReached: three rounds in which the rate grew by less than a quarter. */
export function checkFullBw(b: Bbr, sample: AckSample, bw: u32): void {
  if (has(b, BF_FULL_NOW) || !has(b, BF_ROUND_START)) return;
  if (bw == 0 || (sample.flags & AF_RATE_APP_LIMITED) != 0) return;
  if (<u64>bw * 4 >= <u64>b.fullBw * 5) {
    resetFullBw(b, bw);
    return;
  }
  b.fullBwCount++;
  if (b.fullBwCount >= FULL_ROUNDS) b.flags |= BF_FULL_NOW | BF_FULL_REACHED;
}

/** CheckStartupDone: the rate stands, or losses say that the buffer is full. */
export function checkStartup(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample): void {
  if (b.state != BbrState.Startup) return;
  if (sample.lostBytes != 0 && b.lossEvents < 255) b.lossEvents++;
  if (has(b, BF_LOSS_ROUND_START)) {
    const many = b.lossEvents >= STARTUP_LOSS_EVENTS && has(b, BF_REPAIRING);
    if (many && lossIsHigh(busy, sample)) {
      b.undoState = <u8>BbrState.Startup;
      b.flags |= BF_FULL_REACHED;
      b.inflightHi = max(bdp(tcb, b, maxBw(b), GAIN_ONE), b.inflightLatest);
    }
    b.lossEvents = 0;
  }
  if (!has(b, BF_FULL_REACHED)) return;
  b.state = <u8>BbrState.Drain;
  b.drainRound = b.rounds;
}

/** CheckDrainDone: the queue of Startup has gone. */
export function checkDrain(tcb: Tcb, busy: Busy, b: Bbr): void {
  if (b.state != BbrState.Drain) return;
  const empty = pipe(tcb, busy) <= quantized(tcb, busy, b, bdp(tcb, b, bbrBw(b), GAIN_ONE));
  if (empty || b.rounds - b.drainRound > DRAIN_ROUNDS) startDown(tcb, busy, b);
}

// ---- ProbeBW

/** Pseudo-random bits: flows must not probe in step, and nobody gains from knowing them. */
function draw(busy: Busy): u32 {
  const x = (system().now32 ^ <u32>changetype<usize>(busy) ^ busy.delivered) * 0x9e3779b1;
  return (x ^ (x >> 15)) * 0x85ebca77 >> 8;
}

/** CUBIC's K for our window, between the bounds: 0.3 W / 0.4 s³. */
function probeWaitMs(tcb: Tcb, b: Bbr): u32 {
  const segments = <u64>(targetInflight(tcb, b) / splitUnit(tcb));
  return min(max(cubeRoot(segments * 750_000_000), PROBE_WAIT_MIN_MS), PROBE_WAIT_MAX_MS);
}

export function startDown(tcb: Tcb, busy: Busy, b: Bbr): void {
  resetCongestionSignals(b);
  b.ackedPerInc = BBR_INFINITE;
  const random = draw(busy);
  b.roundsSinceProbe = <u8>(random & 1);
  b.probeWaitMs = <u16>(probeWaitMs(tcb, b) + (random >> 1) % 1000);
  b.cycleAtMs = system().nowMs;
  b.ackPhase = <u8>AckPhase.ProbeStopping;
  startRound(busy, b);
  b.state = <u8>BbrState.Down;
}

export function startRefill(busy: Busy, b: Bbr): void {
  resetShortTerm(b);
  b.upRounds = 0;
  b.upAcked = 0;
  mark(b, BF_PRECAUTIONARY, false);
  b.ackPhase = <u8>AckPhase.Refilling;
  startRound(busy, b);
  b.state = <u8>BbrState.Refill;
}

function startUp(tcb: Tcb, busy: Busy, b: Bbr, bw: u32): void {
  b.ackPhase = <u8>AckPhase.ProbeStarting;
  startRound(busy, b);
  resetFullBw(b, bw);
  b.state = <u8>BbrState.Up;
  raiseSlope(tcb, b);
}

/** RaiseInflightLongtermSlope: growth doubles each round. */
function raiseSlope(tcb: Tcb, b: Bbr): void {
  b.ackedPerInc = max(tcb.cwnd >> b.upRounds, splitUnit(tcb));
  if (b.upRounds < 30) b.upRounds++;
}

/** ProbeInflightLongtermUpward. */
function raiseInflightHi(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample): void {
  if ((busy.recoveryFlags & RF_CWND_LIMITED) == 0 || tcb.cwnd < b.inflightHi) return;
  b.upAcked += sample.deliveredBytes;
  if (b.upAcked >= b.ackedPerInc) {
    const steps = b.upAcked / b.ackedPerInc;
    b.upAcked -= steps * b.ackedPerInc;
    b.inflightHi = <u32>min<u64>(<u64>b.inflightHi + <u64>steps * splitUnit(tcb), 0xfffffffe);
  }
  if (has(b, BF_ROUND_START)) raiseSlope(tcb, b);
}

/** AdaptLongTermModel; true: it chose the next phase itself. */
function adaptLongTerm(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample): bool {
  const round = has(b, BF_ROUND_START);
  if (b.ackPhase == AckPhase.ProbeStarting && round) b.ackPhase = <u8>AckPhase.ProbeFeedback;
  if (b.ackPhase == AckPhase.ProbeStopping && round) {
    mark(b, BF_PROBE_SAMPLE, false);
    b.ackPhase = <u8>AckPhase.Init;
    if (inProbeBw(b)) {
      if ((sample.flags & AF_RATE_APP_LIMITED) == 0) advanceMaxBw(b);
      if (has(b, BF_PRECAUTIONARY) && !has(b, BF_TOO_HIGH)) {
        startRefill(busy, b);
        return true;
      }
    }
  }
  if (lossIsHigh(busy, sample) || b.inflightHi == BBR_INFINITE) return false;
  b.inflightHi = max(b.inflightHi, sample.txInFlight);
  if (b.state == BbrState.Up) raiseInflightHi(tcb, busy, b, sample);
  return false;
}

function targetInflight(tcb: Tcb, b: Bbr): u32 {
  return min(bdp(tcb, b, bbrBw(b), GAIN_ONE), tcb.cwnd);
}

/** IsTimeToProbeBW: by the clock, or when Reno in our place would have grown by as much. */
function timeToProbe(tcb: Tcb, b: Bbr): bool {
  if (system().nowMs - b.cycleAtMs > <u32>b.probeWaitMs) return true;
  const rounds = min(targetInflight(tcb, b) / splitUnit(tcb), RENO_ROUNDS_MAX);
  return <u32>b.roundsSinceProbe >= rounds;
}

/** IsTimeToGoDown. */
function timeToGoDown(tcb: Tcb, busy: Busy, b: Bbr, bw: u32): bool {
  if (has(b, BF_TOO_HIGH) && pipe(tcb, busy) >= b.inflightHi) {
    mark(b, BF_PRECAUTIONARY, true);
    return true;
  }
  const limited = (busy.recoveryFlags & RF_CWND_LIMITED) != 0;
  if (limited && tcb.cwnd >= b.inflightHi) resetFullBw(b, bw);
  else if (has(b, BF_FULL_NOW)) return true;
  return false;
}

/** UpdateProbeBWCyclePhase. */
export function updatePhase(tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample, bw: u32): void {
  if (!has(b, BF_FULL_REACHED) || adaptLongTerm(tcb, busy, b, sample) || !inProbeBw(b)) return;
  if (b.state <= <u8>BbrState.Cruise) {
    if (timeToProbe(tcb, b)) startRefill(busy, b);
    else if (b.state == BbrState.Down && timeToCruise(tcb, busy, b)) {
      b.state = <u8>BbrState.Cruise;
    }
  } else if (b.state == BbrState.Refill) {
    if (!has(b, BF_ROUND_START)) return;
    mark(b, BF_PROBE_SAMPLE, true);
    startUp(tcb, busy, b, bw);
  } else if (timeToGoDown(tcb, busy, b, bw)) {
    mark(b, BF_TOO_HIGH, false);
    startDown(tcb, busy, b);
  }
}

/** IsTimeToCruise: no queue of ours is left, and others find room. */
function timeToCruise(tcb: Tcb, busy: Busy, b: Bbr): bool {
  const inFlight = pipe(tcb, busy);
  if (inFlight > inflightWithHeadroom(tcb, b)) return false;
  return inFlight <= quantized(tcb, busy, b, bdp(tcb, b, maxBw(b), GAIN_ONE));
}

/** HandleInflightTooHigh: `inFlight` bytes were too many, in a probe that has not answered yet. */
export function inflightTooHigh(
  tcb: Tcb, busy: Busy, b: Bbr, sample: AckSample, inFlight: u32,
): void {
  mark(b, BF_TOO_HIGH, true);
  mark(b, BF_PROBE_SAMPLE, false);
  if ((sample.flags & AF_LOSS_APP_LIMITED) == 0) {
    b.inflightHi = max(inFlight, <u32>(<u64>targetInflight(tcb, b) * 7 / 10));
  }
  if (b.state != BbrState.Up) return;
  b.undoState = <u8>BbrState.Up;
  startDown(tcb, busy, b);
}

// ---- ProbeRTT

export function probeRttCwnd(tcb: Tcb, b: Bbr): u32 {
  return max(bdp(tcb, b, bbrBw(b), PROBE_RTT_GAIN), minPipe(tcb));
}

/** CheckProbeRTT. */
export function checkProbeRtt(tcb: Tcb, busy: Busy, b: Bbr): void {
  if (b.state != BbrState.ProbeRtt && has(b, BF_RTT_EXPIRED) && !has(b, BF_IDLE_RESTART)) {
    saveCwnd(tcb, b);
    b.state = <u8>BbrState.ProbeRtt;
    b.probeDoneMs = 0;
    b.ackPhase = <u8>AckPhase.ProbeStopping;
    startRound(busy, b);
  }
  if (b.state != BbrState.ProbeRtt) return;
  if (b.probeDoneMs == 0) {
    if (pipe(tcb, busy) > probeRttCwnd(tcb, b)) return;
    b.probeDoneMs = max<u32>(system().nowMs + PROBE_RTT_MS, 1);
    mark(b, BF_RTT_ROUND_DONE, false);
    startRound(busy, b);
    return;
  }
  if (has(b, BF_ROUND_START)) mark(b, BF_RTT_ROUND_DONE, true);
  if (has(b, BF_RTT_ROUND_DONE)) checkProbeRttDone(tcb, busy, b);
}

export function checkProbeRttDone(tcb: Tcb, busy: Busy, b: Bbr): void {
  if (b.probeDoneMs == 0 || <i32>(system().nowMs - b.probeDoneMs) <= 0) return;
  b.probeMinAtMs = system().nowMs;
  tcb.cwnd = max(tcb.cwnd, b.priorCwnd);
  resetShortTerm(b);
  // What is in flight now was sent at half the rate: the next loss round begins behind it.
  b.lossRoundDelivered = busy.delivered + pipe(tcb, busy);
  if (!has(b, BF_FULL_REACHED)) {
    enterStartup(b);
    return;
  }
  startDown(tcb, busy, b);
  b.state = <u8>BbrState.Cruise;
}

/** SaveCwnd: the last one that neither recovery nor ProbeRTT had bent. */
export function saveCwnd(tcb: Tcb, b: Bbr): void {
  const bent = has(b, BF_REPAIRING) || b.state == BbrState.ProbeRtt;
  b.priorCwnd = bent ? max(b.priorCwnd, tcb.cwnd) : tcb.cwnd;
}
