/**
 * ICMP and ICMPv6 messages out: RFC 792, RFC 1122 §3.2.2, RFC 4443. ip/echo.ts sends echoes by
 * icmpSend; ip/input.ts and udp/input.ts answer with errors by icmpSendError. What follows the
 * eight-byte header is copied into one arena block, freed at once: the block's bytes stay until the
 * host has returned the entry (core/arena.ts). Keeps nothing else.
 */
import { Config, Counter, Errno } from "../abi";
import { config } from "../config";
import { arenaAlloc, arenaFree } from "../core/arena";
import { copyBytes, writeU8 } from "../core/bytes";
import { count } from "../core/counters";
import { txPiece } from "../link/output";
import { Endpoint } from "../tcp/records";
import {
  ICMP_DEST_UNREACH, ICMP_HEADER_BYTES, IcmpHeader, icmpIsError,
} from "../wire/icmpv4";
import {
  ICMPV6_DEST_UNREACH, ICMPV6_PARAMETER_PROBLEM, icmpv6IsError,
} from "../wire/icmpv6";
import { IPV4_HEADER_BYTES, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../wire/ipv4";
import { IPV6_HEADER_BYTES, IPV6_MIN_MTU, ipv6Transport, NO_TRANSPORT } from "../wire/ipv6";
import { icmpAllowed } from "./icmp-limit";
import { ipBegin, ipFinish, ipL4, ipMtu, ipOutcome, IpOut, ipReplyTo } from "./output";
import { Packet } from "./packet";
import { addressInUse, sourceFor } from "./route";

/** RFC 1812 §4.3.2.3: an error is at most this long, all headers included. */
const ERROR_BYTES_V4: u32 = 576;
/** Source of `length` bytes that icmpSend makes up itself: 0, 1, 2, … as ping does. */
export const PAYLOAD_PATTERN: usize = 0;

/**
 * Sends one message: `rest` is the second word as a number, `length` bytes follow from `payload`
 * (or PAYLOAD_PATTERN). 0, or -EAGAIN (ring full), -ENETDOWN, -ENETUNREACH, -EMSGSIZE (beyond the
 * link's MTU: counted as discarded), -ENOBUFS (arena).
 */
export function icmpSend(
  endpoint: Endpoint, isV6: bool, type: u32, code: u32, rest: u32, payload: usize, length: u32,
  tos: u32, ttl: u32,
): i32 {
  const local: u32 = endpoint.localAddress;
  const headers = (isV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) + ICMP_HEADER_BYTES;
  if (addressInUse(local) && headers + length > ipMtu(local)) {
    count(isV6 ? Counter.Ip6OutDiscards : Counter.IpOutDiscards);
    return -Errno.EMSGSIZE;
  }
  const slot = ipBegin(local, isV6);
  if (slot == 0) return beginError();
  let block: usize = 0;
  const shift = blockShift(length);
  if (length != 0) {
    block = arenaAlloc(shift);
    if (block == 0) {
      count(Counter.AckornArenaExhausted);
      return -Errno.ENOBUFS;
    }
    if (payload != PAYLOAD_PATTERN) copyBytes(block, payload, length);
    else for (let i: u32 = 0; i < length; i++) writeU8(block + i, i); // at most one MTU
    txPiece(slot, block, length); // the first piece always has its place
  }
  const header = changetype<IcmpHeader>(ipL4(slot, isV6));
  header.type = type;
  header.code = code;
  header.rest = rest;
  const protocol = isV6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  ipFinish(slot, endpoint, protocol, tos, ttl, ICMP_HEADER_BYTES, length, 0, false);
  if (block != 0) arenaFree(block, shift);
  count(isV6 ? Counter.Icmp6OutMsgs : Counter.IcmpOutMsgs);
  return 0;
}

function beginError(): i32 {
  switch (ipOutcome()) {
    case IpOut.Full: return -Errno.EAGAIN;
    case IpOut.Down: return -Errno.ENETDOWN;
    default: return -Errno.ENETUNREACH;
  }
}

/** log2 of the arena block that holds `length` bytes. */
function blockShift(length: u32): u32 {
  const needed = length <= 1 ? 0 : 32 - clz<u32>(length - 1);
  return max(needed, config(Config.arenaBlockShift));
}

/**
 * Answers `packet` with an error that quotes it, unless RFC 1122 §3.2.2 or RFC 4443 §2.4 (e) say
 * no, or the rate limit does (IcmpOutRateLimitHost). `type` and `code` are of the packet's family.
 * For packets that ip/input.ts accepted: fragments do not come here, sources are unicast.
 */
export function icmpSendError(packet: Packet, type: u32, code: u32, rest: u32): void {
  const isV6 = packet.isV6 != 0;
  // the one error that multicast may cause, an option that asks for it (RFC 8200 §4.2)
  if (packet.multicast != 0 && !(isV6 && type == ICMPV6_PARAMETER_PROBLEM && code == 2)) return;
  if (carriesError(packet)) return;
  if (!icmpAllowed(packet)) {
    count(Counter.IcmpOutRateLimitHost);
    return;
  }
  const endpoint = ipReplyTo(packet);
  if (packet.multicast != 0) {
    const local = sourceFor(packet.src0, packet.src1, packet.src2, packet.src3);
    if (local < 0) return;
    endpoint.localAddress = <u16>local;
  }
  const headers = (isV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) + ICMP_HEADER_BYTES;
  const most = min(isV6 ? IPV6_MIN_MTU : ERROR_BYTES_V4, ipMtu(endpoint.localAddress)) - headers;
  const length = min(packet.ipLength, most);
  // Linux: the sender's TOS with the precedence of internetwork control; traffic class 0
  const tos: u32 = isV6 ? 0 : (packet.tos & 0x1e) | 0xc0;
  if (icmpSend(endpoint, isV6, type, code, rest, packet.ip, length, tos, 0) != 0) return;
  countError(isV6, type);
}

function countError(isV6: bool, type: u32): void {
  if (!isV6) {
    if (type == ICMP_DEST_UNREACH) count(Counter.IcmpOutDestUnreachs);
    return;
  }
  if (type == ICMPV6_DEST_UNREACH) count(Counter.Icmp6OutDestUnreachs);
  if (type == ICMPV6_PARAMETER_PROBLEM) count(Counter.Icmp6OutParmProblems);
}

/** Is the packet itself an ICMP error, or too broken to tell? */
function carriesError(packet: Packet): bool {
  const at = <usize>packet.ip;
  if (packet.isV6 == 0) {
    if (<u32>packet.protocol != PROTOCOL_ICMP) return false;
    return packet.l4Length == 0 || icmpIsError(changetype<IcmpHeader>(packet.l4).type);
  }
  const transport = ipv6Transport(at, packet.ipLength);
  if (transport == NO_TRANSPORT) return false;
  if ((transport & 255) != PROTOCOL_ICMPV6) return false;
  const offset = transport >> 8;
  return offset >= packet.ipLength || icmpv6IsError(changetype<IcmpHeader>(at + offset).type);
}
