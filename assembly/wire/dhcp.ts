/**
 * A DHCP message (RFC 2131 §2, RFC 2132): a view over the fixed part, a total check, and readers of
 * options that stay inside what the check confirmed. No decisions. Used by udp/dhcp.ts.
 */

export const DHCP_SERVER_PORT: u32 = 67;
export const DHCP_CLIENT_PORT: u32 = 68;
/** Up to the options, magic cookie included. */
export const DHCP_FIXED_BYTES: u32 = 240;
/** What old relays expect at least (RFC 1542 §2.1). */
export const DHCP_MIN_BYTES: u32 = 300;
const COOKIE: u32 = 0x63538263; // 99, 130, 83, 99 as loaded
const BOOTREPLY: u32 = 2;

export const DHCP_DISCOVER: u32 = 1;
export const DHCP_OFFER: u32 = 2;
export const DHCP_REQUEST: u32 = 3;
export const DHCP_DECLINE: u32 = 4;
export const DHCP_ACK: u32 = 5;
export const DHCP_NAK: u32 = 6;

export const OPTION_SUBNET: u32 = 1;
export const OPTION_ROUTER: u32 = 3;
export const OPTION_MTU: u32 = 26;
export const OPTION_REQUESTED: u32 = 50;
export const OPTION_LEASE: u32 = 51;
export const OPTION_TYPE: u32 = 53;
export const OPTION_SERVER: u32 = 54;
export const OPTION_PARAMETERS: u32 = 55;
export const OPTION_RENEWAL: u32 = 58;
export const OPTION_REBINDING: u32 = 59;
export const OPTION_CLIENT: u32 = 61;
const OPTION_END: u32 = 255;

/** Addresses and the MAC as they stand in the message. */
@unmanaged
export class DhcpMessage {
  @inline get operation(): u32 { return load<u8>(changetype<usize>(this)); }
  @inline get xid(): u32 { return load<u32>(changetype<usize>(this), 4); }
  @inline set xid(v: u32) { store<u32>(changetype<usize>(this), v, 4); }
  @inline set seconds(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 8); }
  @inline set flags(v: u32) { store<u16>(changetype<usize>(this), bswap<u16>(<u16>v), 10); }
  /** ciaddr: ours, when it is. */
  @inline set clientAddress(raw: u32) { store<u32>(changetype<usize>(this), raw, 12); }
  /** yiaddr: what is offered. */
  @inline get yourAddress(): u32 { return load<u32>(changetype<usize>(this), 16); }
  @inline get macHigh(): u32 { return load<u32>(changetype<usize>(this), 28); }
  @inline get macLow(): u32 { return load<u16>(changetype<usize>(this), 32); }
}

/** Is it an answer for Ethernet, whole, its options inside `length` bytes and ended? */
export function dhcpCheck(at: usize, length: u32): bool {
  if (length < DHCP_FIXED_BYTES || load<u32>(at, 236) != COOKIE) return false;
  if ((load<u32>(at) & 0xffffff) != (BOOTREPLY | 1 << 8 | 6 << 16)) return false;
  let offset = DHCP_FIXED_BYTES;
  while (offset < length) { // each turn moves on
    const kind = <u32>load<u8>(at + offset);
    if (kind == OPTION_END) return true;
    if (kind == 0) {
      offset += 1;
      continue;
    }
    if (offset + 2 > length) return false;
    offset += 2 + <u32>load<u8>(at + offset, 1);
  }
  return false;
}

/** Where an option's value of `bytes` bytes or more stands in a checked message; 0: nowhere. */
export function dhcpOption(at: usize, kind: u32, bytes: u32): usize {
  let option = at + DHCP_FIXED_BYTES;
  while (<u32>load<u8>(option) != OPTION_END) { // dhcpCheck has seen it
    const found = <u32>load<u8>(option);
    const length: u32 = found == 0 ? 0 : load<u8>(option, 1);
    if (found == kind) return length >= bytes ? option + 2 : 0;
    option += found == 0 ? 1 : 2 + length;
  }
  return 0;
}

/** An option of four bytes as a number, or `otherwise`. */
export function dhcpNumber(at: usize, kind: u32, otherwise: u32): u32 {
  const value = dhcpOption(at, kind, 4);
  return value == 0 ? otherwise : bswap<u32>(load<u32>(value));
}

/** Writes what every message of a client begins with into zeroed bytes. */
export function dhcpBegin(at: usize, type: u32, xid: u32, macHigh: u32, macLow: u32): usize {
  store<u32>(at, 1 | 1 << 8 | 6 << 16); // BOOTREQUEST, Ethernet
  store<u32>(at, xid, 4);
  store<u32>(at, macHigh, 28);
  store<u16>(at, <u16>macLow, 32);
  store<u32>(at, COOKIE, 236);
  let option = at + DHCP_FIXED_BYTES;
  store<u16>(option, <u16>(OPTION_TYPE | 1 << 8));
  store<u8>(option, <u8>type, 2);
  option += 3;
  store<u16>(option, <u16>(OPTION_CLIENT | 7 << 8));
  store<u8>(option, 1, 2);
  store<u32>(option, macHigh, 3);
  store<u16>(option, <u16>macLow, 7);
  return option + 9;
}

/** Four bytes as they stand; where the next option goes. */
export function dhcpAddress(option: usize, kind: u32, raw: u32): usize {
  store<u16>(option, <u16>(kind | 4 << 8));
  store<u32>(option, raw, 2);
  return option + 6;
}

/** What we want to know, and the end. */
export function dhcpEnd(option: usize): void {
  store<u16>(option, <u16>(OPTION_PARAMETERS | 6 << 8));
  store<u32>(option, OPTION_SUBNET | OPTION_ROUTER << 8 | OPTION_MTU << 16 | OPTION_LEASE << 24, 2);
  store<u16>(option, <u16>(OPTION_RENEWAL | OPTION_REBINDING << 8), 6);
  store<u8>(option, <u8>OPTION_END, 8);
}
