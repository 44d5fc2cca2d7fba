/**
 * An address on an Ethernet link from its first probe on: nobody may have it (RFC 5227 §2.1 for
 * IPv4, RFC 4862 §5.4 for IPv6), it is announced (RFC 5227 §2.3), defended (§2.4) or given up.
 * index.ts, ip/autoconf.ts and udp/dhcp.ts begin one; link/arp.ts and ip/nd.ts tell of conflicts;
 * ip/autoconf.ts calls addressTimer. Also when: the deadlines of a link (LinkAuto).
 */
import { Config, Counter, Errno, Origin } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { seqGe } from "../core/seq";
import { wheelArm } from "../core/timer-wheel";
import { arpRequest } from "../link/arp-send";
import {
  Link, linkAt, linkAuto, linkIsEthernet, PENDING_CONFLICT, PENDING_DHCP, PENDING_LISTENER,
  PENDING_ROUTER,
} from "../link/link";
import { neighborPathsForget } from "../link/neighbor";
import { system } from "../memory";
import { random32 } from "../tcp/isn";
import { ndProbe } from "./nd-send";
import { isLinkLocal, isMapped } from "./packet";
import {
  ADDRESS_DUPLICATE, ADDRESS_TENTATIVE, ADDRESS_USED, addressAdd, addressAny, addressEntry,
  addressRemove, addressWords,
} from "./route";

/** RFC 5227 §1.1, ms: how far apart probes and announcements are. */
const PROBE_WAIT: u32 = 1000;
const PROBE_MIN: u32 = 1000;
const ANNOUNCE_WAIT: u32 = 2000;
const ANNOUNCE_INTERVAL: u32 = 2000;
const ANNOUNCE_NUM: u8 = 2;
/** Seconds in which a conflict is answered once. */
const DEFEND_INTERVAL: u32 = 10;
/** RFC 4861 §10's RETRANS_TIMER, ms, until a router says another. */
const RETRANS_DEFAULT: u32 = 1000;
/** RFC 4861 §10: MAX_RTR_SOLICITATION_DELAY, ms; RFC 3810 §9.11: between reports. */
const ROUTER_DELAY: u32 = 1000;
const REPORT_INTERVAL: u32 = 1000;
const REPORTS: u8 = 2;

// ---- Deadlines of a link

/** A deadline `ms` from now. */
export function afterMs(ms: u32): u32 {
  return system().nowTick + max<u32>(<u32>min<u64>((<u64>ms * 1000) >> 6, 0x7fff0000), 1);
}

// @ts-ignore: decorator
@inline
export function isDue(deadline: u32): bool {
  return seqGe(system().nowTick, deadline);
}

/** 0 to range - 1. */
export function jitter(range: u32): u32 {
  return random32() % range;
}

/** The link's record is looked at by then. */
export function linkWake(link: Link, deadline: u32): void {
  wheelArm(changetype<usize>(linkAuto(link)), deadline);
}

/** DHCP's deadline. */
export function dhcpAfter(link: Link, ms: u32): void {
  const own = linkAuto(link);
  own.pending |= PENDING_DHCP;
  own.dhcpDeadline = afterMs(ms);
  linkWake(link, own.dhcpDeadline);
}

/** Reports of the groups that we listen to: RFC 3810 §6.1, said twice. */
export function listenerJoin(link: Link): void {
  const own = linkAuto(link);
  own.listenerReports = REPORTS;
  listenerAfter(link, 1);
}

export function listenerAfter(link: Link, ms: u32): void {
  const own = linkAuto(link);
  const deadline = afterMs(ms);
  if (own.pending & PENDING_LISTENER && seqGe(deadline, own.listenerDeadline)) return;
  own.pending |= PENDING_LISTENER;
  own.listenerDeadline = deadline;
  linkWake(link, deadline);
}

/** One round of reports was sent. */
export function listenerNext(link: Link): void {
  const own = linkAuto(link);
  own.pending &= ~PENDING_LISTENER;
  if (own.listenerReports > 0) own.listenerReports -= 1;
  if (own.listenerReports > 0) listenerAfter(link, REPORT_INTERVAL);
}

/** Routers are asked for, from the beginning. */
export function routerAsk(link: Link): void {
  const own = linkAuto(link);
  own.routerSolicits = <u8>min<u32>(config(Config.router_solicitations), 255);
  if (own.routerSolicits == 0) return;
  own.pending |= PENDING_ROUTER;
  own.routerDeadline = afterMs(jitter(ROUTER_DELAY));
  linkWake(link, own.routerDeadline);
}

// ---- One address

/**
 * Makes an address ours as route.ts's addressAdd, on an Ethernet link after nobody else was found
 * to have it. `origin`: who said so. Its index, or an error of addressAdd, or -ENETDOWN: the link
 * has no MAC yet.
 */
export function addressBegin(
  w0: u32, w1: u32, w2: u32, w3: u32, prefixLength: u32, linkId: u32, origin: Origin,
): i32 {
  const before = addressAny(w0, w1, w2, w3);
  const held = before >= 0 && addressEntry(before).flags == ADDRESS_USED;
  const i = addressAdd(w0, w1, w2, w3, prefixLength, linkId);
  if (i < 0) return i;
  const link = linkAt(linkId);
  neighborPathsForget();
  if (!linkIsEthernet(link)) return i;
  if ((link.macHigh | link.macLow) == 0) {
    addressRemove(w0, w1, w2, w3);
    return -Errno.ENETDOWN;
  }
  const e = addressEntry(i);
  e.origin = <u8>origin;
  if (held) return i;
  const v4 = isMapped(w0, w1, w2);
  const probes = config(v4 ? Config.arp_probes : Config.dad_transmits);
  e.probesLeft = <u8>min<u32>(probes, 255);
  e.flags = ADDRESS_TENTATIVE;
  e.deadline = afterMs(jitter(PROBE_WAIT));
  if (!v4) listenerJoin(link);
  if (probes == 0) addressReady(i);
  linkWake(link, e.deadline);
  return i;
}

function addressReady(i: u32): void {
  const e = addressEntry(i);
  const link = linkAt(e.link);
  e.flags = ADDRESS_USED;
  neighborPathsForget();
  if (isMapped(e.w0, e.w1, e.w2)) {
    e.announcesLeft = ANNOUNCE_NUM;
    e.deadline = afterMs(0);
  } else if (isLinkLocal(e.w0)) {
    routerAsk(link);
  }
}

/** The link is up again: it may be another network, where others have or remember our addresses. */
export function addressesAgain(link: Link): void {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id) continue;
    const v4 = isMapped(e.w0, e.w1, e.w2);
    if (e.flags == ADDRESS_TENTATIVE) {
      e.probesLeft = <u8>min<u32>(config(v4 ? Config.arp_probes : Config.dad_transmits), 255);
      e.deadline = afterMs(jitter(PROBE_WAIT));
    } else if (e.flags == ADDRESS_USED && v4) {
      e.announcesLeft = ANNOUNCE_NUM;
      e.deadline = afterMs(0);
    }
  }
}

/** Has the address anything to do at its deadline? */
export function addressWaits(i: u32): bool {
  const e = addressEntry(i);
  return e.flags == ADDRESS_TENTATIVE || (e.flags == ADDRESS_USED && e.announcesLeft != 0);
}

/** Its deadline has come. */
export function addressTimer(i: u32): void {
  const e = addressEntry(i);
  const link = linkAt(e.link);
  const v4 = isMapped(e.w0, e.w1, e.w2);
  if (e.flags == ADDRESS_USED) {
    e.announcesLeft -= 1;
    e.deadline = afterMs(ANNOUNCE_INTERVAL);
    return arpRequest(link, e.w3, e.w3, 0, 0);
  }
  if (e.probesLeft == 0) return addressReady(i);
  e.probesLeft -= 1;
  if (v4) {
    arpRequest(link, 0, e.w3, 0, 0);
    e.deadline = afterMs(e.probesLeft != 0 ? PROBE_MIN + jitter(PROBE_MIN) : ANNOUNCE_WAIT);
  } else {
    ndProbe(link, addressWords(i));
    const told = linkAuto(link).retransMs;
    e.deadline = afterMs(told != 0 ? told : RETRANS_DEFAULT);
  }
}

/**
 * Somebody else has address `i` or wants it. One that is not yet ours is given up, and whoever
 * began it may look for another. One that is ours stays, and is defended once in ten seconds.
 */
export function addressConflict(i: u32): void {
  const e = addressEntry(i);
  count(Counter.AckornAddressConflicts);
  if (e.flags == ADDRESS_TENTATIVE) {
    e.flags = ADDRESS_DUPLICATE;
    e.probesLeft = 0;
    const link = linkAt(e.link);
    linkAuto(link).pending |= PENDING_CONFLICT;
    linkWake(link, afterMs(0));
    return;
  }
  if (e.flags != ADDRESS_USED || !isMapped(e.w0, e.w1, e.w2)) return;
  const second = system().nowS + 1;
  if (e.defendedS != 0 && second - e.defendedS < DEFEND_INTERVAL) return;
  e.defendedS = second;
  arpRequest(linkAt(e.link), e.w3, e.w3, 0, 0);
}
