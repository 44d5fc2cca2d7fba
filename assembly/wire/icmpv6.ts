/**
 * ICMPv6 messages (RFC 4443 §2.1, §3, §4): types and codes. The eight bytes at the front lie as in
 * ICMP for IPv4, so IcmpHeader of wire/icmpv4.ts is the view. Used by ip/icmpv6.ts.
 */

export const ICMPV6_DEST_UNREACH: u32 = 1;
export const ICMPV6_PACKET_TOO_BIG: u32 = 2;
export const ICMPV6_TIME_EXCEEDED: u32 = 3;
export const ICMPV6_PARAMETER_PROBLEM: u32 = 4;
export const ICMPV6_ECHO_REQUEST: u32 = 128;
export const ICMPV6_ECHO_REPLY: u32 = 129;

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
