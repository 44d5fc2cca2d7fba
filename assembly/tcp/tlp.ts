/**
 * Tail loss probe: when ACKs stop coming, one segment more, so that what its ACK tells replaces a
 * time-out. RFC 8985 §7, Linux's tcp_early_retrans. Called by timers.ts (when), output.ts (what
 * to send again) and recovery.ts (was it needed). Sends nothing, arms nothing itself.
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { seqGt, seqLt } from "../core/seq";
import { treapNext, treapPrev } from "../core/treap";
import { system } from "../memory";
import { AF_ADVANCED, AF_DSACK_TLP, AF_DUPLICATE, AF_NEW_SACK, AckSample } from "./ack-sample";
import {
  Busy, CaState, RF_TLP_OUT, RF_TLP_RETRANS, SEG_FIN, SEG_LOST, SEG_RETRANS, SEG_SACKED,
} from "./busy";
import { TF_SACK_OK, Tcb } from "./records";
import { rtoBackedOffUs } from "./rtt";
import { boundaryBefore, segmentAt, segmentsSplit, splitUnit } from "./segments";

/** tcp_early_retrans from which on probes are sent (Linux: 3 and 4). */
const EARLY_RETRANS_TLP: u32 = 3;
/** Before the first RTT sample. */
const PTO_INITIAL_US: u32 = 1_000_000;
/** Linux's TCP_TIMEOUT_MIN: on a short path the peer's batching is longer than the RTT. */
const PTO_SLACK_US: u32 = 2_000;

/** µs until the retransmission timer of the first segment in flight would fire; at least 1. */
export function rtoLeftUs(tcb: Tcb, busy: Busy): u32 {
  const rto = rtoBackedOffUs(tcb);
  if (busy.segmentFirst == 0) return rto;
  const age = system().now32 - segmentAt(busy.segmentFirst).txTimeUs;
  return rto > age ? rto - age : 1;
}

//= rfc8985 7.2
/** µs until a probe is due, never later than `rtoUs`; 0: none shall be sent. */
export function tlpTimeoutUs(tcb: Tcb, busy: Busy, rtoUs: u32): u32 {
  if (config(Config.tcp_early_retrans) < EARLY_RETRANS_TLP) return 0;
  if ((tcb.flags & TF_SACK_OK) == 0 || busy.segmentFirst == 0) return 0;
  if (busy.caState != CaState.Open && busy.caState != CaState.Cwr) return 0;
  if ((busy.sackedBytes | busy.lostBytes) != 0) return 0;
  let pto = tcb.srtt8Us == 0 ? PTO_INITIAL_US : tcb.srtt8Us >> 2;
  // One segment alone may wait for the peer's delayed ACK.
  const single = tcb.sndNxt - tcb.sndUna <= splitUnit(tcb);
  pto += single ? config(Config.tcp_rto_min_us) : PTO_SLACK_US;
  return min(pto, rtoUs);
}

/**
 * The last segment in flight, cut off where a larger record ends with it; 0: none that could be
 * sent again, or no record left for the cut.
 */
export function tailSegment(tcb: Tcb, busy: Busy): usize {
  let at = <usize>busy.segmentLast;
  if (at != 0 && segmentAt(at).flags & SEG_SACKED) at = treapPrev(at);
  if (at == 0) return 0;
  const segment = segmentAt(at);
  if (segment.flags & (SEG_LOST | SEG_RETRANS)) return 0;
  // A FIN rides on the last segment however full it is.
  const data = segment.length - (segment.flags & SEG_FIN ? 1 : 0);
  const front = data == 0 ? 0 : boundaryBefore(tcb, segment, data - 1);
  if (front == 0) return at;
  return segmentsSplit(busy, segment, front) ? treapNext(at) : 0;
}

//= rfc8985 7.3
/** A probe left; `again`: the last segment, not new data. */
export function tlpSent(tcb: Tcb, busy: Busy, again: bool): void {
  busy.recoveryFlags |= again ? RF_TLP_OUT | RF_TLP_RETRANS : RF_TLP_OUT;
  busy.tlpEndSeq = tcb.sndNxt;
  count(Counter.TcpExtTCPLossProbes);
}

/** Recovery or a time-out takes over. */
// @ts-ignore: decorator
@inline
export function tlpForget(busy: Busy): void {
  busy.recoveryFlags &= ~(RF_TLP_OUT | RF_TLP_RETRANS);
}

//= rfc8985 7.4
/** While a probe is out: did it repair a loss that nothing else has told of? */
export function tlpRepaired(busy: Busy, sample: AckSample): bool {
  if (seqLt(sample.ack, busy.tlpEndSeq)) return false;
  const flags = sample.flags;
  const again = (busy.recoveryFlags & RF_TLP_RETRANS) != 0;
  const beyond = seqGt(sample.ack, busy.tlpEndSeq);
  // An ACK that brings nothing else: the second arrival of the same segment.
  const twice = (flags & (AF_DUPLICATE | AF_ADVANCED | AF_NEW_SACK)) == AF_DUPLICATE;
  const needless = !again || (flags & AF_DSACK_TLP) != 0;
  if (!needless && !beyond && !twice) return false;
  tlpForget(busy);
  return !needless && beyond;
}
