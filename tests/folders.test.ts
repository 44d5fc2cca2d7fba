/**
 * The READMEs of the folders: every source file beside one is named in it, and what its tables name
 * is there. docs/README.md likewise names every document.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { at, trackedFiles } from '../tools/repository.js';

const FOLDERS = /^(assembly|host|tools|tests|bench|boards)\//;
const readmes = trackedFiles().filter((path) => FOLDERS.test(path) && /\/README\.md$/.test(path));

/** Names in backticks in the first cell of each table row. */
function named(markdown: string): string[] {
  const cells = markdown.split('\n').map((line) => /^\| (.+?) \|/.exec(line)?.[1] ?? '');
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

/** Names with braces or a star stand for several; the tables of services name such. */
function missing(folder: string, names: readonly string[]): string[] {
  return names.filter((name) => !existsSync(at(folder, name)));
}

describe('folders', () => {
  test('there are READMEs to look at', () => assert.ok(readmes.length > 15));
  for (const path of readmes) {
    const folder = dirname(path);
    test(`${path} · every source file is named, every name exists`, () => {
      const names = named(readFileSync(at(path), 'utf8'));
      const files = readdirSync(at(folder)).filter((name) => /\.(ts|mjs|c|h|rs)$/.test(name));
      assert.deepEqual(files.filter((file) => !names.includes(file)), [], 'not named');
      assert.deepEqual(missing(folder, names), [], 'not there');
    });
  }
  test('docs/README.md · every document', () => {
    const text = readFileSync(at('docs', 'README.md'), 'utf8');
    const documents = trackedFiles().filter((path) => /^docs\/.+\.md$/.test(path))
      .map((path) => path.slice('docs/'.length)).filter((path) => path !== 'README.md');
    const links = [...text.matchAll(/\]\(([^)]+\.md)\)/g)].map(([, path = '']) => path);
    assert.deepEqual(documents.filter((path) => !links.includes(path)), [], 'not listed');
    assert.deepEqual(missing('docs', links), [], 'not there');
  });
  test('a row that names two files names both, other code is not looked at', () => {
    assert.deepEqual(named('| `a.ts`, `b/` | uses `c` |\n`d.ts`\n'), ['a.ts', 'b/']);
  });
});
