/**
 * ICMP errors that quote a segment of ours: RFC 9293 §3.9.2.2, RFC 5927 (a quoted sequence number
 * outside the flight is forged), path MTU by RFC 1191 and RFC 8201. Called by ip/icmp-quote.ts,
 * which parsed the quote.
 */
import { Config, Counter, Errno, EVENT_ERROR, EVENT_SOFT_ERROR, State } from "../abi";
import { config } from "../config";
import { copyBytes } from "../core/bytes";
import { count } from "../core/counters";
import { seqGe, seqLe } from "../core/seq";
import { IcmpKind } from "../ip/icmp-quote";
import { KEY_AT } from "./arrival";
import { demuxFind } from "./demux";
import { post } from "./events";
import { synRequestEnd } from "./listen";
import { headerBytes, mssUpdate } from "./options";
import {
  Endpoint, RecordKind, SynRequest, TF_IPV6, TF_NO_SOFT_ERRORS, TF_SACK_OK, Tcb,
} from "./records";
import { segmentsMarkAllLost } from "./segments";
import { busyOf, outputList, tcbClosed } from "./tcb";

/** The record of the quoted four-tuple, or 0; `remote` is the address of its four words. */
function quoted(local: u32, remote: usize, remotePort: u32, localPort: u32): usize {
  const key = changetype<Endpoint>(KEY_AT);
  copyBytes(KEY_AT + offsetof<Endpoint>("remote0"), remote, 16);
  key.remotePort = <u16>remotePort;
  key.localPort = <u16>localPort;
  key.localAddress = <u16>local;
  return remotePort == 0 ? 0 : demuxFind(key);
}

/** RFC 5927 §4.1: SND.UNA =< quoted SEG.SEQ < SND.NXT. */
function inFlightSeq(tcb: Tcb, seq: u32): bool {
  if (seqGe(seq, tcb.sndUna) && !seqGe(seq, tcb.sndNxt)) return true;
  count(Counter.TcpExtOutOfWindowIcmps);
  return false;
}

//= rfc9293 MUST-47
//= rfc9293 MUST-54
//= rfc9293 MUST-56
//= rfc9293 SHLD-25
//= rfc9293 SHLD-26
/**
 * Hard errors end what is not established; afterwards every error is soft (RFC 5927 §5.2, Linux).
 */
export function tcpIcmpError(
  local: u32, remote: usize, remotePort: u32, localPort: u32, seq: u32, errno: Errno,
  kind: IcmpKind,
): void {
  const record = quoted(local, remote, remotePort, localPort);
  if (record == 0) return;
  const recordKind = changetype<Endpoint>(record).kind;
  if (recordKind == RecordKind.SynRequest) {
    const request = changetype<SynRequest>(record);
    if (seq != request.iss) count(Counter.TcpExtOutOfWindowIcmps);
    else if (kind == IcmpKind.Hard) synRequestEnd(request);
    return;
  }
  if (recordKind != RecordKind.Connection) return;
  const tcb = changetype<Tcb>(record);
  if (!inFlightSeq(tcb, seq)) return;
  const opening = tcb.state == State.SYN_SENT || tcb.state == State.SYN_RECV;
  if (opening && kind == IcmpKind.Hard) {
    count(Counter.TcpAttemptFails);
    tcbClosed(tcb, errno, EVENT_ERROR);
    return;
  }
  tcb.error = <u8>errno; // what a later time-out will be called
  if ((tcb.flags & TF_NO_SOFT_ERRORS) == 0) post(tcb, EVENT_SOFT_ERROR);
}

//= rfc1191 6.3
//= rfc8201 4
/** A router could not forward: smaller segments from now on, and what was too big again. */
export function tcpPathMtu(
  local: u32, remote: usize, remotePort: u32, localPort: u32, seq: u32, mtu: u32,
): void {
  const record = quoted(local, remote, remotePort, localPort);
  if (record == 0 || changetype<Endpoint>(record).kind != RecordKind.Connection) return;
  const tcb = changetype<Tcb>(record);
  if (!inFlightSeq(tcb, seq) || config(Config.ip_no_pmtu_disc) != 0) return;
  const least = headerBytes((tcb.flags & TF_IPV6) != 0) + config(Config.tcp_min_snd_mss) + 12;
  const wanted = max(max(mtu, least), config(Config.min_pmtu));
  if (wanted >= <u32>tcb.pmtu) return;
  tcb.pmtu = <u16>wanted;
  if (seqLe(tcb.sndNxt, tcb.sndUna) || tcb.state == State.SYN_SENT) return;
  mssUpdate(tcb);
  if (tcb.busy == 0) return;
  // Linux's tcp_simple_retransmit: lost, but no sign of congestion.
  // Without SACK the marks are a guess from duplicate ACKs, of segments that are sent again now.
  segmentsMarkAllLost(tcb, busyOf(tcb), (tcb.flags & TF_SACK_OK) == 0);
  outputList(tcb);
}
