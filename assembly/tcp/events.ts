/**
 * Events to the host: a pending mask per handle and a list of handles that have one, so that
 * nothing can overflow (RFC 9293 §3.9.1, MUST-12 and MUST-47 are told through them). eventsCollect
 * moves the list into the ring that the host reads.
 */
import { EVENT_BYTES, HandleKind } from "../abi";
import { writeU32 } from "../core/bytes";
import { PoolId, poolGive, poolIndex } from "../core/pool";
import { system } from "../memory";
import {
  Endpoint, LF_EVENT_LISTED, Listener, RecordKind, TF_EVENT_LISTED, TF_IN_ACCEPT, TF_ORPHAN,
  TF_OUTPUT_LISTED, Tcb,
} from "./records";

/** Bits of EVENT_*. Without an owner of the handle they wait (accept queue) or vanish (orphan). */
export function post(tcb: Tcb, bits: u32): void {
  if (tcb.flags & TF_ORPHAN) return;
  tcb.eventMask |= <u16>bits;
  if (tcb.flags & (TF_IN_ACCEPT | TF_EVENT_LISTED)) return;
  tcb.flags |= TF_EVENT_LISTED;
  append(<u32>changetype<usize>(tcb));
}

/** After accept: what happened while nobody owned the handle. */
export function postWaiting(tcb: Tcb): void {
  if (tcb.eventMask != 0) post(tcb, 0);
}

export function postListener(listener: Listener, bits: u32): void {
  listener.eventMask |= <u16>bits;
  if (listener.flags & LF_EVENT_LISTED) return;
  listener.flags |= LF_EVENT_LISTED;
  append(<u32>changetype<usize>(listener));
}

// @ts-ignore: decorator
@inline
function setNext(record: u32, next: u32): void {
  const e = changetype<Endpoint>(<usize>record);
  if (e.kind == RecordKind.Listener) changetype<Listener>(<usize>record).eventNext = next;
  else changetype<Tcb>(<usize>record).eventNext = next;
}

// @ts-ignore: decorator
@inline
function nextOf(record: u32): u32 {
  const e = changetype<Endpoint>(<usize>record);
  if (e.kind == RecordKind.Listener) return changetype<Listener>(<usize>record).eventNext;
  return changetype<Tcb>(<usize>record).eventNext;
}

function append(record: u32): void {
  const s = system();
  setNext(record, 0);
  if (s.eventTail == 0) s.eventHead = record;
  else setNext(s.eventTail, record);
  s.eventTail = record;
}

/**
 * A listener ends: nothing more to tell. Walks the list, so it is not for connections: a hundred
 * thousand of them that end with something pending took half a minute. They stay in the list as
 * free records until they come by.
 */
export function eventsForget(record: u32): void {
  const s = system();
  let previous: u32 = 0;
  let at = s.eventHead;
  while (at != 0 && at != record) {
    previous = at;
    at = nextOf(at);
  }
  if (at == 0) return;
  if (previous == 0) s.eventHead = nextOf(record);
  else setNext(previous, nextOf(record));
  if (s.eventTail == record) s.eventTail = previous;
}

/**
 * Moves pending events into the ring from its start; entries moved (at most the ring's size).
 * Connections that were freed while they stood in the list go back to their pool here.
 */
export function eventsCollect(): u32 {
  const s = system();
  let n: u32 = 0;
  while (s.eventHead != 0 && n <= s.eventMask) {
    const record = s.eventHead;
    s.eventHead = nextOf(record);
    if (s.eventHead == 0) s.eventTail = 0;
    if (nothingToTell(record)) {
      unlisted(changetype<Tcb>(<usize>record));
      continue;
    }
    entry(s.eventRing + n * EVENT_BYTES, record);
    n++;
  }
  return n;
}

/** A connection whose user has closed it since; a free record may still be in the output list. */
function nothingToTell(record: u32): bool {
  const kind = changetype<Endpoint>(<usize>record).kind;
  if (kind == RecordKind.Listener) return false;
  return kind == RecordKind.Free || changetype<Tcb>(<usize>record).eventMask == 0;
}

function unlisted(tcb: Tcb): void {
  tcb.flags &= ~TF_EVENT_LISTED;
  tcb.eventNext = 0;
  const free = tcb.kind == RecordKind.Free && (tcb.flags & TF_OUTPUT_LISTED) == 0;
  if (free) poolGive(PoolId.Tcb, changetype<usize>(tcb));
}

/** poll: what leads the list and has nothing to tell goes, `budget` at most; true: more may do. */
export function eventsPrune(budget: u32): bool {
  const s = system();
  for (let i: u32 = 0; i < budget; i++) {
    const record = s.eventHead;
    if (record == 0 || !nothingToTell(record)) return false;
    s.eventHead = nextOf(record);
    if (s.eventHead == 0) s.eventTail = 0;
    unlisted(changetype<Tcb>(<usize>record));
  }
  return true;
}

function entry(at: u32, record: u32): void {
  if (changetype<Endpoint>(<usize>record).kind == RecordKind.Listener) {
    const l = changetype<Listener>(<usize>record);
    words(at, HandleKind.Listener, poolIndex(PoolId.Listener, record), l.generation, l.eventMask);
    l.eventMask = 0;
    l.flags &= ~LF_EVENT_LISTED;
    l.eventNext = 0;
    return;
  }
  const t = changetype<Tcb>(<usize>record);
  words(at, HandleKind.Connection, poolIndex(PoolId.Tcb, record), t.generation, t.eventMask);
  t.eventMask = 0;
  t.flags &= ~TF_EVENT_LISTED;
  t.eventNext = 0;
}

function words(at: u32, kind: u32, index: u32, generation: u32, mask: u32): void {
  writeU32(at, kind);
  writeU32(at + 4, index);
  writeU32(at + 8, generation);
  writeU32(at + 12, mask);
}
