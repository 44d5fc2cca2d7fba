/**
 * Requirements of RFC 9293 against their citations (tools/spec.ts): each is cited where it is done
 * and where it is tested, or stands in spec/exceptions.tsv with a reason, or in spec/open.tsv,
 * which must be exact. The samples prove that each kind of disagreement is found.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { at } from '../tools/repository.js';
import {
  type Citation, citations, coverage, disagreements, labelsOf, readSpec,
} from '../tools/spec.js';

/** In two pieces, or this file would cite. */
const TAG = ['//', '= rfc9293 '].join('');

test('spec · the repository · citations and lists agree', () => {
  const { all, exceptions, open, cited } = readSpec();
  assert.ok(all.length > 100, `${all.length} requirements were read`);
  const found = disagreements(all, exceptions, open, cited);
  if (found.length > 0) assert.fail(`\n${found.join('\n')}`);
});

test('spec · exceptions · each has a reason', () => {
  const rows = readFileSync(at('spec', 'exceptions.tsv'), 'utf8').split('\n');
  for (const row of rows.filter((line) => /^[A-Z]+-\d+/.test(line))) {
    assert.match(row, /^[A-Z]+-\d+\t\S.{9,}$/, row);
  }
});

test('spec · citations · one, several, other RFCs, other text', () => {
  const text = [`${TAG}MUST-1`, `  ${TAG}MUST-2, SHLD-3: why`, '//= rfc6298 2.3', '// MUST-4'];
  assert.deepEqual(citations([{ path: 'a.ts', text: text.join('\n') }]), [
    { label: 'MUST-1', where: 'a.ts:1' },
    { label: 'MUST-2', where: 'a.ts:2' },
    { label: 'SHLD-3', where: 'a.ts:2' },
  ]);
});

test('spec · labels · comments and head left out', () => {
  assert.deepEqual(labelsOf('# MUST-9\nlabel\tsection\nMUST-1\t3.1\tx\nMAY-2\n\n'),
    ['MUST-1', 'MAY-2']);
});

/** Disagreements for one requirement, MUST-1, cited in the places named. */
function judge(
  places: readonly ('code' | 'test')[],
  exceptions: readonly string[] = [],
  open: readonly string[] = [],
  extra: readonly Citation[] = [],
): string[] {
  const at1 = (place: 'code' | 'test') =>
    places.includes(place) ? [{ label: 'MUST-1', where: `${place}.ts:1` }] : [];
  const all = coverage(['MUST-1'], at1('code'), at1('test'));
  return disagreements(all, exceptions, open, extra);
}

test('spec · what agrees · nothing is said', () => {
  assert.deepEqual(judge(['code', 'test']), []);
  assert.deepEqual(judge([], ['MUST-1']), []);
  assert.deepEqual(judge([], [], ['MUST-1']), []);
  assert.deepEqual(judge(['code'], [], ['MUST-1']), []);
});

test('spec · what disagrees · is said', () => {
  assert.match(judge([]).join(), /MUST-1 has no citation in code/);
  assert.match(judge(['test']).join(), /MUST-1 has no citation in code/);
  assert.match(judge(['code']).join(), /MUST-1 has no citation in a test/);
  assert.match(judge(['code', 'test'], [], ['MUST-1']).join(), /take it out/);
  assert.match(judge(['code', 'test'], ['MUST-1']).join(), /take it out/);
  assert.match(judge([], ['MUST-1'], ['MUST-1']).join(), /in both lists/);
  assert.match(judge(['code', 'test'], ['MUST-2']).join(), /exceptions\.tsv: unknown MUST-2/);
  assert.match(judge(['code', 'test'], [], ['MUST-2']).join(), /open\.tsv: unknown MUST-2/);
  const unknown = [{ label: 'MUST-999', where: 'a.ts:7' }];
  assert.match(judge(['code', 'test'], [], [], unknown).join(), /a\.ts:7 cites MUST-999/);
});
