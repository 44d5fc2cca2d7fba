/**
 * What can be asked about connections: tcp_info, names, and a walk over all records for ss.
 * Called through index.ts; reads everything, changes nothing.
 */
import {
  Config, Congestion, Errno, HandleKind, RESULT_AT, SocketWord, State, TcpInfo, Timer,
} from "../abi";
import { config } from "../config";
import { readU32, writeU32, zeroBytes } from "../core/bytes";
import { PoolId, pool } from "../core/pool";
import { streamHeld } from "../core/stream";
import { addressWords } from "../ip/route";
import { system } from "../memory";
import { Busy, SEGMENT_BYTES, recvStream, sendStream } from "./busy";
import { bbrBw, bbrOf } from "./congestion/bbr-model";
import { cwndGain, pacingGain } from "./congestion/bbr-probe";
import { RATE_MAX, windowRate } from "./congestion/pacing-rate";
import { deliveryRate } from "./delivery-rate";
import { advertisedMss } from "./options";
import {
  EXTRA_BYTES, Endpoint, LISTENER_BYTES, LOCAL_ANY, Listener, RecordKind, SYN_REQUEST_BYTES,
  SynRequest, TCB_BYTES, TF_ECN_OK, TF_IN_ACCEPT, TF_IPV6, TF_ORPHAN, TF_SACK_OK, TF_TS_OK,
  TF_WSCALE_OK, TIME_WAIT_BYTES, TOS_ECN_SEEN, Tcb, TimerKind,
} from "./records";
import { rtoBackedOffUs } from "./rtt";
import { segmentsIn } from "./segments";
import { BUSY_SHIFT, busyOf, extraOf } from "./tcb";
import { rcvScale, receiveBufferOf, receiveWindow, sndScale } from "./window";

// @ts-ignore: decorator
@inline
function put(word: u32, value: u32): void {
  writeU32(RESULT_AT + (word << 2), value);
}

// @ts-ignore: decorator
@inline
function put64(word: u32, value: u64): void {
  put(word, <u32>value);
  put(word + 1, <u32>(value >> 32));
}

/** Linux's TCPI_OPT bits. */
function optionBits(tcb: Tcb): u32 {
  let bits: u32 = 0;
  if (tcb.flags & TF_TS_OK) bits |= 1;
  if (tcb.flags & TF_SACK_OK) bits |= 2;
  if (tcb.flags & TF_WSCALE_OK) bits |= 4;
  if (tcb.flags & TF_ECN_OK) bits |= 8;
  if (tcb.tos & TOS_ECN_SEEN) bits |= 16;
  return bits;
}

/** Arena bytes and records that a connection holds now. */
export function memoryOf(tcb: Tcb): u32 {
  let bytes = TCB_BYTES;
  if (tcb.extra != 0) bytes += EXTRA_BYTES;
  if (tcb.busy == 0) return bytes;
  const busy = busyOf(tcb);
  bytes += <u32>1 << BUSY_SHIFT;
  bytes += sendStream(busy).arenaBytes + recvStream(busy).arenaBytes;
  return bytes + (busy.segmentCount + busy.rangeCount) * SEGMENT_BYTES;
}

/** Words written at RESULT. RFC 9293 §3.9.1.7 STATUS, as Linux's struct tcp_info. */
export function tcpInfoOf(tcb: Tcb): i32 {
  zeroBytes(RESULT_AT, TcpInfo.WORDS * 4);
  const mss = max<u32>(tcb.sndMss, 1);
  put(TcpInfo.state, tcb.state);
  put(TcpInfo.retransmits, tcb.retries);
  put(TcpInfo.backoff, tcb.backoff);
  put(TcpInfo.probes, tcb.timerKind == TimerKind.Persist ? <u32>tcb.retries : 0);
  put(TcpInfo.options, optionBits(tcb));
  put(TcpInfo.snd_wscale, sndScale(tcb));
  put(TcpInfo.rcv_wscale, rcvScale(tcb));
  put(TcpInfo.rto, rtoBackedOffUs(tcb));
  put(TcpInfo.ato, 40_000);
  put(TcpInfo.snd_mss, tcb.sndMss);
  put(TcpInfo.rcv_mss, tcb.rcvMss);
  put(TcpInfo.pmtu, tcb.pmtu);
  put(TcpInfo.rtt, tcb.srtt8Us >> 3);
  put(TcpInfo.rttvar, tcb.rttvar4Us >> 2);
  const infinite = tcb.ssthresh >= 0x7fffffff;
  put(TcpInfo.snd_ssthresh, infinite ? 0x7fffffff : tcb.ssthresh / mss);
  put(TcpInfo.ssthresh_bytes, tcb.ssthresh);
  put(TcpInfo.snd_cwnd, tcb.cwnd / mss);
  put(TcpInfo.cwnd_bytes, tcb.cwnd);
  put(TcpInfo.advmss, advmss(tcb));
  put(TcpInfo.reordering, config(Config.tcp_reordering));
  put(TcpInfo.snd_wnd, tcb.sndWnd);
  put(TcpInfo.rcv_wnd, receiveWindow(tcb));
  put(TcpInfo.rcv_space, receiveBufferOf(tcb));
  put(TcpInfo.rcv_ssthresh, receiveBufferOf(tcb));
  put(TcpInfo.congestion, tcb.congestion);
  put(TcpInfo.memory_bytes, memoryOf(tcb));
  put(TcpInfo.min_rtt, 0xffffffff);
  if (tcb.extra != 0) extraInfo(tcb);
  if (tcb.busy != 0) busyInfo(tcb, busyOf(tcb));
  return TcpInfo.WORDS;
}

function advmss(tcb: Tcb): u32 {
  if (tcb.localAddress == LOCAL_ANY) return 0;
  return advertisedMss(tcb.localAddress, (tcb.flags & TF_IPV6) != 0, 0);
}

function extraInfo(tcb: Tcb): void {
  const extra = extraOf(tcb);
  const nowMs = system().nowMs;
  put64(TcpInfo.bytes_acked_lo, extra.bytesAcked);
  put64(TcpInfo.bytes_received_lo, extra.bytesReceived);
  put64(TcpInfo.bytes_sent_lo, extra.bytesSent);
  put64(TcpInfo.bytes_retrans_lo, extra.bytesRetrans);
  put(TcpInfo.segs_out, extra.segsOut);
  put(TcpInfo.segs_in, extra.segsIn);
  put(TcpInfo.data_segs_in, extra.dataSegsIn);
  put(TcpInfo.data_segs_out, extra.dataSegsOut);
  put(TcpInfo.total_retrans, extra.totalRetrans);
  put(TcpInfo.delivered, extra.delivered);
  put(TcpInfo.min_rtt, extra.minRttUs);
  put(TcpInfo.last_data_sent, nowMs - extra.lastDataSentMs);
  put(TcpInfo.last_data_recv, nowMs - extra.lastDataRecvMs);
  put(TcpInfo.last_ack_recv, nowMs - extra.lastAckRecvMs);
  put(TcpInfo.last_ack_sent, nowMs - extra.lastDataRecvMs);
  put(TcpInfo.total_rto, extra.totalRto);
  put(TcpInfo.dsack_dups, extra.dsackDups);
}

/** The most that the field of a rate can hold means that there is no limit. */
function putRate(word: u32, rate: u64): void {
  put64(word, rate < RATE_MAX ? rate : u64.MAX_VALUE);
}

function putBbr(busy: Busy): void {
  put64(TcpInfo.bbr_bw_lo, bbrBw(bbrOf(busy)));
  put(TcpInfo.bbr_min_rtt, bbrOf(busy).minRttUs);
  put(TcpInfo.bbr_pacing_gain, pacingGain(bbrOf(busy).state));
  put(TcpInfo.bbr_cwnd_gain, cwndGain(bbrOf(busy).state));
  put(TcpInfo.bbr_phase, bbrOf(busy).state);
}

function busyInfo(tcb: Tcb, busy: Busy): void {
  const send = sendStream(busy);
  const inOrder = streamHeld(recvStream(busy));
  put(TcpInfo.ca_state, busy.caState);
  put(TcpInfo.delivered_ce, busy.deliveredCe);
  put(TcpInfo.unacked, segmentsIn(tcb, tcb.sndNxt - tcb.sndUna));
  put(TcpInfo.sacked, segmentsIn(tcb, busy.sackedBytes));
  put(TcpInfo.lost, segmentsIn(tcb, busy.lostBytes));
  put(TcpInfo.retrans, segmentsIn(tcb, busy.retransBytes));
  put(TcpInfo.reordering, busy.reordering);
  put(TcpInfo.rcv_rtt, busy.rcvRttUs >> 3);
  put(TcpInfo.rcv_space, max(busy.rcvSpaceBytes, 1));
  put(TcpInfo.rcv_ooopack, busy.rangeCount);
  const held = streamHeld(send);
  const flight = tcb.sndNxt - tcb.sndUna;
  put(TcpInfo.notsent_bytes, held > flight ? held - flight : 0);
  put64(TcpInfo.delivery_rate_lo, deliveryRate(busy));
  // Unpaced, what the rate would be, as Linux shows it.
  const rate: u64 = busy.pacingRate != 0 ? busy.pacingRate : windowRate(tcb);
  putRate(TcpInfo.pacing_rate_lo, rate);
  putRate(TcpInfo.max_pacing_rate_lo, busy.maxPacingRate != 0 ? busy.maxPacingRate : RATE_MAX);
  if (tcb.congestion == Congestion.bbr) putBbr(busy);
  put(TcpInfo.inq, inOrder);
  put(TcpInfo.outq, held);
  put(TcpInfo.reord_seen, busy.reordSeen);
}

// ---- Names

function putAddress(word: u32, at: usize): void {
  for (let i: u32 = 0; i < 4; i++) put(word + i, bswap<u32>(readU32(at + (i << 2))));
}

function putLocal(word: u32, localAddress: u32): void {
  if (localAddress != LOCAL_ANY) putAddress(word, addressWords(localAddress));
  else zeroBytes(RESULT_AT + (word << 2), 16);
}

const REMOTE: usize = offsetof<Endpoint>("remote0");

/** a0…a3 and port of the local (0) or remote (1) end at RESULT. */
export function nameOf(e: Endpoint, peer: u32): i32 {
  if (peer > 1) return -Errno.EINVAL;
  if (peer == 1 && e.remotePort == 0) return -Errno.ENOTCONN;
  if (peer == 1) putAddress(0, changetype<usize>(e) + REMOTE);
  else putLocal(0, e.localAddress);
  put(4, peer == 1 ? e.remotePort : e.localPort);
  return 0;
}

// ---- The walk: a cursor is pool << 26 | index + 1

const CURSOR_POOL: u32 = 26;
const CURSOR_INDEX: u32 = (1 << 26) - 1;

/** Next record of any kind after `cursor` (0: from the start); 0 at the end. */
export function nextRecord(cursor: u32): u32 {
  let id = cursor >> CURSOR_POOL;
  let index = cursor & CURSOR_INDEX;
  for (; id <= <u32>PoolId.Listener; id++) {
    const p = pool(id);
    for (; index < p.fresh; index++) {
      const record = <usize>p.base + index * p.stride;
      const kind = changetype<Endpoint>(record).kind;
      if (kind == RecordKind.Free) continue;
      describe(record, kind, index);
      return (id << CURSOR_POOL) | (index + 1);
    }
    index = 0;
  }
  return 0;
}

function describe(record: usize, kind: u32, index: u32): void {
  const e = changetype<Endpoint>(record);
  zeroBytes(RESULT_AT, SocketWord.WORDS * 4);
  put(SocketWord.index, index);
  put(SocketWord.state, kind == RecordKind.SynRequest ? State.SYN_RECV : e.state);
  putLocal(SocketWord.local0, e.localAddress);
  put(SocketWord.localPort, e.localPort);
  if (kind == RecordKind.Listener) {
    describeListener(changetype<Listener>(record));
    return;
  }
  putAddress(SocketWord.remote0, record + REMOTE);
  put(SocketWord.remotePort, e.remotePort);
  if (kind == RecordKind.Connection) describeConnection(changetype<Tcb>(record));
  else if (kind == RecordKind.TimeWait) {
    put(SocketWord.timer, Timer.timewait);
    put(SocketWord.timerUs, untilUs(e.wheelDeadline));
    put(SocketWord.memoryBytes, TIME_WAIT_BYTES);
  } else {
    put(SocketWord.timer, Timer.synack);
    put(SocketWord.timerUs, untilUs(e.wheelDeadline));
    put(SocketWord.retransmits, changetype<SynRequest>(record).retransmits);
    put(SocketWord.memoryBytes, SYN_REQUEST_BYTES);
  }
}

function untilUs(deadline: u32): u32 {
  const ticks = deadline - system().nowTick;
  return <i32>ticks <= 0 ? 0 : <u32>min<u64>(<u64>ticks << 6, 0xffffffff);
}

function describeListener(l: Listener): void {
  put(SocketWord.kind, HandleKind.Listener);
  put(SocketWord.generation, l.generation);
  put(SocketWord.recvQ, l.acceptCount);
  put(SocketWord.sendQ, l.backlog);
  put(SocketWord.memoryBytes, LISTENER_BYTES);
}

function describeConnection(tcb: Tcb): void {
  const owned = (tcb.flags & (TF_ORPHAN | TF_IN_ACCEPT)) == 0;
  put(SocketWord.kind, owned ? HandleKind.Connection : 0);
  put(SocketWord.generation, tcb.generation);
  put(SocketWord.retransmits, tcb.retries);
  put(SocketWord.memoryBytes, memoryOf(tcb));
  const kind = tcb.timerKind;
  let timer = Timer.off;
  const on = kind == TimerKind.Retransmit || kind == TimerKind.Syn || kind == TimerKind.Tlp ||
    kind == TimerKind.Reorder;
  if (on) timer = Timer.on;
  else if (kind == TimerKind.Persist) timer = Timer.persist;
  else if (kind == TimerKind.KeepAlive) timer = Timer.keepalive;
  else if (kind == TimerKind.FinWait2) timer = Timer.timewait;
  put(SocketWord.timer, timer);
  if (timer != Timer.off) put(SocketWord.timerUs, untilUs(tcb.timerDeadline));
  if (tcb.busy == 0) return;
  const busy = busyOf(tcb);
  put(SocketWord.recvQ, streamHeld(recvStream(busy)));
  put(SocketWord.sendQ, streamHeld(sendStream(busy)));
}
