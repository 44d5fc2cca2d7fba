/**
 * setTimeout of a socket: tells once when nothing has happened for a time. Activity only notes the
 * time; the timer, when it fires, looks whether it was too early. So a busy socket costs no timer.
 */

import type { Clock, Timer } from './clock.js';

export class IdleTimer {
  ms = 0;
  #lastUs = 0;
  #timer: Timer | undefined;

  constructor(readonly clock: Clock, readonly onIdle: () => void) {}

  /** 0 turns it off. @throws RangeError when ms is no time */
  set(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`timeout: ${ms} ms`);
    this.ms = ms;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.touch();
  }

  /** Something happened. */
  touch(): void {
    if (this.ms === 0) return;
    this.#lastUs = this.clock.nowUs();
    this.#timer ??= this.clock.after(this.ms, () => this.#fire());
  }

  #fire(): void {
    this.#timer = undefined;
    const leftMs = this.ms - (this.clock.nowUs() - this.#lastUs) / 1000;
    if (leftMs > 0) this.#timer = this.clock.after(Math.ceil(leftMs), () => this.#fire());
    else this.onIdle();
  }
}
