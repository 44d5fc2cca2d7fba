/**
 * poll: the one call that makes time pass. Takes returned descriptors back, frames in, timers,
 * output, in this order, each bounded by the budget, and says when it wants to be called again.
 * Called through index.ts by every host's loop.
 */
import { Fault } from "./abi";
import { invariant } from "./core/invariant";
import { wheelExpire, wheelIdle, wheelNext } from "./core/timer-wheel";
import { autoconfTimer } from "./ip/autoconf";
import { LINK_AUTO_KIND, linkAt, LinkAuto, NEIGHBOR_KIND } from "./link/link";
import { linkInput } from "./link/input";
import { Neighbor, neighborTimer } from "./link/neighbor";
import { linkPoll, txRoom } from "./link/output";
import { system } from "./memory";
import { eventsPrune } from "./tcp/events";
import { synRequestTimer } from "./tcp/listen";
import { OutputVerdict, tcpOutput } from "./tcp/output";
import { pressureUpdate } from "./tcp/pressure";
import { Endpoint, RecordKind, SynRequest, Tcb, TimeWait } from "./tcp/records";
import { outputList, outputNext } from "./tcp/tcb";
import { timeWaitEnd } from "./tcp/time-wait";
import { connectionTimer } from "./tcp/timers";

/** µs to wait for nothing: only a frame or a call can bring work. */
export const FOREVER: u32 = 0xffffffff;
/** Longest step of the clock while timers run, µs: 2³⁰ ticks, 19 hours. */
const CLOCK_STEP_US: u64 = 1 << 36;

export function pollAll(now: u64, budget: u32): u32 {
  const s = system();
  let more = clock(now);
  s.pollCount++;
  for (let i: u32 = 0; i < s.linkCount; i++) linkPoll(linkAt(i));
  pressureUpdate();
  const work = max<u32>(budget, 1);
  for (let i: u32 = 0; i < s.linkCount; i++) {
    if (linkInput(linkAt(i), work) >= work) more = true;
  }
  if (timers(work)) more = true;
  if (output(work)) more = true;
  if (eventsPrune(work)) more = true;
  if (more) return 0;
  const ticks = wheelNext(s.nowTick);
  return ticks == FOREVER ? FOREVER : <u32>min<u64>(<u64>ticks << 6, FOREVER - 1);
}

/**
 * Moves the clock; never back (law 3): a clock that jumps back stands still here. While timers
 * run it moves half of what deadlines can tell apart at most, or a machine that slept for two days,
 * or whose clock was far from 0 at boot, would find them in the future. true: there is more to go.
 */
function clock(now: u64): bool {
  const s = system();
  if (now <= s.nowUs) return false;
  // An idle wheel goes along: what a frame of this very poll arms counts from the new time.
  const step = !wheelIdle(<u32>(now >> 6)) && now - s.nowUs > CLOCK_STEP_US;
  const to = step ? s.nowUs + CLOCK_STEP_US : now;
  s.nowUs = to;
  s.now32 = <u32>to;
  s.nowTick = <u32>(to >> 6);
  s.nowMs = <u32>(to / 1000);
  s.nowS = <u32>(to / 1_000_000);
  return step;
}

/** Due records, at most `budget`; true: there may be more. */
function timers(budget: u32): bool {
  const s = system();
  for (let i: u32 = 0; i < budget; i++) {
    const record = wheelExpire(s.nowTick);
    if (record == 0) return false;
    const kind = changetype<Endpoint>(record).kind;
    if (kind == RecordKind.Connection) connectionTimer(changetype<Tcb>(record));
    else if (kind == RecordKind.SynRequest) synRequestTimer(changetype<SynRequest>(record));
    else if (kind == NEIGHBOR_KIND) neighborTimer(changetype<Neighbor>(record));
    else if (kind == LINK_AUTO_KIND) autoconfTimer(changetype<LinkAuto>(record));
    else {
      invariant(kind == RecordKind.TimeWait, Fault.Wheel);
      timeWaitEnd(changetype<TimeWait>(record));
    }
  }
  return true;
}

/** Connections that want to send, in turn; true: some still do although the ring has room. */
function output(budget: u32): bool {
  const s = system();
  const last = s.outputTail;
  for (let i: u32 = 0; i < budget; i++) {
    const record = outputNext();
    if (record == 0) return false;
    const tcb = changetype<Tcb>(record);
    const verdict = tcpOutput(tcb);
    if (verdict == OutputVerdict.Done) continue;
    outputList(tcb);
    if (verdict == OutputVerdict.Full && !anyRoom()) return false; // linkPoll will make room
    if (verdict == OutputVerdict.Full && <u32>record == last) return false;
  }
  return s.outputHead != 0;
}

function anyRoom(): bool {
  const s = system();
  for (let i: u32 = 0; i < s.linkCount; i++) if (txRoom(linkAt(i)) > 0) return true;
  return false;
}

