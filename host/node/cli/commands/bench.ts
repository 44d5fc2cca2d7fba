/**
 * `ackorn bench`: measurements side by side with peers. `bench tun` is the kernel's own TCP: real
 * iperf3 and small messages over TUN and over veth, in a network namespace made for it.
 */

import type { Command } from 'commander';
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

async function tun(options: Options): Promise<number> {
  const runs = requireNumber('runs', options.runs, 100);
  const seconds = requireNumber('seconds', options.seconds, 600);
  const parts = requireParts(options.parts);
  requireTools();
  if (insideNamespace === undefined) {
    const found = findNamespace();
    if ('kind' in found) return await enterNamespace(found.kind);
    throw new CommandError(found.reasons.join('; '));
  }
  const lifetime = new Lifetime();
  void lifetime.ended.then(() => process.exit(1)); // helpers are tethered: they end with us
  raiseLoopback();
  const bench = await tunBench({
    runs, seconds, parts, sysctl: options.sysctl ?? [],
    onStep: (step) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${step.padEnd(70)}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write(`\r${''.padEnd(70)}\r`);
  const text = options.json === true
    ? JSON.stringify(bench, undefined, 2) : describeTunBench(bench).join('\n');
  await new Promise<void>((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
  return 0;
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
}
