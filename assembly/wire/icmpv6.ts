/**
 * ICMPv6 messages (RFC 4443 §2.1, §3, §4): types and codes, and the options of neighbour discovery
 * (RFC 4861 §4.6). The eight bytes at the front lie as in ICMP for IPv4, so IcmpHeader of
 * wire/icmpv4.ts is the view. Used by ip/icmpv6.ts, ip/nd.ts and ip/nd-send.ts.
 */

export const ICMPV6_DEST_UNREACH: u32 = 1;
export const ICMPV6_PACKET_TOO_BIG: u32 = 2;
export const ICMPV6_TIME_EXCEEDED: u32 = 3;
export const ICMPV6_PARAMETER_PROBLEM: u32 = 4;
export const ICMPV6_ECHO_REQUEST: u32 = 128;
export const ICMPV6_ECHO_REPLY: u32 = 129;
export const ICMPV6_LISTENER_QUERY: u32 = 130;
export const ICMPV6_ROUTER_SOLICITATION: u32 = 133;
export const ICMPV6_ROUTER_ADVERTISEMENT: u32 = 134;
export const ICMPV6_NEIGHBOR_SOLICITATION: u32 = 135;
export const ICMPV6_NEIGHBOR_ADVERTISEMENT: u32 = 136;
export const ICMPV6_REDIRECT: u32 = 137;
export const ICMPV6_LISTENER_REPORT_V2: u32 = 143;

// Options of neighbour discovery: a type, a length in units of eight bytes
export const ND_SOURCE_MAC: u32 = 1;
export const ND_TARGET_MAC: u32 = 2;
export const ND_PREFIX: u32 = 3;
export const ND_MTU: u32 = 5;

// Flags of a neighbour advertisement, in its second word
export const NA_ROUTER: u32 = 0x80000000;
export const NA_SOLICITED: u32 = 0x40000000;
export const NA_OVERRIDE: u32 = 0x20000000;

// Codes of ICMPV6_DEST_UNREACH
export const ICMPV6_NO_ROUTE: u32 = 0;
export const ICMPV6_ADM_PROHIBITED: u32 = 1;
export const ICMPV6_NOT_NEIGHBOUR: u32 = 2;
export const ICMPV6_ADDR_UNREACH: u32 = 3;
export const ICMPV6_PORT_UNREACH: u32 = 4;
export const ICMPV6_POLICY_FAIL: u32 = 5;
export const ICMPV6_REJECT_ROUTE: u32 = 6;

// Codes of ICMPV6_PARAMETER_PROBLEM
export const ICMPV6_HEADER_FIELD: u32 = 0;
export const ICMPV6_UNKNOWN_NEXT_HEADER: u32 = 1;
export const ICMPV6_UNKNOWN_OPTION: u32 = 2;

/** Types below 128 are errors (RFC 4443 §2.1). */
// @ts-ignore: decorator
@inline
export function icmpv6IsError(type: u32): bool {
  return type < 128;
}

/** Do options fill `length` bytes at `at` exactly (RFC 4861 §4.6: none of length 0)? */
export function ndOptionsCheck(at: usize, length: u32): bool {
  let offset: u32 = 0;
  while (offset < length) { // each turn moves on by eight at least
    if (length - offset < 8) return false;
    const bytes = <u32>load<u8>(at + offset, 1) << 3;
    if (bytes == 0 || bytes > length - offset) return false;
    offset += bytes;
  }
  return true;
}

/** The first option of a type at or behind `at`, or 0. `end`: where checked options end. */
export function ndOption(at: usize, end: usize, kind: u32): usize {
  while (at < end) {
    if (<u32>load<u8>(at) == kind) return at;
    at += <usize>load<u8>(at, 1) << 3;
  }
  return 0;
}
