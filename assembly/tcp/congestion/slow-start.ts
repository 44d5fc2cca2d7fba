/**
 * Slow start, counted in bytes. RFC 5681 §3.1, RFC 3465. Called by the controllers. Works on cwnd
 * alone.
 */
import { Tcb } from "../records";
import { CWND_MAX } from "./controller";

// @ts-ignore: decorator
@inline
export function inSlowStart(tcb: Tcb): bool {
  return tcb.cwnd < tcb.ssthresh;
}

/**
 * cwnd grows by what was delivered, up to ssthresh; returns the bytes left for congestion
 * avoidance. Growth by bytes leaves nothing to gain from splitting ACKs. RFC 3465's limit of two
 * segments an ACK is not kept, as in Linux: one ACK stands for a whole merged super-segment here,
 * and PRR, not the limit, keeps bursts small when ACKs were lost.
 */
//= rfc5681 3.1
//= rfc3465 2.1
export function slowStart(tcb: Tcb, delivered: u32): u32 {
  const ceiling = min(tcb.ssthresh, CWND_MAX);
  const room = ceiling > tcb.cwnd ? ceiling - tcb.cwnd : 0;
  const grown = min(delivered, room);
  tcb.cwnd += grown;
  return delivered - grown;
}
