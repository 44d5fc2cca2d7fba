/**
 * IPv4 headers with options and IPv6 headers with their chain of extension headers, read without
 * ever failing. RFC 791 §3.1, RFC 6864, RFC 8200 §3–4, RFC 4302 (AH).
 * Called by packet.ts; transport layers are read there. The chain of extension headers is bounded
 * by the bytes: each is at least eight long.
 */
import { ipv4Text, ipv6Text, u16, u32, u8 } from './bytes.js';
import { verify } from './checksum.js';
import {
  PROTO_AH, PROTO_DSTOPTS, PROTO_FRAGMENT, PROTO_HOPOPTS, PROTO_ROUTING,
  type Ipv4Header, type Ipv4Option, type Ipv6Header, type Issue,
} from './types.js';

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;

/** Options in bytes[from, to): RFC 791 §3.1. Stops at EOL or at the first that does not fit. */
function ipv4Options(bytes: Uint8Array, from: number, to: number, issues: Issue[]): Ipv4Option[] {
  const options: Ipv4Option[] = [];
  const end = Math.min(to, bytes.length);
  let at = from;
  while (at < end) {
    const kind = u8(bytes, at);
    if (kind <= 1) {
      options.push({ kind, length: 1, data: bytes.subarray(at, at) });
      if (kind === 0) break;
      at += 1;
      continue;
    }
    const length = at + 1 < end ? u8(bytes, at + 1) : 0;
    if (length < 2 || at + length > end) {
      options.push({ kind, length, data: bytes.subarray(at, at) });
      issues.push({ layer: 'ip', problem: 'bad-option', detail: at - from + IPV4_HEADER_BYTES });
      break;
    }
    options.push({ kind, length, data: bytes.subarray(at + 2, at + length) });
    at += length;
  }
  return options;
}

/**
 * Reads an IPv4 header at `offset`. `wireEnd` is where the frame ended on the wire (a frame
 * offset), which may be behind the bytes that are here.
 */
export function decodeIpv4(
  bytes: Uint8Array, offset: number, wireEnd: number, issues: Issue[],
): Ipv4Header | undefined {
  const here = bytes.length - offset;
  if (here < IPV4_HEADER_BYTES) {
    issues.push({ layer: 'ip', problem: 'truncated', detail: IPV4_HEADER_BYTES - here });
    return undefined;
  }
  const headerLength = (u8(bytes, offset) & 15) * 4;
  const totalLength = u16(bytes, offset + 2);
  const word = u16(bytes, offset + 6);
  const header: Ipv4Header = {
    version: 4, offset, headerLength, tos: u8(bytes, offset + 1), totalLength,
    id: u16(bytes, offset + 4), reservedFlag: (word & 0x8000) !== 0,
    dontFragment: (word & 0x4000) !== 0, moreFragments: (word & 0x2000) !== 0,
    fragmentOffset: (word & 0x1fff) * 8, ttl: u8(bytes, offset + 8),
    protocol: u8(bytes, offset + 9),
    checksum: { value: u16(bytes, offset + 10), status: 'unverified', expected: 0 },
    source: ipv4Text(bytes, offset + 12), destination: ipv4Text(bytes, offset + 16), options: [],
    payloadOffset: offset + headerLength, payloadLength: Math.max(0, totalLength - headerLength),
  };
  if (headerLength < IPV4_HEADER_BYTES) {
    issues.push({ layer: 'ip', problem: 'bad-header-length', detail: headerLength });
    return header;
  }
  if (totalLength < headerLength) {
    issues.push({ layer: 'ip', problem: 'bad-length', detail: totalLength });
    return header;
  }
  if (offset + totalLength > wireEnd) {
    const detail = offset + totalLength - wireEnd;
    issues.push({ layer: 'ip', problem: 'truncated', detail });
  }
  header.checksum = verify(bytes, offset, offset + headerLength, offset + 10, 0);
  header.options = ipv4Options(
    bytes, offset + IPV4_HEADER_BYTES, offset + headerLength, issues,
  );
  return header;
}

/** Length in bytes that an extension header states; 0 if `type` is none. */
function extensionLength(bytes: Uint8Array, type: number, at: number): number {
  switch (type) {
    case PROTO_HOPOPTS:
    case PROTO_ROUTING:
    case PROTO_DSTOPTS: return (u8(bytes, at + 1) + 1) * 8;
    case PROTO_FRAGMENT: return 8;
    case PROTO_AH: return (u8(bytes, at + 1) + 2) * 4;
    default: return 0;
  }
}

/** Walks the extension headers up to the transport header, or a later fragment's data. */
function walkExtensions(
  bytes: Uint8Array, header: Ipv6Header, end: number, issues: Issue[],
): void {
  let at = header.offset + IPV6_HEADER_BYTES;
  let type = header.nextHeader;
  while (extensionLength(bytes, type, at) > 0) {
    const length = extensionLength(bytes, type, at);
    if (type === PROTO_HOPOPTS && header.extensions.length > 0) {
      issues.push({ layer: 'ip6', problem: 'bad-extension', detail: type });
      header.chainComplete = false;
      break;
    }
    if (at + length > Math.min(end, bytes.length)) {
      const detail = at + length - Math.min(end, bytes.length);
      issues.push({ layer: 'ip6', problem: 'truncated', detail });
      header.chainComplete = false;
      break;
    }
    header.extensions.push({ type, offset: at, length });
    if (type === PROTO_FRAGMENT) {
      const word = u16(bytes, at + 2);
      const fragment = { id: u32(bytes, at + 4), offset: word & 0xfff8, more: (word & 1) === 1 };
      header.fragment = fragment;
    }
    type = u8(bytes, at);
    at += length;
    if ((header.fragment?.offset ?? 0) > 0) break;
  }
  header.protocol = type;
  header.payloadOffset = at;
  header.payloadLength = Math.max(0, end - at);
}

/** Reads an IPv6 header and its extension headers; `wireEnd` as in decodeIpv4. */
export function decodeIpv6(
  bytes: Uint8Array, offset: number, wireEnd: number, issues: Issue[],
): Ipv6Header | undefined {
  const here = bytes.length - offset;
  if (here < IPV6_HEADER_BYTES) {
    issues.push({ layer: 'ip6', problem: 'truncated', detail: IPV6_HEADER_BYTES - here });
    return undefined;
  }
  const length = u16(bytes, offset + 4);
  const end = offset + IPV6_HEADER_BYTES + length;
  const header: Ipv6Header = {
    version: 6, offset, headerLength: IPV6_HEADER_BYTES,
    trafficClass: (u16(bytes, offset) >> 4) & 0xff, flowLabel: u32(bytes, offset) & 0xfffff,
    length, nextHeader: u8(bytes, offset + 6), hopLimit: u8(bytes, offset + 7),
    source: ipv6Text(bytes, offset + 8), destination: ipv6Text(bytes, offset + 24),
    extensions: [], chainComplete: true, fragment: undefined, protocol: u8(bytes, offset + 6),
    payloadOffset: offset + IPV6_HEADER_BYTES, payloadLength: length,
  };
  if (end > wireEnd) issues.push({ layer: 'ip6', problem: 'truncated', detail: end - wireEnd });
  walkExtensions(bytes, header, end, issues);
  return header;
}
