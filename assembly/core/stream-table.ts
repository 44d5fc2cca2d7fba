/**
 * Where the bytes of a stream stand: granules of arena memory and the table that finds them.
 * Only core/stream.ts calls it; positions are sequence numbers.
 *
 *   table ──► direct: up to 128 entries (granule address or 0), index (position >> shift) & mask
 *         └─► deep:   entries are leaves of 128 such entries, index (position >> shift + 7) & mask
 *
 * Granules: the arena's smallest block while little is held, 4 KiB from 8 KiB on. Runs of granules
 * are taken as one block and given back one by one. Nothing is copied but at most REBLOCK_MAX bytes
 * when a stream leaves small granules; a stream that is lent or peeked keeps them for good.
 */
import { Fault } from "../abi";
import { ARENA_MAX_SHIFT, arena, arenaAlloc, arenaFits, arenaFree } from "./arena";
import { invariant } from "./invariant";
import { seqLt, seqMax, seqMin } from "./seq";

/** A window of positions (sequence numbers) over granules of arena memory. */
@unmanaged
export class Stream {
  /** Position of the first byte held. */
  head: u32;
  /** Position after the last byte in order. */
  tail: u32;
  /** Arena block with the table; 0: nothing allocated. */
  table: u32;
  /** No byte at or after head + limit is taken; at most STREAM_LIMIT_MAX. */
  limit: u32;
  /** log2 of the granule in bytes. */
  shift: u8;
  /** log2 of the table's entries. */
  entriesShift: u8;
  /** 1: entries are leaves. */
  deep: u8;
  /** LENT, PEEKED, GREW, WAS_LARGE. */
  flags: u8;
  /** After the last granule taken; a multiple of the granule. Valid while table is not 0. */
  end: u32;
  /** Arena bytes held: granules and tables. */
  arenaBytes: u32;
  /** After the last byte that is stored (also out of order) or lent; granules beyond are spare. */
  reserved: u32;
}
export const STREAM_BYTES: u32 = 32;
/** The largest TCP window. */
export const STREAM_LIMIT_MAX: u32 = 1 << 30;

/** A reserved piece is with the user: nothing may move. */
export const LENT: u8 = 1;
/** A peeked piece is with the user: nothing may move. */
export const PEEKED: u8 = 2;
/** Has taken a second large granule since it was empty. */
export const GREW: u8 = 4;
/**
 * Did so the last time: begins with a large granule, or every batch would be copied on its way up.
 */
export const WAS_LARGE: u8 = 8;

const LARGE_SHIFT: u8 = 12;
/** A stream of more small granules than this gets larger ones. */
const SMALL_GRANULES: u32 = 16;
/** But not if more than this would have to be copied. */
const REBLOCK_MAX: u32 = 16384;
const LEAF_SHIFT: u32 = 7;
const LEAF_ENTRIES: u32 = 1 << LEAF_SHIFT;
/** A leaf is an arena block of 512 bytes, whatever the smallest block. */
const LEAF_BLOCK: u32 = LEAF_SHIFT + 2;
/** Spare granules kept: 1/32 of what the stream holds. */
export const SPARE_SHIFT: u32 = 5;

// @ts-ignore: decorator
@inline
export function granule(s: Stream): u32 {
  return (<u32>1) << s.shift;
}

/** Start of the granule of a position. */
// @ts-ignore: decorator
@inline
export function floorOf(s: Stream, position: u32): u32 {
  return position & ~(granule(s) - 1);
}

/** Start of the first granule at or after a position. */
// @ts-ignore: decorator
@inline
export function ceilOf(s: Stream, position: u32): u32 {
  return floorOf(s, position + granule(s) - 1);
}

/** Bytes of positions under one leaf. */
// @ts-ignore: decorator
@inline
export function leafSpan(s: Stream): u32 {
  return LEAF_ENTRIES << s.shift;
}

/** log2 of the bytes of positions under one entry of the table. */
// @ts-ignore: decorator
@inline
function entryShift(s: Stream): u32 {
  return s.deep ? s.shift + LEAF_SHIFT : s.shift;
}

/** Address of the table's entry for a position. */
// @ts-ignore: decorator
@inline
export function entryAt(s: Stream, position: u32): usize {
  const index = position >> entryShift(s);
  return s.table + ((index & (((<u32>1) << s.entriesShift) - 1)) << 2);
}

/** Address of the word that names a position's granule; 0: there is no table or no leaf for it. */
export function slotAt(s: Stream, position: u32): usize {
  if (!s.table) return 0;
  const entry = entryAt(s, position);
  if (!s.deep) return entry;
  const leaf: usize = load<u32>(entry);
  return leaf ? leaf + (((position >> s.shift) & (LEAF_ENTRIES - 1)) << 2) : 0;
}

/** Address of a position's granule, or 0. */
// @ts-ignore: decorator
@inline
export function granuleAt(s: Stream, position: u32): u32 {
  const slot = slotAt(s, position);
  return slot ? load<u32>(slot) : 0;
}

/** Frees the granules of [from, to), both multiples of the granule. */
export function dropGranules(s: Stream, from: u32, to: u32): void {
  const size = granule(s);
  while (seqLt(from, to)) {
    const slot = slotAt(s, from);
    if (!slot) {
      from = (from | (leafSpan(s) - 1)) + 1; // a hole: no leaf
      continue;
    }
    const address = load<u32>(slot);
    if (address) {
      store<u32>(slot, 0);
      arenaFree(address, s.shift);
      s.arenaBytes -= size;
    }
    from += size;
  }
}

/** Everything goes back: granules, leaves, table. The fields that describe them are left. */
export function dropAll(s: Stream): void {
  dropGranules(s, floorOf(s, s.head), s.end);
  if (s.deep) {
    const span = leafSpan(s);
    dropLeaves(s, s.head & ~(span - 1), (s.end + span - 1) & ~(span - 1));
  }
  giveTable(s, s.table, s.entriesShift + 2);
}

/** Frees the leaves of [from, to), whose granules are gone; both multiples of a leaf's span. */
export function dropLeaves(s: Stream, from: u32, to: u32): void {
  const span = leafSpan(s);
  for (; seqLt(from, to); from += span) {
    const entry = entryAt(s, from);
    const leaf = load<u32>(entry);
    if (!leaf) continue;
    store<u32>(entry, 0);
    arenaFree(leaf, LEAF_BLOCK);
    s.arenaBytes -= (<u32>1) << LEAF_BLOCK;
  }
}

// ---- Granules ----------------------------------------------------------------------------------

/**
 * Takes what granules are missing for [from, to); the table covers them. Returns the position up to
 * which there are granules: `to`, or less when the arena is exhausted.
 */
export function cover(s: Stream, from: u32, to: u32): u32 {
  const size = granule(s);
  let at = floorOf(s, from);
  while (seqLt(at, to)) {
    const slot = makeSlot(s, at);
    if (!slot) break;
    if (!load<u32>(slot) && !takeRun(s, at, to)) {
      s.end = seqMax(s.end, at + size); // what frees by range must see a leaf just made
      break;
    }
    at += size;
  }
  return seqMax(from, seqMin(at, to));
}

/** As slotAt, making the leaf if need be; 0: the arena is exhausted. */
function makeSlot(s: Stream, position: u32): usize {
  const slot = slotAt(s, position);
  if (slot) return slot;
  const leaf = takeZeroed(s, LEAF_BLOCK);
  if (!leaf) return 0;
  store<u32>(entryAt(s, position), <u32>leaf);
  return slotAt(s, position);
}

/**
 * One arena block for the granules from `at` on: as many as are missing before `to`, or, at the end
 * of the stream, a share of what it holds: few pieces for writev, and little that is spare.
 */
function takeRun(s: Stream, at: u32, to: u32): bool {
  const size = granule(s);
  // Not beyond the leaf or the table's last entry: the run then lies behind one slot after another.
  const span = leafSpan(s);
  let edge = s.deep
    ? (at & ~(span - 1)) + span
    : floorOf(s, s.head) + (size << s.entriesShift);
  edge = seqMin(edge, ceilOf(s, s.head + s.limit));
  let wanted = ceilOf(s, to) - at;
  if (at == s.end) wanted = <u32>max(wanted, s.arenaBytes >> SPARE_SHIFT);
  wanted = <u32>max(size, min(wanted, edge - at));
  let shift = <u32>min(31 - clz<u32>(wanted), ARENA_MAX_SHIFT);
  while (shift > s.shift && !arenaFits(shift)) shift--;
  const slot = slotAt(s, at);
  const free = seqLt(at, s.end) ? missing(s, at, (<u32>1) << shift) : (<u32>1) << shift;
  shift = 31 - clz<u32>(free);
  const address = <u32>arenaAlloc(shift);
  if (!address) return false;
  const count = (<u32>1) << (shift - s.shift);
  for (let i: u32 = 0; i < count; i++) store<u32>(slotNext(s, slot, at, i), address + i * size);
  s.arenaBytes += (<u32>1) << shift;
  s.end = seqMax(s.end, at + ((<u32>1) << shift));
  return true;
}

/** The slot `i` granules after `at`, whose own is given; in a direct table it goes round. */
// @ts-ignore: decorator
@inline
function slotNext(s: Stream, slot: usize, at: u32, i: u32): usize {
  return s.deep ? slot + (i << 2) : entryAt(s, at + (i << s.shift));
}

/** Bytes from `at` on, at most `most`, without a granule before the end of the stream. */
function missing(s: Stream, at: u32, most: u32): u32 {
  const size = granule(s);
  let n = size;
  while (n < most && !granuleAt(s, at + n)) n += size;
  return n;
}

// ---- The table ---------------------------------------------------------------------------------

/** Gets granule size and table ready for bytes before `to`. False: the arena is exhausted. */
export function prepare(s: Stream, to: u32): bool {
  const span = to - s.head;
  if (!s.table) {
    const large = (s.flags & WAS_LARGE) != 0 && arenaFits(LARGE_SHIFT);
    s.shift = large ? LARGE_SHIFT : shiftFor(span, <u8>arena().minShift);
    s.flags &= ~WAS_LARGE;
    s.end = floorOf(s, s.head);
  } else if (s.shift >= LARGE_SHIFT) {
    s.flags |= GREW;
  } else if (span > SMALL_GRANULES << s.shift) {
    // Without memory for it the stream goes on with small granules.
    const still = (s.flags & (LENT | PEEKED)) == 0;
    if (still && s.reserved - s.head <= REBLOCK_MAX) reblock(s, shiftFor(span, s.shift));
  }
  return growTable(s, seqMax(to, s.end));
}

/** log2 of the granule for a stream of so many bytes, from that of a smaller one. */
function shiftFor(span: u32, shift: u8): u8 {
  while (shift < LARGE_SHIFT && span > SMALL_GRANULES << shift) {
    shift = <u8>min(shift + 3, LARGE_SHIFT);
  }
  return shift;
}

/** Zeroed block for a table or leaf, counted. */
function takeZeroed(s: Stream, shift: u32): usize {
  const address = arenaAlloc(shift);
  if (!address) return 0;
  memory.fill(address, 0, (<u32>1) << shift);
  s.arenaBytes += (<u32>1) << shift;
  return address;
}

// @ts-ignore: decorator
@inline
function giveTable(s: Stream, table: usize, shift: u32): void {
  arenaFree(table, shift);
  s.arenaBytes -= (<u32>1) << shift;
}

/** Entries that the positions [head, to) need, of 1 << shift bytes each. */
// @ts-ignore: decorator
@inline
function entriesFor(s: Stream, to: u32, shift: u32): u32 {
  return ((to - 1 - ((s.head >> shift) << shift)) >> shift) + 1;
}

/** log2 of the entries of a table with at least n, a whole arena block. */
function entriesShiftFor(n: u32): u8 {
  const need = n > 1 ? 32 - clz<u32>(n - 1) : 0;
  return <u8>max(need, arena().minShift - 2);
}

/** Makes the table cover [head, to). False: the arena is exhausted; nothing is changed. */
function growTable(s: Stream, to: u32): bool {
  let deep = s.deep;
  let need = entriesFor(s, to, entryShift(s));
  if (s.table && need <= (<u32>1) << s.entriesShift) return true;
  if (!deep && need > LEAF_ENTRIES) {
    deep = 1;
    need = entriesFor(s, to, s.shift + LEAF_SHIFT);
  }
  return retable(s, deep, entriesShiftFor(need));
}

/** A table much larger than needed, after a large window was drained, is replaced. */
export function shrinkTable(s: Stream): void {
  const need = entriesShiftFor(entriesFor(s, s.end, s.shift + LEAF_SHIFT));
  if (need + 3 <= s.entriesShift) retable(s, 1, need);
}

/** A new table with the entries of the old one. */
function retable(s: Stream, deep: u8, entriesShift: u8): bool {
  const table = takeZeroed(s, entriesShift + 2);
  if (!table) return false;
  const old = s.table;
  const oldShift = s.entriesShift;
  const end = s.end;
  if (old && deep != s.deep) {
    if (!splitTable(s, table, entriesShift)) {
      giveTable(s, table, entriesShift + 2);
      return false;
    }
  } else if (old) {
    const levels = entryShift(s);
    const span = (<u32>1) << levels;
    for (let at = s.head & ~(span - 1); seqLt(at, end); at += span) {
      const index = (at >> levels) & (((<u32>1) << entriesShift) - 1);
      store<u32>(table + (index << 2), load<u32>(entryAt(s, at)));
    }
  }
  s.table = <u32>table;
  s.entriesShift = entriesShift;
  s.deep = deep;
  if (old) giveTable(s, old, oldShift + 2);
  return true;
}

/** Moves a direct table's entries into leaves of `top`. False: exhausted, nothing is changed. */
function splitTable(s: Stream, top: usize, topShift: u8): bool {
  const levels = s.shift + LEAF_SHIFT;
  const span = leafSpan(s);
  const first = s.head & ~(span - 1);
  const mask = ((<u32>1) << topShift) - 1;
  for (let at = first; seqLt(at, s.end); at += span) {
    const leaf = takeZeroed(s, LEAF_BLOCK);
    if (!leaf) {
      while (at != first) {
        at -= span;
        giveTable(s, load<u32>(top + (((at >> levels) & mask) << 2)), LEAF_BLOCK);
      }
      return false;
    }
    store<u32>(top + (((at >> levels) & mask) << 2), <u32>leaf);
  }
  for (let at = floorOf(s, s.head); seqLt(at, s.end); at += granule(s)) {
    const leaf: usize = load<u32>(top + (((at >> levels) & mask) << 2));
    const index = (at >> s.shift) & (LEAF_ENTRIES - 1);
    store<u32>(leaf + (index << 2), load<u32>(entryAt(s, at)));
  }
  return true;
}

/**
 * Copies a small stream into larger granules (at most REBLOCK_MAX bytes). The old ones go back
 * through arenaFree, so what descriptors name stays in place. Nothing happens without memory.
 */
function reblock(s: Stream, shift: u8): void {
  const size = (<u32>1) << shift;
  const first = s.head & ~(size - 1);
  const entriesShift = entriesShiftFor((s.reserved - first) / size + 1);
  const mask = ((<u32>1) << entriesShift) - 1;
  const table = takeZeroed(s, entriesShift + 2);
  if (!table) return;
  const to = seqMin(s.end, ceilOf(s, s.reserved));
  for (let at = floorOf(s, s.head); seqLt(at, to); at += granule(s)) {
    const from = granuleAt(s, at);
    if (!from) continue;
    const entry = table + (((at >> shift) & mask) << 2);
    if (!load<u32>(entry)) {
      const address = arenaAlloc(shift);
      if (!address) {
        undoReblock(s, table, entriesShift, shift);
        return;
      }
      s.arenaBytes += size;
      store<u32>(entry, <u32>address);
    }
    memory.copy(load<u32>(entry) + (at & (size - 1)), from, granule(s));
  }
  adopt(s, table, entriesShift, shift);
}

/** The arena ran out half-way: the new granules go back. */
function undoReblock(s: Stream, table: usize, entriesShift: u8, shift: u8): void {
  for (let i: u32 = 0; i < (<u32>1) << entriesShift; i++) {
    const address = load<u32>(table + (i << 2));
    if (!address) continue;
    arenaFree(address, shift);
    s.arenaBytes -= (<u32>1) << shift;
  }
  giveTable(s, table, entriesShift + 2);
}

/** The new table takes over; the old granules and their table go back. */
function adopt(s: Stream, table: usize, entriesShift: u8, shift: u8): void {
  invariant(shift > s.shift, Fault.Stream);
  dropAll(s);
  s.table = <u32>table;
  s.entriesShift = entriesShift;
  s.deep = 0;
  s.shift = shift;
  s.end = ceilOf(s, s.reserved);
}

if (offsetof<Stream>() != STREAM_BYTES) ERROR("Stream");
