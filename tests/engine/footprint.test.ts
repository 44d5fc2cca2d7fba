/**
 * Footprint: the limits of bytes per connection, measured by making real ones on the shipped engine
 * (host/core/footprint.ts), the sum of the parts, and `ackorn footprint`. Deterministic.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { execPath } from 'node:process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CONNECTION_KINDS, footprint, type Footprint } from '../../host/core/footprint.js';
import type { HoldingRatio } from '../../host/core/footprint-streams.js';
import { engine as module } from '../sim/module.js';

const CLI = fileURLToPath(new URL('../../host/node/cli/main.js', import.meta.url));

const made = footprint(module, { connections: 300 });
const { bytesPerConnection: bytes, holding, shares, pools } = made;

describe('footprint · limits', () => {
  const limits = {
    idleFresh: 160, idle: 256, halfOpen: 64, timeWait: 64, listener: 64, sending: 1.25,
    receiving: 1.25,
  };
  for (const kind of CONNECTION_KINDS) {
    test(`${kind} · at most ${limits[kind]}`, () => {
      assert.ok(bytes[kind] <= limits[kind], `${bytes[kind]}`);
    });
  }
  test('tables of 1,200, 4,000 and 4,096 records · within the same limits', () => {
    for (const connectionsMax of [300, 1000, 1024]) {
      const pool = { connectionsMax, timeWaitMax: connectionsMax, synRequestsMax: connectionsMax };
      const { halfOpen, timeWait, idle, idleFresh } =
        footprint(module, { connections: 300, config: pool }).bytesPerConnection;
      assert.ok(Math.max(halfOpen, timeWait) <= 64, `${halfOpen} ${timeWait}`);
      assert.ok(idle <= 256 && idleFresh <= 160, `${idle} ${idleFresh}`);
    }
  });
});

describe('footprint · what is counted', () => {
  test('records and shares of the hash table, nothing else, for what is quiet', () => {
    const close = (one: number, other: number): void =>
      assert.ok(Math.abs(one - other) < 1e-6, `${one} ${other}`);
    close(bytes.idleFresh, pools.connections + shares.hashTable);
    close(bytes.idle, pools.connections + pools.extras + shares.hashTable);
    close(bytes.halfOpen, pools.halfOpen + shares.hashTable);
    close(bytes.timeWait, pools.timeWait + shares.hashTable);
    close(bytes.listener, pools.listeners + shares.hashTable);
    assert.ok(shares.hashTable > 1.9 && shares.hashTable <= 4, `${shares.hashTable}`);
    assert.ok(shares.arenaMetadata > 0 && shares.arenaMetadata < 0.01);
  });
  test('bytes held cost more than themselves, at many levels up to several MiB', () => {
    for (const situations of Object.values(holding)) {
      const entries = Object.entries(situations as Record<string, HoldingRatio>);
      for (const [name, { ratio, upToBytes, levels }] of entries) {
        assert.ok(ratio > 1.01, `${name}: ${ratio}`);
        assert.ok(levels > 500 && upToBytes >= 3 << 20, `${name}: ${levels} ${upToBytes}`);
      }
    }
  });
  test('the same again', () => {
    assert.deepEqual(footprint(module, { connections: 300 }), made);
  });
  test('numbers out of range are refused', () => {
    for (const connections of [0, 1.5, 20_001]) {
      assert.throws(() => footprint(module, { connections }), RangeError);
    }
  });
});

describe('footprint · the command', () => {
  const run = (...words: string[]) =>
    spawnSync(execPath, [CLI, 'footprint', ...words], { encoding: 'utf8' });
  test('--json prints one object with the same figures', () => {
    const { stdout, status } = run('--json', '--connections', '300');
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout) as Footprint, made);
  });
  test('text is an aligned table with every kind', () => {
    const { stdout, status } = run('--connections', '10');
    assert.equal(status, 0);
    for (const kind of CONNECTION_KINDS) {
      assert.match(stdout, new RegExp(`^${kind} +[0-9.]+  `, 'm'));
    }
    const ends = stdout.split('\n').map((text) => /^ *\w+ {2,}[0-9.]+/.exec(text)?.[0].length);
    assert.deepEqual([...new Set(ends.filter((end) => end !== undefined))], [34]);
  });
  test('a number that is none · exit code 2', () => {
    assert.equal(run('--connections', 'many').status, 2);
  });
});
