/**
 * RFC 9293 §3.10.7.4, seventh: the segment text. Trims it to the window, puts bytes straight to
 * their place in the receive stream, in order or beyond a hole, and decides when to acknowledge
 * (RFC 5681 §4.2, RFC 9293 §3.8.6.3). Called by tcp/input.ts; sends nothing itself.
 */
import { Config, Counter, EVENT_PEER_FIN, EVENT_READABLE, EVENT_URGENT } from "../abi";
import { config } from "../config";
import { count, countMany } from "../core/counters";
import { seqGe, seqGt, seqLe, seqLt, seqMin } from "../core/seq";
import { streamAdvance, streamHeld, streamWrite } from "../core/stream";
import { wheelArm } from "../core/timer-wheel";
import { system } from "../memory";
import { TCP_FIN, TCP_URG } from "../wire/tcp";
import { segmentOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { Busy, Range, recvStream } from "./busy";
import { ecnReceive } from "./ecn";
import { post } from "./events";
import { pressureUpdate, roomFor, underPressure } from "./pressure";
import { pruneAboveHigh, pruneArena, pruneOwn, recvTruncate } from "./prune";
import {
  rangeFirst, rangeInsert, rangeLast, rangeOverlap, rangeRemove, rangesRelease,
} from "./reassembly";
import {
  TF_ACK_NOW, TF_DELACK, TF_ECN_OK, TF_FIN_RCVD, TF_PINGPONG, TF_QUICKACK, TF_SACK_OK,
  TF_URGENT_RECV, Tcb,
} from "./records";
import { busyOf, busyTake, extraOf, outputList } from "./tcb";
import { receiveWindow, receiverRttByTimestamp, receiverRttByWindow } from "./window";

/** Linux's TCP_ATO_MIN: a delayed ACK waits 40 ms (RFC 9293 MUST-40 allows less than 500). */
const DELACK_TICKS: u32 = 40_000 >> 6;
/** Stretches after which the application is taken to be idle and ACKs go out at once again. */
const QUICK_ACKS: u8 = 16;
/** Arena bytes that out-of-order data may pin beyond four times its own. */
const SPARSE_BYTES: u32 = 16384;

// @ts-ignore: decorator
@inline
export function ackNow(tcb: Tcb): void {
  tcb.flags |= TF_ACK_NOW;
  outputList(tcb);
}

/** True when the peer's FIN has come in order with or before these bytes. */
export function textReceive(tcb: Tcb, a: Arrival): bool {
  const fin = (a.flags & TCP_FIN) != 0;
  if (a.length == 0 && !fin) return false;
  if (tcb.flags & TF_FIN_RCVD) {
    ackNow(tcb); // beyond the peer's own end: nothing may follow, a repeated FIN is answered
    return false;
  }
  const end = a.seq + a.length + (fin ? 1 : 0);
  if (seqLe(end, tcb.rcvNxt)) {
    duplicate(tcb, a.seq, end);
    return false;
  }
  if (a.length != 0) {
    if (!busyTake(tcb) && !(pruneArena(0) && busyTake(tcb))) {
      count(Counter.TcpExtTCPRcvQDrop);
      return false;
    }
    measureMss(tcb, a);
    if (tcb.flags & TF_ECN_OK) ecnReceive(tcb, busyOf(tcb), a);
  }
  if (seqGt(a.seq, tcb.rcvNxt)) {
    outOfOrder(tcb, a, fin);
    return false;
  }
  return inOrder(tcb, a, fin);
}

/** Starts at or before rcvNxt and brings something new. */
function inOrder(tcb: Tcb, a: Arrival, fin: bool): bool {
  const skip = tcb.rcvNxt - a.seq;
  if (skip > 0) noteDsack(tcb, a.seq, tcb.rcvNxt);
  let length = a.length - min(skip, a.length);
  let cut = false;
  const window = receiveWindow(tcb);
  if (length > window) {
    length = window;
    cut = true;
  }
  if (length > 0) {
    const stored = store(tcb, busyOf(tcb), a.data + skip, length);
    if (stored < length) cut = true;
    if (stored == 0) {
      if (window == 0) count(Counter.TcpExtTCPZeroWindowDrop);
      ackNow(tcb);
      return false;
    }
  } else if (a.length > skip) {
    count(Counter.TcpExtTCPZeroWindowDrop);
    ackNow(tcb);
    return false;
  }
  const finNow = (fin && !cut) || absorb(tcb);
  if (finNow) {
    tcb.rcvNxt++;
    if (tcb.busy != 0) forgetBeyond(busyOf(tcb)); // behind the FIN nothing can be
  }
  if (a.length > 0) schedule(tcb, busyOf(tcb));
  return finNow;
}

function forgetBeyond(busy: Busy): void {
  if (busy.rangeRoot == 0) return;
  rangesRelease(busy);
  recvTruncate(busy);
}

/** Copies bytes in at rcvNxt; bytes taken: fewer when the share or the arena is used up. */
function store(tcb: Tcb, busy: Busy, from: u32, length: u32): u32 {
  const recv = recvStream(busy);
  let room = roomFor(tcb, busy, length);
  if (room < length && busy.rangeRoot != 0) {
    // Bytes in order before those beyond a hole, or the hole would never be filled.
    pruneOwn(busy, length - room);
    room = roomFor(tcb, busy, length);
  }
  let stored = streamWrite(recv, tcb.rcvNxt, from, room);
  if (stored < room) {
    count(Counter.AckornArenaExhausted);
    // In order before anything is pruned: what is not, pruneArena may take back.
    streamAdvance(recv, tcb.rcvNxt + stored);
    if (pruneArena(changetype<usize>(busy))) {
      stored += streamWrite(recv, tcb.rcvNxt + stored, from + stored, room - stored);
    }
  }
  if (stored == 0) {
    count(Counter.TcpExtTCPRcvQDrop);
    return 0;
  }
  tcb.rcvNxt += stored;
  streamAdvance(recv, tcb.rcvNxt);
  const extra = extraOf(tcb);
  extra.bytesReceived += stored;
  extra.lastDataRecvMs = system().nowMs;
  receiverRttByTimestamp(tcb, busy, length, segmentOptions());
  receiverRttByWindow(tcb, busy);
  pressureUpdate();
  pruneAboveHigh();
  post(tcb, EVENT_READABLE);
  return stored;
}

/** The hole is filled: what waited behind it follows. True when a FIN was the last of it. */
function absorb(tcb: Tcb): bool {
  if (tcb.busy == 0) return false;
  const busy = busyOf(tcb);
  let fin = false;
  let record = rangeFirst(busy);
  while (record != 0 && seqLe(changetype<Range>(record).seq, tcb.rcvNxt) && !fin) {
    const range = changetype<Range>(record);
    fin = range.fin != 0;
    const end = range.end - (fin ? 1 : 0);
    if (seqGt(end, tcb.rcvNxt)) {
      extraOf(tcb).bytesReceived += end - tcb.rcvNxt;
      tcb.rcvNxt = end;
    }
    rangeRemove(busy, record);
    ackNow(tcb); // RFC 5681 §4.2: a segment that fills a gap is acknowledged at once
    record = rangeFirst(busy);
  }
  streamAdvance(recvStream(busy), tcb.rcvNxt);
  return fin;
}

//= rfc9293 SHLD-31, MAY-13
/** Begins beyond rcvNxt: kept in its place, told by SACK, and acknowledged at once. */
function outOfOrder(tcb: Tcb, a: Arrival, fin: bool): void {
  if (!busyTake(tcb)) return;
  const busy = busyOf(tcb);
  ackNow(tcb);
  if (busy.pendingDupAcks < 255) busy.pendingDupAcks++;
  const window = receiveWindow(tcb);
  const offset = a.seq - tcb.rcvNxt;
  if (offset >= window) return;
  const most = min(a.length, window - offset);
  const length = beforeFin(busy, a.seq, most);
  const withFin = fin && length == a.length && finBelievable(busy, a.seq + length);
  const end = a.seq + length + (withFin ? 1 : 0);
  if (end == a.seq) return;
  const seen = rangeOverlap(busy, a.seq, end);
  if (seen != 0) {
    const range = changetype<Range>(seen);
    const start = seqGt(range.seq, a.seq) ? range.seq : a.seq;
    noteDsackRange(tcb, busy, start, seqMin(range.end, end));
  }
  if (!keep(tcb, busy, a, length, end)) count(Counter.TcpExtTCPOFODrop);
}

/** Puts `length` bytes of text beyond the hole into their place; `end` counts a FIN too. */
function keep(tcb: Tcb, busy: Busy, a: Arrival, length: u32, end: u32): bool {
  const recv = recvStream(busy);
  if (length != 0) {
    if (underPressure() && roomFor(tcb, busy, length) < length) return false;
    if (sparse(busy)) {
      count(Counter.AckornShareExceeded);
      return false;
    }
  }
  const stored = streamWrite(recv, a.seq, a.data, length);
  const keptEnd = stored == length ? end : a.seq + stored;
  if (keptEnd == a.seq) return false;
  if (!rangeInsert(busy, a.seq, keptEnd, keptEnd != a.seq + stored)) {
    recvTruncate(busy); // no record for it: the bytes stand there and nobody knows
    return false;
  }
  count(Counter.TcpExtTCPOFOQueue);
  pressureUpdate();
  pruneAboveHigh();
  return true;
}

/** One byte here and there would pin a granule each: an honest stream is denser than this. */
function sparse(busy: Busy): bool {
  const recv = recvStream(busy);
  const held = streamHeld(recv) + busy.rangeBytes;
  return recv.arenaBytes > (held << 2) + SPARSE_BYTES;
}

/**
 * Of `length` bytes at `seq` those before the peer's FIN, if one waits beyond a hole. Bytes behind
 * it are a forgery or a fault: the octet of the FIN would become one that nobody stored.
 */
function beforeFin(busy: Busy, seq: u32, length: u32): u32 {
  const last = rangeLast(busy);
  if (last == 0 || changetype<Range>(last).fin == 0) return length;
  const fin = changetype<Range>(last).end - 1;
  return seqGe(seq, fin) ? 0 : min(length, fin - seq);
}

/** A FIN at `seq` with nothing received behind it, and no other FIN before. */
function finBelievable(busy: Busy, seq: u32): bool {
  const last = rangeLast(busy);
  if (last == 0) return true;
  const range = changetype<Range>(last);
  return range.fin != 0 ? range.end == seq + 1 : seqLe(range.end, seq);
}

/** All of it came before: the peer did not get our ACK. */
export function duplicate(tcb: Tcb, seq: u32, end: u32): void {
  count(Counter.TcpExtDelayedACKLost);
  noteDsack(tcb, seq, end);
  ackNow(tcb);
}

/** RFC 2883 §4.1: the first SACK block of the next ACK tells what came twice. */
function noteDsack(tcb: Tcb, seq: u32, end: u32): void {
  if ((tcb.flags & TF_SACK_OK) == 0 || config(Config.tcp_dsack) == 0) return;
  if (!busyTake(tcb)) return;
  const busy = busyOf(tcb);
  busy.dsackStart = seq;
  busy.dsackEnd = seqLt(end, tcb.rcvNxt) ? end : tcb.rcvNxt;
  count(Counter.TcpExtTCPDSACKOldSent);
}

function noteDsackRange(tcb: Tcb, busy: Busy, start: u32, end: u32): void {
  if ((tcb.flags & TF_SACK_OK) == 0 || config(Config.tcp_dsack) == 0) return;
  busy.dsackStart = start;
  busy.dsackEnd = end;
  count(Counter.TcpExtTCPDSACKOfoSent);
}

/** Size of the peer's segments: what a full one is to delayed ACK and to the window's steps. */
function measureMss(tcb: Tcb, a: Arrival): void {
  const piece = a.gsoSize != 0 ? min(a.gsoSize, a.length) : a.length;
  if (piece > tcb.rcvMss && piece <= 65535) tcb.rcvMss = <u16>min<u32>(piece, tcb.pmtu);
  const extra = extraOf(tcb);
  extra.dataSegsIn += a.segments;
  if (a.segments > 1) countMany(Counter.TcpExtTCPRcvCoalesce, a.segments - 1);
}

//= rfc9293 SHLD-18
//= rfc9293 SHLD-19
//= rfc9293 MUST-40
/** Linux's tcp_event_data_recv and __tcp_ack_snd_check: now, or within 40 ms. */
function schedule(tcb: Tcb, busy: Busy): void {
  const s = system();
  const idle = s.now32 - busy.lastDataAtUs;
  busy.lastDataAtUs = s.now32;
  if (idle > 1_000_000) busy.quickAcks = QUICK_ACKS;
  const unacked = tcb.rcvNxt - tcb.rcvWup;
  const quick = busy.quickAcks != 0 && (tcb.flags & TF_PINGPONG) == 0;
  if (unacked > tcb.rcvMss || quick || busy.rangeRoot != 0 || (tcb.flags & TF_QUICKACK)) {
    ackNow(tcb);
    return;
  }
  if (tcb.flags & TF_DELACK) return;
  tcb.flags |= TF_DELACK;
  tcb.delackDeadline = s.nowTick + DELACK_TICKS;
  wheelArm(changetype<usize>(tcb), tcb.delackDeadline);
}

//= rfc9293 MUST-31
//= rfc9293 MUST-32
//= rfc9293 MUST-62
/** RFC 6093: urgent data stays in line; the mark moves forward and the user is told. */
export function urgentReceive(tcb: Tcb, a: Arrival): void {
  if ((a.flags & TCP_URG) == 0 || a.urgent == 0) return;
  if (tcb.flags & TF_FIN_RCVD) return;
  const mark = a.seq + a.urgent;
  if (!seqGt(mark, tcb.rcvNxt) || !busyTake(tcb)) return;
  const busy = busyOf(tcb);
  if ((tcb.flags & TF_URGENT_RECV) && seqLe(mark, busy.rcvUp)) return;
  busy.rcvUp = mark;
  tcb.flags |= TF_URGENT_RECV;
  post(tcb, EVENT_URGENT);
}

/** RFC 9293 §3.10.7.4, eighth: the FIN, in order. */
export function finReceived(tcb: Tcb): void {
  tcb.flags |= TF_FIN_RCVD;
  ackNow(tcb);
  post(tcb, EVENT_READABLE | EVENT_PEER_FIN);
}
