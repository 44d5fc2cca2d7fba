/**
 * The timers of a connection: one general deadline whose meaning is timerKind, the delayed ACK and
 * the pacing of its bursts. The wheel holds the earliest; here is who arms and what happens when it
 * fires. RFC 9293 §3.8, RFC 6298 §5. Called by ack.ts and output.ts (something changed) and poll.ts
 * (a record fired).
 */
import {
  Config, Counter, Errno, EVENT_ERROR, EVENT_SOFT_ERROR, EVENT_WRITABLE, Fault, State,
  TraceRetransmit,
} from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { seqGe } from "../core/seq";
import { wheelArm, wheelArmed } from "../core/timer-wheel";
import { system } from "../memory";
import { Busy, sendStream } from "./busy";
import { post } from "./events";
import { keepAliveDelayUs, keepAliveDue, keepAliveFire } from "./keepalive";
import { corkRelease, lossProbeSend, probeSend, retransmitFinAlone, synSend } from "./output";
import { pacingDeadline, pacingDue, pacingWaits } from "./pacing";
import { rackTimeoutUs } from "./rack";
import { recoveryOnReorderTimer, recoveryOnTimeout } from "./recovery";
import {
  TF_ACK_NOW, TF_DELACK, TF_FIN_QUEUED, TF_FIN_SENT, TF_KEEPALIVE, TF_ORPHAN, TF_WANT_WRITE, Tcb,
  TimerKind,
} from "./records";
import {
  RetransmitVerdict, probeGiveUp, probeTimerUs, retransmitSynVerdict, retransmitTimerUs,
  retransmitVerdict, shrunkToZero,
} from "./retransmit";
import { rtoBackedOffUs } from "./rtt";
import { busyOf, busyQuiet, busyRelease, extraOf, outputList, tcbClosed } from "./tcb";
import { ackNow } from "./text";
import { rtoLeftUs, tlpTimeoutUs } from "./tlp";

/** A Busy record goes back after this much silence: state that is dear to rebuild stays a while. */
const QUIET_US: u32 = 1_000_000;
/** How often a writer that waits for memory tries again. */
const MEMORY_US: u32 = 200_000;
/** Linux: a corked partial segment waits 200 ms at most. */
export const CORK_US: u32 = 200_000;
/** Deadlines are compared modulo 2^32 ticks: nothing may lie beyond the half range (38 h). */
const TICKS_MAX: u32 = 0x7fff0000;

/** µs from now as a deadline, rounded up. */
export function deadlineIn(us: u64): u32 {
  const ticks = (us + 63) >> 6;
  return system().nowTick + <u32>min<u64>(max<u64>(ticks, 1), TICKS_MAX);
}

// @ts-ignore: decorator
@inline
export function due(deadline: u32): bool {
  return seqGe(system().nowTick, deadline);
}

export function timerSet(tcb: Tcb, kind: TimerKind, us: u64): void {
  tcb.timerKind = <u8>kind;
  tcb.timerDeadline = deadlineIn(us);
  wheelArm(changetype<usize>(tcb), tcb.timerDeadline);
}

// @ts-ignore: decorator
@inline
export function timerStop(tcb: Tcb): void {
  tcb.timerKind = <u8>TimerKind.None; // the wheel finds nothing to do when the old deadline comes
}

/** Is there a sequence number in flight that is not acknowledged? */
// @ts-ignore: decorator
@inline
export function inFlight(tcb: Tcb): bool {
  return tcb.sndUna != tcb.sndNxt;
}

/** Data or a FIN that has not been sent yet. */
export function unsent(tcb: Tcb): bool {
  if (tcb.flags & TF_FIN_SENT) return false;
  if (tcb.flags & TF_FIN_QUEUED) return true;
  return tcb.busy != 0 && sendStream(busyOf(tcb)).tail != tcb.sndNxt;
}

//= rfc6298 5.1
//= rfc6298 5.2
/** Chooses the general timer for what the connection waits for now. */
export function timersRefresh(tcb: Tcb): void {
  const kind = tcb.timerKind;
  const state = tcb.state;
  if (state == State.CLOSE || state == State.SYN_SENT || state == State.SYN_RECV) return;
  if (inFlight(tcb)) {
    if (!forLoss(kind)) timerSet(tcb, TimerKind.Retransmit, rtoBackedOffUs(tcb));
    return;
  }
  if (unsent(tcb)) {
    const held = tcb.busy != 0 && pacingWaits(busyOf(tcb));
    const waiting = kind == TimerKind.Persist || kind == TimerKind.Cork || held;
    if (!waiting) timerSet(tcb, TimerKind.Persist, rtoBackedOffUs(tcb));
    return;
  }
  if (tcb.state == State.FIN_WAIT2 && tcb.flags & TF_ORPHAN) {
    if (kind != TimerKind.FinWait2) timerSet(tcb, TimerKind.FinWait2, finWait2Us(tcb));
    return;
  }
  if (kind == TimerKind.KeepAlive && tcb.retries != 0) return; // probing: nothing may put it off
  const silent = keepAliveDue(tcb);
  if (tcb.flags & TF_WANT_WRITE && !silent) {
    if (kind != TimerKind.Memory) timerSet(tcb, TimerKind.Memory, MEMORY_US);
    return;
  }
  if (tcb.busy != 0 && !silent) {
    if (kind != TimerKind.Quiet) timerSet(tcb, TimerKind.Quiet, QUIET_US);
    return;
  }
  if (tcb.flags & TF_KEEPALIVE) {
    if (kind != TimerKind.KeepAlive) timerSet(tcb, TimerKind.KeepAlive, keepAliveDelayUs(tcb));
    return;
  }
  timerStop(tcb);
}

function finWait2Us(tcb: Tcb): u64 {
  const own = tcb.extra != 0 ? <u64>extraOf(tcb).linger2S : 0;
  return (own != 0 ? own : <u64>config(Config.tcp_fin_timeout)) * 1_000_000;
}

/** One of the three that wait for ACKs: time-out, loss probe, reordering (icsk_pending). */
// @ts-ignore: decorator
@inline
function forLoss(kind: u32): bool {
  return kind == TimerKind.Retransmit || kind == TimerKind.Tlp || kind == TimerKind.Reorder;
}

//= rfc6298 5.3
/**
 * An ACK was worked through; `advanced`: it acknowledged something, so that the time-out starts
 * again. While segments may just be out of order the reordering timer stands in for it, and a loss
 * probe while nothing is amiss.
 */
export function retransmitRestart(tcb: Tcb, advanced: bool): void {
  if (inFlight(tcb) && tcb.busy != 0) {
    const busy = busyOf(tcb);
    const reorderUs = rackTimeoutUs(tcb, busy);
    if (reorderUs != 0) {
      timerSet(tcb, TimerKind.Reorder, reorderUs);
      return;
    }
    if (advanced) {
      const rto = rtoBackedOffUs(tcb);
      const probeUs = tlpTimeoutUs(tcb, busy, rto);
      if (probeUs != 0) timerSet(tcb, TimerKind.Tlp, probeUs);
      else timerSet(tcb, TimerKind.Retransmit, rto);
      return;
    }
    if (tcb.timerKind == TimerKind.Reorder) timeoutResume(tcb, busy);
  } else if (advanced && (forLoss(tcb.timerKind) || tcb.timerKind == TimerKind.Persist)) {
    timerStop(tcb);
  }
  timersRefresh(tcb);
}

/** Back to the time-out that another timer stood in for, less the time that has passed. */
function timeoutResume(tcb: Tcb, busy: Busy): void {
  timerSet(tcb, TimerKind.Retransmit, rtoLeftUs(tcb, busy));
}

//= rfc8985 7.2
/** New data was sent: the loss probe's time counts from now. */
export function lossProbeArm(tcb: Tcb, busy: Busy): void {
  if (tcb.timerKind == TimerKind.Reorder) return;
  // A head that is overdue (an undo has put it back into flight) must not make it a probe at once.
  const left = rtoLeftUs(tcb, busy);
  const us = tlpTimeoutUs(tcb, busy, left > 1 ? left : rtoBackedOffUs(tcb));
  if (us != 0) timerSet(tcb, TimerKind.Tlp, us);
}

/** The first segment in flight is sent again: its time-out counts from now. */
export function timeoutRestart(tcb: Tcb): void {
  // After a time-out the back-off says when, and TCP_USER_TIMEOUT (retransmitFire).
  if (tcb.timerKind == TimerKind.Reorder || tcb.retries != 0) return;
  timerSet(tcb, TimerKind.Retransmit, rtoBackedOffUs(tcb));
}

/** The wheel gave the record out: does what is due, arms again for what is not. */
export function connectionTimer(tcb: Tcb): void {
  invariant(!wheelArmed(changetype<usize>(tcb)), Fault.Wheel);
  if (tcb.flags & TF_DELACK && due(tcb.delackDeadline)) {
    tcb.flags &= ~TF_DELACK;
    count(Counter.TcpExtDelayedACKs);
    ackNow(tcb);
  }
  if (tcb.busy != 0 && pacingDue(busyOf(tcb))) outputList(tcb);
  const generation = tcb.generation;
  if (tcb.timerKind != TimerKind.None && due(tcb.timerDeadline)) fire(tcb);
  if (tcb.generation != generation || tcb.state == State.CLOSE) return;
  rearm(tcb);
}

function rearm(tcb: Tcb): void {
  if (tcb.flags & TF_DELACK) wheelArm(changetype<usize>(tcb), tcb.delackDeadline);
  if (tcb.timerKind != TimerKind.None) wheelArm(changetype<usize>(tcb), tcb.timerDeadline);
  if (tcb.busy == 0 || !pacingWaits(busyOf(tcb)) || pacingDue(busyOf(tcb))) return;
  wheelArm(changetype<usize>(tcb), pacingDeadline(busyOf(tcb)));
}

function fire(tcb: Tcb): void {
  const kind = tcb.timerKind;
  tcb.timerKind = <u8>TimerKind.None;
  if (kind == TimerKind.Retransmit) retransmitFire(tcb);
  else if (kind == TimerKind.Tlp) lossProbeFire(tcb);
  else if (kind == TimerKind.Reorder) reorderFire(tcb);
  else if (kind == TimerKind.Persist) persistFire(tcb);
  else if (kind == TimerKind.Syn) synFire(tcb);
  else if (kind == TimerKind.KeepAlive) keepAliveFire(tcb);
  else if (kind == TimerKind.FinWait2) tcbClosed(tcb, Errno.OK, 0);
  else if (kind == TimerKind.Cork) corkRelease(tcb);
  else if (kind == TimerKind.Quiet) quietFire(tcb);
  else if (kind == TimerKind.Memory) memoryFire(tcb);
}

/** A writer was refused for want of memory and nothing is in flight: it may try again. */
function memoryFire(tcb: Tcb): void {
  if (tcb.flags & TF_WANT_WRITE) {
    tcb.flags &= ~TF_WANT_WRITE;
    post(tcb, EVENT_WRITABLE);
  }
  timersRefresh(tcb);
}

function quietFire(tcb: Tcb): void {
  if (tcb.flags & (TF_DELACK | TF_ACK_NOW)) timerSet(tcb, TimerKind.Quiet, QUIET_US);
  else if (busyQuiet(tcb)) busyRelease(tcb);
  // Unread bytes keep it: user.ts refreshes the timers when they are read.
  if (tcb.busy == 0) timersRefresh(tcb);
  else if (tcb.timerKind == TimerKind.None && tcb.flags & TF_KEEPALIVE) {
    timerSet(tcb, TimerKind.KeepAlive, keepAliveDelayUs(tcb));
  }
}

//= rfc9293 MUST-20
//= rfc6298 5.4
//= rfc6298 5.5
//= rfc6298 5.6
function retransmitFire(tcb: Tcb): void {
  if (!inFlight(tcb)) {
    timersRefresh(tcb);
    return;
  }
  const verdict = retransmitVerdict(tcb);
  if (verdict == RetransmitVerdict.GiveUp) {
    timedOut(tcb);
    return;
  }
  //= rfc9293 SHLD-9
  if (verdict == RetransmitVerdict.AgainTroubled) post(tcb, EVENT_SOFT_ERROR);
  if (tcb.busy != 0 && busyOf(tcb).segmentFirst != 0) recoveryOnTimeout(tcb, busyOf(tcb));
  else retransmitFinAlone(tcb);
  if (tcb.retries < 255 && !shrunkToZero(tcb)) tcb.retries++;
  if (tcb.backoff < 31) tcb.backoff++;
  outputList(tcb);
  timerSet(tcb, TimerKind.Retransmit, retransmitTimerUs(tcb));
}

//= rfc8985 7.3
/** Two round trips without an ACK: one segment more, and the time-out from now. */
function lossProbeFire(tcb: Tcb): void {
  if (inFlight(tcb) && tcb.busy != 0) {
    const busy = busyOf(tcb);
    if (!lossProbeSend(tcb, busy)) timeoutResume(tcb, busy);
  }
  timersRefresh(tcb);
}

/** What is late has had its time; and what is less late waits on. */
function reorderFire(tcb: Tcb): void {
  if (inFlight(tcb) && tcb.busy != 0) {
    const busy = busyOf(tcb);
    recoveryOnReorderTimer(tcb, busy);
    outputList(tcb);
    const us = rackTimeoutUs(tcb, busy);
    if (us != 0) timerSet(tcb, TimerKind.Reorder, us);
    else timeoutResume(tcb, busy);
  }
  timersRefresh(tcb);
}

/** R2: the end, under the name of the last soft error. No RST: nobody hears it (Linux). */
function timedOut(tcb: Tcb): void {
  count(Counter.TcpExtTCPAbortOnTimeout);
  tcbClosed(tcb, tcb.error != 0 ? <Errno>tcb.error : Errno.ETIMEDOUT, EVENT_ERROR);
}

function synFire(tcb: Tcb): void {
  const passive = tcb.state == State.SYN_RECV;
  if (retransmitSynVerdict(tcb, passive) == RetransmitVerdict.GiveUp) {
    count(Counter.TcpAttemptFails);
    tcbClosed(tcb, tcb.error != 0 ? <Errno>tcb.error : Errno.ETIMEDOUT, EVENT_ERROR);
    return;
  }
  tcb.retries++;
  if (tcb.backoff < 31) tcb.backoff++;
  count(Counter.TcpExtTCPSynRetrans);
  count(Counter.TcpRetransSegs);
  synSend(tcb, TraceRetransmit.Syn);
}

//= rfc9293 MUST-36
//= rfc9293 MUST-37
//= rfc9293 SHLD-29
//= rfc9293 SHLD-30
/** Probes a closed window; unanswered ones count, each answer starts the count again (ack.ts). */
function persistFire(tcb: Tcb): void {
  if (!unsent(tcb) || inFlight(tcb)) {
    timersRefresh(tcb);
    return;
  }
  if (probeGiveUp(tcb)) {
    timedOut(tcb);
    return;
  }
  if (probeSend(tcb)) {
    if (tcb.retries < 255) tcb.retries++;
    if (tcb.backoff < 255) tcb.backoff++; // past all doubling it still counts the time
  }
  if (!inFlight(tcb)) timerSet(tcb, TimerKind.Persist, probeTimerUs(tcb));
  else timersRefresh(tcb);
}
