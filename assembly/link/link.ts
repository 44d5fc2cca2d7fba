/**
 * Links: the record of one and the rings that it shares with the host. boot.ts calls linksInit once
 * and linkAdd for each link; link/input.ts and link/output.ts work on the record. What stands in
 * the first 64 bytes the host can write at any time: it is read once per poll, compared with the
 * private copy behind it, and never used as an address or a mask.
 */
import {
  Config, Errno, LINK_CSUM, LINK_ETHERNET, LINK_RING_BYTES, LINK_TSO4, LINK_TSO6, LINK_UP,
  LINK_VNET_HDR, LinkWord, RX_ADDRESS, RX_CAPACITY, RX_DESCRIPTOR_BYTES, TX_SLOT_BYTES,
} from "../abi";
import { config } from "../config";
import { writeU32, zeroBytes } from "../core/bytes";
import { system } from "../memory";
import { IPV4_MIN_MTU } from "../wire/ipv4";

/*
 *  linksInit(at) ┌───────────────────────────────────────────┐
 *                │ Link  256 B × linksMax                     │
 *                ├───────────────────────────────────────────┤ for each link:
 *                │ TX slots        320 B × txSlots            │
 *                │ RX descriptors   16 B × rxSlots            │
 *                │ RX area  rxSlotBytes × rxSlots             │
 *                └───────────────────────────────────────────┘
 */
export const LINK_BYTES: u32 = 256;
/** Of each receive slot, before the frame: virtio_net_hdr, so placed that the frame is aligned. */
const RX_HEADROOM: u32 = 16;
const MTU_MAX: u32 = 65535;
const LINK_FLAGS: u32 = LINK_VNET_HDR | LINK_TSO4 | LINK_TSO6 | LINK_CSUM | LINK_UP;

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
}
if (offsetof<Link>("features") != LINK_RING_BYTES) ERROR("LinkWord");
if (offsetof<Link>("sharedFlags") != LinkWord.flags * 4) ERROR("LinkWord.flags");
if (offsetof<Link>("sharedId") != LinkWord.id * 4) ERROR("LinkWord.id");
if (offsetof<Link>() > LINK_BYTES) ERROR("Link fits its place");

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

/**
 * Makes a link: `flags` of LINK_* (up only with LINK_UP), `mtu` in bytes of IP packet, 68 to 65535.
 * Its id, or -EINVAL, -EOPNOTSUPP (Ethernet), -ENFILE (linksMax reached).
 */
export function linkAdd(flags: u32, mtu: u32): i32 {
  const s = system();
  if (mtu < IPV4_MIN_MTU || mtu > MTU_MAX) return -Errno.EINVAL;
  if (flags & LINK_ETHERNET) return -Errno.EOPNOTSUPP;
  if (flags & ~LINK_FLAGS) return -Errno.EINVAL;
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
