/**
 * Outages: times in which nothing passes. A black hole is an outage without end. The frames that
 * are already behind this element go on.
 */
import { Element, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

export interface Outage {
  /** µs of virtual time; the end is not in it. */
  fromUs: number;
  untilUs?: number;
}

class Outages extends Element {
  readonly name = 'outage';

  constructor(readonly plan: readonly Outage[]) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const down = this.plan.some(
      ({ fromUs, untilUs = Infinity }) => nowUs >= fromUs && nowUs < untilUs,
    );
    if (down) this.drop(frame);
    else this.next.accept(frame, nowUs);
  }
}

/** Nothing passes during these times. The plan may be changed while the simulation runs. */
export function outage(...plan: Outage[]): ElementFactory {
  return () => new Outages(plan);
}

/** Nothing ever passes from then on. */
export function blackhole(fromUs = 0): ElementFactory {
  return outage({ fromUs });
}
