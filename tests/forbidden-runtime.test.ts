/**
 * The build without a runtime (tools/forbidden-runtime.ts): what allocates is found and named, what
 * does not allocate passes; and the compiler gives the same bytes twice, which everything that
 * compares a build by its hash relies on. The engine itself passes in `npm run build`.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { buildWithoutRuntime } from '../tools/forbidden-runtime.js';
import { asc, at, root } from '../tools/repository.js';

let folder = '';

/** Writes an AssemblyScript entry and gives its path relative to the root, as asc wants it. */
function entry(name: string, source: string): string {
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, source);
  return relative(root, path);
}

before(() => {
  mkdirSync(at('build'), { recursive: true });
  folder = mkdtempSync(at('build', 'forbidden-test-'));
});
after(() => rmSync(folder, { recursive: true }));

const PLAIN = `
  export function add(a: u32, b: u32): u32 {
    if (a == 0) unreachable();
    store<u32>(1024, a);
    return load<u32>(1024) + b;
  }`;

function build(path: string): Promise<void> {
  return buildWithoutRuntime(path, relative(at('build'), join(folder, 'out')));
}

test('forbidden runtime · integers and loads · passes', async () => {
  await build(entry('plain', PLAIN));
});

test('forbidden runtime · allocation in a function nobody calls · passes', async () => {
  await build(entry('dead', `class P { x: u32 = 1; }
    function dead(): P { return new P(); }${PLAIN}`));
});

const ALLOCATING: readonly (readonly [string, string])[] = [
  ['new of a managed class', `class P { x: u32 = 1; }
    function make(): P { return new P(); }
    export function live(): u32 { return make().x; }`],
  ['a string put together', `function join(a: u32): string { return "n" + a.toString(); }
    export function live(a: u32): u32 { return join(a).length; }`],
  ['an array', `export function live(a: u32): u32 {
      const list: u32[] = []; list.push(a); return list.length;
    }`],
];

for (const [name, source] of ALLOCATING) {
  test(`forbidden runtime · ${name} · refused`, async () => {
    const path = entry(name.replaceAll(' ', '-'), source);
    await assert.rejects(build(path), /something allocates:\n {2}forbidden\.__\w+, called by \S*/);
  });
}

test('forbidden runtime · the refusal names who allocates', async () => {
  const path = entry('named', `class P { x: u32 = 1; }
    function culprit(): P { return new P(); }
    export function live(): u32 { return culprit().x; }`);
  await assert.rejects(build(path), /forbidden\.__new, called by .*named\/P#constructor/);
});

/** The module's bytes; always under one name, since the source map's name stands in them. */
function compiled(source: string): Buffer {
  const out = (suffix: string) => relative(root, join(folder, `release.${suffix}`));
  asc(source, 'release', ['--outFile', out('wasm'), '--textFile', out('wat')]);
  return readFileSync(join(folder, 'release.wasm'));
}

test('builds · the same source twice · the same bytes, another source · others', () => {
  const source = entry('twice', PLAIN);
  const first = compiled(source);
  assert.deepEqual(compiled(source), first);
  assert.notDeepEqual(compiled(entry('other', PLAIN.replace('1024', '2048'))), first);
});

if (existsSync(at('assembly', 'index.ts'))) {
  test('builds · the engine twice · the same bytes', () => {
    assert.deepEqual(compiled('assembly/index.ts'), compiled('assembly/index.ts'));
  });
}
