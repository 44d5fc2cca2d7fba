/**
 * Corruption: one bit of some frames is flipped, anywhere from the first byte of the IP header on.
 * One bit, because the Internet checksum finds every single one: a test can count the drops.
 */
import { Element, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

class Corrupt extends Element {
  readonly name = 'corrupt';
  /** Frames that were changed. */
  corrupted = 0;

  constructor(readonly p: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const { random } = this.context;
    if (random.chance(this.p)) {
      this.corrupted++;
      const bit = random.below(frame.length * 8);
      frame.bytes[bit >> 3] = (frame.bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    }
    this.next.accept(frame, nowUs);
  }
}

/** @param p probability of each frame to have one bit flipped */
export function corrupt(p: number): ElementFactory {
  probability(p, 'corrupt');
  return () => new Corrupt(p);
}
