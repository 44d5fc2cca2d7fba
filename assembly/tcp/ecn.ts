/**
 * Explicit Congestion Notification: RFC 3168 §6.1, with Linux's meaning of tcp_ecn (0 off, 1 ask
 * and accept, 2 accept only) and tcp_ecn_fallback. What a SYN agrees on, the marks of what leaves,
 * and what marks that arrive ask of the receiver. Called by the inputs of a SYN, text.ts and
 * segment-build.ts; recovery.ts tells when a window was reduced. Chooses no window: how far down is
 * congestion/'s (RFC 8511). What must outlive the Busy record stands in the two bits of Tcb.tos
 * that are no user's; OF_ECE is in Busy: a second of silence ends the echo, as a CWR would.
 */
import { Config } from "../abi";
import { config } from "../config";
import { seqGe } from "../core/seq";
import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_SYN } from "../wire/tcp";
import { Arrival } from "./arrival";
import { Busy } from "./busy";
import { OF_ECE } from "./output";
import { TF_ECN_OK, TF_PINGPONG, TOS_CWR_OWED, TOS_ECN, TOS_ECN_SEEN, Tcb } from "./records";
import { busyOf } from "./tcb";
import { ackNow } from "./text";

/** Both flags: a SYN that asks. */
const ECN_SETUP: u32 = TCP_ECE | TCP_CWR;
/** Codepoints of the IP header. */
const ECT0: u32 = 2;
const CE: u32 = 3;
/** Where ecnOnSegment's answer holds the codepoint, above the TCP flags. */
export const ECN_CODEPOINT: u32 = 16;
/** Linux: so many ACKs leave at once when the network or the sender is in trouble. */
const QUICK_ACKS: u8 = 2;

// ---- The SYN

//= rfc3168 6.1.1
/** Shall a SYN for a listener, with these flags and this TOS byte, be answered with ECE? */
export function ecnAccepts(a: Arrival): bool {
  if ((a.flags & ECN_SETUP) != ECN_SETUP || config(Config.tcp_ecn) == 0) return false;
  // A plain SYN with a codepoint comes from a path that writes into these bits; one with more
  // flags is of a newer ECN, which may mark SYNs (RFC 8311 §4.3, as Linux).
  return (a.tos & TOS_ECN) == 0 || (a.flags & TCP_AE) != 0;
}

/** In SYN-SENT a SYN came, or with ACK the answer to ours: both ends must have said so. */
export function ecnAgree(tcb: Tcb, flags: u32): void {
  // Some answer with whatever flags they were sent: both is not yes.
  const yes: u32 = flags & TCP_ACK ? TCP_ECE : ECN_SETUP;
  if ((flags & ECN_SETUP) != yes) tcb.flags &= ~TF_ECN_OK;
}

//= rfc3168 6.1.1.1
/** Flags that our SYN (or in a simultaneous open SYN-ACK) bears besides. */
function onSyn(tcb: Tcb, flags: u32): u32 {
  if (flags & TCP_ACK) return TCP_ECE;
  // Some drop a SYN that asks; an answer to an earlier one still counts.
  const again = tcb.retries != 0 && config(Config.tcp_ecn_fallback) != 0;
  return again ? 0 : ECN_SETUP;
}

// ---- What leaves

//= rfc3168 6.1.2, 6.1.3, 6.1.4, 6.1.5, 6.1.6
//= rfc9293 SHLD-8
/**
 * TCP flags and, above ECN_CODEPOINT, the codepoint of a segment of a connection with TF_ECN_OK.
 * Only new data is ECN-capable, and bears a CWR that is owed: a lost mark on anything else nobody
 * would miss, and a stranger's forged old segments would be marked with our consent.
 */
export function ecnOnSegment(tcb: Tcb, seq: u32, length: u32, flags: u32): u32 {
  if (flags & TCP_SYN) return onSyn(tcb, flags);
  let bits: u32 = 0;
  if (tcb.busy != 0 && busyOf(tcb).outputFlags & OF_ECE) bits = TCP_ECE;
  if (length == 0 || !seqGe(seq, tcb.sndNxt)) return bits;
  if (tcb.tos & TOS_CWR_OWED) {
    tcb.tos &= ~TOS_CWR_OWED;
    bits |= TCP_CWR;
  }
  return bits | (ECT0 << ECN_CODEPOINT);
}

/** The window was reduced, for whatever reason: the next new data says so. */
export function ecnOweCwr(tcb: Tcb): void {
  if (tcb.flags & TF_ECN_OK) tcb.tos |= TOS_CWR_OWED;
}

/** It was put back (Linux's tcp_ecn_withdraw_cwr). */
export function ecnWithdrawCwr(tcb: Tcb): void {
  tcb.tos &= ~TOS_CWR_OWED;
}

// ---- What arrives

/** Text not all of which came before, on a connection with TF_ECN_OK. */
//= rfc3168 6.1.3
export function ecnReceive(tcb: Tcb, busy: Busy, a: Arrival): void {
  if (a.flags & TCP_CWR) {
    busy.outputFlags &= ~OF_ECE;
    ackNow(tcb); // its window may be a single segment now: it must not wait (Linux)
  }
  const codepoint = a.tos & TOS_ECN;
  const seen = (tcb.tos & TOS_ECN_SEEN) != 0;
  if (codepoint != 0) tcb.tos |= TOS_ECN_SEEN;
  if (codepoint == CE) {
    if (busy.outputFlags & OF_ECE) return;
    busy.outputFlags |= OF_ECE;
    quickAck(tcb, busy);
    ackNow(tcb);
  } else if (codepoint == 0 && seen) quickAck(tcb, busy); // sent again, most likely (Linux)
}

function quickAck(tcb: Tcb, busy: Busy): void {
  busy.quickAcks = max(busy.quickAcks, QUICK_ACKS);
  tcb.flags &= ~TF_PINGPONG;
}
