/**
 * The shipped engine, compiled once for a test file, and how many seeds a run shall try.
 */
import { readFileSync } from 'node:fs';

export const engine = new WebAssembly.Module(
  readFileSync(new URL('../../../engine.wasm', import.meta.url)),
);

/** ACKORN_SEEDS multiplies the usual number; ACKORN_SEED chooses a single one. */
export function seeds(usual: number): number[] {
  const only = process.env['ACKORN_SEED'];
  if (only !== undefined) return [Number(only)];
  const count = Math.max(1, Math.round(usual * Number(process.env['ACKORN_SEEDS'] ?? 1)));
  return Array.from({ length: count }, (_, at) => at + 1);
}
