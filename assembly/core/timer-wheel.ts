/**
 * One hierarchical timer wheel for every record: four levels of 256 slots span all 2^32 ticks of
 * 64 µs; a bitmap per level finds the next occupied slot, so a clock that jumps costs what is due,
 * not what has passed. tcp/ arms and cancels, poll expires.
 *
 * Bounds: a deadline lies less than 2^31 ticks after the clock, and poll moves the clock by at most
 * WHEEL_STEP at once (a longer jump: several polls), so nothing is ever mistaken for past.
 * A record fresh from a pool must have wheelLink set to 0 by its owner.
 */
import { Fault } from "../abi";
import { WHEEL_AT } from "../memory";
import { readU32, writeU32, zeroBytes } from "./bytes";
import { invariant } from "./invariant";

/** What the records of the wheel begin with (Endpoint of tcp/records.ts). */
@unmanaged
export class WheelNode {
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
}

/** One bitmap: 256 bits. */
@unmanaged
class SlotBits {
  word0: u64;
  word1: u64;
  word2: u64;
  word3: u64;
}

/** The wheel's variables, after its four bitmaps. */
@unmanaged
export class Wheel {
  /** All deadlines before this tick have fired. */
  now: u32;
  /** Slot heads: u32 × 256 × 4. */
  slotsAt: u32;
  armed: u32;
  /** Most that were ever armed. */
  high: u32;
}

const LEVELS: u32 = 4;
const SLOTS: u32 = 256;
const BITMAP_BYTES: u32 = 32;
export const WHEEL_SLOTS_BYTES: u32 = LEVELS * SLOTS * 4;
/** Most that the clock may move between two calls of wheelExpire, ticks (19 hours). */
export const WHEEL_STEP: u32 = 1 << 30;
/** Nothing is armed. */
export const WHEEL_NEVER: u32 = 0xffffffff;
/** How far back a deadline is still recognised as past. */
const PAST: u32 = 1 << 30;
/** Records moved to a lower level in one call: a million in one slot must not stall a poll. */
const CASCADE_MAX: u32 = 1024;

// @ts-ignore: decorator
@inline
export function wheel(): Wheel {
  return changetype<Wheel>(WHEEL_AT + LEVELS * BITMAP_BYTES);
}

// @ts-ignore: decorator
@inline
function node(address: usize): WheelNode {
  return changetype<WheelNode>(address);
}

/** Boot: `slotsAt` has room for WHEEL_SLOTS_BYTES. */
export function wheelInit(slotsAt: usize, nowTick: u32): void {
  invariant((slotsAt & 3) == 0, Fault.Wheel);
  zeroBytes(WHEEL_AT, LEVELS * BITMAP_BYTES + offsetof<Wheel>());
  zeroBytes(slotsAt, WHEEL_SLOTS_BYTES);
  wheel().slotsAt = <u32>slotsAt;
  wheel().now = nowTick;
}

// @ts-ignore: decorator
@inline
export function wheelArmed(record: usize): bool {
  return node(record).wheelLink != 0;
}

/** Position in time, comparable as u32, of a deadline that may lie a little in the past. */
// @ts-ignore: decorator
@inline
function fromPast(deadline: u32): u32 {
  return deadline - wheel().now + PAST;
}

/**
 * Makes sure that the wheel looks at the record at `deadline` or before: arms it, or moves it when
 * it is armed for later. One armed for earlier is left: its owner looks again when it fires.
 */
export function wheelArm(record: usize, deadline: u32): void {
  if (wheelArmed(record)) {
    if (fromPast(deadline) >= fromPast(node(record).wheelDeadline)) return;
    unlink(record);
  }
  node(record).wheelDeadline = deadline;
  link(record);
}

/** Nothing is armed: the clock may jump as far as it likes, and has. */
export function wheelIdle(nowTick: u32): bool {
  const w = wheel();
  if (w.armed) return false;
  w.now = nowTick;
  return true;
}

/** Takes the record out; nothing happens when it is not armed. */
export function wheelCancel(record: usize): void {
  if (wheelArmed(record)) unlink(record);
}

function link(record: usize): void {
  const w = wheel();
  let tick = node(record).wheelDeadline;
  if (fromPast(tick) < PAST) tick = w.now;
  // The level is the highest byte in which deadline and clock differ.
  const level = (31 - clz<u32>((tick ^ w.now) | 1)) >> 3;
  const slot = (tick >> (level << 3)) & (SLOTS - 1);
  const head: usize = w.slotsAt + (((level << 8) + slot) << 2);
  const next = readU32(head);
  node(record).wheelNext = next;
  node(record).wheelLink = <u32>head;
  if (next) node(next).wheelLink = <u32>(record + offsetof<WheelNode>("wheelNext"));
  writeU32(head, <u32>record);
  setBit(level, slot);
  const armed = w.armed + 1;
  w.armed = armed;
  if (armed > w.high) w.high = armed;
}

function unlink(record: usize): void {
  const w = wheel();
  const at: usize = node(record).wheelLink;
  const next = node(record).wheelNext;
  invariant(readU32(at) == <u32>record, Fault.Wheel);
  invariant(w.armed != 0, Fault.Wheel);
  writeU32(at, next);
  if (next) {
    node(next).wheelLink = <u32>at;
  } else {
    const offset = <u32>at - w.slotsAt;
    if (offset < WHEEL_SLOTS_BYTES) clearBit(offset >> 10, (offset >> 2) & (SLOTS - 1));
  }
  node(record).wheelLink = 0;
  w.armed--;
}

/**
 * Takes out and returns one record whose deadline is at or before nowTick; 0: none for now. Work in
 * one call is bounded: if 0 came only because many records had to move down a level, wheelNext
 * answers 0 and poll goes on in its next call. nowTick never goes back.
 */
export function wheelExpire(nowTick: u32): usize {
  const w = wheel();
  let moves = CASCADE_MAX;
  // Each turn returns, empties one slot of a higher level or moves on to one: at most 3 × 256
  // slots lie before nowTick, each either empty (skipped by bitmap) or paid for by its records.
  while (w.armed) {
    const level = pendingLevel();
    if (level) {
      moves = cascade(level, moves);
      if (!moves) return 0;
      continue;
    }
    const tick = nextTick();
    if (tick - w.now > nowTick - w.now) break;
    w.now = tick;
    const slot = tick & (SLOTS - 1);
    if (!bitAt(0, slot)) continue;
    const record: usize = readU32(w.slotsAt + (slot << 2));
    unlink(record);
    return record;
  }
  w.now = nowTick;
  return 0;
}

/** Ticks from nowTick until something may be due: 0 is now, WHEEL_NEVER is never. */
export function wheelNext(nowTick: u32): u32 {
  const w = wheel();
  if (!w.armed) return WHEEL_NEVER;
  if (pendingLevel()) return 0;
  const due = nextTick() - w.now;
  const passed = nowTick - w.now;
  return due <= passed ? 0 : due - passed;
}

/** The highest level whose slot the clock has reached and which still holds records; 0: none. */
function pendingLevel(): u32 {
  const now = wheel().now;
  if (bitAt(3, now >> 24)) return 3;
  if (bitAt(2, (now >> 16) & (SLOTS - 1))) return 2;
  return bitAt(1, (now >> 8) & (SLOTS - 1)) ? 1 : 0;
}

/** Moves the records of the level's present slot down; returns what is left of `moves`. */
function cascade(level: u32, moves: u32): u32 {
  const w = wheel();
  const slot = (w.now >> (level << 3)) & (SLOTS - 1);
  const head: usize = w.slotsAt + (((level << 8) + slot) << 2);
  let record: usize = readU32(head);
  while (record && moves) {
    unlink(record);
    link(record);
    moves--;
    record = readU32(head);
  }
  return moves;
}

/**
 * The next tick at which there is something to do: that of a slot of level 0, else the start of the
 * next occupied slot of the lowest level that has one. Called when nothing is pending and at least
 * one record is armed.
 */
function nextTick(): u32 {
  const now = wheel().now;
  let slot = nextBit(0, now & (SLOTS - 1));
  if (slot < SLOTS) return (now & ~(SLOTS - 1)) | slot;
  for (let level: u32 = 1; level < LEVELS - 1; level++) {
    const shift = level << 3;
    slot = nextBit(level, (now >> shift) & (SLOTS - 1));
    if (slot < SLOTS) return (now & ~((SLOTS << shift) - 1)) | (slot << shift);
  }
  slot = nextBit(3, now >> 24);
  if (slot >= SLOTS) slot = nextBit(3, 0); // the highest level goes round
  invariant(slot < SLOTS, Fault.Wheel);
  return slot << 24;
}

/** The word of a bitmap that holds a slot's bit. */
// @ts-ignore: decorator
@inline
function bitsAt(level: u32, slot: u32): SlotBits {
  return changetype<SlotBits>(WHEEL_AT + level * BITMAP_BYTES + ((slot >> 6) << 3));
}

// @ts-ignore: decorator
@inline
function bitAt(level: u32, slot: u32): bool {
  return ((bitsAt(level, slot).word0 >> (slot & 63)) & 1) != 0;
}

// @ts-ignore: decorator
@inline
function setBit(level: u32, slot: u32): void {
  const bits = bitsAt(level, slot);
  bits.word0 |= (<u64>1) << (slot & 63);
}

// @ts-ignore: decorator
@inline
function clearBit(level: u32, slot: u32): void {
  const bits = bitsAt(level, slot);
  bits.word0 &= ~((<u64>1) << (slot & 63));
}

/** The first occupied slot of a level from `from` on; SLOTS: none. */
function nextBit(level: u32, from: u32): u32 {
  let mask = ~(<u64>0) << (from & 63);
  for (let slot = from & ~63; slot < SLOTS; slot += 64) {
    const word = bitsAt(level, slot).word0 & mask;
    if (word) return slot + <u32>ctz<u64>(word);
    mask = ~(<u64>0);
  }
  return SLOTS;
}

if (LEVELS * BITMAP_BYTES + offsetof<Wheel>() > 256) ERROR("the wheel's state fits its place");
