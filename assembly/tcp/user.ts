/**
 * The user calls of RFC 9293 §3.9.1: OPEN, LISTEN, SEND, RECEIVE, CLOSE, ABORT, in sockets' words.
 * Called through index.ts by hosts: every handle and number is checked, a wrong one is an error and
 * never a trap. Nothing is sent and no timer armed here, because the clock stands still between two
 * polls: a call lists the connection, and tcp/output.ts does it in the next poll.
 */
import {
  Config, Errno, MSG_MORE, MSG_OOB, RESULT_AT, SHUT_RD, SHUT_RDWR, SHUT_WR, State, Counter,
} from "../abi";
import { config } from "../config";
import { writeU32 } from "../core/bytes";
import { count } from "../core/counters";
import { PoolId, poolAt, poolGive, poolIndex, pool } from "../core/pool";
import { seqGe, seqGt } from "../core/seq";
import {
  streamAddress, streamCommit, streamConsume, streamHeld, streamLent, streamMarkPeeked,
  streamReserve, streamRun,
} from "../core/stream";
import {
  addressEntry, addressFind, addressInUse, isBroadcast, isOneself, sourceFor,
} from "../ip/route";
import { ipMtu } from "../ip/output";
import { isMapped, isMulticast, isUnspecified } from "../ip/packet";
import { system } from "../memory";
import { recvStream, sendStream } from "./busy";
import { congestionInit } from "./congestion/controller";
import { paceLimit } from "./congestion/pacing-rate";
import { demuxFind, demuxInsert, demuxRemove } from "./demux";
import { eventsForget, post } from "./events";
import { isnFor, tsOffsetFor } from "./isn";
import {
  acceptHandOver, acceptQueueAbort, listenerTake, synRequestsAbort,
} from "./listen";
import { isIpv6, offeredFlags, offeredScale } from "./options";
import { OF_MORE } from "./output";
import {
  TupleVerdict, portEphemeral, portForConnect, portBindable, tupleVerdict,
} from "./ports";
import { roomFor } from "./pressure";
import { pruneArena } from "./prune";
import {
  Endpoint, LF_EVENT_LISTED, LF_REUSEADDR, LF_V4ONLY, LF_V6ONLY, LOCAL_ANY, Listener, RecordKind,
  TF_ACK_NOW, TF_BOUND, TF_FIN_QUEUED, TF_FIN_RCVD, TF_HASHED, TF_IN_ACCEPT,
  TF_IPV6, TF_LINGER, TF_ORPHAN, TF_RCV_SHUTDOWN, TF_REUSEADDR, TF_URGENT_RECV, TF_URGENT_SEND,
  TF_V6ONLY, TF_WANT_WRITE, Tcb, TimeWait, TimerKind,
} from "./records";
import { abortConnection } from "./reset";
import {
  busyOf, busyTake, extraOf, outputList, setState, tcbClosed, tcbDetach, tcbFree, tcbTake,
} from "./tcb";
import { ackNow } from "./text";
import { timeWaitEnd, timeWaitNextIsn } from "./time-wait";
import { windowGrow, windowUpdateDue } from "./window";

// ---- Handles

/** The connection of a handle, or 0: never somebody else's. */
export function connectionOf(index: u32, generation: u32): usize {
  if (index >= pool(PoolId.Tcb).fresh) return 0;
  const record = poolAt(PoolId.Tcb, index);
  const tcb = changetype<Tcb>(record);
  const mine = tcb.kind == RecordKind.Connection && tcb.generation == generation;
  // In the accept queue it is nobody's yet: closed by a guess, it would be freed inside the queue.
  return mine && (tcb.flags & (TF_ORPHAN | TF_IN_ACCEPT)) == 0 ? record : 0;
}

export function listenerOf(index: u32, generation: u32): usize {
  if (index >= pool(PoolId.Listener).fresh) return 0;
  const record = poolAt(PoolId.Listener, index);
  const listener = changetype<Listener>(record);
  return listener.kind == RecordKind.Listener && listener.generation == generation ? record : 0;
}

// @ts-ignore: decorator
@inline
function result(word: u32, value: u32): void {
  writeU32(RESULT_AT + (word << 2), value);
}

/** Local address for bind and listen: its index, LOCAL_ANY, or -EADDRNOTAVAIL. */
function localIndex(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  if (isUnspecified(w0, w1, w2, w3)) return LOCAL_ANY;
  const found = addressFind(w0, w1, w2, w3);
  return found < 0 ? -Errno.EADDRNOTAVAIL : found;
}

// ---- LISTEN

//= rfc9293 MUST-41
//= rfc9293 MUST-42
//= rfc9293 MUST-43
export function userListen(
  w0: u32, w1: u32, w2: u32, w3: u32, port: u32, backlog: u32, flags: u32,
): i32 {
  if (port > 65535) return -Errno.EINVAL;
  const local = localIndex(w0, w1, w2, w3);
  if (local < 0) return local;
  const chosen = port != 0 ? port : portEphemeral(local);
  if (chosen == 0) return -Errno.EADDRINUSE;
  let bits: u32 = 0;
  if (flags & 1) bits |= LF_REUSEADDR;
  if (flags & 2) bits |= LF_V6ONLY;
  if (local == LOCAL_ANY && w2 != 0) bits |= LF_V4ONLY; // ::ffff:0.0.0.0
  const reuse = (bits & LF_REUSEADDR) != 0;
  if (port != 0 && !portBindable(local, chosen, reuse, bits)) return -Errno.EADDRINUSE;
  const record = listenerTake();
  if (record == 0) return -Errno.ENFILE;
  const listener = changetype<Listener>(record);
  listener.localPort = <u16>chosen;
  listener.localAddress = <u16>local;
  listener.flags = <u8>bits;
  listener.backlog = <u16>min(min(backlog, config(Config.somaxconn)), 65534);
  demuxInsert(changetype<Endpoint>(record));
  result(0, listener.generation);
  result(1, chosen);
  return poolIndex(PoolId.Listener, record);
}

export function userListenerClose(listener: Listener): i32 {
  const requests = pool(PoolId.SynRequest);
  synRequestsAbort(listener, requests.base, requests.stride, requests.fresh);
  acceptQueueAbort(listener);
  demuxRemove(changetype<Endpoint>(listener));
  if (listener.flags & LF_EVENT_LISTED) eventsForget(<u32>changetype<usize>(listener));
  listener.kind = <u8>RecordKind.Free;
  listener.generation++;
  poolGive(PoolId.Listener, changetype<usize>(listener));
  return 0;
}

export function userAccept(listener: Listener): i32 {
  const record = acceptHandOver(listener);
  if (record == 0) return -Errno.EAGAIN;
  result(0, changetype<Tcb>(record).generation);
  return poolIndex(PoolId.Tcb, record);
}

// ---- OPEN

export function userOpen(): i32 {
  const record = tcbTake();
  if (record == 0) return -Errno.ENFILE;
  result(0, changetype<Tcb>(record).generation);
  return poolIndex(PoolId.Tcb, record);
}

export function userBind(tcb: Tcb, w0: u32, w1: u32, w2: u32, w3: u32, port: u32): i32 {
  if (port > 65535 || tcb.state != State.CLOSE || tcb.flags & (TF_BOUND | TF_HASHED)) {
    return -Errno.EINVAL;
  }
  const local = localIndex(w0, w1, w2, w3);
  if (local < 0) return local;
  const reuse = (tcb.flags & TF_REUSEADDR) != 0;
  const chosen = port != 0 ? port : portEphemeral(local);
  const bits: u32 = tcb.flags & TF_V6ONLY ? LF_V6ONLY : 0;
  if (chosen == 0) return -Errno.EADDRINUSE;
  if (port != 0 && !portBindable(local, chosen, reuse, bits)) return -Errno.EADDRINUSE;
  tcb.localAddress = <u16>local;
  tcb.localPort = <u16>chosen;
  tcb.remotePort = 0;
  tcb.flags |= TF_BOUND | TF_HASHED;
  demuxInsert(changetype<Endpoint>(tcb));
  result(0, chosen);
  return 0;
}

//= rfc9293 MUST-44
//= rfc9293 MUST-45
//= rfc9293 MUST-46
export function userConnect(tcb: Tcb, w0: u32, w1: u32, w2: u32, w3: u32, port: u32): i32 {
  if (tcb.state == State.SYN_SENT) return -Errno.EALREADY;
  if (tcb.state != State.CLOSE || !neverConnected(tcb)) return -Errno.EISCONN;
  if (port == 0 || port > 65535) return -Errno.EINVAL;
  if (isMulticast(w0, w1, w2, w3) || isUnspecified(w0, w1, w2, w3)) return -Errno.ENETUNREACH;
  if (isOneself(w0, w1, w2, w3)) return -Errno.ENETUNREACH;
  if (isBroadcast(w0, w1, w2, w3)) return -Errno.EACCES;
  const local = tcb.localAddress == LOCAL_ANY ? sourceFor(w0, w1, w2, w3) : <i32>tcb.localAddress;
  if (local < 0 || !addressInUse(local)) return -Errno.ENETUNREACH;
  const own4 = isMapped(addressEntry(local).w0, addressEntry(local).w1, addressEntry(local).w2);
  if (own4 != isMapped(w0, w1, w2)) return -Errno.ENETUNREACH; // bound to the other family
  const failed = takeTuple(tcb, local, w0, w1, w2, w3, port);
  if (failed != 0) return failed;
  if (tcb.cwnd != 0 && !paceFromStart(tcb)) return -Errno.ENOBUFS;
  if (isIpv6(changetype<Endpoint>(tcb))) tcb.flags |= TF_IPV6;
  tcb.flags |= offeredFlags();
  tcb.wscale = 0;
  tcb.pmtu = <u16>min<u32>(ipMtu(local), 65535);
  tcb.sndNxt = tcb.sndUna;
  tcb.retries = 0;
  tcb.backoff = 0;
  tcb.error = 0;
  const own = tcb.extra != 0 ? extraOf(tcb).rcvBuf : 0;
  tcb.rcvWnd = min<u32>(own != 0 ? own : config(Config.tcp_rmem_default), 65535);
  tcb.rcvWup = tcb.rcvNxt;
  congestionInit(tcb, false);
  count(Counter.TcpActiveOpens);
  setState(tcb, State.SYN_SENT);
  ackNow(tcb);
  return 0;
}

/** SO_MAX_PACING_RATE of before stands in cwnd: Busy takes it. False: no room, not connected. */
function paceFromStart(tcb: Tcb): bool {
  const limit = tcb.cwnd;
  if (busyTake(tcb)) {
    paceLimit(tcb, busyOf(tcb), limit);
    return true;
  }
  tcbDetach(tcb);
  tcb.flags &= ~TF_BOUND;
  tcb.remotePort = 0;
  tcb.localAddress = <u16>LOCAL_ANY;
  return false;
}

/** Finds the port, takes a reusable TIME-WAIT over, enters the table; sets ISN and offset. */
function takeTuple(
  tcb: Tcb, local: u32, w0: u32, w1: u32, w2: u32, w3: u32, port: u32,
): i32 {
  const e = changetype<Endpoint>(tcb);
  const bound = (tcb.flags & TF_HASHED) != 0;
  if (bound) demuxRemove(e);
  tcb.flags &= ~TF_HASHED;
  tcb.localAddress = <u16>local;
  tcb.remote0 = w0;
  tcb.remote1 = w1;
  tcb.remote2 = w2;
  tcb.remote3 = w3;
  tcb.remotePort = <u16>port;
  const found = bound ? tupleVerdict(e) != TupleVerdict.InUse : portForConnect(tcb);
  if (!found) {
    tcb.remotePort = 0;
    if (bound) {
      demuxInsert(e);
      tcb.flags |= TF_HASHED;
    } else tcb.localAddress = <u16>LOCAL_ANY;
    return -Errno.EADDRNOTAVAIL;
  }
  tcb.sndUna = isnFor(e);
  tcb.tsOffset = tsOffsetFor(e);
  const old = demuxFind(e);
  if (old != 0) {
    const tw = changetype<TimeWait>(old);
    tcb.sndUna = timeWaitNextIsn(tw);
    tcb.tsRecent = tw.tsRecent;
    tcb.tsRecentAge = tw.tsRecentAge;
    timeWaitEnd(tw);
  }
  demuxInsert(e);
  tcb.flags |= TF_HASHED;
  return 0;
}

// ---- SEND

// @ts-ignore: decorator
@inline
function neverConnected(tcb: Tcb): bool {
  return tcb.remotePort == 0;
}

/** May the user still write? 0, or the negative error. */
function sendError(tcb: Tcb): i32 {
  if (tcb.error != 0 && tcb.state == State.CLOSE) {
    const error = tcb.error;
    tcb.error = 0;
    return -<i32>error;
  }
  if (tcb.flags & TF_FIN_QUEUED) return -Errno.EPIPE;
  if (tcb.state == State.CLOSE) return neverConnected(tcb) ? -Errno.ENOTCONN : -Errno.EPIPE;
  return 0;
}

/** Bytes that may be queued in all now. */
export function sendRoom(tcb: Tcb): u32 {
  if (tcb.busy == 0) return config(Config.tcp_wmem_min);
  const busy = busyOf(tcb);
  const held = streamHeld(sendStream(busy));
  return busy.sndBuf > held ? busy.sndBuf - held : 0;
}

export function userSendReserve(tcb: Tcb, want: u32): i32 {
  const failed = sendError(tcb);
  if (failed != 0) return failed;
  if (want == 0) return -Errno.EINVAL;
  if (!busyTake(tcb)) return wantWrite(tcb);
  const busy = busyOf(tcb);
  const send = sendStream(busy);
  const length = roomFor(tcb, busy, min(want, sendRoom(tcb)));
  let got = length == 0 ? 0 : streamReserve(send, length);
  if (got == 0 && length != 0 && pruneArena(0)) got = streamReserve(send, length);
  if (got == 0) return wantWrite(tcb);
  result(0, <u32>streamAddress(send, send.tail));
  return got;
}

/** No room: EVENT_WRITABLE will say when there is, by an ACK or, for want of memory, by a timer. */
function wantWrite(tcb: Tcb): i32 {
  tcb.flags |= TF_WANT_WRITE;
  outputList(tcb); // the next poll arms the timer: no ACK may be on its way
  return 0;
}

//= rfc9293 MUST-30, MAY-15
export function userSendCommit(tcb: Tcb, length: u32, flags: u32): i32 {
  if (flags & ~(MSG_OOB | MSG_MORE)) return -Errno.EOPNOTSUPP;
  if (tcb.busy == 0) return length == 0 ? 0 : -Errno.EINVAL;
  const busy = busyOf(tcb);
  const send = sendStream(busy);
  if (length > streamLent(send)) return -Errno.EINVAL;
  if (tcb.state == State.CLOSE || tcb.flags & TF_FIN_QUEUED) {
    if (streamLent(send) != 0) streamCommit(send, 0); // nothing may stand behind the FIN
    return -Errno.EPIPE;
  }
  streamCommit(send, length);
  if (length == 0) return 0;
  if (flags & MSG_MORE) busy.outputFlags |= OF_MORE;
  else {
    busy.outputFlags &= ~OF_MORE;
    busy.pushSeq = send.tail;
  }
  if (flags & MSG_OOB) {
    busy.sndUp = send.tail;
    tcb.flags |= TF_URGENT_SEND;
  }
  outputList(tcb);
  return length;
}

// ---- RECEIVE

export function userRecvPeek(tcb: Tcb, offset: u32): i32 {
  if (tcb.busy != 0) {
    const busy = busyOf(tcb);
    const recv = recvStream(busy);
    const held = streamHeld(recv);
    if (offset < held) {
      const position = recv.head + offset;
      const run = streamRun(recv, position, held - offset);
      streamMarkPeeked(recv);
      result(0, <u32>streamAddress(recv, position));
      return run;
    }
    if (offset > held) return -Errno.EINVAL;
  }
  if (offset != 0) return 0; // the end of what is there; FIN and error are for a look from 0
  if (tcb.flags & (TF_FIN_RCVD | TF_RCV_SHUTDOWN)) return 0;
  if (tcb.state == State.CLOSE) {
    if (tcb.error == 0) return neverConnected(tcb) ? -Errno.ENOTCONN : 0;
    const error = tcb.error;
    tcb.error = 0;
    return -<i32>error;
  }
  return -Errno.EAGAIN;
}

export function userRecvConsume(tcb: Tcb, length: u32): i32 {
  if (tcb.busy == 0) return length == 0 ? 0 : -Errno.EINVAL;
  const busy = busyOf(tcb);
  const recv = recvStream(busy);
  if (length > streamHeld(recv)) return -Errno.EINVAL;
  streamConsume(recv, recv.head + length);
  busy.consumedSeq = recv.head;
  if (tcb.flags & TF_URGENT_RECV && seqGe(recv.head, busy.rcvUp)) tcb.flags &= ~TF_URGENT_RECV;
  if (tcb.state == State.CLOSE) return length;
  windowGrow(tcb, busy);
  if ((tcb.flags & TF_FIN_RCVD) == 0 && windowUpdateDue(tcb)) ackNow(tcb);
  if (tcb.timerKind == TimerKind.None) outputList(tcb);
  return length;
}

// ---- SHUTDOWN, CLOSE, ABORT

/** The send side ends: a FIN follows what is queued. */
function finQueue(tcb: Tcb): void {
  if (tcb.flags & TF_FIN_QUEUED) return;
  const state = tcb.state;
  if (state == State.ESTABLISHED) setState(tcb, State.FIN_WAIT1);
  else if (state == State.CLOSE_WAIT) setState(tcb, State.LAST_ACK);
  else if (state != State.SYN_RECV) return; // there the FIN waits for the handshake (ack.ts)
  tcb.flags |= TF_FIN_QUEUED;
  outputList(tcb);
}

export function userShutdown(tcb: Tcb, how: u32): i32 {
  if (how > SHUT_RDWR) return -Errno.EINVAL;
  const state = tcb.state;
  if (state == State.CLOSE || state == State.SYN_SENT) return -Errno.ENOTCONN;
  if (how != SHUT_WR) tcb.flags |= TF_RCV_SHUTDOWN;
  if (how != SHUT_RD) finQueue(tcb);
  return 0;
}

/** The handle ends; the connection by itself. RFC 9293 §3.9.1.5, RFC 2525 §2.17. */
export function userClose(tcb: Tcb): i32 {
  const state = tcb.state;
  tcb.eventMask = 0; // nobody is to be told any more, though it may stand in the list
  if (state == State.CLOSE || state == State.SYN_SENT) {
    if (state == State.SYN_SENT) count(Counter.TcpAttemptFails);
    setState(tcb, State.CLOSE);
    tcbFree(tcb);
    return 0;
  }
  orphan(tcb);
  const unread = tcb.busy != 0 && !streamUnread(tcb);
  if (unread) {
    count(Counter.TcpExtTCPAbortOnClose);
    abortConnection(tcb, Errno.OK);
  } else if (tcb.flags & TF_LINGER && tcb.lingerSeconds == 0) {
    count(Counter.TcpExtTCPAbortOnLinger);
    abortConnection(tcb, Errno.OK);
  } else if (system().orphanCount > config(Config.tcp_max_orphans)) {
    count(Counter.TcpExtTCPTooManyOrphans);
    abortConnection(tcb, Errno.OK);
  } else {
    finQueue(tcb);
    outputList(tcb);
  }
  return 0;
}

/** Nothing that the user never read: neither in order nor beyond a hole. */
function streamUnread(tcb: Tcb): bool {
  const busy = busyOf(tcb);
  return streamHeld(recvStream(busy)) == 0 && busy.rangeRoot == 0;
}

function orphan(tcb: Tcb): void {
  tcb.flags |= TF_ORPHAN | TF_RCV_SHUTDOWN;
  tcb.generation++; // the handle is stale from now on
  system().orphanCount++;
  if (tcb.busy == 0) return;
  const send = sendStream(busyOf(tcb));
  if (streamLent(send) != 0) streamCommit(send, 0);
}

export function userAbort(tcb: Tcb): i32 {
  const state = tcb.state;
  if (state == State.CLOSE || state == State.SYN_SENT) return userClose(tcb);
  orphan(tcb);
  tcb.eventMask = 0;
  abortConnection(tcb, Errno.OK);
  return 0;
}
