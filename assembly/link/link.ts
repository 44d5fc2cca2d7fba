/**
 * Links: the record of one and the rings that it shares with the host. boot.ts calls linksInit once
 * and linkAdd for each link; link/input.ts and link/output.ts work on the record. What stands in
 * the first 64 bytes the host can write at any time: it is read once per poll, compared with the
 * private copy behind it, and never used as an address or a mask.
 */
import {
  AUTO_DHCP, AUTO_IPV6, AUTO_SLAAC, Config, Errno, LINK_CSUM, LINK_ETHERNET, LINK_RING_BYTES,
  LINK_TSO4, LINK_TSO6, LINK_UP, LINK_VNET_HDR, LinkWord, RX_ADDRESS, RX_CAPACITY,
  RX_DESCRIPTOR_BYTES, TX_SLOT_BYTES,
} from "../abi";
import { config } from "../config";
import { writeU32, zeroBytes } from "../core/bytes";
import { system } from "../memory";
import { ETHERNET_HEADER_BYTES, macIsGroup, VLAN_TAG_BYTES } from "../wire/ethernet";
import { IPV4_MIN_MTU } from "../wire/ipv4";

/*
 *  linksInit(at) ┌───────────────────────────────────────────┐
 *                │ Link  384 B × linksMax                     │
 *                ├───────────────────────────────────────────┤ for each link:
 *                │ TX slots        320 B × txSlots            │
 *                │ RX descriptors   16 B × rxSlots            │
 *                │ RX area  rxSlotBytes × rxSlots             │
 *                └───────────────────────────────────────────┘
 */
export const LINK_BYTES: u32 = 384;
/** Within it, what an Ethernet link keeps for finding things out by itself. */
const LINK_AUTO: u32 = 192;
/** Of each receive slot, before the frame: virtio_net_hdr, so placed that the frame is aligned. */
const RX_HEADROOM: u32 = 16;
const MTU_MAX: u32 = 65535;
const LINK_FLAGS: u32 = LINK_VNET_HDR | LINK_TSO4 | LINK_TSO6 | LINK_CSUM | LINK_UP |
  LINK_ETHERNET;
const AUTO_FLAGS: u32 = AUTO_IPV6 | AUTO_SLAAC | AUTO_DHCP;
/** IEEE 802.1Q: 4095 is reserved, 0 says that there is no VLAN. */
const VLAN_MAX: u32 = 4094;

@unmanaged
export class Link {
  // -- LinkWord, shared with the host, which writes rxHead and txTail
  sharedRxHead: u32;
  sharedRxTail: u32;
  sharedRxMask: u32;
  sharedRxDescriptors: u32;
  sharedTxHead: u32;
  sharedTxTail: u32;
  sharedTxMask: u32;
  sharedTxSlots: u32;
  sharedFlags: u32;
  sharedMtu: u32;
  rxMissed: u32;
  txErrors: u32;
  sharedId: u32;
  reserved0: u32;
  reserved1: u32;
  reserved2: u32;
  // -- the engine's own
  /** LINK_* as linkAdd and linkSet were told. */
  features: u32;
  /** Bytes of an IP packet. */
  mtu: u32;
  rxTail: u32;
  rxMask: u32;
  rxDescriptors: u32;
  /** Where frames may stand: [rxArea, rxArea + rxAreaBytes). */
  rxArea: u32;
  rxAreaBytes: u32;
  txHead: u32;
  /** As last seen; at most txHead. */
  txTail: u32;
  txMask: u32;
  txSlots: u32;
  /** txHead when the arena closed its waiting list; see link/output.ts. */
  epochHead: u32;
  id: u32;
  // -- of an Ethernet link
  /** Our MAC, as it stands in a frame; macHigh 0: not told yet. */
  macHigh: u32;
  macLow: u32;
  /** VLAN id of every frame; 0: they bear no tag. */
  vlan: u32;
  /** Where the last packet went (ip/next-hop.ts), and its Neighbor; 0: look it up. */
  lastNeighbor: u32;
  last0: u32;
  last1: u32;
  last2: u32;
  last3: u32;
}

/**
 * What an Ethernet link finds out by itself (ip/autoconf.ts, udp/dhcp.ts). It begins as the wheel's
 * records do: all of a link's deadlines but those of its neighbours stand in one place.
 */
@unmanaged
export class LinkAuto {
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
  /** AUTO_* bits. */
  wanted: u32;
  /** PENDING_* bits: which of the deadlines below count. */
  pending: u32;
  routerDeadline: u32;
  listenerDeadline: u32;
  dhcpDeadline: u32;
  linkId: u16;
  kind: u8;
  /** Dhcp of abi.ts. */
  dhcp: u8;
  routerSolicits: u8;
  listenerReports: u8;
  /** Of stable-privacy addresses, and of tries in one state of DHCP. */
  dadCounter: u8;
  dhcpRetries: u8;
  /** Of the router's advertisement; 0: the link's own. */
  mtu6: u32;
  /** Of the DHCP server; 0: the link's own. */
  mtu4: u32;
  reachableMs: u32;
  retransMs: u32;
  // -- DHCP: addresses as they stand in a packet, times in seconds of system().nowS
  xid: u32;
  dhcpServer: u32;
  dhcpAddress: u32;
  dhcpRouter: u32;
  dhcpPrefix: u32;
  dhcpBeganS: u32;
  dhcpAskedS: u32;
  dhcpRenewS: u32;
  dhcpRebindS: u32;
  dhcpExpiryS: u32;
}
export const PENDING_ROUTER: u32 = 1;
export const PENDING_LISTENER: u32 = 2;
export const PENDING_DHCP: u32 = 4;
/** An address was found to be another's. */
export const PENDING_CONFLICT: u32 = 8;
/** Kinds of the wheel's records that are no endpoints (RecordKind goes on from them). */
export const NEIGHBOR_KIND: u8 = 5;
export const LINK_AUTO_KIND: u8 = 6;
if (offsetof<LinkAuto>("kind") != 38) ERROR("LinkAuto.kind stands where Endpoint.kind does");
if (offsetof<Link>() > LINK_AUTO) ERROR("Link ends before LinkAuto");
if (LINK_AUTO + offsetof<LinkAuto>() > LINK_BYTES) ERROR("LinkAuto fits its place");
if (offsetof<Link>("features") != LINK_RING_BYTES) ERROR("LinkWord");
if (offsetof<Link>("sharedFlags") != LinkWord.flags * 4) ERROR("LinkWord.flags");
if (offsetof<Link>("sharedId") != LinkWord.id * 4) ERROR("LinkWord.id");

/** Bytes of one link's rings. Boot checks the configuration first: powers of two, no overflow. */
function ringBytes(): u32 {
  const tx = config(Config.txSlots) * TX_SLOT_BYTES;
  const rx = config(Config.rxSlots) * (RX_DESCRIPTOR_BYTES + config(Config.rxSlotBytes));
  return (tx + rx + 63) & ~63;
}

/** Are the link words of CONFIG usable? Boot refuses (Fault.Config) when not. */
export function linksConfigured(): bool {
  const rxSlots = config(Config.rxSlots);
  const txSlots = config(Config.txSlots);
  if (popcnt<u32>(rxSlots) != 1 || popcnt<u32>(txSlots) != 1) return false;
  if (config(Config.linksMax) > 255) return false; // a link's id is a byte in ip/route.ts
  const slotBytes = config(Config.rxSlotBytes);
  if (slotBytes < RX_HEADROOM + IPV4_MIN_MTU || (slotBytes & 15) != 0) return false;
  const links: u64 = config(Config.linksMax);
  const ring = <u64>txSlots * TX_SLOT_BYTES + <u64>rxSlots * (RX_DESCRIPTOR_BYTES + slotBytes);
  return ring < 0xffff0000 && links * (LINK_BYTES + ring + 63) < 0xffff0000;
}

/** Bytes that boot must set aside for linksInit. */
export function linksBytes(): u32 {
  return config(Config.linksMax) * (LINK_BYTES + ringBytes());
}

/** `at`: linksBytes() zeroed bytes, aligned to 64. */
export function linksInit(at: usize): void {
  const s = system();
  s.links = <u32>at;
  s.linkCount = 0;
}

// @ts-ignore: decorator
@inline
export function linkAt(id: u32): Link {
  return changetype<Link>(<usize>system().links + id * LINK_BYTES);
}

// @ts-ignore: decorator
@inline
export function linkAuto(link: Link): LinkAuto {
  return changetype<LinkAuto>(changetype<usize>(link) + LINK_AUTO);
}

/**
 * Makes a link: `flags` of LINK_* (up only with LINK_UP), `mtu` in bytes of IP packet, 68 to 65535.
 * Its id, or -EINVAL, -EOPNOTSUPP (Ethernet without room for neighbours), -ENFILE (linksMax).
 */
export function linkAdd(flags: u32, mtu: u32): i32 {
  const s = system();
  if (mtu < IPV4_MIN_MTU || mtu > MTU_MAX) return -Errno.EINVAL;
  if (flags & ~LINK_FLAGS) return -Errno.EINVAL;
  if (flags & LINK_ETHERNET && config(Config.neighborsMax) == 0) return -Errno.EOPNOTSUPP;
  // segmentation needs the checksum left to the other side, and both need the virtio_net_hdr
  if ((flags & (LINK_TSO4 | LINK_TSO6)) != 0 && (flags & LINK_CSUM) == 0) return -Errno.EINVAL;
  if ((flags & LINK_CSUM) != 0 && (flags & LINK_VNET_HDR) == 0) return -Errno.EINVAL;
  const id = s.linkCount;
  if (id >= config(Config.linksMax)) return -Errno.ENFILE;
  const rings = s.links + config(Config.linksMax) * LINK_BYTES + id * ringBytes();
  const link = linkAt(id);
  zeroBytes(changetype<usize>(link), LINK_BYTES);
  link.id = id;
  link.features = flags;
  link.mtu = mtu;
  const txSlots = config(Config.txSlots);
  const rxSlots = config(Config.rxSlots);
  link.txSlots = rings;
  link.txMask = txSlots - 1;
  link.rxDescriptors = rings + txSlots * TX_SLOT_BYTES;
  link.rxMask = rxSlots - 1;
  link.rxArea = link.rxDescriptors + rxSlots * RX_DESCRIPTOR_BYTES;
  link.rxAreaBytes = rxSlots * config(Config.rxSlotBytes);
  for (let i: u32 = 0; i < rxSlots; i++) rxDescriptorInit(link, i);
  share(link);
  s.linkCount = id + 1;
  return <i32>id;
}

/** Each entry starts with a frame buffer of its own; the host may permute them. */
function rxDescriptorInit(link: Link, i: u32): void {
  const at = <usize>link.rxDescriptors + i * RX_DESCRIPTOR_BYTES;
  zeroBytes(at, RX_DESCRIPTOR_BYTES);
  const slotBytes = config(Config.rxSlotBytes);
  writeU32(at + RX_ADDRESS, link.rxArea + i * slotBytes + RX_HEADROOM);
  writeU32(at + RX_CAPACITY, slotBytes - RX_HEADROOM);
}

function share(link: Link): void {
  link.sharedRxMask = link.rxMask;
  link.sharedRxDescriptors = link.rxDescriptors;
  link.sharedTxMask = link.txMask;
  link.sharedTxSlots = link.txSlots;
  link.sharedFlags = link.features;
  link.sharedMtu = link.mtu;
  link.sharedId = link.id;
}

/**
 * An Ethernet link's MAC (four bytes and two, as big-endian numbers), the VLAN id of its frames or
 * 0, and what it finds out by itself, AUTO_*. 0, or -EINVAL.
 */
export function linkEthernet(id: u32, high: u32, low: u32, vlan: u32, auto: u32): i32 {
  if (id >= system().linkCount || vlan > VLAN_MAX || auto & ~AUTO_FLAGS) return -Errno.EINVAL;
  const link = linkAt(id);
  const macHigh = bswap<u32>(high);
  if (!linkIsEthernet(link) || low > 0xffff || macIsGroup(macHigh)) return -Errno.EINVAL;
  if (macHigh == 0 && low == 0) return -Errno.EINVAL;
  link.macHigh = macHigh;
  link.macLow = bswap<u16>(<u16>low);
  link.vlan = vlan;
  const own = linkAuto(link);
  own.kind = LINK_AUTO_KIND;
  own.linkId = <u16>id;
  own.wanted = auto;
  return 0;
}

// @ts-ignore: decorator
@inline
export function linkIsEthernet(link: Link): bool {
  return (link.features & LINK_ETHERNET) != 0;
}

/** Bytes before the IP header of a frame that we send. */
// @ts-ignore: decorator
@inline
export function linkHeaderBytes(link: Link): u32 {
  if (!linkIsEthernet(link)) return 0;
  return link.vlan == 0 ? ETHERNET_HEADER_BYTES : ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
}

/** A link that is down behaves like a pulled cable. */
// @ts-ignore: decorator
@inline
export function linkIsUp(link: Link): bool {
  return (link.features & LINK_UP) != 0;
}

/** Pulls the cable or puts it back. 0, or -EINVAL: no such link. */
export function linkSet(id: u32, up: bool): i32 {
  if (id >= system().linkCount) return -Errno.EINVAL;
  const link = linkAt(id);
  link.features = up ? link.features | LINK_UP : link.features & ~LINK_UP;
  link.sharedFlags = link.features;
  return 0;
}

/** Where the words shared with the host stand, or 0: no such link. */
export function linkRing(id: u32): u32 {
  return id < system().linkCount ? <u32>changetype<usize>(linkAt(id)) : 0;
}

/** Receive entries that the host has filled and the engine not yet taken; see linkInput. */
// @ts-ignore: decorator
@inline
export function linkPending(link: Link): u32 {
  return link.sharedRxHead - link.rxTail;
}
