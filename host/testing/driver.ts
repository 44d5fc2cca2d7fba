/**
 * Drives the engines of a simulation for Stacks: virtual time runs on while anything is to come, in
 * real time at the clock's pace. Between two steps the event loop of Node gets its turn, so that
 * streams and promises have settled before time moves: a run in virtual time is a function of its
 * seed as long as nothing else in the test waits for the real world.
 */

import type { Clock, Driver, Timer } from '../node/clock.js';
import type { SimHost, Simulation } from '../sim/index.js';

/** Lets the simulation's time pass. */
export class Pacer {
  readonly clock: Clock;
  #refs = 0;
  #scheduled = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  #error: ((error: Error) => void);
  readonly #startUs: number;
  readonly #startReal = performance.now();

  constructor(
    readonly simulation: Simulation, public virtual: boolean, onError: (error: Error) => void,
  ) {
    this.#error = onError;
    this.#startUs = simulation.nowUs;
    this.clock = {
      nowUs: () => (this.virtual ? simulation.nowUs : this.#realUs()),
      after: (ms, callback): Timer => {
        const actor = simulation.at(this.clock.nowUs() + Math.ceil(ms * 1000), callback);
        this.schedule();
        return { cancel: () => simulation.cancel(actor) };
      },
    };
  }

  #realUs(): number {
    return this.#startUs + Math.floor((performance.now() - this.#startReal) * 1000);
  }

  /** Something may be due: have a look in the next turn of Node's event loop. */
  schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#immediate = setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    const { simulation } = this;
    try {
      if (this.virtual) {
        if (!simulation.step()) return;
      } else {
        simulation.runUntil(this.#realUs());
      }
    } catch (error) {
      this.close();
      this.#error(error as Error);
      return;
    }
    this.#next();
  }

  #next(): void {
    const { nextUs } = this.simulation.schedule;
    if (nextUs === Infinity || this.#closed) return;
    const waitMs = this.virtual ? 0 : (nextUs - this.#realUs()) / 1000;
    clearTimeout(this.#timer);
    if (waitMs <= 0) {
      this.schedule();
      // An idle pair with a keep-alive timer must not keep a process alive, in either time.
      if (this.#refs === 0) this.#immediate?.unref();
    } else {
      this.#timer = setTimeout(() => this.schedule(), Math.min(Math.ceil(waitMs), 0x7fffffff));
      this.#timer.unref();
    }
  }

  ref(): void {
    if (this.#refs++ > 0 || this.#closed) return;
    this.#immediate?.ref();
    // In virtual time a pair that waits for nothing waits for ever: then the test shall end.
    if (!this.virtual) this.#keepAlive = setInterval(() => undefined, 0x7fffffff);
  }

  unref(): void {
    if (--this.#refs > 0) return;
    clearInterval(this.#keepAlive);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#keepAlive);
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }
}

/** One host of the simulation as a Stack wants it. */
export class SimDriver implements Driver {
  readonly engine;
  readonly dispatcher;
  readonly clock: Clock;

  constructor(readonly host: SimHost, readonly pacer: Pacer) {
    this.engine = host.engine;
    this.dispatcher = host.dispatcher;
    this.clock = pacer.clock;
  }

  request(): void {
    this.host.wake();
    this.pacer.schedule();
  }

  ref(): void {
    this.pacer.ref();
  }

  unref(): void {
    this.pacer.unref();
  }

  close(): void {
    this.host.sleep();
  }
}
