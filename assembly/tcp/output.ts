/**
 * What a connection sends now: retransmissions, new data, FIN, ACK, in that order. RFC 9293 §3.8
 * and §3.10 (SEND), Nagle (§3.7.4), silly-window avoidance of the sender (§3.8.6.2.1). Asks window,
 * recovery and congestion how much; segment-build.ts writes it. Called by poll.ts for each listed
 * connection, in turn, so that none can hold the others up.
 */
import { Counter, Fault, State, Trace, TraceRetransmit } from "../abi";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { seqGe, seqGt, seqLe, seqLt } from "../core/seq";
import { streamHeld } from "../core/stream";
import { trace } from "../core/trace";
import { IP_PACKET_MAX, ipOffloads } from "../ip/output";
import { addressInUse, routeLinkFor } from "../ip/route";
import { linkIsUp } from "../link/link";
import { txRoom } from "../link/output";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from "../wire/tcp";
import { Busy, CaState, RF_TLP_OUT, SEG_FIN, SEG_RETRANS, Segment, sendStream } from "./busy";
import { congestionOnIdleRestart, congestionOnSend } from "./congestion/controller";
import { cwndValidate } from "./congestion/validation";
import { rateAppLimited } from "./delivery-rate";
import { FrtoState } from "./frto";
import { headerBytes } from "./options";
import { pacingRoom, pacingSent, pacingWait } from "./pacing";
import { recoveryForward, recoveryNext, recoveryPrepare, sendQuota } from "./recovery";
import {
  TF_ACK_NOW, TF_CORK, TF_FIN_QUEUED, TF_FIN_SENT, TF_IPV6, TF_NODELAY, TF_SACK_OK,
  TF_URGENT_SEND, Tcb, TimerKind,
} from "./records";
import { synTimerUs } from "./retransmit";
import { SEND_DEFERRED, fitPieces, segmentSend } from "./segment-build";
import { segmentRetransmitted, segmentsSent } from "./segments";
import { busyOf, busyTake, extraOf, indexOf, outputList, portsOf } from "./tcb";
import {
  CORK_US, inFlight, lossProbeArm, timeoutRestart, timerSet, timersRefresh,
} from "./timers";
import { tailSegment, tlpSent } from "./tlp";

export const enum OutputVerdict {
  Done = 0,
  /** More could be sent: the others first. */
  Again = 1,
  /** The ring is full. */
  Full = 2,
}

/** Segments or super-segments that one connection sends before the next one has its turn. */
const TURN_SEGMENTS: u32 = 16;

/** Busy.outputFlags: a partial segment leaves although Nagle or the cork would hold it. */
export const OF_FORCE: u16 = 1;
/** The last tcpSendCommit came with MSG_MORE. */
export const OF_MORE: u16 = 2;
/** The network marked the peer's data, and the peer has not said CWR yet (ecn.ts). */
export const OF_ECE: u16 = 4;

export function tcpOutput(tcb: Tcb): OutputVerdict {
  const state = tcb.state;
  if (state == State.CLOSE) return OutputVerdict.Done;
  if (state == State.SYN_SENT || state == State.SYN_RECV) {
    if ((tcb.flags & TF_ACK_NOW) == 0) return OutputVerdict.Done;
    // In SYN-RECEIVED a challenge ACK: the SYN-ACK has left already or is the timer's.
    const done = state == State.SYN_SENT ? synSend(tcb, -1)
      : segmentSend(tcb, tcb.sndNxt, 0, TCP_ACK) != SEND_DEFERRED;
    return done ? OutputVerdict.Done : OutputVerdict.Full;
  }
  let verdict = OutputVerdict.Done;
  const fin = tcb.flags & (TF_FIN_QUEUED | TF_FIN_SENT);
  if (tcb.busy == 0 && fin == TF_FIN_QUEUED && !busyTake(tcb)) verdict = finAlone(tcb);
  const before = tcb.sndNxt;
  if (tcb.busy != 0) verdict = busyOutput(tcb, busyOf(tcb));
  if (verdict == OutputVerdict.Done && tcb.flags & TF_ACK_NOW) {
    if (segmentSend(tcb, tcb.sndNxt, 0, TCP_ACK) == SEND_DEFERRED) verdict = OutputVerdict.Full;
  }
  if (tcb.busy != 0 && tcb.sndNxt != before) lossProbeArm(tcb, busyOf(tcb));
  timersRefresh(tcb);
  return verdict;
}

function busyOutput(tcb: Tcb, busy: Busy): OutputVerdict {
  if (tcb.flags & TF_ACK_NOW && !gapAcks(tcb, busy)) return OutputVerdict.Full;
  if (busy.frtoState == FrtoState.NewData) {
    const sent = sendNew(tcb, busy);
    if (sent != OutputVerdict.Done || seqGt(tcb.sndNxt, busy.recoveryPoint)) return sent;
    busy.frtoState = <u8>FrtoState.Off; // it could not: repair as usual
  }
  let verdict = retransmitLost(tcb, busy);
  if (verdict == OutputVerdict.Done) verdict = sendNew(tcb, busy);
  if (verdict == OutputVerdict.Done) verdict = retransmitForward(tcb, busy);
  return verdict;
}

/**
 * ACKs that must not ride on data: SACK blocks have no room there, and without SACK the peer counts
 * one duplicate ACK for each segment that came out of order (RFC 5681 §3.2).
 */
function gapAcks(tcb: Tcb, busy: Busy): bool {
  const told = busy.rangeCount != 0 || busy.dsackStart != busy.dsackEnd;
  if (!told) return true;
  const owed: u32 = tcb.flags & TF_SACK_OK ? 1 : max<u32>(busy.pendingDupAcks, 1);
  for (let i: u32 = 0; i < owed; i++) {
    if (segmentSend(tcb, tcb.sndNxt, 0, TCP_ACK) == SEND_DEFERRED) return false;
  }
  return true;
}

// ---- How much

/** Is there an entry free in the ring (a link that is down swallows everything)? */
function ringRoom(tcb: Tcb): bool {
  if (!addressInUse(tcb.localAddress)) return true;
  const link = routeLinkFor(tcb.localAddress);
  return !linkIsUp(link) || txRoom(link) > 0;
}

//= rfc9293 MUST-34
//= rfc9293 SHLD-15
/** Bytes of the peer's window that are not in flight; 0 when it pulled the edge back. */
function windowRoom(tcb: Tcb): u32 {
  const edge = tcb.sndUna + tcb.sndWnd;
  return seqGt(edge, tcb.sndNxt) ? edge - tcb.sndNxt : 0;
}

/** Largest payload of one entry: a super-segment where the link cuts it, else one segment. */
function entryMax(tcb: Tcb): u32 {
  const mss: u32 = tcb.sndMss;
  if (tcb.flags & TF_URGENT_SEND) return mss;
  const isV6 = (tcb.flags & TF_IPV6) != 0;
  if (!addressInUse(tcb.localAddress) || !ipOffloads(tcb.localAddress, isV6)) return mss;
  const most = IP_PACKET_MAX - headerBytes(isV6) - 40;
  return most - (most % mss);
}

//= rfc9293 SHLD-7
//= rfc9293 MUST-17
/** Minshall's Nagle as on Linux: a partial segment waits while an earlier partial one is out. */
function partialMayLeave(tcb: Tcb, busy: Busy): bool {
  if (tcb.flags & TF_FIN_QUEUED || busy.outputFlags & OF_FORCE) return true;
  if (tcb.flags & TF_CORK || busy.outputFlags & OF_MORE) return false;
  if (tcb.flags & TF_NODELAY) return true;
  return !seqGt(busy.sndSml, tcb.sndUna);
}

//= rfc9293 MUST-38
//= rfc9293 SHLD-28, MAY-16
/** Payload bytes that may leave now, 0 for none; `paced`: what is left of the burst. */
function permitted(tcb: Tcb, busy: Busy, waiting: u32, quota: u32, paced: u32): u32 {
  const mss: u32 = tcb.sndMss;
  const window = windowRoom(tcb);
  const allowed = min(window, quota);
  const bytes = min(waiting, allowed);
  if (bytes >= mss) {
    const whole = bytes - (bytes % mss);
    const all = bytes == waiting && partialMayLeave(tcb, busy) ? bytes : whole;
    return min(all, min(entryMax(tcb), max(paced - paced % mss, mss)));
  }
  if (bytes == waiting) return partialMayLeave(tcb, busy) ? bytes : 0;
  // Not even one full segment may go although more waits: cwnd opens by itself, a small window is
  // used when it is at least half of the largest that the peer ever offered, or by a probe.
  if (quota < window) return 0;
  return bytes != 0 && bytes >= busy.maxSndWnd >> 1 ? bytes : 0;
}

// ---- New data

//= rfc9293 MUST-60
//= rfc9293 MUST-61
//= rfc9293 SHLD-27
function sendNew(tcb: Tcb, busy: Busy): OutputVerdict {
  const send = sendStream(busy);
  if (send.tail != tcb.sndNxt && (tcb.flags & TF_FIN_SENT) == 0) {
    const idleMs = system().nowMs - extraOf(tcb).lastDataSentMs;
    if (!inFlight(tcb)) congestionOnIdleRestart(tcb, busy, idleMs);
    congestionOnSend(tcb, busy);
  }
  for (let turn: u32 = 0; turn < TURN_SEGMENTS; turn++) {
    if (tcb.flags & TF_FIN_SENT) return OutputVerdict.Done;
    const waiting = send.tail - tcb.sndNxt;
    const finDue = (tcb.flags & TF_FIN_QUEUED) != 0;
    if (waiting == 0 && !finDue) break;
    const paced = pacingRoom(tcb, busy);
    if (paced == 0) return pacedStop(tcb, busy);
    const quota = sendQuota(tcb, busy);
    const length: u32 = waiting == 0 ? 0 : permitted(tcb, busy, waiting, quota, paced);
    const fin = finDue && length == waiting && windowRoom(tcb) > length;
    if (length == 0 && !fin) break;
    if (!ringRoom(tcb)) return OutputVerdict.Full;
    if (!sendOne(tcb, busy, fitPieces(tcb, tcb.sndNxt, length), fin, length)) break;
    if (turn + 1 == TURN_SEGMENTS) return OutputVerdict.Again;
  }
  if ((tcb.flags & TF_FIN_SENT) == 0) stopped(tcb, busy, send.tail - tcb.sndNxt);
  return OutputVerdict.Done;
}

/**
 * The rate holds data back. That is no limit of the application's, and none of cwnd's unless that
 * is full as well.
 */
function pacedStop(tcb: Tcb, busy: Busy): OutputVerdict {
  pacingWait(tcb, busy);
  cwndValidate(tcb, busy, sendQuota(tcb, busy) < <u32>tcb.sndMss, true);
  return OutputVerdict.Done;
}

/** Nothing more may leave now, `left` bytes wait: says why, for those who judge the path by it. */
function stopped(tcb: Tcb, busy: Busy, left: u32): void {
  rateAppLimited(tcb, busy, left);
  const quota = sendQuota(tcb, busy);
  const limited = left != 0 && quota < min(left, <u32>tcb.sndMss) && quota < windowRoom(tcb);
  const full = streamHeld(sendStream(busy)) >= busy.sndBuf;
  cwndValidate(tcb, busy, limited, left == 0 && full);
  if (left != 0 && !inFlight(tcb)) corkArm(tcb, busy);
}

/** One entry of `length` bytes (of `wanted`) at sndNxt; false: no record left to remember it by. */
function sendOne(tcb: Tcb, busy: Busy, length: u32, fin: bool, wanted: u32): bool {
  const withFin = fin && length == wanted;
  const seq = tcb.sndNxt;
  const end = seq + length + (withFin ? 1 : 0);
  if (!segmentsSent(tcb, busy, seq, end - seq, withFin ? SEG_FIN : 0)) return false;
  let flags = TCP_ACK;
  if (seq + length == sendStream(busy).tail && length != 0) flags |= TCP_PSH;
  if (withFin) flags |= TCP_FIN;
  const sent = segmentSend(tcb, seq, length, flags);
  invariant(sent == <i32>length, Fault.Link); // ringRoom said so
  tcb.sndNxt = end;
  if (withFin) tcb.flags |= TF_FIN_SENT;
  pacingSent(busy, length);
  if (length % tcb.sndMss != 0) busy.sndSml = seq + length;
  if (seqLe(sendStream(busy).tail, tcb.sndNxt)) busy.outputFlags &= ~OF_FORCE;
  count(Counter.TcpExtTCPOrigDataSent);
  if (tcb.flags & TF_URGENT_SEND && seqGe(tcb.sndNxt, busy.sndUp)) tcb.flags &= ~TF_URGENT_SEND;
  return true;
}

/** A held back partial segment leaves after 200 ms at the latest, as on Linux. */
function corkArm(tcb: Tcb, busy: Busy): void {
  const corked = (tcb.flags & TF_CORK) != 0 || (busy.outputFlags & OF_MORE) != 0;
  if (!corked || windowRoom(tcb) == 0 || tcb.timerKind == TimerKind.Cork) return;
  timerSet(tcb, TimerKind.Cork, CORK_US);
}

export function corkRelease(tcb: Tcb): void {
  if (tcb.busy == 0) return;
  busyOf(tcb).outputFlags |= OF_FORCE;
  outputList(tcb);
}

// ---- Retransmission

//= rfc9293 SHLD-16
function retransmitLost(tcb: Tcb, busy: Busy): OutputVerdict {
  for (let turn: u32 = 0; turn < TURN_SEGMENTS; turn++) {
    const record = recoveryNext(busy);
    if (record == 0) return OutputVerdict.Done;
    const segment = changetype<Segment>(record);
    const quota = sendQuota(tcb, busy);
    if (quota == 0) return OutputVerdict.Done;
    const edge = tcb.sndUna + tcb.sndWnd;
    if (segment.seq != tcb.sndUna && !seqLt(segment.seq, edge)) return OutputVerdict.Done;
    const paced = pacingRoom(tcb, busy);
    if (paced == 0) {
      pacingWait(tcb, busy);
      return OutputVerdict.Done;
    }
    if (!ringRoom(tcb)) return OutputVerdict.Full;
    retransmitOne(tcb, busy, segment, min(quota, paced), 0);
  }
  return OutputVerdict.Again;
}

/** RFC 6675 §4 rules 3 and 4: nothing lost, nothing new to send, the ACK clock must not stop. */
function retransmitForward(tcb: Tcb, busy: Busy): OutputVerdict {
  if (busy.caState != CaState.Recovery) return OutputVerdict.Done;
  const quota = sendQuota(tcb, busy);
  if (quota < <u32>tcb.sndMss || pacingRoom(tcb, busy) == 0) return OutputVerdict.Done;
  if (!ringRoom(tcb)) return OutputVerdict.Full;
  const record = recoveryForward(tcb, busy);
  if (record == 0) return OutputVerdict.Done;
  retransmitOne(tcb, busy, changetype<Segment>(record), tcb.sndMss, TraceRetransmit.Rescue);
  return OutputVerdict.Done;
}

/** Sends the front of a record again, as much as one entry and the quota take. */
function retransmitOne(tcb: Tcb, busy: Busy, segment: Segment, quota: u32, reason: u32): void {
  // Pieces first: the record must be cut where the entry ends.
  const data = segment.length - (segment.flags & SEG_FIN ? 1 : 0);
  const most = max(min(entryMax(tcb), quota), <u32>tcb.sndMss);
  const fits = data == 0 ? most : fitPieces(tcb, segment.seq, min(data, most));
  const bytes = recoveryPrepare(tcb, busy, segment, data <= fits ? segment.length : fits);
  const fin = (segment.flags & SEG_FIN) != 0 && segment.length == bytes;
  const payload = bytes - (fin ? 1 : 0);
  let flags = TCP_ACK;
  if (fin) flags |= TCP_FIN;
  if (segment.seq + payload == sendStream(busy).tail && payload != 0) flags |= TCP_PSH;
  let done: u32 = 0;
  do {
    // A record that could not be cut (no record left) may need more than one entry.
    const part = payload == 0 ? 0 : fitPieces(tcb, segment.seq + done, min(payload - done, most));
    const last = done + part >= payload;
    const sent = segmentSend(tcb, segment.seq + done, part, last ? flags : TCP_ACK);
    if (sent == SEND_DEFERRED) break;
    done += part;
  } while (done < payload);
  let why: u32 = busy.caState == CaState.Loss ? TraceRetransmit.Timeout : TraceRetransmit.Fast;
  if (reason != 0) why = reason;
  const sentBytes = done < payload ? done : bytes; // the ring may have filled up on the way
  trace(Trace.Retransmit, indexOf(tcb), portsOf(tcb), segment.seq, sentBytes, why);
  if (segment.seq == tcb.sndUna && sentBytes != 0) timeoutRestart(tcb);
  pacingSent(busy, sentBytes);
  if (sentBytes != 0) segmentRetransmitted(tcb, busy, segment, sentBytes);
}

//= rfc8985 7.3
/**
 * The loss probe: new data where the window has room for it, whatever cwnd says, else the last
 * segment again. Arms the time-out from now. False: none may leave, or one is out already.
 */
export function lossProbeSend(tcb: Tcb, busy: Busy): bool {
  if (busy.recoveryFlags & RF_TLP_OUT || !ringRoom(tcb)) return false;
  const mss: u32 = tcb.sndMss;
  const fresh: u32 = tcb.flags & TF_FIN_SENT ? 0 : sendStream(busy).tail - tcb.sndNxt;
  const length: u32 = min<u32>(fresh, mss);
  const again = length == 0 || windowRoom(tcb) < length;
  if (!again) {
    if (!sendOne(tcb, busy, fitPieces(tcb, tcb.sndNxt, length), false, length)) return false;
  } else {
    const record = tailSegment(tcb, busy);
    if (record == 0) return false;
    const segment = changetype<Segment>(record);
    const edge = tcb.sndUna + tcb.sndWnd;
    if (segment.seq != tcb.sndUna && !seqLt(segment.seq, edge)) return false;
    retransmitOne(tcb, busy, segment, mss, TraceRetransmit.Tlp);
    if ((segment.flags & SEG_RETRANS) == 0) return false;
  }
  tlpSent(tcb, busy, again);
  timeoutRestart(tcb);
  return true;
}

// ---- SYN, FIN and probes without a record

/** The SYN, or in SYN-RECEIVED the SYN-ACK; `why` of TraceRetransmit, -1: the first one. */
export function synSend(tcb: Tcb, why: i32): bool {
  const us = synTimerUs(tcb);
  tcb.sndNxt = tcb.sndUna + 1;
  const flags = tcb.state == State.SYN_RECV ? TCP_SYN | TCP_ACK : TCP_SYN;
  if (segmentSend(tcb, tcb.sndUna, 0, flags) == SEND_DEFERRED) {
    if (why >= 0) timerSet(tcb, TimerKind.Syn, us);
    return false;
  }
  tcb.flags &= ~TF_ACK_NOW;
  timerSet(tcb, TimerKind.Syn, us);
  if (why >= 0) trace(Trace.Retransmit, indexOf(tcb), portsOf(tcb), tcb.sndUna, 0, why);
  return true;
}

/** A FIN while the arena has no room for a Busy record: the timer remembers it alone. */
function finAlone(tcb: Tcb): OutputVerdict {
  if (segmentSend(tcb, tcb.sndNxt, 0, TCP_ACK | TCP_FIN) == SEND_DEFERRED) {
    return OutputVerdict.Full;
  }
  tcb.sndNxt++;
  tcb.flags |= TF_FIN_SENT;
  return OutputVerdict.Done;
}

export function retransmitFinAlone(tcb: Tcb): void {
  count(Counter.TcpRetransSegs);
  segmentSend(tcb, tcb.sndNxt - 1, 0, TCP_ACK | TCP_FIN);
}

/** The last ACK before TIME-WAIT takes over; a full ring loses it, and the peer asks again. */
export function finalAck(tcb: Tcb): void {
  segmentSend(tcb, tcb.sndNxt, 0, TCP_ACK);
}

//= rfc9293 MUST-35
/**
 * A probe of a closed window: what fits into it, else an ACK that is one octet old (Linux). False:
 * nothing could leave for want of a record or a ring entry, which says nothing about the peer.
 */
export function probeSend(tcb: Tcb): bool {
  const room = windowRoom(tcb);
  if (room != 0 && tcb.busy != 0 && ringRoom(tcb)) {
    const busy = busyOf(tcb);
    const waiting = sendStream(busy).tail - tcb.sndNxt;
    const length = min(min(waiting, room), <u32>tcb.sndMss);
    const fin = (tcb.flags & TF_FIN_QUEUED) != 0 && length == waiting && room > length;
    if (length != 0 || fin) {
      const bytes = length == 0 ? 0 : fitPieces(tcb, tcb.sndNxt, length);
      if (!sendOne(tcb, busy, bytes, fin, length)) return false;
      count(Counter.TcpExtTCPWinProbe);
      return true;
    }
  }
  const sent = segmentSend(tcb, tcb.sndUna - 1, 0, TCP_ACK);
  if (sent == SEND_DEFERRED) return false;
  count(Counter.TcpExtTCPWinProbe);
  trace(Trace.Retransmit, indexOf(tcb), portsOf(tcb), tcb.sndUna - 1, 0, TraceRetransmit.Probe);
  return true;
}
