/**
 * `ackorn exec -- CMD`: runs a command in the network namespace of the running stack, as
 * ip-netns-exec does: joined by process with nsenter(1), exit code and signals passed on.
 */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { ask, findSocket } from '../../control/client.js';
import type { StackDocument } from '../../control/queries.js';
import { CommandError } from '../errors.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

/** What env(1) and the shells say of a command that is not there, or cannot be run. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;

function prefixOf(stack: StackDocument): string[] {
  const target = String(stack.pid);
  switch (stack.netns.kind) {
    case 'none':
      const why = 'is on a wire inside its process: it has no namespace';
    throw new CommandError(`'${stack.name}' ${why}`);
    case 'host': return [];
    case 'user':
      return ['nsenter', '--user', '--net', '--preserve-credentials', '--target', target, '--'];
    default: return ['nsenter', '--net', '--target', target, '--'];
  }
}

async function exec(words: string[], options: ChoiceOptions): Promise<number> {
  const path = await findSocket(options);
  const stack = await ask<StackDocument>(path, { path: '/v1/stack' });
  const [program = '', ...args] = [...prefixOf(stack), ...words];
  const child = spawn(program, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => child.kill(signal));
  }
  return await new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      process.stderr.write(`ackorn: ${program} cannot be started: ${error.message}\n`);
      resolve(error.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE);
    });
    child.once('exit', (code, signal) => {
      if (signal === null) resolve(code ?? 1);
      else endBySignal(signal, resolve);
    });
  });
}

/** Ends as the command did, so that a shell sees the signal. */
function endBySignal(signal: NodeJS.Signals, resolve: (code: number) => void): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // For signals that are ignored.
  setTimeout(() => resolve(128 + constants.signals[signal]), 100);
}

/** Adds the command. */
export function registerExec(program: Command, run: Run): void {
  withChoice(program.command('exec'))
    .description("run a command in the running stack's network namespace: ackorn exec -- CMD")
    .argument('<command...>')
    .passThroughOptions()
    .action((words: string[], options: ChoiceOptions) => run(() => exec(words, options)));
}
