/**
 * What tests of ip/ put in the place of tcp/input.ts: TCP's header and option checks, and a trace
 * record of what IP found, but no connections. Compiled into the test's module alone
 * (tests/engine/ip-harness.ts copies it there); never part of the engine.
 */
import { Counter } from "../abi";
import { trace } from "../core/trace";
import { Packet, packetChecksumOk, packetDrop } from "../ip/packet";
import { TCP_HEADER_BYTES, tcpCheck } from "../wire/tcp";
import { optionsParse, segmentOptions } from "../wire/tcp-options";
import { PROBE_TCP } from "../testing/probes";

export function tcpInput(packet: Packet): void {
  const header = tcpCheck(packet.l4, packet.l4Length);
  if (header == 0) return packetDrop(packet, Counter.TcpInErrs);
  if (!packetChecksumOk(packet, packet.l4Length)) {
    return packetDrop(packet, Counter.TcpInCsumErrors);
  }
  optionsParse(segmentOptions(), packet.l4 + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES);
  const flags = <u32>packet.multicast << 1 | packet.checksumTrusted;
  trace(PROBE_TCP, packet.localAddress, flags, packet.l4Length, packet.gsoSize, packet.tos);
}
