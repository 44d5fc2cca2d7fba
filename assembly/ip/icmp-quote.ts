/**
 * ICMP errors in: the packet that they quote, parsed as totally as one that arrived, and steered to
 * what sent it. RFC 1122 §3.2.2, RFC 4443 §2.4 (d), RFC 5927. ip/icmp.ts and ip/icmpv6.ts call it.
 * Decides nothing: whether the quoted sequence number is believable, tcp/icmp.ts says.
 */
import { Errno, Trace } from "../abi";
import { readBe16, readBe32 } from "../core/bytes";
import { trace } from "../core/trace";
import { tcpIcmpError, tcpPathMtu } from "../tcp/icmp";
import { Endpoint } from "../tcp/records";
import { ICMP_ECHO, IcmpHeader } from "../wire/icmpv4";
import { ICMPV6_ECHO_REQUEST } from "../wire/icmpv6";
import {
  IPV4_HEADER_BYTES, IPV4_OFFSET, Ipv4Header, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP,
} from "../wire/ipv4";
import { Ipv6Header, ipv6Transport, NO_TRANSPORT } from "../wire/ipv6";
import { currentPacket, isMapped, MAPPED_WORD } from "./packet";
import { addressFind } from "./route";
import { quotedEndpoint } from "./state";

/** How bad an error is for a connection (RFC 1122 §4.2.3.9). */
export const enum IcmpKind {
  /** Tell the user, go on. */
  Soft = 0,
  /** The path says that it will never work; a connection not yet established ends. */
  Hard = 1,
}

/** Of the quoted transport header this much is certain (RFC 792). */
const QUOTED_L4_BYTES: u32 = 8;
const NOT_OURS: u32 = 0xffffffff;

/**
 * Hands the error about the packet quoted at `at` (`length` bytes there) to TCP or to the ping that
 * sent it. False: it cannot be parsed, is not ours, or belongs to nobody (UDP has no sockets yet).
 */
//= rfc9293 MUST-54
export function icmpQuoteSteer(
  isV6: bool, at: usize, length: u32, type: u32, code: u32, errno: Errno, kind: IcmpKind,
): bool {
  const quoted = isV6 ? quotedV6(at, length) : quotedV4(at, length);
  if (quoted == NOT_OURS) return false;
  const l4 = at + (quoted >> 8);
  const protocol = quoted & 255;
  if (protocol == PROTOCOL_TCP) {
    const e = quotedEndpoint();
    const remote = changetype<usize>(e) + offsetof<Endpoint>("remote0");
    const seq = readBe32(l4 + 4);
    tcpIcmpError(e.localAddress, remote, e.remotePort, e.localPort, seq, errno, kind);
    return true;
  }
  const header = changetype<IcmpHeader>(l4);
  const echo = isV6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO;
  if (protocol != (isV6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP) || header.type != echo) return false;
  const from = currentPacket();
  trace(Trace.EchoErrorFrom, from.src0, 0, from.src1, from.src2, from.src3);
  trace(Trace.EchoError, header.id, 0, header.sequence, type, code);
  return true;
}

/** A path's MTU, plausible by ip/path-mtu.ts, for the connection quoted. False as above. */
export function icmpQuoteMtu(isV6: bool, at: usize, length: u32, mtu: u32): bool {
  const quoted = isV6 ? quotedV6(at, length) : quotedV4(at, length);
  if (quoted == NOT_OURS || (quoted & 255) != PROTOCOL_TCP) return false;
  const e = quotedEndpoint();
  const remote = changetype<usize>(e) + offsetof<Endpoint>("remote0");
  const seq = readBe32(at + (quoted >> 8) + 4);
  tcpPathMtu(e.localAddress, remote, e.remotePort, e.localPort, seq, mtu);
  return true;
}

/** Fills quotedEndpoint; offset of the transport header << 8 | protocol, or NOT_OURS. */
function quotedV4(at: usize, length: u32): u32 {
  if (length < IPV4_HEADER_BYTES + QUOTED_L4_BYTES) return NOT_OURS;
  const header = changetype<Ipv4Header>(at);
  const headerBytes = header.headerBytes;
  if (header.version != 4 || headerBytes < IPV4_HEADER_BYTES) return NOT_OURS;
  if (headerBytes + QUOTED_L4_BYTES > length) return NOT_OURS;
  if ((header.fragment & IPV4_OFFSET) != 0) return NOT_OURS; // it quotes no transport header
  const local = addressFind(0, 0, MAPPED_WORD, header.source);
  if (local < 0) return NOT_OURS;
  const e = quotedEndpoint();
  e.remote0 = 0;
  e.remote1 = 0;
  e.remote2 = MAPPED_WORD;
  e.remote3 = header.destination;
  quotedPorts(local, at + headerBytes);
  return headerBytes << 8 | header.protocol;
}

function quotedV6(at: usize, length: u32): u32 {
  const transport = ipv6Transport(at, length);
  if (transport == NO_TRANSPORT) return NOT_OURS;
  const header = changetype<Ipv6Header>(at);
  if (header.version != 6 || length - (transport >> 8) < QUOTED_L4_BYTES) return NOT_OURS;
  if (isMapped(header.source0, header.source1, header.source2)) return NOT_OURS; // never sent
  const local = addressFind(header.source0, header.source1, header.source2, header.source3);
  if (local < 0) return NOT_OURS;
  const e = quotedEndpoint();
  e.remote0 = header.destination0;
  e.remote1 = header.destination1;
  e.remote2 = header.destination2;
  e.remote3 = header.destination3;
  quotedPorts(local, at + (transport >> 8));
  return transport;
}

/** We sent the quoted packet: its source is our side. */
function quotedPorts(local: u32, l4: usize): void {
  const e = quotedEndpoint();
  e.localAddress = <u16>local;
  e.localPort = <u16>readBe16(l4);
  e.remotePort = <u16>readBe16(l4 + 2);
}
