/**
 * RFC 9293 §3.10.7.4, first, second and fourth: is the segment acceptable, is it a RST, a SYN?
 * With RFC 7323 §5.3 (PAWS) before and RFC 5961 §3, §4 inside. A leaf of tcp/input.ts: it counts,
 * may ask for an ACK, and says what the parent does.
 */
import { Counter, State } from "../abi";
import { count } from "../core/counters";
import { seqGt, seqLt } from "../core/seq";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { Range } from "./busy";
import { TF_SACK_OK, Tcb } from "./records";
import { ackStamp, ackTooSoon, challengeAck } from "./reset";
import { busyOf } from "./tcb";
import { ackNow, duplicate } from "./text";
import { Paws, pawsVerdict } from "./timestamps";
import { receiveWindow } from "./window";

export const enum Acceptance {
  Drop = 0,
  Accept = 1,
  Reset = 2,
}

export function acceptance(tcb: Tcb, a: Arrival, o: TcpOptions): Acceptance {
  const paws = pawsVerdict(tcb, a, o);
  if (paws != Paws.Pass) {
    if (paws == Paws.Reject) outOfWindowAck(tcb, a, Counter.TcpExtTCPACKSkippedPAWS);
    else if (paws == Paws.Challenge) synChallenge(tcb);
    return Acceptance.Drop;
  }
  if (!sequenceAcceptable(tcb, a)) {
    if (a.flags & TCP_RST) {
      count(Counter.AckornRstIgnored);
    } else if (a.flags & TCP_SYN) {
      synChallenge(tcb);
    } else {
      count(Counter.AckornTcpOutOfWindow);
      outOfWindowAck(tcb, a, Counter.TcpExtTCPACKSkippedSeq);
    }
    return Acceptance.Drop;
  }
  if (a.flags & TCP_RST) return resetAcceptance(tcb, a);
  if (a.flags & TCP_SYN && !crossedSynAck(tcb, a)) {
    synChallenge(tcb);
    return Acceptance.Drop;
  }
  return Acceptance.Accept;
}

//= rfc9293 MUST-66
/** Linux's tcp_sequence: overlaps what was acknowledged last up to the promised right edge. */
function sequenceAcceptable(tcb: Tcb, a: Arrival): bool {
  const length = a.length + (a.flags & TCP_FIN ? 1 : 0) + (a.flags & TCP_SYN ? 1 : 0);
  if (seqLt(a.seq + length, tcb.rcvWup)) return false;
  return !seqGt(a.seq, tcb.rcvNxt + receiveWindow(tcb));
}

/** Simultaneous open: the peer's SYN-ACK, whose SYN we know (Linux: tcp_validate_incoming). */
function crossedSynAck(tcb: Tcb, a: Arrival): bool {
  if (tcb.state != State.SYN_RECV || (a.flags & (TCP_ACK | TCP_FIN)) != TCP_ACK) return false;
  return a.length == 0 && a.seq + 1 == tcb.rcvNxt && a.ack == tcb.sndNxt;
}

//= rfc9293 SHLD-2
//= rfc5961 3.2
/** Exactly rcvNxt resets; so does the end of the newest SACK block, as on Linux; else challenge. */
function resetAcceptance(tcb: Tcb, a: Arrival): Acceptance {
  if (a.seq == tcb.rcvNxt) return Acceptance.Reset;
  if (tcb.flags & TF_SACK_OK && tcb.busy != 0) {
    const newest = busyOf(tcb).rangeRecent;
    if (newest != 0 && a.seq == changetype<Range>(<usize>newest).end) return Acceptance.Reset;
  }
  challengeAck(tcb);
  return Acceptance.Drop;
}

//= rfc5961 4.2
function synChallenge(tcb: Tcb): void {
  count(Counter.TcpExtTCPSYNChallenge);
  challengeAck(tcb);
}

/**
 * "If an incoming segment is not acceptable, an acknowledgment should be sent": Linux limits those
 * without data to one in tcp_invalid_ratelimit ms, so that two confused ends do not ACK for ever.
 */
function outOfWindowAck(tcb: Tcb, a: Arrival, skipped: Counter): void {
  if (a.length == 0 && (a.flags & TCP_FIN) == 0) {
    if (ackTooSoon(tcb.challengeAt)) {
      count(skipped);
      return;
    }
    tcb.challengeAt = ackStamp();
  }
  const end = a.seq + a.length + (a.flags & TCP_FIN ? 1 : 0);
  if (end != a.seq && seqLt(a.seq, tcb.rcvNxt)) duplicate(tcb, a.seq, end);
  else ackNow(tcb);
}
