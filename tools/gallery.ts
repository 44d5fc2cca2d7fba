/**
 * `npm run gallery`: every scenario with its page, figures, story and plots as one HTML page
 * without anything from the network, build/gallery/index.html. Runs what the tests run; `--full`
 * runs all seeds and seconds. Usage: node build/js/tools/gallery.js [--full] [NAME…]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { marked } from 'marked';
import { engineModule } from '../host/node/engine.js';
import { plotRun } from '../host/node/plot/plot.js';
import { GALLERY } from '../host/sim/gallery/index.js';
import {
  controllersOf, describeReport, runScenario, sliceOf, type Outcome, type Report, type Scenario,
} from '../host/sim/scenario/index.js';
import { at } from './repository.js';

const STYLE = `
  body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
    color: #222; background: #fff }
  pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: 13px; line-height: 1.25 }
  code { font-family: monospace }
  section { border-top: 2px solid #ddd; margin-top: 3rem }
  svg { max-width: 100%; height: auto }
  summary { cursor: pointer; font-weight: bold }
`;

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (each) =>
    ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[each] as string);
}

function plots(report: Report, outcome: Outcome): string {
  const [run] = outcome.runs;
  if (run === undefined || run.flows.length === 0) return '';
  const row = Object.entries(outcome.columns).map((pair) => pair.join(' ')).join(', ');
  const title = [report.scenario.name, row, `${report.cc}, seed ${run.seed}`]
    .filter((text) => text !== '').join(' · ');
  const summary = `<summary>Plot: ${escapeHtml(title)}</summary>`;
  return `<details>${summary}\n${plotRun(run, title)}\n</details>`;
}

/** One scenario: its page, then what it gave with each controller. */
export function section(scenario: Scenario, reports: readonly Report[], page: string): string {
  const bodies = reports.map((report) => {
    const text = `<pre>${escapeHtml(describeReport(report).join('\n'))}</pre>`;
    const drawn = report.outcomes.map((outcome) => plots(report, outcome));
    return [text, ...drawn].join('\n');
  });
  return `<section id="${escapeHtml(scenario.name)}">\n${page}\n${bodies.join('\n')}\n</section>`;
}

function pageOf(scenario: Scenario): string {
  const file = at('docs', 'gallery', `${scenario.page ?? scenario.name}.md`);
  return marked.parse(readFileSync(file, 'utf8'), { async: false });
}

/** The whole page. */
export function galleryPage(sections: readonly string[], scenarios: readonly Scenario[]): string {
  const list = scenarios.map(({ name, title }) =>
    `<li><a href="#${escapeHtml(name)}">${escapeHtml(name)}</a>: ${escapeHtml(title)}</li>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Ackorn: a gallery of TCP's surprises</title>
<style>${STYLE}</style></head><body>
<h1>A gallery of TCP's surprises</h1>
<p>Every figure and plot here was made by running the scenario when the page was written.</p>
<ul>
${list.join('\n')}
</ul>
${sections.join('\n')}
</body></html>
`;
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args, options: { full: { type: 'boolean' } }, allowPositionals: true,
  });
  const chosen = GALLERY.filter(({ name }) =>
    positionals.length === 0 || positionals.includes(name));
  const module = await engineModule();
  const sections: string[] = [];
  for (const scenario of chosen) {
    process.stderr.write(`${scenario.name}\n`);
    const cut = values.full === true ? scenario : sliceOf(scenario);
    const reports = controllersOf(scenario).map((cc) => runScenario(cut, { module, cc }));
    sections.push(section(scenario, reports, pageOf(scenario)));
  }
  mkdirSync(at('build', 'gallery'), { recursive: true });
  const path = at('build', 'gallery', 'index.html');
  writeFileSync(path, galleryPage(sections, chosen));
  process.stdout.write('build/gallery/index.html\n');
}

if (process.argv[1] === at('build', 'js', 'tools', 'gallery.js')) await main(process.argv.slice(2));
