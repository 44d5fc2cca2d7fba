/**
 * The way out of IP: header, transport checksum, virtio_net_hdr, next hop. tcp/segment-build.ts and
 * ip/icmp.ts call ipBegin, write the transport header at ipL4, add payload by txPiece, and end with
 * ipFinish. RFC 791, RFC 8200, RFC 6864. Decides nothing about what is sent or when.
 */
import {
  Config, Counter, Fault, LINK_CSUM, LINK_TSO4, LINK_TSO6, TX_L3_HEADER, TX_PIECE_COUNT, TX_PIECES,
  VNET_CSUM_OFFSET, VNET_CSUM_START, VNET_F_NEEDS_CSUM, VNET_FLAGS, VNET_GSO_ECN, VNET_GSO_SIZE,
  VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_TYPE, VNET_HDR_BYTES, VNET_HDR_LEN,
} from "../abi";
import { config } from "../config";
import { readU32, writeU16, writeU32, writeU8 } from "../core/bytes";
import { checksumFinish, checksumPartial, checksumPiece } from "../core/checksum";
import { count, countMany } from "../core/counters";
import { invariant } from "../core/invariant";
import { siphash24 } from "../core/siphash";
import { Link, linkAuto, linkHeaderBytes, linkIsEthernet, linkIsUp } from "../link/link";
import { Neighbor, neighborFor, neighborSend, NF_ROUTER } from "../link/neighbor";
import { txHeader, txPublish, txReserve } from "../link/output";
import { system } from "../memory";
import { Endpoint } from "../tcp/records";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../wire/ethernet";
import {
  IPV4_DF, IPV4_HEADER_BYTES, ipv4Write, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP,
} from "../wire/ipv4";
import { IPV6_HEADER_BYTES, ipv6Write, ipv6WriteAddresses } from "../wire/ipv6";
import { TCP_CWR, TcpHeader } from "../wire/tcp";
import { isMapped, Packet, pseudoSum } from "./packet";
import { addressInUse, addressWords, routeLinkFor } from "./route";
import { routeLookup } from "./route-table";
import { ipState, scratchEndpoint } from "./state";

/** Why ipBegin returned 0: ipOutcome(). */
export const enum IpOut {
  Ok,
  /** The ring is full: keep it and try again in the next poll. */
  Full,
  /** The link is down: counted as discarded, gone like on a pulled cable; timers will retry. */
  Down,
  /** The local address is not ours any more. */
  NoRoute,
}

/** Largest packet; what a super-segment with its headers may fill. */
export const IP_PACKET_MAX: u32 = 65535;

/** A free entry for a packet from local address `local`, or 0: ipOutcome() says why. */
export function ipBegin(local: u32, isV6: bool): usize {
  const state = ipState();
  if (!addressInUse(local)) {
    state.outcome = IpOut.NoRoute;
    count(isV6 ? Counter.Ip6OutNoRoutes : Counter.IpOutNoRoutes);
    return 0;
  }
  const link = routeLinkFor(local);
  if (!linkIsUp(link)) {
    state.outcome = IpOut.Down;
    count(isV6 ? Counter.Ip6OutDiscards : Counter.IpOutDiscards);
    return 0;
  }
  const slot = txReserve(link);
  state.outcome = slot != 0 ? IpOut.Ok : IpOut.Full;
  return slot;
}

/** Why the last ipBegin returned 0. */
// @ts-ignore: decorator
@inline
export function ipOutcome(): IpOut {
  return <IpOut>ipState().outcome;
}

/** Where the transport header of an entry begins; 60 bytes of room. */
// @ts-ignore: decorator
@inline
export function ipL4(slot: usize, isV6: bool): usize {
  return slot + TX_L3_HEADER + (isV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
}

/** Bytes of an IP packet on the link of a local address in use. */
export function ipMtu(local: u32): u32 {
  const link = routeLinkFor(local);
  const own = linkAuto(link);
  const told = isV6At(addressWords(local)) ? own.mtu6 : own.mtu4; // by a router, by DHCP
  return told != 0 ? told : link.mtu;
}

/** May segments of up to 64 KiB be handed to the link of a local address in use? */
export function ipOffloads(local: u32, isV6: bool): bool {
  return (routeLinkFor(local).features & (isV6 ? LINK_TSO6 : LINK_TSO4)) != 0;
}

/**
 * An endpoint for one answer to `packet` (an echo reply, an ICMP error, a RST for no connection):
 * from its destination to its source, ports 0. Valid until the next call.
 */
export function ipReplyTo(packet: Packet): Endpoint {
  const endpoint = scratchEndpoint();
  endpoint.remote0 = packet.src0;
  endpoint.remote1 = packet.src1;
  endpoint.remote2 = packet.src2;
  endpoint.remote3 = packet.src3;
  endpoint.remotePort = 0;
  endpoint.localPort = 0;
  endpoint.localAddress = packet.localAddress;
  return endpoint;
}

/**
 * Ends what ipBegin began and hands it to the link: from `endpoint`'s localAddress to its remote
 * words (its ports go into the flow label), payload in the entry already. `ttl` 0: ip_default_ttl.
 * `gsoSize`: payload bytes of a segment when the link is to cut (ipOffloads), else 0.
 */
export function ipFinish(
  slot: usize, endpoint: Endpoint, protocol: u32, tos: u32, ttl: u32, l4HeaderLength: u32,
  payloadLength: u32, gsoSize: u32, dontFragment: bool,
): void {
  const local: u32 = endpoint.localAddress;
  const link = routeLinkFor(local);
  const source = addressWords(local);
  const destination = changetype<usize>(endpoint) + offsetof<Endpoint>("remote0");
  const isV6 = isV6At(source);
  const label = isV6 ? flowLabel(endpoint) : 0;
  const header = ipWrite(
    slot, link, source, destination, protocol, tos, ttl, l4HeaderLength, payloadLength, gsoSize,
    dontFragment, label,
  );
  if (linkIsEthernet(link)) return neighborOutput(link, slot, destination, isV6, header);
  txHeader(slot, slot + TX_L3_HEADER, header);
  txPublish(link, slot);
}

function isV6At(at: usize): bool {
  return !isMapped(readU32(at), readU32(at + 4), readU32(at + 8));
}

/** To whoever takes it on its way: a packet without a route or a neighbour is gone, counted. */
function neighborOutput(
  link: Link, slot: usize, destination: usize, isV6: bool, header: u32,
): void {
  const neighbor = nextHop(link, destination, isV6);
  if (neighbor == 0) return;
  const type = isV6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
  neighborSend(link, changetype<Neighbor>(neighbor), slot, type, header);
}

/** The Neighbor that a packet to the words at `destination` goes to, or 0. */
function nextHop(link: Link, destination: usize, isV6: bool): usize {
  const w0 = readU32(destination);
  const w1 = readU32(destination + 4);
  const w2 = readU32(destination + 8);
  const w3 = readU32(destination + 12);
  const same = link.last3 == w3 && link.last2 == w2 && link.last1 == w1 && link.last0 == w0;
  if (same && link.lastNeighbor != 0) return link.lastNeighbor;
  if (!routeLookup(destination, link.id)) {
    count(isV6 ? Counter.Ip6OutNoRoutes : Counter.IpOutNoRoutes);
    return 0;
  }
  const hop: usize = ipState().hopAt;
  const neighbor = neighborFor(link.id, hop);
  if (neighbor == 0) return 0;
  if (hop != destination) changetype<Neighbor>(neighbor).flags |= NF_ROUTER;
  link.last0 = w0;
  link.last1 = w1;
  link.last2 = w2;
  link.last3 = w3;
  link.lastNeighbor = <u32>neighbor;
  return neighbor;
}

/**
 * Everything of a packet but the link header: its IP header, checksum and virtio_net_hdr, payload
 * by txPiece already in the entry. `source` and `destination` are where four words stand. Bytes of
 * all headers, at TX_L3_HEADER.
 */
export function ipWrite(
  slot: usize, link: Link, source: usize, destination: usize, protocol: u32, tos: u32, ttl: u32,
  l4HeaderLength: u32, payloadLength: u32, gsoSize: u32, dontFragment: bool, label: u32,
): u32 {
  const isV6 = isV6At(destination);
  const l3 = isV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
  const l4Length = l4HeaderLength + payloadLength;
  const ip = slot + TX_L3_HEADER;
  invariant(l3 + l4Length <= IP_PACKET_MAX, Fault.Link);
  if (ttl == 0) ttl = config(Config.ip_default_ttl);
  if (isV6) {
    ipv6Write(ip, tos, label, l4Length, protocol, ttl);
    ipv6WriteAddresses(ip, source, destination);
    count(Counter.Ip6OutRequests);
  } else {
    //= rfc9293 MAY-4
    const id = dontFragment ? 0 : identification();
    const fragment = dontFragment ? IPV4_DF : 0;
    const to = readU32(destination + 12);
    ipv4Write(ip, tos, l3 + l4Length, id, fragment, ttl, protocol, readU32(source + 12), to);
    count(Counter.IpOutRequests);
    countMany(Counter.IpExtOutOctets, l3 + l4Length);
  }
  const cut = gsoSize != 0 && payloadLength > gsoSize;
  const offload = link.features & (isV6 ? LINK_TSO6 : LINK_TSO4);
  invariant(!cut || (protocol == PROTOCOL_TCP && offload != 0), Fault.Link);
  const l2 = linkHeaderBytes(link);
  offloadHeader(ip, l2, cut, gsoSize, l2 + l3 + l4HeaderLength, isV6);
  const sum = protocol == PROTOCOL_ICMP ? 0 : pseudoSum(source, destination, protocol, l4Length);
  writeChecksum(slot, link, protocol, l3, l4HeaderLength, sum);
  return l3 + l4HeaderLength;
}

/** The virtio_net_hdr before the frame; all zero when there is nothing to say. */
function offloadHeader(
  ip: usize, l2: u32, cut: bool, gsoSize: u32, headers: u32, isV6: bool,
): void {
  const at = ip - l2 - VNET_HDR_BYTES;
  let type: u32 = 0;
  if (cut) {
    type = isV6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
    // CWR belongs on the first piece alone, and not every device knows that unless it is told.
    const tcp = ip + (isV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
    if (changetype<TcpHeader>(tcp).flags & TCP_CWR) type |= VNET_GSO_ECN;
  }
  writeU8(at + VNET_FLAGS, 0);
  writeU8(at + VNET_GSO_TYPE, type);
  writeU16(at + VNET_HDR_LEN, cut ? headers : 0);
  writeU16(at + VNET_GSO_SIZE, cut ? gsoSize : 0);
  writeU16(at + VNET_CSUM_START, 0);
  writeU16(at + VNET_CSUM_OFFSET, 0);
}

/**
 * The transport checksum over `sum`, header and pieces, or, where the link completes it, what it
 * needs for that: the pseudo-header's sum, not complemented, in the field.
 */
//= rfc9293 MUST-2
function writeChecksum(
  slot: usize, link: Link, protocol: u32, l3: u32, l4HeaderLength: u32, sum: u64,
): void {
  const l4 = slot + TX_L3_HEADER + l3;
  const field = checksumOffset(protocol);
  if ((link.features & LINK_CSUM) != 0 && (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP)) {
    const l2 = linkHeaderBytes(link);
    const vnet = slot + TX_L3_HEADER - l2 - VNET_HDR_BYTES;
    writeU8(vnet + VNET_FLAGS, VNET_F_NEEDS_CSUM);
    writeU16(vnet + VNET_CSUM_START, l2 + l3);
    writeU16(vnet + VNET_CSUM_OFFSET, field);
    writeU16(l4 + field, ~(<u32>checksumFinish(sum)));
    return;
  }
  writeU16(l4 + field, 0);
  sum = checksumPartial(l4, l4HeaderLength, sum);
  let offset = l4HeaderLength;
  const pieces = readU32(slot + TX_PIECE_COUNT);
  for (let i: u32 = 1; i < pieces; i++) { // at most TX_PIECES_MAX
    const at = slot + TX_PIECES + (i << 3);
    const length = readU32(at + 4);
    sum = checksumPiece(readU32(at), length, offset, sum);
    offset += length;
  }
  const checksum: u32 = checksumFinish(sum);
  // RFC 768: a UDP checksum of 0 would say that there is none
  writeU16(l4 + field, checksum == 0 && protocol == PROTOCOL_UDP ? 0xffff : checksum);
}

/** Where the checksum stands in the transport header. */
function checksumOffset(protocol: u32): u32 {
  switch (protocol) {
    case PROTOCOL_TCP: return 16;
    case PROTOCOL_UDP: return 6;
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6: return 2;
    default: invariant(false, Fault.Link);
  }
  return 0;
}

/**
 * Identification of a datagram that may be fragmented. A plain counter would tell a third party how
 * much we send (idle scan); those that may not be fragmented carry 0 (RFC 6864 §4.1).
 */
function identification(): u32 {
  const s = system();
  const state = ipState();
  state.identification += 1;
  return <u32>(siphash24(s.hashKey0, s.hashKey1, state.identification, 1, 0) & 0xffff);
}

/**
 * RFC 6437 flow label: the same for all packets of a connection, and not to be guessed from others.
 * A multiplication, not SipHash, which would cost more than the rest of the header; so its key is
 * one of its own, and finding it out opens nothing else.
 */
function flowLabel(endpoint: Endpoint): u32 {
  const ports = <u32>endpoint.remotePort << 16 | <u32>endpoint.localPort;
  const words = <u64>(endpoint.remote3 ^ endpoint.remote1) << 32 | ports;
  const other = <u64>(endpoint.remote0 ^ endpoint.remote2) << 16 | <u64>endpoint.localAddress;
  const mixed = (words ^ flowKey()) * 0x9e3779b97f4a7c15 ^ other;
  return <u32>((mixed * 0xbf58476d1ce4e5b9) >> 44);
}

function flowKey(): u64 {
  const state = ipState();
  if (state.flowKey == 0) {
    const s = system();
    state.flowKey = siphash24(s.hashKey0, s.hashKey1, 0, 2, 0) | 1;
  }
  return state.flowKey;
}
