/**
 * What an ICMP message about a path's MTU is worth: RFC 1191 §4, §7, RFC 8201 §4. ip/icmp.ts and
 * ip/icmpv6.ts ask before they hand the MTU to tcp/icmp.ts. Pure functions; whether the message is
 * to be believed at all (RFC 5927) is TCP's to say.
 */
import { Config } from "../abi";
import { config } from "../config";
import { IPV4_MIN_MTU } from "../wire/ipv4";
import { IPV6_MIN_MTU } from "../wire/ipv6";

/**
 * The MTU to use when an IPv4 router told `told` about a packet of `quotedLength` bytes; 0: the
 * message is nonsense. Never less than min_pmtu: whoever tells less wants to slow us down.
 */
export function pathMtuV4(told: u32, quotedLength: u32): u32 {
  if (told == 0) told = plateau(quotedLength); // a router older than RFC 1191
  if (told < IPV4_MIN_MTU) return 0;
  return max(told, config(Config.min_pmtu));
}

/** The MTU to use when an IPv6 router told `told`; 0: below what every link has (RFC 8201 §4). */
export function pathMtuV6(told: u32): u32 {
  return told < IPV6_MIN_MTU ? 0 : min(told, 65535);
}

/** RFC 1191 §7.1: the largest usual MTU below a packet that was too long. */
function plateau(length: u32): u32 {
  if (length > 32000) return 32000;
  if (length > 17914) return 17914;
  if (length > 8166) return 8166;
  if (length > 4352) return 4352;
  if (length > 2002) return 2002;
  if (length > 1492) return 1492;
  if (length > 1006) return 1006;
  if (length > 508) return 508;
  if (length > 296) return 296;
  return IPV4_MIN_MTU;
}
