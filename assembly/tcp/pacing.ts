/**
 * Pacing: data leaves in bursts of about 1 ms of busy.pacingRate, so that hosts with a coarse timer
 * keep the rate; what a late timer missed is made good, within bounds. As Linux's tcp_pacing_check
 * and tso autosizing. Called by output.ts (may it leave, it has left, it must wait) and timers.ts.
 * The rate is the controller's (congestion/pacing-rate.ts).
 */
import { wheelArm } from "../core/timer-wheel";
import { system } from "../memory";
import { Busy } from "./busy";
import { sendQuantum } from "./congestion/pacing-rate";
import { Tcb } from "./records";
import { deadlineIn } from "./timers";

/** Busy.outputFlags: data waits for busy.pacingAt. */
export const OF_PACED: u16 = 8;
/** busy.pacingAt counts 2^-10 µs: at 10 Gbit/s a packet takes 1.2 µs. */
const SHIFT: u64 = 10;
/** Lateness that may be made good, µs: timers of 1 ms that a busy host serves late. */
const CREDIT_US: u64 = 4000;
/** Bytes of an unpaced connection that may leave at once. */
const UNBOUNDED: u32 = 0xffffffff;

// @ts-ignore: decorator
@inline
function clock(): u64 {
  return system().nowUs << SHIFT;
}

/** Bytes that the rate lets go now; 0: wait (pacingWait). */
export function pacingRoom(tcb: Tcb, busy: Busy): u32 {
  if (busy.pacingRate == 0) return UNBOUNDED;
  if (busy.pacingBurst != 0) return busy.pacingBurst;
  const now = clock();
  if (now < busy.pacingAt) return 0;
  // Only who was waiting was held up by the clock; who had nothing to send has no claim.
  const credit = busy.outputFlags & OF_PACED ? CREDIT_US << SHIFT : 0;
  busy.outputFlags &= ~OF_PACED;
  if (now - busy.pacingAt > credit) busy.pacingAt = now - credit;
  busy.pacingBurst = sendQuantum(tcb, busy);
  return busy.pacingBurst;
}

/** `bytes` of payload have left. */
export function pacingSent(busy: Busy, bytes: u32): void {
  if (busy.pacingRate == 0) return;
  busy.pacingBurst -= min(bytes, busy.pacingBurst);
  busy.pacingAt += (<u64>bytes * 1_000_000 << SHIFT) / busy.pacingRate;
}

/** Data waits for the rate: the wheel looks at the record when it may leave. */
export function pacingWait(tcb: Tcb, busy: Busy): void {
  busy.outputFlags |= OF_PACED;
  wheelArm(changetype<usize>(tcb), pacingDeadline(busy));
}

/** Does data wait, and may it leave? */
export function pacingDue(busy: Busy): bool {
  return (busy.outputFlags & OF_PACED) != 0 && clock() >= busy.pacingAt;
}

// @ts-ignore: decorator
@inline
export function pacingWaits(busy: Busy): bool {
  return (busy.outputFlags & OF_PACED) != 0;
}

/** busy.pacingAt in ticks, rounded up; an hour is as good as never. */
export function pacingDeadline(busy: Busy): u32 {
  const now = clock();
  return deadlineIn(busy.pacingAt > now ? (busy.pacingAt - now >> SHIFT) + 1 : 0);
}
