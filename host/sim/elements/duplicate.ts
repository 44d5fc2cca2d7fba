/**
 * Duplication: some frames arrive twice, the copy right behind the original.
 */
import { Element, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Duplicate extends Element {
  readonly name = 'duplicate';

  constructor(readonly p: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const twin = this.context.random.chance(this.p) ? this.context.pool.copy(frame) : undefined;
    this.next.accept(frame, nowUs);
    if (twin !== undefined) this.next.accept(twin, nowUs);
  }
}

/** @param p probability of each frame to be doubled */
export function duplicate(p: number): ElementFactory {
  probability(p, 'duplicate');
  return () => new Duplicate(p);
}
