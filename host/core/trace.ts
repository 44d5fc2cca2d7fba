/**
 * Reads the engine's trace ring: state changes, retransmissions, drops, answers to echo requests.
 * Each reader has a cursor of its own and learns how many records it was too slow for. Used by
 * trace, ping and tests; portable.
 */

import {
  Counter, Directory, State, TRACE_BYTES, TRACE_HEADER_BYTES, Trace, TraceRetransmit,
} from '../../assembly/abi.js';
import type { Engine } from './engine.js';

export interface TraceRecord {
  /** µs of the host's clock. */
  readonly timeUs: number;
  readonly kind: keyof typeof Trace;
  readonly index: number;
  readonly localPort: number;
  readonly remotePort: number;
  /** What they mean depends on the kind (Trace in abi.ts). */
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export class TraceReader {
  readonly #words: Uint32Array;
  readonly #ring: number;
  readonly #mask: number;
  #cursor: number;
  /** Records that were overwritten before they were read. */
  lost = 0;

  /** Starts behind the newest record. An engine without a trace ring has no records. */
  constructor(engine: Engine) {
    this.#words = engine.words;
    this.#ring = engine.directory(Directory.TraceRing) >>> 2;
    this.#mask = engine.directory(Directory.TraceRingMask);
    this.#cursor = this.#produced();
  }

  #produced(): number {
    return this.#ring === 0 ? 0 : (this.#words[this.#ring] as number);
  }

  /** Reads everything new. @returns how many records the callback saw */
  read(callback: (record: TraceRecord) => void): number {
    const produced = this.#produced();
    let count = (produced - this.#cursor) >>> 0;
    if (count > this.#mask + 1) {
      this.lost += count - this.#mask - 1;
      count = this.#mask + 1;
      this.#cursor = (produced - count) >>> 0;
    }
    for (let seen = 0; seen < count; seen++) {
      callback(this.#record(this.#cursor));
      this.#cursor = (this.#cursor + 1) >>> 0;
    }
    return count;
  }

  #record(cursor: number): TraceRecord {
    const slot = (cursor & this.#mask) * TRACE_BYTES;
    const at = this.#ring + ((TRACE_HEADER_BYTES + slot) >>> 2);
    const word = (place: number): number => this.#words[at + place] as number;
    return {
      timeUs: word(0) + word(1) * 2 ** 32,
      kind: (Trace[word(2)] ?? 'None') as keyof typeof Trace,
      index: word(3),
      localPort: word(4) >>> 16,
      remotePort: word(4) & 0xffff,
      a: word(5),
      b: word(6),
      c: word(7),
    };
  }
}

/** A record in words, as `trace` and failing tests print it. */
export function describeTrace(record: TraceRecord): string {
  const { kind, a, b, c } = record;
  const where = `#${record.index} ${record.localPort}>${record.remotePort}`;
  if (kind === 'StateChange') return `${where} ${State[a]} -> ${State[b]}`;
  if (kind === 'Retransmit') return `${where} retransmit ${a} ${b} bytes ${TraceRetransmit[c]}`;
  if (kind === 'Drop') return `${where} drop ${Counter[a]} ${b} bytes`;
  return `${where} ${kind} ${a} ${b} ${c}`;
}
