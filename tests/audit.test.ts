/**
 * The audit of the shipped module (tools/audit.ts): build/engine.wasm passes it, and each of its
 * checks finds the one thing that a small module made here does wrong.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import binaryen from 'binaryen';
import { ABI_VERSION } from '../assembly/abi.js';
import { audit, expectedExports, exportLines } from '../tools/audit.js';
import { at } from '../tools/repository.js';

const GOOD = ['abiVersion () -> (i32)', 'memory memory'];

interface Parts {
  memory?: string;
  version?: number;
  extra?: string;
}

/** A module that keeps every law, except for what the caller changes or adds. */
function moduleWith({ memory = '1 65535', version = ABI_VERSION, extra = '' }: Parts): Uint8Array {
  const module = binaryen.parseText(`(module
    ${extra.startsWith('(import') ? extra : ''}
    (memory $0 ${memory})
    (export "memory" (memory $0))
    (export "abiVersion" (func $abiVersion))
    (global $fixed i32 (i32.const 7))
    (func $f32.named-badly (result i32) (global.get $fixed))
    (func $abiVersion (result i32) (i32.const ${version}))
    ${extra.startsWith('(import') ? '' : extra})`);
  module.setFeatures(binaryen.Features.All);
  const wasm = module.emitBinary();
  module.dispose();
  return wasm;
}

test('audit · a module that keeps the laws · no finding', () => {
  assert.deepEqual(audit(moduleWith({}), GOOD), []);
});

const BAD: readonly (readonly [string, Parts, RegExp])[] = [
  ['an import', { extra: '(import "env" "abort" (func $abort))' }, /^imports env\.abort$/],
  ['a start function', { extra: '(start $s) (func $s)' }, /^a start function$/],
  ['memory.grow', {
    extra: '(func $g (drop (memory.grow (i32.const 1))))',
  }, /^memory\.grow$/],
  ['a mutable global', {
    extra: '(global $m (mut i32) (i32.const 0))',
  }, /^mutable global /],
  ['a float parameter', { extra: '(func $p (param f32))' }, /^float: f32$/],
  ['a float local', { extra: '(func $l (local f64))' }, /^float: f64$/],
  ['a float instruction', {
    extra: '(func $i (drop (i32.trunc_f64_s (f64.const 1))))',
  }, /^float: i32\.trunc_f64_s$/],
  ['a float vector', {
    extra: '(func $v (param v128) (drop (f32x4.add (local.get 0) (local.get 0))))',
  }, /^float: f32x4\.add$/],
  ['two pages at first', { memory: '2 65535' }, /^memory of 2 to 65535 pages/],
  ['65,536 pages at most', { memory: '1 65536' }, /^memory of 1 to 65536 pages/],
  ['no maximum', { memory: '1' }, /^memory of 1 to any number of pages/],
  ['another ABI version', { version: ABI_VERSION + 1 }, /^ABI version /],
  ['an export too many', {
    extra: '(export "more" (func $abiVersion))',
  }, /^export not in spec\/exports\.txt: more \(\) -> \(i32\)$/],
];

for (const [name, parts, expected] of BAD) {
  test(`audit · ${name} · found`, () => {
    const findings = audit(moduleWith(parts), GOOD);
    assert.ok(findings.some((finding) => expected.test(finding)), findings.join('\n'));
  });
}

test('audit · an export missing, or of another type · found', () => {
  const expected = ['abiVersion (i32) -> (i32)', 'boot () -> (i32)', 'memory memory'];
  assert.deepEqual(audit(moduleWith({}), expected), [
    'export not in spec/exports.txt: abiVersion () -> (i32)',
    'export of spec/exports.txt missing: abiVersion (i32) -> (i32)',
    'export of spec/exports.txt missing: boot () -> (i32)',
  ]);
});

test('audit · no abiVersion, no memory · both found', () => {
  const module = binaryen.parseText('(module)');
  const findings = audit(module.emitBinary(), []);
  module.dispose();
  assert.deepEqual(findings, ['no memory', 'no function abiVersion']);
});

test('audit · export lines are sorted and typed', () => {
  assert.deepEqual(exportLines(moduleWith({})), GOOD);
});

if (existsSync(at('assembly', 'index.ts'))) {
  test('audit · build/engine.wasm · no finding', () => {
    assert.deepEqual(audit(readFileSync(at('build', 'engine.wasm')), expectedExports()), []);
  });
}
