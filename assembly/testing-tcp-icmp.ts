/**
 * What tests of ip/ put in the place of tcp/icmp.ts: a trace record of each ICMP error that IP
 * steered to TCP. Compiled into the test's module alone; never part of the engine.
 */
import { Errno, Trace } from "./abi";
import { readU32 } from "./core/bytes";
import { trace } from "./core/trace";

/** Kinds of trace record, beyond those of abi.ts; tests/engine/ip-harness.ts has the numbers. */
const PROBE_ICMP_ERROR: Trace = 101;
const PROBE_PATH_MTU: Trace = 102;

export function tcpIcmpError(
  local: u32, remote: usize, remotePort: u32, localPort: u32, quotedSeq: u32, errno: Errno,
  kind: u32,
): void {
  const ports = localPort << 16 | remotePort;
  trace(PROBE_ICMP_ERROR, local << 16 | kind, ports, quotedSeq, errno, readU32(remote + 12));
}

export function tcpPathMtu(
  local: u32, remote: usize, remotePort: u32, localPort: u32, quotedSeq: u32, mtu: u32,
): void {
  const ports = localPort << 16 | remotePort;
  trace(PROBE_PATH_MTU, local, ports, quotedSeq, mtu, readU32(remote + 12));
}
