#!/usr/bin/env node
/**
 * `ackorn`: the command line. One file a command in commands/; here are their list, and how a
 * command ends: exit code 0, 1 when something did not work, 2 when the words made no sense, one
 * line each.
 */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerBench } from './commands/bench.js';
import { registerDump } from './commands/dump.js';
import { registerExec } from './commands/exec.js';
import { registerFootprint } from './commands/footprint.js';
import { registerIperf3 } from './commands/iperf3.js';
import { registerNc } from './commands/nc.js';
import { registerNstat } from './commands/nstat.js';
import { registerPing } from './commands/ping.js';
import { registerSim } from './commands/sim.js';
import { registerSs } from './commands/ss.js';
import { registerStart } from './commands/start.js';
import { registerTrace } from './commands/trace.js';
import { registerUp } from './commands/up.js';
import { CommandError, oneLine } from './errors.js';

type Register = (program: Command, run: (action: () => Promise<number>) => void) => void;

const COMMANDS: readonly Register[] = [
  registerUp, registerStart, registerExec, registerNc, registerSs, registerNstat, registerDump,
  registerTrace, registerPing, registerIperf3, registerBench,
  registerFootprint, registerSim,
];

function fail(error: unknown): never {
  process.stderr.write(`ackorn: ${oneLine(error)}\n`);
  // Exits at once: a signal's handlers or a child's pipe must not keep a failed command alive.
  process.exit(error instanceof CommandError ? error.exitCode : 1);
}

/** Runs a command's action; what it resolves with is the exit code. */
function run(action: () => Promise<number>): void {
  action().then((code) => process.exit(code), fail);
}

function version(): string {
  const file = new URL('../../../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function makeProgram(): Command {
  const program = new Command('ackorn')
    .description('a complete TCP/IP stack in one WebAssembly module')
    .version(version())
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        const said = oneLine(new Error(text)).replace(/^error: /, '');
        const command = process.argv[2] ?? '';
        const known = program.commands.some((item) => item.name() === command);
        write(`ackorn: ${said} (see ackorn ${known ? `${command} ` : ''}--help)\n`);
      },
    });
  for (const register of COMMANDS) register(program, run);
  for (const command of program.commands) {
    command.exitOverride().copyInheritedSettings(program);
  }
  return program;
}

// A reader that has gone (`| head`) ends us as it would end any tool.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

try {
  makeProgram().parse();
} catch (error) {
  if (!(error instanceof CommanderError)) fail(error);
  // Help and version were asked for; everything else is a mistake in the words.
  process.exit(error.exitCode === 0 ? 0 : 2);
}
