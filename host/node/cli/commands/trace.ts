/**
 * `ackorn trace`: state changes, retransmissions and drops of the running stack as they happen, one
 * a line, with the time of day.
 */

import type { Command } from 'commander';
import { describeTrace } from '../../../core/trace.js';
import { findSocket, lines, open } from '../../control/client.js';
import type { TraceLine } from '../../control/streams.js';
import { Timestamps } from '../../decode/tcpdump-time.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

async function trace(flags: ChoiceOptions & { json?: boolean }): Promise<number> {
  const path = await findSocket(flags);
  const stamps = new Timestamps('default');
  const response = await open(path, { path: '/v1/trace' });
  for await (const line of lines<TraceLine | { kind: 'Lost'; count: number }>(response)) {
    if (flags.json === true) process.stdout.write(`${JSON.stringify(line)}\n`);
    else if (line.kind === 'Lost') process.stdout.write(`${line.count} records lost\n`);
    else process.stdout.write(`${stamps.text(line.wallUs)}${describeTrace(line)}\n`);
  }
  return 0;
}

/** Adds the command. */
export function registerTrace(program: Command, run: Run): void {
  withChoice(program.command('trace'))
    .description('state changes, retransmissions and drops, as they happen')
    .option('-j, --json', "the control socket's lines")
    .action((flags: ChoiceOptions & { json?: boolean }) => run(() => trace(flags)));
}
