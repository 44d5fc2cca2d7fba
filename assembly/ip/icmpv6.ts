/**
 * ICMPv6 in: RFC 4443, RFC 8201. ip/input.ts calls icmpv6Input for every ICMPv6 message; echoes go
 * to ip/echo.ts, errors through ip/icmp-quote.ts to what they are about, neighbour discovery and
 * listener queries to ip/nd.ts.
 */
import { Counter, Errno } from "../abi";
import { count } from "../core/counters";
import { ICMP_HEADER_BYTES, icmpCheck, IcmpHeader } from "../wire/icmpv4";
import {
  ICMPV6_ADM_PROHIBITED, ICMPV6_DEST_UNREACH, ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST,
  ICMPV6_NO_ROUTE, ICMPV6_PACKET_TOO_BIG, ICMPV6_PARAMETER_PROBLEM, ICMPV6_POLICY_FAIL,
  ICMPV6_PORT_UNREACH, ICMPV6_REJECT_ROUTE, ICMPV6_TIME_EXCEEDED, icmpv6IsError,
} from "../wire/icmpv6";
import { echoReplyInput, echoRequestInput } from "./echo";
import { IcmpKind, icmpQuoteMtu, icmpQuoteSteer } from "./icmp-quote";
import { isNd, ndInput } from "./nd";
import { Packet, packetChecksumRight, packetDrop } from "./packet";
import { pathMtuV6 } from "./path-mtu";

export function icmpv6Input(packet: Packet): void {
  count(Counter.Icmp6InMsgs);
  if (!icmpCheck(packet.l4Length)) return packetDrop(packet, Counter.Icmp6InErrors);
  if (!packetChecksumRight(packet, packet.l4Length)) {
    return packetDrop(packet, Counter.Icmp6InCsumErrors);
  }
  const type = changetype<IcmpHeader>(packet.l4).type;
  if (icmpv6IsError(type) && packet.multicast != 0) {
    return packetDrop(packet, Counter.Icmp6InErrors);
  }
  if (isNd(type)) return ndInput(packet, type);
  switch (type) {
    case ICMPV6_ECHO_REQUEST: {
      count(Counter.Icmp6InEchos);
      return echoRequestInput(packet);
    }
    case ICMPV6_ECHO_REPLY: {
      count(Counter.Icmp6InEchoReplies);
      return echoReplyInput(packet);
    }
    case ICMPV6_DEST_UNREACH: {
      count(Counter.Icmp6InDestUnreachs);
      return unreachableInput(packet);
    }
    case ICMPV6_PACKET_TOO_BIG: {
      count(Counter.Icmp6InPktTooBigs);
      return tooBigInput(packet);
    }
    case ICMPV6_TIME_EXCEEDED: {
      count(Counter.Icmp6InTimeExcds);
      return errorInput(packet, Errno.EHOSTUNREACH, IcmpKind.Soft);
    }
    case ICMPV6_PARAMETER_PROBLEM: {
      count(Counter.Icmp6InParmProblems);
      return errorInput(packet, Errno.EPROTO, IcmpKind.Soft);
    }
    default: { // an unknown informational message is ignored (RFC 4443 §2.4 (b))
      if (icmpv6IsError(type)) packetDrop(packet, Counter.Icmp6InErrors);
    }
  }
}

/** Linux's tab_unreach. */
function unreachableInput(packet: Packet): void {
  switch (changetype<IcmpHeader>(packet.l4).code) {
    case ICMPV6_NO_ROUTE: return errorInput(packet, Errno.ENETUNREACH, IcmpKind.Soft);
    case ICMPV6_PORT_UNREACH: return errorInput(packet, Errno.ECONNREFUSED, IcmpKind.Hard);
    case ICMPV6_ADM_PROHIBITED:
    case ICMPV6_POLICY_FAIL:
    case ICMPV6_REJECT_ROUTE: return errorInput(packet, Errno.EACCES, IcmpKind.Hard);
    default: return errorInput(packet, Errno.EHOSTUNREACH, IcmpKind.Soft);
  }
}

function tooBigInput(packet: Packet): void {
  const at = <usize>packet.l4 + ICMP_HEADER_BYTES;
  const length = packet.l4Length - ICMP_HEADER_BYTES;
  const mtu = pathMtuV6(changetype<IcmpHeader>(packet.l4).rest);
  if (mtu == 0 || !icmpQuoteMtu(true, at, length, mtu)) {
    packetDrop(packet, Counter.Icmp6InErrors);
  }
}

function errorInput(packet: Packet, errno: Errno, kind: IcmpKind): void {
  const header = changetype<IcmpHeader>(packet.l4);
  const at = <usize>packet.l4 + ICMP_HEADER_BYTES;
  const length = packet.l4Length - ICMP_HEADER_BYTES;
  if (icmpQuoteSteer(true, at, length, header.type, header.code, errno, kind)) return;
  packetDrop(packet, Counter.Icmp6InErrors);
}
