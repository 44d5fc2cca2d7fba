/**
 * Random and mutated frames against an engine with listeners and connections in every state: no
 * trap, no leak, whatever arrives and whatever stands in the rings. SEEDS=n for n × 4,000.
 */
import { test } from 'node:test';
import { Fuzzer } from './fuzzer.js';
import { seeds } from './lab.js';

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
  for (const seed of seeds(250)) {
    try {
      storm(seed);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});
