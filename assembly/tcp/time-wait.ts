/**
 * TIME-WAIT in a small record of its own: 2 MSL of 60 s in all (Linux's TCP_TIMEWAIT_LEN), reuse by
 * RFC 6191 and tcp_tw_reuse, RFC 1337. The connection record is freed, or, when its user has not
 * closed yet, keeps the unread bytes beside it. RFC 9293 §3.6.1 and §3.10.7.4.
 */
import { Config, Counter, Errno, State, Trace } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { PoolId, poolGive, poolIndex, poolTake } from "../core/pool";
import { seqGt, seqLt } from "../core/seq";
import { wheelArm, wheelCancel } from "../core/timer-wheel";
import { trace } from "../core/trace";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { OPT_TIMESTAMPS, TcpOptions, optionsWriteTimestamps } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { demuxInsert, demuxRemove } from "./demux";
import { tsOffsetFor } from "./isn";
import {
  Endpoint, RecordKind, TF_TS_OK, TW_TIMESTAMPS, Tcb, TimeWait,
} from "./records";
import { controlBegin, controlOptionsAt, controlSend } from "./segment-build";
import { indexOf, portsOf, tcbClosed } from "./tcb";
import { ackStamp, ackTooSoon } from "./reset";
import { pawsOld, tsNow } from "./timestamps";
import { rcvScale, receiveWindow } from "./window";

/** Linux's TCP_TIMEWAIT_LEN, 60 s, in ticks. */
//= rfc9293 MUST-13
const TIME_WAIT_TICKS: u32 = 60_000_000 >> 6;
/** tcp_tw_reuse wants the peer's clock to have moved on by a second. */
const REUSE_AFTER_S: u32 = 1;
/** Linux: the new ISN lies beyond every window of the old connection. */
const ISN_GAP: u32 = 65535 + 2;

/** The connection goes over into TIME-WAIT; its user may still hold the handle. */
export function timeWaitEnter(tcb: Tcb): void {
  const s = system();
  trace(Trace.StateChange, indexOf(tcb), portsOf(tcb), tcb.state, State.TIME_WAIT, 0);
  const full = s.timeWaitCount >= config(Config.tcp_max_tw_buckets);
  const record: usize = full ? 0 : poolTake(PoolId.TimeWait);
  if (record == 0) {
    count(Counter.TcpExtTCPTimeWaitOverflow);
    tcb.state = <u8>State.TIME_WAIT;
    tcbClosed(tcb, Errno.OK, 0);
    return;
  }
  const tw = changetype<TimeWait>(record);
  tw.remote0 = tcb.remote0;
  tw.remote1 = tcb.remote1;
  tw.remote2 = tcb.remote2;
  tw.remote3 = tcb.remote3;
  tw.remotePort = tcb.remotePort;
  tw.localPort = tcb.localPort;
  tw.localAddress = tcb.localAddress;
  tw.kind = <u8>RecordKind.TimeWait;
  tw.state = <u8>State.TIME_WAIT;
  tw.wheelLink = 0;
  tw.rcvNxt = tcb.rcvNxt;
  tw.sndNxt = tcb.sndNxt;
  tw.windowField = <u16>min<u32>(receiveWindow(tcb) >> rcvScale(tcb), 65535);
  tw.flags = tcb.flags & TF_TS_OK ? TW_TIMESTAMPS : 0;
  tw.tsRecent = tcb.tsRecent;
  tw.tsRecentAge = tcb.tsRecentAge;
  tcb.state = <u8>State.CLOSE; // of the record; the trace above told of the connection's state
  tcbClosed(tcb, Errno.OK, 0);
  s.timeWaitCount++;
  count(Counter.TcpExtTW);
  demuxInsert(changetype<Endpoint>(record));
  wheelArm(record, s.nowTick + TIME_WAIT_TICKS);
}

export function timeWaitEnd(tw: TimeWait): void {
  wheelCancel(changetype<usize>(tw));
  demuxRemove(changetype<Endpoint>(tw));
  const ports = (<u32>tw.localPort << 16) | <u32>tw.remotePort;
  const index = poolIndex(PoolId.TimeWait, changetype<usize>(tw));
  trace(Trace.StateChange, index, ports, State.TIME_WAIT, State.CLOSE, 0);
  tw.kind = <u8>RecordKind.Free;
  system().timeWaitCount--;
  poolGive(PoolId.TimeWait, changetype<usize>(tw));
}

function restart(tw: TimeWait): void {
  wheelCancel(changetype<usize>(tw));
  wheelArm(changetype<usize>(tw), system().nowTick + TIME_WAIT_TICKS);
}

/** What tcp/input.ts does with a segment for a TIME-WAIT record. */
export const enum TimeWaitVerdict {
  Done = 0,
  /** A new SYN that RFC 6191 lets in: the record is gone, the listener takes over. */
  Reopen = 1,
}

//= rfc9293 MAY-2, SHLD-4
//= rfc6191 2
/** Linux's tcp_timewait_state_process. */
export function timeWaitInput(tw: TimeWait, a: Arrival, o: TcpOptions): TimeWaitVerdict {
  const hasTs = (tw.flags & TW_TIMESTAMPS) != 0 && (o.present & OPT_TIMESTAMPS) != 0;
  const old = hasTs && pawsOld(tw.tsRecent, tw.tsRecentAge, o.tsVal);
  const inOrder = a.seq == tw.rcvNxt && a.length == 0;
  if (!old && a.seq == tw.rcvNxt && (inOrder || (a.flags & TCP_RST) != 0)) {
    if (a.flags & TCP_RST) {
      if (config(Config.tcp_rfc1337) == 0) timeWaitEnd(tw); // TIME-WAIT assassination, as Linux
      return TimeWaitVerdict.Done;
    }
    if ((a.flags & (TCP_SYN | TCP_FIN)) == 0) {
      restart(tw);
      if (hasTs) {
        tw.tsRecent = o.tsVal;
        tw.tsRecentAge = system().nowS;
      }
      return TimeWaitVerdict.Done;
    }
  }
  const isSyn = (a.flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_SYN;
  if (isSyn && !old) {
    const newer = seqGt(a.seq, tw.rcvNxt) || (hasTs && seqLt(tw.tsRecent, o.tsVal));
    if (newer) return TimeWaitVerdict.Reopen;
  }
  if (old) count(Counter.TcpExtPAWSEstab);
  if ((a.flags & TCP_RST) == 0) {
    if (old || a.flags & TCP_ACK) restart(tw);
    limitedAck(tw, a);
  }
  return TimeWaitVerdict.Done;
}

/** ISN of the connection that follows in the same four-tuple. */
export function timeWaitNextIsn(tw: TimeWait): u32 {
  const isn = tw.sndNxt + ISN_GAP;
  return isn == 0 ? 1 : isn;
}

/** May an active open take this four-tuple over (tcp_tw_reuse, RFC 6191)? */
export function timeWaitReusable(tw: TimeWait): bool {
  if (config(Config.tcp_tw_reuse) != 1 || (tw.flags & TW_TIMESTAMPS) == 0) return false;
  return system().nowS - tw.tsRecentAge > REUSE_AFTER_S;
}

/**
 * Two ends that both think the other is confused must not ACK for ever: what carries nothing is
 * answered once in tcp_invalid_ratelimit ms (Linux: tcp_timewait_check_oow_rate_limit). The time of
 * the last one stands in the upper half of `flags`.
 */
function limitedAck(tw: TimeWait, a: Arrival): void {
  const carries = a.length != 0 || (a.flags & TCP_FIN) != 0;
  if (!carries || (a.flags & TCP_SYN) != 0) {
    if (ackTooSoon(<u8>(tw.flags >> 8))) {
      count(Counter.TcpExtTCPACKSkippedTimeWait);
      return;
    }
    tw.flags = (tw.flags & 255) | (<u16>ackStamp() << 8);
  }
  acknowledge(tw);
}

/** The last ACK again (the peer's FIN was retransmitted). */
function acknowledge(tw: TimeWait): void {
  const e = changetype<Endpoint>(tw);
  const slot = controlBegin(e);
  if (slot == 0) return;
  let bytes: u32 = 0;
  if (tw.flags & TW_TIMESTAMPS) {
    const at = controlOptionsAt(e, slot);
    bytes = optionsWriteTimestamps(at, tsNow(tsOffsetFor(e)), tw.tsRecent);
  }
  controlSend(e, slot, tw.sndNxt, tw.rcvNxt, TCP_ACK, tw.windowField, bytes, 0, 0);
}
