/**
 * Memory pressure (Linux's tcp_mem): windows are promises beyond the arena. In this order: growth
 * stops; less is advertised; new out-of-order data is dropped; last, SACKed data is discarded,
 * highest first (RFC 2018 §8). What lies above tcp_mem_pressure is kept for connections that hold
 * little, so that those whose readers stall can not starve the others.
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { arenaUsed } from "../core/arena";
import { count } from "../core/counters";
import { streamHeld } from "../core/stream";
import { system } from "../memory";
import { Busy, recvStream, sendStream } from "./busy";

/** No connection is refused this much, however many there are, while there is any memory. */
const SHARE_MIN: u32 = 2048;

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

/** Bytes that one connection may hold while others wait. */
export function fairShare(): u32 {
  const high = config(Config.tcp_mem_high);
  const reserve = high - config(Config.tcp_mem_pressure);
  const busyCount = max<u32>(system().busyCount, 1);
  return max(reserve / 2 / busyCount, SHARE_MIN);
}

/** May this connection put `more` bytes into the arena now? */
export function mayHold(busy: Busy, more: u32): bool {
  if (arenaUsed() + more <= config(Config.tcp_mem_pressure)) return true;
  const held = streamHeld(recvStream(busy)) + streamHeld(sendStream(busy)) + busy.rangeBytes;
  if (held + more <= fairShare()) return true;
  count(Counter.AckornShareExceeded);
  return false;
}
