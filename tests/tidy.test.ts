/**
 * House style as a test (tools/tidy): every rule over the whole repository, and every rule over a
 * sample that breaks it, so that none of them can silently stop finding things.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { at, filesUnder, trackedFiles } from '../tools/repository.js';
import { language, rawMemory } from '../tools/tidy/engine.js';
import { layers } from '../tools/tidy/layers.js';
import { recursion } from '../tools/tidy/recursion.js';
import {
  header, longBraceFunctions, longFile, longFunctions, longLines, machineNames,
} from '../tools/tidy/shape.js';
import { type Finding, parse, type Source, type TextFile } from '../tools/tidy/source.js';

const FOLDERS = ['assembly', 'host', 'tools', 'tests', 'bench', 'boards'];

/** Files that may be longer than 600 lines, with the reason. */
const LONG_FILES = new Map([
  ['assembly/abi.ts', 'a table, and the single source of every constant: split it and it is two'],
]);

function read(path: string): TextFile {
  return { path, text: readFileSync(at(path), 'utf8') };
}

function repositoryFiles(pattern: RegExp): TextFile[] {
  const inFolders = FOLDERS.flatMap((folder) => filesUnder(folder));
  const paths = [...inFolders, 'as-pect.config.js', '.ci/run'];
  return paths.filter((path) => pattern.test(path) && !/\/(target|node_modules)\//.test(path))
    .map(read);
}

const code = repositoryFiles(/\.(ts|mjs|js|c|h|rs|sh)$|^\.ci\/run$/);
const sources = parse(code.filter(({ path }) => /\.(ts|mjs|js)$/.test(path)));
const engine = sources.filter(({ path }) =>
  path.startsWith('assembly/') && !path.startsWith('assembly/__tests__/'));

function none(findings: readonly Finding[]): void {
  if (findings.length > 0) assert.fail(`\n${findings.join('\n')}`);
}

describe('tidy · the repository', () => {
  test('there is something to look at', () => {
    assert.ok(engine.length > 0 && sources.length > engine.length);
  });
  test('lines of at most 100 columns', () => none(code.flatMap(longLines)));
  test('functions of at most 70 lines', () => none([
    ...sources.flatMap(longFunctions),
    ...code.filter(({ path }) => /\.(c|rs)$/.test(path)).flatMap(longBraceFunctions),
  ]));
  test('files of at most 600 lines', () =>
    none(code.filter(({ path }) => !LONG_FILES.has(path)).flatMap(longFile)));
  test('a header comment of at most 12 lines', () => none(code.flatMap(header)));
  test('no machine path, no registry', () => {
    const text = trackedFiles().filter((path) => !/\.(wasm|png|pcapng|node)$/.test(path));
    none(text.map(read).flatMap(machineNames));
  });
  test('the engine has no recursion', () => none(recursion(engine)));
  test('the engine reads raw memory in few places', () => none(engine.flatMap(rawMemory)));
  test('the engine speaks its small language', () => none(engine.flatMap(language)));
  test('the engine\'s layers look down', () => none(engine.flatMap(layers)));
});

/** Parses one sample; the path matters to the rules about the engine. */
function sample(text: string, path = 'assembly/tcp/sample.ts'): Source {
  const [source] = parse([{ path, text }]);
  assert.ok(source !== undefined);
  return source;
}

function finds(findings: readonly Finding[], expected: RegExp): void {
  assert.ok(findings.some((finding) => expected.test(finding)), `found: ${findings.join('; ')}`);
}

describe('tidy · shape · samples', () => {
  const file = (text: string, path = 'a.ts') => ({ path, text });
  test('101 columns found, 100 fine, characters counted', () => {
    finds(longLines(file(`// fine\n${'x'.repeat(101)}\n`)), /^a\.ts:2 101 columns$/);
    none(longLines(file(`${'→'.repeat(100)}\n`)));
  });
  test('601 lines found, 600 fine', () => {
    finds(longFile(file('x\n'.repeat(601))), /601 lines/);
    none(longFile(file('x\n'.repeat(600))));
  });
  test('a function of 71 lines found, of 70 fine', () => {
    const body = (count: number) => `function f(): void {\n${'g();\n'.repeat(count - 2)}}\n`;
    finds(longFunctions(sample(`\n${body(71)}`)), /:2 a function of 71 lines/);
    none(longFunctions(sample(body(70))));
  });
  test('long arrows and methods found, the list of a suite not', () => {
    const rest = '\n'.repeat(71);
    finds(longFunctions(sample(`const f = () => {${rest}};`)), /72 lines/);
    finds(longFunctions(sample(`class A { m(): void {${rest}} }`)), /72 lines/);
    finds(longFunctions(sample(`test('x', () => {${rest}});`)), /72 lines/);
    none(longFunctions(sample(`describe('x', () => {${rest}});`)));
  });
  test('long functions of C and Rust found', () => {
    const c = `static int f(int a)\n{\n${'  g();\n'.repeat(70)}}\n`;
    finds(longBraceFunctions(file(c, 'a.c')), /73 lines/);
    none(longBraceFunctions(file('int f(int a);\nint g(int a) {\n}\n', 'a.c')));
    const rust = `impl A {\n    pub fn f() {\n${'        g();\n'.repeat(70)}    }\n}\n`;
    finds(longBraceFunctions(file(rust, 'a.rs')), /72 lines/);
  });
  test('no header, an empty one and one of 13 lines found', () => {
    finds(header(file('export const a = 1;\n')), /no header/);
    finds(header(file('/**\n */\nexport const a = 1;\n')), /empty header/);
    finds(header(file(`/**\n${' * x\n'.repeat(13)} */\n`)), /header of 13 lines/);
    none(header(file(`/**\n${' * x\n'.repeat(12)} */\n`)));
    none(header(file('#!/usr/bin/env bash\n# what it does\nset -e\n')));
  });
  test('machine paths and registries found', () => {
    const name = ['', 'work', 'main'].join('/');
    finds(machineNames(file(`see ${name}/x`)), /names a machine/);
    finds(machineNames(file(`https://${['registry', 'example', 'org'].join('.')}/x`)), /registry/);
    finds(machineNames(file(`  ${['"resolved"', '"https://x"'].join(': ')}`)), /resolved/);
    none(machineNames(file('build/work/main and GET /index.html')));
  });
});

describe('tidy · engine · samples', () => {
  const OFFENCES: readonly (readonly [string, RegExp])[] = [
    ['function f(): P { return new P(); }', /new allocates/],
    ['const f = (a: u32): u32 => a;', /a function value/],
    ['const f = function (): void {};', /a function value/],
    ['function f(): void { function g(): void {} }', /a function in a function/],
    ['function f(): void { throw x; }', /an exception/],
    ['interface A { a: u32; }', /an interface/],
    ['class A extends B {}', /inheritance/],
    ['let state: u32 = 0;', /a mutable global/],
    ['const half = 0.5;', /a float literal/],
    ['const big = 1e3;', /a float literal/],
    ['function f(a: f64): void {}', /floating point: f64/],
    ['function f(a: u32): u32 { return Math.min(a, 1); }', /floating point: Math/],
    ['function f(a: number): void {}', /floating point: number/],
    ['const name = "tcp";', /a string/],
    ['const name = `tcp`;', /a string/],
    ['function f(name: string): void {}', /a string/],
  ];
  for (const [text, expected] of OFFENCES) {
    test(`found: ${text}`, () => finds(language(sample(text)), expected));
  }
  test('what is fine is left alone', () => none(language(sample(`
    import { lt } from "../core/seq";
    @external("a", "b") declare function x(): void;
    export const MASK: u32 = 0xe5;
    if (offsetof<A>() != 12) ERROR("A is twelve bytes");
    if (offsetof<A>("a") != 0) ERROR("a stands first");
    @unmanaged class A { a: u32; @inline get b(): u32 { let c: u32 = 1; return c; } }`))));

  test('raw memory found, except where it belongs', () => {
    for (const call of ['load<u32>(a)', 'store<u8>(a, 1)', 'v128.load(a)', 'i64.store(a, 1)']) {
      const text = `function f(a: usize): void { ${call}; }`;
      finds(rawMemory(sample(text)), /a raw load or store/);
      none(rawMemory(sample(text, 'assembly/wire/tcp.ts')));
      none(rawMemory(sample(text, 'assembly/core/bytes.ts')));
    }
    none(rawMemory(sample('function f(): void { rings.load(1); }')));
    none(rawMemory(sample('import { store } from "../core/stream";\nstore(1, 2);')));
    none(rawMemory(sample('function store(a: u32): void {}\nstore(1);')));
  });

  const UPWARD: readonly (readonly [string, string])[] = [
    ['assembly/core/seq.ts', '../tcp/tcb'],
    ['assembly/core/seq.ts', '../wire/tcp'],
    ['assembly/wire/tcp.ts', '../tcp/tcb'],
    ['assembly/link/input.ts', '../tcp/input'],
    ['assembly/tcp/output.ts', '../link/input'],
    ['assembly/tcp/congestion/reno.ts', '../output'],
    ['assembly/abi.ts', './config'],
    ['assembly/tcp/input.ts', '../index'],
    ['assembly/tcp/input.ts', '../../host/node/stack'],
    ['assembly/tcp/input.ts', 'some-package'],
  ];
  for (const [path, specifier] of UPWARD) {
    test(`found: ${path} imports ${specifier}`, () => {
      finds(layers(sample(`import { a } from "${specifier}";`, path)), /may not import/);
      finds(layers(sample(`export { a } from "${specifier}";`, path)), /may not import/);
    });
  }
  test('found: a folder that no layer is given for', () =>
    finds(layers(sample('', 'assembly/quic/a.ts')), /not in the layer table/));
  test('ways down and to the neighbour are fine', () => {
    none(layers(sample('import { a } from "../../core/seq";', 'assembly/tcp/congestion/reno.ts')));
    none(layers(sample('import { a } from "../ip/input";', 'assembly/link/input.ts')));
    none(layers(sample('import { a } from "./tcp/input";', 'assembly/index.ts')));
  });
});

describe('tidy · recursion · samples', () => {
  const among = (...texts: string[]): Finding[] => recursion(parse(
    texts.map((text, index) => ({ path: `assembly/tcp/file${index}.ts`, text }))));

  test('direct', () => finds(among('function f(): void { f(); }'), /recursion: f → f$/));
  test('through another', () => finds(
    among('function f(): void { g(); }\nfunction g(): void { h(); }\nfunction h(): void { f(); }'),
    /recursion: f → g → h → f$/,
  ));
  test('across files, renamed', () => finds(among(
    'import { g as other } from "./file1";\nexport function f(): void { other(); }',
    'import { f } from "./file0";\nexport function g(): void { f(); }',
  ), /recursion: f → g → f$/));
  test('across files, through a namespace and a re-export', () => finds(among(
    'import * as all from "./file1";\nexport function f(): void { all.h(); }',
    'export { g as h } from "./file2";',
    'import { f } from "./file0";\nexport function g(): void { f(); }',
  ), /recursion: f → g → f$/));
  test('methods of this, static methods, accessors', () => {
    const both = 'class A { a(): void { this.b(); } b(): void { this.a(); } }';
    finds(among(both), /A\.a → A\.b → A\.a/);
    finds(among('class A { static a(): void { A.a(); } }'), /A\.a → A\.a/);
    finds(among('class A { get a(): u32 { return this.a; } }'), /A\.a → A\.a/);
  });
  test('methods of objects, by name', () => finds(among(
    'class A { a(): void { f(1); } }\nfunction f(x: A): void { x.a(); }',
  ), /A\.a → f → A\.a/));
  test('no recursion, no finding', () => none(among(
    'import { f } from "./file1";\nfunction g(): void { f(); memory.copy(0, 1, 2); }',
    'export function f(): void { load<u32>(0); }\nclass A { copy(): void { f(); } }',
  )));
});
