/**
 * A link's bit rate with the queue before it: frames leave one after the other, each taking its
 * bits' time; what finds the queue full is dropped. The discipline is chosen by the user
 * (elements/queue.ts). Only IP bytes count, as tc counts on a TUN device.
 */
import { Element, type ElementFactory } from '../element.js';
import { FrameQueue, type Frame } from '../frame.js';
import { tailDrop, type Discipline } from './queue.js';

export class Rate extends Element {
  readonly name = 'rate';
  readonly #queue = new FrameQueue();
  #sending: Frame | undefined;
  /** Fractions of a µs that the last frames took are kept, or 10 Gbit/s would run at 8. */
  #freeAtUs = 0;

  constructor(readonly bitsPerSecond: number, readonly discipline: Discipline) {
    super();
  }

  /** Bytes that wait, without the frame that is being sent. */
  get queueBytes(): number {
    return this.#queue.bytes;
  }

  protected process(frame: Frame, nowUs: number): void {
    if (this.#sending === undefined) {
      this.#send(frame, Math.max(nowUs, this.#freeAtUs));
    } else if (this.discipline.admit(frame, this.#queue.length, this.#queue.bytes)) {
      frame.dueUs = nowUs; // when it joined: the discipline may judge its age
      this.#queue.push(frame);
    } else {
      this.drop(frame);
    }
  }

  #send(frame: Frame, startUs: number): void {
    this.#sending = frame;
    this.#freeAtUs = startUs + (frame.length * 8e6) / this.bitsPerSecond;
    this.context.schedule.set(this, Math.ceil(this.#freeAtUs));
  }

  override fire(nowUs: number): void {
    const sent = this.#sending as Frame;
    this.#sending = undefined;
    for (;;) {
      const frame = this.#queue.shift();
      if (frame === undefined) break;
      if (this.discipline.release(frame, nowUs, this.#queue.bytes)) {
        // From where the last one ended, not from now: now is rounded up.
        this.#send(frame, this.#freeAtUs);
        break;
      }
      this.drop(frame);
    }
    this.next.accept(sent, nowUs);
  }
}

/**
 * @param bitsPerSecond such as 100e6
 * @param discipline how the queue drops; a tail-drop queue of 1,000 packets by default (Linux's
 *   txqueuelen)
 */
export function rate(bitsPerSecond: number, discipline?: () => Discipline): ElementFactory {
  if (!(bitsPerSecond > 0)) throw new RangeError(`rate: ${bitsPerSecond} bit/s`);
  const make = discipline ?? tailDrop({ packets: 1000 });
  return () => new Rate(bitsPerSecond, make());
}
