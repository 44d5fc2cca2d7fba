/**
 * SEGMENT ARRIVES for a half-open record (SYN-RECEIVED by a passive open): RFC 9293 §3.10.7.4 as
 * far as it concerns one, in Linux's shape (tcp_check_req). What a full record in SYN-RECEIVED gets
 * (simultaneous open) is in input.ts. Called by tcp/input.ts.
 */
import { Config, Counter, EVENT_CONNECTED } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { seqGt } from "../core/seq";
import { system } from "../memory";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { OPT_TIMESTAMPS, TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import {
  acceptPush, acceptQueueFull, halfOpenAck, listenerOfRequest, synAckSend, synAckTimeoutUs,
  synRequestEnd, synRequestPromote,
} from "./listen";
import { Endpoint, SR_ACKED, SR_REPEATED, SR_TIMESTAMPS, SynRequest, Tcb } from "./records";
import { resetReply } from "./reset";
import { rttAfterHandshake, rttSample } from "./rtt";
import { pawsOld, tsNow } from "./timestamps";
import { sndScale } from "./window";

/** The new connection's record, for the rest of the segment; 0: the segment is dealt with. */
export function inputSynReceived(
  request: SynRequest, key: Endpoint, a: Arrival, o: TcpOptions,
): usize {
  const hasTs = (request.flags & SR_TIMESTAMPS) != 0 && (o.present & OPT_TIMESTAMPS) != 0;
  const old = hasTs && pawsOld(request.tsRecent, system().nowS, o.tsVal);
  const repeated = a.seq == request.irs && (a.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
  if (repeated && !old) {
    request.flags |= SR_REPEATED;
    count(Counter.TcpExtTCPSynRetrans);
    count(Counter.TcpRetransSegs);
    synAckSend(request); // the SYN-ACK was lost
    return 0;
  }
  if (old || !inWindow(request, a)) {
    if ((a.flags & TCP_RST) == 0) halfOpenAck(request);
    if (old) count(Counter.TcpExtPAWSEstab);
    return 0;
  }
  if (a.flags & TCP_RST) {
    // RFC 5961 §3.2: Linux believes one anywhere in the window here, we only the exact one.
    if (a.seq == request.irs + 1) {
      count(Counter.TcpAttemptFails);
      synRequestEnd(request);
    }
    return 0;
  }
  if (a.flags & TCP_SYN) {
    halfOpenAck(request); // RFC 5961 §4.2; Linux resets, which a stranger could provoke
    return 0;
  }
  if ((a.flags & TCP_ACK) == 0) return 0;
  if (a.ack != request.iss + 1) {
    resetReply(key, a);
    return 0;
  }
  return complete(request, a, o, hasTs);
}

function inWindow(request: SynRequest, a: Arrival): bool {
  const next = request.irs + 1;
  const length = a.length + (a.flags & TCP_FIN ? 1 : 0);
  if (a.seq == next) return true;
  if (seqGt(next, a.seq)) return seqGt(a.seq + length, next);
  return !seqGt(a.seq, next + request.rcvWnd);
}

/** The third segment of the handshake. */
function complete(request: SynRequest, a: Arrival, o: TcpOptions, hasTs: bool): usize {
  const listener = listenerOfRequest(request);
  if (acceptQueueFull(listener)) {
    count(Counter.TcpExtListenOverflows);
    count(Counter.TcpExtListenDrops);
    request.flags |= SR_ACKED;
    if (config(Config.tcp_abort_on_overflow) != 0) {
      resetReply(changetype<Endpoint>(request), a);
      synRequestEnd(request);
    }
    return 0;
  }
  // Karn: with two SYN-ACKs out nobody knows which one this acknowledges, but timestamps do.
  const sampled = request.retransmits == 0 && (request.flags & SR_REPEATED) == 0;
  const again = request.retransmits != 0;
  const sentTick = request.wheelDeadline - <u32>(synAckTimeoutUs(request) >> 6);
  const record = synRequestPromote(request);
  if (record == 0) {
    count(Counter.TcpExtListenDrops);
    return 0;
  }
  const tcb = changetype<Tcb>(record);
  if (sampled) rttSample(tcb, max<u32>((system().nowTick - sentTick) << 6, 64));
  else if (hasTs && o.tsEcr != 0) {
    rttSample(tcb, max<u32>((tsNow(tcb.tsOffset) - o.tsEcr) * 1000, 1000));
  }
  rttAfterHandshake(tcb, again);
  if (hasTs) tcb.tsRecent = o.tsVal;
  tcb.sndWnd = a.window << sndScale(tcb);
  tcb.sndWl1 = a.seq;
  tcb.sndWl2 = a.ack;
  tcb.eventMask |= <u16>EVENT_CONNECTED;
  count(Counter.TcpPassiveOpens);
  acceptPush(listener, tcb);
  return record;
}
