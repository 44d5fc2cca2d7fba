/**
 * What to do when the retransmission timer fires: send again, tell the layers of trouble (R1), or
 * give up (R2). RFC 9293 §3.8.3, RFC 1122 §4.2.3.5, with Linux's tcp_retries1, tcp_retries2 and
 * tcp_orphan_retries. Called by the timers; answers a verdict, changes nothing.
 */
import { Config } from "../abi";
import { config } from "../config";
import { system } from "../memory";
import { Extra, TF_ORPHAN, Tcb } from "./records";
import { rtoAfter } from "./rtt";

/** Linux's first SYN time-out, and the longest. */
const SYN_RTO_US: u64 = 1_000_000;
const SYN_RTO_MAX_US: u64 = 120_000_000;

export const enum RetransmitVerdict {
  /** recoveryOnTimeout, send the head again, double the time-out. */
  Again = 0,
  /** The same, and the path is in doubt: soft error to the user, path MTU looked at (R1). */
  AgainTroubled = 1,
  /** R2: ETIMEDOUT to the user, or the orphan just ends. */
  GiveUp = 2,
}

/** tcp_orphan_retries 0 stands for this many while time-outs still grow (Linux). */
const ORPHAN_RETRIES: u32 = 8;
/** Terms of a back-off that are summed one by one; tcp_retries2 has eight bits in Linux. */
const RETRIES_MAX: u32 = 255;

/**
 * Milliseconds from the first retransmission to the firing that follows `retries` of them. Summed
 * from the back-off, not read from a clock: a host that slept for an hour has not tried for an
 * hour.
 */
function waitedMs(tcb: Tcb): u64 {
  let us: u64 = 0;
  const n = min<u32>(tcb.retries, RETRIES_MAX);
  for (let i: u32 = 1; i <= n; i++) us += rtoAfter(tcb, i);
  return us / 1000;
}

/**
 * What `retries` are worth in milliseconds: Linux counts them as the time that they would take
 * from a time-out of tcp_rto_min on, so that 15 are 924.6 s whatever the path's RTT
 * (tcp_model_timeout).
 */
export function retriesWorthMs(retries: u32): u64 {
  const most = <u64>config(Config.tcp_rto_max_ms) * 1000;
  let us: u64 = 0;
  let term: u64 = config(Config.tcp_rto_min_us);
  const n = min(retries, RETRIES_MAX);
  for (let i: u32 = 0; i <= n; i++) {
    us += min(term, most);
    term = min(term << 1, most);
  }
  return us / 1000;
}

/** `limit` 0 and no retransmission yet: not timed out; the first one is always granted. */
function timedOut(tcb: Tcb, limitMs: u64): bool {
  return tcb.retries != 0 && waitedMs(tcb) >= limitMs;
}

// @ts-ignore: decorator
@inline
function userTimeoutMs(tcb: Tcb): u32 {
  return tcb.extra == 0 ? 0 : changetype<Extra>(<usize>tcb.extra).userTimeoutMs;
}

/** An orphan's retries: fewer, and hardly any once time-outs are at their longest. */
function orphanRetries(tcb: Tcb): u32 {
  const set = config(Config.tcp_orphan_retries);
  const alive = rtoAfter(tcb, tcb.backoff) < config(Config.tcp_rto_max_ms) * 1000;
  return set == 0 && alive ? ORPHAN_RETRIES : set;
}

/** R2 has come: nobody answered as long as the settings grant. */
//= rfc9293 MUST-20
//= rfc9293 MUST-21
//= rfc9293 SHLD-11
export function retransmitGiveUp(tcb: Tcb): bool {
  const user = userTimeoutMs(tcb);
  if (user != 0 && (tcb.flags & TF_ORPHAN) == 0) return timedOut(tcb, user);
  const orphan = (tcb.flags & TF_ORPHAN) != 0;
  const retries = orphan ? orphanRetries(tcb) : config(Config.tcp_retries2);
  return timedOut(tcb, retriesWorthMs(retries));
}

/** The timer fired for data or FIN; tcb.retries does not count this firing yet. */
//= rfc9293 SHLD-10
export function retransmitVerdict(tcb: Tcb): RetransmitVerdict {
  if (shrunkToZero(tcb)) {
    return shrunkGiveUp(tcb) ? RetransmitVerdict.GiveUp : RetransmitVerdict.Again;
  }
  if (retransmitGiveUp(tcb)) return RetransmitVerdict.GiveUp;
  const troubled = timedOut(tcb, retriesWorthMs(config(Config.tcp_retries1)));
  return troubled ? RetransmitVerdict.AgainTroubled : RetransmitVerdict.Again;
}

/** The timer fired for our SYN (TCP_SYNCNT or tcp_syn_retries) or SYN-ACK: counted, as in Linux. */
//= rfc9293 MUST-22
//= rfc9293 MUST-23
export function retransmitSynVerdict(tcb: Tcb, passive: bool): RetransmitVerdict {
  let limit = config(passive ? Config.tcp_synack_retries : Config.tcp_syn_retries);
  if (!passive && tcb.extra != 0) {
    const own = <u32>changetype<Extra>(<usize>tcb.extra).synCnt;
    if (own != 0) limit = own;
  }
  const user = userTimeoutMs(tcb);
  if (<u32>tcb.retries >= limit) return RetransmitVerdict.GiveUp;
  // Since the first SYN: unlike data's, its time counts from there (Linux: tcp_connect).
  const since = <u64>synRtoUs(0) / 1000 + waitedMs(tcb);
  if (user != 0 && since >= user) return RetransmitVerdict.GiveUp;
  return RetransmitVerdict.Again;
}

/** RFC 6298 §2.1 doubled, µs. */
function synRtoUs(doublings: u32): u32 {
  return <u32>min<u64>(SYN_RTO_US << min<u64>(doublings, 16), SYN_RTO_MAX_US);
}

/** µs until the SYN or SYN-ACK that leaves now is sent again, or TCP_USER_TIMEOUT ends it. */
export function synTimerUs(tcb: Tcb): u32 {
  const rto = synRtoUs(tcb.backoff);
  const user = userTimeoutMs(tcb);
  if (user == 0 || tcb.backoff == 0) return rto;
  let spent: u64 = 0;
  for (let i: u32 = 0; i < tcb.backoff; i++) spent += synRtoUs(i) / 1000;
  const left = <u64>user > spent ? (<u64>user - spent) * 1000 : 1000;
  return left < <u64>rto ? <u32>left : rto;
}

/**
 * µs until the timer shall fire next: the backed-off RTO, cut short where TCP_USER_TIMEOUT ends.
 */
export function retransmitTimerUs(tcb: Tcb): u32 {
  const rto = rtoAfter(tcb, tcb.backoff);
  const user = userTimeoutMs(tcb);
  if (user == 0 || tcb.retries == 0) return rto;
  const spent = waitedMs(tcb) - rtoAfter(tcb, tcb.retries) / 1000;
  const left = <u64>user > spent ? (<u64>user - spent) * 1000 : 1000;
  return left < <u64>rto ? <u32>left : rto;
}

// ---- Probes of a closed window

/** Milliseconds since the first probe, summed as waitedMs is; answers do not start it again. */
function probedMs(tcb: Tcb): u64 {
  let us: u64 = 0;
  for (let i: u32 = 1; i <= tcb.backoff; i++) us += rtoAfter(tcb, i);
  return us / 1000;
}

/**
 * The probe timer fired: has the peer been silent too long (Linux's tcp_probe_timer)? An orphan
 * ends when its time-outs are at their longest although the peer still answers, and so does
 * everyone at TCP_USER_TIMEOUT.
 */
export function probeGiveUp(tcb: Tcb): bool {
  const orphan = (tcb.flags & TF_ORPHAN) != 0;
  const most = orphan ? orphanRetries(tcb) : config(Config.tcp_retries2);
  const alive = rtoAfter(tcb, tcb.backoff) < config(Config.tcp_rto_max_ms) * 1000;
  if (orphan && !alive && <u32>tcb.backoff >= most) return true;
  const user: u32 = orphan ? 0 : userTimeoutMs(tcb);
  if (user != 0 && tcb.backoff != 0 && probedMs(tcb) >= user) return true;
  return <u32>tcb.retries >= most;
}

/** µs until the next probe; the last one before TCP_USER_TIMEOUT comes at it. */
export function probeTimerUs(tcb: Tcb): u32 {
  const rto = rtoAfter(tcb, tcb.backoff);
  const user = userTimeoutMs(tcb);
  if (user == 0 || tcb.flags & TF_ORPHAN || tcb.backoff == 0) return rto;
  const spent = probedMs(tcb) - rto / 1000;
  const left = <u64>user > spent ? (<u64>user - spent) * 1000 : 1000;
  return left < <u64>rto ? <u32>left : rto;
}

/** The peer took its window back under data in flight: retransmissions are probes now. */
export function shrunkToZero(tcb: Tcb): bool {
  return tcb.sndWnd == 0 && tcb.extra != 0 && (tcb.flags & TF_ORPHAN) == 0;
}

//= rfc9293 SHLD-17
/**
 * Nothing was heard for two of the longest time-outs (Linux's tcp_rtx_probe0_timed_out). As long as
 * the peer answers, with its window closed, the connection stays; but TCP_USER_TIMEOUT ends it.
 */
function shrunkGiveUp(tcb: Tcb): bool {
  const user = userTimeoutMs(tcb);
  const tried = probedMs(tcb);
  let most: u32 = config(Config.tcp_rto_max_ms) * 2;
  if (user != 0) {
    if (tried > user) return true;
    most = min(most, user);
  }
  const heard = changetype<Extra>(<usize>tcb.extra).lastAckRecvMs;
  return system().nowMs - heard > most && tried > most;
}
