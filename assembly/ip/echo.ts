/**
 * Echo, both ways and both families: RFC 1122 §3.2.2.6, RFC 4443 §4. ip/icmp.ts and ip/icmpv6.ts
 * hand in requests and replies; the ABI's ping is icmpEcho. No state: a reply is told to the host
 * through the trace ring, and the host knows what it asked.
 */
import { Config, Counter, Errno, Trace } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { trace } from "../core/trace";
import { ICMP_ECHO, ICMP_ECHO_REPLY, ICMP_HEADER_BYTES, IcmpHeader } from "../wire/icmpv4";
import { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../wire/icmpv6";
import { icmpSend, PAYLOAD_PATTERN } from "./icmp-send";
import { ipReplyTo } from "./output";
import { isMapped, isMulticast, isUnspecified, Packet } from "./packet";
import { isBroadcast, isOneself, sourceFor } from "./route";
import { scratchEndpoint } from "./state";

/** Longest payload that any packet can carry. */
const ECHO_BYTES_MAX: u32 = 65535;

/** Answers a request whose checksum is right. Ring full, arena empty, too long: counted, gone. */
export function echoRequestInput(packet: Packet): void {
  // a broadcast echo answered by all is an amplifier: icmp_echo_ignore_broadcasts, always on
  if (packet.multicast != 0 || config(Config.icmp_echo_ignore_all) != 0) return;
  const isV6 = packet.isV6 != 0;
  const rest = changetype<IcmpHeader>(packet.l4).rest; // identifier and sequence, as they came
  const payload = <usize>packet.l4 + ICMP_HEADER_BYTES;
  const length = packet.l4Length - ICMP_HEADER_BYTES;
  const type = isV6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
  const tos: u32 = packet.tos & 0xfc; // the request's class of service, not its ECN mark
  const sent = icmpSend(ipReplyTo(packet), isV6, type, 0, rest, payload, length, tos, 0);
  if (sent == 0) count(isV6 ? Counter.Icmp6OutEchoReplies : Counter.IcmpOutEchoReps);
}

/** Tells the host: Trace.EchoReply with index id, a sequence, b ttl, c bytes of payload. */
export function echoReplyInput(packet: Packet): void {
  const header = changetype<IcmpHeader>(packet.l4);
  const bytes = packet.l4Length - ICMP_HEADER_BYTES;
  trace(Trace.EchoReply, header.id, 0, header.sequence, packet.ttl, bytes);
}

/**
 * Sends an echo request with `size` bytes of payload (0, 1, 2, …) to a unicast address (four words
 * as in a packet). `id` and `seq` are 16 bits; `ttl` 0: ip_default_ttl. 0, or -EINVAL (address),
 * -ENETUNREACH (oneself, or no local address), -EMSGSIZE, -EAGAIN, -ENETDOWN, -ENOBUFS.
 */
export function icmpEcho(
  d0: u32, d1: u32, d2: u32, d3: u32, id: u32, seq: u32, size: u32, ttl: u32,
): i32 {
  if (isUnspecified(d0, d1, d2, d3) || isMulticast(d0, d1, d2, d3)) return -Errno.EINVAL;
  if (isBroadcast(d0, d1, d2, d3)) return -Errno.EINVAL;
  if (size > ECHO_BYTES_MAX) return -Errno.EMSGSIZE;
  const local = isOneself(d0, d1, d2, d3) ? -1 : sourceFor(d0, d1, d2, d3);
  if (local < 0) return -Errno.ENETUNREACH;
  const endpoint = scratchEndpoint();
  endpoint.remote0 = d0;
  endpoint.remote1 = d1;
  endpoint.remote2 = d2;
  endpoint.remote3 = d3;
  endpoint.remotePort = 0;
  endpoint.localPort = 0;
  endpoint.localAddress = <u16>local;
  const isV6 = !isMapped(d0, d1, d2);
  const type = isV6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO;
  const rest = (id & 0xffff) << 16 | (seq & 0xffff);
  const sent = icmpSend(endpoint, isV6, type, 0, rest, PAYLOAD_PATTERN, size, 0, min(ttl, 255));
  if (sent == 0) count(isV6 ? Counter.Icmp6OutEchos : Counter.IcmpOutEchos);
  return sent;
}
