/**
 * The gallery as a whole: every scenario is tested, has a page and passes the check that users'
 * scenarios pass; what its golden file keeps is what scenarios say; the HTML page needs nothing
 * from elsewhere.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { GALLERY } from '../../host/sim/gallery/index.js';
import {
  checkScenario, compare, controllersOf, keep, runScenario, type Scenario,
} from '../../host/sim/scenario/index.js';
import { galleryPage, section } from '../../tools/gallery.js';
import { readGolden } from '../../tools/golden.js';
import { at, filesUnder } from '../../tools/repository.js';
import { engine } from '../sim/module.js';
import { GROUPS } from './gallery.js';

const names = GALLERY.map(({ name }) => name);

describe('gallery · pages', () => {
  test('names are unique, every scenario is in one group', () => {
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual(Object.values(GROUPS).flat().sort(), [...names].sort());
  });
  for (const scenario of GALLERY) {
    test(`${scenario.name} · passes the check, expects something, keeps something`, () => {
      checkScenario(scenario);
      assert.ok((scenario.expect ?? []).length > 0);
      assert.ok((scenario.golden ?? []).length > 0);
    });
  }
  test('every scenario has a page that says how to run it, every page a scenario', () => {
    const pages = filesUnder('docs/gallery', '.md');
    const wanted = new Set<string>();
    for (const { name, page } of GALLERY) {
      const path = `docs/gallery/${page ?? name}.md`;
      assert.ok(existsSync(at(path)), `no ${path}`);
      const text = readFileSync(at(path), 'utf8');
      assert.ok(text.includes(`npx ackorn sim ${name}`), `${path} does not run ${name}`);
      wanted.add(path);
    }
    assert.deepEqual(pages, [...wanted].sort());
  });
  test('the golden file keeps every scenario with its controllers and nothing else', () => {
    const keys = GALLERY.flatMap((each) => controllersOf(each).map((cc) => `${each.name}/${cc}`));
    assert.deepEqual(Object.keys(readGolden()).sort(), keys.sort());
  });
});

const SMALL: Scenario = {
  name: 'small',
  title: 'a <small> one',
  setup: {
    seconds: 1, hosts: ['a', 'b'], links: [{ between: ['a', 'b'], rateMbps: 10, delayMs: 5 }],
    flows: [{ from: 'a', to: 'b' }],
  },
  golden: [
    { figure: 'goodputBps', better: 'more', tolerance: 0.05 },
    { figure: 'rttMsP50', better: 'less', tolerance: 0, slack: 1 },
    { figure: 'jain', better: 'same', tolerance: 0 },
  ],
};

describe('gallery · golden figures', () => {
  const report = runScenario(SMALL, { module: engine, cc: 'reno' });
  const kept = keep(report);
  test('the same run is as good', () => assert.deepEqual(compare(report, kept), []));
  test('worse beyond the tolerance is found, better is not', () => {
    const { goodputBps = 0, rttMsP50 = 0 } = kept;
    assert.deepEqual(compare(report, { ...kept, goodputBps: goodputBps * 1.04 }), []);
    assert.deepEqual(compare(report, { ...kept, goodputBps: goodputBps / 2 }), []);
    assert.match(compare(report, { ...kept, goodputBps: goodputBps * 1.1 })[0] ?? '', /^goodput/);
    assert.deepEqual(compare(report, { ...kept, rttMsP50: rttMsP50 - 0.9 }), []);
    assert.match(compare(report, { ...kept, rttMsP50: rttMsP50 - 1.1 })[0] ?? '', /^rttMs/);
    assert.match(compare(report, { ...kept, jain: 0.999 })[0] ?? '', /^jain/);
  });
  test('what is not kept, and what is kept for nothing', () => {
    assert.deepEqual(compare(report, undefined), ['nothing is kept of it']);
    assert.match(compare(report, { ...kept, more: 1 })[0] ?? '', /^more: kept, but not/);
    assert.match(compare(report, { goodputBps: 1 })[0] ?? '', /^rttMsP50: not kept/);
  });
  test('the HTML page · a plot inside, nothing from elsewhere', () => {
    const html = galleryPage([section(SMALL, [report], '<h1>Small</h1>')], [SMALL]);
    assert.match(html, /<svg /);
    assert.match(html, /a &lt;small&gt; one/);
    const outside = [...html.matchAll(/(?:src|href)="([^"#][^"]*)"|url\(([^#)][^)]*)\)|@import/g)];
    assert.deepEqual(outside.map(([text]) => text), []);
    assert.doesNotMatch(html, /<script/);
  });
});
