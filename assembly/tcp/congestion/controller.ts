/**
 * The seam between recovery and congestion control: one switch over tcb.congestion for each event.
 * RFC 5681 §3, RFC 6928. Called by recovery.ts, output.ts and where options are set. A controller
 * answers cwnd, ssthresh and pacing; it never sends, arms a timer or judges a loss. What a busy
 * connection's controller must remember lives in Busy's cc fields, zero at first.
 */
import { Config, Congestion } from "../../abi";
import { config } from "../../config";
import { zeroBytes } from "../../core/bytes";
import { AckSample } from "../ack-sample";
import { Busy, CaState } from "../busy";
import { Tcb } from "../records";
import { rtoUs } from "../rtt";
import { splitUnit } from "../segments";
import {
  bbrOnEcn, bbrOnLoss, bbrOnSample, bbrOnSend, bbrOnTimeout, bbrOnUndo,
} from "./bbr";
import {
  cubicOnAck, cubicOnIdle, cubicOnTimeout, cubicOnUndo, cubicSsthresh, CUBIC_BETA, CUBIC_BETA_ECN,
} from "./cubic";
import { paceByWindow } from "./pacing-rate";
import { renoOnAck, renoOnUndo, renoRestart, renoSsthresh, renoSsthreshEcn } from "./reno";

export const SSTHRESH_INFINITE: u32 = 0xffffffff;
/** No cwnd grows past this; no window can either (RFC 7323 §2.3). */
export const CWND_MAX: u32 = 1 << 30;

/** Can TCP_CONGESTION be set to `id` (Congestion of abi.ts)? */
export function congestionKnown(id: u32): bool {
  return id <= <u32>Congestion.bbr;
}

/** The initial window, bytes: tcp_init_cwnd segments. */
//= rfc6928 2
export function initialWindow(tcb: Tcb): u32 {
  return min(config(Config.tcp_init_cwnd) * splitUnit(tcb), CWND_MAX);
}

/** A connection is established, its MSS known. A SYN sent more than once leaves one segment. */
//= rfc5681 3.1
export function congestionInit(tcb: Tcb, synLost: bool): void {
  tcb.cwnd = synLost ? splitUnit(tcb) : initialWindow(tcb);
  tcb.ssthresh = SSTHRESH_INFINITE;
}

/** TCP_CONGESTION, at any time: the new controller begins where cwnd is and knows nothing else. */
export function congestionSet(tcb: Tcb, id: u32): void {
  if (tcb.congestion == <u8>id) return;
  tcb.congestion = <u8>id;
  tcb.ssthresh = SSTHRESH_INFINITE;
  if (tcb.busy == 0) return;
  const busy = changetype<Busy>(<usize>tcb.busy);
  const from = offsetof<Busy>("cc0");
  zeroBytes(changetype<usize>(busy) + from, <u32>(offsetof<Busy>() - from));
  busy.pacingRate = 0;
  // A reduction goes on, towards what the new one thinks right.
  const reducing = busy.caState == CaState.Recovery || busy.caState == CaState.Cwr;
  if (reducing || busy.caState == CaState.Loss) tcb.ssthresh = congestionOnLoss(tcb, busy);
}

/** Does the controller set cwnd by itself, in recovery too, so that PRR has no part in it? */
// @ts-ignore: decorator
@inline
export function congestionSetsCwnd(tcb: Tcb): bool {
  return tcb.congestion == Congestion.bbr;
}

/** Data is about to be sent. */
// @ts-ignore: decorator
@inline
export function congestionOnSend(tcb: Tcb, busy: Busy): void {
  if (tcb.congestion == Congestion.bbr) bbrOnSend(tcb, busy);
}

/** Data was acknowledged outside a reduction: cwnd may grow. */
//= rfc9293 MUST-19
export function congestionOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  switch (<u32>tcb.congestion) {
    case Congestion.cubic:
      cubicOnAck(tcb, busy, sample);
      break;
    default:
      renoOnAck(tcb, busy, sample);
  }
}

/** Every ACK, in every state of recovery, with its delivery-rate sample: model and pacing rate. */
export function congestionOnSample(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (tcb.congestion == Congestion.bbr) bbrOnSample(tcb, busy, sample);
  else paceByWindow(tcb, busy);
}

/** Recovery begins: answers ssthresh. cwnd is prr.ts's until it ends. */
export function congestionOnLoss(tcb: Tcb, busy: Busy): u32 {
  switch (<u32>tcb.congestion) {
    case Congestion.cubic:
      return cubicSsthresh(tcb, busy, CUBIC_BETA);
    case Congestion.bbr:
      return bbrOnLoss(tcb, busy);
    default:
      return renoSsthresh(tcb, busy);
  }
}

/** The retransmission timer fired for new trouble: answers ssthresh; cwnd is recovery.ts's. */
export function congestionOnTimeout(tcb: Tcb, busy: Busy): u32 {
  switch (<u32>tcb.congestion) {
    case Congestion.cubic:
      return cubicOnTimeout(tcb, busy);
    case Congestion.bbr:
      return bbrOnTimeout(tcb, busy);
    default:
      renoRestart(busy);
      return renoSsthresh(tcb, busy);
  }
}

/** The network marked instead of dropping (RFC 3168 §6.1.2): answers ssthresh. */
export function congestionOnEcn(tcb: Tcb, busy: Busy): u32 {
  switch (<u32>tcb.congestion) {
    case Congestion.cubic:
      return cubicSsthresh(tcb, busy, CUBIC_BETA_ECN);
    case Congestion.bbr:
      return bbrOnEcn(tcb, busy);
    default:
      return renoSsthreshEcn(tcb, busy);
  }
}

/** The loss was none (RFC 4015): puts cwnd and ssthresh back to priorCwnd and priorSsthresh. */
export function congestionOnUndo(tcb: Tcb, busy: Busy): void {
  switch (<u32>tcb.congestion) {
    case Congestion.cubic:
      cubicOnUndo(tcb, busy);
      break;
    case Congestion.bbr:
      bbrOnUndo(tcb, busy);
      break;
    default:
      renoOnUndo(tcb, busy);
  }
}

/** What ssthresh would be worth keeping now (Linux: tcp_current_ssthresh). */
export function currentSsthresh(tcb: Tcb, busy: Busy): u32 {
  const reducing = busy.caState == CaState.Recovery || busy.caState == CaState.Cwr;
  return reducing ? tcb.ssthresh : ssthreshKept(tcb);
}

/** Three quarters of cwnd, or ssthresh if that is more. */
export function ssthreshKept(tcb: Tcb): u32 {
  return max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2));
}

/**
 * Data is about to be sent after `idleMs` without: halves cwnd for each RTO that passed, down to
 * the initial window, unless tcp_slow_start_after_idle is 0 or the controller goes by a model of
 * the path. Nothing may be in flight. RFC 5681 §4.1 resets at once; RFC 2861's decay is what Linux
 * does. Returns whether cwnd changed.
 */
//= rfc5681 4.1
export function congestionOnIdleRestart(tcb: Tcb, busy: Busy, idleMs: u32): bool {
  if (tcb.congestion == Congestion.cubic) cubicOnIdle(busy, idleMs);
  if (congestionSetsCwnd(tcb) || config(Config.tcp_slow_start_after_idle) == 0) return false;
  const rto = <u64>rtoUs(tcb);
  let left = <u64>idleMs * 1000;
  if (left <= rto) return false;
  const floor = min(initialWindow(tcb), tcb.cwnd);
  const before = tcb.cwnd;
  tcb.ssthresh = ssthreshKept(tcb);
  // At most 31 turns: cwnd falls by half each time.
  while (left > rto && tcb.cwnd > floor) {
    left -= rto;
    tcb.cwnd >>= 1;
  }
  tcb.cwnd = max(tcb.cwnd, floor);
  return tcb.cwnd != before;
}
