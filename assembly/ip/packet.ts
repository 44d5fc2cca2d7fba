/**
 * The packet being received, as ip/input.ts found it, and the words of addresses: four u32 as they
 * stand in a packet (not swapped), IPv4 as ::ffff:a.b.c.d. Everybody above IP reads it; only
 * link/input.ts and ip/input.ts write it. Plain data and predicates.
 */
import { Counter, Trace } from "../abi";
import { readU32 } from "../core/bytes";
import { checksumFinish, checksumPartial } from "../core/checksum";
import { count } from "../core/counters";
import { trace } from "../core/trace";
import { PACKET_AT } from "../memory";

/** ::ffff:0:0/96 as it stands in memory. */
export const MAPPED_WORD: u32 = 0xffff0000;

@unmanaged
export class Packet {
  /** Address of the IP header, and bytes from there on (padding cut off). */
  ip: u32;
  ipLength: u32;
  /** Address of the transport header behind options and extension headers, and bytes there. */
  l4: u32;
  l4Length: u32;
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  /** Index of dst in the table of local addresses, or LOCAL_ANY while `multicast`. */
  localAddress: u16;
  isV6: u8;
  /** 1: sent to a multicast or broadcast address. */
  multicast: u8;
  /** Type of service or traffic class: DSCP << 2 | ECN. */
  tos: u8;
  ttl: u8;
  protocol: u8;
  /** 1: the link vouches for the transport checksum (virtio_net_hdr). */
  checksumTrusted: u8;
  /** Payload bytes of each segment in a super-segment; 0: one segment. */
  gsoSize: u16;
  link: u16;
  /** IPv6: where, from `ip` on, the byte stands that names `protocol`. */
  protocolAt: u16;
  /** 1: the frame was for a group of hosts, whatever the packet says. */
  toGroup: u8;
  reserved0: u8;
}
if (offsetof<Packet>() > 256) ERROR("Packet fits its place");

/** The one packet that is being received. */
// @ts-ignore: decorator
@inline
export function currentPacket(): Packet {
  return changetype<Packet>(PACKET_AT);
}

/** The packet is gone, and `counter` says why: the one counter that its loss increments. */
export function packetDrop(packet: Packet, counter: Counter): void {
  count(counter);
  trace(Trace.Drop, packet.link, 0, counter, packet.ipLength, 0);
}

/**
 * Sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1): four words each at `source` and
 * `destination`, `length` bytes of transport.
 */
export function pseudoSum(source: usize, destination: usize, protocol: u32, length: u32): u64 {
  let sum = <u64>bswap<u32>(length) + <u64>bswap<u32>(protocol);
  // ::ffff: adds 0xffff, which is nothing in one's complement: one rule for both families
  for (let i: usize = 0; i < 16; i += 4) {
    sum += <u64>readU32(source + i) + <u64>readU32(destination + i);
  }
  return sum;
}

/**
 * Is the checksum of TCP, UDP or ICMPv6 in `length` bytes at packet.l4 right, pseudo-header
 * included? What the link vouches for (packet.checksumTrusted) is not summed again.
 */
export function packetChecksumOk(packet: Packet, length: u32): bool {
  if (packet.checksumTrusted) return true;
  return packetChecksumRight(packet, length);
}

/** The same, whatever the link says. */
export function packetChecksumRight(packet: Packet, length: u32): bool {
  const at = changetype<usize>(packet);
  const pseudo = pseudoSum(
    at + offsetof<Packet>("src0"), at + offsetof<Packet>("dst0"), packet.protocol, length,
  );
  return checksumFinish(checksumPartial(packet.l4, length, pseudo)) == 0;
}

/** ::ffff:a.b.c.d, that is IPv4. */
// @ts-ignore: decorator
@inline
export function isMapped(w0: u32, w1: u32, w2: u32): bool {
  return (w0 | w1) == 0 && w2 == MAPPED_WORD;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(w0: u32, w1: u32, w2: u32, w3: u32): bool {
  if (isMapped(w0, w1, w2)) return (w3 & 0xf0) == 0xe0;
  return (w0 & 0xff) == 0xff;
}

/** fe80::/10, by the first word of an address. */
// @ts-ignore: decorator
@inline
export function isLinkLocal(w0: u32): bool {
  return (w0 & 0xc0ff) == 0x80fe;
}

/** 0.0.0.0 or ::. */
export function isUnspecified(w0: u32, w1: u32, w2: u32, w3: u32): bool {
  return (w0 | w1 | w3) == 0 && (w2 == 0 || w2 == MAPPED_WORD);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(w0: u32, w1: u32, w2: u32, w3: u32): bool {
  if (isMapped(w0, w1, w2)) return (w3 & 0xff) == 127;
  return (w0 | w1 | w2) == 0 && w3 == 0x01000000;
}
