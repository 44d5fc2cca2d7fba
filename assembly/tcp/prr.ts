/**
 * Proportional rate reduction: how fast cwnd comes down to ssthresh while losses are repaired, in
 * step with what the ACKs say was delivered, so that sending neither stops nor bursts. RFC 9937 §6.
 * Called by recovery.ts in CaState.Recovery and Cwr. Works on cwnd and the prr fields alone; the
 * controller has already chosen ssthresh.
 */
import { AF_ADVANCED, AckSample } from "./ack-sample";
import { Busy } from "./busy";
import { congestionSetsCwnd } from "./congestion/controller";
import { Tcb } from "./records";
import { pipe, splitUnit } from "./segments";

/** The reduction begins with this ACK: prr_delivered, prr_out and RecoverFS. */
//= rfc9937 6
export function prrBegin(tcb: Tcb, busy: Busy, sample: AckSample): void {
  busy.prrDelivered = 0;
  busy.prrOut = 0;
  // The flight that is still to be delivered, with what this very ACK delivers.
  const flight = tcb.sndNxt - tcb.sndUna - busy.sackedBytes + sample.deliveredBytes;
  busy.prrRecoverFs = max<u32>(flight, 1);
}

/** Sets cwnd to what may be in flight after this ACK. */
export function prrOnAck(tcb: Tcb, busy: Busy, sample: AckSample): void {
  if (sample.deliveredBytes != 0) prrFollow(tcb, busy, sample);
}

/**
 * Sets cwnd as an ACK that delivers `sample.deliveredBytes` lets it be; also when a timer found
 * losses, so that what they leave of the flight is not refilled at once.
 */
export function prrFollow(tcb: Tcb, busy: Busy, sample: AckSample): void {
  const delivered = sample.deliveredBytes;
  const mss = splitUnit(tcb);
  const inFlight = pipe(tcb, busy);
  const ssthresh = tcb.ssthresh;
  busy.prrDelivered += delivered;
  let send: u32;
  if (inFlight > ssthresh) {
    const whole = <u64>busy.prrDelivered * ssthresh + busy.prrRecoverFs - 1;
    const earned = <u32>(whole / busy.prrRecoverFs);
    send = earned > busy.prrOut ? earned - busy.prrOut : 0;
  } else {
    // Losses, or the application, took the flight below ssthresh: as much as was delivered, and
    // in slow start's steps only while the ACK shows progress and no new loss (SafeACK).
    const kept = busy.prrDelivered > busy.prrOut ? busy.prrDelivered - busy.prrOut : 0;
    send = max(kept, delivered);
    if (sample.flags & AF_ADVANCED && sample.lostBytes == 0) send += mss;
    send = min(ssthresh - inFlight, send);
  }
  // The fast retransmission goes out whatever the arithmetic says.
  if (busy.prrOut == 0 || inFlight == 0) send = max(send, mss);
  tcb.cwnd = inFlight + send;
}

/** Repaired: cwnd is what the controller wanted it to be; one that sets cwnd itself goes on. */
export function prrEnd(tcb: Tcb): void {
  if (congestionSetsCwnd(tcb)) return;
  tcb.cwnd = max(tcb.ssthresh, splitUnit(tcb));
}
