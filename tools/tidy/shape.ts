/**
 * Tidy rules about the shape of any source: line, file and function length, the header comment,
 * and names of machines that must not be committed. Text rules know no language; the length of a
 * function is taken from the tree (TypeScript) or from the indentation of its closing brace (C,
 * Rust). Called by tests/tidy.test.ts.
 */
import {
  isArrowFunction, isCallExpression, isConstructorDeclaration, isFunctionDeclaration,
  isFunctionExpression, isGetAccessorDeclaration, isIdentifier, isMethodDeclaration,
  isSetAccessorDeclaration, type Node,
} from 'typescript/unstable/ast';
import {
  type Finding, finding, lastLineOf, lineOf, type Source, type TextFile, walk,
} from './source.js';

export const FUNCTION_LINES = 70;
export const COLUMNS = 100;
export const FILE_LINES = 600;
export const HEADER_LINES = 12;

function lines(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

/** Lines over 100 characters. */
export function longLines({ path, text }: TextFile): Finding[] {
  return lines(text).flatMap((line, index) => {
    const columns = [...line].length; // characters, not UTF-16 units
    return columns > COLUMNS ? [`${path}:${index + 1} ${columns} columns`] : [];
  });
}

/** A file over 600 lines. */
export function longFile({ path, text }: TextFile): Finding[] {
  const count = lines(text).length;
  return count > FILE_LINES ? [`${path}:1 a file of ${count} lines`] : [];
}

/** A file that opens without a comment, or with one over 12 lines (bare delimiters not counted). */
export function header({ path, text }: TextFile): Finding[] {
  const body = text.replace(/^#!.*\n/, '');
  const block = /^\/\*[\s\S]*?\*\//.exec(body)?.[0];
  const run = /^(?:(?:\/\/|#).*\n)+/.exec(body)?.[0];
  const comment = block ?? run;
  if (comment === undefined) return [`${path}:1 no header comment`];
  const said = lines(comment).filter((line) => !/^\s*(\/\*\*?|\*\/|\/\/!?|#)?\s*$/.test(line));
  if (said.length === 0) return [`${path}:1 an empty header comment`];
  return said.length > HEADER_LINES ? [`${path}:1 a header of ${said.length} lines`] : [];
}

function isFunction(node: Node): boolean {
  return isFunctionDeclaration(node) || isFunctionExpression(node) || isArrowFunction(node) ||
    isMethodDeclaration(node) || isConstructorDeclaration(node) ||
    isGetAccessorDeclaration(node) || isSetAccessorDeclaration(node);
}

/** The callback of describe() or suite() is a list of tests, not something one reads as a whole. */
function isSuite(node: Node): boolean {
  const call = node.parent;
  return call !== undefined && isCallExpression(call) && isIdentifier(call.expression) &&
    ['describe', 'suite'].includes(call.expression.text);
}

/** Functions over 70 lines in TypeScript. */
export function longFunctions(source: Source): Finding[] {
  const findings: Finding[] = [];
  for (const node of walk(source.tree)) {
    if (!isFunction(node) || isSuite(node)) continue;
    const count = lastLineOf(source, node) - lineOf(source, node) + 1;
    if (count <= FUNCTION_LINES) continue;
    findings.push(finding(source, node, `a function of ${count} lines`));
  }
  return findings;
}

/** Functions over 70 lines in C and Rust: from a head with `(` to the brace indented like it. */
export function longBraceFunctions({ path, text }: TextFile): Finding[] {
  const all = lines(text);
  const head = path.endsWith('.rs') ? /^(\s*)(?:pub\S* |async |unsafe |const )*fn / : /^()\w.*\(/;
  return all.flatMap((line, index) => {
    const indent = head.exec(line)?.[1];
    if (indent === undefined || line.trimEnd().endsWith(';')) return [];
    const end = all.findIndex((other, at) => at >= index && other.trimEnd() === `${indent}}`);
    const count = end - index + 1;
    return count > FUNCTION_LINES ? [`${path}:${index + 1} a function of ${count} lines`] : [];
  });
}

/** Built from pieces, so that this file does not accuse itself. */
const FOLDERS = ['work', 'farm', 'root', 'home'].join('|');
const MACHINE_PATH = new RegExp(`(?<![\\w.$})*-])/(?:${FOLDERS})/[\\w.-]+`);
const REGISTRY = new RegExp(String.raw`\bregistry\.[\w-]+(?:\.[\w-]+)*|"resolved":\s"http`);

/** Paths of one machine, and hosts of package registries. */
export function machineNames({ path, text }: TextFile): Finding[] {
  return lines(text).flatMap((line, index) => {
    const match = MACHINE_PATH.exec(line)?.[0] ?? REGISTRY.exec(line)?.[0];
    return match === undefined ? [] : [`${path}:${index + 1} names a machine: ${match}`];
  });
}
