/**
 * ICMP messages (RFC 792, RFC 1191 §4): a view over the first eight bytes and a total check,
 * no decisions. Used by ip/icmp.ts; ip/icmpv6.ts uses the same view, the layout is the same.
 */

export const ICMP_HEADER_BYTES: u32 = 8;

export const ICMP_ECHO_REPLY: u32 = 0;
export const ICMP_DEST_UNREACH: u32 = 3;
export const ICMP_SOURCE_QUENCH: u32 = 4;
export const ICMP_REDIRECT: u32 = 5;
export const ICMP_ECHO: u32 = 8;
export const ICMP_TIME_EXCEEDED: u32 = 11;
export const ICMP_PARAMETER_PROBLEM: u32 = 12;

// Codes of ICMP_DEST_UNREACH
export const ICMP_NET_UNREACH: u32 = 0;
export const ICMP_HOST_UNREACH: u32 = 1;
export const ICMP_PROT_UNREACH: u32 = 2;
export const ICMP_PORT_UNREACH: u32 = 3;
export const ICMP_FRAG_NEEDED: u32 = 4;
export const ICMP_SR_FAILED: u32 = 5;
/** Codes beyond the last one known are malformed. */
export const ICMP_UNREACH_CODES: u32 = 16;

@unmanaged
export class IcmpHeader {
  @inline get type(): u32 { return load<u8>(changetype<usize>(this)); }
  @inline set type(v: u32) { store<u8>(changetype<usize>(this), <u8>v); }
  @inline get code(): u32 { return load<u8>(changetype<usize>(this), 1); }
  @inline set code(v: u32) { store<u8>(changetype<usize>(this), <u8>v, 1); }
  /** As it stands in the packet. */
  @inline set checksum(raw: u32) { store<u16>(changetype<usize>(this), <u16>raw, 2); }
  /** Echo: identifier and sequence number. */
  @inline get id(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 4)); }
  @inline set id(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 4); }
  @inline get sequence(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 6)); }
  @inline set sequence(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 6); }
  /** The word after the checksum: unused, pointer, or (ICMPv6 packet too big) the MTU. */
  @inline get rest(): u32 { return bswap<u32>(load<u32>(changetype<usize>(this), 4)); }
  @inline set rest(v: u32) { store<u32>(changetype<usize>(this), bswap<u32>(v), 4); }
  /** Of ICMP_FRAG_NEEDED: next-hop MTU in bytes, 0 from routers older than RFC 1191. */
  @inline get mtu(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 6)); }
}

// @ts-ignore: decorator
@inline
export function icmpCheck(length: u32): bool {
  return length >= ICMP_HEADER_BYTES;
}

/** Errors are never answered by errors (RFC 1122 §3.2.2); redirects count as errors. */
export function icmpIsError(type: u32): bool {
  return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
    type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}
