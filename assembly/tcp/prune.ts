/**
 * The last resort under memory pressure: out-of-order bytes that were SACKed are discarded, highest
 * first (RFC 2018 §8); the peer keeps them until they are acknowledged and sends them again. First
 * the connection's own, for bytes in order count more; then those of a connection that holds more
 * than its share, found by a hand that goes round over the records, some steps an event. Called by
 * text.ts and user.ts when the arena refuses bytes. Never touches what is in order.
 */
import { Config, Counter } from "../abi";
import { config } from "../config";
import { arenaUsed } from "../core/arena";
import { count } from "../core/counters";
import { PoolId, pool } from "../core/pool";
import { seqMax } from "../core/seq";
import { streamTruncate } from "../core/stream";
import { system } from "../memory";
import { Busy, Range, recvStream } from "./busy";
import { bytesHeld, fairShare } from "./pressure";
import { rangeLast, rangeTrimHighest } from "./reassembly";
import { RecordKind, Tcb } from "./records";
import { busyOf } from "./tcb";

/** Records that the hand looks at in one event. */
const HAND_STEPS: u32 = 32;
/** Ranges given up in one event. */
const RANGES_STEP: u32 = 32;
/** Less is not worth the peer's sending it again: four granules. */
const PRUNE_BYTES: u32 = 16384;

/** What is stored behind the last range, or behind the bytes in order, goes back to the arena. */
export function recvTruncate(busy: Busy): void {
  const recv = recvStream(busy);
  const last = rangeLast(busy);
  if (last == 0) {
    streamTruncate(recv, recv.tail);
    return;
  }
  const range = changetype<Range>(last);
  streamTruncate(recv, seqMax(range.end - (range.fin != 0 ? 1 : 0), recv.tail));
}

/** Bytes in order need the room that bytes beyond a hole have in the connection's share. */
export function pruneOwn(busy: Busy, want: u32): void {
  count(Counter.TcpExtPruneCalled);
  discard(busy, want);
}

/** Discards about `want` out-of-order bytes of a connection, highest first. */
function discard(busy: Busy, want: u32): void {
  let freed: u32 = 0;
  for (let i: u32 = 0; i < RANGES_STEP && freed < want && busy.rangeRoot != 0; i++) {
    freed += rangeTrimHighest(busy, want - freed);
  }
  recvTruncate(busy);
  count(Counter.TcpExtOfoPruned);
}

/** The arena has refused bytes, of `own` unless it is 0. True: something was given back. */
export function pruneArena(own: usize): bool {
  count(Counter.TcpExtPruneCalled);
  if (own != 0 && changetype<Busy>(own).rangeRoot != 0) {
    discard(changetype<Busy>(own), PRUNE_BYTES);
    return true;
  }
  const s = system();
  const p = pool(PoolId.Tcb);
  for (let i: u32 = 0; i < HAND_STEPS && i < p.fresh; i++) {
    if (s.pruneHand >= p.fresh) s.pruneHand = 0;
    const tcb = changetype<Tcb>(<usize>(p.base + s.pruneHand * p.stride));
    s.pruneHand++;
    if (tcb.kind != RecordKind.Connection || tcb.busy == 0) continue;
    const busy = busyOf(tcb);
    if (busy.rangeRoot == 0 || bytesHeld(busy) <= fairShare(tcb, busy)) continue;
    discard(busy, PRUNE_BYTES);
    return true;
  }
  return false;
}

/** Above tcp_mem_high: one step each time that something came in. */
export function pruneAboveHigh(): void {
  if (arenaUsed() > config(Config.tcp_mem_high)) pruneArena(0);
}
