/**
 * The timestamps option: clock, PAWS and what to echo. RFC 7323 §3 to §5.
 * Our clock counts milliseconds from an offset keyed by the addresses, so that it tells a peer
 * neither our uptime nor anything about other connections.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { seqLe, seqLt } from "../core/seq";
import { system } from "../memory";
import { TCP_RST } from "../wire/tcp";
import { OPT_TIMESTAMPS, TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { TF_TS_OK, Tcb } from "./records";

/** RFC 7323 §5.5: a tsRecent older than 24 days says nothing any more. */
const PAWS_24_DAYS_S: u32 = 24 * 86400;
/** Linux's TCP_PAWS_WINDOW: reordering by one tick of the peer's clock is no sign of age. */
const PAWS_WINDOW: u32 = 1;

/** TSval of a segment that leaves now. */
// @ts-ignore: decorator
@inline
export function tsNow(offset: u32): u32 {
  return system().nowMs + offset;
}

/** Is tsVal older than what we have seen, and what we have seen fresh enough to say so? */
export function pawsOld(tsRecent: u32, tsRecentAge: u32, tsVal: u32): bool {
  if (i32(tsRecent - tsVal) <= <i32>PAWS_WINDOW) return false;
  return system().nowS - tsRecentAge < PAWS_24_DAYS_S;
}

//= rfc7323 5.3
/** R1: an old duplicate by its timestamp; RST is exempt. */
export function pawsReject(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  if ((tcb.flags & TF_TS_OK) == 0 || (o.present & OPT_TIMESTAMPS) == 0) return false;
  if (!pawsOld(tcb.tsRecent, tcb.tsRecentAge, o.tsVal)) return false;
  if (a.flags & TCP_RST) return false;
  count(Counter.TcpExtPAWSEstab);
  return true;
}

//= rfc7323 4.3
/** (2): echo the timestamp of the segment that covers Last.ACK.sent, never an older one. */
export function tsRecentUpdate(tcb: Tcb, a: Arrival, o: TcpOptions): void {
  if ((tcb.flags & TF_TS_OK) == 0 || (o.present & OPT_TIMESTAMPS) == 0) return;
  if (!seqLe(a.seq, tcb.rcvWup) || seqLt(o.tsVal, tcb.tsRecent)) return;
  tcb.tsRecent = o.tsVal;
  tcb.tsRecentAge = system().nowS;
}
