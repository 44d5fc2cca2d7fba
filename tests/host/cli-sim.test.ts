/**
 * `ackorn sim` as a program: the list, a scenario of the gallery, users' scenarios in JSON and as
 * modules, files that it writes, and one line with the place for what makes no sense.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { GALLERY } from '../../host/sim/gallery/index.js';
import { checkScenario } from '../../host/sim/scenario/index.js';
import { at } from '../../tools/repository.js';
import { blocksOf } from '../support/readme.js';
import { makePlace, type Ran } from './fixtures/cli.js';

const SETUP = {
  seconds: 2, hosts: ['a', 'b'], links: [{ between: ['a', 'b'], rateMbps: 10, delayMs: 10 }],
  flows: [{ from: 'a', to: 'b' }],
};

/** Runs `ackorn sim ARGS` in a folder with these files. */
function sim(
  t: TestContext, args: readonly string[], files: Readonly<Record<string, string>> = {},
): Promise<Ran> & { folder: string } {
  const place = makePlace(t);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(path.join(place.folder, name), text);
  }
  const here = args.map((word) => word.replace('@', `${place.folder}/`));
  return Object.assign(place.ackorn(['sim', ...here]), { folder: place.folder });
}

describe('cli · sim', () => {
  test('--list names every scenario', async (t) => {
    const { code, stdout } = await sim(t, ['--list']);
    assert.equal(code, 0);
    assert.deepEqual(
      stdout.trimEnd().split('\n').map((line) => line.split(' ')[0]),
      GALLERY.map(({ name }) => name),
    );
  });
  test('a scenario in JSON · figures, chart, --json, --csv, --plot', async (t) => {
    const files = { 'mine.json': JSON.stringify({ setup: SETUP }) };
    const words = ['@mine.json', '--cc', 'reno', '--seed', '3'];
    const running = sim(t, [...words, '--csv', '@out.csv', '--plot', '@out.svg'], files);
    const { code, stdout, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^mine: mine \(reno, seed 3\)\n/);
    assert.match(stdout, /^cwndBytes /m);
    const csv = readFileSync(path.join(running.folder, 'out.csv'), 'utf8');
    assert.match(csv, /^seconds,cwndBytes,/);
    const svg = readFileSync(path.join(running.folder, 'out.svg'), 'utf8');
    assert.match(svg, /^<svg /);
    for (const label of ['cwnd', 'ssthresh', 'in flight', 'RTT', 'goodput', 'queue', 'drops']) {
      assert.ok(svg.includes(`>${label}<`), `no ${label} in the plot`);
    }
    const json = await sim(t, [...words, '--json'], files);
    const report = JSON.parse(json.stdout) as { scenario: string; cc: string; seed: number };
    assert.deepEqual([report.scenario, report.cc, report.seed], ['mine', 'reno', 3]);
  });
  test('a module · with a script and an expectation; --check fails by it', async (t) => {
    const files = {
      'mine.mjs': `export default {
        name: 'scripted', title: 'with a script',
        setup: {
          ...${JSON.stringify(SETUP)},
          script: (lab) => lab.at(1, () => lab.say('half of it is over')),
          figures: () => ({ answer: 42 }),
        },
        expect: [{ figure: 'answer', atLeast: 43 }],
      };`,
    };
    const { code, stdout } = await sim(t, ['@mine.mjs', '--cc', 'reno', '--check'], files);
    assert.equal(code, 1);
    assert.match(stdout, /1\.000000 s {2}half of it is over/);
    assert.match(stdout, /NOT so: answer [^\n]* 43: 42/);
  });
  test('--csv - · nothing but CSV', async (t) => {
    const files = { 'mine.json': JSON.stringify({ setup: SETUP }) };
    const { stdout } = await sim(t, ['@mine.json', '--cc', 'reno', '--csv', '-'], files);
    assert.ok(stdout.trimEnd().split('\n').every((line) => line.split(',').length === 8));
  });
});

describe('cli · sim · the examples of docs/sim.md', () => {
  const text = readFileSync(at('docs', 'sim.md'), 'utf8');
  const example = (language: string): string =>
    blocksOf(text).find((block) => block.language === language)?.text ?? assert.fail(language);
  test('the one in JSON is a scenario', () => {
    checkScenario({ name: 'mine', ...JSON.parse(example('json')) as object });
  });
  test('the module runs', async (t) => {
    const { code, stdout, stderr } = await sim(
      t, ['@mine.mjs', '--cc', 'reno'], { 'mine.mjs': example('js') },
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /given up: ETIMEDOUT/);
  });
});

/** Words, files, the exit code, and what the line must say. */
const REFUSED: readonly [string, Readonly<Record<string, string>>, number, RegExp][] = [
  ['', {}, 2, /which scenario\?/],
  ['frobnicate', {}, 2, /unknown scenario: frobnicate/],
  ['nagle --cc vegas', {}, 2, /--cc vegas: unknown \(known: reno, cubic, bbr\)/],
  ['nagle --seed x', {}, 2, /--seed x: a whole number/],
  ['nagle --seeds 0', {}, 2, /--seeds 0: a whole number from 1/],
  ['nagle --queue -1', {}, 2, /--queue -1: a number of BDPs/],
  ['nagle --json --csv -', {}, 2, /only one of them/],
  ['nagle --cc reno --row 9', {}, 2, /--row 9: a whole number from 1 to 4/],
  ['nagle --cc reno --csv @no/such', {}, 1, /ENOENT/],
  ['@none.json', {}, 1, /none\.json: no such file/],
  ['@none.mjs', {}, 1, /none\.mjs: no such file/],
  ['@a.txt', { 'a.txt': '' }, 1, /a\.txt: a scenario is a file of \.json/],
  ['@a.json', { 'a.json': '{\n "setup": {\n  "seconds": 1,,\n' }, 1, /a\.json:3:\d+: /],
  ['@a.json', { 'a.json': '{\n "setup": {' }, 1, /a\.json:2:\d+: /],
  ['@a.json', { 'a.json': '{"setup":{"seconds":"1"}}' }, 1, /setup\.seconds: a number above 0/],
  ['@a.mjs', { 'a.mjs': 'export const b = 1;' }, 1, /exports no default and no scenario/],
  ['@a.mjs', { 'a.mjs': 'export default {' }, 1, /a\.mjs: Unexpected/],
];

describe('cli · sim · what makes no sense is one line', () => {
  for (const [words, files, code, says] of REFUSED) {
    test(`sim ${words} ${JSON.stringify(Object.values(files)[0] ?? '')}`, async (t) => {
      const args = words.split(' ').filter((word) => word !== '');
      const ran = await sim(t, args, files);
      assert.equal(ran.code, code, ran.stderr);
      assert.match(ran.stderr, says);
      assert.match(ran.stderr, /^ackorn: [^\n]+\n$/);
      assert.equal(ran.stdout, '');
    });
  }
});
