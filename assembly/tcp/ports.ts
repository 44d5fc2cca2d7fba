/**
 * Local ports: who may bind one, and ephemeral ones by RFC 6056 §3.3.3 (a keyed offset per
 * destination, then a bounded search). Called by user.ts.
 */
import { Config } from "../abi";
import { config } from "../config";
import { demuxFind, demuxFirstOnPort, demuxNextOnPort, demuxPortTaken } from "./demux";
import { portOffsetFor, random32 } from "./isn";
import { MAPPED_WORD } from "../ip/packet";
import { addressEntry } from "../ip/route";
import {
  Endpoint, LF_REUSEADDR, LF_V4ONLY, LF_V6ONLY, LOCAL_ANY, Listener, RecordKind, TF_REUSEADDR,
  TF_V6ONLY, Tcb, TimeWait,
} from "./records";
import { system } from "../memory";
import { timeWaitReusable } from "./time-wait";

/** Steps of one search: beyond it the range is as good as full (EADDRNOTAVAIL). */
const SEARCH_MAX: u32 = 65536;

/** Families that an address takes a port of: bit 0 IPv4, bit 1 IPv6. */
function familiesOf(localAddress: u32, v4Only: bool, v6Only: bool): u32 {
  if (localAddress != LOCAL_ANY) return addressEntry(localAddress).w2 == MAPPED_WORD ? 1 : 2;
  if (v4Only) return 1;
  return v6Only ? 2 : 3;
}

/** The same for a listener or a bound socket that stands in the table. */
function familiesHeld(e: Endpoint): u32 {
  if (e.kind != RecordKind.Listener) {
    return familiesOf(e.localAddress, false, (changetype<Tcb>(e).flags & TF_V6ONLY) != 0);
  }
  const flags = changetype<Listener>(e).flags;
  return familiesOf(e.localAddress, (flags & LF_V4ONLY) != 0, (flags & LF_V6ONLY) != 0);
}

/**
 * May localAddress:port be bound? `reuse`: SO_REUSEADDR of the asker; of LF_* bits those of the
 * family count. Linux's rules: 0.0.0.0 and an IPv6-only [::] do not meet.
 */
export function portFree(localAddress: u32, port: u32, reuse: bool, bits: u32): bool {
  const wanted = familiesOf(localAddress, (bits & LF_V4ONLY) != 0, (bits & LF_V6ONLY) != 0);
  let record = demuxFirstOnPort(port);
  while (record != 0) {
    const e = changetype<Endpoint>(record);
    const overlaps =
      localAddress == LOCAL_ANY || e.localAddress == LOCAL_ANY || e.localAddress == localAddress;
    if (overlaps && (familiesHeld(e) & wanted) != 0 && !(reuse && sharesAddress(e))) return false;
    record = demuxNextOnPort(e);
  }
  return true;
}

/** A listener never shares its port; a bound socket does when both asked for SO_REUSEADDR. */
function sharesAddress(e: Endpoint): bool {
  if (e.kind == RecordKind.Listener) return false;
  return (changetype<Tcb>(e).flags & TF_REUSEADDR) != 0;
}

/**
 * The check of a port that the user names. Without SO_REUSEADDR connections of the port stand in
 * its way, in TIME-WAIT too, and with it neither they nor bound sockets that asked for it too.
 */
export function portBindable(localAddress: u32, port: u32, reuse: bool, bits: u32): bool {
  if (!portFree(localAddress, port, reuse, bits)) return false;
  return reuse || !demuxPortTaken(localAddress, port);
}

/** A free port for bind(0) or listen(0); 0: none. */
export function portEphemeral(localAddress: u32): u32 {
  const low = config(Config.ip_local_port_range_low);
  const range = config(Config.ip_local_port_range_high) - low + 1;
  const start = random32() % range;
  for (let i: u32 = 0; i < range && i < SEARCH_MAX; i++) {
    const port = low + ((start + i) % range);
    if (portFree(localAddress, port, false, 0)) return port;
  }
  return 0;
}

/** What an active open found for its four-tuple. */
export const enum TupleVerdict {
  Free = 0,
  InUse = 1,
  /** A TIME-WAIT record that may be taken over: demuxFind gives it. */
  TimeWait = 2,
}

export function tupleVerdict(e: Endpoint): TupleVerdict {
  const record = demuxFind(e);
  if (record == 0) return TupleVerdict.Free;
  if (changetype<Endpoint>(record).kind != RecordKind.TimeWait) return TupleVerdict.InUse;
  const reusable = timeWaitReusable(changetype<TimeWait>(record));
  return reusable ? TupleVerdict.TimeWait : TupleVerdict.InUse;
}

/** Sets tcb.localPort to an ephemeral port whose tuple is free; false: EADDRNOTAVAIL. */
export function portForConnect(tcb: Tcb): bool {
  const low = config(Config.ip_local_port_range_low);
  const range = config(Config.ip_local_port_range_high) - low + 1;
  const e = changetype<Endpoint>(tcb);
  e.localPort = 0;
  const s = system();
  const start = portOffsetFor(e) + s.portSearch;
  for (let i: u32 = 0; i < range && i < SEARCH_MAX; i++) {
    const port = low + ((start + i) % range);
    e.localPort = <u16>port;
    if (listenedOn(port) || tupleVerdict(e) == TupleVerdict.InUse) continue;
    s.portSearch += i + 1;
    return true;
  }
  e.localPort = 0;
  return false;
}

/** Linux keeps ephemeral ports off ports that somebody bound without SO_REUSEADDR. */
function listenedOn(port: u32): bool {
  return demuxFirstOnPort(port) != 0;
}
