/**
 * The engine for Node: finds and compiles the shipped module, once a process. The engine itself is
 * in host/core/engine.ts, which knows no files.
 */

import { readFile } from 'node:fs/promises';
import { EngineSetupError } from '../core/errors.js';

export { Engine, type CallFilter, type Handle, type ModuleSource } from '../core/engine.js';
export { EngineError, EngineFault, EngineSetupError } from '../core/errors.js';
export type { ConfigName, EngineConfig, ProfileName } from '../core/config.js';

/** Where `npm run build` leaves it, seen from build/js/host/node. */
const SHIPPED = new URL('../../../engine.wasm', import.meta.url);

let shipped: Promise<WebAssembly.Module> | undefined;

async function compile(path: URL | string): Promise<WebAssembly.Module> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new EngineSetupError(`no engine at ${String(path)}: run npm run build`, { cause });
  }
  return WebAssembly.compile(bytes);
}

/**
 * The compiled engine; the shipped one when no path is given.
 * @throws EngineSetupError when the file is not there
 */
export function engineModule(path?: URL | string): Promise<WebAssembly.Module> {
  if (path !== undefined) return compile(path);
  shipped ??= compile(SHIPPED);
  return shipped;
}
