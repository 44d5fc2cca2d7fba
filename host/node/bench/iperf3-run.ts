/**
 * One run of the real iperf3's client, one stream, against an end. Called by tun.ts, path-end.ts.
 */

import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { CommandError } from '../cli/errors.js';
import type { Path } from './ends.js';
import { IPERF3_PORT } from './ports.js';
import { tethered } from './tether.js';

/** in: the client sends and the end receives; out: the other way. */
export type Direction = 'in' | 'out';

/** The kernel's controller wherever the kernel sends; iperf3 would take the machine's default. */
export const CONGESTION = 'cubic';

export interface Bulk {
  /** At the receiver. */
  gbitPerSecond: number;
  /** CPU seconds a GB (10⁹ bytes): the end's process, and that of the client. */
  endCpu: number;
  clientCpu: number;
  retransmits: number;
  /** The sender's controller. */
  congestion: string;
}

/** What we read of iperf3's JSON. */
export interface Report {
  error?: string;
  end: {
    sum_sent: { retransmits?: number };
    sum_received: { bits_per_second: number; bytes: number; seconds: number };
    cpu_utilization_percent: { host_total: number; remote_total: number };
    sender_tcp_congestion?: string;
    receiver_tcp_congestion?: string;
  };
}

/** More than this beyond its time, and the run is stuck, ms. */
const GRACE_MS = 10_000;

/**
 * Runs the client to its end.
 * @param seconds what its run takes; it is killed when it takes `graceMs` more
 * @param prefix what it is started by, such as chrt and its options
 * @throws CommandError
 */
export async function report(
  args: readonly string[], seconds: number,
  { graceMs = GRACE_MS, prefix = [] }: { graceMs?: number; prefix?: readonly string[] } = {},
): Promise<Report> {
  const [program = '', ...rest] = [...prefix, 'iperf3', ...args];
  const child = tethered(program, rest, ['ignore', 'pipe', 'ignore']);
  const limit = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + graceMs);
  const [said, [, signal]] = await Promise.all([
    text(child.stdout!), once(child, 'close') as Promise<[number | null, string | null]>,
  ]);
  clearTimeout(limit);
  if (signal !== null) throw new CommandError(`iperf3 ${args.join(' ')}: stuck, and was killed`);
  let parsed: Report;
  try {
    parsed = JSON.parse(said) as Report;
  } catch {
    throw new CommandError(`iperf3 ${args.join(' ')}: no report`);
  }
  if (parsed.error === undefined) return parsed;
  throw new CommandError(`iperf3 ${args.join(' ')}: ${parsed.error}`);
}

/** @throws CommandError */
export async function bulkRun(path: Path, direction: Direction, seconds: number): Promise<Bulk> {
  const args = ['-c', path.address, '-p', String(IPERF3_PORT), '-t', String(seconds), '-J'];
  if (direction === 'out') args.push('-R');
  // Our own sender has the controller that it has; a kernel that sends has CONGESTION.
  if (direction === 'in' || path.who === 'kernel') args.push('-C', CONGESTION);
  const { end } = await report(args, seconds);
  const { bits_per_second: rate, bytes, seconds: took } = end.sum_received;
  const { host_total: client, remote_total: server } = end.cpu_utilization_percent;
  const perGigabyte = (percent: number): number => (percent / 100) * took / (bytes / 1e9);
  return {
    gbitPerSecond: rate / 1e9,
    endCpu: perGigabyte(server),
    clientCpu: perGigabyte(client),
    retransmits: end.sum_sent.retransmits ?? 0,
    congestion: end.sender_tcp_congestion ?? 'unknown',
  };
}
