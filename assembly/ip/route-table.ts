/**
 * Routes: longest prefix match over the prefixes of our addresses and a bounded table that holds
 * what the host added, DHCP told and routers advertise (the prefix list and the default router list
 * of RFC 4861 §5.1 are its entries). ip/route.ts asks for a link, ip/output.ts for the next hop.
 * Sends nothing; lifetimes are looked at by ip/autoconf.ts.
 */
import { Config, Counter, Errno, LINK_UP, NeighborState, Origin } from "../abi";
import { config } from "../config";
import { copyBytes, readU32, writeU32 } from "../core/bytes";
import { count } from "../core/counters";
import { linkAt, linkIsEthernet } from "../link/link";
import { Neighbor, neighborFind, neighborNoRouter, neighborPathsForget } from "../link/neighbor";
import { system } from "../memory";
import { isMapped, isMulticast, MAPPED_WORD } from "./packet";
import { ADDRESS_USED, addressEntry, addressWords, commonBits, FOREVER_S } from "./route";
import { ipState } from "./state";

/** routeLookup: whichever link. */
export const LINK_ANY: u32 = 0xffff;

@unmanaged
export class Route {
  d0: u32;
  d1: u32;
  d2: u32;
  d3: u32;
  /** The gateway; all zero: the destination is on the link. */
  g0: u32;
  g1: u32;
  g2: u32;
  g3: u32;
  /** Second of system().nowS from which on it is none, or FOREVER_S. */
  expiryS: u32;
  /** Of 128 bits: of IPv4 96 and more. */
  bits: u8;
  link: u8;
  /** Origin of abi.ts; 0: a free entry. */
  origin: u8;
  reserved0: u8;
}
export const ROUTE_BYTES: u32 = 40;
if (offsetof<Route>() != ROUTE_BYTES) ERROR("Route");

/** Bytes that boot must set aside; `at` of routesInit are those, zeroed. */
export function routesBytes(): u32 {
  return config(Config.routesMax) * ROUTE_BYTES;
}

export function routesInit(at: usize): void {
  system().routes = <u32>at;
}

// @ts-ignore: decorator
@inline
export function routeEntry(i: u32): Route {
  return changetype<Route>(<usize>system().routes + i * ROUTE_BYTES);
}

/**
 * The best route to the four words at `at`, by `link` or LINK_ANY: sets ipState's hopLink and
 * hopAt. Of equally long prefixes the first whose link is up and whose gateway did not fail to
 * answer (RFC 4861 §6.3.6).
 */
export function routeLookup(at: usize, link: u32): bool {
  const connected = lookAtAddresses(at, link);
  return max(connected, lookAtRoutes(at, link, connected)) >= 0;
}

/** Bits of the longest prefix that an address of ours makes on-link; -1: none. */
function lookAtAddresses(at: usize, link: u32): i32 {
  const s = system();
  const state = ipState();
  const v4 = isMapped(readU32(at), readU32(at + 4), readU32(at + 8));
  let best = -1;
  for (let i: u32 = 0; i < s.addressCount; i++) {
    const e = addressEntry(i);
    if (e.flags != ADDRESS_USED || e.offLink != 0) continue;
    if (link != LINK_ANY && e.link != <u8>link) continue;
    if (isMapped(e.w0, e.w1, e.w2) != v4) continue;
    const bits = <i32>e.prefixLength + (v4 ? 96 : 0);
    if (bits <= best || !matches(addressWords(i), at, bits)) continue;
    best = bits;
    state.hopLink = e.link;
    state.hopAt = <u32>at;
  }
  return best;
}

/** The same for the table, where something longer than `best` or as good is wanted. */
function lookAtRoutes(at: usize, link: u32, best: i32): i32 {
  const state = ipState();
  const nowS = system().nowS;
  const v4 = isMapped(readU32(at), readU32(at + 4), readU32(at + 8));
  let doubtful = false;
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin == 0 || (link != LINK_ANY && r.link != <u8>link)) continue;
    if (r.expiryS != FOREVER_S && r.expiryS <= nowS) continue;
    const bits = <i32>r.bits;
    if (bits < best || (bits == best && !doubtful) || isMapped(r.d0, r.d1, r.d2) != v4) continue;
    if (!matches(changetype<usize>(r), at, bits)) continue;
    const doubt = isDoubtful(r);
    if (bits == best && doubt) continue;
    best = bits;
    doubtful = doubt;
    state.hopLink = r.link;
    const gateway = changetype<usize>(r) + offsetof<Route>("g0");
    state.hopAt = <u32>(isOnLink(r) ? at : gateway);
  }
  return best;
}

function matches(prefix: usize, at: usize, bits: i32): bool {
  const w2 = readU32(at + 8);
  const w3 = readU32(at + 12);
  return commonBits(prefix, readU32(at), readU32(at + 4), w2, w3) >= bits;
}

// @ts-ignore: decorator
@inline
export function isOnLink(r: Route): bool {
  return (r.g0 | r.g1 | r.g2 | r.g3) == 0;
}

function isDoubtful(r: Route): bool {
  const link = linkAt(r.link);
  if ((link.features & LINK_UP) == 0) return true;
  if (!linkIsEthernet(link) || isOnLink(r)) return false;
  const neighbor = neighborFind(r.link, changetype<usize>(r) + offsetof<Route>("g0"));
  return neighbor != 0 && changetype<Neighbor>(neighbor).state == <u8>NeighborState.Failed;
}

/**
 * Enters a route, or changes the lifetime of one that is there already; the eight words of
 * destination and gateway stand at `at`. Its index, or -ENFILE (AckornRouteTableFull). What routers
 * advertise never fills more than half of the table.
 */
export function routeSet(at: usize, bits: u32, link: u32, origin: Origin, expiryS: u32): i32 {
  const most = config(Config.routesMax);
  let free = -1;
  let advertised: u32 = 0;
  for (let i: u32 = 0; i < most; i++) {
    const r = routeEntry(i);
    if (r.origin == <u8>Origin.RouterAdvertisement) advertised++;
    if (r.origin == 0) {
      if (free < 0) free = i;
      continue;
    }
    if (r.origin != <u8>origin || r.bits != <u8>bits || r.link != <u8>link) continue;
    if (!sameWords(changetype<usize>(r), at)) continue;
    r.expiryS = expiryS;
    return i;
  }
  const crowded = origin == Origin.RouterAdvertisement && advertised >= most >> 1;
  if (free < 0 || crowded) {
    count(Counter.AckornRouteTableFull);
    return -Errno.ENFILE;
  }
  const r = routeEntry(free);
  copyBytes(changetype<usize>(r), at, 32);
  r.expiryS = expiryS;
  r.bits = <u8>bits;
  r.link = <u8>link;
  r.origin = <u8>origin;
  neighborPathsForget();
  return free;
}

/** Destination and gateway, 32 bytes each. */
function sameWords(a: usize, b: usize): bool {
  for (let i: usize = 0; i < 32; i += 4) if (readU32(a + i) != readU32(b + i)) return false;
  return true;
}

/** Entry `i` is none any more. 0, or -EINVAL. */
export function routeRemove(i: u32): i32 {
  if (i >= config(Config.routesMax) || routeEntry(i).origin == 0) return -Errno.EINVAL;
  const r = routeEntry(i);
  r.origin = 0;
  neighborNoRouter(r.link, changetype<usize>(r) + offsetof<Route>("g0"));
  neighborPathsForget();
  return 0;
}

/** All routes of a link that `origin` told of. */
export function routesForget(link: u32, origin: Origin): void {
  for (let i: u32 = 0; i < config(Config.routesMax); i++) {
    const r = routeEntry(i);
    if (r.origin == <u8>origin && r.link == <u8>link) routeRemove(i);
  }
}

/**
 * The host's own: words of destination and gateway as in a packet (gateway 0: on the link). The
 * route's index, or -EINVAL (no such link, bits beyond the prefix, two families), -ENFILE.
 */
export function routeAdd(at: usize, prefixLength: u32, link: u32): i32 {
  const v4 = isMapped(readU32(at), readU32(at + 4), readU32(at + 8));
  const most: u32 = v4 ? 32 : 128;
  if (link >= system().linkCount || prefixLength > most) return -Errno.EINVAL;
  const bits = prefixLength + (v4 ? 96 : 0);
  for (let bit = bits; bit < 128; bit++) {
    const word = bswap<u32>(readU32(at + ((bit >> 5) << 2)));
    if ((word >> (31 - (bit & 31))) & 1) return -Errno.EINVAL;
  }
  const g0 = readU32(at + 16);
  const g1 = readU32(at + 20);
  const g2 = readU32(at + 24);
  const g3 = readU32(at + 28);
  const onLink = (g0 | g1 | g3) == 0 && (g2 == 0 || g2 == MAPPED_WORD);
  if (onLink) writeU32(at + 24, 0);
  else if (isMapped(g0, g1, g2) != v4 || isMulticast(g0, g1, g2, g3)) return -Errno.EINVAL;
  return routeSet(at, bits, link, Origin.Manual, FOREVER_S);
}
