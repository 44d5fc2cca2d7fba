/**
 * Bytes per connection, measured by making real ones between two engines in this process: what
 * pools and arena have in use before and after, with the share of the hash table and of the arena's
 * metadata. Sizes are read from the engine (directory, poolUse), none stands here. Called by
 * `ackorn footprint` and tests; imports nothing of Node. Deterministic: virtual time, fixed seeds.
 */

import { Directory, LINK_CSUM, LINK_TSO4, LINK_VNET_HDR } from '../../assembly/abi.js';
import { ADDRESS_ANY, requireCidr } from './address.js';
import { resolveConfig, type EngineConfig } from './config.js';
import type { Engine, Handle, ModuleSource } from './engine.js';
import { holdingRatios, type HoldingRatios } from './footprint-streams.js';
import { MemoryMap, RECORD_POOLS, type FixedBytes, type RecordPool } from './memory-map.js';
import { Pair } from './pair.js';

export interface FootprintOptions {
  /** Connections to make, 1 to 20,000. Default 1,000. */
  connections?: number;
  /** Sizes and sysctls, over those of the default profile. */
  config?: EngineConfig;
}

export interface Footprint {
  /** Connections that were made; half-open ones and listeners as many, but for smaller pools. */
  connections: number;
  /** Bytes each; `sending` and `receiving` are bytes for each byte held, at the worst level. */
  bytesPerConnection: Record<ConnectionKind, number>;
  /** Levels at which `sending` and `receiving` were measured, by situation. */
  holding: HoldingRatios;
  /** Bytes that do not depend on how many connections there are. */
  fixed: FixedBytes;
  /** Bytes a record of each pool, with the padding of its region. */
  pools: Record<RecordPool, number>;
  /** Included above, for each record in the table and each byte of arena. */
  shares: { hashTable: number; arenaMetadata: number };
  hash: { buckets: number; longest: number };
  memoryBytes: number;
}

export const CONNECTION_KINDS = [
  'idleFresh', 'idle', 'halfOpen', 'timeWait', 'listener', 'sending', 'receiving',
] as const;
export type ConnectionKind = (typeof CONNECTION_KINDS)[number];

/** What an `idle` connection has carried, each way. */
const CARRIED = 64 * 1024;
/** Longer than a Busy record stays after the last byte. */
const QUIET_US = 5_000_000;
const SERVER = requireCidr('10.0.0.2/8').words;

/** A bench whose pools have room for what is to be made. */
function makePair(module: ModuleSource, count: number, given: EngineConfig): Pair {
  const larger = count > resolveConfig({}).connectionsMax
    ? { connectionsMax: count, timeWaitMax: count } : {};
  const config: EngineConfig = {
    seed: 1, somaxconn: 65535, ip_local_port_range_low: 10_000, ip_local_port_range_high: 65_535,
    // All are closed at once, and none of them by a reset.
    tcp_max_orphans: count, ...larger, ...given,
  };
  const flags = LINK_VNET_HDR | LINK_TSO4 | LINK_CSUM;
  return new Pair(module, { config: [config, { ...config, seed: 2 }], flags });
}

/** Real handshakes. @returns the handles of both ends */
function establish(pair: Pair, count: number): { clients: Handle[]; servers: Handle[] } {
  const listener = pair.server.engine.listen(ADDRESS_ANY, 80, 65535);
  const clients: Handle[] = [];
  for (let made = 0; made < count; made++) {
    const handle = pair.client.engine.open();
    pair.client.engine.connect(handle, SERVER, 80);
    clients.push(handle);
  }
  pair.settle(() => pair.discardEvents());
  const servers = pair.accept(listener);
  pair.run(QUIET_US, () => pair.discardEvents());
  pair.server.engine.listenerClose(listener);
  pair.discardEvents();
  if (servers.length !== count) throw new Error(`${servers.length} of ${count} were established`);
  for (const [end, handles] of [[pair.client, clients], [pair.server, servers]] as const) {
    for (const handle of handles) {
      const { state } = end.engine.info(handle);
      if (state !== 'ESTABLISHED') throw new Error(`a connection is in ${state}`);
    }
  }
  return { clients, servers };
}

/** One connection's 64 KiB from one end to the other, read as it comes. */
function carry(pair: Pair, from: Engine, source: Handle, to: Engine, sink: Handle): void {
  const bytes = new Uint8Array(CARRIED).fill(0x61);
  let written = 0;
  let read = 0;
  while (read < CARRIED) {
    const queued = from.write(source, bytes, written, CARRIED);
    if (queued > 0) written += queued;
    pair.settle(() => pair.discardEvents());
    const taken = to.discard(sink);
    if (taken > 0) read += taken;
    else if (queued <= 0) pair.run(50_000, () => pair.discardEvents());
  }
}

/** What tcp_info must still say of a connection that carried CARRIED both ways and went quiet. */
function checkInfo(engine: Engine, handle: Handle): void {
  const info = engine.info(handle);
  const { bytes_acked, bytes_received, bytes_sent, segs_in, segs_out, min_rtt, unacked } = info;
  const right = bytes_acked === CARRIED && bytes_received === CARRIED && bytes_sent === CARRIED &&
    segs_in > 0 && segs_out > 0 && min_rtt < 1_000_000 && unacked === 0 &&
    info.data_segs_in > 0 && info.data_segs_out > 0;
  if (!right) throw new Error(`tcp_info of a quiet connection: ${JSON.stringify(info)}`);
}

/** Measures a difference at both ends; the larger one counts, for each of `count`. */
class Meter {
  readonly #maps: readonly MemoryMap[];
  readonly #before: readonly number[];

  constructor(pair: Pair, readonly count: number) {
    this.#maps = [pair.client, pair.server].map((end) => new MemoryMap(end.engine));
    this.#before = this.#maps.map((map) => map.used());
  }

  each(): number {
    const now = this.#maps.map((map, at) => map.used() - (this.#before[at] as number));
    return Math.max(...now) / this.count;
  }
}

/** Connections from the handshake to TIME-WAIT: three figures of one life. */
function life(
  module: ModuleSource, count: number, config: EngineConfig,
): Pick<Footprint['bytesPerConnection'], 'idleFresh' | 'idle' | 'timeWait'> & { longest: number } {
  const pair = makePair(module, count, config);
  const meter = new Meter(pair, count);
  const { clients, servers } = establish(pair, count);
  const idleFresh = meter.each();
  const [client, server] = [pair.client.engine, pair.server.engine];
  const byPort = new Map(servers.map((handle) => [server.name(handle, 'remote').port, handle]));
  for (const handle of clients) {
    const other = byPort.get(client.name(handle, 'local').port);
    if (other === undefined) throw new Error('the ends do not fit');
    carry(pair, client, handle, server, other);
    carry(pair, server, other, client, handle);
  }
  pair.run(QUIET_US, () => pair.discardEvents());
  for (const handle of clients) checkInfo(client, handle);
  for (const handle of servers) checkInfo(server, handle);
  const idle = meter.each();
  const longest = Math.max(client.hashLongest(), server.hashLongest());
  for (const handle of clients) client.close(handle);
  pair.settle(() => pair.discardEvents());
  for (const handle of servers) server.close(handle);
  pair.settle(() => pair.discardEvents());
  if (client.pool('timeWait').used !== count) throw new Error('not all are in TIME-WAIT');
  return { idleFresh, idle, timeWait: meter.each(), longest };
}

/** SYNs whose SYN-ACKs are lost. */
function halfOpen(module: ModuleSource, count: number, config: EngineConfig): number {
  const pair = makePair(module, count, config);
  pair.server.engine.listen(ADDRESS_ANY, 80, 65535);
  const map = new MemoryMap(pair.server.engine);
  const before = map.used();
  const wanted = Math.min(count, pair.server.engine.pool('halfOpen').capacity);
  pair.server.drop = () => true;
  for (let made = 0; made < wanted; made++) {
    pair.client.engine.connect(pair.client.engine.open(), SERVER, 80);
  }
  pair.settle();
  const { used } = pair.server.engine.pool('halfOpen');
  if (used !== wanted) throw new Error(`${used} of ${wanted} are half open`);
  return (map.used() - before) / wanted;
}

function listener(module: ModuleSource, count: number, config: EngineConfig): number {
  const pair = makePair(module, count, config);
  const map = new MemoryMap(pair.server.engine);
  const before = map.used();
  const wanted = Math.min(count, pair.server.engine.pool('listeners').capacity);
  for (let made = 0; made < wanted; made++) pair.server.engine.listen(ADDRESS_ANY, 1 + made, 8);
  return (map.used() - before) / wanted;
}

/**
 * Makes the connections and measures.
 * @throws RangeError for a number of connections out of range
 * @throws Error when what was to be measured did not come about
 */
export function footprint(module: ModuleSource, options: FootprintOptions = {}): Footprint {
  const { connections = 1000, config = {} } = options;
  if (!Number.isInteger(connections) || connections < 1 || connections > 20_000) {
    throw new RangeError(`connections: ${connections} is not a number from 1 to 20000`);
  }
  const { longest, ...lived } = life(module, connections, config);
  const holding = holdingRatios(module);
  const { engine } = makePair(module, connections, config).server;
  const map = new MemoryMap(engine);
  const pools: Partial<Footprint['pools']> = {};
  for (const name of RECORD_POOLS) pools[name] = map.recordBytes(name);
  const worst = (kind: 'sending' | 'receiving'): number =>
    Math.max(...Object.values(holding[kind]).map(({ ratio }) => ratio));
  return {
    connections,
    bytesPerConnection: {
      idleFresh: lived.idleFresh,
      idle: lived.idle,
      halfOpen: halfOpen(module, connections, config),
      timeWait: lived.timeWait,
      listener: listener(module, connections, config),
      sending: worst('sending'),
      receiving: worst('receiving'),
    },
    holding,
    fixed: map.fixed(),
    pools: pools as Footprint['pools'],
    shares: { hashTable: map.hashShare(), arenaMetadata: map.arenaShare() },
    hash: { buckets: engine.directory(Directory.HashBuckets), longest },
    memoryBytes: engine.directory(Directory.MemoryBytes),
  };
}
