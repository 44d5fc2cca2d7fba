/**
 * Loss: by probability, by pattern, and in bursts (Gilbert 1960, Elliott 1963: a good and a bad
 * state with a loss probability each).
 */
import { Element, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Loss extends Element {
  readonly name = 'loss';

  constructor(readonly p: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    if (this.context.random.chance(this.p)) this.drop(frame);
    else this.next.accept(frame, nowUs);
  }
}

/** @param p probability of each frame to be lost */
export function loss(p: number): ElementFactory {
  probability(p, 'loss');
  return () => new Loss(p);
}

export interface LossPattern {
  /** Which frames are counted; all by default. Sees the frame from its IP header on. */
  only?: (frame: Uint8Array) => boolean;
  /** Every n-th counted frame is lost, the n-th first. */
  every?: number;
  /** These counted frames are lost, the first is 0. */
  at?: readonly number[];
}

class PatternLoss extends Element {
  readonly name = 'loss';
  readonly #at: ReadonlySet<number>;
  #count = 0;

  constructor(readonly pattern: LossPattern) {
    super();
    this.#at = new Set(pattern.at);
  }

  protected process(frame: Frame, nowUs: number): void {
    const { only, every } = this.pattern;
    if (only === undefined || only(frame.bytes.subarray(0, frame.length))) {
      const place = this.#count++;
      if (this.#at.has(place) || (every !== undefined && place % every === every - 1)) {
        this.drop(frame);
        return;
      }
    }
    this.next.accept(frame, nowUs);
  }
}

export function lossPattern(pattern: LossPattern): ElementFactory {
  return () => new PatternLoss(pattern);
}

export interface BurstLoss {
  /** Probability, at each frame, of the way from good to bad and back. */
  toBad: number;
  toGood: number;
  /** Loss in the good state (0 by default) and in the bad one (1 by default). */
  lossGood?: number;
  lossBad?: number;
}

class GilbertElliott extends Element {
  readonly name = 'loss';
  #bad = false;

  constructor(readonly model: Required<BurstLoss>) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const { random } = this.context;
    const { toBad, toGood, lossBad, lossGood } = this.model;
    if (random.chance(this.#bad ? toGood : toBad)) this.#bad = !this.#bad;
    if (random.chance(this.#bad ? lossBad : lossGood)) this.drop(frame);
    else this.next.accept(frame, nowUs);
  }
}

/** Bursts of mean length 1/toGood, lost share toBad/(toBad+toGood) with the default losses. */
export function burstLoss(model: BurstLoss): ElementFactory {
  const whole = { lossGood: 0, lossBad: 1, ...model };
  for (const [name, p] of Object.entries(whole)) probability(p, `burstLoss ${name}`);
  return () => new GilbertElliott(whole);
}
