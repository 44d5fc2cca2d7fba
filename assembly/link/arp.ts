/**
 * ARP in: RFC 826, and of RFC 5227 what concerns a host that has or wants an address. link/input.ts
 * calls arpInput; it answers for our addresses, tells link/neighbor.ts what it hears and ip/dad.ts
 * of conflicts. What cannot be one of our ARP's packets is counted: AckornArpInErrors.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { addressConflict } from "../ip/dad";
import { isMulticast, MAPPED_WORD, Packet, packetDrop } from "../ip/packet";
import {
  ADDRESS_TENTATIVE, ADDRESS_USED, addressAny, addressEntry, isBroadcast,
} from "../ip/route";
import { routeLookup } from "../ip/route-table";
import { IpState, ipState } from "../ip/state";
import { ARP_REQUEST, arpCheck, ArpPacket } from "../wire/arp";
import { macIsGroup } from "../wire/ethernet";
import { arpReply } from "./arp-send";
import { Link } from "./link";
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED, neighborLearn } from "./neighbor";

/** `packet`: ip is where the ARP packet begins, ipLength what is there. */
export function arpInput(link: Link, packet: Packet): void {
  const at = <usize>packet.ip;
  const arp = changetype<ArpPacket>(at);
  if (!arpCheck(at, packet.ipLength) || macIsGroup(arp.senderHigh) || !senderGood(arp)) {
    return packetDrop(packet, Counter.AckornArpInErrors);
  }
  const request = arp.operation == ARP_REQUEST;
  count(request ? Counter.AckornArpInRequests : Counter.AckornArpInReplies);
  if (conflicts(link, arp, request)) return;
  const asked = localOn(link, arp.targetAddress, ADDRESS_USED) >= 0;
  if (arp.senderAddress != 0) learn(link, arp, request, asked, packet.toGroup != 0);
  if (!request || !asked) return;
  arpReply(link, arp.targetAddress, arp.senderAddress, arp.senderHigh, arp.senderLow);
}

function senderGood(arp: ArpPacket): bool {
  const w3 = arp.senderAddress;
  if ((arp.senderHigh | arp.senderLow) == 0) return false;
  return !isMulticast(0, 0, MAPPED_WORD, w3) && !isBroadcast(0, 0, MAPPED_WORD, w3) &&
    (w3 & 0xff) != 127;
}

/** Index of an address of ours on this link in this state, or -1. */
function localOn(link: Link, w3: u32, state: u8): i32 {
  const i = addressAny(0, 0, MAPPED_WORD, w3);
  if (i < 0) return -1;
  const e = addressEntry(i);
  return e.link == <u8>link.id && e.flags == state ? i : -1;
}

/**
 * Somebody says that our address is his, or probes for one that we probe for (RFC 5227 §2.1.1,
 * §2.4). Frames with our own MAC do not come here.
 */
function conflicts(link: Link, arp: ArpPacket, request: bool): bool {
  let i = addressAny(0, 0, MAPPED_WORD, arp.senderAddress);
  if (i < 0 && request && arp.senderAddress == 0) {
    i = localOn(link, arp.targetAddress, ADDRESS_TENTATIVE);
  }
  if (i < 0 || addressEntry(i).link != <u8>link.id) return false;
  addressConflict(i);
  return true;
}

/** An entry of its own only for who asks for us and is on this link. */
function learn(link: Link, arp: ArpPacket, request: bool, asked: bool, group: bool): void {
  const state = ipState();
  state.from0 = 0;
  state.from1 = 0;
  state.from2 = MAPPED_WORD;
  state.from3 = arp.senderAddress;
  const at = changetype<usize>(state) + offsetof<IpState>("from0");
  let flags = LEARN_OVERRIDE;
  if (!request && asked && !group) flags |= LEARN_SOLICITED;
  if (request && asked && routeLookup(at, link.id) && state.hopAt == <u32>at) flags |= LEARN_CREATE;
  neighborLearn(link, at, arp.senderHigh, arp.senderLow, flags);
}
