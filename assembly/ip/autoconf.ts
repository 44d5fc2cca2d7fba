/**
 * What an Ethernet link finds out by itself: its link-local address, routers, prefixes, addresses
 * and their lifetimes (RFC 4861 §6.3, RFC 4862 §5.3, §5.5, RFC 7217), reports of its groups
 * (RFC 3810 §6). One timer for each link (LinkAuto), called by poll.ts; ip/nd.ts tells what it
 * heard. DHCP's part is udp/dhcp.ts. Everything that a router says is bounded.
 */
import {
  AUTO_DHCP, AUTO_IPV6, AUTO_SLAAC, Config, Counter, Origin,
} from "../abi";
import { config } from "../config";
import {
  copyBytes, readBe16, readBe32, readU16, readU32, readU8, writeU32, zeroBytes,
} from "../core/bytes";
import { count } from "../core/counters";
import { siphash24 } from "../core/siphash";
import {
  Link, linkAt, LinkAuto, linkAuto, linkIsUp, PENDING_CONFLICT, PENDING_DHCP, PENDING_LISTENER,
  PENDING_ROUTER,
} from "../link/link";
import {
  LEARN_CREATE, LEARN_OVERRIDE, neighborLearn, neighborPathsForget,
  neighborsForget,
} from "../link/neighbor";
import { system } from "../memory";
import { connectionsOnAddressAbort } from "../tcp/user-address";
import { dhcpConflict, dhcpStart, dhcpTimer } from "../udp/dhcp";
import { macIsGroup } from "../wire/ethernet";
import { ND_MTU, ND_PREFIX, ND_SOURCE_MAC, ndOption } from "../wire/icmpv6";
import { IPV6_MIN_MTU } from "../wire/ipv6";
import {
  addressBegin, addressesAgain, addressTimer, addressWaits, afterMs, isDue, jitter, linkWake,
  listenerAfter, listenerJoin, listenerNext, routerAsk,
} from "./dad";
import { listenerReport, ndRouterSolicit } from "./nd-send";
import { isLinkLocal, isMapped, isMulticast, Packet } from "./packet";
import {
  ADDRESS_DUPLICATE, ADDRESS_TENTATIVE, ADDRESS_TOMBSTONE, ADDRESS_USED, addressEntry,
  addressRemove, FOREVER_S,
} from "./route";
import { routeEntry, routeRemove, routeSet } from "./route-table";
import { IpState, ipState } from "./state";

/** fe80::, as its first word stands in a packet. */
const LINK_LOCAL: u32 = 0x000080fe;
/** Linux's addr_gen_mode of RFC 7217. */
const STABLE_PRIVACY: u32 = 2;
/** RFC 7217 §6, IDGEN_RETRIES. */
const DAD_RETRIES: u8 = 3;
/** RFC 4861 §10, RTR_SOLICITATION_INTERVAL, ms. */
const ROUTER_INTERVAL: u32 = 4000;
/** RFC 4862 §5.5.3 (e): a forged lifetime takes two hours at least. */
const TWO_HOURS: u32 = 7200;
/** Of a prefix option. */
const ON_LINK: u32 = 0x80;
const AUTONOMOUS: u32 = 0x40;
/** Believed of a router's times, ms. */
const REACHABLE_MAX: u32 = 3_600_000;
const RETRANS_MIN: u32 = 100;
const RETRANS_MAX: u32 = 60_000;
/** Longest wait of the link's timer, s: deadlines are compared modulo 2³² ticks. */
const SLEEP_MAX: u32 = 36_000;
const TICKS_PER_S: u32 = 15_625;

// ---- A link comes and goes

/** The link is up, or was told what it is: everything wanted of it begins, again if need be. */
export function autoconfStart(id: u32): void {
  const link = linkAt(id);
  const own = linkAuto(link);
  neighborsForget(id);
  if (!linkIsUp(link) || own.kind == 0) return;
  addressesAgain(link);
  if (own.wanted & (AUTO_IPV6 | AUTO_SLAAC)) {
    if (linkLocalIndex(id) < 0) interfaceAddress(link, LINK_LOCAL, 0, Origin.LinkLocal);
    else routerAsk(link);
    listenerJoin(link);
  }
  if (own.wanted & AUTO_DHCP) dhcpStart(link);
  rearm(link, own);
}

/** The link went down: whoever was there may be gone. */
export function autoconfStop(id: u32): void {
  neighborsForget(id);
}

function linkLocalIndex(id: u32): i32 {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    const here = e.link == <u8>id && e.origin == <u8>Origin.LinkLocal && isLinkLocal(e.w0);
    if (here && e.flags != ADDRESS_TOMBSTONE) return i;
  }
  return -1;
}

/** An address of ours in the /64 of two words; its index or an error. */
function interfaceAddress(link: Link, w0: u32, w1: u32, origin: Origin): i32 {
  let w2 = ((link.macHigh & 0x00ffffff) ^ 0x02) | 0xff000000; // RFC 4291 appendix A: EUI-64
  let w3 = 0xfe | (link.macHigh >> 24) << 8 | link.macLow << 16;
  if (config(Config.addr_gen_mode) == STABLE_PRIVACY) {
    const s = system();
    const mac = <u64>link.macHigh << 16 | link.macLow;
    const tag = <u64>linkAuto(link).dadCounter << 8 | 7;
    const iid = siphash24(s.isnKey0, s.isnKey1, <u64>w0 << 32 | w1, mac, tag);
    w2 = <u32>iid;
    w3 = <u32>(iid >> 32);
  }
  return addressBegin(w0, w1, w2, w3, 64, link.id, origin);
}

// ---- The timer

/** The wheel looked at the link. */
export function autoconfTimer(own: LinkAuto): void {
  const link = linkAt(own.linkId);
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id) continue;
    if (e.flags != ADDRESS_TOMBSTONE && e.validS <= system().nowS) addressExpire(i);
    // nothing is proved by the silence of a link that is down
    if (linkIsUp(link) && addressWaits(i) && isDue(e.deadline)) addressTimer(i);
  }
  routesExpire(link);
  if (own.pending & PENDING_CONFLICT) conflictSolve(link, own);
  if (own.pending & PENDING_ROUTER && isDue(own.routerDeadline)) routerSolicit(link, own);
  if (own.pending & PENDING_LISTENER && isDue(own.listenerDeadline)) reportGroups(link, own);
  if (own.pending & PENDING_DHCP && isDue(own.dhcpDeadline)) dhcpTimer(link);
  rearm(link, own);
}

/** The address goes, and what stands on it ends. 0, or -EADDRNOTAVAIL: it had gone before. */
export function addressExpire(i: u32): i32 {
  connectionsOnAddressAbort(i);
  const e = addressEntry(i);
  neighborPathsForget();
  const gone = addressRemove(e.w0, e.w1, e.w2, e.w3);
  return gone < 0 ? gone : 0;
}

function routesExpire(link: Link): void {
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin != 0 && r.link == <u8>link.id && r.expiryS <= system().nowS) routeRemove(i);
  }
}

/** The wheel holds the earliest of everything that this link waits for. */
function rearm(link: Link, own: LinkAuto): void {
  const s = system();
  for (let i: u32 = 0; i < s.addressCount; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id || e.flags == ADDRESS_TOMBSTONE) continue;
    if (linkIsUp(link) && addressWaits(i)) linkWake(link, e.deadline);
    wakeAtS(link, e.validS);
  }
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin != 0 && r.link == <u8>link.id) wakeAtS(link, r.expiryS);
  }
  if (own.pending & PENDING_ROUTER) linkWake(link, own.routerDeadline);
  if (own.pending & PENDING_LISTENER) linkWake(link, own.listenerDeadline);
  if (own.pending & PENDING_DHCP) linkWake(link, own.dhcpDeadline);
}

function wakeAtS(link: Link, second: u32): void {
  if (second == FOREVER_S) return;
  const s = system();
  const wait = second > s.nowS ? min(second - s.nowS, SLEEP_MAX) : 0;
  linkWake(link, s.nowTick + max(wait * TICKS_PER_S, 1));
}

/** Another address in the place of one that somebody has, where there is a choice. */
function conflictSolve(link: Link, own: LinkAuto): void {
  own.pending &= ~PENDING_CONFLICT;
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id || e.flags != ADDRESS_DUPLICATE) continue;
    if (e.origin == <u8>Origin.Dhcp) {
      addressRemove(e.w0, e.w1, e.w2, e.w3);
      dhcpConflict(link);
    } else if (e.origin != <u8>Origin.Manual && own.dadCounter < DAD_RETRIES &&
      config(Config.addr_gen_mode) == STABLE_PRIVACY) {
      own.dadCounter += 1;
      addressAnew(link, i);
    }
  }
}

/** Another interface identifier for entry `i`, which the new address may take the place of. */
function addressAnew(link: Link, i: u32): void {
  const e = addressEntry(i);
  const offLink = e.offLink;
  const validS = e.validS;
  const preferredS = e.preferredS;
  addressRemove(e.w0, e.w1, e.w2, e.w3);
  const made = interfaceAddress(link, e.w0, e.w1, <Origin>e.origin);
  if (made < 0) return;
  const other = addressEntry(made);
  other.offLink = offLink;
  other.validS = validS;
  other.preferredS = preferredS;
}

// ---- Routers

function routerSolicit(link: Link, own: LinkAuto): void {
  ndRouterSolicit(link);
  own.routerSolicits -= 1;
  own.routerDeadline = afterMs(ROUTER_INTERVAL);
  if (own.routerSolicits == 0) own.pending &= ~PENDING_ROUTER;
}

/** The four words of a gateway behind those of ::/0, in ipState. Where they stand. */
function defaultRoute(gateway: usize): usize {
  const state = ipState();
  const at = changetype<usize>(state) + offsetof<IpState>("from0");
  zeroBytes(at, 16);
  copyBytes(at + 16, gateway, 16);
  return at;
}

/** It routes no more (RFC 4861 §7.2.5): its default route goes. */
export function routerGone(link: Link, gateway: usize): void {
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin != <u8>Origin.RouterAdvertisement || r.link != <u8>link.id) continue;
    if (r.g3 == readU32(gateway + 12) && r.g2 == readU32(gateway + 8) &&
      r.g1 == readU32(gateway + 4) && r.g0 == readU32(gateway)) routeRemove(i);
  }
}

/** A router's advertisement, checked; `options` is where its options begin. */
export function routerAdvertised(packet: Packet, link: Link, options: usize): void {
  const own = linkAuto(link);
  if ((own.wanted & AUTO_SLAAC) == 0) return;
  const end = <usize>packet.l4 + packet.l4Length;
  const router = changetype<usize>(packet) + offsetof<Packet>("src0");
  const lifetime = readBe16(packet.l4 + 6);
  const reachable = readBe32(packet.l4 + 8);
  const retrans = readBe32(packet.l4 + 12);
  if (reachable != 0 && reachable <= REACHABLE_MAX) own.reachableMs = reachable;
  if (retrans >= RETRANS_MIN && retrans <= RETRANS_MAX) own.retransMs = retrans;
  if (lifetime != 0) {
    const expiryS = system().nowS + lifetime;
    routeSet(defaultRoute(router), 0, link.id, Origin.RouterAdvertisement, expiryS);
    own.pending &= ~PENDING_ROUTER;
  } else {
    routerGone(link, router);
  }
  const mac = ndOption(options, end, ND_SOURCE_MAC);
  if (mac != 0 && !macIsGroup(readU32(mac + 2))) {
    const flags = LEARN_CREATE | LEARN_OVERRIDE;
    neighborLearn(link, router, readU32(mac + 2), readU16(mac + 6), flags);
  }
  const mtu = ndOption(options, end, ND_MTU);
  if (mtu != 0) {
    const told = readBe32(mtu + 4);
    if (told >= IPV6_MIN_MTU && told <= link.mtu) own.mtu6 = told;
  }
  let prefix = ndOption(options, end, ND_PREFIX);
  while (prefix != 0) { // at most the packet's length over eight
    if (readU8(prefix + 1) == 4) prefixAdvertised(link, prefix);
    prefix = ndOption(prefix + (<usize>readU8(prefix + 1) << 3), end, ND_PREFIX);
  }
  rearm(link, own);
}

function lifetimeEnd(seconds: u32): u32 {
  return seconds == FOREVER_S ? FOREVER_S : system().nowS + min<u32>(seconds, 0x7fffffff);
}

/** RFC 4861 §6.3.4 and RFC 4862 §5.5.3. */
function prefixAdvertised(link: Link, at: usize): void {
  const bits = readU8(at + 2);
  const flags = readU8(at + 3);
  const valid = readBe32(at + 4);
  const preferred = readBe32(at + 8);
  const w0 = readU32(at + 16);
  const w1 = readU32(at + 20);
  if (bits > 128 || isLinkLocal(w0)) return;
  if (isMulticast(w0, w1, 0, 0) || isMapped(w0, w1, readU32(at + 24))) return;
  if (flags & ON_LINK) onLinkPrefix(link, at + 16, bits, valid);
  if ((flags & AUTONOMOUS) == 0 || bits != 64 || preferred > valid) return;
  const known = addressOfPrefix(link, w0, w1);
  if (known >= 0) return addressRefresh(known, valid, preferred);
  if (valid == 0 || (w0 | w1) == 0 || !roomForAddress()) return;
  const made = interfaceAddress(link, w0, w1, Origin.RouterAdvertisement);
  if (made < 0) return;
  const e = addressEntry(made);
  e.validS = lifetimeEnd(valid);
  e.preferredS = lifetimeEnd(preferred);
  e.offLink = 1;
}

function onLinkPrefix(link: Link, prefix: usize, bits: u32, valid: u32): void {
  const state = ipState();
  const at = changetype<usize>(state) + offsetof<IpState>("from0");
  zeroBytes(at, 32);
  for (let word: u32 = 0; word < 4 && word << 5 < bits; word++) {
    const kept = min(bits - (word << 5), 32);
    const mask = bswap<u32>(0xffffffff << (32 - kept & 31));
    writeU32(at + (word << 2), readU32(prefix + (word << 2)) & mask);
  }
  const expiryS = valid == 0 ? system().nowS : lifetimeEnd(valid);
  if (valid == 0 && !routeKnown(at, bits, link)) return;
  routeSet(at, bits, link.id, Origin.RouterAdvertisement, expiryS);
}

/** Is the prefix at `at` in the list? */
function routeKnown(at: usize, bits: u32, link: Link): bool {
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin != <u8>Origin.RouterAdvertisement || r.link != <u8>link.id) continue;
    if (r.bits == <u8>bits && r.d0 == readU32(at) && r.d1 == readU32(at + 4) &&
      r.d2 == readU32(at + 8) && r.d3 == readU32(at + 12)) return true;
  }
  return false;
}

function addressOfPrefix(link: Link, w0: u32, w1: u32): i32 {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id || e.origin != <u8>Origin.RouterAdvertisement) continue;
    if (e.w0 == w0 && e.w1 == w1 && e.flags != ADDRESS_TOMBSTONE) return i;
  }
  return -1;
}

function addressRefresh(i: u32, valid: u32, preferred: u32): void {
  const e = addressEntry(i);
  const nowS = system().nowS;
  e.preferredS = lifetimeEnd(preferred);
  const left = e.validS == FOREVER_S ? FOREVER_S : e.validS - nowS;
  if (valid > TWO_HOURS || valid > left) e.validS = lifetimeEnd(valid);
  else if (left > TWO_HOURS) e.validS = nowS + TWO_HOURS;
}

/** What routers advertise never fills more than half of the table. */
function roomForAddress(): bool {
  const n = system().addressCount;
  let advertised: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    const theirs = e.origin == <u8>Origin.RouterAdvertisement;
    if (theirs && e.flags != ADDRESS_TOMBSTONE) advertised++;
  }
  if (advertised < config(Config.addressesMax) >> 1) return true;
  count(Counter.AckornAddressTableFull);
  return false;
}

// ---- Groups

/** A querier wants to know our groups, within a time (RFC 3810 §5.1.3, §6.2). */
export function listenerQueried(link: Link, raw: u32): void {
  const code = bswap<u32>(raw) >> 16;
  const most = code < 0x8000 ? code : ((code & 0xfff) | 0x1000) << (((code >> 12) & 7) + 3);
  listenerAfter(link, 1 + jitter(min<u32>(max<u32>(most, 1), 60_000)));
}

/** One report for each of our IPv6 addresses, tentative ones too. */
function reportGroups(link: Link, own: LinkAuto): void {
  const asked = own.listenerReports == 0;
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link != <u8>link.id || isMapped(e.w0, e.w1, e.w2)) continue;
    if (e.flags == ADDRESS_USED || e.flags == ADDRESS_TENTATIVE) listenerReport(link, e.w3, asked);
  }
  listenerNext(link);
}
