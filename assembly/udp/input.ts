/**
 * UDP in: RFC 768, RFC 8200 §8.1. There are no sockets yet: every whole datagram is for a closed
 * port and is answered by port unreachable (RFC 1122 §4.1.3.1). ip/input.ts calls udpInput.
 */
import { Counter } from "../abi";
import { ICMP_DEST_UNREACH, ICMP_PORT_UNREACH } from "../wire/icmpv4";
import { ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH } from "../wire/icmpv6";
import { udpCheck, UdpHeader } from "../wire/udp";
import { icmpSendError } from "../ip/icmp-send";
import { Packet, packetChecksumOk, packetDrop } from "../ip/packet";

export function udpInput(packet: Packet): void {
  const length = udpCheck(packet.l4, packet.l4Length);
  if (length == 0) return packetDrop(packet, Counter.UdpInErrors);
  if (!checksumAccepted(packet, length)) return packetDrop(packet, Counter.UdpInCsumErrors);
  packetDrop(packet, Counter.UdpNoPorts);
  if (packet.isV6 != 0) icmpSendError(packet, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
  else icmpSendError(packet, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
}

/** A checksum of 0 says that there is none, which IPv6 does not allow. */
function checksumAccepted(packet: Packet, length: u32): bool {
  if (changetype<UdpHeader>(packet.l4).checksum == 0) return packet.isV6 == 0;
  return packetChecksumOk(packet, length);
}
