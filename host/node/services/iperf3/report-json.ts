/**
 * The report of `iperf3 -J`, main keys as iperf3 3.12 has them. Called by client.ts; the command
 * prints it as it is. Formats only.
 */

import os from 'node:os';
import type { ServiceSocket } from '../seam.js';
import type { DataStream } from './data-stream.js';
import type { CpuUse, Interval, IntervalRow, Measurement } from './measurement.js';
import type { Parameters } from './parameters.js';
import { bitsPerSecond, plain, sumEnds } from './report-text.js';
import { endRows, type EndRow, type PeerResults } from './results.js';

/** One line of figures. Seconds, bytes, bits a second; the rest only where the stack knows it. */
export interface JsonFigures {
  socket?: number;
  start: number;
  end: number;
  seconds: number;
  bytes: number;
  bits_per_second: number;
  retransmits?: number;
  snd_cwnd?: number;
  snd_wnd?: number;
  rtt?: number;
  rttvar?: number;
  pmtu?: number;
  max_snd_cwnd?: number;
  max_snd_wnd?: number;
  max_rtt?: number;
  min_rtt?: number;
  mean_rtt?: number;
  omitted?: boolean;
  sender: boolean;
}

export interface JsonInterval {
  streams: JsonFigures[];
  sum: JsonFigures;
  sum_bidir_reverse?: JsonFigures;
}

export interface JsonEnd {
  streams?: { sender: JsonFigures; receiver: JsonFigures }[];
  sum_sent?: JsonFigures;
  sum_received?: JsonFigures;
  sum_sent_bidir_reverse?: JsonFigures;
  sum_received_bidir_reverse?: JsonFigures;
  cpu_utilization_percent?: Record<string, number>;
  sender_tcp_congestion?: string;
  receiver_tcp_congestion?: string;
}

/** What a client hands back; also what `-J` prints. */
export interface Iperf3Report {
  start: Record<string, unknown>;
  intervals: JsonInterval[];
  end: JsonEnd;
  title?: string;
  server_output_text?: string;
  server_output_json?: unknown;
  error?: string;
}

export function emptyReport(title: string): Iperf3Report {
  const system = [os.type(), os.release(), os.arch()].join(' ');
  const report: Iperf3Report = {
    start: { connected: [], version: 'ackorn iperf3', system_info: system },
    intervals: [],
    end: {},
  };
  if (title !== '') report.title = title;
  return report;
}

/** `start`, once the data streams are connected. */
export function describeStart(
  report: Iperf3Report,
  target: { host: string; port: number; cookie: string },
  p: Parameters,
  control: ServiceSocket,
  streams: readonly DataStream[],
): void {
  const now = new Date();
  const mss = control.info?.()?.snd_mss;
  Object.assign(report.start, {
    connected: streams.map(({ shown, socket }) => ({
      socket: shown,
      local_host: plain(socket.localAddress),
      local_port: socket.localPort ?? 0,
      remote_host: plain(socket.remoteAddress),
      remote_port: socket.remotePort ?? 0,
    })),
    timestamp: { time: now.toUTCString(), timesecs: Math.floor(now.getTime() / 1000) },
    connecting_to: { host: target.host, port: target.port },
    cookie: target.cookie,
    ...(mss !== undefined && { tcp_mss_default: mss }),
    target_bitrate: p.bitrate,
    sock_bufsize: p.window,
    test_start: {
      protocol: 'TCP', num_streams: p.parallel, blksize: p.blockBytes, omit: p.omitS,
      duration: p.durationS, bytes: p.bytes, blocks: p.blocks, reverse: Number(p.reverse),
      bidir: Number(p.bidir), tos: p.tos, target_bitrate: p.bitrate,
    },
  });
}

export function describeInterval({ rows, omitted }: Interval): JsonInterval {
  const streams = rows.map((row) => intervalFigures(row, omitted));
  const [first, second] = directions(rows, (row) => row.stream);
  const interval: JsonInterval = { streams, sum: sumInterval(first, omitted) };
  if (second.length > 0) interval.sum_bidir_reverse = sumInterval(second, omitted);
  return interval;
}

/** `end`, from both halves. */
export function describeEnd(
  report: Iperf3Report,
  streams: readonly DataStream[],
  measurement: Measurement,
  peer: PeerResults | undefined,
): void {
  const rows = endRows(streams, measurement, peer);
  const end: JsonEnd = {
    streams: rows.map((row) => ({ sender: sentFigures(row), receiver: receivedFigures(row) })),
  };
  const [first, second] = directions(rows, (row) => row.stream);
  end.sum_sent = sumFigures(sentFigures(sumEnds(first)));
  end.sum_received = sumFigures(receivedFigures(sumEnds(first)));
  if (second.length > 0) {
    end.sum_sent_bidir_reverse = sumFigures(sentFigures(sumEnds(second)));
    end.sum_received_bidir_reverse = sumFigures(receivedFigures(sumEnds(second)));
  }
  end.cpu_utilization_percent = {
    ...cpuFigures('host', measurement.cpu),
    ...(peer && cpuFigures('remote', peer.cpu)),
  };
  const own = streams[0]?.congestion;
  const weSend = streams[0]?.sender ?? true;
  const [sender, receiver] = weSend ? [own, peer?.congestion] : [peer?.congestion, own];
  if (sender !== undefined) end.sender_tcp_congestion = sender;
  if (receiver !== undefined) end.receiver_tcp_congestion = receiver;
  report.end = end;
  if (peer?.serverOutputText !== undefined) report.server_output_text = peer.serverOutputText;
  if (peer?.serverOutputJson !== undefined) report.server_output_json = peer.serverOutputJson;
}

/** Two lists: the direction that the sums are named for, and, with --bidir, the other. */
function directions<T>(rows: readonly T[], stream: (row: T) => DataStream): [T[], T[]] {
  const sending = rows.filter((row) => stream(row).sender);
  const receiving = rows.filter((row) => !stream(row).sender);
  return sending.length > 0 ? [sending, receiving] : [receiving, sending];
}

function figures(start: number, end: number, bytes: number, sender: boolean): JsonFigures {
  const seconds = end - start;
  return { start, end, seconds, bytes, bits_per_second: bitsPerSecond(bytes, seconds), sender };
}

function intervalFigures(row: IntervalRow, omitted: boolean): JsonFigures {
  const { stream, info } = row;
  return {
    socket: stream.shown,
    ...figures(row.start, row.end, row.bytes, stream.sender),
    ...(info && {
      retransmits: row.retransmits, snd_cwnd: info.snd_cwnd_bytes, snd_wnd: info.snd_wnd,
      rtt: info.rtt_us, rttvar: info.rttvar_us, pmtu: info.pmtu,
    }),
    omitted,
  };
}

function sumInterval(rows: readonly IntervalRow[], omitted: boolean): JsonFigures {
  const { start, end, stream } = rows[0]!;
  const bytes = rows.reduce((total, row) => total + row.bytes, 0);
  const retransmits = rows.reduce((total, row) => total + row.retransmits, 0);
  const known = rows.some((row) => row.info);
  return {
    ...figures(start, end, bytes, stream.sender), ...(known && { retransmits }), omitted,
  };
}

function sentFigures(row: EndRow): JsonFigures {
  const { stream } = row;
  const e = stream.extremes;
  return {
    socket: stream.shown,
    ...figures(0, row.sentSeconds, row.sentBytes, stream.sender),
    ...(row.retransmits !== undefined && { retransmits: row.retransmits }),
    ...(e.samples > 0 && {
      max_snd_cwnd: e.maxCwnd, max_snd_wnd: e.maxWnd, max_rtt: e.maxRtt, min_rtt: e.minRtt,
      mean_rtt: Math.round(e.sumRtt / e.samples),
    }),
  };
}

function receivedFigures(row: EndRow): JsonFigures {
  return {
    socket: row.stream.shown,
    ...figures(0, row.receivedSeconds, row.receivedBytes, row.stream.sender),
  };
}

/** A sum is of no one socket, and the extremes of one stream are not the sum's. */
function sumFigures(all: JsonFigures): JsonFigures {
  const { start, end, seconds, bytes, bits_per_second, retransmits, sender } = all;
  const known = retransmits !== undefined && { retransmits };
  return { start, end, seconds, bytes, bits_per_second, ...known, sender };
}

function cpuFigures(side: string, cpu: CpuUse): Record<string, number> {
  return {
    [`${side}_total`]: cpu.total, [`${side}_user`]: cpu.user, [`${side}_system`]: cpu.system,
  };
}
