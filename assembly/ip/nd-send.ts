/**
 * Neighbour discovery and listener messages out: RFC 4861 §4.1, §4.3, §4.4, RFC 4862 §5.4.2 (the
 * probe), RFC 3810 §5.2 (a report of one group). Called by link/neighbor.ts, ip/nd.ts, ip/dad.ts
 * and ip/autoconf.ts. A full ring drops the message (AckornLinkTxDeferred): whoever asks repeats.
 */
import { Counter, TX_L3_HEADER } from "../abi";
import { copyBytes, readU32, writeU16, writeU32, zeroBytes } from "../core/bytes";
import { checksumFinish, checksumPartial } from "../core/checksum";
import { count } from "../core/counters";
import { ethernetPlain, ethernetTransmit } from "../link/ethernet";
import { Link, linkIsUp } from "../link/link";
import { txReserve } from "../link/output";
import { system } from "../memory";
import { ETHERTYPE_IPV6, MAC_IPV6_GROUP } from "../wire/ethernet";
import { ICMP_HEADER_BYTES, IcmpHeader } from "../wire/icmpv4";
import {
  ICMPV6_LISTENER_REPORT_V2, ICMPV6_NEIGHBOR_ADVERTISEMENT, ICMPV6_NEIGHBOR_SOLICITATION,
  ICMPV6_ROUTER_SOLICITATION, ND_SOURCE_MAC, ND_TARGET_MAC,
} from "../wire/icmpv6";
import { PROTOCOL_ICMPV6 } from "../wire/ipv4";
import {
  IPV6_HEADER_BYTES, ipv6Write, ipv6WriteAddresses, NEXT_HOP_BY_HOP,
} from "../wire/ipv6";
import { isLinkLocal, pseudoSum } from "./packet";
import { ADDRESS_USED, addressEntry, addressWords, sourceOn } from "./route";
import { IpState, ipState } from "./state";

/** First words of ff02::1, ::2, ::16 and of solicited-node groups, as they stand in a packet. */
const FF02: u32 = 0x000002ff;
const ALL_NODES: u32 = 0x01000000;
const ALL_ROUTERS: u32 = 0x02000000;
const ALL_LISTENER_ROUTERS: u32 = 0x16000000;
const SOLICITED_NODE2: u32 = 0x01000000;
/** Bytes of the option with a MAC. */
const MAC_OPTION: u32 = 8;
/** RFC 3810 §5.2.12. */
const CHANGE_TO_EXCLUDE: u32 = 4;
const MODE_IS_EXCLUDE: u32 = 2;
const RECORD_BYTES: u32 = 20;
const HOP_BY_HOP_BYTES: u32 = 8;

/** The last word of a solicited-node group's address (RFC 4291 §2.7.1). */
// @ts-ignore: decorator
@inline
export function solicitedNode(w3: u32): u32 {
  return (w3 & 0xffffff00) | 0xff;
}

/** Where the message begins. */
// @ts-ignore: decorator
@inline
function messageAt(slot: usize): usize {
  return slot + TX_L3_HEADER + IPV6_HEADER_BYTES;
}

/** ipState's `to` words: ff02::, w2, w3. Their address. */
function group(w2: u32, w3: u32): usize {
  const state = ipState();
  state.to0 = FF02;
  state.to1 = 0;
  state.to2 = w2;
  state.to3 = w3;
  return changetype<usize>(state) + offsetof<IpState>("to0");
}

/** ipState's `from` words: ::, or the link-local address where there is one. Their address. */
function nobody(): usize {
  const at = changetype<usize>(ipState()) + offsetof<IpState>("from0");
  zeroBytes(at, 16);
  return at;
}

/** Where the words of the link's link-local address stand, or of ::. */
function linkLocalOrNobody(link: Link): usize {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.flags == ADDRESS_USED && e.link == <u8>link.id && isLinkLocal(e.w0)) {
      return addressWords(i);
    }
  }
  return nobody();
}

function begin(link: Link, type: u32, rest: u32): usize {
  const slot = linkIsUp(link) ? txReserve(link) : 0;
  if (slot == 0) return 0;
  const header = changetype<IcmpHeader>(messageAt(slot));
  header.type = type;
  header.code = 0;
  header.rest = rest;
  return slot;
}

/** Link header, IPv6 header with hop limit 255, checksum; out. MAC 0: the group's. */
function end(
  link: Link, slot: usize, source: usize, to: usize, length: u32, high: u32, low: u32,
): void {
  ipv6Write(slot + TX_L3_HEADER, 0, 0, length, PROTOCOL_ICMPV6, 255);
  finish(link, slot, source, to, 0, length, high, low);
}

function finish(
  link: Link, slot: usize, source: usize, to: usize, before: u32, length: u32, high: u32, low: u32,
): void {
  ipv6WriteAddresses(slot + TX_L3_HEADER, source, to);
  const at = messageAt(slot) + before;
  writeU16(at + 2, 0);
  const sum = pseudoSum(source, to, PROTOCOL_ICMPV6, length);
  writeU16(at + 2, checksumFinish(checksumPartial(at, length, sum)));
  if ((high | low) == 0) {
    high = MAC_IPV6_GROUP | readU32(to + 12) << 16;
    low = readU32(to + 12) >> 16;
  }
  count(Counter.Ip6OutRequests);
  count(Counter.Icmp6OutMsgs);
  ethernetPlain(link, slot);
  ethernetTransmit(link, slot, ETHERTYPE_IPV6, high, low, IPV6_HEADER_BYTES + before + length);
}

/** Our MAC as an option; bytes written. */
function macOption(link: Link, at: usize, kind: u32): u32 {
  writeU16(at, kind | 1 << 8);
  writeU32(at + 2, link.macHigh);
  writeU16(at + 6, link.macLow);
  return MAC_OPTION;
}

/** Who has the address at `target`? To a MAC, or with 0 to its solicited-node group. */
export function ndSolicit(link: Link, target: usize, high: u32, low: u32): void {
  const w3 = readU32(target + 12);
  const from = sourceOn(link.id, readU32(target), readU32(target + 4), readU32(target + 8), w3);
  if (from < 0) return;
  const to = (high | low) != 0 ? target : group(SOLICITED_NODE2, solicitedNode(w3));
  neighborSolicitation(link, addressWords(from), to, target, high, low, true);
}

/** Does anybody have the address at `target`, which is to be ours? */
export function ndProbe(link: Link, target: usize): void {
  const to = group(SOLICITED_NODE2, solicitedNode(readU32(target + 12)));
  neighborSolicitation(link, nobody(), to, target, 0, 0, false);
}

function neighborSolicitation(
  link: Link, source: usize, to: usize, target: usize, high: u32, low: u32, named: bool,
): void {
  const slot = begin(link, ICMPV6_NEIGHBOR_SOLICITATION, 0);
  if (slot == 0) return;
  const at = messageAt(slot);
  copyBytes(at + 8, target, 16);
  const option = named ? macOption(link, at + 24, ND_SOURCE_MAC) : 0;
  count(Counter.Icmp6OutNeighborSolicits);
  end(link, slot, source, to, 24 + option, high, low);
}

/** Local address `i` is ours: to the words at `to` (0: all nodes), with `flags` S and O. */
export function ndAdvertise(
  link: Link, i: u32, to: usize, flags: u32, high: u32, low: u32,
): void {
  const slot = begin(link, ICMPV6_NEIGHBOR_ADVERTISEMENT, flags);
  if (slot == 0) return;
  const at = messageAt(slot);
  copyBytes(at + 8, addressWords(i), 16);
  macOption(link, at + 24, ND_TARGET_MAC);
  count(Counter.Icmp6OutNeighborAdvertisements);
  const heard = to != 0 ? to : group(0, ALL_NODES);
  end(link, slot, addressWords(i), heard, 24 + MAC_OPTION, high, low);
}

/** Are there routers? From our link-local address. */
export function ndRouterSolicit(link: Link): void {
  const source = linkLocalOrNobody(link);
  if (readU32(source) == 0) return;
  const slot = begin(link, ICMPV6_ROUTER_SOLICITATION, 0);
  if (slot == 0) return;
  macOption(link, messageAt(slot) + ICMP_HEADER_BYTES, ND_SOURCE_MAC);
  count(Counter.Icmp6OutRouterSolicits);
  end(link, slot, source, group(0, ALL_ROUTERS), ICMP_HEADER_BYTES + MAC_OPTION, 0, 0);
}

/**
 * We listen to the solicited-node group of an address whose last word is `w3`; `asked`: a querier
 * wants to know, else we join. Hop limit 1 and the router alert, or a switch that looks for
 * listeners would not see it.
 */
export function listenerReport(link: Link, w3: u32, asked: bool): void {
  const slot = linkIsUp(link) ? txReserve(link) : 0;
  if (slot == 0) return;
  const ip = slot + TX_L3_HEADER;
  const length = ICMP_HEADER_BYTES + RECORD_BYTES;
  ipv6Write(ip, 0, 0, HOP_BY_HOP_BYTES + length, NEXT_HOP_BY_HOP, 1);
  const options = messageAt(slot);
  writeU32(options, PROTOCOL_ICMPV6 | 5 << 16 | 2 << 24); // next header, length 0, router alert
  writeU32(options + 4, 1 << 16); // its value 0; PadN of no bytes
  const header = changetype<IcmpHeader>(options + HOP_BY_HOP_BYTES);
  header.type = ICMPV6_LISTENER_REPORT_V2;
  header.code = 0;
  header.rest = 1; // one record
  const record = options + HOP_BY_HOP_BYTES + ICMP_HEADER_BYTES;
  writeU32(record, asked ? MODE_IS_EXCLUDE : CHANGE_TO_EXCLUDE);
  copyBytes(record + 4, group(SOLICITED_NODE2, solicitedNode(w3)), 16);
  count(Counter.Icmp6OutMLDv2Reports);
  const to = group(0, ALL_LISTENER_ROUTERS);
  finish(link, slot, linkLocalOrNobody(link), to, HOP_BY_HOP_BYTES, length, 0, 0);
}
