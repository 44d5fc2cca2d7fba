/**
 * The interned local addresses and what follows from them: which link a packet leaves by, which
 * source fits a destination (RFC 6724 §5), what is a broadcast. A record names its local address by
 * index, so an index keeps its meaning: a removed entry is a tombstone that only its own address
 * revives, until no other is free. A packet leaves by its local address's link (the strong model of
 * RFC 1122 §3.3.4.2: with several routers the one of that link fits it), so a connection follows
 * the route to its destination by the source chosen here; ip/route-table.ts knows the routes.
 */
import { Config, Errno, Origin } from "../abi";
import { config } from "../config";
import { readU32 } from "../core/bytes";
import { system } from "../memory";
import { Link, linkAt, linkIsEthernet } from "../link/link";
import { isLinkLocal, isLoopback, isMapped, isMulticast, isUnspecified } from "./packet";
import { LINK_ANY, routeLookup } from "./route-table";
import { IpState, ipState } from "./state";

@unmanaged
export class Address {
  /** As it stands in a packet; IPv4 as ::ffff:a.b.c.d. */
  w0: u32;
  w1: u32;
  w2: u32;
  w3: u32;
  /** Of IPv4 0 to 32, of IPv6 0 to 128. */
  prefixLength: u8;
  link: u8;
  /** ADDRESS_* bits. */
  flags: u8;
  /** Origin of abi.ts. */
  origin: u8;
  /** IPv4: broadcast address of the subnet as it stands in a packet; 0: it has none. */
  broadcast: u32;
  // -- on an Ethernet link (ip/dad.ts)
  /** Seconds of system().nowS; 0xffffffff: for ever. */
  validS: u32;
  preferredS: u32;
  /** Of the next probe or announcement, while one is left. */
  deadline: u32;
  /** When a conflict was last answered, seconds + 1; 0: never. */
  defendedS: u32;
  probesLeft: u8;
  announcesLeft: u8;
  /** 1: the prefix is not on the link because of this address (RFC 5942). */
  offLink: u8;
  reserved0: u8;
}
export const ADDRESS_BYTES: u32 = 44;
export const ADDRESS_USED: u8 = 1;
/** Was used once: the words still say by whom. */
export const ADDRESS_TOMBSTONE: u8 = 2;
/** Not yet ours: nobody must have it. */
export const ADDRESS_TENTATIVE: u8 = 4;
/** Somebody else has it; it stays in the table to say so. */
export const ADDRESS_DUPLICATE: u8 = 8;
export const FOREVER_S: u32 = 0xffffffff;
if (offsetof<Address>() != ADDRESS_BYTES) ERROR("Address");

/** Bytes that boot must set aside for addressesInit. */
export function addressesBytes(): u32 {
  return config(Config.addressesMax) * ADDRESS_BYTES;
}

/** `at`: addressesBytes() zeroed bytes, aligned to 8. */
export function addressesInit(at: usize): void {
  const s = system();
  s.addresses = <u32>at;
  s.addressCount = 0;
}

/** Entry i < addressCount; it may be out of use (flags). */
// @ts-ignore: decorator
@inline
export function addressEntry(i: u32): Address {
  return changetype<Address>(<usize>system().addresses + i * ADDRESS_BYTES);
}

/** Where the four words of entry i stand. */
// @ts-ignore: decorator
@inline
export function addressWords(i: u32): usize {
  return <usize>system().addresses + i * ADDRESS_BYTES;
}

/**
 * Makes an address ours on `link`. Its index (of an address that is ours already, the same one with
 * the new prefix), or -EINVAL, -EADDRNOTAVAIL (not a unicast address), -ENFILE (addressesMax).
 */
export function addressAdd(
  w0: u32, w1: u32, w2: u32, w3: u32, prefixLength: u32, link: u32,
): i32 {
  const bits: u32 = isMapped(w0, w1, w2) ? 32 : 128;
  if (prefixLength > bits || link >= system().linkCount) return -Errno.EINVAL;
  if (isMulticast(w0, w1, w2, w3) || isUnspecified(w0, w1, w2, w3)) return -Errno.EADDRNOTAVAIL;
  if (isLoopback(w0, w1, w2, w3) || (bits == 32 && w3 == 0xffffffff)) return -Errno.EADDRNOTAVAIL;
  const i = addressSlot(w0, w1, w2, w3);
  if (i < 0) return -Errno.ENFILE;
  const entry = addressEntry(i);
  entry.w0 = w0;
  entry.w1 = w1;
  entry.w2 = w2;
  entry.w3 = w3;
  entry.prefixLength = <u8>prefixLength;
  entry.link = <u8>link;
  entry.flags = ADDRESS_USED;
  entry.origin = <u8>Origin.Manual;
  entry.validS = FOREVER_S;
  entry.preferredS = FOREVER_S;
  entry.probesLeft = 0;
  entry.announcesLeft = 0;
  entry.defendedS = 0;
  entry.offLink = 0;
  // RFC 3021: a /31 has two hosts and no broadcast
  const mask = bswap<u32>(prefixLength == 0 ? 0 : 0xffffffff << (32 - (prefixLength & 31) & 31));
  entry.broadcast = bits == 32 && prefixLength < 31 ? w3 | ~mask : 0;
  return i;
}

/** Its old entry, in use or not; else one never used; else the first tombstone; -1: none. */
function addressSlot(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const s = system();
  let tombstone = -1;
  for (let i: u32 = 0; i < s.addressCount; i++) {
    const entry = addressEntry(i);
    if (entry.w3 == w3 && entry.w2 == w2 && entry.w1 == w1 && entry.w0 == w0) return i;
    if (tombstone < 0 && entry.flags == ADDRESS_TOMBSTONE) tombstone = i;
  }
  if (s.addressCount >= config(Config.addressesMax)) return tombstone;
  s.addressCount += 1;
  return s.addressCount - 1;
}

/**
 * The address is not ours any more. Its former index, or -EADDRNOTAVAIL. Connections on it are the
 * caller's to end: until then they send nothing (IpOutNoRoutes).
 */
export function addressRemove(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const i = addressAny(w0, w1, w2, w3);
  if (i < 0) return -Errno.EADDRNOTAVAIL;
  addressEntry(i).flags = ADDRESS_TOMBSTONE;
  return i;
}

/** Index of an address that is ours, is to be, or was found to be another's; or -1. */
export function addressAny(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.w3 != w3 || e.w2 != w2 || e.w1 != w1 || e.w0 != w0) continue;
    return e.flags == ADDRESS_TOMBSTONE ? -1 : <i32>i;
  }
  return -1;
}

/** Index of an address that is ours now, or -1. At most addressesMax steps. */
export function addressFind(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const entry = addressEntry(i);
    if (entry.w3 != w3 || entry.w2 != w2 || entry.w1 != w1 || entry.w0 != w0) continue;
    return entry.flags == ADDRESS_USED ? <i32>i : -1;
  }
  return -1;
}

/**
 * Would a packet there come straight back? There is no loopback inside: such a destination is
 * refused, as on Linux in a namespace whose lo is down.
 */
export function isOneself(w0: u32, w1: u32, w2: u32, w3: u32): bool {
  return isLoopback(w0, w1, w2, w3) || addressFind(w0, w1, w2, w3) >= 0;
}

/** Is entry `localIndex` an address of ours now? LOCAL_ANY is not. */
// @ts-ignore: decorator
@inline
export function addressInUse(localIndex: u32): bool {
  return localIndex < system().addressCount && addressEntry(localIndex).flags == ADDRESS_USED;
}

/** The link of a local address; only for an index that addressInUse confirms. */
// @ts-ignore: decorator
@inline
export function routeLinkFor(localIndex: u32): Link {
  return linkAt(addressEntry(localIndex).link);
}

/** 255.255.255.255, or the broadcast of a subnet of ours; /31 and /32 have none (RFC 3021). */
export function isBroadcast(w0: u32, w1: u32, w2: u32, w3: u32): bool {
  if (!isMapped(w0, w1, w2)) return false;
  if (w3 == 0xffffffff) return true;
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const entry = addressEntry(i);
    if (entry.flags == ADDRESS_USED && entry.broadcast == w3 && w3 != 0) return true;
  }
  return false;
}

/**
 * Index of the local address to send from towards a destination, or -1. The link is the route's;
 * a link without neighbours takes what no route knows, as it always did.
 */
//= rfc9293 MUST-44 (the choice; tcp/user.ts asks)
export function sourceFor(w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const state = ipState();
  state.to0 = w0;
  state.to1 = w1;
  state.to2 = w2;
  state.to3 = w3;
  const at = changetype<usize>(state) + offsetof<IpState>("to0");
  if (!routeLookup(at, LINK_ANY)) return sourceOn(LINK_ANY, w0, w1, w2, w3);
  return sourceOn(state.hopLink, w0, w1, w2, w3);
}

/**
 * Of a link's addresses, or of all links without neighbours (LINK_ANY), the index of the best
 * source for a destination by RFC 6724 §5: its scope, not deprecated, its label, the longest
 * common prefix (rules 2, 3, 6, 8); -1: none of its family.
 */
export function sourceOn(link: u32, w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const v4 = isMapped(w0, w1, w2);
  let best = -1;
  let bestWorth = -1;
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const entry = addressEntry(i);
    if (entry.flags != ADDRESS_USED) continue;
    if (isMapped(entry.w0, entry.w1, entry.w2) != v4) continue;
    if (link == LINK_ANY ? linkIsEthernet(linkAt(entry.link)) : entry.link != <u8>link) continue;
    let worth = commonBits(addressWords(i), w0, w1, w2, w3);
    if (uniqueLocal(entry.w0) == uniqueLocal(w0)) worth += 256;
    if (!addressDeprecated(entry)) worth += 512;
    if (isLinkLocal(entry.w0) == isLinkLocal(w0)) worth += 1024;
    if (worth <= bestWorth) continue;
    best = i;
    bestWorth = worth;
  }
  return best;
}

export function addressDeprecated(entry: Address): bool {
  return entry.preferredS != FOREVER_S && entry.preferredS <= system().nowS;
}

/** fc00::/7, the one label of RFC 6724 §2.1 that is met besides the global one. */
function uniqueLocal(w0: u32): bool {
  return (w0 & 0xfe) == 0xfc;
}

/** Leading bits that the address at `at` has in common with four words. */
export function commonBits(at: usize, w0: u32, w1: u32, w2: u32, w3: u32): i32 {
  const high = <u64>bswap<u32>(readU32(at) ^ w0) << 32 | bswap<u32>(readU32(at + 4) ^ w1);
  if (high != 0) return <i32>clz<u64>(high);
  const low = <u64>bswap<u32>(readU32(at + 8) ^ w2) << 32 | bswap<u32>(readU32(at + 12) ^ w3);
  return 64 + <i32>clz<u64>(low);
}
