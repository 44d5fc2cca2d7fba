/**
 * The way in of IP: RFC 791, RFC 1122 §3.2, RFC 8200. link/input.ts calls ipInput for every frame;
 * it finds out what the packet is and hands it to TCP, UDP or ICMP, or counts it in exactly one
 * drop counter. Total: no bytes can trap it. Fragments are dropped and counted: there is no
 * reassembly yet. Nothing here keeps state.
 */
import { Counter } from "../abi";
import { readU8 } from "../core/bytes";
import { count, countMany } from "../core/counters";
import { linkAt, linkIsEthernet } from "../link/link";
import { tcpInput } from "../tcp/input";
import { LOCAL_ANY } from "../tcp/records";
import { udpInput } from "../udp/input";
import { ICMP_DEST_UNREACH, ICMP_PROT_UNREACH } from "../wire/icmpv4";
import {
  ICMPV6_HEADER_FIELD, ICMPV6_PARAMETER_PROBLEM, ICMPV6_UNKNOWN_NEXT_HEADER, ICMPV6_UNKNOWN_OPTION,
} from "../wire/icmpv6";
import {
  HeaderFault, IPV4_MF, IPV4_OFFSET, ipv4Check, Ipv4Header, PROTOCOL_ICMP, PROTOCOL_ICMPV6,
  PROTOCOL_TCP, PROTOCOL_UDP,
} from "../wire/ipv4";
import {
  EXTENSIONS_MAX, IPV6_FRAGMENT_BYTES, IPV6_FRAGMENTED, IPV6_HEADER_BYTES, ipv6Check,
  ipv6ExtensionCheck, Ipv6Extension, Ipv6Header, ipv6IsExtension, ipv6OptionsCheck, NEXT_FRAGMENT,
  NEXT_HOP_BY_HOP, NEXT_NONE, NEXT_ROUTING, OPTION_MALFORMED,
} from "../wire/ipv6";
import { icmpInput } from "./icmp";
import { icmpSendError } from "./icmp-send";
import { icmpv6Input } from "./icmpv6";
import {
  isLoopback, isMapped, isMulticast, isUnspecified, MAPPED_WORD, Packet, packetDrop,
} from "./packet";
import { addressFind, isBroadcast } from "./route";

/** `packet`: ip, ipLength (of the frame, > 0), link and the offload fields are set. */
export function ipInput(packet: Packet): void {
  switch (readU8(packet.ip) >> 4) {
    case 4: return ipv4Input(packet);
    case 6: return ipv6Input(packet);
    default: return packetDrop(packet, Counter.AckornLinkInErrors);
  }
}

function ipv4Input(packet: Packet): void {
  count(Counter.IpInReceives);
  countMany(Counter.IpExtInOctets, packet.ipLength);
  const fault = ipv4Check(packet.ip, packet.ipLength);
  if (fault != HeaderFault.None) return packetDrop(packet, ipv4Fault(fault));
  const header = changetype<Ipv4Header>(packet.ip);
  const total = header.totalLength; // what follows it in the frame is padding
  const headerBytes = header.headerBytes;
  packet.ipLength = total;
  //= rfc9293 MUST-50
  packet.l4 = packet.ip + headerBytes; // options are skipped, whatever they are
  packet.l4Length = total - headerBytes;
  packet.src0 = 0;
  packet.src1 = 0;
  packet.src2 = MAPPED_WORD;
  packet.src3 = header.source;
  packet.dst0 = 0;
  packet.dst1 = 0;
  packet.dst2 = MAPPED_WORD;
  packet.dst3 = header.destination;
  packet.isV6 = 0;
  packet.tos = <u8>header.tos;
  countEcn(packet, Counter.IpExtInNoECTPkts);
  packet.ttl = <u8>header.ttl; // 0 is for routers to refuse; Linux delivers it too
  packet.protocol = <u8>header.protocol;
  packet.protocolAt = 9;
  if (!sourceAccepted(packet) || !destinationFound(packet)) {
    return packetDrop(packet, Counter.IpInAddrErrors);
  }
  if ((header.fragment & (IPV4_MF | IPV4_OFFSET)) != 0) {
    count(Counter.IpReasmReqds);
    return packetDrop(packet, Counter.IpReasmFails);
  }
  deliver(packet);
}

/** Wire packets by their codepoint, the pieces of a super-segment one by one; `first`: Not-ECT. */
function countEcn(packet: Packet, first: u32): void {
  const size = <u32>packet.gsoSize;
  const pieces: u32 = size != 0 && packet.ipLength > size ? packet.ipLength / size : 1;
  countMany(first + (packet.tos & 3), pieces);
}

function ipv4Fault(fault: HeaderFault): Counter {
  if (fault == HeaderFault.Checksum) return Counter.IpInCsumErrors;
  return fault == HeaderFault.Truncated ? Counter.IpInTruncatedPkts : Counter.IpInHdrErrors;
}

function ipv6Input(packet: Packet): void {
  count(Counter.Ip6InReceives);
  const fault = ipv6Check(packet.ip, packet.ipLength);
  if (fault != HeaderFault.None) {
    const truncated = fault == HeaderFault.Truncated;
    const counter = truncated ? Counter.Ip6InTruncatedPkts : Counter.Ip6InHdrErrors;
    return packetDrop(packet, counter);
  }
  const header = changetype<Ipv6Header>(packet.ip);
  packet.ipLength = IPV6_HEADER_BYTES + header.payloadLength;
  packet.src0 = header.source0;
  packet.src1 = header.source1;
  packet.src2 = header.source2;
  packet.src3 = header.source3;
  packet.dst0 = header.destination0;
  packet.dst1 = header.destination1;
  packet.dst2 = header.destination2;
  packet.dst3 = header.destination3;
  packet.isV6 = 1;
  packet.tos = <u8>header.tos;
  countEcn(packet, Counter.Ip6InNoECTPkts);
  packet.ttl = <u8>header.hopLimit;
  // IPv4 addresses inside IPv6 headers would pass for IPv4 above us (RFC 4942 §2.2)
  const mapped = isMapped(packet.src0, packet.src1, packet.src2) ||
    isMapped(packet.dst0, packet.dst1, packet.dst2);
  if (mapped || !sourceAccepted(packet) || !destinationFound(packet)) {
    return packetDrop(packet, Counter.Ip6InAddrErrors);
  }
  const headers = ipv6Headers(packet);
  if (headers == 0) return;
  packet.l4 = packet.ip + headers;
  packet.l4Length = packet.ipLength - headers;
  deliver(packet);
}

/** Nobody else's unicast address is a source: RFC 1122 §3.2.1.3, RFC 4291 §2.7. */
//= rfc9293 MUST-63 (the address; tcp/input-listen.ts looks at the port)
function sourceAccepted(packet: Packet): bool {
  const w0 = packet.src0;
  const w1 = packet.src1;
  const w2 = packet.src2;
  const w3 = packet.src3;
  if (isMulticast(w0, w1, w2, w3)) return false;
  if (isUnspecified(w0, w1, w2, w3)) return mayBeNobody(packet);
  if (isLoopback(w0, w1, w2, w3) || isBroadcast(w0, w1, w2, w3)) return false;
  if (packet.isV6 == 0 && (w3 & 0xff) == 0) return false; // 0.0.0.0/8 is "this network"
  return addressFind(w0, w1, w2, w3) < 0; // our own: forged, or a loop
}

/** Who looks for an address to have asks a group, from :: (RFC 4862 §5.4.2). */
function mayBeNobody(packet: Packet): bool {
  if (packet.isV6 == 0 || !linkIsEthernet(linkAt(packet.link))) return false;
  return isMulticast(packet.dst0, packet.dst1, packet.dst2, packet.dst3);
}

/** One of our addresses, or everybody's; sets localAddress and multicast. */
//= rfc9293 MUST-57 (the flag; tcp/input.ts drops what bears it)
function destinationFound(packet: Packet): bool {
  const w0 = packet.dst0;
  const w1 = packet.dst1;
  const w2 = packet.dst2;
  const w3 = packet.dst3;
  const local = addressFind(w0, w1, w2, w3);
  // what a group of hosts got is for none of them alone (RFC 1122 §3.3.6)
  const alone = local >= 0 && packet.toGroup == 0;
  packet.multicast = alone ? 0 : 1;
  packet.localAddress = alone ? <u16>local : <u16>LOCAL_ANY;
  return local >= 0 || isMulticast(w0, w1, w2, w3) || isBroadcast(w0, w1, w2, w3);
}

/** To the transport; what nobody here speaks is answered. */
function deliver(packet: Packet): void {
  const isV6 = packet.isV6 != 0;
  const protocol: u32 = packet.protocol;
  const known = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP ||
    protocol == (isV6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP) || (isV6 && protocol == NEXT_NONE);
  if (!known) {
    packetDrop(packet, isV6 ? Counter.Ip6InUnknownProtos : Counter.IpInUnknownProtos);
    if (isV6) parameterProblem(packet, ICMPV6_UNKNOWN_NEXT_HEADER, packet.protocolAt);
    else icmpSendError(packet, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
    return;
  }
  count(isV6 ? Counter.Ip6InDelivers : Counter.IpInDelivers);
  switch (protocol) {
    case PROTOCOL_TCP: return tcpInput(packet);
    case PROTOCOL_UDP: return udpInput(packet);
    case PROTOCOL_ICMP: return icmpInput(packet);
    case PROTOCOL_ICMPV6: return icmpv6Input(packet);
    default: return; // NEXT_NONE: nothing follows, and that is all right (RFC 8200 §4.7)
  }
}

/**
 * Walks the extension headers. Sets protocol and protocolAt; returns the bytes before the
 * transport, or 0 when the packet was dropped and counted.
 */
function ipv6Headers(packet: Packet): u32 {
  const end = packet.ipLength;
  let offset = IPV6_HEADER_BYTES;
  let next = changetype<Ipv6Header>(packet.ip).nextHeader;
  packet.protocolAt = 6;
  for (let i: u32 = 0; i <= EXTENSIONS_MAX; i++) {
    // a hop-by-hop header anywhere but first is no header that we know (RFC 8200 §4.1)
    if (!ipv6IsExtension(next) || (next == NEXT_HOP_BY_HOP && i != 0)) {
      packet.protocol = <u8>next;
      return offset;
    }
    const at = <usize>packet.ip + offset;
    let bytes = ipv6ExtensionCheck(at, end - offset);
    if (next == NEXT_FRAGMENT) bytes = end - offset < 8 ? 0 : IPV6_FRAGMENT_BYTES;
    if (bytes == 0) break;
    if (!extensionAccepted(packet, next, offset, bytes)) return 0;
    packet.protocolAt = <u16>offset;
    next = changetype<Ipv6Extension>(at).nextHeader;
    offset += bytes;
  }
  packetDrop(packet, Counter.Ip6InHdrErrors);
  return 0;
}

/** False: dropped, counted, and answered where RFC 8200 asks for it. */
function extensionAccepted(packet: Packet, kind: u32, offset: u32, bytes: u32): bool {
  const at = <usize>packet.ip + offset;
  const extension = changetype<Ipv6Extension>(at);
  if (kind == NEXT_FRAGMENT) {
    if ((extension.fragment & IPV6_FRAGMENTED) == 0) return true; // RFC 6946: an atomic one
    count(Counter.Ip6ReasmReqds);
    packetDrop(packet, Counter.Ip6ReasmFails);
    return false;
  }
  if (kind == NEXT_ROUTING) {
    // we forward for nobody; type 0 is refused like any other (RFC 5095 §3)
    if (extension.segmentsLeft == 0) return true;
    packetDrop(packet, Counter.Ip6InHdrErrors);
    parameterProblem(packet, ICMPV6_HEADER_FIELD, offset + 2);
    return false;
  }
  const odd = ipv6OptionsCheck(at + 2, bytes - 2);
  if (odd == bytes - 2) return true;
  packetDrop(packet, Counter.Ip6InHdrErrors);
  if (odd == OPTION_MALFORMED) return false;
  const action = readU8(at + 2 + odd) >> 6; // RFC 8200 §4.2: 1 silence, 2 answer, 3 if unicast
  if (action == 2 || (action == 3 && packet.multicast == 0)) {
    parameterProblem(packet, ICMPV6_UNKNOWN_OPTION, offset + 2 + odd);
  }
  return false;
}

function parameterProblem(packet: Packet, code: u32, pointer: u32): void {
  icmpSendError(packet, ICMPV6_PARAMETER_PROBLEM, code, pointer);
}
