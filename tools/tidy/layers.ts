/**
 * Tidy rule: which folder of the engine may import which (blueprint §2). A lower layer never knows
 * the one above; the neighbours of a packet's way are the only exceptions. Called by
 * tests/tidy.test.ts.
 */
import { posix } from 'node:path';
import {
  isExportDeclaration, isImportDeclaration, isStringLiteral, type Node,
} from 'typescript/unstable/ast';
import { type Finding, finding, type Source } from './source.js';

/** Root files that everything stands on; all other root files are entries, at the top. */
const BASE = ['assembly/config.ts', 'assembly/memory.ts'];

/** What each layer may import, beside itself. The top imports all and is imported by none. */
const MAY_IMPORT = new Map<string, readonly string[]>([
  ['abi', []],
  ['base', ['abi', 'core']],
  ['core', ['abi', 'base']],
  ['wire', ['abi', 'base', 'core']],
  ['link', ['abi', 'base', 'core', 'wire', 'ip']],
  ['ip', ['abi', 'base', 'core', 'wire', 'link', 'tcp', 'udp']],
  // Past ip to the link, and random numbers: DHCP speaks before its link has an address.
  ['udp', [
    'abi', 'base', 'core', 'wire', 'ip', 'link/output.ts', 'link/link.ts', 'link/ethernet.ts',
    'tcp/isn.ts',
  ]],
  // Past ip to the link: payload goes as pieces into the frame's entry, and its offloads decide how
  // large a segment may be.
  ['tcp', [
    'abi', 'base', 'core', 'wire', 'ip', 'tcp/congestion', 'link/output.ts', 'link/link.ts',
  ]],
  // The records are plain data: a controller keeps its variables in them and sees no algorithm.
  // What an ACK told, the RTO and the MSS are what a controller is handed (style rule 7).
  ['tcp/congestion', [
    'abi', 'base', 'core', 'tcp/records.ts', 'tcp/busy.ts', 'tcp/ack-sample.ts', 'tcp/rtt.ts',
    'tcp/segments.ts', 'tcp/congestion',
  ]],
]);

/** The layer of a file under assembly/. */
export function layerOf(path: string): string {
  if (path === 'assembly/abi.ts') return 'abi';
  if (BASE.includes(path)) return 'base';
  const folder = posix.dirname(path).replace(/^assembly\/?/, '');
  return folder === '' ? 'top' : folder;
}

/** The file that `specifier` names in `path`, or undefined when it is no relative import. */
export function importedPath(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return `${posix.join(posix.dirname(path), specifier).replace(/\.ts$/, '')}.ts`;
}

/** Import and re-export declarations of a file with the path each names. */
export function* importsOf(source: Source): Generator<{ node: Node; path: string }> {
  for (const node of source.tree.statements) {
    if (!isImportDeclaration(node) && !isExportDeclaration(node)) continue;
    const specifier = node.moduleSpecifier;
    if (specifier === undefined || !isStringLiteral(specifier)) continue;
    const path = importedPath(source.path, specifier.text);
    yield { node, path: path ?? specifier.text };
  }
}

/** Imports that go up, or out of the engine. */
export function layers(source: Source): Finding[] {
  const from = layerOf(source.path);
  if (from === 'top') return [];
  const allowed = MAY_IMPORT.get(from);
  if (allowed === undefined) return [`${source.path}:1 a folder that is not in the layer table`];
  return [...importsOf(source)].flatMap(({ node, path }) => {
    const to = path.startsWith('assembly/') ? layerOf(path) : path;
    const fine = to === from || allowed.includes(to) ||
      allowed.includes(path.replace(/^assembly\//, ''));
    return fine ? [] : [finding(source, node, `${from} may not import ${to}`)];
  });
}
