/**
 * From a frame's bytes to plain objects: Ethernet with 802.1Q tags and ARP, IPv4, IPv6, and the
 * transport layer with its checksum judged. RFC 826, RFC 1071, RFC 768, RFC 9293, RFC 8200.
 * Called by the text of `dump`, captures, tests. Total: any bytes give an answer, nothing throws;
 * what is cut short or contradicts itself is listed in `issues`.
 */
import { ipv4Text, macText, u16, u8 } from './bytes.js';
import { fold, judge, pseudoHeaderSum, sumBytes, verify } from './checksum.js';
import { decodeIcmp, ICMP_HEADER_BYTES, isIcmpError } from './icmp.js';
import { decodeIpv4, decodeIpv6, IPV4_HEADER_BYTES, IPV6_HEADER_BYTES } from './ip.js';
import { decodeTcp } from './tcp.js';
import {
  PROTO_ICMP, PROTO_ICMPV6, PROTO_ROUTING, PROTO_TCP, PROTO_UDP,
  type ArpPacket, type Checksum, type DecodedFrame, type DecodedPacket, type EthernetHeader,
  type IcmpMessage, type IpHeader, type Issue, type LinkType, type Transport, type UdpDatagram,
} from './types.js';

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const VLAN_TPIDS = new Set([0x8100, 0x88a8, 0x9100, 0x9200]);
const UDP_HEADER_BYTES = 8;

export interface DecodeOptions {
  /** 'raw' (TUN): the first byte is an IP header's. Default. */
  link?: LinkType;
  /** Length on the wire, if the capture cut the frame. */
  wireLength?: number;
  /** The outermost transport checksum is left to an offload (NEEDS_CSUM). */
  csumPartial?: boolean;
}

/** Where the address stands that the pseudo-header needs: behind a source route, its last hop. */
function destinationOffset(ip: IpHeader, bytes: Uint8Array): number {
  if (ip.version === 6) return ip.offset + 24;
  let at = ip.offset + IPV4_HEADER_BYTES;
  for (const option of ip.options) {
    const sourceRoute = option.kind === 131 || option.kind === 137;
    if (sourceRoute && option.length >= 7 && at + option.length <= bytes.length) {
      return at + option.length - 4;
    }
    at += option.length;
  }
  return ip.offset + 16;
}

function isFragment(ip: IpHeader): boolean {
  if (ip.version === 4) return ip.moreFragments || ip.fragmentOffset > 0;
  return ip.fragment !== undefined && (ip.fragment.more || ip.fragment.offset > 0);
}

/** The transport checksum over `length` bytes from the payload's start; field at `at`. */
function transportChecksum(
  bytes: Uint8Array, ip: IpHeader, length: number, at: number, partial: boolean,
): Checksum {
  const value = u16(bytes, at);
  if (partial) return { value, status: 'partial', expected: 0 };
  const from = ip.payloadOffset;
  const routed = ip.version === 6 && ip.extensions.some(
    (ext) => ext.type === PROTO_ROUTING && u8(bytes, ext.offset + 3) > 0,
  );
  if (isFragment(ip) || routed || from + length > bytes.length) {
    return { value, status: 'unverified', expected: 0 };
  }
  if (ip.protocol === PROTO_ICMP) return verify(bytes, from, from + length, at, 0);
  const size = ip.version === 4 ? 4 : 16;
  const source = ip.offset + (ip.version === 4 ? 12 : 8);
  const target = destinationOffset(ip, bytes);
  const sum = target === source + size
    ? pseudoHeaderSum(bytes, source, size, ip.protocol, length)
    : sumBytes(bytes, source, source + size) + sumBytes(bytes, target, target + size)
      + ip.protocol + length;
  return judge(value, fold(sum + sumBytes(bytes, from, from + length)));
}

function decodeUdp(
  bytes: Uint8Array, ip: IpHeader, partial: boolean, issues: Issue[],
): UdpDatagram | undefined {
  const offset = ip.payloadOffset;
  const here = Math.min(bytes.length - offset, ip.payloadLength);
  if (here < UDP_HEADER_BYTES) {
    issues.push({ layer: 'udp', problem: 'truncated', detail: UDP_HEADER_BYTES - here });
    return undefined;
  }
  const length = u16(bytes, offset + 4);
  const bad = length < UDP_HEADER_BYTES;
  if (bad || (length > ip.payloadLength && !isFragment(ip))) {
    issues.push({ layer: 'udp', problem: 'bad-length', detail: length });
  }
  const used = Math.min(length, ip.payloadLength);
  let checksum = transportChecksum(bytes, ip, used, offset + 6, partial);
  if (checksum.value === 0 && ip.version === 4 && !partial) {
    checksum = { value: 0, status: 'absent', expected: 0 };
  }
  return {
    kind: 'udp', offset, headerLength: UDP_HEADER_BYTES, sourcePort: u16(bytes, offset),
    destinationPort: u16(bytes, offset + 2), length, checksum,
    payloadOffset: offset + UDP_HEADER_BYTES, payloadLength: Math.max(0, used - UDP_HEADER_BYTES),
  };
}

function decodeTransport(
  bytes: Uint8Array, ip: IpHeader, partial: boolean, issues: Issue[],
): Transport | undefined {
  const { protocol, payloadOffset: offset, payloadLength: length } = ip;
  const later = ip.version === 4 ? ip.fragmentOffset > 0 : (ip.fragment?.offset ?? 0) > 0;
  if (later) return { kind: 'fragment', protocol, offset, length };
  const sum = (at: number) => () => transportChecksum(bytes, ip, length, offset + at, partial);
  if (protocol === PROTO_TCP) return decodeTcp(bytes, offset, length, sum(16), issues);
  if (protocol === PROTO_UDP) return decodeUdp(bytes, ip, partial, issues);
  if (protocol === PROTO_ICMP && ip.version === 4) {
    return decodeIcmp(bytes, offset, length, false, sum(2), issues);
  }
  if (protocol === PROTO_ICMPV6 && ip.version === 6) {
    return decodeIcmp(bytes, offset, length, true, sum(2), issues);
  }
  return { kind: 'other', protocol, offset, length };
}

/** Reads one IP packet at `offset`, without what an ICMP error quotes. */
function decodeLevel(
  bytes: Uint8Array, offset: number, wireEnd: number, partial: boolean,
): DecodedPacket {
  const issues: Issue[] = [];
  if (offset >= bytes.length) {
    issues.push({ layer: 'ip', problem: 'truncated', detail: IPV4_HEADER_BYTES });
    return { ip: undefined, transport: undefined, issues };
  }
  const version = u8(bytes, offset) >> 4;
  let ip: IpHeader | undefined;
  if (version === 4) ip = decodeIpv4(bytes, offset, wireEnd, issues);
  else if (version === 6) ip = decodeIpv6(bytes, offset, wireEnd, issues);
  else issues.push({ layer: 'ip', problem: 'bad-version', detail: version });
  const stop = issues.some((issue) => issue.problem.startsWith('bad-') && issue.layer !== 'tcp'
    && issue.problem !== 'bad-option');
  if (ip === undefined || stop) return { ip, transport: undefined, issues };
  const headersEnd = ip.version === 6 && !ip.chainComplete;
  if (headersEnd || ip.payloadOffset > bytes.length) return { ip, transport: undefined, issues };
  // Padding behind the packet (Ethernet's 60 bytes) belongs to no layer.
  const end = ip.version === 4 ? offset + ip.totalLength : offset + IPV6_HEADER_BYTES + ip.length;
  const packet = bytes.subarray(0, Math.min(bytes.length, end));
  return { ip, transport: decodeTransport(packet, ip, partial, issues), issues };
}

/** The total length that a quoted packet claims: quotes are cut, and that is no fault. */
function claimedEnd(bytes: Uint8Array, offset: number): number {
  if (u8(bytes, offset) >> 4 === 6) return offset + IPV6_HEADER_BYTES + u16(bytes, offset + 4);
  return offset + u16(bytes, offset + 2);
}

function addQuote(bytes: Uint8Array, message: IcmpMessage): void {
  if (!isIcmpError(message)) return;
  const at = message.offset + ICMP_HEADER_BYTES;
  if (at >= bytes.length || message.length <= ICMP_HEADER_BYTES) return;
  const end = Math.min(bytes.length, message.offset + message.length);
  const inner = bytes.subarray(0, end);
  message.quoted = decodeLevel(inner, at, Math.max(end, claimedEnd(inner, at)), false);
}

/** Reads one IP packet at `offset` with all it carries, one level of ICMP quotation included. */
export function decodePacket(
  bytes: Uint8Array, offset = 0, wireEnd = bytes.length, csumPartial = false,
): DecodedPacket {
  const packet = decodeLevel(bytes, offset, wireEnd, csumPartial);
  const { transport } = packet;
  if (transport?.kind === 'icmp' || transport?.kind === 'icmp6') addQuote(bytes, transport);
  return packet;
}

function decodeEthernet(bytes: Uint8Array, issues: Issue[]): EthernetHeader | undefined {
  if (bytes.length < 14) {
    issues.push({ layer: 'ether', problem: 'truncated', detail: 14 - bytes.length });
    return undefined;
  }
  const header: EthernetHeader = {
    destination: macText(bytes, 0), source: macText(bytes, 6), etherType: u16(bytes, 12),
    tags: [], headerLength: 14,
  };
  while (VLAN_TPIDS.has(header.etherType)) {
    const at = header.headerLength;
    if (at + 4 > bytes.length) {
      issues.push({ layer: 'ether', problem: 'truncated', detail: at + 4 - bytes.length });
      return header;
    }
    const tci = u16(bytes, at);
    header.tags.push({
      tpid: header.etherType, priority: tci >> 13, dropEligible: (tci & 0x1000) !== 0,
      vlan: tci & 0xfff,
    });
    header.etherType = u16(bytes, at + 2);
    header.headerLength += 4;
  }
  return header;
}

function decodeArp(
  bytes: Uint8Array, offset: number, wireEnd: number, issues: Issue[],
): ArpPacket | undefined {
  const hardwareLength = u8(bytes, offset + 4);
  const protocolLength = u8(bytes, offset + 5);
  const needed = 8 + 2 * (hardwareLength + protocolLength);
  if (offset + Math.max(8, needed) > bytes.length) {
    const detail = offset + Math.max(8, needed) - bytes.length;
    issues.push({ layer: 'arp', problem: 'truncated', detail });
    return undefined;
  }
  const senderIp = offset + 8 + hardwareLength;
  const target = senderIp + protocolLength;
  const isIp = protocolLength === 4;
  return {
    kind: 'arp', offset, hardwareType: u16(bytes, offset), protocolType: u16(bytes, offset + 2),
    hardwareLength, protocolLength, operation: u16(bytes, offset + 6),
    senderHardware: macText(bytes, offset + 8, hardwareLength),
    senderProtocol: isIp ? ipv4Text(bytes, senderIp) : macText(bytes, senderIp, protocolLength),
    targetHardware: macText(bytes, target, hardwareLength),
    targetProtocol: isIp ? ipv4Text(bytes, target + hardwareLength)
      : macText(bytes, target + hardwareLength, protocolLength),
    length: wireEnd - offset,
  };
}

/**
 * Reads a whole frame. Never throws, whatever the bytes; keeps a reference to them, so copy them
 * first if their memory is used again.
 */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): DecodedFrame {
  const link = options.link ?? 'raw';
  const wireLength = Math.max(options.wireLength ?? bytes.length, bytes.length);
  const frame: DecodedFrame = {
    link, bytes, wireLength, ethernet: undefined, arp: undefined, ip: undefined,
    transport: undefined, issues: [], truncated: false,
  };
  let offset = 0;
  let isIp = true;
  if (link === 'ethernet') {
    frame.ethernet = decodeEthernet(bytes, frame.issues);
    const type = frame.ethernet?.etherType;
    offset = frame.ethernet?.headerLength ?? 0;
    isIp = type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6;
    if (type === ETHERTYPE_ARP) frame.arp = decodeArp(bytes, offset, wireLength, frame.issues);
  }
  if (isIp) {
    const packet = decodePacket(bytes, offset, wireLength, options.csumPartial ?? false);
    frame.ip = packet.ip;
    frame.transport = packet.transport;
    frame.issues.push(...packet.issues);
  }
  frame.truncated = frame.issues.some((issue) => issue.problem === 'truncated')
    || wireLength > bytes.length;
  return frame;
}
