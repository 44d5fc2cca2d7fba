/**
 * Pools of equal records, laid out by boot and never grown. Taking a record costs a list pop;
 * records never used are handed out in order of address (`fresh`), so that boot touches none of
 * them and an unused pool costs no resident memory. Every layer above core takes its records here.
 * A free record keeps all but its first word, so a generation further back survives its lives.
 */
import { Fault } from "../abi";
import { POOL_TABLE_AT } from "../memory";
import { readU32, writeU32 } from "./bytes";
import { invariant } from "./invariant";

export const enum PoolId {
  Tcb = 0,
  SynRequest = 1,
  TimeWait = 2,
  Listener = 3,
  Extra = 4,
  Segment = 5,
  Neighbor = 6,
}
export const POOL_COUNT: u32 = 8;

@unmanaged
export class Pool {
  /** Address of record 0. */
  base: u32;
  /** Bytes from record to record. */
  stride: u32;
  capacity: u32;
  /** Free record given back last, or 0; word 0 of each leads to the next. */
  free: u32;
  /** Records from here on were never taken. */
  fresh: u32;
  used: u32;
  /** Most that were ever in use. */
  high: u32;
  /** Times that none was left. */
  failed: u32;
}
export const POOL_BYTES: u32 = 32;

/** The pool's own record: sizes and statistics. */
// @ts-ignore: decorator
@inline
export function pool(id: PoolId): Pool {
  return changetype<Pool>(POOL_TABLE_AT + (<usize>id) * POOL_BYTES);
}

/** Boot: a pool of `capacity` records of `stride` bytes from `base` on (multiples of 4). */
export function poolInit(id: PoolId, base: usize, stride: u32, capacity: u32): void {
  invariant(<u32>id < POOL_COUNT, Fault.Pool);
  invariant(stride != 0 && ((stride | <u32>base) & 3) == 0, Fault.Pool);
  const p = pool(id);
  p.base = <u32>base;
  p.stride = stride;
  p.capacity = capacity;
  p.free = 0;
  p.fresh = 0;
  p.used = 0;
  p.high = 0;
  p.failed = 0;
}

/** A record, its bytes as its last owner left them; 0 (counted in `failed`): none is left. */
export function poolTake(id: PoolId): usize {
  const p = pool(id);
  let record: usize = p.free;
  if (record) {
    p.free = readU32(record);
  } else if (p.fresh < p.capacity) {
    record = p.base + p.fresh * p.stride;
    p.fresh++;
  } else {
    p.failed++;
    return 0;
  }
  const used = p.used + 1;
  p.used = used;
  if (used > p.high) p.high = used;
  invariant(used <= p.fresh, Fault.Pool);
  return record;
}

/** Gives a record back. Writes its first word only. */
export function poolGive(id: PoolId, record: usize): void {
  const p = pool(id);
  invariant(poolContains(id, record), Fault.Pool);
  // A double give of the last record, or of any once all are free. Others would need a mark.
  invariant(p.used != 0 && record != p.free, Fault.Pool);
  writeU32(record, p.free);
  p.free = <u32>record;
  p.used--;
}

/** Number of a record, 0 to capacity - 1: the host's handle. */
export function poolIndex(id: PoolId, record: usize): u32 {
  const p = pool(id);
  return (<u32>record - p.base) / p.stride;
}

/** Address of record `index`, which the caller knows to be less than the capacity. */
export function poolAt(id: PoolId, index: u32): usize {
  const p = pool(id);
  invariant(index < p.capacity, Fault.Pool);
  return p.base + index * p.stride;
}

/** The address is exactly that of a record that has been taken at least once. */
export function poolContains(id: PoolId, address: usize): bool {
  const p = pool(id);
  const offset = <u32>address - p.base;
  const index = offset / p.stride;
  return index < p.fresh && index * p.stride == offset;
}

if (offsetof<Pool>() != POOL_BYTES) ERROR("Pool");
