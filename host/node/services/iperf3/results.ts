/**
 * The results that both sides exchange after a test, names as iperf3 3.12 sends them, and the end
 * figures made of both halves. Called by client.ts and server.ts. Trusts nothing in the peer's
 * JSON.
 */

import type { DataStream } from './data-stream.js';
import type { CpuUse, Measurement } from './measurement.js';
import { Iperf3Error, IperfErrno } from './protocol.js';

/** What the peer says of one stream. */
export interface PeerStream {
  bytes: number;
  /** -1 when it does not know, or does not send on this stream. */
  retransmits: number;
  /** Seconds; 0 from servers that do not say. */
  seconds: number;
}

/** The peer's half. */
export interface PeerResults {
  cpu: CpuUse;
  congestion: string | undefined;
  streams: Map<number, PeerStream>;
  serverOutputText: string | undefined;
  serverOutputJson: unknown;
}

/** Our half for the wire. */
export function encodeResults(
  streams: readonly DataStream[],
  measurement: Measurement,
  serverOutputText?: string,
): Record<string, unknown> {
  const sending = streams.find((stream) => stream.sender);
  const congestion = (sending ?? streams[0])?.congestion;
  return {
    cpu_util_total: measurement.cpu.total,
    cpu_util_user: measurement.cpu.user,
    cpu_util_system: measurement.cpu.system,
    sender_has_retransmits: sending ? Number(sending.info() !== undefined) : -1,
    ...(congestion !== undefined && { congestion_used: congestion }),
    ...(serverOutputText !== undefined && { server_output_text: serverOutputText }),
    streams: streams.map((stream) => {
      const own = stream.info();
      return {
        id: stream.id,
        bytes: stream.bytes,
        retransmits: own ? stream.retransmits(own) : -1,
        jitter: 0,
        errors: 0,
        omitted_errors: 0,
        packets: 0,
        omitted_packets: 0,
        start_time: 0,
        end_time: measurement.seconds,
      };
    }),
  };
}

/**
 * Checks the peer's half against our streams.
 * @throws Iperf3Error IERECVRESULTS or IESTREAMID
 */
export function decodeResults(json: unknown, streams: readonly DataStream[]): PeerResults {
  const top = object(json, 'the results');
  const cpu: CpuUse = {
    total: figure(top, 'cpu_util_total'),
    user: figure(top, 'cpu_util_user'),
    system: figure(top, 'cpu_util_system'),
  };
  if (!Array.isArray(top.streams)) throw malformed('streams');
  const peer = new Map<number, PeerStream>();
  for (const entry of top.streams as unknown[]) {
    const stream = object(entry, 'a stream');
    const id = figure(stream, 'id');
    if (!streams.some((own) => own.id === id)) throw new Iperf3Error(IperfErrno.IESTREAMID);
    const bytes = figure(stream, 'bytes');
    if (bytes < 0) throw malformed('bytes');
    const seconds = figure(stream, 'end_time', 0) - figure(stream, 'start_time', 0);
    peer.set(id, { bytes, retransmits: figure(stream, 'retransmits'), seconds });
  }
  return {
    cpu,
    congestion: optionalText(top.congestion_used),
    streams: peer,
    serverOutputText: optionalText(top.server_output_text),
    serverOutputJson: top.server_output_json,
  };
}

/** One stream, both halves together. */
export interface EndRow {
  stream: DataStream;
  sentBytes: number;
  sentSeconds: number;
  /** Undefined when the sender does not know. */
  retransmits: number | undefined;
  receivedBytes: number;
  receivedSeconds: number;
}

/** Joins our counts with the peer's; what a peer did not send counts as zero bytes. */
export function endRows(
  streams: readonly DataStream[],
  measurement: Measurement,
  peer: PeerResults | undefined,
): EndRow[] {
  return streams.map((stream) => {
    const info = stream.info();
    const other = peer?.streams.get(stream.id);
    const otherBytes = other?.bytes ?? 0;
    const otherSeconds = other && other.seconds > 0 ? other.seconds : measurement.seconds;
    const reported = other && other.retransmits >= 0 ? other.retransmits : undefined;
    return stream.sender
      ? {
          stream, sentBytes: stream.bytes, sentSeconds: measurement.seconds,
          retransmits: info && stream.retransmits(info),
          receivedBytes: otherBytes, receivedSeconds: otherSeconds,
        }
      : {
          stream, sentBytes: otherBytes, sentSeconds: otherSeconds, retransmits: reported,
          receivedBytes: stream.bytes, receivedSeconds: measurement.seconds,
        };
  });
}

function malformed(what: string): Iperf3Error {
  return new Iperf3Error(IperfErrno.IERECVRESULTS, `${what} malformed`);
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw malformed(what);
}

function figure(from: Record<string, unknown>, name: string, none?: number): number {
  const value = from[name] ?? none;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw malformed(name);
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
