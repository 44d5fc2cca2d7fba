/**
 * SEGMENT ARRIVES: RFC 9293 §3.10.7, in its order. Checks the header, finds the record, and hands
 * the segment to the file named after its state. Called by ip/input.ts for each TCP packet. Sends
 * nothing itself but one immediate reply (RST, SYN-ACK, challenge ACK); everything else is polled,
 * so that all segments of a batch are processed before an ACK leaves.
 */
import { Counter, Errno, EVENT_ERROR, State } from "../abi";
import { count, countMany } from "../core/counters";
import { seqGt } from "../core/seq";
import { Packet, packetChecksumOk, packetDrop } from "../ip/packet";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TcpHeader, tcpCheck } from "../wire/tcp";
import { OPT_MD5, TcpOptions, optionsParse, segmentOptions } from "../wire/tcp-options";
import { Acceptance, acceptance } from "./acceptance";
import { ackReceive } from "./ack";
import { Arrival, KEY_AT, arrival } from "./arrival";
import { demuxFind, demuxListener } from "./demux";
import { inputListen } from "./input-listen";
import { inputSynReceived } from "./input-syn-received";
import { inputSynSent } from "./input-syn-sent";
import {
  Endpoint, Listener, RecordKind, SynRequest, TF_FIN_RCVD, TF_RCV_SHUTDOWN, Tcb,
  TimeWait,
} from "./records";
import { resetReply } from "./reset";
import { finalAck } from "./output";
import { extraOf, setState, tcbClosed } from "./tcb";
import { finReceived, textReceive, urgentReceive } from "./text";
import {
  TimeWaitVerdict, timeWaitEnd, timeWaitEnter, timeWaitInput, timeWaitNextIsn,
} from "./time-wait";
import { timersRefresh } from "./timers";
import { tsRecentUpdate } from "./timestamps";

//= rfc9293 MUST-58
//= rfc9293 MUST-59
export function tcpInput(p: Packet): void {
  const a = arrival();
  const o = segmentOptions();
  const key = changetype<Endpoint>(KEY_AT);
  if (!parse(p, a, o, key)) return;
  let record = demuxFind(key);
  if (record == 0) {
    inputUnconnected(key, a, o, 0);
    return;
  }
  const kind = changetype<Endpoint>(record).kind;
  if (kind == RecordKind.TimeWait) {
    const tw = changetype<TimeWait>(record);
    if (timeWaitInput(tw, a, o) == TimeWaitVerdict.Reopen) reopen(tw, key, a, o);
    return;
  }
  if (kind == RecordKind.SynRequest) {
    record = inputSynReceived(changetype<SynRequest>(record), key, a, o);
    if (record == 0) return;
  }
  inputConnection(changetype<Tcb>(record), a, o);
}

//= rfc9293 MUST-3
//= rfc9293 MUST-57
//= rfc9293 MUST-63
/** Header, checksum and options into numbers; false: malformed, counted and gone. */
function parse(p: Packet, a: Arrival, o: TcpOptions, key: Endpoint): bool {
  count(Counter.TcpInSegs);
  const header = tcpCheck(p.l4, p.l4Length);
  if (header == 0) {
    packetDrop(p, Counter.TcpInErrs);
    return false;
  }
  if (!packetChecksumOk(p, p.l4Length)) {
    packetDrop(p, Counter.TcpInCsumErrors); // one counter a packet: Linux counts InErrs as well
    return false;
  }
  const h = changetype<TcpHeader>(p.l4);
  if (p.multicast || h.sourcePort == 0 || h.destinationPort == 0) {
    packetDrop(p, Counter.AckornTcpBadAddress);
    return false;
  }
  optionsParse(o, p.l4 + 20, header - 20);
  if (o.present & OPT_MD5) {
    packetDrop(p, Counter.TcpExtTCPMD5Unexpected);
    return false;
  }
  a.seq = h.seq;
  a.ack = h.ack;
  a.window = h.window;
  a.urgent = h.urgent;
  a.flags = h.flags;
  a.data = <u32>p.l4 + header;
  a.length = p.l4Length - header;
  a.gsoSize = p.gsoSize;
  a.tos = p.tos;
  a.ttl = p.ttl;
  a.isV6 = p.isV6;
  const merged = p.gsoSize != 0 && a.length > p.gsoSize;
  a.segments = merged ? (a.length + p.gsoSize - 1) / p.gsoSize : 1;
  if (merged) countMany(Counter.TcpInSegs, a.segments - 1);
  key.remote0 = p.src0;
  key.remote1 = p.src1;
  key.remote2 = p.src2;
  key.remote3 = p.src3;
  key.remotePort = <u16>h.sourcePort;
  key.localPort = <u16>h.destinationPort;
  key.localAddress = p.localAddress;
  key.kind = <u8>RecordKind.Free;
  return true;
}

/** No record: a listener, or RFC 9293 §3.10.7.1 (CLOSED). */
function inputUnconnected(key: Endpoint, a: Arrival, o: TcpOptions, isn: u32): void {
  const listener = demuxListener(key.localAddress, key.localPort, a.isV6 != 0);
  if (listener != 0) inputListen(changetype<Listener>(listener), key, a, o, isn);
  else resetReply(key, a);
}

function reopen(tw: TimeWait, key: Endpoint, a: Arrival, o: TcpOptions): void {
  if (demuxListener(key.localAddress, key.localPort, a.isV6 != 0) == 0) {
    resetReply(key, a);
    return;
  }
  const isn = timeWaitNextIsn(tw);
  timeWaitEnd(tw);
  inputUnconnected(key, a, o, isn);
}

/** §3.10.7.3 and §3.10.7.4: a connection record in any state. */
function inputConnection(tcb: Tcb, a: Arrival, o: TcpOptions): void {
  if (tcb.extra != 0) {
    const extra = extraOf(tcb);
    extra.segsIn += a.segments;
    extra.lastAckRecvMs = system().nowMs;
  }
  if (tcb.state == State.CLOSE) return;
  if (tcb.state == State.SYN_SENT) {
    if (!inputSynSent(tcb, a, o)) return;
  } else {
    const verdict = acceptance(tcb, a, o);
    if (verdict == Acceptance.Reset) resetReceived(tcb);
    if (verdict != Acceptance.Accept) return;
    if ((a.flags & TCP_ACK) == 0) return; // fifth: no ACK, no further
    tsRecentUpdate(tcb, a, o);
    if (!ackReceive(tcb, a, o)) return;
  }
  inputData(tcb, a);
}

//= rfc9293 MUST-12
function resetReceived(tcb: Tcb): void {
  if (tcb.state == State.SYN_RECV) {
    count(Counter.TcpAttemptFails);
    tcbClosed(tcb, Errno.ECONNREFUSED, EVENT_ERROR);
    return;
  }
  const error = tcb.state == State.CLOSE_WAIT ? Errno.EPIPE : Errno.ECONNRESET;
  tcbClosed(tcb, error, EVENT_ERROR);
}

/** Sixth to eighth: URG, text, FIN. */
function inputData(tcb: Tcb, a: Arrival): void {
  if (dataAfterClose(tcb, a)) {
    count(Counter.TcpExtTCPAbortOnData);
    resetReply(changetype<Endpoint>(tcb), a);
    tcbClosed(tcb, Errno.ECONNRESET, EVENT_ERROR);
    return;
  }
  urgentReceive(tcb, a);
  if (textReceive(tcb, a)) finArrived(tcb);
  if (tcb.state != State.CLOSE) timersRefresh(tcb);
}

//= rfc9293 SHLD-3
//= rfc9293 MAY-1
/** New data for a user who does not read any more: it is lost, so the peer must learn of it. */
function dataAfterClose(tcb: Tcb, a: Arrival): bool {
  if ((tcb.flags & TF_RCV_SHUTDOWN) == 0 || a.length == 0) return false;
  const state = tcb.state;
  if (state != State.FIN_WAIT1 && state != State.FIN_WAIT2) return false;
  return seqGt(a.seq + a.length, tcb.rcvNxt);
}

function finArrived(tcb: Tcb): void {
  if (tcb.flags & TF_FIN_RCVD) return;
  finReceived(tcb);
  const state = tcb.state;
  if (state == State.ESTABLISHED || state == State.SYN_RECV) setState(tcb, State.CLOSE_WAIT);
  else if (state == State.FIN_WAIT1) setState(tcb, State.CLOSING);
  else if (state == State.FIN_WAIT2) timeWaitAfterAck(tcb);
}

/** The last ACK must leave before the record is gone: it is sent here, not polled. */
function timeWaitAfterAck(tcb: Tcb): void {
  finalAck(tcb);
  timeWaitEnter(tcb);
}
