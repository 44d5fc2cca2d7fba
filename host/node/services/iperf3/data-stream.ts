/**
 * One data connection of an iperf3 test: a loop that sends one block over and over or drops what
 * comes, and the counts. Called by measurement.ts and the two roles. Uses the socket's fast ways
 * where it has them (seam.ts). Knows no timer of the test and prints nothing.
 */

import { performance } from 'node:perf_hooks';
import type { ServiceSocket, SocketInfo } from '../seam.js';

/** Blocks written in one go before timers and other sockets get their turn: 2 MiB by default. */
const BLOCKS_A_TURN = 16;

/** What may still be sent in a test that ends by bytes; one for all the streams of a side. */
export class SendBudget {
  /** Off during the omitted time, which has no limit. */
  counting = true;
  #left: number;

  /** @param limitBytes 0 for no limit */
  constructor(readonly limitBytes: number) {
    this.#left = limitBytes;
  }

  /** False when the limit is reached; the block that reaches it is sent whole, as iperf3 does. */
  get open(): boolean {
    return this.limitBytes === 0 || this.#left > 0;
  }

  take(bytes: number): void {
    if (this.counting) this.#left -= bytes;
  }
}

export interface SendPlan {
  block: Uint8Array;
  budget: SendBudget;
  /** Bits per second; 0 for as fast as it goes. */
  bitrate: number;
}

/** Extremes of what the socket's info said, over the intervals of a sender. */
export interface Extremes {
  maxCwnd: number;
  maxWnd: number;
  maxRtt: number;
  minRtt: number;
  sumRtt: number;
  samples: number;
}

const noExtremes = (): Extremes =>
  ({ maxCwnd: 0, maxWnd: 0, maxRtt: 0, minRtt: 0, sumRtt: 0, samples: 0 });

/** One data connection. */
export class DataStream {
  /** Bytes handed to the stack or received, since the start or the end of the omitted time. */
  bytes = 0;
  extremes = noExtremes();
  #retransmitsBefore = 0;
  #bytesAtInterval = 0;
  #retransmitsAtInterval = 0;
  #running = false;
  #last: { info: SocketInfo | undefined } | undefined;
  #stopSending: () => void = () => undefined;
  #onBytes: (bytes: number) => void = () => undefined;

  constructor(
    /** iperf3's number for it, on the wire. */
    readonly id: number,
    /** The number in `[  5]`; there are no descriptors here, so it is made up like one. */
    readonly shown: number,
    readonly sender: boolean,
    readonly socket: ServiceSocket,
  ) {}

  /** What the stack says of it, for a sender; undefined where it cannot. Fixed by stop(). */
  info(): SocketInfo | undefined {
    return this.sender ? this.#now() : undefined;
  }

  /** Name of the congestion controller, where the stack says it. */
  get congestion(): string | undefined {
    return this.#now()?.congestion;
  }

  /** Segments retransmitted since counting began. */
  retransmits(info: SocketInfo | undefined): number {
    return info ? info.retransmits - this.#retransmitsBefore : 0;
  }

  /** Begins to send or to drop. Neither callback is called after stop(). */
  start(plan: SendPlan, onBytes: (bytes: number) => void, onError: (error: Error) => void): void {
    this.#running = true;
    this.#onBytes = onBytes;
    this.#retransmitsBefore = this.info()?.retransmits ?? 0;
    this.socket.on('error', (error: Error) => {
      if (this.#running) onError(error);
    });
    if (!this.sender) this.#receive();
    else if (this.socket.sendPattern && plan.bitrate === 0) this.#sendPattern(plan);
    else this.#sendBlocks(plan);
  }

  /** Counting starts again: the omitted time is over. */
  restart(): void {
    this.#retransmitsBefore = this.info()?.retransmits ?? 0;
    this.bytes = 0;
    this.#bytesAtInterval = 0;
    this.#retransmitsAtInterval = 0;
    this.extremes = noExtremes();
  }

  /** Takes the figures since the last call, and one sample of the extremes. */
  interval(): { bytes: number; retransmits: number; info: SocketInfo | undefined } {
    const info = this.info();
    const retransmits = this.retransmits(info);
    const since = {
      bytes: this.bytes - this.#bytesAtInterval,
      retransmits: retransmits - this.#retransmitsAtInterval,
      info,
    };
    this.#bytesAtInterval = this.bytes;
    this.#retransmitsAtInterval = retransmits;
    if (info) this.#sample(info);
    return since;
  }

  /** No byte counts from now on. A sender stops; a receiver goes on dropping. */
  stop(): void {
    // All reports of the end must say the same, and a closed socket may say nothing.
    if (this.#running) this.#last = { info: this.socket.info?.() };
    this.#running = false;
    this.#stopSending();
  }

  close(): void {
    this.stop();
    this.socket.on('error', () => undefined);
    this.socket.destroy();
  }

  #now(): SocketInfo | undefined {
    return this.#last ? this.#last.info : this.socket.info?.();
  }

  #count = (bytes: number): void => {
    if (!this.#running) return;
    this.bytes += bytes;
    this.#onBytes(bytes);
  };

  #receive(): void {
    if (this.socket.discardAll) {
      this.socket.discardAll(this.#count);
    } else {
      this.socket.on('data', (chunk: Uint8Array) => this.#count(chunk.length));
      this.socket.resume();
    }
  }

  #sendPattern(plan: SendPlan): void {
    let sending: { stop(): void } | undefined;
    sending = this.socket.sendPattern!(plan.block, (bytes) => {
      plan.budget.take(bytes);
      this.#count(bytes);
      if (!plan.budget.open) sending?.stop();
    });
    this.#stopSending = () => sending.stop();
    if (!plan.budget.open) sending.stop(); // all of it went at once, before there was a handle
    this.socket.resume();
  }

  #sendBlocks({ block, budget, bitrate }: SendPlan): void {
    const began = performance.now();
    const bitsPerMs = bitrate / 1000;
    let sentBits = 0;
    let timer: NodeJS.Timeout | undefined;
    const turn = (): void => {
      for (let i = 0; i < BLOCKS_A_TURN; i++) {
        if (!this.#running || !budget.open || this.socket.destroyed) return;
        const early = bitrate > 0 ? sentBits / bitsPerMs - (performance.now() - began) : 0;
        if (early > 0) {
          timer = setTimeout(turn, early);
          return;
        }
        const more = this.socket.write(block);
        sentBits += block.length * 8;
        budget.take(block.length);
        this.#count(block.length);
        if (!more) return; // 'drain' goes on
      }
      setImmediate(turn);
    };
    // A stack that takes every block at once answers 'drain' before the event loop turns: without
    // setImmediate no timer and no control message would get through.
    this.socket.on('drain', () => setImmediate(turn));
    this.#stopSending = () => clearTimeout(timer);
    this.socket.resume();
    turn();
  }

  #sample(info: SocketInfo): void {
    const e = this.extremes;
    e.maxCwnd = Math.max(e.maxCwnd, info.snd_cwnd_bytes);
    e.maxWnd = Math.max(e.maxWnd, info.snd_wnd);
    e.maxRtt = Math.max(e.maxRtt, info.rtt_us);
    e.minRtt = e.samples === 0 ? info.rtt_us : Math.min(e.minRtt, info.rtt_us);
    e.sumRtt += info.rtt_us;
    e.samples++;
  }
}
