/**
 * The constants for C and Rust (tools/generate-abi.ts): none is missing, all have abi.ts's values,
 * and a C compiler agrees. What abi.ts may not hold is refused.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as abi from '../assembly/abi.js';
import { configWords, PROFILE_NAMES } from '../host/core/config.js';
import { CALLS } from '../host/core/exports.js';
import {
  callsToRust, generateAbi, namesOf, profilesToRust, snake, toC, toRust,
} from '../tools/generate-abi.js';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ackorn-abi-'));
});
after(() => rmSync(folder, { recursive: true }));

/** Every number of abi.ts, as dotted name and value, found in another way than namesOf does. */
function everyNumber(): [string, number][] {
  return Object.entries(abi).flatMap(([name, value]): [string, number][] =>
    typeof value === 'number'
      ? [[name, value]]
      : Object.entries(value as object)
        .filter(([, number]) => typeof number === 'number')
        .map(([member, number]) => [`${name}.${member}`, number as number]));
}

function cName(dotted: string): string {
  const [name = '', member] = dotted.split('.');
  return member === undefined ? `ACKORN_${name}` : `ACKORN_${snake(name).toUpperCase()}_${member}`;
}

function compileC(source: string): { status: number | null; output: string } {
  const file = join(folder, 'check.c');
  writeFileSync(file, source);
  const compiler = process.env['CC'] ?? 'cc';
  const args = ['-std=c11', '-Wall', '-Werror', '-fsyntax-only', `-I${folder}`, file];
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  return { status, output: error?.message ?? stderr };
}

/** Under CI a missing compiler is a failure like any other. */
const noCompiler = process.env['CI'] !== 'true' &&
  spawnSync(process.env['CC'] ?? 'cc', ['--version']).error !== undefined;
const skip = noCompiler ? 'no C compiler here' : false;

test('abi.h · every constant with its value · a C compiler agrees', { skip }, () => {
  generateAbi(folder);
  const numbers = everyNumber();
  assert.ok(numbers.length > 300, `${numbers.length} constants`);
  const asserts = numbers.map(([name, value]) =>
    `_Static_assert(${cName(name)} == ${value}u, "${name}");`);
  const { status, output } = compileC(`#include "abi.h"\n${asserts.join('\n')}\n`);
  assert.equal(status, 0, output);
  const wrong = compileC('#include "abi.h"\n_Static_assert(ACKORN_FAULT_AT == 1, "wrong");\n');
  assert.match(wrong.output, /wrong/);
});

test('abi.h · names are the field\'s own', () => {
  const text = toC(namesOf(abi));
  assert.match(text, /^#define ACKORN_FAULT_AT 1024u$/m);
  assert.match(text, /^ {2}ACKORN_STATE_TIME_WAIT = 6,$/m);
  assert.match(text, /^ {2}ACKORN_COUNTER_TcpRetransSegs = \d+,$/m);
  assert.match(text, /^ {2}ACKORN_TCP_INFO_snd_cwnd = \d+,$/m);
});

test('abi.rs · every constant, each once, with its value', () => {
  const found = new Map<string, number>();
  let module = '';
  for (const line of toRust(namesOf(abi)).split('\n')) {
    module = /^pub mod (\w+) \{$/.exec(line)?.[1] ?? (line === '}' ? '' : module);
    const [, name, value] = /^\s*pub const (\w+): u32 = (\d+);$/.exec(line) ?? [];
    if (name === undefined) continue;
    const dotted = module === '' ? name : `${module}.${name}`;
    assert.ok(!found.has(dotted), `${dotted} twice`);
    found.set(dotted, Number(value));
  }
  const expected = everyNumber().map(([dotted, value]): [string, number] => {
    const [name = '', member] = dotted.split('.');
    return [member === undefined ? name : `${snake(name)}.${member}`, value];
  });
  assert.deepEqual([...found].sort(), expected.sort());
});

test('abi.rs · every call in the order that numbers it', () => {
  const lines = callsToRust(CALLS).matchAll(/^ {4}\("(\w+)", (\d+)\),$/gm);
  assert.deepEqual([...lines].map(([, name, count]) => [name, Number(count)]), CALLS);
});

test('abi.rs · every enum has the table of its names', () => {
  const text = toRust(namesOf(abi));
  assert.match(text, /^ {8}\("TcpRetransSegs", TcpRetransSegs\),$/m);
  const tables = [...text.matchAll(/^ {4}pub const NAMES: &\[\(&str, u32\)\] = &\[$/gm)];
  const enums = Object.values(abi).filter((value) => typeof value === 'object');
  assert.equal(tables.length, enums.length);
});

test('abi.rs · every profile with the words of config.ts, the seed zero', () => {
  const found = [...profilesToRust().matchAll(/^ {4}\("(\w+)", \[([\d, ]+)\]\),$/gm)];
  assert.deepEqual(found.map(([, name]) => name), PROFILE_NAMES);
  for (const [, name, words] of found) {
    const profile = PROFILE_NAMES.find((one) => one === name) ?? 'default';
    const expected = [...configWords({ profile, seed: new Uint32Array(4) })];
    assert.deepEqual(words?.split(', ').map(Number), expected);
  }
});

test('abi · what is not an unsigned 32-bit integer · refused by name', () => {
  assert.throws(() => namesOf({ A: 1.5 }), /abi\.ts: A is 1\.5/);
  assert.throws(() => namesOf({ A: -1 }), /abi\.ts: A is -1/);
  assert.throws(() => namesOf({ A: 2 ** 32 }), /abi\.ts: A is 4294967296/);
  assert.throws(() => namesOf({ A: 'x' }), /abi\.ts: A is x/);
  assert.throws(() => namesOf({ E: { good: 1, bad: 'x' } }), /abi\.ts: E\.bad is x/);
});
