/**
 * Tidy rule: no recursion in the engine, direct or through others. A call graph is built from names
 * over all files at once: functions through imports, methods of `this` and of named classes
 * exactly, methods and accessors of other objects by name alone (types are not known here), which
 * can only find too much, never too little. Called by tests/tidy.test.ts.
 */
import {
  isCallExpression, isClassDeclaration, isFunctionDeclaration,
  isGetAccessorDeclaration, isIdentifier, isImportDeclaration, isMethodDeclaration,
  isNamedExports, isNamedImports, isNamespaceImport, isExportDeclaration,
  isPropertyAccessExpression, isSetAccessorDeclaration, type Node,
  type PropertyAccessExpression, SyntaxKind,
} from 'typescript/unstable/ast';
import { importsOf } from './layers.js';
import { type Finding, finding, type Source, walk } from './source.js';

/** A function, method or accessor. `owner` is its class's name, empty for functions. */
interface Callable {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly source: Source;
  readonly node: Node;
}

/** What a name of a file means: another file's name, or (name `*`) the whole of another file. */
interface Meaning {
  readonly path: string;
  readonly name: string;
}

interface Names {
  readonly callables: Map<string, Callable>;
  readonly methods: Map<string, Callable[]>;
  readonly meanings: Map<string, Meaning>;
}

/** Built-in objects of AssemblyScript whose methods are instructions. */
const BUILT_IN = /^(memory|v128|heap|[iuf](8|16|32|64)(x\d+)?|i8x16|isize|usize|atomic)$/;

function idOf(path: string, owner: string, name: string): string {
  return `${path}#${owner === '' ? '' : `${owner}.`}${name}`;
}

function isMember(node: Node): boolean {
  return isMethodDeclaration(node) || isGetAccessorDeclaration(node) ||
    isSetAccessorDeclaration(node);
}

function nameOf(node: Node): string {
  const { name } = node as { name?: Node };
  return name !== undefined && isIdentifier(name) ? name.text : '';
}

function collect(source: Source, names: Names): void {
  const add = (node: Node, owner: string): void => {
    const name = nameOf(node);
    const id = idOf(source.path, owner, name);
    // A getter and a setter of one name are one callable here: the graph then has both's calls.
    const key = names.callables.has(id) ? `${id} (set)` : id;
    const callable = { id: key, name, owner, source, node };
    names.callables.set(key, callable);
    if (owner !== '') names.methods.set(name, [...names.methods.get(name) ?? [], callable]);
  };
  for (const node of walk(source.tree)) {
    if (isFunctionDeclaration(node)) add(node, '');
    if (isClassDeclaration(node)) {
      for (const member of node.members) if (isMember(member)) add(member, nameOf(node));
    }
  }
  collectMeanings(source, names);
}

function collectMeanings(source: Source, names: Names): void {
  const means = (local: string, path: string, name: string): void => {
    names.meanings.set(idOf(source.path, '', local), { path, name });
  };
  for (const { node, path } of importsOf(source)) {
    if (isImportDeclaration(node)) {
      const bindings = node.importClause?.namedBindings;
      if (bindings !== undefined && isNamespaceImport(bindings)) means(nameOf(bindings), path, '*');
      if (bindings !== undefined && isNamedImports(bindings)) {
        for (const element of bindings.elements) {
          means(element.name.text, path, (element.propertyName ?? element.name).text);
        }
      }
    } else if (isExportDeclaration(node) && node.exportClause !== undefined &&
      isNamedExports(node.exportClause)) {
      for (const element of node.exportClause.elements) {
        means(element.name.text, path, (element.propertyName ?? element.name).text);
      }
    }
  }
}

/** Follows imports and re-exports of `name` to the file that declares it. */
function declared(names: Names, path: string, name: string): Meaning {
  const seen = new Set<string>();
  let meaning: Meaning = { path, name };
  for (;;) {
    const id = idOf(meaning.path, '', meaning.name);
    const next = names.meanings.get(id);
    if (next === undefined || seen.has(id)) return meaning;
    seen.add(id);
    meaning = next;
  }
}

function members(names: Names, path: string, owner: string, name: string): string[] {
  const id = idOf(path, owner, name);
  return [id, `${id} (set)`].filter((key) => names.callables.has(key));
}

function accessed(names: Names, caller: Callable, node: PropertyAccessExpression): string[] {
  const name = node.name.text;
  const { expression: object } = node;
  if (object.kind === SyntaxKind.ThisKeyword) {
    return members(names, caller.source.path, caller.owner, name);
  }
  if (isIdentifier(object)) {
    if (BUILT_IN.test(object.text)) return [];
    const meaning = declared(names, caller.source.path, object.text);
    if (meaning.name === '*') {
      const target = declared(names, meaning.path, name);
      return members(names, target.path, '', target.name);
    }
    const exact = members(names, meaning.path, meaning.name, name);
    if (exact.length > 0) return exact;
  }
  return (names.methods.get(name) ?? []).map(({ id }) => id);
}

/** Ids of what `caller` may call. */
function calls(names: Names, caller: Callable): string[] {
  return [...walk(caller.node)].flatMap((node) => {
    if (isPropertyAccessExpression(node)) return accessed(names, caller, node);
    if (!isCallExpression(node) || !isIdentifier(node.expression)) return [];
    const { path, name } = declared(names, caller.source.path, node.expression.text);
    return members(names, path, '', name);
  });
}

/** The first way from `start` back to itself, or undefined. */
function cycle(edges: ReadonlyMap<string, readonly string[]>, start: string): string[] | undefined {
  const from = new Map<string, string>();
  const queue = [start];
  for (const id of queue) {
    for (const next of edges.get(id) ?? []) {
      if (next === start) {
        const path = [start];
        for (let at = id; at !== start; at = from.get(at) ?? start) path.unshift(at);
        return [start, ...path];
      }
      if (from.has(next)) continue;
      from.set(next, id);
      queue.push(next);
    }
  }
  return undefined;
}

/** Functions that can come back to themselves, each cycle once. */
export function recursion(sources: readonly Source[]): Finding[] {
  const names: Names = { callables: new Map(), methods: new Map(), meanings: new Map() };
  for (const source of sources) collect(source, names);
  const edges = new Map([...names.callables].map(([id, callable]) => [id, calls(names, callable)]));
  const reported = new Set<string>();
  const findings: Finding[] = [];
  for (const [id, { source, node }] of names.callables) {
    if (reported.has(id)) continue;
    const way = cycle(edges, id);
    if (way === undefined) continue;
    for (const member of way) reported.add(member);
    const text = way.map((member) => member.replace(/^.*#/, '')).join(' → ');
    findings.push(finding(source, node, `recursion: ${text}`));
  }
  return findings;
}

