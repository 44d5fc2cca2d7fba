/**
 * Runs the tests: as-pect over assembly/__tests__, node:test over tests/ without tests/interop
 * (suite `unit`, the default), or tests/interop alone (`--suite interop`, which needs other
 * programs). Paths as arguments narrow a run down: `npm test -- tests/tidy.test.ts`.
 * Counts go to build/test-counts. Where CI=true a skipped test is a failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Counts, countsFile, readCounts, sum, writeCounts } from './counts.js';
import { at, filesUnder, root } from './repository.js';

/** Above the slowest test by far: a hung one ends instead of stopping the run. */
const TEST_TIMEOUT_MS = 600_000;

/** How much curl fetches and uploads in the interop suite. */
const INTEROP_BYTES = 2 ** 30;

type Suite = 'unit' | 'interop';

/** Runs a runner that writes counts under `name`; a failure it did not count is counted here. */
function runCounted(name: string, args: readonly string[]): Counts {
  const file = countsFile(name);
  rmSync(file, { force: true });
  mkdirSync(dirname(file), { recursive: true });
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const counts = readCounts(name) ?? { passed: 0, failed: 0, skipped: 0 };
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  if (process.env['CI'] === 'true' && counts.skipped > 0) {
    process.stderr.write(`${counts.skipped} tests of ${name} were skipped: a failure under CI\n`);
    counts.failed += counts.skipped;
  }
  writeCounts(name, counts);
  return counts;
}

function runAsPect(specs: readonly string[]): Counts {
  // Not bin/asp.js: it starts whatever `node` is first in PATH, with flags of old versions.
  const program = at('node_modules', '@as-pect', 'cli', 'lib', 'test.js');
  return runCounted('as-pect', [program, '--no-logo', '--summary', ...specs]);
}

function runNodeTest(suite: Suite, sources: readonly string[]): Counts {
  const compiled = sources.map((path) => `build/js/${path.replace(/\.ts$/, '.js')}`);
  return runCounted(suite, [
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=./build/js/tools/count-reporter.js',
    `--test-reporter-destination=${countsFile(suite)}`,
    ...compiled,
  ]);
}

/** The tests of a suite: all of them, or those that `wanted` names. */
function select(suite: Suite, wanted: readonly string[]): { specs: string[]; tests: string[] } {
  for (const path of wanted) {
    if (!existsSync(at(path))) throw new Error(`there is no ${path}`);
  }
  const among = (path: string) => wanted.length === 0 || wanted.includes(path);
  const tests = filesUnder('tests', '.test.ts').filter((path) =>
    path.startsWith('tests/interop/') === (suite === 'interop'));
  const specs = suite === 'unit' ? filesUnder('assembly/__tests__', '.spec.ts') : [];
  return { specs: specs.filter(among), tests: tests.filter(among) };
}

function main(args: readonly string[]): void {
  const suite: Suite = args[0] === '--suite' && args[1] === 'interop' ? 'interop' : 'unit';
  const wanted = args[0] === '--suite' ? args.slice(2) : args;
  const { specs, tests } = select(suite, wanted);
  // One test file alone is content with less.
  if (suite === 'interop') process.env['ACKORN_TEST_BYTES'] ??= String(INTEROP_BYTES);
  if (specs.length + tests.length === 0) throw new Error(`no test of suite ${suite} was named`);
  const results: Counts[] = [];
  if (specs.length > 0) results.push(runAsPect(specs));
  if (tests.length > 0) results.push(runNodeTest(suite, tests));
  const { passed, failed, skipped } = sum(results);
  process.stdout.write(`${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  if (failed > 0) process.exitCode = 1;
}

main(process.argv.slice(2));
