/**
 * The clock of an iperf3 test: start, the omitted time, report intervals, the end, and a watch for
 * silence. Called by client.ts and server.ts; tells them by callbacks. Reads time and counts only:
 * writes no socket and prints nothing.
 */

import { performance } from 'node:perf_hooks';
import type { SocketInfo } from '../seam.js';
import type { DataStream, SendPlan } from './data-stream.js';

/** One stream in one interval. Times are seconds since counting began. */
export interface IntervalRow {
  stream: DataStream;
  start: number;
  end: number;
  bytes: number;
  retransmits: number;
  info: SocketInfo | undefined;
}

export interface Interval {
  rows: IntervalRow[];
  omitted: boolean;
}

export interface MeasurementOptions {
  streams: readonly DataStream[];
  plan: SendPlan;
  omitS: number;
  /** Seconds after the omitted time; 0 when something else ends the test. */
  durationS: number;
  /** The end is reached when one direction moved so many bytes; 0 when something else ends it. */
  goalBytes: number;
  /** Seconds between reports; 0 for one at the end. */
  intervalS: number;
  /** No byte either way for so long is an end; milliseconds. */
  idleMs: number;
  onInterval(interval: Interval): void;
  onOmitted(): void;
  /** The duration is over, or the bytes are through. */
  onEnd(): void;
  onIdle(): void;
  onStreamError(stream: DataStream, error: Error): void;
}

/** What the CPU did, in percent of one processor. */
export interface CpuUse {
  total: number;
  user: number;
  system: number;
}

/** Of an interval: a tick closer than this to an end leaves its bytes to that end. */
const TICK_SLACK = 0.1;
const IDLE_CHECKS = 8;

/** One run of a test. */
export class Measurement {
  /** Seconds from the start of counting to finish(). */
  seconds = 0;
  cpu: CpuUse = { total: 0, user: 0, system: 0 };
  omitting = false;
  started = false;
  #o: MeasurementOptions;
  #startedAt = 0;
  #intervalAt = 0;
  #ticks = 0;
  #cpuAt = { user: 0, system: 0 };
  #cpuTimeAt = 0;
  #sentBytes = 0;
  #receivedBytes = 0;
  #quietBytes = -1;
  #quietChecks = 0;
  #tickTimer: NodeJS.Timeout | undefined;
  #endTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #finished = false;

  constructor(options: MeasurementOptions) {
    this.#o = options;
  }

  /** Bytes of one direction since counting began. */
  total(sender: boolean): number {
    return sender ? this.#sentBytes : this.#receivedBytes;
  }

  start(): void {
    this.started = true;
    this.omitting = this.#o.omitS > 0;
    this.#o.plan.budget.counting = !this.omitting;
    this.#cpuAt = process.cpuUsage();
    this.#cpuTimeAt = performance.now();
    this.#begin();
    this.#idleTimer = setInterval(() => this.#watch(), this.#o.idleMs / IDLE_CHECKS);
    for (const stream of this.#o.streams) {
      const failed = (error: Error): void => this.#o.onStreamError(stream, error);
      stream.start(this.#o.plan, (bytes) => this.#moved(stream, bytes), failed);
    }
  }

  /** Ends counting and reports what is left of the last interval. May be called twice. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    const now = performance.now();
    for (const stream of this.#o.streams) stream.stop();
    clearTimeout(this.#tickTimer);
    clearTimeout(this.#endTimer);
    clearInterval(this.#idleTimer);
    this.seconds = (now - this.#startedAt) / 1000;
    this.#flush(now);
    const spent = process.cpuUsage(this.#cpuAt);
    const percent = (us: number): number => us / Math.max(1, now - this.#cpuTimeAt) / 10;
    this.cpu = {
      total: percent(spent.user + spent.system),
      user: percent(spent.user),
      system: percent(spent.system),
    };
  }

  #begin(): void {
    this.#startedAt = performance.now();
    this.#intervalAt = this.#startedAt;
    this.#ticks = 0;
    const phaseS = this.omitting ? this.#o.omitS : this.#o.durationS;
    if (phaseS > 0) this.#endTimer = setTimeout(() => this.#phaseEnd(), phaseS * 1000);
    this.#armTick(phaseS);
  }

  #moved(stream: DataStream, bytes: number): void {
    if (stream.sender) this.#sentBytes += bytes;
    else this.#receivedBytes += bytes;
    const { goalBytes } = this.#o;
    if (goalBytes === 0 || this.omitting) return;
    if (this.#sentBytes >= goalBytes || this.#receivedBytes >= goalBytes) this.#o.onEnd();
  }

  #phaseEnd(): void {
    if (!this.omitting) return this.#o.onEnd();
    clearTimeout(this.#tickTimer);
    this.#flush(performance.now());
    this.omitting = false;
    for (const stream of this.#o.streams) stream.restart();
    this.#o.plan.budget.counting = true;
    this.#sentBytes = 0;
    this.#receivedBytes = 0;
    this.#quietBytes = -1;
    this.#begin();
    this.#o.onOmitted();
  }

  /** Ticks stand at multiples of the interval after the start, so that they do not drift. */
  #armTick(phaseS: number): void {
    const intervalMs = this.#o.intervalS * 1000;
    if (intervalMs === 0) return;
    this.#ticks++;
    const at = this.#startedAt + this.#ticks * intervalMs;
    const end = this.#startedAt + phaseS * 1000;
    if (phaseS > 0 && at > end - intervalMs * TICK_SLACK) return;
    this.#tickTimer = setTimeout(() => {
      this.#flush(performance.now());
      this.#armTick(phaseS);
    }, Math.max(0, at - performance.now()));
  }

  /** A short interval in which nothing moved is not worth a line. */
  #flush(now: number): void {
    const start = (this.#intervalAt - this.#startedAt) / 1000;
    const end = (now - this.#startedAt) / 1000;
    const rows = this.#o.streams.map((stream) => ({ stream, start, end, ...stream.interval() }));
    this.#intervalAt = now;
    const moved = rows.some((row) => row.bytes > 0);
    if (moved || end - start >= this.#o.intervalS * TICK_SLACK) {
      this.#o.onInterval({ rows, omitted: this.omitting });
    }
  }

  #watch(): void {
    const bytes = this.total(true) + this.total(false);
    this.#quietChecks = bytes === this.#quietBytes ? this.#quietChecks + 1 : 0;
    this.#quietBytes = bytes;
    if (this.#quietChecks >= IDLE_CHECKS) this.#o.onIdle();
  }
}
