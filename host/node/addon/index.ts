/**
 * Chooses the way to the operating system: the C addon, else koffi, else none, and remembers it.
 * ACKORN_NATIVE=addon|koffi|none forces one. Used by the CLI, link/tun.ts and the tests.
 */
import { env, platform } from 'node:process';
import { loadAddon } from './addon.js';
import { createNative } from './device.js';
import { badArgument } from './errors.js';
import { loadKoffi } from './koffi.js';
import type { Native, SystemCalls } from './native.js';

export { parseCidr, addressBytes, type Cidr } from './cidr.js';
export { NativeError } from './errors.js';
export * from './native.js';

/** What was found: a Native, or why there is none (a reason for each way, one line each). */
export interface NativeChoice {
  readonly native: Native | undefined;
  readonly reasons: readonly string[];
}

const WAYS: Readonly<Record<string, () => SystemCalls | string>> = {
  addon: () => loadAddon(),
  koffi: () => loadKoffi(),
};

/** Tries the ways named by `wanted` (or all) in order. Throws for a word that is none of them. */
export function chooseNative(wanted: string | undefined = env['ACKORN_NATIVE']): NativeChoice {
  if (wanted === 'none') return { native: undefined, reasons: ['ACKORN_NATIVE=none'] };
  if (platform !== 'linux') {
    return { native: undefined, reasons: [`TUN devices are used on Linux only, not ${platform}`] };
  }
  const forced = wanted === undefined || wanted === '' ? Object.keys(WAYS) : [wanted];
  const reasons: string[] = [];
  for (const name of forced) {
    const load = WAYS[name];
    if (load === undefined) {
      throw badArgument(`ACKORN_NATIVE=${name}: it must be addon, koffi or none`);
    }
    const calls = load();
    if (typeof calls !== 'string') return { native: createNative(calls), reasons };
    reasons.push(`${name}: ${calls}`);
  }
  return { native: undefined, reasons };
}

let chosen: NativeChoice | undefined;

/** The Native of this thread, or undefined; nativeReasons() then says why. */
export function loadNative(): Native | undefined {
  chosen ??= chooseNative();
  return chosen.native;
}

/** Why a way was passed over, one line each. Empty when the addon was found. */
export function nativeReasons(): readonly string[] {
  chosen ??= chooseNative();
  return chosen.reasons;
}
