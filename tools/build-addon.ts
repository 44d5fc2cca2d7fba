/**
 * Compiles the N-API addon (host/node/addon/*.c) to build/ackorn.node with plain cc ($CC).
 * Compiles only when a source, or build/generated/abi.h with the ring's numbers, is newer; without
 * a compiler it says so in one line and the hosts fall back to koffi. Called by tools/build.ts and
 * by the tests that need it. No node-gyp: it would download headers.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { argv, env, pid } from 'node:process';
import * as abi from '../assembly/abi.js';
import { generateAbi, namesOf, toC } from './generate-abi.js';
import { at } from './repository.js';

const SOURCES = at('host', 'node', 'addon');
const HEADER = at('build', 'generated', 'abi.h');
const TARGET = at('build', 'ackorn.node');

/** What buildAddon did: compiled, found it up to date, or could not (and why, in one line). */
export interface BuildResult {
  readonly path: string;
  readonly state: 'built' | 'fresh' | 'skipped';
  readonly reason: string;
}

/** Makes sure that the header says what assembly/abi.ts says now; untouched when it does. */
function writeHeader(): void {
  const text = toC(namesOf(abi));
  if (!existsSync(HEADER) || readFileSync(HEADER, 'utf8') !== text) generateAbi(dirname(HEADER));
}

function isFresh(inputs: readonly string[]): boolean {
  if (!existsSync(TARGET)) return false;
  const built = statSync(TARGET).mtimeMs;
  return inputs.every((path) => statSync(path).mtimeMs <= built);
}

function includeFolder(): string | undefined {
  try {
    const headers = createRequire(import.meta.url)('node-api-headers') as { include_dir: string };
    return headers.include_dir;
  } catch {
    return undefined;
  }
}

/** Compiles when needed. Throws only when a compiler is there and refuses the sources. */
export function buildAddon(force = false): BuildResult {
  const result = (state: BuildResult['state'], reason: string): BuildResult => ({
    path: TARGET,
    state,
    reason,
  });
  const sources = readdirSync(SOURCES).filter((name) => /\.[ch]$/.test(name));
  writeHeader();
  const inputs = [...sources.map((name) => join(SOURCES, name)), HEADER];
  if (!force && isFresh(inputs)) return result('fresh', 'up to date');
  const include = includeFolder();
  if (include === undefined) return result('skipped', 'the package node-api-headers is missing');
  const [compiler = 'cc', ...options] = (env['CC'] ?? 'cc').split(/\s+/).filter(Boolean);
  // Compiled beside its place and moved there: a test that starts meanwhile sees a whole file.
  const fresh = `${TARGET}.${pid}`;
  const flags = ['-std=c11', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra'];
  const files = inputs.filter((path) => path.endsWith('.c'));
  const defines = ['-DNAPI_VERSION=8', '-I', include, '-I', dirname(HEADER)];
  const run = spawnSync(compiler, [...options, ...flags, ...defines, '-o', fresh, ...files], {
    encoding: 'utf8',
  });
  if (run.error) return result('skipped', `no C compiler (${compiler}): koffi will be used`);
  if (run.status !== 0) {
    rmSync(fresh, { force: true });
    throw new Error(`${compiler} refused the addon:\n${run.stderr}`);
  }
  if (run.stderr !== '') console.error(run.stderr.trimEnd());
  renameSync(fresh, TARGET);
  return result('built', `compiled with ${compiler}`);
}

if (argv[1] === at('build', 'js', 'tools', 'build-addon.js')) {
  const { state, reason } = buildAddon(argv.includes('--force'));
  if (state !== 'fresh') console.log(`addon: ${state}: ${reason}`);
}
