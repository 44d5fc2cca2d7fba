/**
 * Programs that the interop tests need. Where one is missing, a test is skipped; with CI=true it
 * fails instead, with one line that names the program.
 */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** Debian's packages of programs that have other names. */
const PACKAGES = new Map([
  ['nc.openbsd', 'netcat-openbsd'], ['ping', 'iputils-ping'], ['ss', 'iproute2'],
  ['nstat', 'iproute2'], ['arping', 'iputils-arping'], ['dnsmasq', 'dnsmasq-base'],
]);

/** True when the program can be run; else the test is marked as skipped, or fails under CI. */
export function needs(t: TestContext, program: string): boolean {
  const found = (process.env.PATH ?? '').split(path.delimiter).some((directory) => {
    try {
      accessSync(path.join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found) return true;
  const name = PACKAGES.get(program) ?? program;
  const line = `${program} is missing: install it (apt-get install ${name})`;
  if (process.env.CI === 'true') throw new Error(line);
  t.skip(line);
  return false;
}

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, killed after `timeoutMs`. Never rejects: a failure is in `code`. */
export function run(program: string, args: string[], timeoutMs = 30_000): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, maxBuffer: 1 << 26 };
    const child = execFile(program, args, options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

/** A program that runs beside the test and is killed, by its own process, when the test ends. */
export function background(t: TestContext, program: string, args: string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}
