/**
 * Bulk data for measuring: a sender that always has more, and a receiver that reads and counts. The
 * bytes are whatever stands in the send stream: nothing is copied or compared, so that a run costs
 * what the stack costs. Content is verified elsewhere (sim/apps.ts). Used by flows.ts.
 */
import {
  EVENT_CLOSED, EVENT_CONNECTED, EVENT_ERROR, EVENT_PEER_FIN, EVENT_READABLE, Errno,
  Option, SHUT_WR,
} from '../../../assembly/abi.js';
import { ADDRESS_ANY, type AddressWords } from '../../core/address.js';
import type { Handler } from '../../core/dispatch.js';
import type { Handle } from '../../core/engine.js';
import type { SimHost } from '../sim-host.js';
import type { OptionValues } from './types.js';

/** Bytes asked for at a time: the largest piece that the engine lends. */
const PIECE = 65_536;
const ENDED = EVENT_ERROR | EVENT_CLOSED;

function optionsOf(values: OptionValues): [Option, number][] {
  return Object.entries(values).flatMap(([name, value]) =>
    (value === undefined ? [] : [[Option[name as keyof typeof Option], value]]));
}

/** Opens a connection and fills its send stream until it is stopped or has sent enough. */
export class BulkSender implements Handler {
  readonly handle: Handle;
  /** The handle is ours; false once it was closed. */
  open = true;
  connected = false;
  /** SO_ERROR when it failed. */
  error = 0;
  queued = 0;
  #finished = false;

  constructor(
    readonly host: SimHost, to: AddressWords, port: number,
    readonly bytes: number, options: OptionValues, readonly keepOpen = false,
  ) {
    const { engine } = host;
    this.handle = engine.open();
    host.dispatcher.attachConnection(this.handle, this);
    for (const [option, value] of optionsOf(options)) {
      engine.setOption(this.handle, option, value);
    }
    engine.connect(this.handle, to, port);
    host.wake();
  }

  onEvents(mask: number): void {
    if ((mask & EVENT_CONNECTED) !== 0) this.connected = true;
    if ((mask & ENDED) !== 0) {
      this.error = this.host.engine.getOption(this.handle, Option.SO_ERROR);
      this.#release();
    } else if (this.connected) {
      this.#fill();
    }
  }

  #fill(): void {
    const { calls } = this.host.engine;
    const { index, generation } = this.handle;
    while (!this.#finished && this.queued < this.bytes) {
      const want = Math.min(PIECE, this.bytes - this.queued);
      const room = calls.tcpSendReserve(index, generation, want);
      if (room <= 0) break;
      const queued = calls.tcpSendCommit(index, generation, Math.min(room, want), 0);
      if (queued <= 0) break;
      this.queued += queued;
    }
    if (this.queued >= this.bytes && !this.keepOpen) this.stop();
    this.host.wake();
  }

  /** No more bytes: FIN behind those that are queued. */
  stop(): void {
    if (this.#finished || !this.open) return;
    this.#finished = true;
    this.host.engine.calls.tcpShutdown(this.handle.index, this.handle.generation, SHUT_WR);
    this.host.wake();
  }

  #release(): void {
    this.open = false;
    this.host.dispatcher.detachConnection(this.handle);
    this.host.engine.close(this.handle);
  }
}

/** The far end of one flow: listens on a port of its own, reads, counts, closes after the FIN. */
export class BulkReceiver implements Handler {
  readonly #listener: Handle;
  /** The accepted connection. */
  handle: Handle | undefined;
  received = 0;
  /** When bytes were read last. */
  readUs = 0;
  /** The peer's FIN was read. */
  finished = false;
  #paused: boolean;

  constructor(readonly host: SimHost, port: number, options: OptionValues, paused: boolean) {
    this.#paused = paused;
    this.#listener = host.engine.listen(ADDRESS_ANY, port, 1);
    for (const [option, value] of optionsOf(options)) {
      host.engine.listenerSetOption(this.#listener, option, value);
    }
    host.dispatcher.attachListener(this.#listener, { onEvents: () => this.#accept() });
  }

  #accept(): void {
    const handle = this.host.engine.accept(this.#listener);
    if (handle === undefined) return;
    this.handle = handle;
    this.host.dispatcher.attachConnection(handle, this);
    this.#read();
  }

  onEvents(mask: number): void {
    if ((mask & (EVENT_READABLE | EVENT_PEER_FIN | ENDED)) !== 0) this.#read();
    if ((mask & ENDED) !== 0) this.#release();
  }

  /** Begins to read, when it was told to wait. */
  resume(): void {
    this.#paused = false;
    this.#read();
  }

  #read(): void {
    if (this.#paused || this.handle === undefined || this.finished) return;
    const got = this.host.engine.discard(this.handle);
    if (got > 0) {
      this.received += got;
      this.readUs = this.host.clock.nowUs;
    }
    this.host.wake();
    // 0: the FIN. Anything negative but EAGAIN comes with an event of its own.
    if (got === 0 || (got > 0 && this.host.engine.discard(this.handle) === 0)) {
      this.finished = true;
      this.#release();
    } else if (got < 0 && got !== -Errno.EAGAIN) {
      this.#release();
    }
  }

  #release(): void {
    if (this.handle === undefined) return;
    this.host.dispatcher.detachConnection(this.handle);
    this.host.engine.close(this.handle);
    this.handle = undefined;
    this.host.wake();
  }
}
