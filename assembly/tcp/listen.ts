/**
 * Passive open: half-open connections in small records, the accept queue, Linux's rules for both
 * being full and its counters. RFC 9293 §3.10.7.2 and §3.5. input-listen.ts decides about a SYN and
 * input-syn-received.ts about what follows; here the records live. syn-cookies.ts will stand
 * beside.
 */
import { Config, Counter, Errno, EVENT_ACCEPTABLE, State, Trace } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { PoolId, poolAt, poolGive, poolIndex, poolTake } from "../core/pool";
import { wheelArm, wheelCancel } from "../core/timer-wheel";
import { trace } from "../core/trace";
import { ipMtu } from "../ip/output";
import { system } from "../memory";
import { TCP_ACK, TCP_ECE, TCP_SYN } from "../wire/tcp";
import { optionsWriteSyn, optionsWriteTimestamps } from "../wire/tcp-options";
import { congestionInit } from "./congestion/controller";
import { demuxInsert, demuxRemove } from "./demux";
import { postListener, postWaiting } from "./events";
import { tsOffsetFor } from "./isn";
import { advertisedMss, isIpv6, mssUpdate, rcvMssBegin } from "./options";
import {
  Endpoint, LISTENER_BYTES, Listener, RecordKind, SR_ECN, SR_SACK, SR_TIMESTAMPS, SR_WSCALE,
  SynRequest, TF_ECN_OK, TF_HASHED, TF_INHERITED, TF_IN_ACCEPT, TF_IPV6, TF_PASSIVE, TF_SACK_OK,
  TF_TS_OK, TF_WSCALE_OK, Tcb,
} from "./records";
import { abortConnection } from "./reset";
import { controlBegin, controlOptionsAt, controlSend } from "./segment-build";
import { extraOf, extraTake, indexOf, portsOf, tcbFree, tcbTake } from "./tcb";
import { deadlineIn } from "./timers";
import { tsNow } from "./timestamps";
import { zeroBytes } from "../core/bytes";

/** RFC 6298 §2.1: before there is a sample. */
export const SYN_RTO_US: u64 = 1_000_000;

// ---- listeners

export function listenerTake(): usize {
  const record = poolTake(PoolId.Listener);
  if (record == 0) return 0;
  const listener = changetype<Listener>(record);
  const generation = listener.generation + 1;
  zeroBytes(record, LISTENER_BYTES);
  listener.generation = generation == 0 ? 1 : generation;
  listener.kind = <u8>RecordKind.Listener;
  listener.state = <u8>State.LISTEN;
  listener.ttl = <u8>config(Config.ip_default_ttl);
  listener.congestion = <u8>config(Config.tcp_congestion_control);
  return record;
}

/** Linux's sk_acceptq_is_full. */
export function acceptQueueFull(listener: Listener): bool {
  return listener.acceptCount > listener.backlog;
}

export function acceptPush(listener: Listener, tcb: Tcb): void {
  const self = <u32>changetype<usize>(tcb);
  tcb.flags |= TF_IN_ACCEPT;
  tcb.eventNext = 0;
  if (listener.acceptTail == 0) listener.acceptHead = self;
  else changetype<Tcb>(<usize>listener.acceptTail).eventNext = self;
  listener.acceptTail = self;
  listener.acceptCount++;
  postListener(listener, EVENT_ACCEPTABLE);
}

/** The connection that waited longest, or 0. */
export function acceptPop(listener: Listener): usize {
  const record = <usize>listener.acceptHead;
  if (record == 0) return 0;
  const tcb = changetype<Tcb>(record);
  listener.acceptHead = tcb.eventNext;
  if (listener.acceptHead == 0) listener.acceptTail = 0;
  listener.acceptCount--;
  tcb.flags &= ~TF_IN_ACCEPT;
  tcb.eventNext = 0;
  return record;
}

/** Hands an accepted connection to the user: what happened meanwhile is told now. */
export function acceptHandOver(listener: Listener): usize {
  const record = acceptPop(listener);
  if (record != 0) postWaiting(changetype<Tcb>(record));
  return record;
}

/** Connections that nobody will accept are reset (Linux's inet_csk_listen_stop). */
export function acceptQueueAbort(listener: Listener): void {
  let record = acceptPop(listener);
  while (record != 0) {
    const tcb = changetype<Tcb>(record);
    if (tcb.state != State.CLOSE) abortConnection(tcb, Errno.ECONNABORTED);
    tcbFree(tcb);
    record = acceptPop(listener);
  }
}

// ---- half-open connections

/** May a SYN take a record now (Linux: inet_csk_reqsk_queue_is_full, tcp_max_syn_backlog)? */
export function synQueueFull(listener: Listener): bool {
  if (listener.synCount > listener.backlog) return true;
  return <u32>listener.synCount >= config(Config.tcp_max_syn_backlog);
}

export function synRequestTake(listener: Listener): usize {
  const record = poolTake(PoolId.SynRequest);
  if (record == 0) return 0;
  const request = changetype<SynRequest>(record);
  request.wheelLink = 0;
  request.kind = <u8>RecordKind.SynRequest;
  request.listener = <u16>poolIndex(PoolId.Listener, changetype<usize>(listener));
  request.retransmits = 0;
  request.flags = 0;
  listener.synCount++;
  return record;
}

/** The listener that the SYN was for; it ends its requests before it goes. */
export function listenerOfRequest(request: SynRequest): Listener {
  return changetype<Listener>(poolAt(PoolId.Listener, request.listener));
}

export function synRequestEnd(request: SynRequest): void {
  wheelCancel(changetype<usize>(request));
  demuxRemove(changetype<Endpoint>(request));
  request.kind = <u8>RecordKind.Free;
  listenerOfRequest(request).synCount--;
  poolGive(PoolId.SynRequest, changetype<usize>(request));
}

/** µs between the last SYN-ACK and the next: doubled each time. */
export function synAckTimeoutUs(request: SynRequest): u64 {
  const us = SYN_RTO_US << min<u64>(request.retransmits, 16);
  return min<u64>(us, <u64>config(Config.tcp_rto_max_ms) * 1000);
}

/** Sends the SYN-ACK (again) and arms the timer; with the ring full the timer tries again. */
export function synAckSend(request: SynRequest): void {
  wheelCancel(changetype<usize>(request));
  wheelArm(changetype<usize>(request), deadlineIn(synAckTimeoutUs(request)));
  const e = changetype<Endpoint>(request);
  const slot = controlBegin(e);
  if (slot == 0) return;
  const listener = listenerOfRequest(request);
  const ts = (request.flags & SR_TIMESTAMPS) != 0;
  const wscale: i32 = request.flags & SR_WSCALE ? <i32>(<u32>request.wscale >> 4) : -1;
  const bytes = optionsWriteSyn(
    controlOptionsAt(e, slot),
    advertisedMss(request.localAddress, isIpv6(e), listener.maxSegment),
    (request.flags & SR_SACK) != 0,
    ts,
    ts ? tsNow(tsOffsetFor(e)) : 0,
    request.tsRecent,
    wscale,
  );
  const seq = request.iss;
  const ack = request.irs + 1;
  const flags = request.flags & SR_ECN ? TCP_SYN | TCP_ACK | TCP_ECE : TCP_SYN | TCP_ACK;
  controlSend(e, slot, seq, ack, flags, request.rcvWnd, bytes, listener.tos,
    listener.ttl);
}

/** An ACK that says what would be in order; the SYN-ACK itself is left to its timer. */
export function halfOpenAck(request: SynRequest): void {
  const e = changetype<Endpoint>(request);
  const slot = controlBegin(e);
  if (slot == 0) return;
  const listener = listenerOfRequest(request);
  let bytes: u32 = 0;
  if (request.flags & SR_TIMESTAMPS) {
    const at = controlOptionsAt(e, slot);
    bytes = optionsWriteTimestamps(at, tsNow(tsOffsetFor(e)), request.tsRecent);
  }
  const window = <u32>request.rcvWnd >> (<u32>request.wscale >> 4);
  controlSend(e, slot, request.iss + 1, request.irs + 1, TCP_ACK, window, bytes, listener.tos,
    listener.ttl);
}

/** The wheel gave it out: the SYN-ACK once more, or the end. */
export function synRequestTimer(request: SynRequest): void {
  if (request.retransmits >= config(Config.tcp_synack_retries)) {
    synRequestEnd(request);
    return;
  }
  request.retransmits++;
  count(Counter.TcpExtTCPSynRetrans);
  count(Counter.TcpRetransSegs);
  synAckSend(request);
}

/** Every half-open connection of a listener that closes; walks the pool, closing is rare. */
export function synRequestsAbort(listener: Listener, pool: usize, stride: u32, fresh: u32): void {
  for (let i: u32 = 0; i < fresh && listener.synCount > 0; i++) {
    const request = changetype<SynRequest>(pool + i * stride);
    if (request.kind != RecordKind.SynRequest) continue;
    if (listenerOfRequest(request) == listener) synRequestEnd(request);
  }
}

// ---- from half-open to connection

//= rfc9293 MUST-11
/** A connection record in ESTABLISHED made from the half-open one; 0: no record left. */
export function synRequestPromote(request: SynRequest): usize {
  const record = tcbTake();
  if (record == 0) return 0;
  const tcb = changetype<Tcb>(record);
  const listener = listenerOfRequest(request);
  tcb.remote0 = request.remote0;
  tcb.remote1 = request.remote1;
  tcb.remote2 = request.remote2;
  tcb.remote3 = request.remote3;
  tcb.remotePort = request.remotePort;
  tcb.localPort = request.localPort;
  tcb.localAddress = request.localAddress;
  const e = changetype<Endpoint>(tcb);
  inherit(tcb, listener);
  if (isIpv6(e)) tcb.flags |= TF_IPV6;
  if (request.flags & SR_ECN) tcb.flags |= TF_ECN_OK;
  if (request.flags & SR_SACK) tcb.flags |= TF_SACK_OK;
  if (request.flags & SR_WSCALE) tcb.flags |= TF_WSCALE_OK;
  if (request.flags & SR_TIMESTAMPS) {
    tcb.flags |= TF_TS_OK;
    tcb.tsRecent = request.tsRecent;
    tcb.tsRecentAge = system().nowS;
    tcb.tsOffset = tsOffsetFor(e);
  }
  tcb.wscale = request.wscale;
  tcb.pmtu = <u16>min<u32>(ipMtu(tcb.localAddress), 65535);
  tcb.peerMss = request.peerMss;
  mssUpdate(tcb);
  rcvMssBegin(tcb);
  tcb.sndUna = request.iss + 1;
  tcb.sndNxt = request.iss + 1;
  tcb.rcvNxt = request.irs + 1;
  tcb.rcvWup = tcb.rcvNxt;
  tcb.rcvWnd = request.rcvWnd;
  tcb.state = <u8>State.ESTABLISHED;
  trace(Trace.StateChange, indexOf(tcb), portsOf(tcb), State.SYN_RECV, State.ESTABLISHED, 0);
  congestionInit(tcb, request.retransmits != 0);
  synRequestEnd(request);
  demuxInsert(e);
  tcb.flags |= TF_HASHED;
  return record;
}

function inherit(tcb: Tcb, listener: Listener): void {
  tcb.flags |= TF_PASSIVE | (listener.tcbFlags & TF_INHERITED);
  tcb.tos = listener.tos;
  tcb.ttl = listener.ttl;
  tcb.congestion = listener.congestion;
  tcb.lingerSeconds = listener.lingerSeconds;
  if ((listener.rcvBuf | listener.sndBuf | listener.userTimeoutMs) == 0) return;
  if (!extraTake(tcb)) return;
  const extra = extraOf(tcb);
  extra.rcvBuf = listener.rcvBuf;
  extra.sndBuf = listener.sndBuf;
  extra.userTimeoutMs = listener.userTimeoutMs;
}
