/**
 * The way out of an Ethernet link: MAC header, 802.1Q tag, padding to the shortest frame
 * (IEEE 802.3 §4.2.3.3, IEEE 802.1Q §9.6). Called by link/neighbor.ts for packets to a neighbour,
 * by link/arp-send.ts, ip/nd-send.ts and udp/dhcp.ts for what goes to a MAC. Decides nothing.
 */
import {
  TX_L3_HEADER, TX_TOTAL, VNET_HDR_BYTES,
} from "../abi";
import { readU32, zeroBytes } from "../core/bytes";
import { PADDING_AT } from "../memory";
import {
  ETHERNET_MIN_BYTES, ETHERTYPE_VLAN, EthernetHeader,
} from "../wire/ethernet";
import { Link, linkHeaderBytes } from "./link";
import { txHeader, txPiece, txPublish } from "./output";

/** Writes the MAC header before the network header's place in an entry. */
export function ethernetFill(link: Link, slot: usize, type: u32, high: u32, low: u32): void {
  const header = changetype<EthernetHeader>(slot + TX_L3_HEADER - linkHeaderBytes(link));
  header.destinationHigh = high;
  header.destinationLow = low;
  header.sourceHigh = link.macHigh;
  header.sourceLow = link.macLow;
  if (link.vlan != 0) {
    header.etherType = ETHERTYPE_VLAN;
    header.tagControl = link.vlan;
    header.taggedType = type;
  } else {
    header.etherType = type;
  }
}

/**
 * Ends and publishes an entry whose network header and what follows it in one piece,
 * `headerLength` bytes, stand at TX_L3_HEADER; further pieces are in it already.
 */
export function ethernetTransmit(
  link: Link, slot: usize, type: u32, high: u32, low: u32, headerLength: u32,
): void {
  const l2 = linkHeaderBytes(link);
  ethernetFill(link, slot, type, high, low);
  txHeader(slot, slot + TX_L3_HEADER - l2, l2 + headerLength);
  ethernetPad(slot);
  txPublish(link, slot);
}

/** Zeros up to the shortest frame; the last thing before an entry is published. */
export function ethernetPad(slot: usize): void {
  const total = readU32(slot + TX_TOTAL);
  if (total < ETHERNET_MIN_BYTES) txPiece(slot, PADDING_AT, ETHERNET_MIN_BYTES - total);
}

/** No offload for this frame: the ten bytes before it say nothing. */
export function ethernetPlain(link: Link, slot: usize): void {
  zeroBytes(slot + TX_L3_HEADER - linkHeaderBytes(link) - VNET_HDR_BYTES, VNET_HDR_BYTES);
}
