/**
 * `ackorn nstat`: the running stack's counters by their Linux names, as nstat(8) prints them.
 * Values are those since the stack began: there is no history file, so -a is how it always is.
 */

import type { Command } from 'commander';
import { ask, findSocket } from '../../control/client.js';
import { formatNstat } from '../../format/nstat.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

interface NstatFlags extends ChoiceOptions {
  zeros?: boolean;
  json?: boolean;
  pretty?: boolean;
}

async function nstat(patterns: string[], flags: NstatFlags): Promise<number> {
  const path = await findSocket(flags);
  const { counters } = await ask<{ counters: Record<string, number> }>(
    path, { path: '/v1/counters' },
  );
  const rows = Object.entries(counters).map(([name, value]) => ({ name, value }));
  process.stdout.write(formatNstat(rows, {
    zeros: flags.zeros === true, json: flags.json === true, pretty: flags.pretty === true, patterns,
  }));
  return 0;
}

/** Adds the command. */
export function registerNstat(program: Command, run: Run): void {
  withChoice(program.command('nstat'))
    .description("the stack's counters, as nstat(8) shows them")
    .argument('[pattern...]', 'shell patterns of names')
    .option('-a, --ignore', 'absolute values: as they always are here')
    .option('-s, --noupdate', 'no history: as it always is here')
    .option('-z, --zeros', 'zeros too')
    .option('-j, --json', 'as JSON')
    .option('-p, --pretty', 'indented')
    .action((patterns: string[], flags: NstatFlags) => run(() => nstat(patterns, flags)));
}
