/**
 * What a socket still has to put into the engine's send stream: the chunks of one write call that
 * did not fit, or a pattern without end. Copies each byte once. Stops at a full stream;
 * EVENT_WRITABLE goes on. Used by socket.ts alone.
 */

import { Errno } from '../../assembly/abi.js';
import type { Engine, Handle } from '../core/engine.js';
import { codedError, socketError } from './errors.js';

export class WriteQueue {
  /** Bytes that the send stream took. */
  accepted = 0;
  #chunks: Uint8Array[] = [];
  #chunk = 0;
  #offset = 0;
  #done: ((error?: Error) => void) | undefined;

  constructor(readonly engine: Engine, readonly handle: () => Handle | undefined) {}

  /** A Writable has one write under way at a time. */
  add(chunks: Uint8Array[], done: (error?: Error) => void): void {
    this.#chunks = chunks;
    this.#chunk = 0;
    this.#offset = 0;
    this.#done = done;
  }

  /** Moves what fits. @returns bytes moved */
  pump(): number {
    let moved = 0;
    while (this.#done !== undefined) {
      const handle = this.handle();
      const chunk = this.#chunks[this.#chunk];
      if (chunk === undefined) {
        this.#finish();
        break;
      }
      if (handle === undefined) break;
      const queued = this.engine.write(handle, chunk, this.#offset, chunk.length);
      if (queued < 0) {
        this.#refused(queued);
        break;
      }
      moved += queued;
      this.accepted += queued;
      this.#offset += queued;
      if (this.#offset < chunk.length) break;
      this.#chunk++;
      this.#offset = 0;
    }
    return moved;
  }

  #finish(error?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    this.#chunks = [];
    done?.(error);
  }

  #refused(result: number): void {
    if (result !== -Errno.EAGAIN) this.#finish(socketError(result, 'write'));
  }

  /** The socket is destroyed: what waits will never be sent, and whoever waits for it is told. */
  fail(error: Error | null): void {
    if (this.#done === undefined) return;
    const message = 'Cannot call write after a stream was destroyed';
    this.#finish(error ?? codedError('ERR_STREAM_DESTROYED', message));
  }
}

/** One chunk, over and over. */
export class PatternSender {
  accepted = 0;
  #offset = 0;
  #stopped = false;

  constructor(
    readonly engine: Engine, readonly handle: () => Handle | undefined,
    readonly chunk: Uint8Array, readonly onBytes: (bytes: number) => void,
  ) {
    if (chunk.length === 0) throw new RangeError('sendPattern: an empty chunk');
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Fills the send stream. @returns bytes moved */
  pump(): number {
    let moved = 0;
    while (!this.#stopped) {
      const handle = this.handle();
      if (handle === undefined) break;
      const queued = this.engine.write(handle, this.chunk, this.#offset, this.chunk.length);
      if (queued <= 0) break;
      moved += queued;
      this.accepted += queued;
      this.#offset = (this.#offset + queued) % this.chunk.length;
      this.onBytes(queued);
    }
    return moved;
  }
}
