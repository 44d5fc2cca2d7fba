/**
 * A tap: shows every frame that passes to a function, which may look but not change.
 */
import { Element, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';

/** Sees the frame from its IP header on; the bytes are valid during the call only. */
export type TapCallback = (frame: Uint8Array, nowUs: number) => void;

class Tap extends Element {
  readonly name = 'tap';

  constructor(readonly callback: TapCallback) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    this.callback(frame.bytes.subarray(0, frame.length), nowUs);
    this.next.accept(frame, nowUs);
  }
}

export function tap(callback: TapCallback): ElementFactory {
  return () => new Tap(callback);
}
