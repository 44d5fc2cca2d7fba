/**
 * How many tests passed and failed. Each runner leaves one JSON file in build/test-counts; run as a
 * program (by .ci/run, at its end) this file adds them up, prints the line `N passed, N failed` and
 * exits 1 when something failed or nothing ran. `--failed-steps N` says how many steps of the run
 * failed: one may have done so before it could count anything.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { at } from './repository.js';

/** The result of one runner. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const FOLDER = at('build', 'test-counts');

/** The file in which a runner leaves its counts. */
export function countsFile(name: string): string {
  return join(FOLDER, `${name}.json`);
}

/** Leaves `counts` under `name`, replacing those of an earlier run. */
export function writeCounts(name: string, counts: Counts): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(countsFile(name), JSON.stringify(counts));
}

/** What a runner left under `name`, or undefined if it left nothing that can be read. */
export function readCounts(name: string): Counts | undefined {
  if (!existsSync(countsFile(name))) return undefined;
  try {
    return JSON.parse(readFileSync(countsFile(name), 'utf8')) as Counts;
  } catch {
    return undefined; // the runner was killed while it wrote
  }
}

/** The sum over all counts. */
export function sum(all: readonly Counts[]): Counts {
  return all.reduce((left, right) => ({
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  }), { passed: 0, failed: 0, skipped: 0 });
}

function main(args: readonly string[]): void {
  const failedSteps = args[0] === '--failed-steps' ? Number(args[1]) : 0;
  const names = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
  const { passed, failed } = sum(names.map((name) =>
    readCounts(name.replace(/\.json$/, '')) ?? { passed: 0, failed: 1, skipped: 0 }));
  const all = Math.max(failed, failedSteps, passed === 0 ? 1 : 0);
  process.stdout.write(`${passed} passed, ${all} failed\n`);
  if (all > 0) process.exitCode = 1;
}

if (process.argv[1] === at('build', 'js', 'tools', 'counts.js')) main(process.argv.slice(2));
