/**
 * SEGMENT ARRIVES in LISTEN: RFC 9293 §3.10.7.2. A SYN becomes a half-open record and a SYN-ACK.
 * Called by tcp/input.ts with the listener that demux found.
 */
import { Config, Counter, State, Trace } from "../abi";
import { config } from "../config";
import { count } from "../core/counters";
import { PoolId, poolIndex } from "../core/pool";
import { trace } from "../core/trace";
import { demuxInsert } from "./demux";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../wire/tcp";
import { TcpOptions } from "../wire/tcp-options";
import { Arrival } from "./arrival";
import { ecnAccepts } from "./ecn";
import { isnFor } from "./isn";
import { acceptQueueFull, synAckSend, synQueueFull, synRequestTake } from "./listen";
import { negotiated, offeredFlags, offeredScale, peerMssOf } from "./options";
import {
  Endpoint, Listener, SR_ECN, SR_SACK, SR_TIMESTAMPS, SR_WSCALE, SynRequest, TF_SACK_OK, TF_TS_OK,
  TF_WSCALE_OK,
} from "./records";
import { resetReply } from "./reset";

/** `isn` 0: draw one; otherwise what TIME-WAIT demands. */
export function inputListen(
  listener: Listener, key: Endpoint, a: Arrival, o: TcpOptions, isn: u32,
): void {
  if (a.flags & TCP_RST) return; // first: RST is ignored
  if (a.flags & TCP_ACK) {
    resetReply(key, a); // second: nothing was sent that it could acknowledge
    return;
  }
  if ((a.flags & TCP_SYN) == 0) return;
  if (a.flags & TCP_FIN) {
    count(Counter.AckornSynMalformed); // Linux: nobody opens and closes at once but scanners
    return;
  }
  if (synQueueFull(listener)) {
    count(Counter.TcpExtTCPReqQFullDrop);
    count(Counter.TcpExtListenDrops);
    return;
  }
  if (acceptQueueFull(listener)) {
    count(Counter.TcpExtListenOverflows);
    count(Counter.TcpExtListenDrops);
    return;
  }
  const record = synRequestTake(listener);
  if (record == 0) {
    count(Counter.TcpExtListenDrops);
    return;
  }
  const request = changetype<SynRequest>(record);
  fill(request, listener, key, a, o);
  request.iss = isn != 0 ? isn : isnFor(key);
  demuxInsert(changetype<Endpoint>(record));
  const ports = (<u32>key.localPort << 16) | <u32>key.remotePort;
  const index = poolIndex(PoolId.SynRequest, record);
  trace(Trace.StateChange, index, ports, State.LISTEN, State.SYN_RECV, 0);
  synAckSend(request);
}

function fill(
  request: SynRequest, listener: Listener, key: Endpoint, a: Arrival, o: TcpOptions,
): void {
  request.remote0 = key.remote0;
  request.remote1 = key.remote1;
  request.remote2 = key.remote2;
  request.remote3 = key.remote3;
  request.remotePort = key.remotePort;
  request.localPort = key.localPort;
  request.localAddress = key.localAddress;
  request.irs = a.seq;
  const flags = negotiated(o, offeredFlags());
  if (ecnAccepts(a)) request.flags |= SR_ECN;
  if (flags & TF_SACK_OK) request.flags |= SR_SACK;
  if (flags & TF_TS_OK) request.flags |= SR_TIMESTAMPS;
  request.tsRecent = flags & TF_TS_OK ? o.tsVal : 0;
  request.wscale = 0;
  if (flags & TF_WSCALE_OK) {
    request.flags |= SR_WSCALE;
    request.wscale = <u8>(<u32>o.wscale | (offeredScale() << 4));
  }
  let mss = peerMssOf(o, a.isV6 != 0);
  if (listener.maxSegment != 0) mss = min<u32>(mss, listener.maxSegment);
  request.peerMss = <u16>mss;
  const buffer = listener.rcvBuf != 0 ? listener.rcvBuf : config(Config.tcp_rmem_default);
  request.rcvWnd = <u16>min<u32>(buffer, 65535);
}
