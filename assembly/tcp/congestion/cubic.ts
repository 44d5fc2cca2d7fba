/**
 * CUBIC: after a loss back to the old window in a third-degree curve of time, slowly around it,
 * fast beyond. RFC 9438. Where Reno would be faster (small windows, short round trips), as fast as
 * Reno. Called through controller.ts only. All in bytes and milliseconds: C = 0.4 segments/s³ is
 * 2·MSS/5e9 bytes/ms³.
 */
import { system } from "../../memory";
import { AckSample } from "../ack-sample";
import { Busy } from "../busy";
import { Tcb } from "../records";
import { minRttUs } from "../rtt";
import { splitUnit } from "../segments";
import { CWND_MAX } from "./controller";
import { hystart, hystartRestart } from "./hystart";
import { inSlowStart, slowStart } from "./slow-start";
import { cwndIsLimiting } from "./validation";

/** Parts in 20 of cwnd that stay after a loss (RFC 9438 §4.6) and after a mark (RFC 8511 §3). */
export const CUBIC_BETA: u32 = 14;
export const CUBIC_BETA_ECN: u32 = 17;
/** W_est has so many bits behind the point: what one ACK adds to it is less than a byte. */
const EST_SHIFT: u64 = 12;
/** Longest time from the plateau that is told apart, ms: 17 minutes. */
const REACH_MS: u32 = 1 << 20;

/** CUBIC's part of Busy from cc0 on; hystart.ts has what follows it. */
@unmanaged
export class Cubic {
  /** W_max: the window in which the last loss happened, less if the one before was larger. */
  wMax: u32;
  /** The plateau of this epoch and when it is reached, ms after epochAtMs. */
  origin: u32;
  kMs: u32;
  /** When this epoch began, moved on by time in which cwnd was not the limit; 0: none runs. */
  epochAtMs: u32;
  /** W_est, bytes times 2^EST_SHIFT. */
  wEst: u64;
  // What a spurious reduction must give back (RFC 9438 §4.9).
  undoWMax: u32;
  undoOrigin: u32;
  undoKMs: u32;
  undoEpochAtMs: u32;
  undoEst: u64;
  /** cwnd when the last loss was found; where W_est passes it, it grows as fast as Reno. */
  cwndPrior: u32;
  /** When an ACK was last looked at, ms. */
  seenAtMs: u32;
  /** W_cubic one RTT on, computed once a millisecond. */
  target: u32;
  /** What growth by whole bytes left over, in parts of cwnd. */
  remainder: u32;
}

// @ts-ignore: decorator
@inline
function cubicOf(busy: Busy): Cubic {
  return changetype<Cubic>(changetype<usize>(busy) + offsetof<Busy>("cc0"));
}

export function cubicOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const cubic = cubicOf(busy);
  const now = system().nowMs;
  const since = now - cubic.seenAtMs;
  cubic.seenAtMs = now;
  if (!cwndIsLimiting(tcb, busy)) {
    //= rfc9438 5.8
    // Time in which the application sent less than it might says nothing about the path.
    if (cubic.epochAtMs != 0) cubic.epochAtMs += since;
    return;
  }
  let bytes = sample.deliveredBytes;
  if (inSlowStart(tcb)) {
    bytes = slowStart(tcb, hystart(tcb, busy, sample, bytes));
    if (inSlowStart(tcb)) return;
  }
  if (bytes != 0) avoid(tcb, cubic, busy, bytes, since != 0);
}

/** Congestion avoidance; `fresh`: the clock has moved since the last ACK. */
//= rfc9438 4.2
//= rfc9438 4.4
function avoid(tcb: Tcb, cubic: Cubic, busy: Busy, bytes: u32, fresh: bool): void {
  const begins = cubic.epochAtMs == 0;
  if (begins) epochBegin(tcb, cubic);
  if (begins || fresh) cubic.target = windowAt(tcb, cubic, minRttUs(busy) / 1000);
  const cwnd = tcb.cwnd;
  // At most half a window more in a round trip (RFC 9438 §4.2).
  const target = min(cubic.target, cwnd + (cwnd >> 1));
  let grown = cwnd;
  if (target > cwnd) {
    const parts = <u64>(target - cwnd) * bytes + cubic.remainder;
    const whole = <u32>min<u64>(parts / cwnd, target - cwnd);
    cubic.remainder = <u32>(parts % cwnd);
    grown += whole;
  }
  tcb.cwnd = min(max(grown, friendly(tcb, cubic, bytes)), CWND_MAX);
}

/** The window of a Reno flow with CUBIC's beta: alpha = 9/17 until it is back at cwndPrior. */
//= rfc9438 4.3
function friendly(tcb: Tcb, cubic: Cubic, bytes: u32): u32 {
  const back = <u32>(cubic.wEst >> EST_SHIFT) >= cubic.cwndPrior;
  const parts: u64 = back ? 17 : 9;
  const step = (<u64>min(bytes, tcb.cwnd) * splitUnit(tcb) * parts) << EST_SHIFT;
  cubic.wEst += step / (<u64>tcb.cwnd * 17);
  return <u32>min<u64>(cubic.wEst >> EST_SHIFT, CWND_MAX);
}

/** RFC 9438 §4.2 and §4.8: from here to W_max, or from a plateau here when cwnd is past it. */
function epochBegin(tcb: Tcb, cubic: Cubic): void {
  cubic.epochAtMs = max<u32>(system().nowMs, 1);
  cubic.origin = max(cubic.wMax, tcb.cwnd);
  // K³ = (W_max - cwnd) / C
  const cube = <u64>(cubic.origin - tcb.cwnd) * 5_000_000_000 / (2 * splitUnit(tcb));
  cubic.kMs = cubeRoot(cube);
  cubic.wEst = <u64>tcb.cwnd << EST_SHIFT;
  cubic.remainder = 0;
}

/** W_cubic in `aheadMs`. */
//= rfc9438 4.2
function windowAt(tcb: Tcb, cubic: Cubic, aheadMs: u32): u32 {
  const t = system().nowMs - cubic.epochAtMs + aheadMs;
  const before = t < cubic.kMs;
  const d = <u64>min(before ? cubic.kMs - t : t - cubic.kMs, REACH_MS);
  const delta = d * d * (2 * splitUnit(tcb)) / 1_000_000 * d / 5000;
  if (before) return cubic.origin - <u32>min<u64>(delta, cubic.origin);
  return <u32>min<u64>(<u64>cubic.origin + delta, CWND_MAX);
}

/** The largest integer whose cube is at most `n`, below 2^63. */
export function cubeRoot(n: u64): u32 {
  let root: u64 = 0;
  // One bit of the answer a turn, 21 of them.
  for (let shift: i32 = 60; shift >= 0; shift -= 3) {
    root <<= 1;
    const step = 3 * root * (root + 1) + 1;
    if (n >> shift >= step) {
      n -= step << shift;
      root++;
    }
  }
  return <u32>root;
}

/** A loss or a mark: `parts` in 20 of cwnd, two segments at least. Remembers where it happened. */
//= rfc9438 4.6
//= rfc9438 4.7
//= rfc8511 3
export function cubicSsthresh(tcb: Tcb, busy: Busy, parts: u32): u32 {
  const cubic = cubicOf(busy);
  remember(cubic);
  const cwnd = tcb.cwnd;
  // Fast convergence: smaller than at the loss before, so others need room.
  cubic.wMax = cwnd < cubic.wMax ? <u32>(<u64>cwnd * 17 / 20) : cwnd;
  cubic.cwndPrior = cwnd;
  cubic.epochAtMs = 0;
  return max(<u32>(<u64>cwnd * parts / 20), 2 * splitUnit(tcb));
}

/** The next epoch has its plateau where slow start ends. */
//= rfc9438 4.8
export function cubicOnTimeout(tcb: Tcb, busy: Busy): u32 {
  const ssthresh = cubicSsthresh(tcb, busy, CUBIC_BETA);
  cubicOf(busy).wMax = 0;
  hystartRestart(busy);
  return ssthresh;
}

function remember(cubic: Cubic): void {
  cubic.undoWMax = cubic.wMax;
  cubic.undoOrigin = cubic.origin;
  cubic.undoKMs = cubic.kMs;
  cubic.undoEpochAtMs = cubic.epochAtMs;
  cubic.undoEst = cubic.wEst;
}

//= rfc9438 4.9
export function cubicOnUndo(tcb: Tcb, busy: Busy): void {
  const cubic = cubicOf(busy);
  tcb.cwnd = max(tcb.cwnd, busy.priorCwnd);
  tcb.ssthresh = max(tcb.ssthresh, busy.priorSsthresh);
  cubic.wMax = cubic.undoWMax;
  cubic.origin = cubic.undoOrigin;
  cubic.kMs = cubic.undoKMs;
  cubic.epochAtMs = cubic.undoEpochAtMs;
  cubic.wEst = cubic.undoEst;
}

/** Nothing was sent for `idleMs`: the curve waits as long. */
//= rfc9438 5.8
export function cubicOnIdle(busy: Busy, idleMs: u32): void {
  const cubic = cubicOf(busy);
  const now = system().nowMs;
  // Not more than passed since the last call or ACK: output may look twice before it sends.
  if (cubic.epochAtMs != 0) cubic.epochAtMs += min(idleMs, now - cubic.seenAtMs);
  cubic.seenAtMs = now;
}
