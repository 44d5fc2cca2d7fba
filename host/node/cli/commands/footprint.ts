/**
 * `ackorn footprint`: bytes per connection, measured by making the connections between two engines
 * in this process (host/core/footprint.ts). A table, or with --json one object.
 */

import type { Command } from 'commander';
import { footprint, type Footprint } from '../../../core/footprint.js';
import type { HoldingRatio } from '../../../core/footprint-streams.js';
import { engineModule } from '../../engine.js';
import { UsageError } from '../errors.js';

interface Options {
  connections: string;
  json?: boolean;
}

const MEANING: Record<keyof Footprint['bytesPerConnection'], string> = {
  idleFresh: 'established, never carried a byte',
  idle: 'carried 64 KiB each way, quiet, tcp_info still right',
  halfOpen: 'SYN received, not yet acknowledged',
  timeWait: 'TIME-WAIT',
  listener: 'listener',
  sending: 'for each byte unacknowledged, at most, from 64 KiB up',
  receiving: 'for each byte unread or out of order, at most, from 64 KiB up',
};

function line(name: string, value: number, digits: number, what: string): string {
  return `${name.padEnd(24)}${value.toFixed(digits).padStart(10)}  ${what}`.trimEnd();
}

function holdingLines(kind: string, situations: Record<string, HoldingRatio>): string[] {
  return Object.entries(situations).map(([name, { ratio, atBytes, levels, upToBytes }]) =>
    line(`  ${name}`, ratio, 3, `${kind}, at ${atBytes} of up to ${upToBytes}, ${levels} levels`));
}

/** The table, a line each. */
export function describeFootprint(made: Footprint): string[] {
  const kinds = Object.entries(made.bytesPerConnection) as [keyof typeof MEANING, number][];
  const { shares, fixed, pools, hash } = made;
  return [
    `bytes per connection, ${made.connections} made of each kind`,
    ...kinds.map(([name, value]) =>
      line(name, value, name === 'sending' || name === 'receiving' ? 3 : 1, MEANING[name])),
    'the worst level of each situation',
    ...holdingLines('sending', made.holding.sending),
    ...holdingLines('receiving', made.holding.receiving),
    'so much missing that the holes count, beside the above',
    ...holdingLines('receiving', made.holding.sparse),
    'included above',
    line('  hash table', shares.hashTable, 2, `a record, of ${hash.buckets} buckets; ` +
      `longest chain ${hash.longest}`),
    line('  arena metadata', shares.arenaMetadata, 4, 'a byte of arena'),
    'bytes a record',
    ...Object.entries(pools).map(([name, value]) => line(`  ${name}`, value, 1, '')),
    'fixed bytes, however many there are',
    ...Object.entries(fixed).map(([name, value]) => line(`  ${name}`, value, 0, '')),
  ];
}

async function action(options: Options): Promise<number> {
  const connections = Number(options.connections);
  if (!/^\d+$/.test(options.connections) || connections < 1 || connections > 20_000) {
    throw new UsageError(
      `--connections ${options.connections}: a whole number from 1 to 20000 is wanted`,
    );
  }
  const made = footprint(await engineModule(), { connections });
  const text = options.json === true
    ? JSON.stringify(made, undefined, 2) : describeFootprint(made).join('\n');
  await new Promise<void>((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
  return 0;
}

/** Adds the command. */
export function registerFootprint(
  program: Command, run: (action: () => Promise<number>) => void,
): void {
  program.command('footprint')
    .description('bytes per connection, measured by making the connections')
    .option('--connections <n>', 'to make of each kind', '1000')
    .option('--json', 'one object')
    .action((options: Options) => run(() => action(options)));
}
