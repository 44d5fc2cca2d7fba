/**
 * The life of a connection record: taken and given back, its Extra and Busy records, its place in
 * the output list. State changes go through here, so that every one is traced. RFC 9293 §3.3.
 */
import { Config, Counter, Errno, Fault, State, Trace, EVENT_CLOSED } from "../abi";
import { config } from "../config";
import { arenaAlloc, arenaFree } from "../core/arena";
import { zeroBytes } from "../core/bytes";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { PoolId, poolGive, poolIndex, poolTake } from "../core/pool";
import { streamEmpty, streamHeld, streamInit, streamLent, streamRelease } from "../core/stream";
import { wheelCancel } from "../core/timer-wheel";
import { trace } from "../core/trace";
import { system } from "../memory";
import { BUSY_BYTES, Busy, recvStream, sendStream } from "./busy";
import { demuxRemove } from "./demux";
import { post } from "./events";
import { pressureUpdate } from "./pressure";
import { rangesRelease } from "./reassembly";
import { recoveryBegin } from "./recovery";
import {
  EXTRA_BYTES, Endpoint, Extra, LOCAL_ANY, RecordKind, TF_EVENT_LISTED, TF_HASHED,
  TF_ORPHAN, TF_OUTPUT_LISTED, TF_URGENT_RECV, Tcb, TimerKind,
} from "./records";
import { segmentsRelease } from "./segments";

/** log2 of the arena block that holds a Busy record. */
export const BUSY_SHIFT: u32 = 9;

/** A fresh record in CLOSE, or 0: as many connections as there can be. */
export function tcbTake(): usize {
  const record = poolTake(PoolId.Tcb);
  if (record == 0) return 0;
  const tcb = changetype<Tcb>(record);
  const generation = tcb.generation + 1;
  zeroBytes(record, offsetof<Tcb>());
  tcb.generation = generation == 0 ? 1 : generation;
  tcb.kind = <u8>RecordKind.Connection;
  tcb.state = <u8>State.CLOSE;
  tcb.localAddress = <u16>LOCAL_ANY;
  tcb.ttl = <u8>config(Config.ip_default_ttl);
  tcb.congestion = <u8>config(Config.tcp_congestion_control);
  tcb.ssthresh = 0xffffffff;
  return record;
}

/** Gives everything back. The handle is stale from here on. */
export function tcbFree(tcb: Tcb): void {
  tcbDetach(tcb);
  busyRelease(tcb);
  if (tcb.extra != 0) poolGive(PoolId.Extra, tcb.extra);
  tcb.extra = 0;
  if (tcb.flags & TF_ORPHAN) system().orphanCount--;
  tcb.generation++;
  tcb.kind = <u8>RecordKind.Free;
  tcb.state = <u8>State.CLOSE;
  // Still in a list: outputNext or eventsCollect gives it back when it comes by, whichever is last,
  // so that freeing is O(1).
  if ((tcb.flags & (TF_OUTPUT_LISTED | TF_EVENT_LISTED)) == 0) {
    poolGive(PoolId.Tcb, changetype<usize>(tcb));
  }
}

/** Off the wire: out of the table and the wheel. Unread bytes stay for the user. */
export function tcbDetach(tcb: Tcb): void {
  if (tcb.flags & TF_HASHED) {
    demuxRemove(changetype<Endpoint>(tcb));
    tcb.flags &= ~TF_HASHED;
  }
  wheelCancel(changetype<usize>(tcb));
  tcb.timerKind = <u8>TimerKind.None;
}

// @ts-ignore: decorator
@inline
export function portsOf(tcb: Tcb): u32 {
  return (<u32>tcb.localPort << 16) | <u32>tcb.remotePort;
}

// @ts-ignore: decorator
@inline
export function indexOf(tcb: Tcb): u32 {
  return poolIndex(PoolId.Tcb, changetype<usize>(tcb));
}

export function setState(tcb: Tcb, state: State): void {
  if (tcb.state == <u8>state) return;
  trace(Trace.StateChange, indexOf(tcb), portsOf(tcb), tcb.state, state, 0);
  tcb.state = <u8>state;
}

/**
 * The connection is over: CLOSE. With its user gone the record is free at once; otherwise it keeps
 * the error and the unread bytes until tcpClose. `error` is OK for an orderly end.
 */
export function tcbClosed(tcb: Tcb, error: Errno, bits: u32): void {
  const counted = tcb.state == State.ESTABLISHED || tcb.state == State.CLOSE_WAIT;
  if (error != Errno.OK && counted) count(Counter.TcpEstabResets);
  setState(tcb, State.CLOSE);
  if (tcb.flags & TF_ORPHAN) {
    tcbFree(tcb);
    return;
  }
  tcbDetach(tcb);
  if (error != Errno.OK) tcb.error = <u8>error;
  if (tcb.busy != 0) {
    const busy = busyOf(tcb);
    segmentsRelease(busy);
    const send = sendStream(busy);
    if (streamLent(send) == 0) streamRelease(send);
    rangesRelease(busy);
    if (streamHeld(recvStream(busy)) == 0 && streamLent(send) == 0) busyRelease(tcb);
  }
  post(tcb, bits | EVENT_CLOSED);
}

// ---- Extra and Busy

// @ts-ignore: decorator
@inline
export function extraOf(tcb: Tcb): Extra {
  return changetype<Extra>(<usize>tcb.extra);
}

/** The record of counters; false: none left, and the connection goes on without counting. */
export function extraTake(tcb: Tcb): bool {
  if (tcb.extra != 0) return true;
  const record = poolTake(PoolId.Extra);
  if (record == 0) {
    count(Counter.AckornExtrasExhausted);
    return false;
  }
  zeroBytes(record, EXTRA_BYTES);
  tcb.extra = <u32>record;
  const extra = extraOf(tcb);
  extra.minRttUs = 0xffffffff;
  extra.lastAckRecvMs = system().nowMs;
  extra.lastDataSentMs = system().nowMs;
  extra.lastDataRecvMs = system().nowMs;
  return true;
}

// @ts-ignore: decorator
@inline
export function busyOf(tcb: Tcb): Busy {
  return changetype<Busy>(<usize>tcb.busy);
}

/** What a moving connection needs; false: the arena is full, try again later. */
export function busyTake(tcb: Tcb): bool {
  if (tcb.busy != 0) return true;
  const block = arenaAlloc(BUSY_SHIFT);
  if (block == 0) {
    count(Counter.AckornArenaExhausted);
    return false;
  }
  if (!extraTake(tcb)) {
    arenaFree(block, BUSY_SHIFT);
    return false;
  }
  zeroBytes(block, BUSY_BYTES);
  tcb.busy = <u32>block;
  system().busyCount++;
  busyBegin(tcb, changetype<Busy>(block));
  pressureUpdate();
  return true;
}

function busyBegin(tcb: Tcb, busy: Busy): void {
  const s = system();
  const extra = extraOf(tcb);
  const started = tcb.state != State.CLOSE && tcb.state != State.SYN_SENT;
  // Before the SYN is acknowledged the stream begins one after it.
  const position = started ? tcb.sndNxt : tcb.sndUna + 1;
  streamInit(sendStream(busy), position, config(Config.tcp_wmem_max));
  busyReceiveBegin(tcb);
  busy.sndBuf = extra.sndBuf != 0 ? extra.sndBuf : initialSndBuf(tcb);
  busy.rcvBuf = extra.rcvBuf != 0 ? extra.rcvBuf : max(config(Config.tcp_rmem_default), tcb.rcvWnd);
  busy.maxSndWnd = tcb.sndWnd;
  busy.pushSeq = position;
  busy.sndSml = position;
  busy.lastDataAtUs = s.now32;
  busy.quickAcks = 16;
  recoveryBegin(tcb, busy);
}

/** Where receiving starts: also when the peer's SYN tells it to one who had queued data before. */
export function busyReceiveBegin(tcb: Tcb): void {
  if (tcb.busy == 0) return;
  const busy = busyOf(tcb);
  const now = system().now32;
  streamInit(recvStream(busy), tcb.rcvNxt, config(Config.tcp_rmem_max));
  busy.consumedSeq = tcb.rcvNxt;
  busy.rcvRttSeq = tcb.rcvNxt + tcb.rcvWnd;
  busy.rcvRttAtUs = now;
  // Linux: a sender's first flight. From there growth is seen two round trips before the first
  // window is full; from 64 KiB on, it came one late, and slow start stood still for it.
  const first = config(Config.tcp_init_cwnd) * max<u32>(tcb.rcvMss, 536);
  busy.rcvSpaceBytes = min(tcb.rcvWnd, first);
  busy.rcvSpaceSeq = tcb.rcvNxt;
  busy.rcvSpaceAtUs = now;
}

/** Linux opens the send buffer to two initial windows when the connection is established. */
function initialSndBuf(tcb: Tcb): u32 {
  const twoWindows = 2 * config(Config.tcp_init_cwnd) * max<u32>(tcb.sndMss, 536);
  return min(max(config(Config.tcp_wmem_default), twoWindows), config(Config.tcp_wmem_max));
}

export function busyRelease(tcb: Tcb): void {
  if (tcb.busy == 0) return;
  const busy = busyOf(tcb);
  segmentsRelease(busy);
  rangesRelease(busy);
  streamRelease(sendStream(busy));
  streamRelease(recvStream(busy));
  arenaFree(tcb.busy, BUSY_SHIFT);
  tcb.busy = 0;
  tcb.flags &= ~TF_URGENT_RECV; // the mark stood in the record
  system().busyCount--;
  pressureUpdate();
}

/** Nothing queued, unread, in flight or lent: the Busy record may go back. */
export function busyQuiet(tcb: Tcb): bool {
  const busy = busyOf(tcb);
  return (
    busy.segmentFirst == 0 &&
    busy.rangeRoot == 0 &&
    streamEmpty(sendStream(busy)) &&
    streamEmpty(recvStream(busy)) &&
    busy.maxPacingRate == 0 && // the user's setting has no other place
    (tcb.flags & TF_URGENT_RECV) == 0 // the mark is ahead of what has come
  );
}

// ---- The list of connections that tcp/output.ts shall look at

export function outputList(tcb: Tcb): void {
  if (tcb.flags & TF_OUTPUT_LISTED) return;
  const s = system();
  const self = <u32>changetype<usize>(tcb);
  tcb.flags |= TF_OUTPUT_LISTED;
  tcb.outputNext = 0;
  if (s.outputTail == 0) s.outputHead = self;
  else changetype<Tcb>(<usize>s.outputTail).outputNext = self;
  s.outputTail = self;
}

/** Takes the first one off; 0: none. Records freed while listed go back to their pool here. */
export function outputNext(): usize {
  const s = system();
  while (s.outputHead != 0) {
    const record = <usize>s.outputHead;
    const tcb = changetype<Tcb>(record);
    invariant((tcb.flags & TF_OUTPUT_LISTED) != 0, Fault.Tcb);
    s.outputHead = tcb.outputNext;
    if (s.outputHead == 0) s.outputTail = 0;
    tcb.flags &= ~TF_OUTPUT_LISTED;
    tcb.outputNext = 0;
    if (tcb.kind == RecordKind.Connection) return record;
    if ((tcb.flags & TF_EVENT_LISTED) == 0) poolGive(PoolId.Tcb, record);
  }
  return 0;
}
