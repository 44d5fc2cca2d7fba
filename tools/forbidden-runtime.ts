/**
 * Proof that the engine allocates nothing (blueprint law 2): compiles it on a runtime whose every
 * function is an import (tools/forbidden/runtime.ts) and demands that no import is left.
 * Called by tools/build.ts on each change of the engine, and by tests/forbidden-runtime.test.ts.
 * The module it makes is never shipped.
 */
import { readFileSync } from 'node:fs';
import { asc, at } from './repository.js';

/**
 * Compiles `entry` to build/`name`.wasm on the forbidden runtime.
 * Throws naming each import and the functions that call it when anything is imported.
 */
export async function buildWithoutRuntime(entry: string, name: string): Promise<void> {
  const wasm = `build/${name}.wasm`;
  const text = `build/${name}.wat`;
  asc(entry, 'forbidden', ['--outFile', wasm, '--textFile', text]);
  const imports = WebAssembly.Module.imports(await WebAssembly.compile(readFileSync(at(wasm))));
  if (imports.length === 0) return;
  const callers = callersOfImports(readFileSync(at(text), 'utf8'));
  const lines = imports.map(({ module, name: what }) =>
    `  ${module}.${what}, called by ${[...(callers.get(what) ?? ['?'])].join(', ')}`);
  throw new Error(`${entry} needs a runtime, so something allocates:\n${lines.join('\n')}`);
}

/** Who calls what in a module's text: last path component of the callee to names of callers. */
function callersOfImports(wat: string): Map<string, Set<string>> {
  const callers = new Map<string, Set<string>>();
  let current = '?';
  for (const line of wat.split('\n')) {
    const definition = /^ \(func \$(\S+)/.exec(line);
    if (definition?.[1] !== undefined) current = definition[1];
    const callee = /^\s+call \$\S*\/(\S+)$/.exec(line)?.[1];
    if (callee === undefined) continue;
    callers.set(callee, (callers.get(callee) ?? new Set()).add(current));
  }
  return callers;
}
