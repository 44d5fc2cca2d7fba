/**
 * Tidy rules about the language of the engine (assembly/): what style rules 10 and 14 and laws 2, 3
 * and 6 forbid, found in the source before a build would show it. Called by tests/tidy.test.ts.
 */
import {
  isArrowFunction, isCallExpression, isDecorator, isExportDeclaration, isFunctionDeclaration,
  isFunctionExpression, isHeritageClause, isIdentifier, isImportDeclaration,
  isImportSpecifier, isInterfaceDeclaration, isNewExpression, isNumericLiteral,
  isPropertyAccessExpression, isSourceFile, isStringLiteral, isTemplateLiteral, isThrowStatement,
  isTryStatement, isVariableStatement, type Node, SyntaxKind,
} from 'typescript/unstable/ast';
import { type Finding, finding, type Source, walk } from './source.js';

const FLOATS = new Set(['f32', 'f64', 'f32x4', 'f64x2', 'Math', 'Mathf', 'NativeMath', 'JSMath']);

/** Where raw memory may be read and written, with the reason for what is not core's or wire's. */
const RAW_MEMORY = new Map<string, string>([
  ['assembly/core/bytes.ts', 'style rule 10'],
  ['assembly/core/stream.ts', 'style rule 10'],
  ['assembly/core/stream-table.ts', 'the table of stream.ts'],
  ['assembly/core/checksum.ts', 'style rule 10'],
  ['assembly/core/counters.ts', 'an array of u64 at a fixed address'],
  ['assembly/core/trace.ts', 'a ring of records that the host reads'],
  ['assembly/core/invariant.ts', 'leaves the code at FAULT_AT before it traps'],
  ['assembly/config.ts', 'an array of u32 at a fixed address, written by the host'],
]);

function enclosing(node: Node, matches: (ancestor: Node) => boolean): Node | undefined {
  let ancestor = node.parent as Node | undefined;
  while (ancestor !== undefined && !matches(ancestor)) ancestor = ancestor.parent;
  return ancestor;
}

/** Built-in functions that the compiler evaluates, whose argument is a name or a message. */
const COMPILE_TIME = new Set(['ERROR', 'offsetof']);

/** Strings that no byte of the module comes from: paths, decorators, static checks. */
function isCompileTimeString(node: Node): boolean {
  return enclosing(node, (ancestor) => isImportDeclaration(ancestor) ||
    isExportDeclaration(ancestor) || isDecorator(ancestor) ||
    (isCallExpression(ancestor) && isIdentifier(ancestor.expression) &&
      COMPILE_TIME.has(ancestor.expression.text))) !== undefined;
}

function isInFunction(node: Node): boolean {
  return enclosing(node, (ancestor) => isFunctionDeclaration(ancestor)) !== undefined;
}

function isFloatLiteral(source: Source, node: Node): boolean {
  const text = node.getText(source.tree);
  return isNumericLiteral(node) && !/^0[xX]/.test(text) && /[.eE]/.test(text);
}

function isMutableGlobal(source: Source, node: Node): boolean {
  return isVariableStatement(node) && isSourceFile(node.parent) &&
    !/\bconst\b/.test(node.getText(source.tree).split('=')[0] ?? '');
}

/** What is forbidden about `node`, or undefined. */
function offence(source: Source, node: Node): string | undefined {
  if (isNewExpression(node)) return 'new allocates';
  if (isArrowFunction(node) || isFunctionExpression(node)) return 'a function value';
  if (isFunctionDeclaration(node) && isInFunction(node)) return 'a function in a function';
  if (isThrowStatement(node) || isTryStatement(node)) return 'an exception';
  if (isInterfaceDeclaration(node)) return 'an interface';
  if (isHeritageClause(node)) return 'inheritance';
  if (isMutableGlobal(source, node)) return 'a mutable global';
  if (isFloatLiteral(source, node)) return 'a float literal';
  if (isIdentifier(node) && FLOATS.has(node.text)) return `floating point: ${node.text}`;
  if (node.kind === SyntaxKind.NumberKeyword) return 'floating point: number';
  if (node.kind === SyntaxKind.StringKeyword) return 'a string';
  if ((isStringLiteral(node) || isTemplateLiteral(node)) && !isCompileTimeString(node)) {
    return 'a string';
  }
  return undefined;
}

/** Constructs that the engine does not use. */
export function language(source: Source): Finding[] {
  return [...walk(source.tree)].flatMap((node) => {
    const message = offence(source, node);
    return message === undefined ? [] : [finding(source, node, message)];
  });
}

/** `load<u32>(…)`, `v128.load(…)` and their like; `own` are names the file gives a meaning. */
function isRawAccess(node: Node, own: ReadonlySet<string>): boolean {
  if (!isCallExpression(node)) return false;
  const callee = node.expression;
  if (isIdentifier(callee)) return /^(load|store)$/.test(callee.text) && !own.has(callee.text);
  return isPropertyAccessExpression(callee) && isIdentifier(callee.expression) &&
    /^(v128|[iu](8|16|32|64)(x\d+)?)$/.test(callee.expression.text) &&
    /^(load|store)/.test(callee.name.text);
}

/** Raw loads and stores outside the files that may have them. */
export function rawMemory(source: Source): Finding[] {
  if (source.path.startsWith('assembly/wire/') || RAW_MEMORY.has(source.path)) return [];
  const named = [...walk(source.tree)].flatMap((node) =>
    isImportSpecifier(node) || isFunctionDeclaration(node) ? [node.name?.text ?? ''] : []);
  const own = new Set(named);
  const raw = [...walk(source.tree)].filter((node) => isRawAccess(node, own));
  return raw.map((node) =>
    finding(source, node, 'a raw load or store outside core/bytes.ts and its like'));
}
