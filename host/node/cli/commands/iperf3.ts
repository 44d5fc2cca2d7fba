/**
 * `ackorn iperf3`: iperf3's own options, run inside the stack that is running (control/iperf3.ts),
 * with its lines and its exit code. `--name` and `--control` stand before iperf3's options.
 */

import type { Command } from 'commander';
import { findSocket, lines, open } from '../../control/client.js';
import type { Iperf3Line } from '../../control/iperf3.js';
import { parseIperf3Arguments } from '../../services/iperf3/index.js';
import { oneLine, UsageError } from '../errors.js';
import type { ChoiceOptions, Run } from './choice.js';

/** Takes our two options out of iperf3's. */
function split(words: readonly string[]): { choice: ChoiceOptions; args: string[] } {
  const choice: ChoiceOptions = {};
  const args: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const match = /^--(name|control)(?:=(.*))?$/.exec(words[at] ?? '');
    if (match === null) {
      args.push(words[at] ?? '');
      continue;
    }
    const value = match[2] ?? words[++at];
    if (value === undefined) throw new UsageError(`--${match[1]}: a value is wanted`);
    choice[match[1] as 'name' | 'control'] = value;
  }
  return { choice, args };
}

async function iperf3(words: readonly string[]): Promise<number> {
  const { choice, args } = split(words);
  try {
    parseIperf3Arguments(args);
  } catch (error) {
    throw new UsageError(`iperf3: ${oneLine(error)}`);
  }
  const path = await findSocket(choice);
  const response = await open(path, { method: 'POST', path: '/v1/iperf3', body: { args } });
  const stop = (): void => void response.destroy();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  for await (const line of lines<Iperf3Line>(response)) {
    if ('out' in line) process.stdout.write(`${line.out}\n`);
    else if ('err' in line) process.stderr.write(`${line.err}\n`);
    else return line.exit;
  }
  return 1;
}

/** Adds the command. */
export function registerIperf3(program: Command, run: Run): void {
  program.command('iperf3')
    .description("iperf3's client (-c HOST) and server (-s) on the running stack, TCP only")
    .argument('[options...]', "iperf3's own; --name and --control choose the stack")
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption('--help', "this text; iperf3's manual has the options")
    .action((words: string[]) => run(() => iperf3(words)));
}
