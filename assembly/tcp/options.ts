/**
 * What the options of a SYN decide, and the segment sizes that follow. RFC 9293 §3.7.1 (MSS),
 * RFC 7323 §2 (window scale), RFC 2018 §2 (SACK permitted). Called by the three inputs of a SYN and
 * by path MTU changes; wire/tcp-options.ts reads and writes the bytes.
 */
import { Config } from "../abi";
import { config } from "../config";
import { ipMtu } from "../ip/output";
import { MAPPED_WORD } from "../ip/packet";
import { system } from "../memory";
import {
  OPT_MSS, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, TcpOptions,
} from "../wire/tcp-options";
import { Endpoint, TF_ECN_OK, TF_IPV6, TF_SACK_OK, TF_TS_OK, TF_WSCALE_OK, Tcb } from "./records";
import { scaleFor } from "./window";

// @ts-ignore: decorator
@inline
export function isIpv6(e: Endpoint): bool {
  return e.remote2 != MAPPED_WORD || e.remote1 != 0 || e.remote0 != 0;
}

/** RFC 791: of a packet of 68 bytes with the longest header this much is payload. */
const MSS_LEAST: u32 = 8;

/** IP and fixed TCP header. */
// @ts-ignore: decorator
@inline
export function headerBytes(isV6: bool): u32 {
  return isV6 ? 60 : 40;
}

//= rfc9293 MUST-67, SHLD-6
/** What our SYNs announce: the largest payload the link lets us receive. */
export function advertisedMss(localAddress: u32, isV6: bool, maxSegment: u32): u32 {
  const mss = min<u32>(ipMtu(localAddress) - headerBytes(isV6), 65535);
  return maxSegment != 0 ? min(mss, maxSegment) : mss;
}

//= rfc9293 MUST-15
export function peerMssOf(o: TcpOptions, isV6: bool): u32 {
  if ((o.present & OPT_MSS) == 0) return isV6 ? 1220 : 536;
  return max<u32>(o.mss, config(Config.tcp_min_snd_mss));
}

/** The shift that our SYNs offer. */
export function offeredScale(): u32 {
  return scaleFor(config(Config.tcp_rmem_max));
}

/** Of what the peer offers (options of its SYN), what both sides use; TF_* bits. */
export function negotiated(o: TcpOptions, offered: u32): u32 {
  let flags: u32 = 0;
  if (o.present & OPT_SACK_PERMITTED && offered & TF_SACK_OK) flags |= TF_SACK_OK;
  if (o.present & OPT_TIMESTAMPS && offered & TF_TS_OK) flags |= TF_TS_OK;
  if (o.present & OPT_WSCALE && offered & TF_WSCALE_OK) flags |= TF_WSCALE_OK;
  return flags;
}

/** What this stack offers, by its sysctls. */
export function offeredFlags(): u32 {
  let flags: u32 = 0;
  if (config(Config.tcp_sack) != 0) flags |= TF_SACK_OK;
  if (config(Config.tcp_timestamps) != 0) flags |= TF_TS_OK;
  if (config(Config.tcp_window_scaling) != 0) flags |= TF_WSCALE_OK;
  if (config(Config.tcp_ecn) == 1) flags |= TF_ECN_OK;
  return flags;
}

/** Takes over a peer's SYN options: flags, both scales, timestamps, MSS. */
export function synOptionsApply(tcb: Tcb, o: TcpOptions, offered: u32): void {
  const flags = negotiated(o, offered);
  tcb.flags = (tcb.flags & ~(TF_SACK_OK | TF_TS_OK | TF_WSCALE_OK)) | flags;
  tcb.wscale = flags & TF_WSCALE_OK ? <u8>(<u32>o.wscale | (offeredScale() << 4)) : 0;
  if (flags & TF_TS_OK) {
    tcb.tsRecent = o.tsVal;
    tcb.tsRecentAge = system().nowS;
  }
  tcb.peerMss = <u16>peerMssOf(o, (tcb.flags & TF_IPV6) != 0);
  // TCP_MAXSEG, kept in rcvMss until now, bounds both directions as on Linux.
  if (tcb.rcvMss != 0 && tcb.peerMss > tcb.rcvMss) tcb.peerMss = tcb.rcvMss;
  mssUpdate(tcb);
}

//= rfc9293 MUST-16
/** Effective send MSS from the peer's, the path's and our own options. */
export function mssUpdate(tcb: Tcb): void {
  const headers = headerBytes((tcb.flags & TF_IPV6) != 0);
  const optionBytes: u32 = tcb.flags & TF_TS_OK ? 12 : 0;
  // An IPv6 link of less than 1280 bytes is none (RFC 8200 §5); it must not make a size below 0.
  const path = max<u32>(tcb.pmtu, headers + 12 + MSS_LEAST) - headers;
  const mss = min<u32>(tcb.peerMss, path) - optionBytes;
  tcb.sndMss = <u16>mss;
}

/** Established: until the peer's segments show their size (Linux: tcp_initialize_rcv_mss). */
export function rcvMssBegin(tcb: Tcb): void {
  if (tcb.rcvMss == 0) tcb.rcvMss = <u16>min<u32>(tcb.sndMss, 536);
}
