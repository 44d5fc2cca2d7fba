/**
 * Loads the C addon (ackorn.c) and checks that it was compiled for this engine's rings.
 * Looks for build/ackorn.node (tools/build-addon.ts), then for a binary shipped with the package
 * under prebuilds/. Called by index.ts only.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ABI_VERSION } from '../../../assembly/abi.js';
import type { SystemCalls } from './native.js';

/** Directories to go up at most when looking for the package's root. */
const DEPTH_MAX = 8;

/** The folder of our package.json, seen from the compiled file. */
function packageRoot(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    folder = dirname(folder);
  }
  return undefined;
}

/** Where a compiled addon may lie, best first. */
export function addonPaths(): string[] {
  const root = packageRoot();
  if (root === undefined) return [];
  return [
    join(root, 'build/ackorn.node'),
    join(root, `prebuilds/${platform}-${arch}/ackorn.node`),
  ];
}

/** The addon's calls, or why it cannot be used, in one line. */
export function loadAddon(paths: readonly string[] = addonPaths()): SystemCalls | string {
  const reasons: string[] = [];
  for (const path of paths.filter((each) => existsSync(each))) {
    try {
      const calls = createRequire(import.meta.url)(path) as SystemCalls & { abiVersion: number };
      if (calls.abiVersion === ABI_VERSION) return { ...calls, kind: 'addon' };
      reasons.push(`${path} is for ABI ${calls.abiVersion}, the engine has ${ABI_VERSION}`);
    } catch (error) {
      reasons.push(`${path}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return reasons.join('; ') || 'it is not compiled (npm run build) and none was shipped';
}
