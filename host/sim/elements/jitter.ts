/**
 * Jitter: an additional delay drawn for each frame, uniform from 0 to a limit. Keeps the order
 * unless told otherwise, as netem does not and a queue on the way does.
 */
import { Line, Scatter, duration, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class OrderedJitter extends Line {
  readonly name = 'jitter';
  #lastUs = 0;

  constructor(readonly us: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const dueUs = nowUs + this.context.random.between(0, this.us);
    this.#lastUs = Math.max(this.#lastUs, dueUs);
    this.hold(frame, this.#lastUs);
  }
}

class FreeJitter extends Scatter {
  readonly name = 'jitter';

  constructor(readonly us: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    this.hold(frame, nowUs + this.context.random.between(0, this.us));
  }
}

/**
 * @param us largest additional delay, µs
 * @param options reorder: frames may overtake each other
 */
export function jitter(us: number, options: { reorder?: boolean } = {}): ElementFactory {
  duration(us, 'jitter');
  return () => (options.reorder === true ? new FreeJitter(us) : new OrderedJitter(us));
}
