/**
 * UDP in: RFC 768, RFC 8200 §8.1. The one port that is open is the DHCP client's, on links that
 * have one. There are no sockets yet: every other whole datagram is for a closed port and is
 * answered by port unreachable (RFC 1122 §4.1.3.1). ip/input.ts calls udpInput.
 */
import { Counter } from "../abi";
import { count } from "../core/counters";
import { ICMP_DEST_UNREACH, ICMP_PORT_UNREACH } from "../wire/icmpv4";
import { ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH } from "../wire/icmpv6";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from "../wire/dhcp";
import { UDP_HEADER_BYTES, udpCheck, UdpHeader } from "../wire/udp";
import { dhcpInput } from "./dhcp";
import { icmpSendError } from "../ip/icmp-send";
import { Packet, packetChecksumOk, packetDrop } from "../ip/packet";

export function udpInput(packet: Packet): void {
  const length = udpCheck(packet.l4, packet.l4Length);
  if (length == 0) return packetDrop(packet, Counter.UdpInErrors);
  if (!checksumAccepted(packet, length)) return packetDrop(packet, Counter.UdpInCsumErrors);
  if (forDhcp(packet)) {
    const at = <usize>packet.l4 + UDP_HEADER_BYTES;
    if (dhcpInput(packet, at, length - UDP_HEADER_BYTES)) return count(Counter.UdpInDatagrams);
  }
  packetDrop(packet, Counter.UdpNoPorts);
  if (packet.isV6 != 0) icmpSendError(packet, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
  else icmpSendError(packet, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
}

function forDhcp(packet: Packet): bool {
  const header = changetype<UdpHeader>(packet.l4);
  return packet.isV6 == 0 && header.destinationPort == DHCP_CLIENT_PORT &&
    header.sourcePort == DHCP_SERVER_PORT;
}

/** A checksum of 0 says that there is none, which IPv6 does not allow. */
function checksumAccepted(packet: Packet, length: u32): bool {
  if (changetype<UdpHeader>(packet.l4).checksum == 0) return packet.isV6 == 0;
  return packetChecksumOk(packet, length);
}
