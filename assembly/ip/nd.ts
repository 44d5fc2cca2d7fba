/**
 * Neighbour discovery in: RFC 4861 §6.1, §7.1, §7.2, §8. ip/icmpv6.ts calls ndInput for a message
 * with a right checksum. Answers for our addresses, tells link/neighbor.ts what it learns, ip/
 * dad.ts of conflicts and ip/autoconf.ts of routers. What fails a check: Icmp6InErrors.
 */
import { Counter } from "../abi";
import { readBe32, readU16, readU32 } from "../core/bytes";
import { count } from "../core/counters";
import { Link, linkAt, linkIsEthernet } from "../link/link";
import {
  LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED, Neighbor, neighborFind, neighborLearn,
} from "../link/neighbor";
import { macIsGroup } from "../wire/ethernet";
import { IcmpHeader } from "../wire/icmpv4";
import {
  ICMPV6_LISTENER_QUERY, ICMPV6_NEIGHBOR_ADVERTISEMENT, ICMPV6_NEIGHBOR_SOLICITATION,
  ICMPV6_REDIRECT, ICMPV6_ROUTER_ADVERTISEMENT, ICMPV6_ROUTER_SOLICITATION, NA_OVERRIDE, NA_ROUTER,
  NA_SOLICITED, ND_SOURCE_MAC, ND_TARGET_MAC, ndOption, ndOptionsCheck,
} from "../wire/icmpv6";
import { listenerQueried, routerAdvertised, routerGone } from "./autoconf";
import { addressConflict } from "./dad";
import { ndAdvertise } from "./nd-send";
import { isLinkLocal, isMulticast, isUnspecified, Packet, packetDrop } from "./packet";
import { ADDRESS_TENTATIVE, ADDRESS_USED, addressAny, addressEntry } from "./route";

/** Bytes before the options: of a solicitation and an advertisement of a neighbour alike. */
const NEIGHBOR_FIXED: u32 = 24;
const ROUTER_FIXED: u32 = 16;
const QUERY_FIXED: u32 = 24;

/** Is the type one of those handled here? */
export function isNd(type: u32): bool {
  return type == ICMPV6_LISTENER_QUERY ||
    (type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT);
}

export function ndInput(packet: Packet, type: u32): void {
  const link = linkAt(packet.link);
  if (!linkIsEthernet(link)) return; // no neighbours: ignored as any other unknown message
  if (!accepted(packet, type)) return packetDrop(packet, Counter.Icmp6InErrors);
  switch (type) {
    case ICMPV6_NEIGHBOR_SOLICITATION: {
      count(Counter.Icmp6InNeighborSolicits);
      return solicitationInput(packet, link);
    }
    case ICMPV6_NEIGHBOR_ADVERTISEMENT: {
      count(Counter.Icmp6InNeighborAdvertisements);
      return advertisementInput(packet, link);
    }
    case ICMPV6_ROUTER_ADVERTISEMENT: {
      count(Counter.Icmp6InRouterAdvertisements);
      return routerAdvertised(packet, link, packet.l4 + ROUTER_FIXED);
    }
    case ICMPV6_LISTENER_QUERY: {
      count(Counter.Icmp6InGroupMembQueries);
      return listenerQueried(link, readU32(packet.l4 + 4));
    }
    // ignored: anyone on the link could forge it
    case ICMPV6_REDIRECT: return count(Counter.Icmp6InRedirects);
    default: count(Counter.Icmp6InRouterSolicits); // for routers
  }
}

/** The checks of RFC 4861 §6.1.2, §7.1.1, §7.1.2; a query needs RFC 3810 §6.2's. */
function accepted(packet: Packet, type: u32): bool {
  const header = changetype<IcmpHeader>(packet.l4);
  const length = packet.l4Length;
  if (type == ICMPV6_LISTENER_QUERY) {
    return length >= QUERY_FIXED && packet.ttl == 1 && isLinkLocal(packet.src0);
  }
  if (packet.ttl != 255 || header.code != 0) return false;
  if (type == ICMPV6_REDIRECT || type == ICMPV6_ROUTER_SOLICITATION) return true;
  const fixed = type == ICMPV6_ROUTER_ADVERTISEMENT ? ROUTER_FIXED : NEIGHBOR_FIXED;
  if (length < fixed || !ndOptionsCheck(packet.l4 + fixed, length - fixed)) return false;
  if (type == ICMPV6_ROUTER_ADVERTISEMENT) return isLinkLocal(packet.src0);
  const target = packet.l4 + 8;
  if (isMulticast(readU32(target), readU32(target + 4), readU32(target + 8), 0)) return false;
  if (type == ICMPV6_NEIGHBOR_ADVERTISEMENT) {
    return packet.multicast == 0 || (readBe32(packet.l4 + 4) & NA_SOLICITED) == 0;
  }
  if (!fromNobody(packet)) return true;
  return packet.multicast != 0 && option(packet, ND_SOURCE_MAC) == 0;
}

function fromNobody(packet: Packet): bool {
  return isUnspecified(packet.src0, packet.src1, packet.src2, packet.src3);
}

/** Where an option's MAC stands, or 0: there is none that a host can have. */
function option(packet: Packet, kind: u32): usize {
  const at = ndOption(packet.l4 + NEIGHBOR_FIXED, packet.l4 + packet.l4Length, kind);
  return at == 0 || macIsGroup(readU32(at + 2)) ? 0 : at + 2;
}

function targetIndex(packet: Packet, link: Link): i32 {
  const at = packet.l4 + 8;
  const i = addressAny(readU32(at), readU32(at + 4), readU32(at + 8), readU32(at + 12));
  return i >= 0 && addressEntry(i).link == <u8>link.id ? i : -1;
}

function solicitationInput(packet: Packet, link: Link): void {
  const i = targetIndex(packet, link);
  if (i < 0) return;
  const state = addressEntry(i).flags;
  if (state == ADDRESS_TENTATIVE && fromNobody(packet)) addressConflict(i); // both want it
  if (state != ADDRESS_USED) return;
  if (fromNobody(packet)) return ndAdvertise(link, i, 0, NA_OVERRIDE, 0, 0);
  const mac = option(packet, ND_SOURCE_MAC);
  const from = changetype<usize>(packet) + offsetof<Packet>("src0");
  if (mac != 0) {
    const flags = LEARN_CREATE | LEARN_OVERRIDE;
    neighborLearn(link, from, readU32(mac), readU16(mac + 4), flags);
  }
  const known = neighborFind(link.id, from);
  if (known == 0) return;
  const n = changetype<Neighbor>(known);
  if ((n.macHigh | n.macLow) == 0) return;
  ndAdvertise(link, i, from, NA_SOLICITED | NA_OVERRIDE, n.macHigh, n.macLow);
}

function advertisementInput(packet: Packet, link: Link): void {
  const i = targetIndex(packet, link);
  if (i >= 0) return addressConflict(i);
  const target = packet.l4 + 8;
  const flags = readBe32(packet.l4 + 4);
  const record = neighborFind(link.id, target);
  if (record == 0) return; // nobody asked
  const n = changetype<Neighbor>(record);
  const mac = option(packet, ND_TARGET_MAC);
  if (mac == 0 && (n.macHigh | n.macLow) == 0) return;
  const high = mac == 0 ? n.macHigh : readU32(mac);
  const low = mac == 0 ? n.macLow : readU16(mac + 4);
  let learned: u32 = 0;
  if (flags & NA_SOLICITED) learned |= LEARN_SOLICITED;
  if (flags & NA_OVERRIDE) learned |= LEARN_OVERRIDE;
  neighborLearn(link, target, high, low, learned);
  if ((flags & NA_ROUTER) == 0) routerGone(link, target);
}
