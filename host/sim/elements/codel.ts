/**
 * CoDel (RFC 8289): a queue discipline that judges packets by how long they waited, not by how many
 * they are. When the shortest wait of an interval stays above the target, the head of the queue is
 * dropped, or, if it is ECN-capable, marked; ever faster until the wait is short again. For
 * rate.ts, which asks it about each arriving frame and about each one at the head.
 */
import { duration } from '../element.js';
import type { Frame } from '../frame.js';
import { markCe } from '../packet.js';
import { tailDrop, type Discipline } from './queue.js';

export interface CodelOptions {
  /** What finds the queue full is dropped; 1,000 packets when neither is given (Linux). */
  packets?: number;
  bytes?: number;
  /** Wait that may stand, µs: 5 ms by default. */
  targetUs?: number;
  /** A worst-case round trip, µs: 100 ms by default. */
  intervalUs?: number;
  /** Mark what is ECN-capable instead of dropping it; true by default. */
  ecn?: boolean;
  /** No more bytes than this behind the head are no standing queue: 1,500 by default. */
  mtu?: number;
}

export class Codel implements Discipline {
  /** Frames marked, and dropped at the head; those that found the queue full are not in it. */
  marked = 0;
  dropped = 0;
  readonly #limit: Discipline;
  readonly #targetUs: number;
  readonly #intervalUs: number;
  readonly #ecn: boolean;
  readonly #mtu: number;
  // RFC 8289 §5.3's variables
  #firstAboveTime = 0;
  #dropNext = 0;
  #count = 0;
  #lastCount = 0;
  #dropping = false;
  /** The frame before this one was dropped in the same turn, and dropNext has not moved yet. */
  #moveOn = false;

  constructor(options: CodelOptions = {}) {
    const { bytes = Infinity } = options;
    const packets = options.packets ?? (bytes === Infinity ? 1000 : Infinity);
    this.#limit = tailDrop({ packets, bytes })();
    this.#targetUs = duration(options.targetUs ?? 5000, 'codel');
    this.#intervalUs = duration(options.intervalUs ?? 100_000, 'codel');
    this.#ecn = options.ecn ?? true;
    this.#mtu = options.mtu ?? 1500;
  }

  admit(frame: Frame, packets: number, bytes: number): boolean {
    return this.#limit.admit(frame, packets, bytes);
  }

  /** RFC 8289 §5.5, turned inside out: rate.ts holds the loop that takes the next frame. */
  release(frame: Frame, nowUs: number, bytesBehind: number): boolean {
    const bad = this.#aboveTarget(frame, nowUs, bytesBehind);
    const moveOn = this.#moveOn;
    this.#moveOn = false;
    if (!this.#dropping) return !bad || this.#begin(frame, nowUs);
    if (!bad) {
      this.#dropping = false;
      return true;
    }
    if (moveOn) this.#dropNext = this.#after(this.#dropNext);
    if (nowUs < this.#dropNext) return true;
    this.#count++;
    if (this.#mark(frame)) {
      this.#dropNext = this.#after(this.#dropNext);
      return true;
    }
    this.#moveOn = true;
    return this.#drop();
  }

  /** §5.6: has every frame of the last interval waited too long? */
  #aboveTarget(frame: Frame, nowUs: number, bytesBehind: number): boolean {
    if (nowUs - frame.dueUs < this.#targetUs || bytesBehind <= this.#mtu) {
      this.#firstAboveTime = 0;
      return false;
    }
    if (this.#firstAboveTime === 0) {
      this.#firstAboveTime = nowUs + this.#intervalUs;
      return false;
    }
    return nowUs >= this.#firstAboveTime;
  }

  /** Enters the dropping state; soon after the last one it goes on about as fast as it was. */
  #begin(frame: Frame, nowUs: number): boolean {
    this.#dropping = true;
    const delta = this.#count - this.#lastCount;
    const recent = nowUs - this.#dropNext < 16 * this.#intervalUs;
    this.#count = delta > 1 && recent ? delta : 1;
    this.#lastCount = this.#count;
    this.#dropNext = this.#after(nowUs);
    return this.#mark(frame) || this.#drop();
  }

  /** §5.4, the control law. */
  #after(timeUs: number): number {
    return timeUs + this.#intervalUs / Math.sqrt(this.#count);
  }

  #mark(frame: Frame): boolean {
    if (!this.#ecn || !markCe(frame.bytes, frame.length)) return false;
    this.marked++;
    return true;
  }

  #drop(): boolean {
    this.dropped++;
    return false;
  }
}

/** For rate(): `rate(100e6, codel({ bytes: 1e6 }))`. @throws RangeError for a time that is none */
export function codel(options: CodelOptions = {}): () => Codel {
  void new Codel(options); // what is wrong is told here, not when the link is made
  return () => new Codel(options);
}
