/**
 * Reads build/engine.wasm and fails unless it keeps the blueprint's laws: no import, no start
 * function, no memory.grow, no mutable global, no floating point, exports and their types as
 * spec/exports.txt has them, a memory of 1 to 65,535 pages, the ABI version of abi.ts.
 * `npm run audit` prints findings and size; `npm run audit -- --write` renews spec/exports.txt.
 * Called by tests/audit.test.ts; it changes no module.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import binaryen from 'binaryen';
import { ABI_VERSION } from '../assembly/abi.js';
import { at } from './repository.js';

const EXPORTS_FILE = 'spec/exports.txt';
const ENGINE = 'build/engine.wasm';
/** 65,536 pages would overflow a u32 of bytes. */
const MAXIMUM_PAGES = 65_535;

type Module = ReturnType<typeof binaryen.readBinary>;

function instructions(module: Module): Set<string> {
  // Names and strings may contain anything; what is left are keywords, types and instructions.
  const text = module.emitText().replace(/;;.*$/gm, '').replace(/"(\\.|[^"\\])*"|\$[^\s()]+/g, '');
  return new Set(text.match(/[^\s()]+/g) ?? []);
}

function signature(types: readonly number[]): string {
  const names = new Map<number, string>([
    [binaryen.i32, 'i32'], [binaryen.i64, 'i64'], [binaryen.f32, 'f32'],
    [binaryen.f64, 'f64'], [binaryen.v128, 'v128'],
  ]);
  return `(${types.map((type) => names.get(type) ?? 'ref').join(' ')})`;
}

/** One line for each export, sorted: `name (i32 i32) -> (i32)`, or `name memory|global|table`. */
export function exportLines(wasm: Uint8Array): string[] {
  const module = binaryen.readBinary(wasm);
  const kinds = new Map<number, string>([
    [binaryen.ExternalMemory, 'memory'], [binaryen.ExternalGlobal, 'global'],
    [binaryen.ExternalTable, 'table'], [binaryen.ExternalTag, 'tag'],
  ]);
  const lines = Array.from({ length: module.getNumExports() }, (_, index) => {
    const { kind, name, value } = binaryen.getExportInfo(module.getExportByIndex(index));
    if (kind !== binaryen.ExternalFunction) return `${name} ${kinds.get(kind) ?? 'unknown'}`;
    const { params, results } = binaryen.getFunctionInfo(module.getFunction(value));
    const [from, to] = [binaryen.expandType(params), binaryen.expandType(results)];
    return `${name} ${signature(from)} -> ${signature(to)}`;
  });
  module.dispose();
  return lines.sort();
}

function importFindings(wasm: Uint8Array): string[] {
  return WebAssembly.Module.imports(new WebAssembly.Module(wasm)).map(({ module, name }) =>
    `imports ${module}.${name}`);
}

function globalFindings(module: Module): string[] {
  const globals = Array.from({ length: module.getNumGlobals() }, (_, index) =>
    binaryen.getGlobalInfo(module.getGlobalByIndex(index)));
  return globals.filter(({ mutable }) => mutable).map(({ name }) => `mutable global ${name}`);
}

function memoryFindings(module: Module): string[] {
  if (!module.hasMemory()) return ['no memory'];
  const { initial, max, shared, is64 } = module.getMemoryInfo();
  const findings: string[] = [];
  if (initial !== 1 || max !== MAXIMUM_PAGES) {
    findings.push(`memory of ${initial} to ${max ?? 'any number of'} pages, not 1 to ${
      MAXIMUM_PAGES}`);
  }
  if (shared) findings.push('shared memory');
  if (is64) findings.push('64-bit memory');
  return findings;
}

function exportFindings(wasm: Uint8Array, expected: readonly string[]): string[] {
  const found = exportLines(wasm);
  return [
    ...found.filter((line) => !expected.includes(line)).map((line) => `export not in ${
      EXPORTS_FILE}: ${line}`),
    ...expected.filter((line) => !found.includes(line)).map((line) => `export of ${
      EXPORTS_FILE} missing: ${line}`),
  ];
}

/** The export `abiVersion` must be callable before boot, since a host asks it first. */
function versionFindings(wasm: Uint8Array): string[] {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm));
  const abiVersion = exports['abiVersion'];
  if (typeof abiVersion !== 'function') return ['no function abiVersion'];
  const version = abiVersion() >>> 0;
  return version === ABI_VERSION ? [] : [`ABI version ${version}, but abi.ts says ${ABI_VERSION}`];
}

/** What is wrong with a module, a line each; `expected` are the lines of spec/exports.txt. */
export function audit(wasm: Uint8Array, expected: readonly string[]): string[] {
  const module = binaryen.readBinary(wasm);
  const tokens = [...instructions(module)];
  const imports = importFindings(wasm);
  const findings = [
    ...imports,
    ...module.getStart() === 0 ? [] : ['a start function'],
    ...tokens.includes('memory.grow') ? ['memory.grow'] : [],
    ...globalFindings(module),
    ...tokens.filter((token) => /(^|_)f(32|64)/.test(token)).map((token) => `float: ${token}`),
    ...memoryFindings(module),
    ...exportFindings(wasm, expected),
    // A module that wants imports cannot be started to be asked.
    ...imports.length === 0 ? versionFindings(wasm) : [],
  ];
  module.dispose();
  return findings;
}

/** The lines of spec/exports.txt; `#` starts a comment. */
export function expectedExports(): string[] {
  const lines = readFileSync(at(EXPORTS_FILE), 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function sizeLine(bytes: number): string {
  const text = readFileSync(at('spec', 'budget.json'), 'utf8');
  const { engineBytes } = JSON.parse(text) as { engineBytes: number };
  const over = bytes > engineBytes ? `warning: ${bytes - engineBytes} over the budget: ` : '';
  return `${over}${ENGINE} has ${bytes} bytes; the budget is ${engineBytes}`;
}

function write(wasm: Uint8Array): void {
  const header = [
    '# What the engine exports, with wasm types: the ABI that hosts rely on.',
    '# Renewed by `npm run audit -- --write`; a change here is a change of the ABI.',
  ];
  writeFileSync(at(EXPORTS_FILE), [...header, ...exportLines(wasm), ''].join('\n'));
}

function main(args: readonly string[]): void {
  if (!existsSync(at(ENGINE))) throw new Error(`${ENGINE} is not there: npm run build makes it`);
  const wasm = readFileSync(at(ENGINE));
  if (args.includes('--write')) write(wasm);
  const findings = audit(wasm, expectedExports());
  for (const finding of findings) process.stderr.write(`audit: ${finding}\n`);
  process.stdout.write(`${sizeLine(wasm.length)}\n`);
  if (findings.length > 0) process.exitCode = 1;
}

if (process.argv[1] === at('build', 'js', 'tools', 'audit.js')) main(process.argv.slice(2));
