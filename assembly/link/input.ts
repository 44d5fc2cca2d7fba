/**
 * The way in: frames that the host put into a link's receive ring, one after another, to
 * ip/input.ts. poll.ts calls linkInput. Everything here comes from outside: an index or a
 * descriptor that cannot be true is counted (AckornLinkInErrors) and skipped, nothing outside the
 * link's receive area is ever read.
 */
import {
  Counter, LINK_VNET_HDR, RX_ADDRESS, RX_CAPACITY, RX_DESCRIPTOR_BYTES, RX_FLAGS, RX_LENGTH,
  RX_TRUNCATED, Trace, VNET_F_DATA_VALID, VNET_F_NEEDS_CSUM, VNET_FLAGS, VNET_GSO_NONE,
  VNET_GSO_SIZE, VNET_GSO_TYPE, VNET_HDR_BYTES,
} from "../abi";
import { readU16, readU32, readU8 } from "../core/bytes";
import { count } from "../core/counters";
import { trace } from "../core/trace";
import { ipInput } from "../ip/input";
import { currentPacket } from "../ip/packet";
import { Link, linkIsUp, linkPending } from "./link";

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
  packet.checksumTrusted = 0;
  packet.gsoSize = 0;
  if ((link.features & LINK_VNET_HDR) != 0) {
    const header = <usize>address - VNET_HDR_BYTES;
    const vouched = readU8(header + VNET_FLAGS) & (VNET_F_NEEDS_CSUM | VNET_F_DATA_VALID);
    packet.checksumTrusted = vouched != 0 ? 1 : 0;
    const gso = readU8(header + VNET_GSO_TYPE) != VNET_GSO_NONE;
    packet.gsoSize = gso ? <u16>readU16(header + VNET_GSO_SIZE) : 0;
  }
  ipInput(packet);
}

function refuse(link: Link, counter: Counter, length: u32): void {
  count(counter);
  trace(Trace.Drop, link.id, 0, counter, length, 0);
}
