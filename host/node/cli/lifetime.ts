/**
 * How a command that serves comes to its end: SIGINT, SIGTERM, SIGHUP, the end of the process
 * outside its namespace, or a failure; all lead to one orderly close, bounded in time. Used by up
 * and start.
 */

import { watchOutside } from './namespace.js';

/** What an orderly close may take: FINs and RSTs leave at once, nobody's answer is waited for. */
const CLOSE_MS = 2000;
/** A terminal's Ctrl-C reaches us directly and through the process outside: that is one signal. */
const AGAIN_MS = 500;

/** setInterval's limit, ms. */
const LONG_MS = 0x7fffffff;

/**
 * Resolves with a reason when the command shall end. Until then the process lives, also when the
 * stack has no service that would keep it alive.
 */
export class Lifetime {
  /** The signal's name, or 'parent'. */
  readonly ended: Promise<string>;
  readonly #controller = new AbortController();
  #since = 0;

  constructor() {
    const alive = setInterval(() => undefined, LONG_MS);
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        const now = performance.now();
        // Somebody insists: no more waiting for an orderly close.
        if (this.#since > 0 && now - this.#since > AGAIN_MS) process.exit(1);
        if (this.#since === 0) this.#since = now;
        clearInterval(alive);
        this.#controller.abort();
        resolve(reason);
      };
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        process.on(signal, () => end(signal));
      }
      watchOutside(() => end('parent'));
    });
  }

  /** Aborted when the command shall end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for the close, but not for ever. */
  async close(step: () => Promise<void>): Promise<void> {
    const limit = setTimeout(() => process.exit(1), CLOSE_MS);
    await step();
    clearTimeout(limit);
  }
}
