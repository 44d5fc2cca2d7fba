/**
 * The IPv4 header (RFC 791 §3.1): a view over bytes and a total check, no decisions.
 * Used by ip/input.ts, ip/output.ts, and ip/icmp.ts for quoted packets.
 */
import { checksumFinish, checksumPartial } from "../core/checksum";

export const IPV4_HEADER_BYTES: u32 = 20;
/** What every IPv4 link carries whole (RFC 791 §3.2). */
export const IPV4_MIN_MTU: u32 = 68;

export const IPV4_DF: u32 = 0x4000;
export const IPV4_MF: u32 = 0x2000;
export const IPV4_OFFSET: u32 = 0x1fff;

export const PROTOCOL_ICMP: u32 = 1;
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;
export const PROTOCOL_ICMPV6: u32 = 58;

/** What is wrong with a header; each becomes one counter in ip/input.ts. */
export const enum HeaderFault {
  None,
  Malformed,
  /** The packet says it is longer than the frame. */
  Truncated,
  Checksum,
}

@unmanaged
export class Ipv4Header {
  @inline get version(): u32 { return <u32>load<u8>(changetype<usize>(this)) >> 4; }
  /** Bytes, options included. */
  @inline get headerBytes(): u32 { return (<u32>load<u8>(changetype<usize>(this)) & 15) << 2; }
  @inline get tos(): u32 { return load<u8>(changetype<usize>(this), 1); }
  @inline get totalLength(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 2)); }
  @inline get identification(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 4)); }
  /** IPV4_DF, IPV4_MF and the fragment offset in units of eight bytes. */
  @inline get fragment(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 6)); }
  @inline get ttl(): u32 { return load<u8>(changetype<usize>(this), 8); }
  @inline get protocol(): u32 { return load<u8>(changetype<usize>(this), 9); }
  /** As it stands in the packet. */
  @inline get source(): u32 { return load<u32>(changetype<usize>(this), 12); }
  @inline get destination(): u32 { return load<u32>(changetype<usize>(this), 16); }
}

/** Is the packet at `at` whole, within `available` bytes, with a right header checksum? */
export function ipv4Check(at: usize, available: u32): HeaderFault {
  if (available < IPV4_HEADER_BYTES) return HeaderFault.Malformed;
  const header = changetype<Ipv4Header>(at);
  const headerBytes = header.headerBytes;
  if (header.version != 4 || headerBytes < IPV4_HEADER_BYTES) return HeaderFault.Malformed;
  if (headerBytes > available) return HeaderFault.Malformed;
  const total = header.totalLength;
  if (total < headerBytes) return HeaderFault.Malformed;
  if (checksumFinish(checksumPartial(at, headerBytes, 0)) != 0) return HeaderFault.Checksum;
  return total > available ? HeaderFault.Truncated : HeaderFault.None;
}

/**
 * Writes a header without options. `fragment` is IPV4_DF or 0; addresses as they stand in a packet;
 * `total` in bytes.
 */
export function ipv4Write(
  at: usize, tos: u32, total: u32, identification: u32, fragment: u32, ttl: u32, protocol: u32,
  source: u32, destination: u32,
): void {
  store<u16>(at, <u16>(0x45 | (tos & 255) << 8));
  store<u16>(at, bswap<u16>(<u16>total), 2);
  store<u16>(at, bswap<u16>(<u16>identification), 4);
  store<u16>(at, bswap<u16>(<u16>fragment), 6);
  store<u32>(at, (ttl & 255) | (protocol & 255) << 8, 8); // checksum 0 while it is summed
  store<u32>(at, source, 12);
  store<u32>(at, destination, 16);
  store<u16>(at, checksumFinish(checksumPartial(at, IPV4_HEADER_BYTES, 0)), 10);
}
