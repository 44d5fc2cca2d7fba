/**
 * Builds everything that is not TypeScript: the engine, its testing entry, the proof that it needs
 * no runtime, the constants for C and Rust, the addon. tools/setup.mjs has compiled the TypeScript
 * before. Each step is skipped when a hash over its inputs and outputs says nothing has changed.
 * Called by every npm script; it must stay fast when there is nothing to do.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { buildWithoutRuntime } from './forbidden-runtime.js';
import { generateAbi } from './generate-abi.js';
import { asc, at, filesUnder, hashOf } from './repository.js';

/** One unit of work; paths are relative to the root. */
export interface Step {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  run(): void | Promise<void>;
}

/** After each round of optimization. A path without ./ would be a package to the compiler. */
const INLINING = [
  '--transform', './build/js/tools/inline-transform.js', '--runPasses', 'inlining-optimizing',
];

/** The command's file, which npm links as `ackorn`. */
const CLI = 'build/js/host/node/cli/main.js';

function engineSources(): string[] {
  const sources = filesUnder('assembly', '.ts').filter((path) => !path.includes('/__tests__/'));
  const compiler = ['asconfig.json', 'node_modules/assemblyscript/package.json'];
  return [...sources, ...compiler, 'build/js/tools/inline-transform.js'];
}

/** The compiler's steps for an entry, or none while the entry does not exist. */
function compile(entry: string, target: string, output: string): Step[] {
  if (!existsSync(at(entry))) return [];
  const outputs = [`${output}.wasm`, `${output}.wat`, `${output}.wasm.map`];
  const run = () => asc(entry, target, INLINING);
  return [{ name: target, inputs: engineSources(), outputs, run }];
}

function withoutRuntime(entry: string): Step[] {
  if (!existsSync(at(entry))) return [];
  return [{
    name: 'forbidden-runtime',
    inputs: [...engineSources(), 'tools/forbidden/runtime.ts', 'tools/forbidden-runtime.ts'],
    outputs: ['build/forbidden.wasm'],
    run: () => buildWithoutRuntime(entry, 'forbidden'),
  }];
}

function steps(): Step[] {
  return [
    ...compile('assembly/index.ts', 'release', 'build/engine'),
    ...compile('assembly/testing.ts', 'testing', 'build/testing'),
    ...withoutRuntime('assembly/index.ts'),
    {
      name: 'generate-abi',
      inputs: [
        'assembly/abi.ts', 'host/core/config.ts', 'host/core/exports.ts', 'tools/generate-abi.ts',
      ],
      outputs: ['build/generated/abi.h', 'build/generated/abi.rs'],
      run: () => generateAbi(at('build', 'generated')),
    },
  ];
}

/** Runs `step` unless its stamp says that inputs and outputs are as it left them. */
export async function runStep(step: Step): Promise<'built' | 'unchanged'> {
  const stamp = at('build', 'stamps', step.name);
  const state = () => `${hashOf(step.inputs)} ${hashOf(step.outputs)}`;
  const outputsExist = step.outputs.every((path) => existsSync(at(path)));
  if (outputsExist && existsSync(stamp) && readFileSync(stamp, 'utf8') === state()) {
    return 'unchanged';
  }
  rmSync(stamp, { force: true }); // a step that fails half-way is not believed later
  await step.run();
  mkdirSync(at('build', 'stamps'), { recursive: true });
  writeFileSync(stamp, state());
  return 'built';
}

/** Removes compiled files whose source is gone, so that no stale test runs and none is shipped. */
function prune(): void {
  for (const path of filesUnder('build/js')) {
    const stem = /^build\/js\/(.+?)(\.d\.ts|\.js\.map|\.js)$/.exec(path)?.[1];
    if (stem !== undefined && !existsSync(at(`${stem}.ts`))) rmSync(at(path));
  }
}

/** The addon's step keeps its own rules (a compiler may be missing), so it is only called. */
async function buildAddon(): Promise<void> {
  const path = at('build', 'js', 'tools', 'build-addon.js');
  if (!existsSync(path)) return;
  const { buildAddon: build } = await import(pathToFileURL(path).href);
  const { state, reason } = await build();
  if (state !== 'fresh') process.stdout.write(`addon ${state}: ${reason}\n`);
}

async function main(): Promise<void> {
  prune();
  for (const step of steps()) {
    const begun = performance.now();
    if (await runStep(step) === 'unchanged') continue;
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    process.stdout.write(`built ${step.name} in ${seconds} s\n`);
  }
  await buildAddon();
  if (existsSync(at(CLI))) chmodSync(at(CLI), 0o755);
}

if (process.argv[1] === at('build', 'js', 'tools', 'build.js')) {
  await main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
