/**
 * SEGMENT ARRIVES in SYN-SENT: RFC 9293 §3.10.7.3, first to fifth, and Linux's PAWS check of the
 * echoed timestamp. Called by tcp/input.ts.
 */
import {
  Counter, Errno, EVENT_CONNECTED, EVENT_ERROR, EVENT_WRITABLE, State, TraceRetransmit,
} from "../abi";
import { count } from "../core/counters";
import { seqGt, seqLe } from "../core/seq";
import { system } from "../memory";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../wire/tcp";
import { OPT_TIMESTAMPS, TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { congestionInit } from "./congestion/controller";
import { ecnAgree } from "./ecn";
import { post } from "./events";
import { SYN_RTO_US } from "./listen";
import { rcvMssBegin, synOptionsApply } from "./options";
import { synSend } from "./output";
import { Endpoint, TF_TS_OK, Tcb } from "./records";
import { resetReply } from "./reset";
import { rttAfterHandshake, rttSample } from "./rtt";
import { busyOf, busyReceiveBegin, outputList, setState, tcbClosed } from "./tcb";
import { ackNow } from "./text";
import { timerStop, timersRefresh } from "./timers";
import { tsNow } from "./timestamps";

/**
 * True: the connection is established and the rest of the segment (text, FIN) is to be looked at.
 */
export function inputSynSent(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  const acked = (a.flags & TCP_ACK) != 0;
  if (acked && !acceptableAck(tcb, a, o)) {
    resetReply(changetype<Endpoint>(tcb), a); // first: an ACK of something never sent
    return false;
  }
  if (a.flags & TCP_RST) {
    // second: only one that acknowledges our SYN is believed
    if (acked) {
      count(Counter.TcpAttemptFails);
      tcbClosed(tcb, Errno.ECONNREFUSED, EVENT_ERROR);
    }
    return false;
  }
  if ((a.flags & TCP_SYN) == 0) return false; // fifth
  // fourth: the SYN
  synOptionsApply(tcb, o, tcb.flags);
  ecnAgree(tcb, a.flags);
  tcb.rcvNxt = a.seq + 1;
  tcb.rcvWup = tcb.rcvNxt;
  busyReceiveBegin(tcb);
  tcb.sndWl1 = a.seq;
  tcb.sndWnd = a.window; // a SYN's window is never scaled
  a.seq++;
  a.flags &= ~TCP_SYN;
  congestionInit(tcb, tcb.retries != 0);
  if (!acked) {
    simultaneous(tcb);
    return false;
  }
  established(tcb, a, o);
  return true;
}

function acceptableAck(tcb: Tcb, a: Arrival, o: TcpOptions): bool {
  if (!seqGt(a.ack, tcb.sndUna) || !seqLe(a.ack, tcb.sndNxt)) return false;
  if ((tcb.flags & TF_TS_OK) == 0 || (o.present & OPT_TIMESTAMPS) == 0 || o.tsEcr == 0) return true;
  // RFC 7323 §5.2: the echo must be of a timestamp that one of our SYNs carried.
  if (i32(tsNow(tcb.tsOffset) - o.tsEcr) >= 0) return true;
  count(Counter.TcpExtPAWSActive);
  return false;
}

function established(tcb: Tcb, a: Arrival, o: TcpOptions): void {
  const repeated = tcb.retries != 0;
  if (!repeated) {
    // The first SYN left one initial RTO before the deadline.
    const sentTick = tcb.timerDeadline - <u32>(SYN_RTO_US >> 6);
    rttSample(tcb, max<u32>((system().nowTick - sentTick) << 6, 64));
  } else if (tcb.flags & TF_TS_OK && o.tsEcr != 0) {
    rttSample(tcb, max<u32>((tsNow(tcb.tsOffset) - o.tsEcr) * 1000, 1000));
  }
  tcb.sndUna = a.ack;
  tcb.sndWl2 = a.ack;
  rttAfterHandshake(tcb, repeated);
  tcb.retries = 0;
  tcb.backoff = 0;
  tcb.error = 0;
  if (tcb.busy != 0) busyOf(tcb).maxSndWnd = tcb.sndWnd;
  rcvMssBegin(tcb);
  timerStop(tcb);
  setState(tcb, State.ESTABLISHED);
  post(tcb, EVENT_CONNECTED | EVENT_WRITABLE);
  ackNow(tcb);
  timersRefresh(tcb);
  outputList(tcb);
}

//= rfc9293 MUST-10
/** Both ends sent a SYN: SYN-RECEIVED, our SYN again with an ACK. */
function simultaneous(tcb: Tcb): void {
  setState(tcb, State.SYN_RECV);
  tcb.retries = 0;
  tcb.backoff = 0;
  synSend(tcb, TraceRetransmit.Syn);
}
