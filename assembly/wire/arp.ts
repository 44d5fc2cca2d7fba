/**
 * An ARP packet for IPv4 over Ethernet (RFC 826): a view over its 28 bytes, a total check and a
 * writer, no decisions. Used by link/arp.ts. Words stand as they do in the packet.
 */

export const ARP_BYTES: u32 = 28;
export const ARP_REQUEST: u32 = 1;
export const ARP_REPLY: u32 = 2;

/** Hardware type 1, protocol 0x0800, lengths 6 and 4: the first six bytes, as loaded. */
const ARP_KIND: u32 = 0x00080100;
const ARP_LENGTHS: u32 = 0x0406;

@unmanaged
export class ArpPacket {
  @inline get operation(): u32 { return bswap<u16>(load<u16>(changetype<usize>(this), 6)); }
  @inline get senderHigh(): u32 { return load<u32>(changetype<usize>(this), 8); }
  @inline get senderLow(): u32 { return load<u16>(changetype<usize>(this), 12); }
  @inline get senderAddress(): u32 { return load<u32>(changetype<usize>(this), 14); }
  @inline get targetHigh(): u32 { return load<u32>(changetype<usize>(this), 18); }
  @inline get targetLow(): u32 { return load<u16>(changetype<usize>(this), 22); }
  @inline get targetAddress(): u32 { return load<u32>(changetype<usize>(this), 24); }
}

/** Is the packet at `at` whole, and one of Ethernet and IPv4, request or reply? */
export function arpCheck(at: usize, available: u32): bool {
  if (available < ARP_BYTES) return false;
  if (load<u32>(at) != ARP_KIND || <u32>load<u16>(at, 4) != ARP_LENGTHS) return false;
  const operation = changetype<ArpPacket>(at).operation;
  return operation == ARP_REQUEST || operation == ARP_REPLY;
}

/** Writes all 28 bytes. */
export function arpWrite(
  at: usize, operation: u32, senderHigh: u32, senderLow: u32, senderAddress: u32,
  targetHigh: u32, targetLow: u32, targetAddress: u32,
): void {
  store<u32>(at, ARP_KIND);
  store<u16>(at, <u16>ARP_LENGTHS, 4);
  store<u16>(at, bswap<u16>(<u16>operation), 6);
  store<u32>(at, senderHigh, 8);
  store<u16>(at, <u16>senderLow, 12);
  store<u32>(at, senderAddress, 14);
  store<u32>(at, targetHigh, 18);
  store<u16>(at, <u16>targetLow, 22);
  store<u32>(at, targetAddress, 24);
}
