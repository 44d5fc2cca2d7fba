/**
 * Keep-alives: off unless SO_KEEPALIVE, two hours of silence by default, then probes without data
 * at sndNxt-1 until one is answered or tcp_keepalive_probes are not. RFC 9293 §3.8.4.
 */
import { Config, Counter, Errno } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { system } from "../memory";
import { TCP_ACK } from "../wire/tcp";
import { TF_KEEPALIVE, Tcb, TimerKind } from "./records";
import { abortConnection } from "./reset";
import { segmentSend } from "./segment-build";
import { extraOf } from "./tcb";
import { timerSet, timersRefresh } from "./timers";

//= rfc9293 MUST-27
function idleS(tcb: Tcb): u32 {
  const own = tcb.extra != 0 ? <u32>extraOf(tcb).keepIdleS : 0;
  return own != 0 ? own : config(Config.tcp_keepalive_time);
}

function intervalS(tcb: Tcb): u32 {
  const own = tcb.extra != 0 ? <u32>extraOf(tcb).keepIntvlS : 0;
  return own != 0 ? own : config(Config.tcp_keepalive_intvl);
}

function probesMax(tcb: Tcb): u32 {
  const own = tcb.extra != 0 ? <u32>extraOf(tcb).keepCnt : 0;
  return own != 0 ? own : config(Config.tcp_keepalive_probes);
}

function silentMs(tcb: Tcb): u32 {
  return tcb.extra != 0 ? system().nowMs - extraOf(tcb).lastAckRecvMs : 0;
}

/** µs until the next probe might be due. */
export function keepAliveDelayUs(tcb: Tcb): u64 {
  const idleMs = <u64>idleS(tcb) * 1000;
  const silent = <u64>silentMs(tcb);
  return (idleMs > silent ? idleMs - silent : 1) * 1000;
}

/** Silence has lasted: whatever else the connection waits for, the peer is to be asked now. */
export function keepAliveDue(tcb: Tcb): bool {
  return (tcb.flags & TF_KEEPALIVE) != 0 && <u64>silentMs(tcb) >= <u64>idleS(tcb) * 1000;
}

//= rfc9293 MUST-24, MAY-5
//= rfc9293 MUST-26
//= rfc9293 MUST-29
//= rfc9293 SHLD-12
/** timers.ts calls it only when nothing is in flight or queued. */
export function keepAliveFire(tcb: Tcb): void {
  if ((tcb.flags & TF_KEEPALIVE) == 0) return;
  if (!keepAliveDue(tcb)) {
    tcb.retries = 0;
    timersRefresh(tcb);
    return;
  }
  if (tcb.retries >= probesMax(tcb)) {
    count(Counter.TcpExtTCPAbortOnTimeout);
    abortConnection(tcb, Errno.ETIMEDOUT);
    return;
  }
  tcb.retries++;
  count(Counter.TcpExtTCPKeepAlive);
  segmentSend(tcb, tcb.sndNxt - 1, 0, TCP_ACK);
  timerSet(tcb, TimerKind.KeepAlive, <u64>intervalS(tcb) * 1_000_000);
}
