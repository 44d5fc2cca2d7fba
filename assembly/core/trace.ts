/**
 * The trace ring: state changes, retransmissions and drops as they happen, for hosts to read. The
 * ring forgets the oldest; nothing in the engine ever reads it. Layout: abi.ts, TRACE_BYTES.
 */
import { Trace, TRACE_HEADER_BYTES, TRACE_BYTES } from "../abi";
import { system } from "../memory";
import { readU32, writeU32 } from "./bytes";

@unmanaged
class TraceRecord {
  timeLo: u32;
  timeHi: u32;
  kind: u32;
  index: u32;
  /** local << 16 | remote */
  ports: u32;
  a: u32;
  b: u32;
  c: u32;
}

/** Adds a record, stamped with this poll's time; nothing when boot made no ring. */
export function trace(kind: Trace, index: u32, ports: u32, a: u32, b: u32, c: u32): void {
  const ring: usize = system().traceRing;
  if (!ring) return;
  const produced = readU32(ring);
  const record = changetype<TraceRecord>(
    ring + TRACE_HEADER_BYTES + (produced & system().traceMask) * TRACE_BYTES,
  );
  const nowUs = system().nowUs;
  record.timeLo = <u32>nowUs;
  record.timeHi = <u32>(nowUs >> 32);
  record.kind = kind;
  record.index = index;
  record.ports = ports;
  record.a = a;
  record.b = b;
  record.c = c;
  writeU32(ring, produced + 1);
}

if (offsetof<TraceRecord>() != TRACE_BYTES) ERROR("TraceRecord");
