/**
 * Where things are in the checkout, and the few ways in which tools and tests look at it: the root,
 * listing sources, hashing files, running the AssemblyScript compiler. Called by the tools and by
 * the tests about the repository; not by hosts, which must work from an installed package.
 */
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout's folder: this file runs as build/js/tools/repository.js. */
export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The file at `path`, relative to the root, whole and absolute. */
export function at(...path: string[]): string {
  return join(root, ...path);
}

/** Paths of all files under `folder` (relative to the root, with `/`), sorted; none if absent. */
export function filesUnder(folder: string, suffix = ''): string[] {
  if (!existsSync(at(folder))) return [];
  const entries = readdirSync(at(folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    // Node 20.0 to 20.11 calls the parent `path`; from 20.12 on it is `parentPath`.
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .map((path) => path.split(sep).join('/'))
    .sort();
}

/** Paths of the files that git has or would take; without git, of all that are not built. */
export function trackedFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const ignored = /^(build|node_modules|\.git)\/|\/(target|node_modules)\/|\.node$/;
  const paths = status === 0 ? stdout.split('\0').filter((path) => path !== '') : filesUnder('.');
  return paths.filter((path) => !ignored.test(path) && existsSync(at(path)));
}

/** SHA-256 in hex over names and contents of `paths` (relative to the root); absent ones count. */
export function hashOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) {
    const bytes = existsSync(at(path)) ? readFileSync(at(path)) : undefined;
    hash.update(`${path}\0${bytes?.length ?? 'absent'}\0`);
    if (bytes !== undefined) hash.update(bytes);
  }
  return hash.digest('hex');
}

/**
 * Compiles an AssemblyScript entry with a target of asconfig.json.
 * Throws with the compiler's own words when it fails.
 */
export function asc(entry: string, target: string, extra: readonly string[] = []): void {
  const compiler = at('node_modules', 'assemblyscript', 'bin', 'asc.js');
  const args = [compiler, entry, '--config', 'asconfig.json', '--target', target, ...extra];
  const { status, stderr, stdout, error } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`asc ${entry} --target ${target} failed:\n${stdout}${stderr}`);
  if (stderr !== '') process.stderr.write(stderr); // warnings
}
