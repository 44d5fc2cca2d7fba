/**
 * Compiles assembly/testing-recovery.ts with the shipped flags and gives each test a fresh instance
 * with named numbers. Used by the tests of flight, recovery and RTT.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Config, FAULT_AT, RESULT_AT } from '../../assembly/abi.js';

const STATE_WORDS = [
  'sndUna', 'sndNxt', 'cwnd', 'ssthresh', 'pipe', 'quota', 'sackedBytes', 'lostBytes',
  'retransBytes', 'highSack', 'caState', 'dupAcks', 'reordering', 'segmentCount', 'undoRetrans',
  'poolUsed', 'srtt8Us', 'rttvar4Us', 'rtoUs', 'minRttUs', 'flags', 'visited', 'deliveredBytes',
  'rttUs', 'deliveryRate', 'reorderUs', 'reoWndUs', 'probeUs', 'rackRttUs', 'frtoState',
  'reordSeen',
] as const;
export type State = Record<(typeof STATE_WORDS)[number], number>;

/** Start and end of a SACK block. */
export type Block = readonly [number, number];

export interface Piece {
  seq: number;
  length: number;
  flags: number;
}

/** Segment.flags and AckSample.flags that tests name. */
export const SACKED = 1;
export const LOST = 2;
export const RETRANS = 4;
export const AF_DUPLICATE = 16;
export const Ca = { Open: 0, Disorder: 1, Cwr: 2, Recovery: 3, Loss: 4 } as const;

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

export function compileRecovery(name: string): WebAssembly.Module {
  const out = join(root, 'build', `testing-recovery-${name}.wasm`);
  mkdirSync(dirname(out), { recursive: true });
  const require = createRequire(join(root, 'package.json'));
  const asc = join(dirname(require.resolve('assemblyscript/package.json')), 'bin/asc.js');
  const args = ['assembly/testing-recovery.ts', '--config', 'asconfig.json', '--target', 'release'];
  args.push('--outFile', out, '--textFile', `${out}.wat`);
  const stdio: ('ignore' | 'pipe' | 'inherit')[] = ['ignore', 'pipe', 'inherit'];
  execFileSync(process.execPath, [asc, ...args], { cwd: root, stdio });
  return new WebAssembly.Module(readFileSync(out));
}

export class Engine {
  readonly u32: Uint32Array;
  readonly #exports: Record<string, (...args: number[]) => number>;
  #now = 0;
  #scratch: number;

  /** `segments`: records in the pool. */
  constructor(module: WebAssembly.Module, segments: number) {
    const instance = new WebAssembly.Instance(module, {});
    this.#exports = instance.exports as never;
    const memory = instance.exports['memory'] as WebAssembly.Memory;
    this.#scratch = 131072 + segments * 56;
    memory.grow(Math.ceil((this.#scratch + segments * 12) / 65536));
    this.u32 = new Uint32Array(memory.buffer);
    this.call('testBoot', segments);
    this.configure(Config.tcp_reordering, 3);
    this.configure(Config.tcp_min_snd_mss, 48);
    this.configure(Config.tcp_init_cwnd, 10);
    this.configure(Config.tcp_rto_min_us, 200000);
    this.configure(Config.tcp_rto_max_ms, 120000);
    this.configure(Config.tcp_slow_start_after_idle, 1);
    this.configure(Config.tcp_retries1, 3);
    this.configure(Config.tcp_retries2, 15);
    this.advance(1000);
  }

  /** Calls and reads the answer as u32; a trap says its fault. */
  call(name: string, ...args: number[]): number {
    try {
      return (this.#exports[name] as (...a: number[]) => number)(...args) >>> 0;
    } catch (error) {
      const fault = this.u32[FAULT_AT >> 2];
      throw new Error(`${name}(${args.join(', ')}) trapped, fault ${fault}`, { cause: error });
    }
  }

  configure(word: Config, value: number): void {
    this.call('configure', word, value);
  }

  get now(): number {
    return this.#now;
  }

  advance(us: number): void {
    this.#now += us;
    this.call('testTime', Math.floor(this.#now / 2 ** 32), this.#now >>> 0);
  }

  result(word = 0): number {
    return this.u32[(RESULT_AT >> 2) + word] as number;
  }

  state(i = 0): State {
    this.call('testState', i);
    const at = RESULT_AT >> 2;
    return Object.fromEntries(STATE_WORDS.map((name, n) => [name, this.u32[at + n]])) as State;
  }

  /** `echoMs`: when the segment was sent whose timestamp is echoed, on the engine's clock. */
  ack(i: number, ack: number, blocks: readonly Block[] = [], flags = 0, echoMs = 0): void {
    const at = this.call('blocksAt') >> 2;
    blocks.forEach(([start, end], n) => {
      this.u32[at + 2 * n] = start;
      this.u32[at + 2 * n + 1] = end;
    });
    this.call('testAck', i, ack, flags, blocks.length, 0xffffffff, echoMs);
  }

  records(i = 0): Piece[] {
    const n = this.call('testRecords', i, this.#scratch);
    const at = this.#scratch >> 2;
    return Array.from({ length: n }, (_, k) => ({
      seq: this.u32[at + 3 * k] as number,
      length: this.u32[at + 3 * k + 1] as number,
      flags: this.u32[at + 3 * k + 2] as number,
    }));
  }
}

/** Seeded random numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }
}
