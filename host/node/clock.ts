/**
 * What a Stack needs of the time and of its driver: a clock with timers, and somebody who lets the
 * engine work after it was called. NodeLoop (loop.ts) gives both in real time, testing/virtual.ts
 * in virtual time; the Stack cannot tell them apart.
 */

import type { Engine } from '../core/engine.js';
import type { Dispatcher } from '../core/dispatch.js';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** µs, monotonic, an integer below 2⁵³. */
  nowUs(): number;
  /** Calls back once, not before `ms` milliseconds. The timer keeps no process alive. */
  after(ms: number, callback: () => void): Timer;
}

export interface Driver {
  readonly engine: Engine;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  /** The engine was called: poll it before this tick of the event loop ends. */
  request(): void;
  /** One more (or one fewer) reason to keep the process alive. */
  ref(): void;
  unref(): void;
  /** Ends it: links are closed, nothing is polled any more. */
  close(): void;
}
