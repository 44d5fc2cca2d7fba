/**
 * The UDP header (RFC 768): a view over bytes and a total check, no decisions.
 * Used by udp/input.ts, udp/dhcp.ts and, for quoted packets, by ip/icmp.ts.
 */

export const UDP_HEADER_BYTES: u32 = 8;

@unmanaged
export class UdpHeader {
  @inline get sourcePort(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this))); }
  @inline get destinationPort(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 2)); }
  /** Bytes, header included. */
  @inline get length(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 4)); }
  /** As it stands in the packet; 0: the sender did not compute one (IPv4 only). */
  @inline get checksum(): u32 { return load<u16>(changetype<usize>(this), 6); }
}

/** Writes the header; ip/output.ts fills the checksum in. `length` with the header, bytes. */
export function udpWrite(at: usize, source: u32, destination: u32, length: u32): void {
  store<u16>(at, bswap<u16>(<u16>source));
  store<u16>(at, bswap<u16>(<u16>destination), 2);
  store<u16>(at, bswap<u16>(<u16>length), 4);
  store<u16>(at, 0, 6);
}

/** The datagram's bytes, header included, or 0 when its length cannot be true. */
export function udpCheck(at: usize, available: u32): u32 {
  if (available < UDP_HEADER_BYTES) return 0;
  const length = changetype<UdpHeader>(at).length;
  return length < UDP_HEADER_BYTES || length > available ? 0 : length;
}
