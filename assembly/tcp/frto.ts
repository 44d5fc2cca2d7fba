/**
 * F-RTO: after a time-out the first ACKs tell whether anything was lost, before more is sent
 * again. RFC 5682 §3.1 (with SACK) and §2.1, as Linux does both: one retransmission, then new data,
 * and an ACK for something never sent again makes the time-out spurious. Called by recovery.ts and
 * output.ts (new data first). Answers a verdict; undo.ts takes back.
 */
import { Config } from "../abi";
import { config } from "../config";
import { seqGt } from "../core/seq";
import {
  AF_ADVANCED, AF_DUPLICATE, AF_NEW_SACK, AF_ORIGINAL, AF_RETRANS_ACKED, AckSample,
} from "./ack-sample";
import { Busy, sendStream } from "./busy";
import { TF_FIN_SENT, TF_SACK_OK, Tcb } from "./records";

/** Busy.frtoState. */
export const enum FrtoState {
  Off = 0,
  /** Waiting for what the ACKs tell. */
  On = 1,
  /** As On; until the next ACK new data leaves instead of what is marked lost (step 2b). */
  NewData = 2,
}

export const enum FrtoVerdict {
  /** Nothing known: repair as usual. */
  Unknown = 0,
  /** New data first. */
  NewData = 1,
  /** The time-out was one too many. */
  Spurious = 2,
}

//= rfc5682 3.1
/** Step 1, at a time-out; `fresh`: no recovery was going on, or this is not the first one. */
export function frtoBegin(busy: Busy, fresh: bool): void {
  const on = fresh && config(Config.tcp_frto) != 0;
  busy.frtoState = <u8>(on ? FrtoState.On : FrtoState.Off);
}

//= rfc5682 3.1
/** Steps 2 and 3, in CaState.Loss; `recovered`: all of before the time-out is acknowledged. */
export function frtoOnAck(
  tcb: Tcb, busy: Busy, sample: AckSample, recovered: bool,
): FrtoVerdict {
  if (busy.frtoState == FrtoState.Off) return FrtoVerdict.Unknown;
  busy.frtoState = <u8>FrtoState.On;
  const flags = sample.flags;
  // Without SACK a retransmission that fills a hole takes along what the peer had kept behind it.
  const hidden = (tcb.flags & TF_SACK_OK) == 0 && (flags & AF_RETRANS_ACKED) != 0;
  if (flags & AF_ORIGINAL && !hidden) return FrtoVerdict.Spurious;
  if (seqGt(tcb.sndNxt, busy.recoveryPoint)) {
    // 3a: new data arrived beyond a hole, so the hole is one.
    if (flags & (AF_NEW_SACK | AF_DUPLICATE)) busy.frtoState = <u8>FrtoState.Off;
  } else if (flags & AF_ADVANCED && !recovered) {
    busy.frtoState = <u8>(mayTryNew(tcb, busy) ? FrtoState.NewData : FrtoState.Off);
    if (busy.frtoState == FrtoState.NewData) return FrtoVerdict.NewData;
  }
  return FrtoVerdict.Unknown;
}

function mayTryNew(tcb: Tcb, busy: Busy): bool {
  const waits = (tcb.flags & TF_FIN_SENT) == 0 && sendStream(busy).tail != tcb.sndNxt;
  return waits && seqGt(tcb.sndUna + tcb.sndWnd, tcb.sndNxt);
}
