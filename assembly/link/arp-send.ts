/**
 * ARP packets out: questions, answers, probes and announcements (RFC 826, RFC 5227 §2.1.1, §2.3).
 * Called by link/neighbor.ts, link/arp.ts and ip/address-state.ts. A full ring drops the packet
 * (AckornLinkTxDeferred): all of them are repeated by whoever asks.
 */
import { Counter, TX_L3_HEADER } from "../abi";
import { count } from "../core/counters";
import { MAPPED_WORD } from "../ip/packet";
import { addressEntry, sourceOn } from "../ip/route";
import { ARP_BYTES, ARP_REPLY, ARP_REQUEST, arpWrite } from "../wire/arp";
import { ETHERTYPE_ARP, MAC_BROADCAST_HIGH, MAC_BROADCAST_LOW } from "../wire/ethernet";
import { ethernetPlain, ethernetTransmit } from "./ethernet";
import { Link, linkIsUp } from "./link";
import { txReserve } from "./output";

/** Who has `target`? From our address next to it; to a MAC, or with 0 to everybody. */
export function arpSolicit(link: Link, target: u32, high: u32, low: u32): void {
  const source = sourceOn(link.id, 0, 0, MAPPED_WORD, target);
  if (source >= 0) arpRequest(link, addressEntry(source).w3, target, high, low);
}

/** A question; from 0 it is a probe, about its own sender an announcement (RFC 5227 §1.1). */
export function arpRequest(link: Link, source: u32, target: u32, high: u32, low: u32): void {
  const unicast = (high | low) != 0;
  count(Counter.AckornArpOutRequests);
  arpSend(
    link, ARP_REQUEST, source, high, low, target,
    unicast ? high : MAC_BROADCAST_HIGH, unicast ? low : MAC_BROADCAST_LOW,
  );
}

/** `source` is ours: to the one who asked. */
export function arpReply(link: Link, source: u32, target: u32, high: u32, low: u32): void {
  count(Counter.AckornArpOutReplies);
  arpSend(link, ARP_REPLY, source, high, low, target, high, low);
}

function arpSend(
  link: Link, operation: u32, source: u32, targetHigh: u32, targetLow: u32, target: u32,
  high: u32, low: u32,
): void {
  const slot = linkIsUp(link) ? txReserve(link) : 0;
  if (slot == 0) return;
  const at = slot + TX_L3_HEADER;
  arpWrite(at, operation, link.macHigh, link.macLow, source, targetHigh, targetLow, target);
  ethernetPlain(link, slot);
  ethernetTransmit(link, slot, ETHERTYPE_ARP, high, low, ARP_BYTES);
}
