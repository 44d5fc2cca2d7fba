/**
 * `ackorn bench`: measurements side by side with the kernel's own TCP, in a network namespace made
 * for it. `bench tun`: real iperf3 and small messages over TUN and over veth. `bench paths`: one
 * connection over long and lossy paths.
 */

import os from 'node:os';
import type { Command } from 'commander';
import { Congestion } from '../../../../assembly/abi.js';
import { ALL_CELLS, formatCell, parseCells, QUICK_CELLS } from '../../bench/cells.js';
import { cellRow, describePathsBench, pathsBench, type PathsOptions } from '../../bench/paths.js';
import { table } from '../../bench/figures.js';
import { describeTunBench, PARTS, tunBench, type Part } from '../../bench/tun.js';
import { requireTools } from '../../bench/tether.js';
import { CommandError, UsageError } from '../errors.js';
import { Lifetime } from '../lifetime.js';
import {
  enterNamespace, findNamespace, insideNamespace, raiseLoopback,
} from '../namespace.js';

interface Options {
  runs: string;
  seconds: string;
  parts: string;
  json?: boolean;
  sysctl?: string[];
}

function requireNumber(name: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new UsageError(`--${name} ${text}: a whole number from 1 to ${most} is wanted`);
}

function requireParts(text: string): Part[] {
  return text.split(',').map((word) => {
    const part = PARTS.find((known) => known === word);
    if (part !== undefined) return part;
    throw new UsageError(`--parts ${word}: ${PARTS.join(', ')} are the parts`);
  });
}

const onTerminal = (step: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r${step.padEnd(70)}`);
};

/**
 * Measures inside a namespace of our own and prints what came of it.
 * @throws CommandError
 */
async function inNamespace<T>(
  measure: () => Promise<T>, describe: (figures: T) => string[], json: boolean,
): Promise<number> {
  requireTools();
  if (insideNamespace === undefined) {
    const found = findNamespace();
    if ('kind' in found) return await enterNamespace(found.kind);
    throw new CommandError(found.reasons.join('; '));
  }
  const lifetime = new Lifetime();
  void lifetime.ended.then(() => process.exit(1)); // helpers are tethered: they end with us
  raiseLoopback();
  const figures = await measure();
  if (process.stderr.isTTY) process.stderr.write(`\r${''.padEnd(70)}\r`);
  const text = json ? JSON.stringify(figures, undefined, 2) : describe(figures).join('\n');
  await new Promise<void>((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
  return 0;
}

async function tun(options: Options): Promise<number> {
  const runs = requireNumber('runs', options.runs, 100);
  const seconds = requireNumber('seconds', options.seconds, 600);
  const parts = requireParts(options.parts);
  const measure = (): ReturnType<typeof tunBench> => tunBench({
    runs, seconds, parts, sysctl: options.sysctl ?? [], onStep: onTerminal,
  });
  return await inNamespace(measure, describeTunBench, options.json === true);
}

interface PathsWords {
  runs?: string;
  seconds?: string;
  cells?: string;
  jobs?: string;
  seed: string;
  queue: string;
  cc: string;
  quick?: boolean;
  json?: boolean;
}

/** Both ends' controller, which must be one that either end can be told. */
function requireController(name: string): string {
  if (name in Congestion && !/^\d/.test(name)) return name;
  const known = Object.keys(Congestion).filter((key) => !/^\d/.test(key)).join(', ');
  throw new UsageError(`--cc ${name}: the engine has ${known}`);
}

function requireQueue(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= 100) return value;
  throw new UsageError(`--queue ${text}: bandwidth-delay products are wanted, such as 1 or 0.1`);
}

function pathsOptions(words: PathsWords): PathsOptions {
  const quick = words.quick === true;
  const cells = words.cells === undefined ? undefined : parseCells(words.cells);
  return {
    cells: cells ?? (quick ? QUICK_CELLS : ALL_CELLS),
    runs: requireNumber('runs', words.runs ?? (quick ? '1' : '7'), 100),
    seconds: requireNumber('seconds', words.seconds ?? (quick ? '3' : '60'), 600),
    jobs: requireNumber('jobs', words.jobs ?? String(os.availableParallelism()), 64),
    seed: requireNumber('seed', words.seed, 1e9),
    queueBdp: requireQueue(words.queue),
    congestion: requireController(words.cc),
    onStep: onTerminal,
    onCell: (cell) => {
      // Hours may pass: whoever watches sees what is done, and a run that is ended left something.
      const [, line = formatCell(cell)] = table([cellRow(cell)]);
      process.stderr.write(`${process.stderr.isTTY ? '\r' : ''}${line}\n`);
    },
  };
}

async function paths(words: PathsWords): Promise<number> {
  const options = pathsOptions(words);
  return await inNamespace(() => pathsBench(options), describePathsBench, words.json === true);
}

const list = (value: string, before: string[] | undefined): string[] => [...before ?? [], value];

/** Adds the command. */
export function registerBench(
  program: Command, run: (action: () => Promise<number>) => void,
): void {
  const bench = program.command('bench').description('measure, side by side with peers');
  bench.command('tun')
    .description("real iperf3 and small messages over TUN beside the kernel's own TCP over veth")
    .option('--runs <n>', 'alternating runs', '3')
    .option('--seconds <s>', 'of each run of iperf3', '2')
    .option('--parts <list>', 'of offload,plain,small', PARTS.join(','))
    .option('--sysctl <name=value>', 'for our stack, again for more', list)
    .option('--json', 'figures of every run as JSON')
    .action((options: Options) => run(() => tun(options)));
  bench.command('paths')
    .description('one connection over lossy and long links, 100 Mbit/s, beside Linux to Linux')
    .option('--runs <n>', 'alternating runs of each cell (7)')
    .option('--seconds <s>', 'of each run (60)')
    .option('--cells <list>', 'LOSS:RTT[:in|out] in per cent and ms (0,0.1,1,3 by 10,60,150)')
    .option('--jobs <n>', 'cells at a time (one a CPU)')
    .option('--seed <n>', 'of the losses of the first run; each run has the next', '1')
    .option('--queue <bdp>', 'buffer of the bottleneck in bandwidth-delay products', '1')
    .option('--cc <name>', 'controller of both ends', 'cubic')
    .option('--quick', 'few cells, one run of 3 s')
    .option('--json', 'everything about every run as JSON')
    .action((words: PathsWords) => run(() => paths(words)));
}
