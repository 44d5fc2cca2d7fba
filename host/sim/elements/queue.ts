/**
 * Queue disciplines of a rate-limited link: who is let in and who is let out. Tail drop here; CoDel
 * is codel.ts, a threshold that marks is in mark.ts.
 */
import type { Frame } from '../frame.js';

export interface Discipline {
  /** @returns false: drop the arriving frame. The queue holds `packets` and `bytes` without it. */
  admit(frame: Frame, packets: number, bytes: number): boolean;
  /** @returns false: drop the frame at the head, which joined at frame.dueUs */
  release(frame: Frame, nowUs: number, bytesBehind: number): boolean;
}

class TailDrop implements Discipline {
  constructor(readonly packets: number, readonly bytes: number) {}

  admit(frame: Frame, packets: number, bytes: number): boolean {
    return packets < this.packets && bytes + frame.length <= this.bytes;
  }

  release(): boolean {
    return true;
  }
}

/** A queue of limited packets, bytes, or both; what finds it full is dropped. */
export function tailDrop(limit: { packets?: number; bytes?: number }): () => Discipline {
  return () => new TailDrop(limit.packets ?? Infinity, limit.bytes ?? Infinity);
}
