/**
 * Undo: the reduction for a loss that was none is taken back. Told by D-SACKs for all that was sent
 * again (RFC 3708) or by the echo of a timestamp from before that (Eifel, RFC 3522); the response
 * is RFC 4015's as Linux has it. Called by recovery.ts, which moves between the states by what is
 * answered here. Puts windows and marks back; changes no state.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { system } from "../memory";
import { AF_ECHO, AckSample } from "./ack-sample";
import { Busy, CaState, stateOf } from "./busy";
import { congestionOnUndo, currentSsthresh } from "./congestion/controller";
import { ecnWithdrawCwr } from "./ecn";
import { Tcb } from "./records";
import { reorderingRaise } from "./sack";
import { segmentsIn, segmentsUnmarkLost } from "./segments";

/** Remembers what there is to go back to. The caller reduces afterwards. */
export function undoBegin(tcb: Tcb, busy: Busy): void {
  // Echoes of what an episode before this one sent again must not pass for originals of this one.
  if (stateOf(busy) < CaState.Recovery && busy.retransBytes == 0) busy.retransStampMs = 0;
  busy.undoMarker = max<u32>(tcb.sndUna, 1); // 0 says that there is nothing to undo
  // -1: nothing sent again yet, so that no duplicate can clear it before something is.
  busy.undoRetrans = busy.retransBytes == 0 ? 0xffffffff : segmentsIn(tcb, busy.retransBytes);
  busy.priorSsthresh = currentSsthresh(tcb, busy);
  busy.priorCwnd = tcb.cwnd;
}

/** Something is being sent again: the first time of an episode is kept. */
export function undoStamp(busy: Busy): void {
  const first = stateOf(busy) < CaState.Recovery && busy.retransBytes == 0;
  if (first || busy.retransStampMs == 0) busy.retransStampMs = max<u32>(system().nowMs, 1);
}

/** What was reduced stays so: the network itself asked for it (ECN). */
export function undoForget(busy: Busy): void {
  busy.undoMarker = 0;
  busy.undoRetrans = 0;
}

// @ts-ignore: decorator
@inline
export function undoPossible(busy: Busy): bool {
  return busy.undoMarker != 0;
}

//= rfc3522 3.2
/** This ACK answers something sent before the first retransmission, or there was none. */
function originalArrived(busy: Busy, sample: AckSample): bool {
  if (busy.retransStampMs == 0) return true;
  return (sample.flags & AF_ECHO) != 0 && <i32>(sample.echoMs - busy.retransStampMs) < 0;
}

/** The ACK advanced: was the whole of it needless? */
export function mayUndo(busy: Busy, sample: AckSample): bool {
  if (!undoPossible(busy)) return false;
  return busy.undoRetrans == 0 || originalArrived(busy, sample);
}

//= rfc4015 3
/** Back to the windows of before; `unmark`: what is marked lost is in flight again. */
export function undoReduction(tcb: Tcb, busy: Busy, unmark: bool): void {
  if (unmark) segmentsUnmarkLost(busy);
  congestionOnUndo(tcb, busy);
  ecnWithdrawCwr(tcb);
  undoForget(busy);
}

//= rfc3708 3
/** All that was sent again is reported as a duplicate. */
export function undoByDsack(tcb: Tcb, busy: Busy): bool {
  if (!undoPossible(busy) || busy.undoRetrans != 0) return false;
  undoReduction(tcb, busy, false);
  count(Counter.TcpExtTCPDSACKUndo);
  return true;
}

/**
 * In Recovery, the ACK advanced in part. False: what was sent again filled the hole. True: the
 * original did, so the network reorders; and when no retransmission is out any more, undone.
 */
export function undoPartial(tcb: Tcb, busy: Busy, sample: AckSample): bool {
  if (!undoPossible(busy) || !originalArrived(busy, sample)) return false;
  reorderingRaise(tcb, busy, busy.highSack - sample.priorUna);
  count(Counter.TcpExtTCPTSReorder);
  if (busy.retransBytes != 0) return true;
  busy.retransStampMs = 0;
  undoReduction(tcb, busy, true);
  count(Counter.TcpExtTCPPartialUndo);
  return true;
}
