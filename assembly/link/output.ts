/**
 * The way out of a link: the transmit ring, and the promise that bytes named by an entry stay as
 * they are until the host has returned it (blueprint §4, Ownership). ip/output.ts and ip/icmp.ts
 * reserve, fill and publish entries; poll.ts calls linkPoll before it does anything else.
 *
 * Freed arena blocks wait in two lists. When the second is closed, each link notes its txHead
 * (epochHead); when every link's txTail has passed that, the first list's blocks are free for real.
 */
import {
  Counter, Fault, TX_FLAGS, TX_PIECE_COUNT, TX_PIECES, TX_PIECES_MAX, TX_SLOT_BYTES, TX_TOTAL,
} from "../abi";
import { arena, arenaEpochPassed, arenaLimboBytes, arenaWaitingBytes } from "../core/arena";
import { readU32, writeU32 } from "../core/bytes";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { seqLt } from "../core/seq";
import { system } from "../memory";
import { Link, linkAt } from "./link";

/** Entries free now. */
export function txRoom(link: Link): u32 {
  return link.txMask + 1 - (link.txHead - link.txTail);
}

/**
 * The next free entry, or 0 when the ring is full (AckornLinkTxDeferred). Piece 0 is kept for the
 * header. An entry that is not published is simply reserved again by the next caller.
 */
export function txReserve(link: Link): usize {
  if (link.txHead - link.txTail > link.txMask) {
    count(Counter.AckornLinkTxDeferred);
    return 0;
  }
  const slot = <usize>link.txSlots + (link.txHead & link.txMask) * TX_SLOT_BYTES;
  writeU32(slot + TX_PIECE_COUNT, 1);
  writeU32(slot + TX_TOTAL, 0);
  writeU32(slot + TX_FLAGS, 0);
  return slot;
}

/** Appends `length` bytes at `address`, which must stay as they are; false: no place left. */
export function txPiece(slot: usize, address: usize, length: u32): bool {
  const pieces = readU32(slot + TX_PIECE_COUNT);
  if (pieces >= TX_PIECES_MAX) return false;
  const at = slot + TX_PIECES + (pieces << 3);
  writeU32(at, <u32>address);
  writeU32(at + 4, length);
  writeU32(slot + TX_TOTAL, readU32(slot + TX_TOTAL) + length);
  writeU32(slot + TX_PIECE_COUNT, pieces + 1);
  return true;
}

/** Sets piece 0; called by ip/output.ts when the header is written. */
export function txHeader(slot: usize, address: usize, length: u32): void {
  writeU32(slot + TX_PIECES, <u32>address);
  writeU32(slot + TX_PIECES + 4, length);
  writeU32(slot + TX_TOTAL, readU32(slot + TX_TOTAL) + length);
}

/** Hands the entry to the host. `slot` is what txReserve gave last. */
export function txPublish(link: Link, slot: usize): void {
  const expected = <usize>link.txSlots + (link.txHead & link.txMask) * TX_SLOT_BYTES;
  invariant(slot == expected, Fault.Link);
  invariant(link.txHead - link.txTail <= link.txMask, Fault.Link);
  link.txHead += 1;
  link.sharedTxHead = link.txHead;
  arena().outstanding += 1;
}

/**
 * Notices what the host has returned and lets the arena have what nobody sends any more. A txTail
 * beyond txHead or behind an earlier one is counted (AckornLinkInErrors) and not believed.
 */
export function linkPoll(link: Link): void {
  const returned = link.sharedTxTail - link.txTail;
  if (returned > link.txHead - link.txTail) {
    count(Counter.AckornLinkInErrors);
    return;
  }
  link.txTail += returned;
  const a = arena();
  invariant(a.outstanding >= returned, Fault.Link);
  a.outstanding -= returned;
  if (arenaLimboBytes() == 0) return;
  if (a.outstanding == 0) { // nobody reads the second list's blocks either
    arenaEpochPassed();
    arenaEpochPassed();
  } else if (arenaWaitingBytes() == 0 || epochOver()) {
    epochBegin();
  }
}

/** Have all links given back what was under way when the waiting list was closed? (Not empty.) */
function epochOver(): bool {
  const links = system().linkCount;
  for (let i: u32 = 0; i < links; i++) {
    const link = linkAt(i);
    if (seqLt(link.txTail, link.epochHead)) return false;
  }
  return true;
}

function epochBegin(): void {
  arenaEpochPassed();
  const links = system().linkCount;
  for (let i: u32 = 0; i < links; i++) {
    const link = linkAt(i);
    link.epochHead = link.txHead;
  }
}
