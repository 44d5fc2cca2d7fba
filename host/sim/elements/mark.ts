/**
 * Congestion marks (RFC 3168 §5): ECN-capable packets get CE, others are left alone. `mark` marks
 * by chance, on any link; `markAbove` is a queue discipline for rate.ts that marks what arrives
 * while the queue is long, as a router's step threshold does, and drops only what finds it full.
 */
import { Element, probability, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';
import { markCe } from '../packet.js';
import { tailDrop, type Discipline } from './queue.js';

class Mark extends Element {
  readonly name = 'mark';
  /** Frames that carried ECT or CE and were chosen. */
  marked = 0;

  constructor(readonly p: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const chosen = this.context.random.chance(this.p);
    if (chosen && markCe(frame.bytes, frame.length)) this.marked++;
    this.next.accept(frame, nowUs);
  }
}

/** @param p probability of each frame to be marked, if it is ECN-capable */
export function mark(p: number): ElementFactory {
  probability(p, 'mark');
  return () => new Mark(p);
}

export interface MarkLimits {
  /** Mark what finds so many packets or bytes, or more, before it. */
  abovePackets?: number;
  aboveBytes?: number;
  /** Drop what finds the queue full: no limit by default. */
  packets?: number;
  bytes?: number;
}

export class MarkAbove implements Discipline {
  marked = 0;
  readonly #limit: Discipline;

  constructor(readonly limits: MarkLimits) {
    this.#limit = tailDrop({
      packets: limits.packets ?? Infinity, bytes: limits.bytes ?? Infinity,
    })();
  }

  admit(frame: Frame, packets: number, bytes: number): boolean {
    if (!this.#limit.admit(frame, packets, bytes)) return false;
    const { abovePackets = Infinity, aboveBytes = Infinity } = this.limits;
    const long = packets >= abovePackets || bytes >= aboveBytes;
    if (long && markCe(frame.bytes, frame.length)) this.marked++;
    return true;
  }

  release(): boolean {
    return true;
  }
}

/** For rate(): `rate(100e6, markAbove({ aboveBytes: 50e3, bytes: 1e6 }))`. */
export function markAbove(limits: MarkLimits): () => MarkAbove {
  return () => new MarkAbove(limits);
}
