/**
 * Is cwnd what limits us? A window that the application never fills has not been tried by the
 * network and must not grow. RFC 7661 §4, in Linux's form (tcp_cwnd_validate). Called by output.ts
 * when it stops sending, and by the controllers. Works on cwnd, ssthresh and the cwndUsed fields.
 */
import { Config } from "../../abi";
import { config } from "../../config";
import { seqGe } from "../../core/seq";
import { system } from "../../memory";
import { Busy, CaState, RF_CWND_LIMITED } from "../busy";
import { Tcb } from "../records";
import { rtoUs } from "../rtt";
import { congestionSetsCwnd, initialWindow, ssthreshKept } from "./controller";
import { inSlowStart } from "./slow-start";

/**
 * Output stopped. `limited`: data waits, and sendQuota (or waiting for enough of it) was the
 * reason; `excused`: the writer had no more room, or pacing holds data back, so that the flight
 * shows no limit of the application's. Remembers the fullest flight of about one round trip.
 */
//= rfc7661 4.2
export function cwndValidate(tcb: Tcb, busy: Busy, limited: bool, excused: bool): void {
  const flight = tcb.sndNxt - tcb.sndUna;
  const was = (busy.recoveryFlags & RF_CWND_LIMITED) != 0;
  const over = seqGe(tcb.sndUna, busy.cwndUsedSeq);
  if (over || limited || (!was && flight > busy.cwndUsedBytes)) {
    busy.recoveryFlags &= ~RF_CWND_LIMITED;
    if (limited) busy.recoveryFlags |= RF_CWND_LIMITED;
    busy.cwndUsedBytes = flight;
    busy.cwndUsedSeq = tcb.sndNxt;
  }
  const now = system().now32;
  if (cwndIsLimiting(tcb, busy)) {
    busy.cwndUsedAtUs = now;
    return;
  }
  const unused = now - busy.cwndUsedAtUs;
  if (unused < rtoUs(tcb) || config(Config.tcp_slow_start_after_idle) == 0) return;
  busy.cwndUsedAtUs = now;
  if (busy.caState == CaState.Open && !excused && !congestionSetsCwnd(tcb)) decay(tcb, busy);
}

/** Unused for an RTO: half-way down to what was used (RFC 2861 §3.2). */
function decay(tcb: Tcb, busy: Busy): void {
  const used = max(busy.cwndUsedBytes, initialWindow(tcb));
  if (used >= tcb.cwnd) return;
  tcb.ssthresh = ssthreshKept(tcb);
  tcb.cwnd = (tcb.cwnd + used) >> 1;
}

/** In slow start a flight of half a window is enough: ACKs double it before it is full (Linux). */
export function cwndIsLimiting(tcb: Tcb, busy: Busy): bool {
  if (inSlowStart(tcb)) return tcb.cwnd >> 1 < busy.cwndUsedBytes;
  return (busy.recoveryFlags & RF_CWND_LIMITED) != 0;
}
