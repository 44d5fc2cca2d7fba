/**
 * Compiles assembly/testing-core.ts with the shipped flags and gives each test a fresh instance.
 * Used by the tests of assembly/core.
 */
import { type StdioOptions, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A function of the engine: numbers in and out; what is u32 comes signed. */
type Call = (...args: number[]) => number;
type Wide = (...args: bigint[]) => bigint;

export interface Core {
  memory: WebAssembly.Memory;
  /** Calls and reads the result as u32. */
  call: (name: string, ...args: number[]) => number;
  wide: (name: string, ...args: bigint[]) => bigint;
  raw: Record<string, unknown>;
  u8: Uint8Array;
  u32: Uint32Array;
}

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

/** Compiles once a test file; `name` keeps files that run at the same time apart. */
export function compileCore(name: string, ...flags: string[]): WebAssembly.Module {
  const out = join(root, 'build', `testing-core-${name}.wasm`);
  mkdirSync(dirname(out), { recursive: true });
  const require = createRequire(join(root, 'package.json'));
  const asc = join(dirname(require.resolve('assemblyscript/package.json')), 'bin/asc.js');
  const args = ['assembly/testing-core.ts', '--config', 'asconfig.json', '--target', 'release'];
  // The three paths of the release target would overwrite the shipped module.
  args.push('--outFile', out, '--textFile', `${out}.wat`, ...flags);
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit'];
  execFileSync(process.execPath, [asc, ...args], { cwd: root, stdio });
  return new WebAssembly.Module(readFileSync(out));
}

/** A fresh instance with `pages` of memory beyond its first. */
export function makeCore(module: WebAssembly.Module, pages: number): Core {
  const instance = new WebAssembly.Instance(module, {});
  const raw = instance.exports as Record<string, unknown>;
  const memory = raw['memory'] as WebAssembly.Memory;
  memory.grow(pages);
  return {
    memory,
    raw,
    call: (name, ...args) => (raw[name] as Call)(...args) >>> 0,
    wide: (name, ...args) => BigInt.asUintN(64, (raw[name] as Wide)(...args)),
    u8: new Uint8Array(memory.buffer),
    u32: new Uint32Array(memory.buffer),
  };
}

/** Seeded random numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return this.u32() % n;
  }

  /** low to high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}
