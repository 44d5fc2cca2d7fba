/**
 * The TCP header (RFC 9293 §3.1): a view over bytes and a total check, no decisions.
 * Used by tcp/input.ts, tcp/segment-build.ts and, for quoted packets, by ip/icmp.ts.
 */

export const TCP_HEADER_BYTES: u32 = 20;
export const TCP_HEADER_MAX: u32 = 60;
/** Where the checksum stands (csum_offset of a virtio_net_hdr). */
export const TCP_CHECKSUM_AT: u32 = 16;

export const TCP_FIN: u32 = 0x01;
export const TCP_SYN: u32 = 0x02;
export const TCP_RST: u32 = 0x04;
export const TCP_PSH: u32 = 0x08;
export const TCP_ACK: u32 = 0x10;
export const TCP_URG: u32 = 0x20;
export const TCP_ECE: u32 = 0x40;
export const TCP_CWR: u32 = 0x80;
/** Accurate ECN's third bit (RFC 9768), the lowest of the reserved ones. */
export const TCP_AE: u32 = 0x100;

@unmanaged
export class TcpHeader {
  @inline get sourcePort(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this))); }
  @inline set sourcePort(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v)); }
  @inline get destinationPort(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 2)); }
  @inline set destinationPort(v: u32) {
    store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 2);
  }
  @inline get seq(): u32 { return bswap<u32>(load<u32>(changetype<usize>(this), 4)); }
  @inline set seq(v: u32) { store<u32>(changetype<usize>(this), bswap<u32>(v), 4); }
  @inline get ack(): u32 { return bswap<u32>(load<u32>(changetype<usize>(this), 8)); }
  @inline set ack(v: u32) { store<u32>(changetype<usize>(this), bswap<u32>(v), 8); }
  /** Data offset in bytes: header and options. */
  @inline get headerBytes(): u32 { return <u32>load<u8>(changetype<usize>(this), 12) >> 4 << 2; }
  /** TCP_* bits, nine of them. */
  @inline get flags(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 12)) & 0x1ff; }
  /** As it stands in the field: not scaled. */
  //= rfc9293 MUST-1
  @inline get window(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 14)); }
  @inline set window(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 14); }
  /** As it stands in the packet. */
  @inline get checksum(): u32 { return load<u16>(changetype<usize>(this), 16); }
  @inline set checksum(raw: u32) { store<u16>(changetype<usize>(this), <u16>raw, 16); }
  @inline get urgent(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 18)); }
  @inline set urgent(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 18); }
}

/** Bytes of header and options at `at`, or 0 when they cannot be true within `length` bytes. */
export function tcpCheck(at: usize, length: u32): u32 {
  if (length < TCP_HEADER_BYTES) return 0;
  const bytes = changetype<TcpHeader>(at).headerBytes;
  return bytes < TCP_HEADER_BYTES || bytes > length ? 0 : bytes;
}

/**
 * Writes the fixed header, checksum 0. `headerBytes` counts the options that follow, which the
 * caller wrote (a multiple of four, 20 to 60); `window` and `urgent` are the fields' values.
 */
export function tcpWrite(
  at: usize, sourcePort: u32, destinationPort: u32, seq: u32, ack: u32, headerBytes: u32,
  flags: u32, window: u32, urgent: u32,
): void {
  store<u32>(at, bswap<u32>(sourcePort << 16 | (destinationPort & 0xffff)));
  store<u32>(at, bswap<u32>(seq), 4);
  store<u32>(at, bswap<u32>(ack), 8);
  const offsetAndFlags = headerBytes >> 2 << 28 | (flags & 0x1ff) << 16;
  store<u32>(at, bswap<u32>(offsetAndFlags | (window & 0xffff)), 12);
  store<u32>(at, bswap<u32>(urgent & 0xffff), 16);
}
