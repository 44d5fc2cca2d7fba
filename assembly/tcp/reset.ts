/**
 * Resets and challenge ACKs: the immediate replies of TCP input. RFC 9293 §3.5.2 and §3.10.7.1,
 * RFC 5961 §3 to §5. Challenge ACKs are limited per connection: one count shared by all is a side
 * channel (CVE-2016-5696).
 */
import { Config, Counter, Errno, EVENT_ERROR } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { Arrival } from "./arrival";
import { Endpoint, Tcb } from "./records";
import { controlBegin, controlSend, segmentSend } from "./segment-build";
import { tcbClosed } from "./tcb";
import { ackNow } from "./text";

/** §3.10.7.1: the answer to a segment that fits no connection; `e` is its four-tuple. */
export function resetReply(e: Endpoint, a: Arrival): void {
  if (a.flags & TCP_RST) return;
  const slot = controlBegin(e);
  if (slot == 0) return; // the peer will ask again
  count(Counter.TcpOutRsts);
  if (a.flags & TCP_ACK) {
    controlSend(e, slot, a.ack, 0, TCP_RST, 0, 0, 0, 0);
    return;
  }
  const length = a.length + (a.flags & TCP_SYN ? 1 : 0) + (a.flags & TCP_FIN ? 1 : 0);
  controlSend(e, slot, 0, a.seq + length, TCP_RST | TCP_ACK, 0, 0, 0, 0);
}

/** Tells the peer of an abort: RST at sndNxt, which it will find acceptable. */
export function resetSend(tcb: Tcb): void {
  count(Counter.TcpOutRsts);
  segmentSend(tcb, tcb.sndNxt, 0, TCP_RST | TCP_ACK);
}

/** We end the connection: RST out, then CLOSE with `error` for the user. */
export function abortConnection(tcb: Tcb, error: Errno): void {
  resetSend(tcb);
  tcbClosed(tcb, error, error != Errno.OK ? EVENT_ERROR : 0);
}

/** Now in units of 64 ms modulo 256, never 0, which stands for "none yet". */
export function ackStamp(): u8 {
  const now = (system().nowMs >> 6) & 255;
  return now == 0 ? 1 : <u8>now;
}

/** Was an ACK of the same kind sent at `stamp`, less than tcp_invalid_ratelimit ms ago? */
export function ackTooSoon(stamp: u8): bool {
  const limit = config(Config.tcp_invalid_ratelimit) >> 6;
  return stamp != 0 && ((<u32>ackStamp() - stamp) & 255) < limit;
}

/**
 * RFC 5961 §7: at most one challenge ACK per connection in tcp_invalid_ratelimit ms. The time of
 * the last one has eight bits in the record: after a long silence one in thirty may be skipped
 * wrongly, and the peer asks again; the alternative was four more bytes in every connection.
 */
export function challengeAck(tcb: Tcb): void {
  if (ackTooSoon(tcb.challengeAt)) {
    count(Counter.TcpExtTCPACKSkippedChallenge);
    return;
  }
  tcb.challengeAt = ackStamp();
  count(Counter.TcpExtTCPChallengeACK);
  ackNow(tcb);
}
