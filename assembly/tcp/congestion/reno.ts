/**
 * Reno: halve on loss, one segment more for each window acknowledged. RFC 5681 §3.1 and §3.2, with
 * Linux's halving of cwnd (kept honest by validation.ts) where the RFC has FlightSize. Called
 * through controller.ts only.
 */
import { AckSample } from "../ack-sample";
import { Busy } from "../busy";
import { Tcb } from "../records";
import { splitUnit } from "../segments";
import { CWND_MAX } from "./controller";
import { inSlowStart, slowStart } from "./slow-start";
import { cwndIsLimiting } from "./validation";

/** Reno's part of Busy.cc0. */
@unmanaged
export class Reno {
  /** Bytes acknowledged towards the next step of cwnd. */
  credit: u32;
}

// @ts-ignore: decorator
@inline
function renoOf(busy: Busy): Reno {
  return changetype<Reno>(changetype<usize>(busy) + offsetof<Busy>("cc0"));
}

export function renoOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (!cwndIsLimiting(tcb, busy)) return;
  let bytes = sample.deliveredBytes;
  if (inSlowStart(tcb)) bytes = slowStart(tcb, bytes);
  if (bytes != 0) congestionAvoidance(tcb, renoOf(busy), bytes);
}

//= rfc5681 3.1
/** One MSS for each cwnd of bytes; credit gathered at a larger cwnd gives one step, not several. */
function congestionAvoidance(tcb: Tcb, reno: Reno, bytes: u32): void {
  const mss = splitUnit(tcb);
  if (reno.credit >= tcb.cwnd) {
    reno.credit = 0;
    tcb.cwnd = min(tcb.cwnd + mss, CWND_MAX);
  }
  const credit = reno.credit + min(bytes, CWND_MAX);
  const steps = credit / tcb.cwnd;
  reno.credit = credit - steps * tcb.cwnd;
  tcb.cwnd = min(tcb.cwnd + steps * mss, CWND_MAX);
}

//= rfc5681 3.1
/** Half of cwnd, two segments at least. */
export function renoSsthresh(tcb: Tcb, busy: Busy): u32 {
  return max(tcb.cwnd >> 1, 2 * splitUnit(tcb));
}

//= rfc8511 3
/** A mark tells of a queue that is shorter than one that overflows: 0.8 of cwnd stays. */
export function renoSsthreshEcn(tcb: Tcb, busy: Busy): u32 {
  return max(<u32>(<u64>tcb.cwnd * 4 / 5), 2 * splitUnit(tcb));
}

/** A time-out: credit of before counts no more. */
export function renoRestart(busy: Busy): void {
  renoOf(busy).credit = 0;
}

//= rfc4015 3
export function renoOnUndo(tcb: Tcb, busy: Busy): void {
  tcb.cwnd = max(tcb.cwnd, busy.priorCwnd);
  tcb.ssthresh = max(tcb.ssthresh, busy.priorSsthresh);
}
