/**
 * Where the memory of an engine goes, by its own words: regions from the directory that boot wrote,
 * pools from poolUse. No size stands here, so that a record that grows is seen. Called by
 * footprint.ts, footprint-streams.ts and tests. Reads only; imports nothing of Node.
 */

import {
  Directory, EVENT_BYTES, TRACE_BYTES, TRACE_HEADER_BYTES,
} from '../../assembly/abi.js';
import type { Engine } from './engine.js';

/** Pools of records, by poolUse's names. */
export const RECORD_POOLS = [
  'connections', 'halfOpen', 'timeWait', 'listeners', 'extras', 'segments',
] as const;
export type RecordPool = (typeof RECORD_POOLS)[number];
/** Pools whose records stand in the hash table. */
const HASHED = ['connections', 'halfOpen', 'timeWait', 'listeners'] as const;
const POOL_AT: Record<RecordPool, Directory> = {
  connections: Directory.TcbPool,
  halfOpen: Directory.SynRequestPool,
  timeWait: Directory.TimeWaitPool,
  listeners: Directory.ListenerPool,
  extras: Directory.ExtraPool,
  segments: Directory.SegmentPool,
};

/** Bytes that are there whatever the connections: the first 8 KiB, the wheel and the rings. */
export type FixedBytes = Record<
  'variables' | 'wheelAndAddresses' | 'links' | 'eventRing' | 'traceRing', number
>;

/** Where an engine's memory goes, by its own words. */
export class MemoryMap {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Bytes from a pool's first record to the next region, shared among its records. */
  recordBytes(name: RecordPool): number {
    const at = this.#engine.directory(POOL_AT[name]);
    const others = [...Object.values(POOL_AT), Directory.EventRing];
    const starts = others.map((word) => this.#engine.directory(word)).filter((start) => start > at);
    return (Math.min(...starts) - at) / this.#engine.pool(name).capacity;
  }

  /** The hash table's bytes for each record that can stand in it. */
  hashShare(): number {
    const records = HASHED.reduce((sum, name) => sum + this.#engine.pool(name).capacity, 0);
    return (this.#engine.directory(Directory.HashBuckets) * 4) / records;
  }

  eventRing(): number {
    return (this.#engine.directory(Directory.EventRingMask) + 1) * EVENT_BYTES;
  }

  traceRing(): number {
    if (this.#engine.directory(Directory.TraceRing) === 0) return 0;
    const records = this.#engine.directory(Directory.TraceRingMask) + 1;
    return TRACE_HEADER_BYTES + records * TRACE_BYTES;
  }

  /** Bytes of metadata for each byte of arena. */
  arenaShare(): number {
    const directory = (word: Directory): number => this.#engine.directory(word);
    const ring = directory(Directory.TraceRing) || directory(Directory.EventRing);
    const after = ring + (this.traceRing() || this.eventRing());
    return (directory(Directory.ArenaBase) - after) / directory(Directory.ArenaBytes);
  }

  /** Everything in use now: records, their shares of the table, arena with metadata. */
  used(): number {
    let bytes = 0;
    for (const name of RECORD_POOLS) {
      bytes += this.#engine.pool(name).used * this.recordBytes(name);
    }
    for (const name of HASHED) bytes += this.#engine.pool(name).used * this.hashShare();
    return bytes + this.#engine.pool('arena').used * (1 + this.arenaShare());
  }

  fixed(): FixedBytes {
    const table = this.#engine.directory(Directory.HashTable);
    const links = this.#engine.directory(Directory.LinkTable);
    const afterTable = table + this.#engine.directory(Directory.HashBuckets) * 4;
    return {
      variables: table,
      wheelAndAddresses: links - afterTable,
      links: this.#engine.directory(Directory.TcbPool) - links,
      eventRing: this.eventRing(),
      traceRing: this.traceRing(),
    };
  }
}
