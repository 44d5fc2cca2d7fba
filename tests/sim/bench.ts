/**
 * A bench for single elements: frames go in at chosen times, what comes out is noted. No engine.
 */
import type { Element, ElementFactory, Sink } from '../../host/sim/element.js';
import { FramePool, type Frame } from '../../host/sim/frame.js';
import { makePath } from '../../host/sim/path.js';
import { Random } from '../../host/sim/random.js';
import { Actor, Schedule } from '../../host/sim/schedule.js';

export interface Arrival {
  timeUs: number;
  bytes: Uint8Array;
}

class Send extends Actor {
  constructor(readonly send: (nowUs: number) => void) {
    super();
  }

  fire(nowUs: number): void {
    this.send(nowUs);
  }
}

export class ElementBench {
  readonly schedule = new Schedule();
  readonly pool = new FramePool();
  readonly arrivals: Arrival[] = [];
  /** Frames sent back to the sender's side. */
  readonly returned: Arrival[] = [];
  readonly elements: readonly Element[];
  readonly #first: Sink;

  constructor(factories: readonly ElementFactory[], seed = 1) {
    const note = (list: Arrival[]): Sink => ({
      accept: (frame: Frame, timeUs: number) => {
        list.push({ timeUs, bytes: frame.bytes.slice(0, frame.length) });
        this.pool.give(frame);
      },
    });
    const { schedule, pool } = this;
    const context = { schedule, pool, random: new Random(seed), back: note(this.returned) };
    const path = makePath(factories, context, note(this.arrivals));
    this.#first = path.first;
    this.elements = path.elements;
  }

  /** Sends bytes at a time. */
  send(timeUs: number, bytes: Uint8Array): void {
    const actor = new Send((nowUs) => {
      const frame = this.pool.take(bytes.length);
      frame.bytes.set(bytes);
      this.#first.accept(frame, nowUs);
    });
    this.schedule.set(actor, timeUs);
  }

  /** Sends `count` frames of `length` bytes, `everyUs` apart; each begins with its number (u32). */
  train(count: number, length: number, everyUs: number): void {
    for (let at = 0; at < count; at++) {
      const bytes = new Uint8Array(length);
      new DataView(bytes.buffer).setUint32(0, at);
      this.send(at * everyUs, bytes);
    }
  }

  run(): void {
    for (;;) {
      const timeUs = this.schedule.nextUs;
      const actor = this.schedule.take();
      if (actor === undefined) return;
      actor.fire(timeUs);
    }
  }

  /** Numbers of the frames that arrived, in order. */
  numbers(): number[] {
    return this.arrivals.map(({ bytes }) => new DataView(bytes.buffer).getUint32(0));
  }
}
