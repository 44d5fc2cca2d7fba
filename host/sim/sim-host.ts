/**
 * One engine in a simulation: it works when a frame arrives, when its timer is due, and when an
 * application calls it. The same five steps as every host: frames in, poll, events, frames out, and
 * the time it wants to be called again. Applications use `engine` and call wake() afterwards.
 */

import type { Engine } from '../core/engine.js';
import { Dispatcher } from '../core/dispatch.js';
import type { Port } from './port.js';
import { Actor, type Schedule } from './schedule.js';

/** Rounds of poll and events at one instant, before others get their turn. */
const ROUNDS_MAX = 64;
/** Frames and sends a poll: two full rings of the default profile. */
const BUDGET = 128;
const NEVER = 0xffffffff;

export class SimHost extends Actor {
  readonly dispatcher: Dispatcher;
  readonly ports: Port[] = [];
  /** Called before each poll and after each; for recorders and tests. */
  onPoll: ((nowUs: number, waitUs: number) => void) | undefined;
  /** A host that sleeps is not called; its frames and timers wait. */
  #sleeping = false;
  /** In fire(): what wakes us now is seen by its loop, not by the schedule. */
  #working = false;
  #again = false;

  constructor(
    readonly name: string, readonly engine: Engine, readonly schedule: Schedule,
    readonly clock: { readonly nowUs: number },
  ) {
    super();
    this.dispatcher = new Dispatcher(engine);
    // Calls made before the first poll would happen at time 0.
    engine.poll(clock.nowUs, BUDGET);
  }

  /** The engine was called, or something arrived: it shall work at this instant. */
  wake(): void {
    if (this.#working) this.#again = true;
    else if (!this.#sleeping) this.schedule.setEarlier(this, this.clock.nowUs);
  }

  /** The machine sleeps: nothing of it moves until resume(). Frames that find no room are lost. */
  sleep(): void {
    this.#sleeping = true;
    this.schedule.cancel(this);
  }

  resume(): void {
    this.#sleeping = false;
    this.wake();
  }

  /** One poll only, so that the receive ring has room. */
  makeRoom(nowUs: number): void {
    if (!this.#sleeping) this.engine.poll(nowUs, BUDGET);
  }

  fire(nowUs: number): void {
    if (this.#sleeping) return;
    let waitUs = 0;
    this.#working = true;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#again = false;
      waitUs = this.engine.poll(nowUs, BUDGET);
      const events = this.dispatcher.drain();
      for (const port of this.ports) {
        port.drain(nowUs);
        port.peerWorked(nowUs);
      }
      this.onPoll?.(nowUs, waitUs);
      if (events === 0 && waitUs > 0 && !this.#again) break;
    }
    this.#working = false;
    // Work remains after all rounds: the wire or the ring's other side must move first.
    if (waitUs !== NEVER) this.schedule.setEarlier(this, nowUs + Math.max(1, waitUs));
  }
}
