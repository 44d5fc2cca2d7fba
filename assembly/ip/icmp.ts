/**
 * ICMP in: RFC 792, RFC 1122 §3.2.2, RFC 1191. ip/input.ts calls icmpInput for every ICMP message;
 * echoes go to ip/echo.ts, errors through ip/icmp-quote.ts to what they are about. Each message
 * that cannot be used is counted once: IcmpInCsumErrors or IcmpInErrors.
 */
import { Config, Counter, Errno } from "../abi";
import { config } from "../config";
import { checksumFinish, checksumPartial } from "../core/checksum";
import { count } from "../core/counters";
import {
  ICMP_DEST_UNREACH, ICMP_ECHO, ICMP_ECHO_REPLY, ICMP_FRAG_NEEDED, ICMP_HEADER_BYTES,
  ICMP_PARAMETER_PROBLEM, ICMP_PORT_UNREACH, ICMP_PROT_UNREACH, ICMP_SOURCE_QUENCH, ICMP_SR_FAILED,
  ICMP_TIME_EXCEEDED, ICMP_UNREACH_CODES, icmpCheck, IcmpHeader, icmpIsError,
} from "../wire/icmpv4";
import { IPV4_HEADER_BYTES, Ipv4Header } from "../wire/ipv4";
import { echoReplyInput, echoRequestInput } from "./echo";
import { IcmpKind, icmpQuoteMtu, icmpQuoteSteer } from "./icmp-quote";
import { Packet, packetDrop } from "./packet";
import { pathMtuV4 } from "./path-mtu";

/** Types beyond this one were never assigned a meaning that a host has to know (Linux). */
const ICMP_TYPES_MAX: u32 = 18;

export function icmpInput(packet: Packet): void {
  count(Counter.IcmpInMsgs);
  if (!icmpCheck(packet.l4Length)) return packetDrop(packet, Counter.IcmpInErrors);
  if (checksumFinish(checksumPartial(packet.l4, packet.l4Length, 0)) != 0) {
    return packetDrop(packet, Counter.IcmpInCsumErrors);
  }
  const type = changetype<IcmpHeader>(packet.l4).type;
  if (icmpIsError(type) && packet.multicast != 0) {
    return packetDrop(packet, Counter.IcmpInErrors);
  }
  switch (type) {
    case ICMP_ECHO: {
      count(Counter.IcmpInEchos);
      return echoRequestInput(packet);
    }
    case ICMP_ECHO_REPLY: {
      count(Counter.IcmpInEchoReps);
      return echoReplyInput(packet);
    }
    case ICMP_DEST_UNREACH: {
      count(Counter.IcmpInDestUnreachs);
      return unreachableInput(packet);
    }
    case ICMP_TIME_EXCEEDED: {
      count(Counter.IcmpInTimeExcds);
      return errorInput(packet, Errno.EHOSTUNREACH, IcmpKind.Soft);
    }
    case ICMP_PARAMETER_PROBLEM: {
      count(Counter.IcmpInParmProbs);
      return errorInput(packet, Errno.EPROTO, IcmpKind.Soft);
    }
    //= rfc9293 MUST-55
    case ICMP_SOURCE_QUENCH: return count(Counter.IcmpInSrcQuenchs);
    default: { // redirects, timestamps, …: not for us, and no error unless unheard of
      if (type > ICMP_TYPES_MAX) packetDrop(packet, Counter.IcmpInErrors);
    }
  }
}

function unreachableInput(packet: Packet): void {
  const header = changetype<IcmpHeader>(packet.l4);
  const code = header.code;
  if (code >= ICMP_UNREACH_CODES) return packetDrop(packet, Counter.IcmpInErrors);
  if (code == ICMP_FRAG_NEEDED) return fragmentationNeeded(packet);
  //= rfc9293 MUST-56 (which are soft; tcp/icmp.ts does not abort on them)
  switch (code) {
    case ICMP_PROT_UNREACH: return errorInput(packet, Errno.ENOPROTOOPT, IcmpKind.Hard);
    case ICMP_PORT_UNREACH: return errorInput(packet, Errno.ECONNREFUSED, IcmpKind.Hard);
    case ICMP_SR_FAILED: return errorInput(packet, Errno.EOPNOTSUPP, IcmpKind.Soft);
    // Linux's icmp_err_convert: unknown, isolated or prohibited ones are hard, the rest soft
    case 6: // network unknown
    case 9: return errorInput(packet, Errno.ENETUNREACH, IcmpKind.Hard);
    case 7: // host unknown
    case 8:
    case 10:
    case 13:
    case 14:
    case 15: return errorInput(packet, Errno.EHOSTUNREACH, IcmpKind.Hard);
    case 0:
    case 11: return errorInput(packet, Errno.ENETUNREACH, IcmpKind.Soft);
    default: return errorInput(packet, Errno.EHOSTUNREACH, IcmpKind.Soft); // 1, 12
  }
}

function fragmentationNeeded(packet: Packet): void {
  if (config(Config.ip_no_pmtu_disc) != 0) return;
  const at = <usize>packet.l4 + ICMP_HEADER_BYTES;
  const length = packet.l4Length - ICMP_HEADER_BYTES;
  if (length < IPV4_HEADER_BYTES) return packetDrop(packet, Counter.IcmpInErrors);
  const told = changetype<IcmpHeader>(packet.l4).mtu;
  const mtu = pathMtuV4(told, changetype<Ipv4Header>(at).totalLength);
  if (mtu == 0 || !icmpQuoteMtu(false, at, length, mtu)) {
    packetDrop(packet, Counter.IcmpInErrors);
  }
}

function errorInput(packet: Packet, errno: Errno, kind: IcmpKind): void {
  const header = changetype<IcmpHeader>(packet.l4);
  const at = <usize>packet.l4 + ICMP_HEADER_BYTES;
  const length = packet.l4Length - ICMP_HEADER_BYTES;
  if (icmpQuoteSteer(false, at, length, header.type, header.code, errno, kind)) return;
  packetDrop(packet, Counter.IcmpInErrors);
}
