/**
 * The receive window: what is told to the peer and when. RFC 9293 §3.8.6 (the right edge never
 * moves left, silly-window avoidance of the receiver) and RFC 7323 §2 (scaling). And its growth:
 * dynamic right-sizing as Linux does it. Called by output.ts (a segment is built) and user.ts
 * (bytes read).
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { seqGt } from "../core/seq";
import { system } from "../memory";
import { TcpOptions } from "../wire/tcp-options";
import { Busy } from "./busy";
import { fairShare, underPressure } from "./pressure";
import { TF_RCVBUF_LOCK, TF_TS_OK, Tcb } from "./records";
import { busyOf, extraOf } from "./tcb";
import { tsNow } from "./timestamps";

/** Largest window that a 16-bit field and a shift of 14 can tell (RFC 7323 §2.3). */
export const WINDOW_MAX: u32 = 65535 << 14;

// @ts-ignore: decorator
@inline
export function sndScale(tcb: Tcb): u32 {
  return <u32>tcb.wscale & 15;
}

// @ts-ignore: decorator
@inline
export function rcvScale(tcb: Tcb): u32 {
  return <u32>tcb.wscale >> 4;
}

/** Bytes from rcvNxt to the right edge we promised. */
// @ts-ignore: decorator
@inline
export function receiveWindow(tcb: Tcb): u32 {
  const edge = tcb.rcvWup + tcb.rcvWnd;
  return seqGt(edge, tcb.rcvNxt) ? edge - tcb.rcvNxt : 0;
}

/** Shift that lets the window reach tcp_rmem's maximum (Linux's tcp_select_initial_window). */
export function scaleFor(maxBytes: u32): u32 {
  let shift: u32 = 0;
  while (shift < 14 && maxBytes > <u32>65535 << shift) shift++;
  return shift;
}

/** Bytes of buffer the peer may still fill beyond rcvNxt. */
function freeSpace(tcb: Tcb): u32 {
  if (tcb.busy == 0) return receiveWindow(tcb);
  const busy = busyOf(tcb);
  const unread = tcb.rcvNxt - busy.consumedSeq;
  const free = busy.rcvBuf > unread ? busy.rcvBuf - unread : 0;
  if (!underPressure()) return free;
  const share = fairShare(tcb, busy);
  return min(free, share > unread ? share - unread : 0);
}

/** Increase worth telling: RFC 9293 §3.8.6.2.2, min(half the buffer, one segment). */
// @ts-ignore: decorator
@inline
function worthTelling(tcb: Tcb): u32 {
  let buffer = tcb.busy == 0 ? tcb.rcvWnd : busyOf(tcb).rcvBuf;
  if (underPressure() && tcb.busy != 0) buffer = min(buffer, fairShare(tcb, busyOf(tcb)));
  return max<u32>(min(buffer >> 1, <u32>tcb.rcvMss), 1);
}

//= rfc9293 SHLD-14, MAY-8
//= rfc9293 MUST-39
/** The window to tell now, bytes from rcvNxt: never less than promised before. */
function windowToTell(tcb: Tcb): u32 {
  const promised = receiveWindow(tcb);
  const free = freeSpace(tcb);
  const shift = rcvScale(tcb);
  let window = promised;
  if (free >= promised + worthTelling(tcb)) window = (free >> shift) << shift;
  // What the shift cuts off must not move the edge left: round up, as Linux does.
  if (window < promised) window = promised;
  window = ((window + (<u32>1 << shift) - 1) >> shift) << shift;
  return min(window, <u32>65535 << shift);
}

/** For a segment about to leave: fixes the promise, returns the header's field. */
export function windowSelect(tcb: Tcb): u32 {
  const before = receiveWindow(tcb);
  const window = windowToTell(tcb);
  if (window == 0 && tcb.rcvWnd != 0) count(Counter.TcpExtTCPToZeroWindowAdv);
  if (window != 0 && before == 0 && tcb.rcvWnd == 0) count(Counter.TcpExtTCPFromZeroWindowAdv);
  tcb.rcvWnd = window;
  tcb.rcvWup = tcb.rcvNxt;
  return window >> rcvScale(tcb);
}

/** After a read: is the peer to be told at once (Linux's __tcp_cleanup_rbuf)? */
export function windowUpdateDue(tcb: Tcb): bool {
  const now = receiveWindow(tcb);
  const fresh = windowToTell(tcb);
  if (fresh <= now) return false;
  if (now == 0) return true;
  return fresh >= 2 * now || fresh - now >= 2 * <u32>tcb.rcvMss;
}

// ---- growth (Linux: tcp_rcv_space_adjust, tcp_rcv_rtt_measure)

/**
 * RTT as a receiver sees it: a full segment echoes what we sent one round trip ago. The clock of
 * timestamps ticks in ms, so below one only the window tells more (Linux's tcp_rcv_rtt_measure_ts).
 */
export function receiverRttByTimestamp(tcb: Tcb, busy: Busy, length: u32, o: TcpOptions): void {
  if ((tcb.flags & TF_TS_OK) == 0 || o.tsEcr == 0 || length < <u32>tcb.rcvMss) return;
  const ms = tsNow(tcb.tsOffset) - o.tsEcr;
  if (ms == 0 || ms > 1_000_000) return;
  const sample = ms * 1000;
  if (busy.rcvRttUs == 0) busy.rcvRttUs = sample << 3;
  else busy.rcvRttUs += sample - (busy.rcvRttUs >> 3);
}

/** Always: the time in which one window of data came is an upper bound. */
export function receiverRttByWindow(tcb: Tcb, busy: Busy): void {
  if (!seqGt(tcb.rcvNxt, busy.rcvRttSeq)) return;
  const now = system().now32;
  const took = max<u32>(now - busy.rcvRttAtUs, 1);
  if (busy.rcvRttUs == 0 || took < busy.rcvRttUs >> 3) busy.rcvRttUs = took << 3;
  busy.rcvRttSeq = tcb.rcvNxt + tcb.rcvWnd;
  busy.rcvRttAtUs = now;
}

/** The user has read: once an RTT, make room for twice what was read in it. */
export function windowGrow(tcb: Tcb, busy: Busy): void {
  const now = system().now32;
  if (busy.rcvRttUs == 0 || now - busy.rcvSpaceAtUs < busy.rcvRttUs >> 3) return;
  const copied = busy.consumedSeq - busy.rcvSpaceSeq;
  if (copied > busy.rcvSpaceBytes) {
    const mayGrow = (tcb.flags & TF_RCVBUF_LOCK) == 0 && !underPressure();
    if (config(Config.tcp_moderate_rcvbuf) != 0 && mayGrow) {
      // Twice what was read, and twice again by how much that grew: slow start doubles each RTT.
      const twice = (<u64>copied << 1) + 16 * <u32>tcb.rcvMss;
      const grew = copied - busy.rcvSpaceBytes;
      const wanted = twice + ((twice * grew / max<u32>(busy.rcvSpaceBytes, 1)) << 1);
      const limit = min(config(Config.tcp_rmem_max), <u32>65535 << rcvScale(tcb));
      const size = <u32>min<u64>(wanted, limit);
      if (size > busy.rcvBuf) busy.rcvBuf = size;
    }
    busy.rcvSpaceBytes = copied;
  }
  busy.rcvSpaceSeq = busy.consumedSeq;
  busy.rcvSpaceAtUs = now;
}

/** rcvBuf of a connection that has no Busy record (its user's choice or the default). */
export function receiveBufferOf(tcb: Tcb): u32 {
  if (tcb.busy != 0) return busyOf(tcb).rcvBuf;
  if (tcb.extra != 0 && extraOf(tcb).rcvBuf != 0) return extraOf(tcb).rcvBuf;
  return config(Config.tcp_rmem_default);
}
