/**
 * Random calls by the million: every export of docs/abi.md with arguments that are right, nearly
 * right or nonsense, in any order, also before boot. Never a trap; an error is one of Errno's; what
 * was opened can be closed and leaves nothing. SEEDS=n for n × 10,000.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALLS } from '../../host/core/exports.js';
import { Random } from '../../host/sim/random.js';
import { Fuzzer } from './fuzzer.js';
import { module, seeds } from './lab.js';

const STEPS = 10_000;
/** boot is refused when it has been done; poll has a time of its own in the storm. */
const SKIPPED = new Set(['boot']);

function storm(seed: number): Map<string, [number, number]> {
  const fuzzer = new Fuzzer(seed);
  for (let step = 0; step < STEPS; step++) {
    const kind = fuzzer.random.below(100);
    if (kind < 80) fuzzer.call(SKIPPED);
    else if (kind < 90) fuzzer.use();
    else if (kind < 98) fuzzer.frame();
    else fuzzer.time();
  }
  fuzzer.finish();
  return fuzzer.results;
}

test('calls · a million random ones · no trap, errors have names, nothing is left', () => {
  const good = new Set<string>();
  const bad = new Set<string>();
  for (const seed of seeds(100)) {
    try {
      for (const [name, [right, wrong]] of storm(seed)) {
        if (right > 0) good.add(name);
        if (wrong > 0) bad.add(name);
      }
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
  // A fuzzer whose calls all fail in the first check tests nothing.
  for (const [name] of CALLS) {
    if (SKIPPED.has(name)) continue;
    assert.ok(good.has(name), `${name} never worked`);
    if (!Fuzzer.plain.has(name)) assert.ok(bad.has(name), `${name} never failed`);
  }
});

test('calls · before boot · answered, not trapped', () => {
  const random = new Random(3);
  const { exports } = new WebAssembly.Instance(module, {});
  const calls = exports as Record<string, (...values: number[]) => number>;
  for (let round = 0; round < 20_000; round++) {
    const [name, parameters] = random.pick(CALLS);
    const values = Array.from({ length: parameters }, () =>
      random.pick([0, 1, 80, 0xffffffff, random.u32()]));
    const result = calls[name]?.(...values) as number;
    if (name === 'abiVersion' || name === 'poll') assert.notEqual(result, 0, name);
    else if (name === 'sysctlGet') assert.ok(result === 0 || result === -22, `${name} ${result}`);
    else assert.ok(result <= 0, `${name}(${values.join()}) before boot gave ${result}`);
  }
});
