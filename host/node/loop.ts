/**
 * The five steps of every host, in Node: wait, read a batch in, poll, drain events, write the batch
 * out. Waits for links (their wake), for the engine's next deadline (one timer) and for calls of
 * the user, which are polled at the end of the tick that made them. Keeps the process alive exactly
 * while somebody holds a reference. Holds no protocol logic.
 */

import { performance } from 'node:perf_hooks';
import { Dispatcher } from '../core/dispatch.js';
import type { Engine } from '../core/engine.js';
import { EngineFault, EngineSetupError } from '../core/errors.js';
import { LinkRing } from '../core/ring.js';
import type { Clock, Driver, Timer } from './clock.js';
import type { Link } from './link/link.js';

/** Frames of one link between two polls; the default profile's receive ring. */
const BATCH = 64;
/** Frames and sends a poll: a batch and what it answers. */
const BUDGET = 128;
/**
 * Turns before the event loop of Node gets its own: about a millisecond of full batches, of frames
 * of 1500 bytes. Of super-segments they are 64 MiB, and timers of the user were 40 ms late with an
 * iperf3 that sent all the time; therefore time ends a run too.
 */
const TURNS_MAX = 16;
const RUN_US = 1000;
const NEVER = 0xffffffff;
/** setTimeout's limit; a longer wait is made of several. */
const TIMER_MAX_MS = 0x7fffffff;

/**
 * µs since the process began. performance.now() is process.hrtime() without a BigInt: monotonic,
 * and exact to well below a microsecond for centuries.
 */
export const systemClock: Clock = {
  nowUs: () => Math.floor(performance.now() * 1000),
  after(ms, callback): Timer {
    const timer = setTimeout(callback, Math.min(ms, TIMER_MAX_MS));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

export class NodeLoop implements Driver {
  readonly dispatcher: Dispatcher;
  readonly clock = systemClock;
  readonly links: readonly Link[];
  readonly #rings: LinkRing[] = [];
  #refs = 0;
  #keepAlive: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, µs. */
  #timerUs = Infinity;
  #immediate: NodeJS.Immediate | undefined;
  #requested = false;
  #running = false;
  #closed = false;
  readonly #turn = (): void => this.run();
  readonly #onError: (error: Error) => void;

  /**
   * Attaches the links to the engine, in their order.
   * @param onError told of an engine that stopped or a link that broke; the loop is closed then
   */
  constructor(
    readonly engine: Engine, links: readonly Link[], onError: (error: Error) => void,
  ) {
    this.links = links;
    this.dispatcher = new Dispatcher(engine);
    this.#onError = onError;
    // Calls made before the first poll would happen at time 0.
    engine.poll(this.clock.nowUs(), BUDGET);
    for (const link of links) {
      const id = engine.linkAdd(link.flags, link.mtu);
      const { ethernet } = link;
      if (ethernet !== undefined) {
        engine.linkEthernet(id, ethernet.mac, ethernet.vlan, ethernet.auto);
      }
      const ring = engine.linkRing(id);
      if (ring === 0) throw new EngineSetupError(`link ${link.name}: the engine has no ring`);
      this.#rings.push(new LinkRing(engine.bytes, engine.words, ring));
      link.attach(engine, ring, this.#turn);
      link.unref();
    }
  }

  /**
   * Polls at the end of this tick. process.nextTick runs before promises and before any I/O, so
   * that a write is on the wire in the tick that made it, and many writes of one tick make one
   * poll.
   */
  request(): void {
    if (this.#requested || this.#running || this.#closed) return;
    this.#requested = true;
    process.nextTick(this.#turn);
  }

  /** The steps, until nothing is left to do or Node's own loop shall have its turn. */
  run(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    try {
      this.#steps();
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.#running = false;
    }
  }

  #failed(error: Error): void {
    const ours = error instanceof EngineFault || 'syscall' in error;
    if (ours) {
      this.close();
      this.#onError(error);
      return;
    }
    // A listener of the user threw: that is an uncaught exception, and no reason to stand still.
    process.nextTick(() => {
      this.request();
      throw error;
    });
  }

  #steps(): void {
    let wait = 0;
    const endUs = this.clock.nowUs() + RUN_US;
    let nowUs = 0;
    for (let turn = 0; turn < TURNS_MAX && nowUs < endUs; turn++) {
      this.#requested = false;
      let moved = 0;
      for (const link of this.links) moved += link.readBatch(BATCH);
      nowUs = this.clock.nowUs();
      wait = this.engine.poll(nowUs, BUDGET);
      const events = this.dispatcher.drain();
      if (this.#write()) moved++;
      if (this.#closed) return;
      // After events the user has called; a link that gave frames may have more.
      if (events === 0 && moved === 0 && wait > 0) {
        this.#arm(wait);
        return;
      }
    }
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.run();
    });
  }

  /** Writes the batch out. @returns true when an engine that had no entry left has some again */
  #write(): boolean {
    let again = false;
    for (const [at, link] of this.links.entries()) {
      const full = this.#rings[at]?.txFull() === true;
      if (link.writeBatch() > 0 && full) again = true;
    }
    return again;
  }

  /** One timer, moved only when it would fire too late: one that fires early costs one poll. */
  #arm(waitUs: number): void {
    if (waitUs === NEVER) return;
    const dueUs = this.clock.nowUs() + waitUs;
    if (this.#timerUs <= dueUs) return;
    clearTimeout(this.#timer);
    this.#timerUs = dueUs;
    const ms = Math.min(Math.ceil(waitUs / 1000), TIMER_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#timerUs = Infinity;
      this.run();
    }, ms);
    this.#timer.unref();
  }

  /*
   * The process lives by one long timer of ours: the links and the engine's timer go on working
   * while nobody holds a reference, as the kernel's do. Links are told too, because a wire moves
   * frames by setImmediate, which Node delays to the next event when it is not referenced.
   */
  ref(): void {
    if (this.#refs++ > 0 || this.#closed) return;
    this.#keepAlive = setInterval(() => undefined, TIMER_MAX_MS);
    for (const link of this.links) link.ref();
  }

  unref(): void {
    if (--this.#refs > 0 || this.#closed) return;
    clearInterval(this.#keepAlive);
    for (const link of this.links) link.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#keepAlive);
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    for (const link of this.links) link.close();
  }
}
