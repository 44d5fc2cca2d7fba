/**
 * Memory pressure (Linux's tcp_mem): windows are promises beyond the arena. In this order: growth
 * stops; less is advertised; new out-of-order data is dropped; last, SACKed data is discarded,
 * highest first (RFC 2018 §8). What lies above tcp_mem_pressure is kept for connections that hold
 * little, so that those whose readers stall can not starve the others.
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { arena, arenaUsed } from "../core/arena";
import { count } from "../core/counters";
import { PoolId, pool } from "../core/pool";
import { streamHeld } from "../core/stream";
import { system } from "../memory";
import { Busy, recvStream, sendStream } from "./busy";
import { Extra, Tcb } from "./records";

/** The smallest guarantee: the smallest block. */
const GUARANTEE_MIN: u32 = 512;
/** Of what is free for those that are trusted, one may hold 1/16. */
const TRUSTED_SHIFT: u32 = 4;
/** A reader that has read nothing for so long has stalled. */
const STALLED_US: u32 = 4_000_000;

/** Called when arena use changed: enters and leaves pressure, with Linux's hysteresis. */
export function pressureUpdate(): void {
  const s = system();
  const used = arenaUsed();
  if (s.pressure == 0) {
    if (used > config(Config.tcp_mem_pressure)) {
      s.pressure = 1;
      count(Counter.TcpExtTCPMemoryPressures);
    }
  } else if (used <= config(Config.tcp_mem_low)) s.pressure = 0;
}

// @ts-ignore: decorator
@inline
export function underPressure(): bool {
  return system().pressure != 0;
}

/** Bytes that a connection has in the arena: queued, unread, or beyond a hole. */
export function bytesHeld(busy: Busy): u32 {
  return streamHeld(recvStream(busy)) + streamHeld(sendStream(busy)) + busy.rangeBytes;
}

/**
 * Bytes that one connection may hold above tcp_mem_pressure. Three quarters of what lies above it
 * are divided by the connections that there can be: this much nobody is refused, whoever came
 * before. (By the connections that there are, or as a part of what is free, was tried: those that
 * come early take more and keep it, and two thousand stalled ones leave nothing.) The last quarter
 * is for those that have shown that they drain.
 */
export function fairShare(tcb: Tcb, busy: Busy): u32 {
  const low = config(Config.tcp_mem_pressure);
  const most = min(config(Config.tcp_mem_high), arena().bytes);
  const reserve = most > low ? most - low : 0;
  const guarantee = max((reserve - (reserve >> 2)) / pool(PoolId.Tcb).capacity, GUARANTEE_MIN);
  const used = arenaUsed();
  const edge = low + (reserve >> 2);
  if (used >= edge || !trusted(tcb, busy)) return guarantee;
  return max(guarantee, (edge - used) >> TRUSTED_SHIFT);
}

/** It has moved more than windows alone can hold, and neither reader nor peer stands still now. */
function trusted(tcb: Tcb, busy: Busy): bool {
  if (tcb.extra == 0) return false;
  const extra = changetype<Extra>(<usize>tcb.extra);
  const enough = <u64>config(Config.tcp_rmem_default) << 1;
  if (extra.bytesAcked >= enough && tcb.sndWnd != 0) return true;
  const read = extra.bytesReceived - streamHeld(recvStream(busy));
  return read >= enough && system().now32 - busy.rcvSpaceAtUs < STALLED_US;
}

/** How many of `want` bytes this connection may put into the arena now; fewer are counted. */
export function roomFor(tcb: Tcb, busy: Busy, want: u32): u32 {
  if (<u64>arenaUsed() + want <= config(Config.tcp_mem_pressure)) return want;
  const share = fairShare(tcb, busy);
  const held = bytesHeld(busy);
  const room = share > held ? share - held : 0;
  if (room >= want) return want;
  count(Counter.AckornShareExceeded);
  return room;
}
