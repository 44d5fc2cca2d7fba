/**
 * Reordering: some frames are held back while those behind them pass.
 */
import { Scatter, duration, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Reorder extends Scatter {
  readonly name = 'reorder';

  constructor(readonly p: number, readonly us: number, readonly leastUs: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const { random } = this.context;
    if (!random.chance(this.p)) this.next.accept(frame, nowUs);
    else if (this.leastUs === this.us) this.hold(frame, nowUs + this.us);
    else this.hold(frame, nowUs + random.between(this.leastUs, this.us));
  }
}

/**
 * @param p probability of each frame to be held back
 * @param us for how long, µs
 * @param leastUs where it is less than us: for how long at least, uniform between the two
 */
export function reorder(p: number, us: number, leastUs = us): ElementFactory {
  probability(p, 'reorder');
  duration(us, 'reorder');
  duration(leastUs, 'reorder');
  return () => new Reorder(p, us, Math.min(us, leastUs));
}
