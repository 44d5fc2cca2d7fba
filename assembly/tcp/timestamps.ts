/**
 * The timestamps option: clock, PAWS and what to echo. RFC 7323 §3 to §5.
 * Our clock counts milliseconds from an offset keyed by the addresses, so that it tells a peer
 * neither our uptime nor anything about other connections.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { seqLe, seqLt } from "../core/seq";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { OPT_TIMESTAMPS, TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { TF_TS_OK, Tcb } from "./records";
import { rtoUs } from "./rtt";
import { busyOf } from "./tcb";

/** RFC 7323 §5.5: a tsRecent older than 24 days says nothing any more. */
const PAWS_24_DAYS_S: u32 = 24 * 86400;
/** Linux's TCP_PAWS_WINDOW: reordering by one tick of the peer's clock is no sign of age. */
const PAWS_WINDOW: i32 = 1;

/** TSval of a segment that leaves now. */
// @ts-ignore: decorator
@inline
export function tsNow(offset: u32): u32 {
  return system().nowMs + offset;
}

/**
 * Is tsVal older than what we have seen, and what we have seen fresh enough to say so? A tsRecent
 * of 0 says nothing: there are stacks whose SYN alone has it (Linux: tcp_paws_check).
 */
export function pawsOld(tsRecent: u32, tsRecentAge: u32, tsVal: u32): bool {
  return olderBy(tsRecent, tsRecentAge, tsVal, PAWS_WINDOW);
}

function olderBy(tsRecent: u32, tsRecentAge: u32, tsVal: u32, tolerance: i32): bool {
  if (tsRecent == 0 || i32(tsRecent - tsVal) <= tolerance) return false;
  return system().nowS - tsRecentAge < PAWS_24_DAYS_S;
}

export const enum Paws {
  Pass = 0,
  /** Drop it and send an ACK. */
  Reject = 1,
  /** An old duplicate ACK: common, and no answer is due. */
  OldAck = 2,
  /** A SYN: challenge it. */
  Challenge = 3,
}

//= rfc7323 5.3
/** R1: an old duplicate by its timestamp; RST is exempt. Linux's tcp_validate_incoming. */
export function pawsVerdict(tcb: Tcb, a: Arrival, o: TcpOptions): Paws {
  if ((tcb.flags & TF_TS_OK) == 0 || (o.present & OPT_TIMESTAMPS) == 0) return Paws.Pass;
  if (!pawsOld(tcb.tsRecent, tcb.tsRecentAge, o.tsVal)) return Paws.Pass;
  if (a.flags & TCP_RST) return Paws.Pass;
  const pure = a.length == 0 && (a.flags & (TCP_ACK | TCP_SYN | TCP_FIN)) == TCP_ACK;
  if (pure && a.seq == tcb.rcvNxt && disorderedAck(tcb, a, o)) return Paws.Pass;
  if (a.flags & TCP_SYN) return Paws.Challenge;
  if (pure && seqLt(a.seq, tcb.rcvNxt)) {
    count(Counter.TcpExtPAWSOldAck);
    return Paws.OldAck;
  }
  if (a.length != 0 && overtaken(tcb, a, o)) return Paws.Pass;
  count(Counter.TcpExtPAWSEstab);
  return Paws.Reject;
}

/**
 * Data for a hole, overtaken within a round trip by what was sent again for an earlier hole and
 * bears a newer stamp. Refused, a path that reorders would lose whatever is late during a repair.
 * A round trip carries one window, 2^30 bytes at most: so late it is of this lap of the sequence.
 */
function overtaken(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  if (tcb.busy == 0 || seqLt(a.seq, tcb.rcvNxt)) return false;
  const busy = busyOf(tcb);
  return busy.rangeCount != 0 && tcb.tsRecent - o.tsVal <= busy.rcvRttUs / 8000;
}

/** A duplicate ACK overtaken by a little: it must count, or fast retransmit starves. */
function disorderedAck(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  if (a.ack != tcb.sndUna || a.window << (<u32>tcb.wscale & 15) != tcb.sndWnd) return false;
  const replayMs = <u32>(<u64>rtoUs(tcb) * 12 / 10_000); // Linux: tcp_tsval_replay, 1.2 RTO
  return tcb.tsRecent - o.tsVal <= replayMs;
}

//= rfc7323 4.3
/** (2): echo the timestamp of the segment that covers Last.ACK.sent, never an older one. */
export function tsRecentUpdate(tcb: Tcb, a: Arrival, o: TcpOptions): void {
  if ((tcb.flags & TF_TS_OK) == 0 || (o.present & OPT_TIMESTAMPS) == 0) return;
  if (!seqLe(a.seq, tcb.rcvWup) || olderBy(tcb.tsRecent, tcb.tsRecentAge, o.tsVal, 0)) return;
  tcb.tsRecent = o.tsVal;
  tcb.tsRecentAge = system().nowS;
}
