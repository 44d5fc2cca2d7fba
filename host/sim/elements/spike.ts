/**
 * Delay spikes: times in which every frame takes so much longer, as on a radio link that hands over
 * or a host that is paused. Frames keep their order, so what comes right after a spike waits for
 * what was caught in it.
 */
import { Line, duration, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

export interface Spike {
  /** µs of virtual time; the end is not in it. */
  fromUs: number;
  untilUs: number;
  /** Additional delay, µs. */
  us: number;
}

class Spikes extends Line {
  readonly name = 'spike';
  #lastUs = 0;

  constructor(readonly plan: readonly Spike[]) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const spike = this.plan.find(({ fromUs, untilUs }) => nowUs >= fromUs && nowUs < untilUs);
    this.#lastUs = Math.max(this.#lastUs, nowUs + (spike?.us ?? 0));
    this.hold(frame, this.#lastUs);
  }
}

export function spike(...plan: Spike[]): ElementFactory {
  for (const { us } of plan) duration(us, 'spike');
  return () => new Spikes(plan);
}
