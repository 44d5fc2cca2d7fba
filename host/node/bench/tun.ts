/**
 * `ackorn bench tun`: the real iperf3 and small messages against our stack over TUN, beside the
 * kernel against itself over veth, in turns within one run. Called by cli/commands/bench.ts, inside
 * a network namespace of its own.
 */

import { PATHS, startEnds, type Path, type Who } from './ends.js';
import { compare, table, type Comparison, type Pairs, type Row } from './figures.js';
import { bulkRun, CONGESTION, type Bulk, type Direction } from './iperf3-run.js';
import { describeMachine, machine, type Machine } from './machine.js';
import { connectionRate, roundTrips } from './small.js';

export const PARTS = ['offload', 'plain', 'small'] as const;
export type Part = (typeof PARTS)[number];

export interface TunBenchOptions {
  runs: number;
  /** Of each iperf3 run; small messages take half of it a figure. */
  seconds: number;
  /** offload, plain: bulk transfer with and without; small: round trips and connections. */
  parts: readonly Part[];
  /** For our stacks. */
  sysctl: readonly string[];
  /** Told before each measurement. */
  onStep(step: string): void;
}

export interface TunBench {
  date: string;
  machine: Machine;
  mtu: 1500;
  runs: number;
  seconds: number;
  /** Controllers of the two senders. */
  congestion: Record<Who, string>;
  rows: (Row & { values: Pairs })[];
}

const WARM_SECONDS = 1;
/** Connections at any time. */
const PARALLEL = [1, 16] as const;

/** Values by row, in the order in which the rows first came. */
class Values {
  readonly rows = new Map<string, { unit: string; values: Pairs }>();

  add(name: string, unit: string, who: Who, value: number): void {
    let row = this.rows.get(name);
    if (row === undefined) {
      row = { unit, values: { ackorn: [], kernel: [] } };
      this.rows.set(name, row);
    }
    row.values[who].push(value);
  }

  all(): (Row & { values: Pairs })[] {
    return [...this.rows].map(([name, { unit, values }]) => {
      const figures: Comparison = compare(values);
      return { name, unit, figures, values };
    });
  }
}

function addBulk(values: Values, path: Path, direction: Direction, bulk: Bulk): void {
  const what = `${direction}, ${path.offload ? 'offload' : 'no offload'}`;
  values.add(`bulk ${what}`, 'Gbit/s', path.who, bulk.gbitPerSecond);
  values.add(`CPU of the end, ${what}`, 's/GB', path.who, bulk.endCpu);
  values.add(`CPU of both, ${what}`, 's/GB', path.who, bulk.endCpu + bulk.clientCpu);
  values.add(`sent again, ${what}`, 'segments', path.who, bulk.retransmits);
}

async function addSmall(values: Values, path: Path, seconds: number): Promise<void> {
  const what = path.offload ? 'offload' : 'no offload';
  const { p50, p99 } = await roundTrips(path.address, seconds);
  values.add(`1-byte round trip p50, ${what}`, 'us', path.who, p50);
  values.add(`1-byte round trip p99, ${what}`, 'us', path.who, p99);
  for (const parallel of PARALLEL) {
    const rate = await connectionRate(path.address, parallel, seconds);
    values.add(`connections, ${parallel} at a time, ${what}`, '1/s', path.who, rate);
  }
}

/** Ours and the kernel's turns; who begins changes with each run. */
function turns(offload: boolean, run: number): Path[] {
  const pair = PATHS.filter((path) => path.offload === offload);
  return run % 2 === 0 ? pair : pair.reverse();
}

/** Unmeasured: what is compiled while it runs (V8, the engine's code) is compiled after it. */
async function warmUp(offloads: readonly boolean[], onStep: (step: string) => void): Promise<void> {
  for (const path of PATHS.filter(({ offload }) => offloads.includes(offload))) {
    for (const direction of ['in', 'out'] as const) {
      onStep(`warming up: ${path.who}, ${direction}, offload ${path.offload}`);
      await bulkRun(path, direction, WARM_SECONDS);
    }
  }
}

/** @throws CommandError, NativeError */
export async function tunBench(options: TunBenchOptions): Promise<TunBench> {
  const { runs, seconds, parts, onStep } = options;
  const described = machine();
  const stop = await startEnds(options.sysctl);
  const values = new Values();
  const congestion: Record<Who, string> = { ackorn: 'unknown', kernel: CONGESTION };
  try {
    const offloads = [true, false].filter((on) => parts.includes(on ? 'offload' : 'plain'));
    await warmUp(offloads, onStep);
    for (let run = 0; run < runs; run++) {
      for (const offload of offloads) {
        for (const direction of ['in', 'out'] as const) {
          for (const path of turns(offload, run)) {
            onStep(`run ${run + 1} of ${runs}: ${path.who}, ${direction}, offload ${offload}`);
            const bulk = await bulkRun(path, direction, seconds);
            if (direction === 'out') congestion[path.who] = bulk.congestion;
            addBulk(values, path, direction, bulk);
          }
        }
      }
      if (!parts.includes('small')) continue;
      for (const path of [...turns(true, run), ...turns(false, run)]) {
        onStep(`run ${run + 1} of ${runs}: ${path.who}, small, offload ${path.offload}`);
        await addSmall(values, path, seconds / 2);
      }
    }
  } finally {
    stop();
  }
  return {
    date: new Date().toISOString(), machine: described, mtu: 1500, runs, seconds, congestion,
    rows: values.all(),
  };
}

/** The lines for a terminal. */
export function describeTunBench(bench: TunBench): string[] {
  const { congestion } = bench;
  return [
    describeMachine(bench.date, bench.machine),
    `iperf3, one stream, MTU ${bench.mtu}, ${bench.runs} runs of ${bench.seconds} s in turns `
      + `after one of ${WARM_SECONDS} s that does not count; `
      + `in: the kernel sends (-C ${CONGESTION}); out: we send (${congestion.ackorn}), `
      + `the kernel sends (-C ${congestion.kernel})`,
    'medians (lowest-highest); the ratio is the median of the ratios of each run',
    '',
    ...table(bench.rows),
  ];
}
