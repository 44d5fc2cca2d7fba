/**
 * What the entries (far-end.ts, stack-end.ts, path-end.ts) do alike: tell the parent when they are
 * ready or why not, or their figures, and end when it is gone. The IPC channel is the second tether
 * beside tether.ts's signal.
 */

import { once } from 'node:events';
import { oneLine } from '../cli/errors.js';
import type { EndMessage } from './tether.js';

function tell(message: EndMessage): void {
  process.send?.(message);
}

/** Tells that everything so far is done. */
export function ready(): void {
  tell({ ready: true });
}

/** Tells the figures that were asked for. */
export function result(value: unknown): void {
  tell({ result: value });
}

/** Waits until the parent says go. */
export async function permission(): Promise<void> {
  await once(process, 'message');
}

/** Runs an entry; the process lives until its parent is gone or kills it. */
export function runEntry(entry: (args: readonly string[]) => Promise<void>): void {
  process.once('disconnect', () => process.exit(0));
  process.on('SIGINT', () => undefined); // a terminal's Ctrl-C is the parent's to handle
  entry(process.argv.slice(2)).catch((error: unknown) => {
    tell({ failed: oneLine(error) });
    process.disconnect?.();
  });
}
