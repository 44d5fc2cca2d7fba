/**
 * Entry for tests of the flight and its recovery: a few connections without packets or timers,
 * driven as tcp/ack.ts and tcp/output.ts drive them. tests/engine/recovery*.test.ts compile and
 * run it with the flags of the shipped module. What a call returns beside its number stands in
 * RESULT.
 */
import { Config, RESULT_AT, SYSTEM_AT } from "./abi";
import { setConfig } from "./config";
import { writeU32, zeroBytes } from "./core/bytes";
import { PoolId, pool, poolInit } from "./core/pool";
import { treapNext } from "./core/treap";
import { SEGMENT_AT, system } from "./memory";
import { ACK_SAMPLE_AT, AF_ECHO, AckSample, ackBegin } from "./tcp/ack-sample";
import { BUSY_BYTES, Busy, SEGMENT_BYTES, sendStream } from "./tcp/busy";
import {
  congestionInit, congestionOnIdleRestart, congestionOnUndo, congestionSet,
} from "./tcp/congestion/controller";
import { cubeRoot } from "./tcp/congestion/cubic";
import { cwndValidate } from "./tcp/congestion/validation";
import { deliveryRate, rateAppLimited } from "./tcp/delivery-rate";
import { rackReoWndUs, rackTimeoutUs } from "./tcp/rack";
import { EXTRA_BYTES, Extra, TCB_BYTES, TF_ORPHAN, TF_SACK_OK, Tcb } from "./tcp/records";
import {
  recoveryBegin, recoveryForward, recoveryNext, recoveryOnAck, recoveryOnReorderTimer,
  recoveryOnTimeout, recoveryPrepare, sendQuota,
} from "./tcp/recovery";
import { retransmitTimerUs, retransmitVerdict, retriesWorthMs } from "./tcp/retransmit";
import { rtoBackedOffUs, rttAfterHandshake, rttOnAck, rttSample } from "./tcp/rtt";
import { sackReceive } from "./tcp/sack";
import {
  pipe, segmentAt, segmentRetransmitted, segmentsAcked, segmentsRelease, segmentsSent,
} from "./tcp/segments";
import { segmentsCheck } from "./tcp/segments-check";
import { tailSegment, tlpSent, tlpTimeoutUs } from "./tcp/tlp";

const CONNECTIONS_MAX: u32 = 16;
const TCBS_AT: usize = 65536;
const BUSIES_AT: usize = TCBS_AT + 16384;
const EXTRAS_AT: usize = BUSIES_AT + 16384;
const SEGMENTS_AT: usize = EXTRAS_AT + 16384;

function tcbAt(i: u32): Tcb {
  return changetype<Tcb>(TCBS_AT + i * TCB_BYTES);
}

function busyAt(i: u32): Busy {
  return changetype<Busy>(BUSIES_AT + i * 512);
}

/** Fixed things; sysctls are written by the test through configure. */
export function testBoot(segments: u32): void {
  zeroBytes(SYSTEM_AT, 3840);
  system().hashKey1 = 0x9e3779b97f4a7c15;
  poolInit(PoolId.Tcb, TCBS_AT, TCB_BYTES, CONNECTIONS_MAX);
  poolInit(PoolId.Segment, SEGMENTS_AT, SEGMENT_BYTES, segments);
}

export function configure(word: u32, value: u32): void {
  setConfig(<Config>word, value);
}

export function testTime(high: u32, low: u32): void {
  const now = (<u64>high << 32) | <u64>low;
  system().nowUs = now;
  system().now32 = <u32>now;
  system().nowMs = <u32>(now / 1000);
}

export function testOpen(i: u32, iss: u32, mss: u32, sack: bool): void {
  const tcb = tcbAt(i);
  const busy = busyAt(i);
  zeroBytes(changetype<usize>(tcb), TCB_BYTES);
  zeroBytes(changetype<usize>(busy), BUSY_BYTES);
  zeroBytes(EXTRAS_AT + i * EXTRA_BYTES, EXTRA_BYTES);
  tcb.extra = <u32>(EXTRAS_AT + i * EXTRA_BYTES);
  changetype<Extra>(<usize>tcb.extra).minRttUs = 0xffffffff;
  tcb.sndUna = iss;
  tcb.sndNxt = iss;
  tcb.sndMss = <u16>mss;
  if (sack) tcb.flags |= TF_SACK_OK;
  tcb.busy = <u32>changetype<usize>(busy);
  congestionInit(tcb, false);
  recoveryBegin(tcb, busy);
  busy.maxSndWnd = 1 << 20;
}

export function testSend(i: u32, length: u32, flags: u32): bool {
  const tcb = tcbAt(i);
  if (!segmentsSent(tcb, busyAt(i), tcb.sndNxt, length, <u8>flags)) return false;
  tcb.sndNxt += length;
  return true;
}

/** Where the test writes SACK blocks. */
export function blocksAt(): u32 {
  return <u32>SEGMENT_AT;
}

/** `echoMs`: by the clock of the test, when what this ACK echoes was sent; 0: no timestamps. */
export function testAck(
  i: u32, ack: u32, flags: u32, blocks: u32, timestampUs: u32, echoMs: u32,
): void {
  const tcb = tcbAt(i);
  const busy = busyAt(i);
  const sample = ackBegin(tcb, busy, ack, flags);
  if (echoMs != 0) sample.flags |= AF_ECHO;
  sample.echoMs = echoMs;
  if (ack != tcb.sndUna) {
    tcb.sndUna = ack;
    tcb.retries = 0;
  }
  if (tcb.flags & TF_SACK_OK) sackReceive(tcb, busy, blocks, SEGMENT_AT, sample);
  segmentsAcked(tcb, busy, ack, sample);
  rttOnAck(tcb, busy, sample, timestampUs);
  recoveryOnAck(tcb, busy, sample);
}

/** Sends the next lost piece again, `limit` bytes at most; answers its bytes, RESULT: its seq. */
export function testRetransmit(i: u32, limit: u32): u32 {
  const next = recoveryNext(busyAt(i));
  return next == 0 ? 0 : sendAgain(i, next, limit);
}

export function testForward(i: u32): u32 {
  const next = recoveryForward(tcbAt(i), busyAt(i));
  return next == 0 ? 0 : sendAgain(i, next, 1);
}

function sendAgain(i: u32, at: usize, limit: u32): u32 {
  const segment = segmentAt(at);
  const bytes = recoveryPrepare(tcbAt(i), busyAt(i), segment, limit);
  writeU32(RESULT_AT, segment.seq);
  segmentRetransmitted(tcbAt(i), busyAt(i), segment, bytes);
  return bytes;
}

export function testTimeout(i: u32): void {
  const tcb = tcbAt(i);
  recoveryOnTimeout(tcb, busyAt(i));
  tcb.retries++;
  tcb.backoff++;
}

export function testReorderTimer(i: u32): void {
  recoveryOnReorderTimer(tcbAt(i), busyAt(i));
}

/** The loss probe: the last segment again, or `length` bytes of new data. As testRetransmit. */
export function testProbe(i: u32, length: u32): u32 {
  const tcb = tcbAt(i);
  const busy = busyAt(i);
  let bytes = length;
  writeU32(RESULT_AT, tcb.sndNxt);
  if (length != 0) {
    testSend(i, length, 0);
  } else {
    const tail = tailSegment(tcb, busy);
    if (tail == 0) return 0;
    bytes = sendAgain(i, tail, segmentAt(tail).length);
  }
  tlpSent(tcb, busy, length == 0);
  return bytes;
}

/** `waiting` bytes of new data, and a window of `window`: what F-RTO asks for. */
export function testWaiting(i: u32, waiting: u32, window: u32): void {
  sendStream(busyAt(i)).tail = tcbAt(i).sndNxt + waiting;
  tcbAt(i).sndWnd = window;
}

export function testCheck(i: u32): u32 {
  return segmentsCheck(tcbAt(i), busyAt(i), (tcbAt(i).flags & TF_SACK_OK) != 0);
}

/** RESULT: the connection's numbers and the last sample's, in the order that the test names. */
export function testState(i: u32): void {
  const tcb = tcbAt(i);
  const busy = busyAt(i);
  const sample = changetype<AckSample>(ACK_SAMPLE_AT);
  let at: usize = RESULT_AT;
  at = put(at, tcb.sndUna);
  at = put(at, tcb.sndNxt);
  at = put(at, tcb.cwnd);
  at = put(at, tcb.ssthresh);
  at = put(at, pipe(tcb, busy));
  at = put(at, sendQuota(tcb, busy));
  at = put(at, busy.sackedBytes);
  at = put(at, busy.lostBytes);
  at = put(at, busy.retransBytes);
  at = put(at, busy.highSack);
  at = put(at, busy.caState);
  at = put(at, busy.dupAcks);
  at = put(at, busy.reordering);
  at = put(at, busy.segmentCount);
  at = put(at, busy.undoRetrans);
  at = put(at, pool(PoolId.Segment).used);
  at = put(at, tcb.srtt8Us);
  at = put(at, tcb.rttvar4Us);
  at = put(at, rtoBackedOffUs(tcb));
  at = put(at, busy.minRttUs0);
  at = put(at, sample.flags);
  at = put(at, sample.visited);
  at = put(at, sample.deliveredBytes);
  at = put(at, sample.rttUs);
  at = put(at, <u32>deliveryRate(busy));
  at = put(at, rackTimeoutUs(tcb, busy));
  at = put(at, rackReoWndUs(tcb, busy));
  at = put(at, tlpTimeoutUs(tcb, busy, rtoBackedOffUs(tcb)));
  at = put(at, busy.rackRttUs);
  at = put(at, busy.frtoState);
  put(at, busy.reordSeen);
}

function put(at: usize, value: u32): usize {
  writeU32(at, value);
  return at + 4;
}

/** Writes seq, length, flags of every record from `at` on; answers how many. */
export function testRecords(i: u32, at: u32): u32 {
  let to: usize = at;
  let n: u32 = 0;
  for (let r = <usize>busyAt(i).segmentFirst; r != 0; r = treapNext(r)) {
    to = put(to, segmentAt(r).seq);
    to = put(to, segmentAt(r).length);
    to = put(to, segmentAt(r).flags);
    n++;
  }
  return n;
}

export function testRelease(i: u32): u32 {
  segmentsRelease(busyAt(i));
  return pool(PoolId.Segment).used;
}

export function testRtt(i: u32, us: u32): void {
  rttSample(tcbAt(i), us);
}

export function testHandshake(i: u32, synLost: bool): void {
  rttAfterHandshake(tcbAt(i), synLost);
  congestionInit(tcbAt(i), synLost);
}

export function testValidate(i: u32, limited: bool): void {
  cwndValidate(tcbAt(i), busyAt(i), limited, false);
}

export function testIdle(i: u32, ms: u32): void {
  congestionOnIdleRestart(tcbAt(i), busyAt(i), ms);
}

export function testUndo(i: u32): void {
  congestionOnUndo(tcbAt(i), busyAt(i));
}

/** TCP_CONGESTION; `id` of abi.ts's Congestion. */
export function testCongestion(i: u32, id: u32): void {
  congestionSet(tcbAt(i), id);
}

export function testCubeRoot(high: u32, low: u32): u32 {
  return cubeRoot((<u64>high << 32) | <u64>low);
}

export function testAppLimited(i: u32): void {
  rateAppLimited(tcbAt(i), busyAt(i), 0);
}

/** Verdict for a connection that has sent again `retries` times; RESULT: timer, worth in ms. */
export function testVerdict(i: u32, retries: u32, orphan: bool, userMs: u32, worth: u32): u32 {
  const tcb = tcbAt(i);
  tcb.sndWnd = 65535; // a window that was closed has a verdict of its own
  tcb.retries = <u8>retries;
  tcb.backoff = <u8>retries;
  tcb.flags = orphan ? tcb.flags | TF_ORPHAN : tcb.flags & ~TF_ORPHAN;
  changetype<Extra>(<usize>tcb.extra).userTimeoutMs = userMs;
  writeU32(RESULT_AT, retransmitTimerUs(tcb));
  writeU32(RESULT_AT + 4, <u32>retriesWorthMs(worth));
  return retransmitVerdict(tcb);
}
