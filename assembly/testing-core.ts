/**
 * Entry of the tests of core/: its functions as exports, compiled with the flags of the shipped
 * module (tests/engine/core-engine.ts). Never shipped.
 */
import { checksumPartial } from "./core/checksum";
import { system } from "./memory";

export {
  poolInit, poolTake, poolGive, poolIndex, poolAt, poolContains, pool,
} from "./core/pool";
export {
  treapInsert, treapRemove, treapFloor, treapFirst, treapLast, treapNext, treapPrev,
} from "./core/treap";
export {
  wheelInit, wheelArm, wheelCancel, wheelArmed, wheelExpire, wheelNext, wheel,
  WHEEL_SLOTS_BYTES, WHEEL_STEP,
} from "./core/timer-wheel";
export { siphash13, siphash24 } from "./core/siphash";
export {
  checksumPartial, checksumPiece, checksumSwap, checksumFinish,
} from "./core/checksum";
export { trace } from "./core/trace";
export {
  arena, arenaInit, arenaMetaBytes, arenaAlloc, arenaFree, arenaFits, arenaEpochPassed,
  arenaLimboBytes, arenaWaitingBytes, arenaFreeCount,
} from "./core/arena";
export {
  streamInit, streamHeld, streamReserve, streamLent, streamCommit, streamWrite, streamAdvance,
  streamRun, streamAddress, streamRead, streamConsume, streamTruncate, streamRelease, streamEmpty,
  streamMarkPeeked,
} from "./core/stream";

/** What boot would set. */
export function setSystem(hashKey1: u64, nowUs: u64, traceRing: u32, traceMask: u32): void {
  system().hashKey1 = hashKey1;
  system().nowUs = nowUs;
  system().traceRing = traceRing;
  system().traceMask = traceMask;
}

/** bench/checksum.ts: the sum of the same bytes, again and again. */
export function checksumRounds(at: usize, length: u32, rounds: u32): u32 {
  let sum: u64 = 0;
  for (let round: u32 = 0; round < rounds; round++) sum ^= checksumPartial(at, length, sum & 1);
  return <u32>sum;
}
