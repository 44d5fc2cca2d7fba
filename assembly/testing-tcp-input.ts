/**
 * What tests of ip/ put in the place of tcp/input.ts: TCP's header and option checks, and a trace
 * record of what IP found, but no connections. Compiled into the test's module alone
 * (tests/engine/ip-harness.ts puts it there); never part of the engine.
 */
import { Counter, Trace } from "./abi";
import { trace } from "./core/trace";
import { Packet, packetChecksumOk, packetDrop } from "./ip/packet";
import { TCP_HEADER_BYTES, tcpCheck } from "./wire/tcp";
import { optionsParse, segmentOptions } from "./wire/tcp-options";

/** Kind of trace record, beyond those of abi.ts; tests/engine/ip-harness.ts has its number. */
const PROBE_TCP: Trace = 100;

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
