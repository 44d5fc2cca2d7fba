/**
 * Random and mutated frames against an engine with listeners and connections in every state: no
 * trap, no leak, whatever arrives and whatever stands in the rings. FRAMES=n for more.
 */
import { test } from 'node:test';
import { Fuzzer } from './fuzzer.js';
import { times } from './lab.js';

const STEPS = 4000;

function storm(seed: number): void {
  const fuzzer = new Fuzzer(seed);
  for (let step = 0; step < STEPS; step++) {
    const kind = fuzzer.random.below(100);
    if (kind < 75) fuzzer.frame();
    else if (kind < 95) fuzzer.use();
    else if (kind < 96) fuzzer.nonsense();
    else fuzzer.time();
  }
  fuzzer.finish();
}

test('frames · a million random and mutated ones in every state · no trap, no leak', () => {
  const frames = times(1_000_000, 'FRAMES');
  for (let seed = 1; seed <= Math.ceil(frames / STEPS); seed++) {
    try {
      storm(seed);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});
