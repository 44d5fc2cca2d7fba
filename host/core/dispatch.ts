/**
 * From events to whoever they are for: handlers by kind and index, told apart by generation, so
 * that an event of an earlier life of a record reaches nobody. Used by the Node host's Stack and by
 * the simulator's applications; portable. Holds no policy: a handler sees the mask as the engine
 * made it.
 */

import { HandleKind } from '../../assembly/abi.js';
import type { Engine, EventCallback, Handle } from './engine.js';
import { EngineFault } from './errors.js';

export interface Handler {
  /** @param mask EVENT_* bits of abi.ts */
  onEvents(mask: number): void;
}

class Table {
  readonly #handlers: (Handler | undefined)[] = [];
  readonly #generations: number[] = [];
  size = 0;

  set(handle: Handle, handler: Handler): void {
    if (this.#handlers[handle.index] === undefined) this.size++;
    this.#handlers[handle.index] = handler;
    this.#generations[handle.index] = handle.generation;
  }

  delete(handle: Handle): void {
    if (this.#generations[handle.index] !== handle.generation) return;
    if (this.#handlers[handle.index] !== undefined) this.size--;
    this.#handlers[handle.index] = undefined;
  }

  get(index: number, generation: number): Handler | undefined {
    return this.#generations[index] === generation ? this.#handlers[index] : undefined;
  }
}

export class Dispatcher {
  readonly #engine: Engine;
  readonly #connections = new Table();
  readonly #listeners = new Table();
  readonly #tell: EventCallback;
  #thrown: unknown;

  constructor(engine: Engine) {
    this.#engine = engine;
    // Made once: drain() runs after every poll.
    this.#tell = (kind, index, generation, mask) => {
      const table = kind === HandleKind.Listener ? this.#listeners : this.#connections;
      const handler = table.get(index, generation);
      if (handler !== undefined) this.#call(handler, mask);
    };
  }

  /** One handler's error must not cost the others their events, which are told only once. */
  #call(handler: Handler, mask: number): void {
    try {
      handler.onEvents(mask);
    } catch (error) {
      if (error instanceof EngineFault) throw error;
      this.#thrown ??= error;
    }
  }

  attachConnection(handle: Handle, handler: Handler): void {
    this.#connections.set(handle, handler);
  }

  attachListener(handle: Handle, handler: Handler): void {
    this.#listeners.set(handle, handler);
  }

  detachConnection(handle: Handle): void {
    this.#connections.delete(handle);
  }

  detachListener(handle: Handle): void {
    this.#listeners.delete(handle);
  }

  /** Handlers attached now. */
  get size(): number {
    return this.#connections.size + this.#listeners.size;
  }

  /**
   * Tells all pending events.
   * @returns how many
   * @throws the first error that a handler threw, after all have been told
   */
  drain(): number {
    const told = this.#engine.events(this.#tell);
    if (this.#thrown !== undefined) {
      const error = this.#thrown;
      this.#thrown = undefined;
      throw error;
    }
    return told;
  }
}
