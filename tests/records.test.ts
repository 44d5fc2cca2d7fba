/**
 * The byte tables of docs/decisions/0001-records.md: as the sources have them, none forgotten, and
 * every offset as the AssemblyScript compiler lays it out.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { quotedComment, type RecordClass, recordClasses } from '../tools/record-layout.js';
import { DOCUMENT, recordClass, renewed } from '../tools/records.js';
import { asc, at, root } from '../tools/repository.js';

const text = readFileSync(at(DOCUMENT), 'utf8');
const documented = [...text.matchAll(/<!-- record (\w+) (\S+) -->/g)]
  .map(([, name = '', path = '']) => recordClass(name, path));

describe('records · the document', () => {
  test('its tables are as the sources are (tools/records.js --write renews them)', () => {
    assert.equal(renewed(text), text);
  });
  test('it has every record that stands in a pool, the table or the arena', () => {
    const files = ['assembly/tcp/records.ts', 'assembly/tcp/busy.ts', 'assembly/core/arena.ts'];
    for (const path of files) {
      for (const { name } of recordClasses({ path, text: readFileSync(at(path), 'utf8') })) {
        assert.ok(documented.some((record) => record.name === name), `${name} is missing`);
      }
    }
  });
  test('an edited table is seen', () => {
    const edited = text.replace('| 56 | 4 | `sndUna` |', '| 60 | 4 | `sndUna` |');
    assert.notEqual(edited, text);
    assert.equal(renewed(edited), text);
  });
});

let folder = '';
before(() => {
  mkdirSync(at('build'), { recursive: true });
  folder = mkdtempSync(at('build', 'records-test-'));
});
after(() => rmSync(folder, { recursive: true }));

/** Compiles static assertions about `records`; throws with the compiler's words when one fails. */
function confirm(records: readonly RecordClass[], name: string): void {
  const imports = records.map((record) => {
    const path = relative(folder, at(record.path)).replace(/\.ts$/, '');
    return `import { ${record.name} } from "${path}";`;
  });
  const claims = records.flatMap((record) => [
    `if (offsetof<${record.name}>() != ${record.bytes}) ERROR("${record.name} in all");`,
    ...record.fields.map(({ name: field, offset }) =>
      `if (offsetof<${record.name}>("${field}") != ${offset}) ERROR("${record.name}.${field}");`),
  ]);
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, [...imports, ...claims, 'export function f(): u32 { return 1; }'].join('\n'));
  const out = (suffix: string) => relative(root, join(folder, `${name}.${suffix}`));
  asc(relative(root, path), 'release', ['--outFile', out('wasm'), '--textFile', out('wat')]);
}

describe('records · the compiler', () => {
  const exported = documented.filter((record) => record.exported);
  test('lays every documented field out where the table says', () => {
    assert.ok(exported.length >= 15);
    confirm(exported, 'right');
  });
  test('refuses an offset that is wrong', () => {
    const tcb = exported.find(({ name }) => name === 'Tcb');
    assert.ok(tcb !== undefined);
    const fields = tcb.fields.map((field) =>
      (field.name === 'cwnd' ? { ...field, offset: field.offset + 4 } : field));
    assert.throws(() => confirm([{ ...tcb, fields }], 'wrong'), /Tcb\.cwnd/);
  });
});

describe('records · samples', () => {
  const parse = (body: string) => recordClasses({
    path: 'sample.ts', text: `@unmanaged\nexport class Sample {\n${body}\n}\n`,
  })[0];
  test('fields are aligned to their size, the end is not rounded', () => {
    const sample = parse('  a: u8;\n  b: u32;\n  c: u64;\n  d: u16;');
    assert.deepEqual(sample?.fields.map(({ offset }) => offset), [0, 4, 8, 16]);
    assert.equal(sample?.bytes, 18);
  });
  test('comments of one line and of several, a heading once', () => {
    const two = '  /**\n   * Two\n   * lines.\n   */\n  b: u8;';
    const sample = parse(`  // -- send\n  //= rfc6298 1\n  /** One. */\n  a: u8;\n${two}`);
    assert.deepEqual(sample?.fields.map(({ comment }) => comment), ['One.', 'Two lines.']);
    assert.deepEqual(sample?.fields.map(({ group }) => group), ['send', '']);
  });
  test('what is no field is an error, and so is an unknown type', () => {
    assert.throws(() => parse('  a: f64;'), /sample\.ts:3 has a field of type f64/);
    assert.throws(() => parse('  nonsense'), /sample\.ts:3 is no field/);
  });
  test('a quotation that is not there is an error', () => {
    const file = { path: 'a.ts', text: '/* b */' };
    assert.throws(() => quotedComment(file, 'c'), /a\.ts has no comment/);
  });
});
