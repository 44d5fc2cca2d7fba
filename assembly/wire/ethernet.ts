/**
 * Ethernet II header and 802.1Q tag (IEEE 802.3, IEEE 802.1Q §9.6): views over bytes, total checks
 * and the group addresses that IP maps to (RFC 1112 §6.4, RFC 2464 §7). No decisions. Used by
 * link/input.ts and link/ethernet.ts. A MAC is two words as they stand in a frame: the first four
 * bytes (high) and the last two (low).
 */

export const ETHERNET_HEADER_BYTES: u32 = 14;
export const VLAN_TAG_BYTES: u32 = 4;
/** Shortest frame without its check sequence; what is shorter is padded (IEEE 802.3 §4.2.3.3). */
export const ETHERNET_MIN_BYTES: u32 = 60;

export const ETHERTYPE_IPV4: u32 = 0x0800;
export const ETHERTYPE_ARP: u32 = 0x0806;
export const ETHERTYPE_VLAN: u32 = 0x8100;
export const ETHERTYPE_IPV6: u32 = 0x86dd;

/** ff:ff:ff:ff:ff:ff. */
export const MAC_BROADCAST_HIGH: u32 = 0xffffffff;
export const MAC_BROADCAST_LOW: u32 = 0xffff;
/** 33:33, the start of every group address of IPv6, as the low half of a high word. */
export const MAC_IPV6_GROUP: u32 = 0x3333;

@unmanaged
export class EthernetHeader {
  /** Bytes 0–3 of the destination, as they stand in the frame. */
  @inline get destinationHigh(): u32 { return load<u32>(changetype<usize>(this)); }
  @inline set destinationHigh(raw: u32) { store<u32>(changetype<usize>(this), raw); }
  /** Bytes 4–5 of the destination. */
  @inline get destinationLow(): u32 { return load<u16>(changetype<usize>(this), 4); }
  @inline set destinationLow(raw: u32) { store<u16>(changetype<usize>(this), <u16>raw, 4); }
  @inline get sourceHigh(): u32 { return load<u32>(changetype<usize>(this), 6); }
  @inline set sourceHigh(raw: u32) { store<u32>(changetype<usize>(this), raw, 6); }
  @inline get sourceLow(): u32 { return load<u16>(changetype<usize>(this), 10); }
  @inline set sourceLow(raw: u32) { store<u16>(changetype<usize>(this), <u16>raw, 10); }
  @inline get etherType(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 12)); }
  @inline set etherType(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 12); }
  /** Priority, DEI and VLAN id; only behind ETHERTYPE_VLAN (IEEE 802.1Q §9.6). */
  @inline get tagControl(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 14)); }
  @inline set tagControl(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 14); }
  @inline get taggedType(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 16)); }
  @inline set taggedType(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 16); }
}

/** Bytes before the payload of a frame of `length` bytes: 14, 18 with one tag; 0: too short. */
export function ethernetCheck(at: usize, length: u32): u32 {
  if (length < ETHERNET_HEADER_BYTES) return 0;
  if (changetype<EthernetHeader>(at).etherType != ETHERTYPE_VLAN) return ETHERNET_HEADER_BYTES;
  const tagged = ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
  return length < tagged ? 0 : tagged;
}

/** A group address, broadcast included. */
// @ts-ignore: decorator
@inline
export function macIsGroup(high: u32): bool {
  return (high & 1) != 0;
}
