/**
 * Leaving slow start before the queue overflows. HyStart++ (RFC 9406): a rising RTT slows the
 * growth to a quarter, five rounds of it end slow start, a falling one takes it back. Classic
 * HyStart (Ha and Rhee, as Linux's tcp_cubic.c): a rising RTT or a long train of ACKs ends it at
 * once. Sysctl tcp_cubic_hystart chooses. Called by cubic.ts; works on ssthresh and its own fields.
 */
import { Config } from "../../abi";
import { config } from "../../config";
import { seqGt } from "../../core/seq";
import { system } from "../../memory";
import { AckSample, RTT_NONE } from "../ack-sample";
import { Busy } from "../busy";
import { Tcb } from "../records";
import { minRttUs } from "../rtt";
import { splitUnit } from "../segments";
import { Cubic } from "./cubic";

/** tcp_cubic_hystart. */
export const enum HystartKind {
  Off = 0,
  Classic = 1,
  PlusPlus = 2,
}

/** RFC 9406 §4.3; Linux's HYSTART_DELAY_MIN and _MAX are the same. */
const RTT_THRESH_MIN_US: u32 = 4000;
const RTT_THRESH_MAX_US: u32 = 16000;
const RTT_SAMPLES: u8 = 8;
const CSS_GROWTH_SHIFT: u32 = 2;
const CSS_ROUNDS: u8 = 5;
/** Linux: windows below this many segments are not judged. */
const LOW_WINDOW: u32 = 16;
/** Linux: ACKs closer than this belong to one train. */
const ACK_DELTA_US: u32 = 2000;

const HF_ROUND: u8 = 1;
const HF_CSS: u8 = 2;

/** In Busy behind Cubic. */
@unmanaged
class Hystart {
  /** The round ends when this is acknowledged. */
  roundEnd: u32;
  roundAtUs: u32;
  /** Lowest RTT of this round and of the last, µs. */
  roundMinUs: u32;
  lastMinUs: u32;
  /** roundMinUs when conservative slow start began. */
  baselineUs: u32;
  /** Last ACK of the train. */
  ackAtUs: u32;
  samples: u8;
  cssRounds: u8;
  /** HF_* bits. */
  flags: u8;
}

// @ts-ignore: decorator
@inline
function hystartOf(busy: Busy): Hystart {
  return changetype<Hystart>(changetype<usize>(busy) + offsetof<Busy>("cc0") + offsetof<Cubic>());
}

/** Forgets rounds and RTTs: slow start begins again. */
export function hystartRestart(busy: Busy): void {
  const h = hystartOf(busy);
  h.flags = 0;
  h.samples = 0;
}

/** An ACK in slow start: the bytes of `bytes` that cwnd may grow by. May set ssthresh to cwnd. */
//= rfc9406 4.2
export function hystart(tcb: Tcb, busy: Busy, sample: AckSample, bytes: u32): u32 {
  const kind = config(Config.tcp_cubic_hystart);
  if (kind == HystartKind.Off) return bytes;
  const h = hystartOf(busy);
  if ((h.flags & HF_ROUND) == 0 || seqGt(tcb.sndUna, h.roundEnd)) roundBegin(tcb, h);
  if (kind == HystartKind.Classic) classic(tcb, busy, h, sample);
  else plusPlus(h, sample);
  return h.flags & HF_CSS ? bytes >> CSS_GROWTH_SHIFT : bytes;
}

function roundBegin(tcb: Tcb, h: Hystart): void {
  const first = (h.flags & HF_ROUND) == 0;
  h.lastMinUs = first ? RTT_NONE : h.roundMinUs;
  h.roundMinUs = RTT_NONE;
  h.samples = 0;
  h.roundEnd = tcb.sndNxt;
  h.roundAtUs = system().now32;
  h.ackAtUs = system().now32;
  h.flags |= HF_ROUND;
  if ((h.flags & HF_CSS) == 0) return;
  h.cssRounds++;
  if (h.cssRounds >= CSS_ROUNDS) tcb.ssthresh = tcb.cwnd;
}

// @ts-ignore: decorator
@inline
function threshold(rttUs: u32): u32 {
  return min(max(rttUs >> 3, RTT_THRESH_MIN_US), RTT_THRESH_MAX_US);
}

//= rfc9406 4.2
function plusPlus(h: Hystart, sample: AckSample): void {
  const rtt = sample.recentRttUs;
  if (rtt == RTT_NONE) return;
  h.roundMinUs = min(h.roundMinUs, rtt);
  if (h.samples < 255) h.samples++;
  if (h.samples < RTT_SAMPLES) return;
  if (h.flags & HF_CSS) {
    // It was jitter. Judged from the next round on: in the same one the minimum falls by chance.
    if (h.cssRounds != 0 && h.roundMinUs < h.baselineUs) h.flags &= ~HF_CSS;
  } else if (h.lastMinUs != RTT_NONE && h.roundMinUs >= h.lastMinUs + threshold(h.lastMinUs)) {
    h.baselineUs = h.roundMinUs;
    h.cssRounds = 0;
    h.flags |= HF_CSS;
  }
}

function classic(tcb: Tcb, busy: Busy, h: Hystart, sample: AckSample): void {
  if (tcb.cwnd < LOW_WINDOW * splitUnit(tcb)) return;
  const now = system().now32;
  const least = minRttUs(busy);
  let found = false;
  if (now - h.ackAtUs <= ACK_DELTA_US) {
    h.ackAtUs = now;
    // Unpaced, a train of half the RTT means that the pipe is full; paced, one as long as the RTT.
    const length = busy.pacingRate != 0 ? least : least >> 1;
    found = now - h.roundAtUs > length;
  }
  const rtt = sample.recentRttUs;
  if (rtt != RTT_NONE && h.samples < RTT_SAMPLES) {
    h.roundMinUs = min(h.roundMinUs, rtt);
    h.samples++;
  } else if (h.samples >= RTT_SAMPLES) {
    found = found || h.roundMinUs > least + threshold(least);
  }
  if (found) tcb.ssthresh = tcb.cwnd;
}

const ROOM: usize = offsetof<Busy>() - offsetof<Busy>("cc0");
if (offsetof<Cubic>() + offsetof<Hystart>() > ROOM) ERROR("Hystart fits behind Cubic");
