/**
 * Round-trip time and retransmission time-out. RFC 6298 §2, §3, §5 with Linux's floor: RTO = SRTT +
 * max(tcp_rto_min, 4 RTTVAR), so that a steady RTT of 100 ms gives 300 ms and not 200. And the
 * minimum RTT over 300 s. Called by ack.ts (rttOnAck), timers (rtoBackedOffUs). Works on the RTT
 * group of the TCB and on Busy's minRtt alone: sends nothing, arms nothing.
 */
import { Config, Fault } from "../abi";
import { config } from "../config";
import { invariant } from "../core/invariant";
import { system } from "../memory";
import { AF_ADVANCED, AF_RETRANS_ACKED, AckSample, RTT_NONE } from "./ack-sample";
import { Busy } from "./busy";
import { Extra, Tcb } from "./records";

/** Samples are held to this, 268 s: SRTT × 8 must fit 32 bits. */
const RTT_MAX_US: u32 = (1 << 28) - 1;
/** RFC 6298 2.1: before the first sample. */
const RTO_INITIAL_US: u32 = 1000000;
/** RFC 6298 5.7: after a SYN that had to be sent again. */
const RTO_FALLBACK_US: u32 = 3000000;
/** Linux's tcp_min_rtt_wlen. */
const MIN_RTT_WINDOW_MS: u32 = 300000;

/**
 * One measured round trip, µs. Clears the back-off: the path is known again (Karn's second rule).
 */
export function rttSample(tcb: Tcb, sampleUs: u32): void {
  const r = max<u32>(min<u32>(sampleUs, RTT_MAX_US), 1);
  tcb.backoff = 0;
  if (tcb.srtt8Us == 0) {
    //= rfc6298 2.2
    tcb.srtt8Us = r << 3;
    tcb.rttvar4Us = r << 1;
    return;
  }
  //= rfc6298 2.3
  //= rfc9293 MUST-18
  const srtt = tcb.srtt8Us >> 3;
  const error = srtt > r ? srtt - r : r - srtt;
  // RTTVAR first, because it needs the old SRTT; beta 1/4, alpha 1/8. Both are kept scaled, or the
  // microseconds of a LAN would be lost in the shifts.
  tcb.rttvar4Us = tcb.rttvar4Us - (tcb.rttvar4Us >> 2) + error;
  tcb.srtt8Us = max<u32>(tcb.srtt8Us - srtt + r, 1);
  invariant(tcb.srtt8Us >> 3 <= RTT_MAX_US, Fault.Rtt);
}

/**
 * The RTT that this ACK measured, if any, goes into the estimators. `timestampUs`: now less the
 * time that TSecr echoes, or RTT_NONE. It counts only when data was acknowledged (RTTM) and no
 * segment timed itself: ours are in µs, the option's in ms.
 */
//= rfc6298 3
export function rttOnAck(tcb: Tcb, busy: Busy, sample: AckSample, timestampUs: u32): void {
  // Karn: rttUs comes from segments sent once; segmentsAcked saw to it. An ACK that covers a
  // retransmission as well may have waited for it, so then only timestamps tell (RFC 7323 §4).
  let rtt = rttUnambiguous(sample) ? sample.rttUs : RTT_NONE;
  let recent = rtt == RTT_NONE ? RTT_NONE : sample.recentRttUs;
  if (rtt == RTT_NONE) {
    rtt = sample.sackRttUs;
    recent = rtt;
  }
  if (rtt == RTT_NONE && sample.flags & AF_ADVANCED) {
    rtt = timestampUs;
    recent = rtt;
  }
  if (rtt == RTT_NONE) return;
  minRttSample(busy, max<u32>(min<u32>(recent, RTT_MAX_US), 1));
  if (tcb.extra != 0) changetype<Extra>(<usize>tcb.extra).minRttUs = busy.minRttUs0;
  rttSample(tcb, rtt);
}

// @ts-ignore: decorator
@inline
function rttUnambiguous(sample: AckSample): bool {
  return sample.rttUs != RTT_NONE && (sample.flags & AF_RETRANS_ACKED) == 0;
}

/** The RTO without back-off, µs. */
//= rfc6298 2.4
//= rfc6298 2.5
export function rtoUs(tcb: Tcb): u32 {
  const most = config(Config.tcp_rto_max_ms) * 1000;
  if (tcb.srtt8Us == 0) {
    //= rfc6298 2.1
    return min(tcb.rttvar4Us != 0 ? tcb.rttvar4Us : RTO_INITIAL_US, most);
  }
  const spread = max(config(Config.tcp_rto_min_us), tcb.rttvar4Us);
  return min((tcb.srtt8Us >> 3) + spread, most);
}

/** The RTO doubled tcb.backoff times, at most tcp_rto_max, µs. */
//= rfc6298 5.5
//= rfc9293 MUST-19
export function rtoBackedOffUs(tcb: Tcb): u32 {
  return rtoAfter(tcb, tcb.backoff);
}

/** The RTO after `doublings`, µs. */
export function rtoAfter(tcb: Tcb, doublings: u32): u32 {
  const most = config(Config.tcp_rto_max_ms) * 1000;
  const doubled = <u64>rtoUs(tcb) << min<u64>(doublings, 31);
  return doubled < <u64>most ? <u32>doubled : most;
}

/** The handshake is over; `synRetransmitted`: it gave no sample, and took longer than the RTO. */
//= rfc6298 5.7
export function rttAfterHandshake(tcb: Tcb, synRetransmitted: bool): void {
  tcb.backoff = 0;
  if (tcb.srtt8Us == 0 && synRetransmitted) tcb.rttvar4Us = RTO_FALLBACK_US;
}

// ---- Minimum over a window (Kathleen Nichols; Linux lib/win_minmax.c)

/** µs; 0: no sample yet. */
// @ts-ignore: decorator
@inline
export function minRttUs(busy: Busy): u32 {
  return busy.minRttUs0;
}

/** A fresh Busy record takes over what the last one knew. */
export function minRttBegin(tcb: Tcb, busy: Busy): void {
  if (tcb.extra == 0) return;
  const known = changetype<Extra>(<usize>tcb.extra).minRttUs;
  if (known != RTT_NONE && known != 0) minRttReset(busy, known, system().nowMs);
}

function minRttReset(busy: Busy, rtt: u32, at: u32): void {
  busy.minRttUs0 = rtt;
  busy.minRttUs1 = rtt;
  busy.minRttUs2 = rtt;
  busy.minRttAt0 = at;
  busy.minRttAt1 = at;
  busy.minRttAt2 = at;
}

/** Keeps the best, second and third best of the window, each later than the one before. */
function minRttSample(busy: Busy, rtt: u32): void {
  // In ms, because 300 s and the idle time before it must stay far below the wrap.
  const now = system().nowMs;
  if (busy.minRttUs0 == 0 || rtt <= busy.minRttUs0 || now - busy.minRttAt2 > MIN_RTT_WINDOW_MS) {
    minRttReset(busy, rtt, now);
    return;
  }
  if (rtt <= busy.minRttUs1) {
    busy.minRttUs1 = rtt;
    busy.minRttAt1 = now;
    busy.minRttUs2 = rtt;
    busy.minRttAt2 = now;
  } else if (rtt <= busy.minRttUs2) {
    busy.minRttUs2 = rtt;
    busy.minRttAt2 = now;
  }
  minRttAge(busy, rtt, now);
}

/** Passed time promotes the second and third choice. */
function minRttAge(busy: Busy, rtt: u32, now: u32): void {
  const age = now - busy.minRttAt0;
  if (age > MIN_RTT_WINDOW_MS) {
    minRttShift(busy, rtt, now);
    if (now - busy.minRttAt0 > MIN_RTT_WINDOW_MS) minRttShift(busy, rtt, now);
  } else if (busy.minRttAt1 == busy.minRttAt0 && age > MIN_RTT_WINDOW_MS / 4) {
    // A quarter has passed without a second choice: take one from the second quarter.
    busy.minRttUs1 = rtt;
    busy.minRttAt1 = now;
    busy.minRttUs2 = rtt;
    busy.minRttAt2 = now;
  } else if (busy.minRttAt2 == busy.minRttAt1 && age > MIN_RTT_WINDOW_MS / 2) {
    busy.minRttUs2 = rtt;
    busy.minRttAt2 = now;
  }
}

function minRttShift(busy: Busy, rtt: u32, now: u32): void {
  busy.minRttUs0 = busy.minRttUs1;
  busy.minRttAt0 = busy.minRttAt1;
  busy.minRttUs1 = busy.minRttUs2;
  busy.minRttAt1 = busy.minRttAt2;
  busy.minRttUs2 = rtt;
  busy.minRttAt2 = now;
}
