/**
 * The IPv6 header and its extension headers (RFC 8200 §3, §4): views over bytes and total checks,
 * no decisions: what to do with a routing header or an unknown option, ip/input.ts says.
 */
import { HeaderFault } from "./ipv4";

export const IPV6_HEADER_BYTES: u32 = 40;
/** What every IPv6 link carries whole (RFC 8200 §5). */
export const IPV6_MIN_MTU: u32 = 1280;

export const NEXT_HOP_BY_HOP: u32 = 0;
export const NEXT_ROUTING: u32 = 43;
export const NEXT_FRAGMENT: u32 = 44;
export const NEXT_NONE: u32 = 59;
export const NEXT_DESTINATION: u32 = 60;

@unmanaged
export class Ipv6Header {
  @inline get version(): u32 { return <u32>load<u8>(changetype<usize>(this)) >> 4; }
  /** Traffic class. */
  @inline get tos(): u32 { return (bswap<u32>(load<u32>(changetype<usize>(this))) >> 20) & 255; }
  @inline get payloadLength(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 4)); }
  @inline get nextHeader(): u32 { return load<u8>(changetype<usize>(this), 6); }
  @inline get hopLimit(): u32 { return load<u8>(changetype<usize>(this), 7); }
  /** Words as they stand in the packet. */
  @inline get source0(): u32 { return load<u32>(changetype<usize>(this), 8); }
  @inline get source1(): u32 { return load<u32>(changetype<usize>(this), 12); }
  @inline get source2(): u32 { return load<u32>(changetype<usize>(this), 16); }
  @inline get source3(): u32 { return load<u32>(changetype<usize>(this), 20); }
  @inline get destination0(): u32 { return load<u32>(changetype<usize>(this), 24); }
  @inline get destination1(): u32 { return load<u32>(changetype<usize>(this), 28); }
  @inline get destination2(): u32 { return load<u32>(changetype<usize>(this), 32); }
  @inline get destination3(): u32 { return load<u32>(changetype<usize>(this), 36); }
}

/** An extension header; all but the fragment header say their length in the second byte. */
@unmanaged
export class Ipv6Extension {
  @inline get nextHeader(): u32 { return load<u8>(changetype<usize>(this)); }
  @inline get bytes(): u32 { return (<u32>load<u8>(changetype<usize>(this), 1) + 1) << 3; }
  @inline get routingType(): u32 { return load<u8>(changetype<usize>(this), 2); }
  @inline get segmentsLeft(): u32 { return load<u8>(changetype<usize>(this), 3); }
  /** Of a fragment header: offset in units of eight bytes << 3, reserved bits, M in bit 0. */
  @inline get fragment(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 2)); }
}
export const IPV6_FRAGMENT_BYTES: u32 = 8;
/** The bits of Ipv6Extension.fragment that make it a real fragment (RFC 6946: else it is whole). */
export const IPV6_FRAGMENTED: u32 = 0xfff9;

/** Is the packet at `at` whole within `available` bytes? Extension headers are not looked at. */
export function ipv6Check(at: usize, available: u32): HeaderFault {
  if (available < IPV6_HEADER_BYTES) return HeaderFault.Malformed;
  const header = changetype<Ipv6Header>(at);
  if (header.version != 6) return HeaderFault.Malformed;
  const total = IPV6_HEADER_BYTES + header.payloadLength;
  return total > available ? HeaderFault.Truncated : HeaderFault.None;
}

/** Bytes of the extension header at `at`, 0 when it does not fit in `available`. */
export function ipv6ExtensionCheck(at: usize, available: u32): u32 {
  if (available < 8) return 0;
  const bytes = changetype<Ipv6Extension>(at).bytes;
  return bytes > available ? 0 : bytes;
}

/** Extension headers that are walked over; more of them in one packet is an attack. */
export const EXTENSIONS_MAX: u32 = 8;

/** Extension headers are these alone; AH and ESP are transports we do not have. */
export function ipv6IsExtension(next: u32): bool {
  return next == NEXT_HOP_BY_HOP || next == NEXT_DESTINATION || next == NEXT_ROUTING ||
    next == NEXT_FRAGMENT;
}

/** The transport of a packet, when it cannot be found. */
export const NO_TRANSPORT: u32 = 0xffffffff;

/**
 * Offset of the transport header << 8 | its protocol, of the packet at `at` of which `length` bytes
 * are there (of a quoted packet, fewer than it says). NO_TRANSPORT: cut short before it, a fragment
 * that is not the first, or too many headers.
 */
export function ipv6Transport(at: usize, length: u32): u32 {
  if (length < IPV6_HEADER_BYTES) return NO_TRANSPORT;
  let next = changetype<Ipv6Header>(at).nextHeader;
  let offset = IPV6_HEADER_BYTES;
  for (let i: u32 = 0; i <= EXTENSIONS_MAX; i++) {
    if (!ipv6IsExtension(next)) return offset << 8 | next;
    if (length - offset < 8) return NO_TRANSPORT;
    const extension = changetype<Ipv6Extension>(at + offset);
    let bytes = IPV6_FRAGMENT_BYTES;
    if (next != NEXT_FRAGMENT) bytes = extension.bytes;
    else if (extension.fragment >> 3 != 0) return NO_TRANSPORT;
    if (bytes > length - offset) return NO_TRANSPORT;
    next = extension.nextHeader;
    offset += bytes;
  }
  return NO_TRANSPORT;
}

/** Option types that skip over themselves, by their two highest bits (RFC 8200 §4.2). */
export const OPTION_PAD1: u32 = 0;
export const OPTION_PADN: u32 = 1;
/** RFC 2711; it asks routers, not us. */
export const OPTION_ROUTER_ALERT: u32 = 5;
export const OPTION_MALFORMED: u32 = 0xffffffff;

/**
 * Finds in the options at `at`, `length` bytes, the first one that may not be skipped when unknown.
 * Returns its offset, `length` when all may be skipped, OPTION_MALFORMED when one is cut short.
 */
export function ipv6OptionsCheck(at: usize, length: u32): u32 {
  let offset: u32 = 0;
  while (offset < length) { // bounded: each turn moves on, and a header has at most 2,046 bytes
    const kind: u32 = load<u8>(at + offset);
    if (kind == OPTION_PAD1) {
      offset += 1;
      continue;
    }
    if (offset + 2 > length) return OPTION_MALFORMED;
    const bytes = 2 + <u32>load<u8>(at + offset, 1);
    if (offset + bytes > length) return OPTION_MALFORMED;
    if (kind >> 6 != 0) return offset;
    offset += bytes;
  }
  return length;
}

/** Writes the first eight bytes of a header; addresses are stored by ipv6WriteAddresses. */
export function ipv6Write(
  at: usize, tos: u32, flowLabel: u32, payload: u32, nextHeader: u32, hopLimit: u32,
): void {
  store<u32>(at, bswap<u32>(6 << 28 | (tos & 255) << 20 | (flowLabel & 0xfffff)));
  store<u16>(at, bswap<u16>(<u16>payload), 4);
  store<u16>(at, <u16>((nextHeader & 255) | (hopLimit & 255) << 8), 6);
}

/** `source` and `destination` are where four words each stand in the packet's order. */
export function ipv6WriteAddresses(at: usize, source: usize, destination: usize): void {
  store<u64>(at, load<u64>(source), 8);
  store<u64>(at, load<u64>(source, 8), 16);
  store<u64>(at, load<u64>(destination), 24);
  store<u64>(at, load<u64>(destination, 8), 32);
}
