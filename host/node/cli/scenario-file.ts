/**
 * Scenarios that a user wrote: a JSON file, or a module (.js, .mjs; .ts where this Node strips
 * types) that exports one as `default` or `scenario`. Called by commands/sim.ts. Every mistake is
 * one line that says where.
 */
import { readFileSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkScenario, ScenarioError, type Scenario } from '../../sim/scenario/index.js';
import { CommandError, oneLine } from './errors.js';

const MODULES = ['.js', '.mjs', '.ts', '.mts'];

/** A path rather than a name from the gallery. */
export function isScenarioFile(name: string): boolean {
  return name.includes('/') || [...MODULES, '.json'].includes(extname(name));
}

/** Line and column of a place in a text, both from 1. */
export function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `${before.length}:${(before.at(-1) ?? '').length + 1}`;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const said = oneLine(error);
    const offset = /at position (\d+)/.exec(said)?.[1];
    const place = placeOf(text, offset === undefined ? text.length : Number(offset));
    const what = said.replace(/ (in JSON )?at position .*$/, '');
    throw new CommandError(`${path}:${place}: ${what}`);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(`${path}: ${code === 'ENOENT' ? 'no such file' : oneLine(error)}`);
  }
}

async function loadModule(path: string): Promise<unknown> {
  readText(path); // a missing file is said as such, and not as a missing module
  let module: Record<string, unknown>;
  try {
    module = await import(pathToFileURL(resolve(path)).href) as Record<string, unknown>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      throw new CommandError(
        `${path}: Node ${process.versions.node} does not read TypeScript; compile it to .js`,
      );
    }
    throw new CommandError(`${path}: ${oneLine(error)}`);
  }
  const found = module['default'] ?? module['scenario'];
  if (found === undefined) throw new CommandError(`${path}: exports no default and no scenario`);
  return found;
}

/** @throws CommandError, one line with the file and the place in it */
export async function loadScenario(path: string): Promise<Scenario> {
  const json = extname(path) === '.json';
  if (!json && !MODULES.includes(extname(path))) {
    throw new CommandError(`${path}: a scenario is a file of .json, ${MODULES.join(', ')}`);
  }
  const value = json ? parseJson(path, readText(path)) : await loadModule(path);
  const name = basename(path, extname(path));
  const named = typeof value === 'object' && value !== null && !Array.isArray(value)
    ? { name, title: name, ...value } : value;
  try {
    return checkScenario(named);
  } catch (error) {
    if (error instanceof ScenarioError) throw new CommandError(`${path}: ${error.message}`);
    throw error;
  }
}
