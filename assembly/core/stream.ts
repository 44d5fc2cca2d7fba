/**
 * Byte streams over arena blocks: a window of positions [head, tail) that grows and shrinks by
 * granules and is never copied to grow. Used by tcp/user.ts (send: reserve, commit) and tcp/text.ts
 * (receive: write, in order or beyond a hole, and advance). stream-table.ts finds the granules.
 * Footprint: granules and tables <= 1.20 x bytes held, from 64 KiB up, at every fill level.
 * An exhausted arena makes answers short, never a trap. SYN and FIN have no place in a stream.
 */
import { Fault } from "../abi";
import { arena } from "./arena";
import { invariant } from "./invariant";
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from "./seq";
import {
  GREW, LENT, PEEKED, SPARE_SHIFT, STREAM_LIMIT_MAX, Stream, ceilOf, cover, dropAll, dropGranules,
  WAS_LARGE, dropLeaves, floorOf, granule, granuleAt, leafSpan, prepare, shrinkTable,
} from "./stream-table";

export { STREAM_BYTES, STREAM_LIMIT_MAX, Stream } from "./stream-table";

/** Most that is lent at once: the largest arena block. */
const RESERVE_MAX: u32 = 65536;

// ---- Life --------------------------------------------------------------------------------------

/** An empty stream that starts at `position` and takes up to `limit` bytes. Allocates nothing. */
export function streamInit(s: Stream, position: u32, limit: u32): void {
  invariant(limit <= STREAM_LIMIT_MAX, Fault.Stream);
  s.head = position;
  s.tail = position;
  s.reserved = position;
  s.limit = limit;
  s.arenaBytes = 0;
  s.flags = 0;
  forget(s);
}

/** Nothing is allocated any more; whether it was much is remembered. */
function forget(s: Stream): void {
  invariant(s.arenaBytes == 0, Fault.Stream);
  s.table = 0;
  s.end = s.head;
  s.shift = 0;
  s.entriesShift = 0;
  s.deep = 0;
  s.flags = s.flags & GREW ? WAS_LARGE : 0;
}

/** Gives everything back; what was held is gone and the stream is empty at tail. Idempotent. */
export function streamRelease(s: Stream): void {
  clear(s);
  s.flags = 0;
  s.head = s.tail;
  s.reserved = s.tail;
  s.end = s.tail;
}

/** Gives back granules and tables; positions stay. */
function clear(s: Stream): void {
  if (!s.table) return;
  dropAll(s);
  forget(s);
}

/** Bytes in order: [head, tail). */
export function streamHeld(s: Stream): u32 {
  return s.tail - s.head;
}

/** Nothing is stored, neither in order nor beyond, and nothing is lent. */
export function streamEmpty(s: Stream): bool {
  return s.head == s.reserved;
}

/** What the user got by streamRun stays where it is until streamConsume. */
export function streamMarkPeeked(s: Stream): void {
  s.flags |= PEEKED;
}

// ---- Writing -----------------------------------------------------------------------------------

/**
 * Room at tail: bytes, at most `want`, that may be written from streamAddress(s, tail) on. 0: limit
 * reached or arena exhausted. Often less than wanted (at most 64 KiB): commit and ask again. Stays
 * valid until streamCommit or streamRelease.
 */
export function streamReserve(s: Stream, want: u32): u32 {
  const held = s.tail - s.head;
  if (held >= s.limit) return 0;
  want = <u32>min(want, min(s.limit - held, RESERVE_MAX));
  const to = s.tail + want;
  let room = runUpTo(s, s.tail, seqMin(to, s.end));
  if (!room && want && prepare(s, to)) room = runUpTo(s, s.tail, cover(s, s.tail, to));
  if (!room) return 0;
  s.flags |= LENT;
  s.reserved = seqMax(s.reserved, s.tail + room);
  return room;
}

/** Bytes that the user has reserved and not committed. */
export function streamLent(s: Stream): u32 {
  return s.flags & LENT ? s.reserved - s.tail : 0;
}

/** The first n (at most streamLent) bytes lent are now held; the others are lent no more. */
export function streamCommit(s: Stream, n: u32): void {
  invariant(n <= streamLent(s), Fault.Stream);
  s.tail += n;
  s.reserved = s.tail;
  s.flags &= ~LENT;
  trim(s);
}

/**
 * Copies bytes to their place, at tail or beyond; tail stays (streamAdvance moves it). Returns how
 * many from `position` on are stored: less than `length` at the limit or when the arena is empty.
 */
export function streamWrite(s: Stream, position: u32, from: usize, length: u32): u32 {
  invariant(seqGe(position, s.tail) && !(s.flags & LENT), Fault.Stream);
  const ahead = position - s.head;
  if (ahead >= s.limit || !length) return 0;
  length = <u32>min(length, s.limit - ahead);
  // Beyond `end` the table's entries belong to other positions.
  const known = s.table != 0 && seqLt(position, s.end) ? min(length, s.end - position) : 0;
  const there = copyIn(s, position, from, known);
  if (there == length) return length;
  const rest = position + there;
  if (!prepare(s, position + length)) return there;
  return there + copyIn(s, rest, from + there, cover(s, rest, position + length) - rest);
}

/** Copies to granules that are there; how many bytes from `position` on. */
function copyIn(s: Stream, position: u32, from: usize, length: u32): u32 {
  const size = granule(s);
  let done: u32 = 0;
  while (done < length) {
    const at = position + done;
    const address = granuleAt(s, at);
    if (!address) break;
    const offset = at & (size - 1);
    const n = <u32>min(size - offset, length - done);
    memory.copy(address + offset, from + done, n);
    done += n;
  }
  if (done) s.reserved = seqMax(s.reserved, position + done);
  return done;
}

/** Bytes before newTail are now in order: they were stored by streamWrite. */
export function streamAdvance(s: Stream, newTail: u32): void {
  invariant(seqGe(newTail, s.tail) && seqLe(newTail, s.reserved), Fault.Stream);
  s.tail = newTail;
}

// ---- Reading -----------------------------------------------------------------------------------

/** Length, at most `want`, of the stored bytes that lie in one stretch from `position` on. */
export function streamRun(s: Stream, position: u32, want: u32): u32 {
  const left = s.reserved - position;
  if (seqGe(position, s.reserved) || seqLt(position, s.head)) return 0;
  return runUpTo(s, position, position + <u32>min(want, left));
}

/** Contiguous bytes of [position, to), where all granules before `to` that exist are usable. */
function runUpTo(s: Stream, position: u32, to: u32): u32 {
  let address = granuleAt(s, position);
  if (!address) return 0;
  const size = granule(s);
  let reached = floorOf(s, position) + size;
  while (seqLt(reached, to)) {
    address += size;
    if (granuleAt(s, reached) != address) break;
    reached += size;
  }
  reached = seqMin(reached, to);
  return seqGt(reached, position) ? reached - position : 0;
}

/** Address of a stored or reserved byte. */
export function streamAddress(s: Stream, position: u32): usize {
  const address = granuleAt(s, position);
  invariant(address != 0, Fault.Stream);
  return address + (position & (granule(s) - 1));
}

/** Copies out `length` bytes, all of which are stored. */
export function streamRead(s: Stream, position: u32, to: usize, length: u32): void {
  while (length) {
    const n = streamRun(s, position, length);
    invariant(n != 0, Fault.Stream);
    memory.copy(to, streamAddress(s, position), n);
    to += n;
    position += n;
    length -= n;
  }
}

// ---- Giving back -------------------------------------------------------------------------------

/** Bytes before newHead are not needed any more. */
export function streamConsume(s: Stream, newHead: u32): void {
  invariant(seqGe(newHead, s.head) && seqLe(newHead, s.tail), Fault.Stream);
  const oldHead = s.head;
  s.head = newHead;
  s.flags &= ~PEEKED;
  if (!s.table) return;
  // A stream that was large starts small again; a small one keeps its granule for the next bytes.
  if (newHead == s.reserved && (s.deep || s.shift > <u8>arena().minShift)) {
    s.head = oldHead;
    clear(s);
    s.head = newHead;
    s.end = newHead;
    return;
  }
  dropGranules(s, floorOf(s, oldHead), seqMin(floorOf(s, newHead), s.end));
  if (s.deep) {
    const mask = ~(leafSpan(s) - 1);
    dropLeaves(s, oldHead & mask, newHead & mask);
    shrinkTable(s);
  }
  trim(s);
}

/**
 * Gives back granules wholly at or after newEnd: stored bytes there are forgotten (RFC 2018 §8).
 * newEnd is the end of the highest range that stays, or tail: streamEmpty goes by it.
 */
export function streamTruncate(s: Stream, newEnd: u32): void {
  const lowest = s.flags & LENT ? s.reserved : s.tail;
  newEnd = seqMax(newEnd, lowest);
  s.reserved = seqMin(s.reserved, newEnd);
  if (s.table) cutAt(s, ceilOf(s, newEnd));
}

/** Gives back granules from position `from` on. */
function cutAt(s: Stream, from: u32): void {
  if (seqGe(from, s.end)) return;
  dropGranules(s, from, s.end);
  if (s.deep) {
    const span = leafSpan(s);
    const mask = ~(span - 1);
    dropLeaves(s, (from + span - 1) & mask, (s.end + span - 1) & mask);
  }
  s.end = from;
}

/** Spare granules beyond what is stored or lent go back, but for a small share. */
function trim(s: Stream): void {
  if (!s.table) return;
  const used = ceilOf(s, s.reserved);
  cutAt(s, used + floorOf(s, s.arenaBytes >> SPARE_SHIFT));
}

