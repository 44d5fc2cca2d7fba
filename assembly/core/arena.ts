/**
 * The arena: power-of-two blocks from 1 << minShift (512, or 128) to 64 KiB, a buddy allocator over
 * one region. Stream granules and tables, Busy records live here. What is free is told by one u32
 * for each smallest block, outside the blocks, so an aligned part of a block can be freed alone.
 *
 * Limbo. Bytes named by a TX descriptor must not be used again until the host returned it. While
 * `outstanding` (kept by link/output.ts: descriptors published and not returned) is not 0, a freed
 * block is put on the list "collecting", chained through its metadata, never through its bytes.
 * arenaEpochPassed() frees the list "waiting" and makes "collecting" the new one: link/output.ts
 * calls it when every descriptor that was outstanding at the previous call has been returned (when
 * outstanding falls to 0: twice), and when arenaWaitingBytes() is 0 and arenaLimboBytes() is not.
 */
import { Fault } from "../abi";
import { ARENA_AT } from "../memory";
import { readU32, writeU32, zeroBytes } from "./bytes";
import { invariant } from "./invariant";

export const ARENA_MAX_SHIFT: u32 = 16;
const LOWEST_SHIFT: u32 = 7;

@unmanaged
export class Arena {
  base: u32;
  /** A multiple of the smallest block. */
  bytes: u32;
  /** Blocks of 64 KiB from this offset on were never used: boot touches no block. */
  fresh: u32;
  /** Offset after the last whole 64 KiB. */
  freshEnd: u32;
  metaAt: u32;
  minShift: u32;
  /** Bit s: there is a free block of 1 << s. */
  freeShifts: u32;
  /** Descriptors published and not returned; set by link/output.ts. */
  outstanding: u32;
  /** Bytes taken, limbo included. */
  used: u32;
  high: u32;
  /** Times that arenaAlloc found nothing. */
  failed: u32;
  /** First block of each limbo list: index + 1, or 0. */
  collecting: u32;
  waiting: u32;
  collectingBytes: u32;
  waitingBytes: u32;
}
/** After the fields: u32 head and u32 count for each shift. */
const LISTS_AT: usize = ARENA_AT + 64;

/** A free block, in its own bytes. */
@unmanaged
class FreeBlock {
  next: u32;
  prev: u32;
}

/** One free list. */
@unmanaged
class FreeList {
  head: u32;
  count: u32;
}

/*
 * Metadata of the smallest block at which a free or limbo block begins; 0 everywhere else.
 *   31 30   29..26        25..0
 *   state | shift - 7 | in limbo: next block's index + 1
 */
const META_FREE: u32 = 1 << 30;
const META_LIMBO: u32 = 2 << 30;
const META_STATE: u32 = 3 << 30;
const META_SHIFT_BIT: u32 = 26;
const META_LINK: u32 = (1 << 26) - 1;

// @ts-ignore: decorator
@inline
export function arena(): Arena {
  return changetype<Arena>(ARENA_AT);
}

// @ts-ignore: decorator
@inline
function list(shift: u32): FreeList {
  return changetype<FreeList>(LISTS_AT + ((shift - LOWEST_SHIFT) << 3));
}

// @ts-ignore: decorator
@inline
function block(address: u32): FreeBlock {
  return changetype<FreeBlock>(<usize>address);
}

/** Address of the metadata of the block at `offset`. */
// @ts-ignore: decorator
@inline
function metaOf(a: Arena, offset: u32): usize {
  return a.metaAt + ((offset >> a.minShift) << 2);
}

// @ts-ignore: decorator
@inline
function metaWord(state: u32, shift: u32): u32 {
  return state | ((shift - LOWEST_SHIFT) << META_SHIFT_BIT);
}

/** Bytes of metadata that an arena needs. */
export function arenaMetaBytes(bytes: u32, minShift: u32): u32 {
  return (bytes >> minShift) << 2;
}

/**
 * Boot: all of [base, base + bytes) is free (cut down to whole smallest blocks); blocks are aligned
 * to their size as seen from base. Neither blocks nor metadata are touched, but for the last
 * incomplete 64 KiB.
 */
export function arenaInit(base: usize, bytes: u32, minShift: u32, metaAt: usize): void {
  invariant(minShift >= LOWEST_SHIFT && minShift <= ARENA_MAX_SHIFT, Fault.Arena);
  invariant(((base | metaAt) & 3) == 0, Fault.Arena);
  zeroBytes(ARENA_AT, 256);
  const a = arena();
  a.base = <u32>base;
  a.bytes = (bytes >> minShift) << minShift;
  a.freshEnd = (bytes >> ARENA_MAX_SHIFT) << ARENA_MAX_SHIFT;
  a.metaAt = <u32>metaAt;
  a.minShift = minShift;
  let offset = a.freshEnd;
  zeroBytes(metaOf(a, offset), arenaMetaBytes(a.bytes - offset, minShift));
  for (let shift = ARENA_MAX_SHIFT - 1; shift >= minShift; shift--) {
    if (!(((a.bytes - offset) >> shift) & 1)) continue;
    push(a, offset, shift);
    offset += (<u32>1) << shift;
  }
  invariant(offset == a.bytes, Fault.Arena);
}

/** Puts a free block on its list. */
function push(a: Arena, offset: u32, shift: u32): void {
  const l = list(shift);
  const address = a.base + offset;
  const next = l.head;
  block(address).next = next;
  block(address).prev = 0;
  if (next) block(next).prev = address;
  l.head = address;
  l.count++;
  a.freeShifts |= (<u32>1) << shift;
  writeU32(metaOf(a, offset), metaWord(META_FREE, shift));
}

/** Takes a free block off its list. */
function remove(a: Arena, offset: u32, shift: u32): void {
  const l = list(shift);
  const address = a.base + offset;
  const next = block(address).next;
  const prev = block(address).prev;
  if (next) block(next).prev = prev;
  if (prev) {
    block(prev).next = next;
  } else {
    invariant(l.head == address, Fault.Arena);
    l.head = next;
    if (!next) a.freeShifts &= ~((<u32>1) << shift);
  }
  l.count--;
  writeU32(metaOf(a, offset), 0);
}

/** There is a block of this size, or one to split. */
export function arenaFits(shift: u32): bool {
  const a = arena();
  return a.freeShifts >> shift != 0 || a.fresh < a.freshEnd;
}

/** A block of 1 << shift bytes, contents undefined; 0 (counted in `failed`): none is left. */
export function arenaAlloc(shift: u32): usize {
  const a = arena();
  invariant(shift >= a.minShift && shift <= ARENA_MAX_SHIFT, Fault.Arena);
  const shifts = (a.freeShifts >> shift) << shift;
  let offset: u32;
  let have: u32;
  if (shifts) {
    have = <u32>ctz<u32>(shifts);
    offset = list(have).head - a.base;
    remove(a, offset, have);
  } else if (a.fresh < a.freshEnd) {
    have = ARENA_MAX_SHIFT;
    offset = a.fresh;
    a.fresh = offset + ((<u32>1) << ARENA_MAX_SHIFT);
    zeroBytes(metaOf(a, offset), arenaMetaBytes((<u32>1) << ARENA_MAX_SHIFT, a.minShift));
  } else {
    a.failed++;
    return 0;
  }
  while (have > shift) {
    have--;
    push(a, offset + ((<u32>1) << have), have);
  }
  const used = a.used + ((<u32>1) << shift);
  a.used = used;
  if (used > a.high) a.high = used;
  return a.base + offset;
}

/**
 * Gives back [address, address + (1 << shift)), a block or an aligned part of one; other parts stay
 * as they are. At once, or through limbo while descriptors are outstanding (see above).
 */
export function arenaFree(address: usize, shift: u32): void {
  const a = arena();
  const offset = <u32>address - a.base;
  const size = (<u32>1) << shift;
  invariant(shift >= a.minShift && shift <= ARENA_MAX_SHIFT, Fault.Arena);
  invariant(offset < a.bytes && (offset & (size - 1)) == 0, Fault.Arena);
  invariant(readU32(metaOf(a, offset)) == 0 && a.used >= size, Fault.Arena); // not free twice
  if (!a.outstanding) {
    release(a, offset, shift);
    return;
  }
  writeU32(metaOf(a, offset), metaWord(META_LIMBO, shift) | a.collecting);
  a.collecting = (offset >> a.minShift) + 1;
  a.collectingBytes += size;
}

/** Free at once, joined with free neighbours. */
function release(a: Arena, offset: u32, shift: u32): void {
  a.used -= (<u32>1) << shift;
  while (shift < ARENA_MAX_SHIFT) {
    const buddy = offset ^ ((<u32>1) << shift);
    if (buddy >= a.bytes) break; // beside the last incomplete 64 KiB
    if (readU32(metaOf(a, buddy)) != metaWord(META_FREE, shift)) break;
    remove(a, buddy, shift);
    offset &= ~((<u32>1) << shift);
    shift++;
  }
  push(a, offset, shift);
}

/** Every descriptor outstanding at the last call has come back: see the protocol above. */
export function arenaEpochPassed(): void {
  const a = arena();
  let next = a.waiting;
  while (next) {
    const offset = (next - 1) << a.minShift;
    const at = metaOf(a, offset);
    const meta = readU32(at);
    invariant((meta & META_STATE) == META_LIMBO, Fault.Arena);
    next = meta & META_LINK;
    writeU32(at, 0);
    release(a, offset, ((meta >> META_SHIFT_BIT) & 15) + LOWEST_SHIFT);
  }
  a.waiting = a.collecting;
  a.waitingBytes = a.collectingBytes;
  a.collecting = 0;
  a.collectingBytes = 0;
}

/** Bytes that wait for descriptors to return. */
export function arenaLimboBytes(): u32 {
  return arena().collectingBytes + arena().waitingBytes;
}

/** Those of them that the next arenaEpochPassed() frees. */
export function arenaWaitingBytes(): u32 {
  return arena().waitingBytes;
}

/** Free blocks of 1 << shift bytes, those never used included. */
export function arenaFreeCount(shift: u32): u32 {
  const a = arena();
  const fresh = shift == ARENA_MAX_SHIFT ? (a.freshEnd - a.fresh) >> ARENA_MAX_SHIFT : 0;
  return list(shift).count + fresh;
}

if (offsetof<Arena>() > 64) ERROR("Arena's fields stand before its lists");

/** Bytes handed out and not given back; what waits in limbo is still in use. */
// @ts-ignore: decorator
@inline
export function arenaUsed(): u32 {
  return arena().used;
}

/** u32 size, high-water mark and refused allocations at `at`; returns bytes in use. */
export function arenaStats(at: usize): u32 {
  const a = arena();
  writeU32(at, a.bytes);
  writeU32(at + 4, a.high);
  writeU32(at + 8, a.failed);
  return a.used;
}
