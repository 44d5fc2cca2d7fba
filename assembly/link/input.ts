/**
 * The way in: frames that the host put into a link's receive ring, one after another, without the
 * MAC header of an Ethernet link to ip/input.ts or link/arp.ts. poll.ts calls linkInput. Everything
 * here comes from outside: an index or a descriptor that cannot be true is counted
 * (AckornLinkInErrors) and skipped, nothing outside the link's receive area is ever read.
 */
import {
  Counter, LINK_VNET_HDR, RX_ADDRESS, RX_CAPACITY, RX_DESCRIPTOR_BYTES, RX_FLAGS, RX_LENGTH,
  RX_TRUNCATED, RX_VLAN, RX_VLAN_SHIFT, Trace, VNET_F_DATA_VALID, VNET_F_NEEDS_CSUM, VNET_FLAGS,
  VNET_GSO_NONE, VNET_GSO_SIZE, VNET_GSO_TYPE, VNET_HDR_BYTES,
} from "../abi";
import { readU16, readU32, readU8 } from "../core/bytes";
import { count } from "../core/counters";
import { trace } from "../core/trace";
import { ipInput } from "../ip/input";
import { solicitedNode } from "../ip/nd-send";
import { currentPacket, Packet, packetDrop } from "../ip/packet";
import { addressEntry } from "../ip/route";
import { system } from "../memory";
import {
  ETHERNET_HEADER_BYTES, ethernetCheck, EthernetHeader, ETHERTYPE_ARP, ETHERTYPE_IPV4,
  ETHERTYPE_IPV6, MAC_BROADCAST_HIGH, MAC_BROADCAST_LOW, MAC_IPV6_GROUP, macIsGroup,
} from "../wire/ethernet";
import { arpInput } from "./arp";
import { Link, linkIsEthernet, linkIsUp, linkPending } from "./link";

/** Of a tag's sixteen bits: the VLAN id; 0 is a priority without one (IEEE 802.1Q §9.6). */
const VLAN_ID: u32 = 0xfff;
/** The last word of ff02::1. */
const ALL_NODES: u32 = 0x01000000;

/** Takes at most `budget` frames from the ring and gives their entries back. Frames done. */
export function linkInput(link: Link, budget: u32): u32 {
  const pending = linkPending(link);
  if (pending > link.rxMask + 1) {
    count(Counter.AckornLinkInErrors);
    return 0;
  }
  const frames = min(pending, budget);
  for (let i: u32 = 0; i < frames; i++) {
    receive(link, <usize>link.rxDescriptors + (link.rxTail & link.rxMask) * RX_DESCRIPTOR_BYTES);
    link.rxTail += 1;
  }
  link.sharedRxTail = link.rxTail;
  return frames;
}

function receive(link: Link, descriptor: usize): void {
  const address = readU32(descriptor + RX_ADDRESS);
  const capacity = readU32(descriptor + RX_CAPACITY);
  const length = readU32(descriptor + RX_LENGTH);
  const offset = address - link.rxArea; // wraps for an address before the area: caught as too large
  const outside = offset < VNET_HDR_BYTES || offset > link.rxAreaBytes ||
    capacity > link.rxAreaBytes - offset;
  if (!linkIsUp(link)) return refuse(link, Counter.AckornLinkInDown, length);
  if (outside || length > capacity || length == 0) {
    return refuse(link, Counter.AckornLinkInErrors, length);
  }
  if ((readU32(descriptor + RX_FLAGS) & RX_TRUNCATED) != 0) {
    return refuse(link, Counter.AckornLinkInTruncated, length);
  }
  const packet = currentPacket();
  packet.ip = address;
  packet.ipLength = length;
  packet.link = <u16>link.id;
  packet.toGroup = 0;
  packet.checksumTrusted = 0;
  packet.gsoSize = 0;
  if ((link.features & LINK_VNET_HDR) != 0) {
    const header = <usize>address - VNET_HDR_BYTES;
    const vouched = readU8(header + VNET_FLAGS) & (VNET_F_NEEDS_CSUM | VNET_F_DATA_VALID);
    packet.checksumTrusted = vouched != 0 ? 1 : 0;
    const gso = readU8(header + VNET_GSO_TYPE) != VNET_GSO_NONE;
    packet.gsoSize = gso ? <u16>readU16(header + VNET_GSO_SIZE) : 0;
  }
  if (linkIsEthernet(link)) ethernetInput(link, packet, readU32(descriptor + RX_FLAGS));
  else ipInput(packet);
}

/**
 * Whose frame it is, and what is in it. `flags` of the descriptor: a tag that the device took out
 * of the frame stands there.
 */
function ethernetInput(link: Link, packet: Packet, flags: u32): void {
  const header = changetype<EthernetHeader>(packet.ip);
  const l2 = ethernetCheck(packet.ip, packet.ipLength);
  if (l2 == 0 || macIsGroup(header.sourceHigh)) {
    return packetDrop(packet, Counter.AckornLinkInErrors);
  }
  const tagged = l2 != ETHERNET_HEADER_BYTES;
  let tag = tagged ? header.tagControl : 0;
  if (flags & RX_VLAN) tag = flags >> RX_VLAN_SHIFT;
  if ((tag & VLAN_ID) != link.vlan) return packetDrop(packet, Counter.AckornLinkInVlan);
  if (!frameForUs(link, packet, header)) return packetDrop(packet, Counter.AckornLinkInOtherHost);
  const type = tagged ? header.taggedType : header.etherType;
  packet.ip += l2;
  packet.ipLength -= l2;
  if (type == ETHERTYPE_ARP) return arpInput(link, packet);
  if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6) {
    return packetDrop(packet, Counter.AckornLinkInUnknownType);
  }
  const version: u32 = type == ETHERTYPE_IPV4 ? 4 : 6;
  if (packet.ipLength == 0 || readU8(packet.ip) >> 4 != version) {
    return packetDrop(packet, Counter.AckornLinkInErrors);
  }
  ipInput(packet);
}

/** Ours, everybody's, or a group's that we listen to; and not one of ours that came back. */
function frameForUs(link: Link, packet: Packet, header: EthernetHeader): bool {
  if (header.sourceHigh == link.macHigh && header.sourceLow == link.macLow) return false;
  const high = header.destinationHigh;
  const low = header.destinationLow;
  if (!macIsGroup(high)) return high == link.macHigh && low == link.macLow;
  packet.toGroup = 1;
  if (high == MAC_BROADCAST_HIGH && low == MAC_BROADCAST_LOW) return true;
  if ((high & 0xffff) != MAC_IPV6_GROUP) return false;
  const last = high >> 16 | low << 16;
  if (last == ALL_NODES) return true;
  const n = system().addressCount;
  for (let i: u32 = 0; i < n; i++) {
    const e = addressEntry(i);
    if (e.link == <u8>link.id && solicitedNode(e.w3) == last) return true;
  }
  return false;
}

function refuse(link: Link, counter: Counter, length: u32): void {
  count(counter);
  trace(Trace.Drop, link.id, 0, counter, length, 0);
}
