/**
 * Ethernet II header and 802.1Q tag: views over bytes and total checks, no decisions.
 * Links of this kind come with ARP and neighbour discovery; until then linkAdd refuses them
 * (link/link.ts), and only this view and TX_L3_HEADER's room before the IP header exist.
 */

export const ETHERNET_HEADER_BYTES: u32 = 14;
export const VLAN_TAG_BYTES: u32 = 4;

export const ETHERTYPE_IPV4: u32 = 0x0800;
export const ETHERTYPE_ARP: u32 = 0x0806;
export const ETHERTYPE_VLAN: u32 = 0x8100;
export const ETHERTYPE_IPV6: u32 = 0x86dd;

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
  @inline get taggedType(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 16)); }
}

/** Bytes before the payload of a frame of `length` bytes: 14, 18 with one tag; 0: too short. */
export function ethernetCheck(at: usize, length: u32): u32 {
  if (length < ETHERNET_HEADER_BYTES) return 0;
  if (changetype<EthernetHeader>(at).etherType != ETHERTYPE_VLAN) return ETHERNET_HEADER_BYTES;
  const tagged = ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
  return length < tagged ? 0 : tagged;
}
