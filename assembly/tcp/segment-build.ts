/**
 * One segment, written into a transmit entry: header, options, payload pieces straight out of the
 * send stream. RFC 9293 §3.1. Called by output.ts (connections), listen.ts, time-wait.ts and
 * reset.ts (segments without a connection). Decides nothing about whether or how much to send.
 */
import { Config, Counter, TX_PIECES_MAX } from "../abi";
import { config } from "../config";
import { count, countMany } from "../core/counters";
import { seqGt } from "../core/seq";
import { Stream, streamAddress, streamRun } from "../core/stream";
import { IpOut, ipBegin, ipFinish, ipL4, ipOutcome } from "../ip/output";
import { txPiece } from "../link/output";
import { system } from "../memory";
import { TCP_ACK, TCP_SYN, TCP_URG, tcpWrite } from "../wire/tcp";
import {
  optionsSackRoom, optionsWriteSackBlock, optionsWriteSackHead, optionsWriteSyn,
  optionsWriteTimestamps,
} from "../wire/tcp-options";
import { Busy, Range, sendStream } from "./busy";
import { ECN_CODEPOINT, ecnOnSegment } from "./ecn";
import { advertisedMss, headerBytes, isIpv6, offeredScale } from "./options";
import {
  Endpoint, TF_ACK_NOW, TF_DELACK, TF_ECN_OK, TF_IPV6, TF_PINGPONG, TF_SACK_OK, TF_TS_OK,
  TF_URGENT_SEND, TF_WSCALE_OK, TOS_ECN, Tcb,
} from "./records";
import { busyOf, extraOf } from "./tcb";
import { tsNow } from "./timestamps";
import { receiveWindow, windowSelect } from "./window";

export const TCP_PROTOCOL: u32 = 6;
/** What segmentSend returns when the ring is full: nothing was sent, come again. */
export const SEND_DEFERRED: i32 = -1;

/** Bytes from seq that fit into the pieces of one transmit entry, at most `want`. */
function reach(send: Stream, seq: u32, want: u32): u32 {
  let bytes: u32 = 0;
  for (let i: u32 = 1; i < TX_PIECES_MAX && bytes < want; i++) {
    bytes += streamRun(send, seq + bytes, want - bytes);
  }
  return min(bytes, want);
}

/** More than one segment leaves only in full ones, unless all that was asked for fits. */
export function fitPieces(tcb: Tcb, seq: u32, want: u32): u32 {
  const send = sendStream(busyOf(tcb));
  // Piece 0 is the header, and a piece may begin in the middle of a granule: no need to look.
  if (want <= (TX_PIECES_MAX - 2) << send.shift) return want;
  const fits = reach(send, seq, want);
  if (fits == want || fits <= tcb.sndMss) return fits;
  return fits - (fits % tcb.sndMss);
}

/**
 * Sends [seq, seq + length) with TCP_* flags; ACK, window, timestamps are filled in. `length` comes
 * from fitPieces. Returns bytes of payload, or SEND_DEFERRED. A link that is down swallows it.
 */
export function segmentSend(tcb: Tcb, seq: u32, length: u32, flags: u32): i32 {
  const isV6 = (tcb.flags & TF_IPV6) != 0;
  const slot = ipBegin(tcb.localAddress, isV6);
  if (slot == 0) {
    if (ipOutcome() == IpOut.Full) return SEND_DEFERRED;
    sent(tcb, length, flags);
    return <i32>length;
  }
  const at = ipL4(slot, isV6);
  const isSyn = (flags & TCP_SYN) != 0;
  const options = isSyn ? synOptions(tcb, at + 20, flags) : plainOptions(tcb, at + 20, length);
  const ecn: u32 = tcb.flags & TF_ECN_OK ? ecnOnSegment(tcb, seq, length, flags) : 0;
  const tos = (<u32>tcb.tos & ~TOS_ECN) | (ecn >> ECN_CODEPOINT);
  let bits = flags | ecn; // the header takes the lowest nine bits
  let urgent: u32 = 0;
  if (tcb.flags & TF_URGENT_SEND && seqGt(busyOf(tcb).sndUp, seq)) {
    bits |= TCP_URG;
    urgent = min<u32>(busyOf(tcb).sndUp - seq, 65535);
  }
  const window = isSyn ? min<u32>(receiveWindow(tcb), 65535) : windowSelect(tcb);
  const ack = flags & TCP_ACK ? tcb.rcvNxt : 0;
  if (isSyn && flags & TCP_ACK) tcb.rcvWup = tcb.rcvNxt;
  tcpWrite(at, tcb.localPort, tcb.remotePort, seq, ack, 20 + options, bits, window, urgent);
  let done: u32 = 0;
  while (done < length) {
    const send = sendStream(busyOf(tcb));
    const run = streamRun(send, seq + done, length - done);
    txPiece(slot, streamAddress(send, seq + done), run);
    done += run;
  }
  const e = changetype<Endpoint>(tcb);
  //= rfc9293 SHLD-22
  ipFinish(slot, e, TCP_PROTOCOL, tos, tcb.ttl, 20 + options, length, tcb.sndMss, true);
  sent(tcb, length, flags);
  return <i32>length;
}

/** Bookkeeping of what has left: counters, and every ACK flag is served by any segment. */
function sent(tcb: Tcb, length: u32, flags: u32): void {
  const segments = length <= tcb.sndMss ? 1 : (length + tcb.sndMss - 1) / tcb.sndMss;
  countMany(Counter.TcpOutSegs, segments);
  const s = system();
  if (tcb.extra != 0) {
    const extra = extraOf(tcb);
    extra.segsOut += segments;
    if (length > 0) {
      extra.dataSegsOut += segments;
      extra.bytesSent += length; // with what is sent again, as Linux counts
      extra.lastDataSentMs = s.nowMs;
    }
  }
  if ((flags & TCP_ACK) == 0) return;
  if (tcb.busy != 0) {
    const busy = busyOf(tcb);
    if (busy.quickAcks > 0 && tcb.flags & (TF_ACK_NOW | TF_DELACK)) busy.quickAcks--;
    // Data so soon after data came: the application talks back, ACKs can ride on it.
    const heard = tcb.extra != 0 && extraOf(tcb).dataSegsIn != 0;
    if (length > 0 && heard && s.now32 - busy.lastDataAtUs < 40_000) tcb.flags |= TF_PINGPONG;
    busy.pendingDupAcks = 0;
  }
  tcb.flags &= ~(TF_ACK_NOW | TF_DELACK);
}

/** Options of a connection's SYN (active open) or SYN-ACK (simultaneous open). */
function synOptions(tcb: Tcb, at: usize, flags: u32): u32 {
  const isV6 = (tcb.flags & TF_IPV6) != 0;
  const mss = advertisedMss(tcb.localAddress, isV6, tcb.rcvMss);
  const wscale: i32 = tcb.flags & TF_WSCALE_OK ? <i32>offeredScale() : -1;
  const ecr = flags & TCP_ACK ? tcb.tsRecent : 0;
  const ts = (tcb.flags & TF_TS_OK) != 0;
  const sack = (tcb.flags & TF_SACK_OK) != 0;
  return optionsWriteSyn(at, mss, sack, ts, tsNow(tcb.tsOffset), ecr, wscale);
}

/** Timestamps always; SACK blocks where there is no payload that they would push out. */
function plainOptions(tcb: Tcb, at: usize, length: u32): u32 {
  let bytes: u32 = 0;
  if (tcb.flags & TF_TS_OK) {
    bytes = optionsWriteTimestamps(at, tsNow(tcb.tsOffset), tcb.tsRecent);
  }
  if (length != 0 || tcb.busy == 0 || (tcb.flags & TF_SACK_OK) == 0) return bytes;
  const room = min(optionsSackRoom(bytes), pathRoom(tcb, bytes));
  return bytes + sackBlocks(busyOf(tcb), at + bytes, room);
}

/** SACK blocks that a packet of the path's MTU has room for: on a link of 68 bytes not all do. */
function pathRoom(tcb: Tcb, used: u32): u32 {
  const taken = headerBytes((tcb.flags & TF_IPV6) != 0) + used + 4;
  return <u32>tcb.pmtu > taken ? (<u32>tcb.pmtu - taken) >> 3 : 0;
}

//= rfc2018 4
/** D-SACK first (RFC 2883 §4), then ranges, the one touched last first. */
function sackBlocks(busy: Busy, at: usize, room: u32): u32 {
  const dsack: u32 = busy.dsackStart != busy.dsackEnd ? 1 : 0;
  const blocks = min(busy.rangeCount + dsack, room);
  if (blocks == 0) return 0;
  let bytes = optionsWriteSackHead(at, blocks);
  let left = blocks;
  if (dsack != 0) {
    bytes += optionsWriteSackBlock(at + bytes, busy.dsackStart, busy.dsackEnd);
    busy.dsackStart = 0;
    busy.dsackEnd = 0;
    left--;
  }
  let record = busy.rangeRecent;
  for (; left > 0 && record != 0; left--) {
    const range = changetype<Range>(<usize>record);
    bytes += optionsWriteSackBlock(at + bytes, range.seq, range.end);
    record = range.older;
  }
  return bytes;
}

/**
 * A segment without payload for an endpoint that is no connection. `optionBytes` were written by
 * the caller at controlOptionsAt(slot). `ttl` 0: the default.
 */
export function controlSend(
  e: Endpoint, slot: usize, seq: u32, ack: u32, flags: u32, window: u32, optionBytes: u32, tos: u32,
  ttl: u32,
): void {
  const at = ipL4(slot, isIpv6(e));
  tcpWrite(at, e.localPort, e.remotePort, seq, ack, 20 + optionBytes, flags, window, 0);
  const hops = ttl != 0 ? ttl : config(Config.ip_default_ttl);
  ipFinish(slot, e, TCP_PROTOCOL, tos, hops, 20 + optionBytes, 0, 0, true);
  count(Counter.TcpOutSegs);
}

/** Reserves an entry for controlSend; 0: ring full or link down. */
export function controlBegin(e: Endpoint): usize {
  return ipBegin(e.localAddress, isIpv6(e));
}

export function controlOptionsAt(e: Endpoint, slot: usize): usize {
  return ipL4(slot, isIpv6(e)) + 20;
}
