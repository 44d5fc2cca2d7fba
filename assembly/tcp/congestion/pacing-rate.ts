/**
 * The pacing rate: what a controller asks for, or a share of cwnd per round trip where it asks for
 * none, never more than SO_MAX_PACING_RATE. Linux's tcp_update_pacing_rate. Called by the
 * controllers and info.ts. Works on pacingRate alone; tcp/pacing.ts keeps to it.
 */
import { Config, Congestion } from "../../abi";
import { config } from "../../config";
import { Busy } from "../busy";
import { Tcb } from "../records";
import { splitUnit } from "../segments";

/** As fast as the field can tell, 34 Gbit/s and more: no pacing is worth its wake-ups there. */
export const RATE_MAX: u32 = 0xffffffff;
/** Largest burst: one super-segment. */
const QUANTUM_MAX: u32 = 65536;

/** Sets the rate, bytes per second, at least 1: 0 would switch pacing off. */
export function paceAt(busy: Busy, rate: u64): void {
  const most: u64 = busy.maxPacingRate != 0 ? busy.maxPacingRate : RATE_MAX;
  busy.pacingRate = <u32>max<u64>(min(rate, most), 1);
}

/** cwnd per smoothed RTT times tcp_pacing_ss_ratio or tcp_pacing_ca_ratio per cent. */
export function windowRate(tcb: Tcb): u64 {
  // Far from ssthresh slow start doubles in a round trip: so must the rate.
  const starting = tcb.cwnd < tcb.ssthresh >> 1;
  const ratio = config(starting ? Config.tcp_pacing_ss_ratio : Config.tcp_pacing_ca_ratio);
  const rate = <u64>tcb.cwnd * ratio;
  return tcb.srtt8Us == 0 ? RATE_MAX : rate * 80_000 / tcb.srtt8Us;
}

/** The burst that leaves at once: 1 ms of the rate in whole segments, two at least. */
export function sendQuantum(tcb: Tcb, busy: Busy): u32 {
  const mss = splitUnit(tcb);
  const ms = min(busy.pacingRate / 1000, QUANTUM_MAX);
  return max(ms - ms % mss, 2 * mss);
}

/** For controllers that ask for no pacing: only where the user or the board does. */
export function paceByWindow(tcb: Tcb, busy: Busy): void {
  if (busy.maxPacingRate != 0 || config(Config.tcp_pacing) != 0) paceAt(busy, windowRate(tcb));
  else busy.pacingRate = 0;
}

/** SO_MAX_PACING_RATE; 0: none. A controller that asks for a rate has it back with its next ACK. */
export function paceLimit(tcb: Tcb, busy: Busy, limit: u32): void {
  busy.maxPacingRate = limit;
  if (tcb.congestion != Congestion.bbr) paceByWindow(tcb, busy);
  else if (busy.pacingRate != 0) paceAt(busy, busy.pacingRate);
}
