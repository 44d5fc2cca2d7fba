/**
 * `ackorn bench paths`: one connection over the project's link emulator, between Linux and our
 * stack beside between Linux and Linux, over cells of loss, round-trip time and direction. Runs
 * alternate within a cell and share their loss seeds. Called by cli/commands/bench.ts, inside a
 * network namespace of its own. Measures nothing itself: path-end.ts does.
 */

import { spawnSync } from 'node:child_process';
import { CommandError } from '../cli/errors.js';
import { formatCell, linkOf, type Cell, type LinkShape } from './cells.js';
import type { Who } from './ends.js';
import { compare, table, type Comparison, type Pairs, type Row } from './figures.js';
import { describeMachine, machine, type Machine } from './machine.js';
import {
  EMULATOR_CLASS, EMULATOR_FLAGS, type EndSettings, type PathFigures, type PathRun,
} from './path-run.js';
import { End } from './tether.js';

export interface PathsOptions {
  cells: readonly Cell[];
  runs: number;
  /** Of each run. */
  seconds: number;
  /** Cells that are measured at the same time. */
  jobs: number;
  /** Of the first run; each further run has the next one. */
  seed: number;
  /** Bottleneck buffer, in bandwidth-delay products. */
  queueBdp: number;
  /** Of both ends everywhere, by Linux's name. */
  congestion: string;
  /** Told before each measurement. */
  onStep(step: string): void;
  /** Told of each cell when it is done. */
  onCell(cell: PathsCell): void;
}

/** A cell with what came of it; goodputs in Mbit/s at the receiver. */
export interface PathsCell extends Cell {
  queueBytes: number;
  goodput: Comparison;
  values: Pairs;
  /** Everything about every run, in their order. */
  details: Record<Who, PathFigures[]>;
}

export interface PathsBench {
  date: string;
  machine: Machine;
  mtu: 1500;
  rateBps: number;
  queueBdp: number;
  runs: number;
  seconds: number;
  jobs: number;
  seed: number;
  /** Of every sender; every run is asked what it really had. */
  congestion: string;
  /** Of our end and of the kernels'. */
  settings: Record<Who, EndSettings>;
  rows: PathsCell[];
  /** The lowest median ratio, and the geometric mean of all cells' median ratios. */
  worst: { cell: string; ratio: number };
  geometricMean: number;
  /** Whether emulators and iperf3 ran in the real-time class. */
  realTime: boolean;
  /** Measurements that had to be made again. */
  again: number;
  /** CPUs that the emulators were busy for, median and highest of all runs. */
  linkCpu: Record<Who, { median: number; max: number }>;
  /** Share of packets that crossed more than 0.5 ms after their time, highest of all runs. */
  lateShare: Record<Who, number>;
}

const RATE_BPS = 100e6;
/**
 * The largest buffers of both ends: four times the 3.75 MB that can be under way on the longest
 * path (150 ms and its queue), since Linux counts its bookkeeping too: twice the payload and more.
 */
const RMEM = '4096 131072 16777216';
const WMEM = '4096 16384 16777216';
/** Beyond the run's own time: processes, namespaces, the engine's compilation, iperf3's talk. */
const AROUND_MS = 45_000;
const TRIES = 3;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

function realTimeWorks(): boolean {
  const [program = '', ...args] = EMULATOR_CLASS;
  return spawnSync(program, [...args, 'true'], { stdio: 'ignore' }).status === 0;
}

/** One measurement in a process of its own. @throws CommandError */
async function once(run: PathRun): Promise<PathFigures> {
  const prefix = ['unshare', '--net', '--', ...(run.realTime ? EMULATOR_CLASS : [])];
  const end = End.start('path-end.js', [JSON.stringify(run)], prefix, EMULATOR_FLAGS);
  try {
    return await end.result(run.seconds * 1000 + AROUND_MS) as PathFigures;
  } finally {
    end.child.kill('SIGKILL');
  }
}

/** What all cells share while they are measured. */
class Measuring {
  readonly rows: PathsCell[] = [];
  again = 0;
  readonly realTime = realTimeWorks();

  constructor(readonly options: PathsOptions) {}

  get shape(): LinkShape {
    return { rateBps: RATE_BPS, queueBdp: this.options.queueBdp };
  }

  /** iperf3's own words may get lost for longer than it waits: then the run is made again. */
  async #measured(run: PathRun, cell: Cell): Promise<PathFigures> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await once(run);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        if (attempt === TRIES) {
          throw new CommandError(`${formatCell(cell)}, ${run.who}: ${error.message}`);
        }
        this.again++;
      }
    }
  }

  async cell(cell: Cell): Promise<void> {
    const { runs, seconds, seed, congestion, onStep, onCell } = this.options;
    const values: Pairs = { ackorn: [], kernel: [] };
    const details: Record<Who, PathFigures[]> = { ackorn: [], kernel: [] };
    const link = linkOf(cell, this.shape);
    for (let at = 0; at < runs; at++) {
      const order: Who[] = at % 2 === 0 ? ['kernel', 'ackorn'] : ['ackorn', 'kernel'];
      for (const who of order) {
        onStep(`${formatCell(cell)}, run ${at + 1} of ${runs}: ${who}`);
        const figures = await this.#measured({
          who, direction: cell.direction, impair: `${link.impair},seed=${seed + at}`, congestion,
          rmem: RMEM, wmem: WMEM, seconds, realTime: this.realTime,
        }, cell);
        requireController(who, congestion, figures, cell);
        values[who].push(figures.goodputBps / 1e6);
        details[who].push(figures);
      }
    }
    const row = { ...cell, queueBytes: link.queueBytes, goodput: compare(values), values, details };
    this.rows.push(row);
    onCell(row);
  }
}

/** A comparison of two controllers would be another one. @throws CommandError */
function requireController(
  who: Who, congestion: string, { sender }: PathFigures, cell: Cell,
): void {
  if (sender === congestion) return;
  const name = who === 'ackorn' && cell.direction === 'out' ? 'our stack' : 'the kernel';
  throw new CommandError(
    `${formatCell(cell)}: ${name} sent with ${sender} as its controller, not with ${congestion}`,
  );
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function both<T>(of: (who: Who) => T): Record<Who, T> {
  return { ackorn: of('ackorn'), kernel: of('kernel') };
}

/** @throws CommandError, NativeError */
export async function pathsBench(options: PathsOptions): Promise<PathsBench> {
  const { cells, runs, seconds, jobs, seed, queueBdp } = options;
  const described = machine();
  const measuring = new Measuring(options);
  const left = [...cells];
  const lane = async (): Promise<void> => {
    for (let cell = left.shift(); cell !== undefined; cell = left.shift()) {
      await measuring.cell(cell);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, cells.length) }, lane));
  // In the order in which they were asked for, whichever was done first.
  const place = new Map(cells.map((cell, at) => [formatCell(cell), at]));
  const placeOf = (cell: Cell): number => place.get(formatCell(cell)) ?? 0;
  const rows = measuring.rows.sort((a, b) => placeOf(a) - placeOf(b));
  const all = (who: Who): PathFigures[] => rows.flatMap(({ details }) => details[who]);
  const worst = rows.reduce((low, row) =>
    row.goodput.ratio.median < low.goodput.ratio.median ? row : low);
  return {
    date: new Date().toISOString(), machine: described, mtu: 1500, rateBps: RATE_BPS, queueBdp,
    runs, seconds, jobs, seed,
    congestion: options.congestion, settings: both((who) => (all(who)[0] as PathFigures).far),
    rows,
    worst: { cell: formatCell(worst), ratio: worst.goodput.ratio.median },
    geometricMean: geometricMean(rows.map(({ goodput }) => goodput.ratio.median)),
    realTime: measuring.realTime, again: measuring.again,
    linkCpu: both((who) => {
      const used = all(who).map(({ linkCpu }) => linkCpu);
      return { median: median(used), max: Math.max(...used) };
    }),
    lateShare: both((who) => Math.max(...all(who).map(({ punctuality: { late, packets } }) => {
      return late / Math.max(packets, 1);
    }))),
  };
}

const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

/** The row of a cell, for the table and for the line that says it is done. */
export function cellRow(cell: PathsCell): Row {
  return { name: formatCell(cell), unit: 'Mbit/s', figures: cell.goodput };
}

/** The lines for a terminal. */
export function describePathsBench(bench: PathsBench): string[] {
  const { rateBps, queueBdp, runs, seconds, jobs, seed, linkCpu, lateShare } = bench;
  const { ackorn, kernel } = bench.settings;
  const dropped = bench.rows.reduce((sum, { details }) => {
    return sum + [...details.ackorn, ...details.kernel].reduce((all, run) => all + run.dropped, 0);
  }, 0);
  return [
    describeMachine(bench.date, bench.machine),
    `one connection over ${rateBps / 1e6} Mbit/s, queue ${queueBdp} BDP, MTU ${bench.mtu}; `
      + `${runs} runs of ${seconds} s in turns, seeds from ${seed}, ${jobs} cells at a time`
      + (bench.realTime ? '' : ', not in the real-time class (root only)'),
    `${bench.congestion} at every sender; in: the kernel sends; out: the far end sends, Ackorn or `
      + 'another kernel',
    `Ackorn: tcp_rmem ${ackorn.rmem}, tcp_wmem ${ackorn.wmem}; `
      + `kernels: tcp_rmem ${kernel.rmem}, tcp_wmem ${kernel.wmem}`,
    'goodput at the receiver, medians (lowest-highest); the ratio is the median of each run\'s',
    '',
    ...table(bench.rows.map(cellRow)),
    '',
    `lowest ratio ${bench.worst.ratio.toFixed(2)} (${bench.worst.cell}); `
      + `geometric mean of ${bench.rows.length} cells ${bench.geometricMean.toFixed(3)}`,
    `CPU of the emulator: ${linkCpu.kernel.median.toFixed(2)} between kernels (at most `
      + `${linkCpu.kernel.max.toFixed(2)}), ${linkCpu.ackorn.median.toFixed(2)} with Ackorn in it `
      + `(at most ${linkCpu.ackorn.max.toFixed(2)}); more than 0.5 ms late at worst `
      + `${percent(lateShare.kernel)} and ${percent(lateShare.ackorn)} of a run's packets`,
    ...(bench.again === 0 ? [] : [`made again: ${bench.again}`]),
    ...(dropped === 0 ? [] : [`frames that found no room in a device: ${dropped}`]),
  ];
}
