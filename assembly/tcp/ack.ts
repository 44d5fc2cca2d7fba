/**
 * RFC 9293 §3.10.7.4, fifth: the ACK field. Where many RFCs meet: this file is a list of calls.
 * RFC 5961 §5 (range of believable ACKs), RFC 9293 §3.8.6 (window updates), then SACK, segment
 * records, RTT, delivery rate, recovery, congestion, each in its own file. Called by tcp/input.ts.
 */
import {
  Config, Counter, Errno, EVENT_CONNECTED, EVENT_WRITABLE, State,
} from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { seqGt, seqLe, seqLt, seqMin } from "../core/seq";
import { streamConsume, streamHeld } from "../core/stream";
import { system } from "../memory";
import { TCP_ECE } from "../wire/tcp";
import { OPT_SACK, OPT_TIMESTAMPS, TcpOptions, segmentOptions } from "../wire/tcp-options";
import {
  AF_DUPLICATE, AF_ECE, AF_ECHO, AF_RENEGING, AckSample, RTT_NONE, ackBegin,
} from "./ack-sample";
import { Arrival } from "./arrival";
import { Busy, CaState, RF_TLP_OUT, sendStream } from "./busy";
import { post } from "./events";
import { rcvMssBegin } from "./options";
import { finalAck } from "./output";
import { underPressure } from "./pressure";
import { recoveryOnAck } from "./recovery";
import {
  Endpoint, TF_ECN_OK, TF_FIN_QUEUED, TF_FIN_SENT, TF_SACK_OK, TF_SNDBUF_LOCK, TF_TS_OK,
  TF_WANT_WRITE, Tcb, TimerKind,
} from "./records";
import { challengeAck, resetReply } from "./reset";

import { rttOnAck } from "./rtt";
import { sackReceive } from "./sack";
import { segmentsAcked } from "./segments";
import { busyOf, extraOf, outputList, setState, tcbClosed } from "./tcb";
import { retransmitRestart, timerSet, timersRefresh } from "./timers";
import { timeWaitEnter } from "./time-wait";
import { sndScale } from "./window";

/** Linux: after reneging, retransmit as soon as max(SRTT / 2, 10 ms). */
const RENEGING_US: u32 = 10_000;

/** False: the segment is not to be looked at further. */
export function ackReceive(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  if (tcb.state == State.SYN_RECV && !establish(tcb, a)) return false;
  if (!believable(tcb, a)) return false;
  if (seqLt(a.ack, tcb.sndUna)) return true; // an old ACK: its text may still be good
  const advanced = a.ack != tcb.sndUna;
  const windowBefore = tcb.sndWnd;
  windowUpdate(tcb, a);
  if (tcb.timerKind == TimerKind.Persist) probeAnswered(tcb);
  let reneging = false;
  const told = tcb.busy != 0 && (advanced || somethingTold(tcb, busyOf(tcb), a, o));
  if (told) reneging = busyAck(tcb, busyOf(tcb), a, o, windowBefore);
  else if (advanced) {
    tcb.sndUna = a.ack;
    tcb.backoff = 0;
  }
  if (advanced) {
    tcb.retries = 0; // backoff stays until an RTT sample clears it (Karn)
    tcb.error = 0;
  }
  if (advanced || told) {
    retransmitRestart(tcb, advanced);
    if (reneging) timerSet(tcb, TimerKind.Retransmit, max<u32>(tcb.srtt8Us >> 4, RENEGING_US));
  }
  if (tcb.flags & TF_FIN_SENT && tcb.sndUna == tcb.sndNxt && !finAcked(tcb)) return false;
  if (advanced || windowBefore != tcb.sndWnd || told) outputList(tcb);
  return true;
}

/**
 * Header prediction for who receives: while nothing of ours is in flight, an ACK that repeats
 * sndUna has nothing for SACK, RTT, delivery rate, recovery or congestion to look at.
 */
function somethingTold(tcb: Tcb, busy: Busy, a: Arrival, o: TcpOptions): bool {
  if (tcb.sndUna != tcb.sndNxt || busy.caState != CaState.Open) return true;
  if (busy.recoveryFlags & RF_TLP_OUT) return true;
  return (o.present & OPT_SACK) != 0;
}

/** SYN-RECEIVED of a simultaneous open: a good ACK establishes, another gets a RST. */
function establish(tcb: Tcb, a: Arrival): bool {
  if (!seqGt(a.ack, tcb.sndUna) || !seqLe(a.ack, tcb.sndNxt)) {
    resetReply(changetype<Endpoint>(tcb), a);
    return false;
  }
  tcb.sndUna++;
  tcb.sndWnd = a.window << sndScale(tcb);
  tcb.sndWl1 = a.seq;
  tcb.sndWl2 = a.ack;
  tcb.timerKind = <u8>TimerKind.None;
  tcb.retries = 0;
  tcb.backoff = 0;
  rcvMssBegin(tcb);
  setState(tcb, State.ESTABLISHED);
  if (tcb.flags & TF_FIN_QUEUED) setState(tcb, State.FIN_WAIT1); // the user did not wait for it
  post(tcb, EVENT_CONNECTED | EVENT_WRITABLE);
  outputList(tcb);
  return true;
}

//= rfc5961 5.2
//= rfc9293 MAY-12
/** SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, else a challenge ACK and nothing else. */
function believable(tcb: Tcb, a: Arrival): bool {
  const largest = tcb.busy != 0 ? max(busyOf(tcb).maxSndWnd, tcb.sndWnd) : tcb.sndWnd;
  if (seqLe(a.ack, tcb.sndNxt) && !seqLt(a.ack, tcb.sndUna - largest)) return true;
  count(Counter.AckornTcpAckInvalid);
  challengeAck(tcb);
  return false;
}

/** Linux's tcp_may_update_window: never from a segment older than the last that told one. */
function windowUpdate(tcb: Tcb, a: Arrival): void {
  const window = a.window << sndScale(tcb);
  const newer = seqGt(a.ack, tcb.sndUna) || seqGt(a.seq, tcb.sndWl1) ||
    (a.seq == tcb.sndWl1 && (window > tcb.sndWnd || window == 0));
  if (!newer) return;
  tcb.sndWnd = window;
  tcb.sndWl1 = a.seq;
  tcb.sndWl2 = a.ack;
  if (tcb.busy == 0) return;
  const busy = busyOf(tcb);
  if (window > busy.maxSndWnd) busy.maxSndWnd = window;
}

/** A peer that answers probes is alive however long its window stays closed. */
function probeAnswered(tcb: Tcb): void {
  tcb.retries = 0;
  if (tcb.sndWnd != 0) tcb.backoff = 0;
}

/**
 * True: the peer has thrown SACKed data away (the retransmission timer shall hurry, as on Linux).
 */
function busyAck(tcb: Tcb, busy: Busy, a: Arrival, o: TcpOptions, windowBefore: u32): bool {
  const flags = duplicateFlag(tcb, a, windowBefore) | echoFlag(tcb, a);
  const sample = ackBegin(tcb, busy, a.ack, flags);
  if (tcb.flags & TF_TS_OK && o.present & OPT_TIMESTAMPS && o.tsEcr != 0) {
    sample.echoMs = o.tsEcr - tcb.tsOffset;
    sample.flags |= AF_ECHO;
  }
  const advanced = a.ack != tcb.sndUna;
  const before = tcb.sndUna;
  tcb.sndUna = a.ack;
  if (tcb.flags & TF_SACK_OK && o.present & OPT_SACK) {
    const blocks = changetype<usize>(segmentOptions()) + offsetof<TcpOptions>("start0");
    sackReceive(tcb, busy, o.sackCount, blocks, sample);
  }
  if (advanced) segmentsAcked(tcb, busy, a.ack, sample);
  rttOnAck(tcb, busy, sample, timestampRtt(sample));
  recoveryOnAck(tcb, busy, sample);
  if (!advanced) return false;
  const send = sendStream(busy);
  const data = seqMin(a.ack, send.tail);
  if (seqGt(data, send.head)) streamConsume(send, data);
  extraOf(tcb).bytesAcked += a.ack - before;
  sendBufferGrow(tcb, busy);
  writable(tcb, busy);
  return (sample.flags & AF_RENEGING) != 0 && tcb.sndUna != tcb.sndNxt;
}

//= rfc5681 2
/** Same ACK, same window, no text, data in flight. */
function duplicateFlag(tcb: Tcb, a: Arrival, windowBefore: u32): u32 {
  const same = a.ack == tcb.sndUna && tcb.sndWnd == windowBefore && a.length == 0;
  return same && awaited(tcb) ? AF_DUPLICATE : 0;
}

/** Data in flight, or a loss probe that a duplicate ACK shows to have been needless. */
function awaited(tcb: Tcb): bool {
  if (tcb.sndNxt != tcb.sndUna) return true;
  return tcb.busy != 0 && (busyOf(tcb).recoveryFlags & RF_TLP_OUT) != 0;
}

/** With nothing in flight the echo is of what was answered for already (Linux). */
function echoFlag(tcb: Tcb, a: Arrival): u32 {
  const echo = tcb.flags & TF_ECN_OK && a.flags & TCP_ECE && tcb.sndUna != tcb.sndNxt;
  return echo ? AF_ECE : 0;
}

/** RFC 7323 §4.1, µs by a clock of milliseconds. */
function timestampRtt(sample: AckSample): u32 {
  if ((sample.flags & AF_ECHO) == 0) return RTT_NONE;
  const ms = system().nowMs - sample.echoMs;
  return ms < 1_000_000 ? max<u32>(ms * 1000, 1000) : RTT_NONE;
}

/** Linux's tcp_sndbuf_expand: room for two windows, so that the writer never is the limit. */
function sendBufferGrow(tcb: Tcb, busy: Busy): void {
  if (tcb.flags & TF_SNDBUF_LOCK || underPressure()) return;
  const wanted = min<u64>(<u64>tcb.cwnd << 1, config(Config.tcp_wmem_max));
  if (wanted > busy.sndBuf) busy.sndBuf = <u32>wanted;
}

/** Tells a writer that waits, once a third of its buffer is free (sk_stream_is_writeable). */
export function writable(tcb: Tcb, busy: Busy): void {
  if ((tcb.flags & TF_WANT_WRITE) == 0) return;
  const held = streamHeld(sendStream(busy));
  if (held > busy.sndBuf - busy.sndBuf / 3) return;
  tcb.flags &= ~TF_WANT_WRITE;
  post(tcb, EVENT_WRITABLE);
}

/** Our FIN is acknowledged. False: the record is gone or in TIME-WAIT. */
function finAcked(tcb: Tcb): bool {
  const state = tcb.state;
  if (state == State.FIN_WAIT1) {
    setState(tcb, State.FIN_WAIT2);
    timersRefresh(tcb);
    return true;
  }
  if (state == State.CLOSING) {
    finalAck(tcb);
    timeWaitEnter(tcb);
    return false;
  }
  if (state == State.LAST_ACK) {
    tcbClosed(tcb, Errno.OK, 0);
    return false;
  }
  return true;
}
