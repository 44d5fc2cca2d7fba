/**
 * Which requirements of spec/rfc9293.tsv the code and the tests cite. A citation is a comment such
 * as `= rfc9293 MUST-21` after two slashes (or a `#` in scripts), in assembly/ or host/ where the
 * thing is done and in a test that proves it. Sections of other RFCs are cited alike and not
 * counted. `npm run spec` prints the list; `npm run spec -- --write` takes what is cited by now out
 * of spec/open.tsv, and never adds to it. Called by tests/spec.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { at, filesUnder } from './repository.js';
import type { TextFile } from './tidy/source.js';

const OPEN_FILE = 'spec/open.tsv';
const SOURCES = /\.(ts|rs|c|h|pkt|sh)$/;

/** A citation and where it stands. */
export interface Citation {
  readonly label: string;
  readonly where: string;
}

/** What is known about one requirement. */
export interface Coverage {
  readonly label: string;
  readonly code: readonly string[];
  readonly tests: readonly string[];
}

/** Labels of RFC 9293 cited in `files`; several may stand in one comment, separated by commas. */
export function citations(files: readonly TextFile[]): Citation[] {
  return files.flatMap(({ path, text }) => text.split('\n').flatMap((line, index) => {
    const labels = /(?:\/\/|#)= rfc9293 ((?:[A-Z]+-\d+)(?:, [A-Z]+-\d+)*)/.exec(line)?.[1];
    return (labels?.split(', ') ?? []).map((label) => ({ label, where: `${path}:${index + 1}` }));
  }));
}

/** The first column of a table, comments and its head left out. */
export function labelsOf(tsv: string): string[] {
  const rows = tsv.split('\n').map((line) => line.split('\t')[0] ?? '');
  return rows.filter((label) => /^[A-Z]+-\d+$/.test(label));
}

/** Where each of `labels` is cited. */
export function coverage(
  labels: readonly string[],
  code: readonly Citation[],
  tests: readonly Citation[],
): Coverage[] {
  const places = (all: readonly Citation[], label: string) =>
    all.filter((citation) => citation.label === label).map(({ where }) => where);
  return labels.map((label) => ({
    label,
    code: places(code, label),
    tests: places(tests, label),
  }));
}

/** What the lists of spec/ say that is not so, a line each. */
export function disagreements(
  all: readonly Coverage[],
  exceptions: readonly string[],
  open: readonly string[],
  cited: readonly Citation[],
): string[] {
  const labels = all.map(({ label }) => label);
  const unknown = (list: readonly string[], name: string) =>
    list.filter((label) => !labels.includes(label)).map((label) => `${name}: unknown ${label}`);
  const state = all.flatMap(({ label, code, tests }) => {
    const done = code.length > 0 && tests.length > 0;
    const listed = exceptions.includes(label) || open.includes(label);
    if (done && listed) return [`${label} is cited in code and test: take it out of its list`];
    if (exceptions.includes(label) && open.includes(label)) return [`${label} is in both lists`];
    if (done || listed) return [];
    return [`${label} has no citation in ${code.length === 0 ? 'code' : 'a test'}`];
  });
  return [
    ...cited.filter(({ label }) => !labels.includes(label))
      .map(({ label, where }) => `${where} cites ${label}, which RFC 9293 does not have`),
    ...unknown(exceptions, 'spec/exceptions.tsv'),
    ...unknown(open, OPEN_FILE),
    ...state,
  ];
}

/** Everything of the repository that the functions above want. */
export function readSpec(): {
  all: Coverage[];
  exceptions: string[];
  open: string[];
  cited: Citation[];
} {
  const read = (path: string) => readFileSync(at(path), 'utf8');
  const files = ['assembly', 'host', 'tests'].flatMap((folder) => filesUnder(folder))
    .filter((path) => SOURCES.test(path) && !path.includes('/target/'))
    .map((path) => ({ path, text: read(path) }));
  const isTest = ({ path }: TextFile) => /(^|\/)(__)?tests(__)?\//.test(path);
  const tests = citations(files.filter(isTest));
  const code = citations(files.filter((file) => !isTest(file)));
  return {
    all: coverage(labelsOf(read('spec/rfc9293.tsv')), code, tests),
    exceptions: labelsOf(read('spec/exceptions.tsv')),
    open: labelsOf(read(OPEN_FILE)),
    cited: [...code, ...tests],
  };
}

function main(args: readonly string[]): void {
  const { all, exceptions, open, cited } = readSpec();
  if (args.includes('--write')) {
    const done = all.filter(({ code, tests }) => code.length > 0 && tests.length > 0);
    const closed = new Set(done.map(({ label }) => label));
    const lines = readFileSync(at(OPEN_FILE), 'utf8').split('\n');
    writeFileSync(at(OPEN_FILE), lines.filter((line) => !closed.has(line)).join('\n'));
  }
  for (const { label, code, tests } of all) {
    const listed = open.includes(label) ? ' (open)' : '';
    const note = exceptions.includes(label) ? ' (exception)' : listed;
    const places = [code[0] ?? 'no code', tests[0] ?? 'no test'].join('\t');
    process.stdout.write(`${label}${note}\t${places}\n`);
  }
  const complaints = disagreements(all, exceptions, args.includes('--write')
    ? readSpec().open : open, cited);
  for (const complaint of complaints) process.stderr.write(`spec: ${complaint}\n`);
  if (complaints.length > 0) process.exitCode = 1;
}

if (process.argv[1] === at('build', 'js', 'tools', 'spec.js')) main(process.argv.slice(2));
