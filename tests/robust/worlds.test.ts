/**
 * Rough worlds by the hundred: short memory, odd packet sizes, sleep, pulled cables, ends that go
 * when they like. SEEDS=n for more; a seed decides everything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { module, seeds } from './lab.js';
import { judgeRoughWorld, makeRoughWorld, runRoughWorld } from './worlds.js';

test('rough worlds · every byte arrives in order or both ends learn of the failure', () => {
  let whole = 0;
  let all = 0;
  for (const seed of seeds(800)) {
    const world = makeRoughWorld(module, seed);
    try {
      runRoughWorld(world);
      whole += judgeRoughWorld(world);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
    all += world.pairs.length;
  }
  assert.ok(whole > all * 0.4 && whole < all * 0.95, `${whole} of ${all} transfers were whole`);
});

test('rough worlds · a seed decides everything', () => {
  for (let seed = 1; seed <= 25; seed++) {
    const runs = [0, 1].map(() => {
      const world = makeRoughWorld(module, seed);
      runRoughWorld(world);
      return world;
    });
    const [one, other] = runs as [typeof runs[0] & object, typeof runs[0] & object];
    assert.equal(one.simulation.nowUs, other.simulation.nowUs, `seed ${seed}`);
    assert.equal(one.simulation.steps, other.simulation.steps, `seed ${seed}`);
    for (const [at, host] of one.hosts.entries()) {
      const twin = other.hosts[at] as typeof host;
      const bytes = Buffer.from(host.engine.bytes);
      assert.ok(bytes.equals(twin.engine.bytes), `seed ${seed} host ${at}`);
    }
  }
});
