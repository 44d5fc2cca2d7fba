/**
 * What every element of a link has in common: frames come in at accept(), go on to the next element
 * or are dropped and counted. An element owns a frame from accept() until it passes it on. The ways
 * to hold a frame for a time are here too: Line keeps the order, Scatter does not. One element, one
 * file, in elements/; sim/path.ts strings them together.
 */

import { Actor, type Schedule } from './schedule.js';
import { FrameQueue, type Frame, type FramePool } from './frame.js';
import type { Random } from './random.js';

export interface Sink {
  accept(frame: Frame, nowUs: number): void;
}

/** What an element is given when its link is made. */
export interface ElementContext {
  readonly schedule: Schedule;
  readonly pool: FramePool;
  readonly random: Random;
  /** Takes frames back to the sender's side: ICMP errors of a router on the way. */
  readonly back: Sink;
}

/** Elements have state, so a link makes its own: factories are what users pass around. */
export type ElementFactory = () => Element;

export abstract class Element extends Actor implements Sink {
  abstract readonly name: string;
  protected context!: ElementContext;
  protected next!: Sink;
  /** Frames that came in, and those that this element dropped. */
  accepted = 0;
  dropped = 0;

  /** Called once, before the first frame. */
  attach(context: ElementContext, next: Sink): void {
    this.context = context;
    this.next = next;
  }

  accept(frame: Frame, nowUs: number): void {
    this.accepted++;
    this.process(frame, nowUs);
  }

  protected abstract process(frame: Frame, nowUs: number): void;

  protected drop(frame: Frame): void {
    this.dropped++;
    this.context.pool.give(frame);
  }

  fire(_nowUs: number): void {
    // Only elements that hold frames are ever scheduled.
  }
}

/** An element that holds frames in order. The earliest one is in the schedule, the rest wait. */
export abstract class Line extends Element {
  protected readonly waiting = new FrameQueue();

  /** Passes the frame on at dueUs, but never before one that came earlier. */
  protected hold(frame: Frame, dueUs: number): void {
    frame.dueUs = dueUs;
    this.waiting.push(frame);
    if (this.waiting.length === 1) this.context.schedule.set(this, dueUs);
  }

  override fire(nowUs: number): void {
    for (;;) {
      const frame = this.waiting.peek();
      if (frame === undefined) return;
      if (frame.dueUs > nowUs) {
        this.context.schedule.set(this, frame.dueUs);
        return;
      }
      this.waiting.shift();
      this.next.accept(frame, nowUs);
    }
  }
}

/** A frame that waits by itself. */
class Held extends Actor {
  frame: Frame | undefined;

  constructor(readonly owner: Scatter) {
    super();
  }

  fire(nowUs: number): void {
    this.owner.release(this, nowUs);
  }
}

/** An element that holds each frame for a time of its own: later ones may overtake. */
export abstract class Scatter extends Element {
  readonly #idle: Held[] = [];

  protected hold(frame: Frame, dueUs: number): void {
    const held = this.#idle.pop() ?? new Held(this);
    held.frame = frame;
    this.context.schedule.set(held, dueUs);
  }

  /** Called by Held alone. */
  release(held: Held, nowUs: number): void {
    const frame = held.frame as Frame;
    held.frame = undefined;
    this.#idle.push(held);
    this.next.accept(frame, nowUs);
  }
}

/** @throws RangeError when p is no probability */
export function probability(p: number, of: string): number {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`${of}: ${p} is not between 0 and 1`);
  return p;
}

/** @throws RangeError when us is no time that the simulator can keep exactly */
export function duration(us: number, of: string): number {
  if (!Number.isSafeInteger(us) || us < 0) throw new RangeError(`${of}: ${us} is no time in µs`);
  return us;
}
