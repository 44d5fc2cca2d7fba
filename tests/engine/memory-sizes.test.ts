/**
 * Law 1: the same engine.wasm serves 128 KiB and 4 GiB. The host sizes the memory once, before
 * boot; here both ends of a wire are booted with the least and with nearly the most there can be,
 * and an echo goes through the one and through the other. Untouched pages of the large one cost
 * nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress, type AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { Pair, type PairEnd } from '../../host/core/pair.js';
import { engine as module } from '../sim/module.js';

const PAGE = 65_536;
const KIB = 1024;
const TEXT = new Uint8Array(3000).map((_, at) => at * 7);

/** Sends TEXT to the other end and back again. */
function echo(pair: Pair, client: PairEnd, server: PairEnd): void {
  const address = parseAddress('10.0.0.2') as AddressWords;
  const listener = server.engine.listen(address, 7, 4);
  const there = client.engine.open();
  client.engine.connect(there, address, 7);
  pair.settle();
  const here = server.engine.accept(listener);
  assert.ok(here !== undefined);
  assert.equal(client.engine.write(there, TEXT, 0, TEXT.length), TEXT.length);
  pair.settle();
  const heard = new Uint8Array(TEXT.length);
  assert.equal(server.engine.read(here, heard, 0, heard.length), TEXT.length);
  assert.equal(server.engine.write(here, heard, 0, heard.length), TEXT.length);
  pair.settle();
  const back = new Uint8Array(TEXT.length);
  assert.equal(client.engine.read(there, back, 0, back.length), TEXT.length);
  assert.deepEqual(back, TEXT);
}

function pairOf(config: EngineConfig): Pair {
  const addresses = [['10.0.0.1/24'], ['10.0.0.2/24']] as const;
  return new Pair(module, { config: [config, config], addresses });
}

test('the mcu profile · at most 128 KiB · an echo comes back', () => {
  const pair = pairOf({ profile: 'mcu', seed: 1 });
  for (const end of [pair.client, pair.server]) {
    assert.ok(end.engine.buffer.byteLength <= 128 * KIB, `${end.engine.buffer.byteLength}`);
  }
  echo(pair, pair.client, pair.server);
});

test('an arena of nearly 4 GiB · at least 98 % of all pages · an echo comes back', () => {
  // What the test profile needs beside its arena, and the arena's metadata of 4 bytes in 512.
  const arenaBytes = 4_225_000_000 - 4_225_000_000 % PAGE;
  const pair = pairOf({ profile: 'test', seed: 1, arenaBytes });
  for (const end of [pair.client, pair.server]) {
    const { byteLength } = end.engine.buffer;
    assert.ok(byteLength > 65_535 * PAGE * 0.98, `${byteLength}`);
  }
  echo(pair, pair.client, pair.server);
});

test('more than 4 GiB · refused in one line', () => {
  assert.throws(
    () => pairOf({ profile: 'test', seed: 1, arenaBytes: 0xffff0000 }), /arenaBytes|memory/i,
  );
});
