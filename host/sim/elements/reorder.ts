/**
 * Reordering: some frames are held back while those behind them pass.
 */
import { Scatter, duration, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Reorder extends Scatter {
  readonly name = 'reorder';

  constructor(readonly p: number, readonly us: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    if (this.context.random.chance(this.p)) this.hold(frame, nowUs + this.us);
    else this.next.accept(frame, nowUs);
  }
}

/**
 * @param p probability of each frame to be held back
 * @param us for how long, µs
 */
export function reorder(p: number, us: number): ElementFactory {
  probability(p, 'reorder');
  duration(us, 'reorder');
  return () => new Reorder(p, us);
}
