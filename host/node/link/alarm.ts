/**
 * The time for links that hold packets back: a clock of µs and an alarm finer than Node's timers,
 * whose millisecond would be a hundred packets of a fast link. By timerfd(2) where there is a
 * native layer, else by setTimeout. Used by impaired.ts; tests put a virtual one in its place.
 */

import { loadNative } from '../addon/index.js';
import type { Native } from '../addon/native.js';

export interface Alarm {
  /**
   * Rings once, `us` microseconds from now; replaces what was set before. A coarse one may ring up
   * to a millisecond early (Node rounds): its owner looks at the clock and sets it again.
   */
  set(us: number): void;
  /** It rings no more. */
  close(): void;
}

export interface AlarmClock {
  /** µs, monotonic, whole. */
  nowUs(): number;
  /** An alarm that keeps no process alive. */
  alarm(onDue: () => void): Alarm;
}

/** setTimer's and setTimeout's limit; as one that rings early, µs. */
const LONGEST_US = 0x7fffffff;

/** A timerfd. It stays readable until it is set again, hence the stop after the call. */
class FineAlarm implements Alarm {
  readonly #native: Native;
  readonly #fd: number;
  readonly #poll: number;
  #set = false;
  #closed = false;

  constructor(native: Native, fd: number, onDue: () => void) {
    this.#native = native;
    this.#fd = fd;
    this.#poll = native.startPoll(fd, true, false, () => {
      if (this.#closed) return;
      this.#set = false;
      onDue();
      if (!this.#set && !this.#closed) native.setTimer(fd, 0);
    });
    native.refPoll(this.#poll, false);
  }

  set(us: number): void {
    this.#set = true;
    this.#native.setTimer(this.#fd, Math.min(Math.max(Math.ceil(us), 1), LONGEST_US));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.stopPoll(this.#poll);
    this.#native.closeTimer(this.#fd);
  }
}

class CoarseAlarm implements Alarm {
  readonly #onDue: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  set(us: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onDue, Math.ceil(Math.min(us, LONGEST_US) / 1000));
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

/** The best that can be had: without a native layer, or without a descriptor, a coarse one. */
export function makeAlarm(native: Native | undefined, onDue: () => void): Alarm {
  const fd = native?.openTimer() ?? -1;
  return native === undefined || fd < 0 ? new CoarseAlarm(onDue) : new FineAlarm(native, fd, onDue);
}

export const systemAlarmClock: AlarmClock = {
  nowUs: () => Math.floor(performance.now() * 1000),
  alarm: (onDue) => makeAlarm(loadNative(), onDue),
};
