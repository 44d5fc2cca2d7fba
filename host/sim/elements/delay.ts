/**
 * Propagation delay: every frame arrives the same time later, in order. One way, as a cable is.
 */
import { Line, duration, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Delay extends Line {
  readonly name = 'delay';

  constructor(readonly us: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    this.hold(frame, nowUs + this.us);
  }
}

/** @param us one-way delay, µs */
export function delay(us: number): ElementFactory {
  duration(us, 'delay');
  return () => new Delay(us);
}
