/**
 * Golden files of the gallery: runs what the tests run and says what has changed; `--write` keeps
 * the new figures in tests/gallery/golden.json. Names of scenarios narrow it down. Usage: node
 * build/js/tools/golden.js [--write] [NAME…]
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { engineModule } from '../host/node/engine.js';
import { GALLERY } from '../host/sim/gallery/index.js';
import {
  compare, controllersOf, keep, runScenario, sliceOf, type GoldenFile,
} from '../host/sim/scenario/index.js';
import { at } from './repository.js';

/** Where the figures are kept. */
export const GOLDEN = at('tests', 'gallery', 'golden.json');

export function readGolden(): GoldenFile {
  return existsSync(GOLDEN) ? JSON.parse(readFileSync(GOLDEN, 'utf8')) as GoldenFile : {};
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args, options: { write: { type: 'boolean' } }, allowPositionals: true,
  });
  const unknown = positionals.find((name) => !GALLERY.some((each) => each.name === name));
  if (unknown !== undefined) throw new Error(`no scenario is called ${unknown}`);
  const module = await engineModule();
  const golden = readGolden();
  let changed = 0;
  for (const scenario of GALLERY) {
    if (positionals.length > 0 && !positionals.includes(scenario.name)) continue;
    for (const cc of controllersOf(scenario)) {
      const key = `${scenario.name}/${cc}`;
      const report = runScenario(sliceOf(scenario), { module, cc });
      const findings = compare(report, golden[key]);
      changed += findings.length;
      for (const finding of findings) process.stdout.write(`${key} ${finding}\n`);
      golden[key] = keep(report);
    }
  }
  if (values.write === true) {
    const names = GALLERY.flatMap((each) => controllersOf(each).map((cc) => `${each.name}/${cc}`));
    const sorted = Object.fromEntries(names.flatMap((name) =>
      (golden[name] === undefined ? [] : [[name, golden[name]]])));
    writeFileSync(GOLDEN, `${JSON.stringify(sorted, undefined, 1)}\n`);
  } else if (changed > 0) {
    process.exitCode = 1;
  }
}

if (process.argv[1] === at('build', 'js', 'tools', 'golden.js')) await main(process.argv.slice(2));
