/**
 * Scale: a million connections by real handshakes between two engines, a million in TIME-WAIT, and
 * a hundred thousand idle ones that carried data and still answer. On the shipped engine, with a
 * clock of its own; figures are printed, bounds are on work and bytes, not on time.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Directory, State, TcpInfo } from '../../assembly/abi.js';
import { ADDRESS_ANY, requireCidr, type AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import type { Handle } from '../../host/core/engine.js';
import { MemoryMap } from '../../host/core/memory-map.js';
import { Pair, type PairEnd } from '../../host/core/pair.js';
import { POOL_NAMES } from '../../host/core/records.js';
import { engine as module } from '../sim/module.js';

const MIB = 1 << 20;
/** Connections that are made or moved at a time. */
const BATCH = 2000;
const QUIET_US = 5_000_000;
/** Linux's TCP_TIMEWAIT_LEN. */
const TIME_WAIT_US = 60_000_000;
/** What no keyed hash with a bucket for one or two records reaches by chance. */
const CHAIN_BOUND = 24;

const SIZES: EngineConfig = {
  profile: 'test', arenaBytes: 32 * MIB, rxSlots: 4096, txSlots: 4096, linksMax: 1,
  somaxconn: 65535, listenersMax: 64, synRequestsMax: 4096, eventSlots: 1024,
  ip_local_port_range_low: 10_000, ip_local_port_range_high: 65_535,
};

/** Many connections of one pair, by number: handles of both ends in plain arrays. */
class Crowd {
  readonly pair: Pair;
  readonly client: PairEnd;
  readonly server: PairEnd;
  readonly clients: Handle[] = [];
  readonly servers: Handle[] = [];
  readonly #listeners: Handle[] = [];

  constructor(client: EngineConfig, server: EngineConfig, addresses = ['10.0.0.2/8']) {
    const config = [{ ...SIZES, seed: 11, ...client }, { ...SIZES, seed: 12, ...server }] as const;
    this.pair = new Pair(module, { config, addresses: [['10.0.0.1/8'], addresses] });
    this.client = this.pair.client;
    this.server = this.pair.server;
  }

  listen(ports: number): void {
    for (let port = 1; port <= ports; port++) {
      this.#listeners.push(this.server.engine.listen(ADDRESS_ANY, port, 65534));
    }
  }

  /** Connections to each address and port in turn, by handshakes; both ends established. */
  connect(count: number, addresses: readonly AddressWords[]): void {
    const { engine } = this.client;
    const ports = this.#listeners.length;
    for (let made = 0; made < count; made++) {
      const handle = engine.open();
      const place = Math.floor(this.clients.length / ports) % addresses.length;
      engine.connect(handle, addresses[place] as AddressWords, 1 + this.clients.length % ports);
      this.clients.push(handle);
      if (made % BATCH === BATCH - 1 || made === count - 1) this.#arrive();
    }
  }

  #arrive(): void {
    this.settle();
    for (const listener of this.#listeners) this.servers.push(...this.pair.accept(listener));
    this.settle();
  }

  settle(): void {
    this.pair.settle(() => this.pair.discardEvents());
  }

  run(us: number): void {
    this.pair.run(us, () => this.pair.discardEvents());
  }

  /** Handles of one end that are in a state, by tcp_info. */
  inState(end: PairEnd, handles: readonly Handle[], state: State): number {
    const { calls, result } = end.engine;
    let count = 0;
    for (const { index, generation } of handles) {
      assert.ok(calls.tcpInfo(index, generation) > 0);
      if (result[TcpInfo.state] === state) count++;
    }
    return count;
  }

  /** Batch by batch the clients close, then the servers: the clients' ends are in TIME-WAIT. */
  close(): void {
    for (let from = 0; from < this.clients.length; from += BATCH) {
      const to = from + BATCH;
      for (const handle of this.clients.slice(from, to)) this.client.engine.close(handle);
      this.settle();
      for (const handle of this.servers.slice(from, to)) this.server.engine.close(handle);
      this.settle();
    }
    for (const listener of this.#listeners.splice(0)) this.server.engine.listenerClose(listener);
    this.settle();
  }

  assertBaseline(): void {
    for (const { engine } of [this.client, this.server]) {
      for (const name of POOL_NAMES) assert.equal(engine.pool(name).used, 0, name);
    }
  }
}

const words = (text: string): AddressWords => requireCidr(`${text}/8`).words;

describe('scale · a million', () => {
  const COUNT = 1_000_000;
  const crowd = new Crowd(
    { connectionsMax: COUNT, timeWaitMax: COUNT, extrasMax: 8192, tcp_max_tw_buckets: COUNT },
    { connectionsMax: COUNT, timeWaitMax: 64, extrasMax: 8192 },
  );

  test('fresh connections by handshakes · all established, 160 bytes each', (t) => {
    crowd.listen(40);
    const map = new MemoryMap(crowd.server.engine);
    const before = map.used();
    crowd.connect(COUNT, [words('10.0.0.2')]);
    for (const end of [crowd.client, crowd.server]) {
      assert.equal(end.engine.pool('connections').used, COUNT);
      assert.equal(end.engine.pool('arena').used, 0, 'a fresh connection holds no arena');
      assert.equal(end.engine.pool('extras').used, 0);
    }
    const each = (map.used() - before) / COUNT;
    const longest = crowd.server.engine.hashLongest();
    t.diagnostic(`${each.toFixed(1)} bytes each, longest hash chain ${longest} of ` +
      `${crowd.server.engine.directory(Directory.HashBuckets)}`);
    assert.ok(each <= 160, `${each}`);
    assert.ok(longest <= CHAIN_BOUND, `${longest}`);
    assert.equal(crowd.inState(crowd.client, crowd.clients, State.ESTABLISHED), COUNT);
    assert.equal(crowd.inState(crowd.server, crowd.servers, State.ESTABLISHED), COUNT);
  });

  test('closed one after the other · a million in TIME-WAIT, nothing else', (t) => {
    const map = new MemoryMap(crowd.client.engine);
    crowd.close();
    const { engine } = crowd.client;
    assert.equal(engine.pool('timeWait').used, COUNT);
    assert.equal(engine.pool('connections').used, 0);
    const each = map.used() / COUNT;
    t.diagnostic(`${each.toFixed(1)} bytes each, longest hash chain ${engine.hashLongest()}`);
    assert.ok(each <= 64, `${each}`);
    assert.equal(crowd.server.engine.pool('connections').used, 0);
  });

  test('a minute later · the wheel gives all of them back, none early', (t) => {
    const { engine } = crowd.client;
    // Nobody's clock has moved since the first was closed: all are due together, 60 s from now.
    crowd.pair.run(TIME_WAIT_US - 1000);
    assert.equal(engine.pool('timeWait').used, COUNT);
    crowd.pair.nowUs += 2000;
    let polls = 1;
    while (engine.poll(crowd.pair.nowUs, 4096) === 0) polls++;
    t.diagnostic(`${polls} polls of at most 4096 timers`);
    // A poll gives back 4096 at most; sooner ended when 1024 moved down a level.
    assert.ok(polls >= COUNT / 4096 && polls <= (COUNT / 1024) * 3 + 256, `${polls}`);
    crowd.assertBaseline();
  });
});

/** One message each way through every connection; the bytes are the connection's own. */
function echoAll(crowd: Crowd, salt: number): number {
  const buffer = new Uint8Array(16);
  const number = new Uint32Array(buffer.buffer);
  let answered = 0;
  const byPort = new Map<string, Handle>();
  const { client, server } = crowd;
  for (const handle of crowd.servers) {
    const { port } = server.engine.name(handle, 'remote');
    const local = server.engine.name(handle, 'local');
    byPort.set(`${local.address}:${local.port}:${port}`, handle);
  }
  for (let from = 0; from < crowd.clients.length; from += BATCH) {
    const batch = crowd.clients.slice(from, from + BATCH);
    for (const [at, handle] of batch.entries()) {
      number.fill(from + at + salt);
      assert.equal(client.engine.write(handle, buffer, 0, 16), 16);
    }
    crowd.settle();
    for (const handle of batch) {
      const to = client.engine.name(handle, 'remote');
      const { port } = client.engine.name(handle, 'local');
      const other = byPort.get(`${to.address}:${to.port}:${port}`);
      assert.ok(other !== undefined);
      assert.equal(server.engine.read(other, buffer, 0, 16), 16);
      assert.equal(server.engine.write(other, buffer, 0, 16), 16);
    }
    crowd.settle();
    for (const [at, handle] of batch.entries()) {
      number.fill(0);
      const read = client.engine.read(handle, buffer, 0, 16);
      if (read === 16 && number.every((word) => word === from + at + salt)) answered++;
    }
    crowd.run(QUIET_US);
  }
  return answered;
}

interface Work {
  steps: number;
  frames: number;
  cpuMs: number;
}

/** 32 MiB through one new connection: steps of both engines, frames, processor time. */
function busyOne(crowd: Crowd, to: AddressWords): Work {
  const { client, server, pair } = crowd;
  crowd.connect(1, [to]);
  const [one, other] = [crowd.clients.pop() as Handle, crowd.servers.pop() as Handle];
  const chunk = new Uint8Array(65536).fill(0x63);
  const framesBefore = client.frames + server.frames;
  const cpu = process.cpuUsage();
  let steps = 0;
  for (let read = 0; read < 32 * MIB; steps++) {
    client.engine.write(one, chunk, 0, chunk.length);
    pair.step();
    read += Math.max(server.engine.discard(other), 0);
    pair.discardEvents();
  }
  const { user, system } = process.cpuUsage(cpu);
  const frames = client.frames + server.frames - framesBefore;
  client.engine.abort(one);
  crowd.settle();
  server.engine.close(other);
  crowd.settle();
  return { steps, frames, cpuMs: (user + system) / 1000 };
}

describe('scale · a hundred thousand', () => {
  const COUNT = 100_000;
  const ADDRESSES = ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'];
  const sizes = { connectionsMax: COUNT + 1, timeWaitMax: COUNT };
  const crowd = new Crowd(sizes, sizes, ADDRESSES.map((text) => `${text}/8`));
  const places = ADDRESSES.map(words);
  let alone: Work;

  test('over four addresses and two ports · each carries data', () => {
    crowd.listen(2);
    busyOne(crowd, places[0] as AddressWords); // the compiler's warm-up
    alone = busyOne(crowd, places[0] as AddressWords);
    crowd.connect(COUNT, places);
    assert.equal(echoAll(crowd, 0), COUNT);
    crowd.run(QUIET_US);
  });

  test('idle at once · 256 bytes each, no chain is long', (t) => {
    for (const { engine } of [crowd.client, crowd.server]) {
      assert.equal(engine.pool('connections').used, COUNT);
      assert.equal(engine.pool('extras').used, COUNT);
      assert.equal(engine.pool('arena').used, 0, 'quiet connections hold no arena');
      const each = new MemoryMap(engine).used() / COUNT;
      const longest = engine.hashLongest();
      t.diagnostic(`${each.toFixed(1)} bytes each, longest hash chain ${longest} of ` +
        `${engine.directory(Directory.HashBuckets)}`);
      assert.ok(each <= 256, `${each}`);
      assert.ok(longest <= CHAIN_BOUND, `${longest}`);
    }
  });

  test('a busy one beside them · the same work as alone, no idle record is touched', (t) => {
    const { engine } = crowd.server;
    const from = engine.directory(Directory.TcbPool);
    const to = from + (engine.directory(Directory.TcbStride) * COUNT);
    const idle = engine.bytes.slice(from, to);
    const beside = busyOne(crowd, places[0] as AddressWords);
    t.diagnostic(`alone ${JSON.stringify(alone)}, beside ${COUNT} ${JSON.stringify(beside)}`);
    assert.equal(beside.steps, alone.steps);
    assert.equal(beside.frames, alone.frames);
    const stride = engine.directory(Directory.TcbStride);
    let changed = 0;
    for (let at = from; at < to; at += stride) {
      const now = engine.bytes.subarray(at, at + stride);
      // The first word is the hash chain: a neighbour that came and went may have stood there.
      if (Buffer.compare(now.subarray(4), idle.subarray(at - from + 4, at - from + stride)) !== 0) {
        changed++;
      }
    }
    // A poll that looked at each of them would cost a thousand times as much.
    assert.ok(changed <= 1, `${changed} idle records were written`);
    assert.ok(beside.cpuMs < alone.cpuMs * 10, `${beside.cpuMs} ms beside ${alone.cpuMs}`);
  });

  test('each still answers · and then all are gone', () => {
    assert.equal(echoAll(crowd, 7), COUNT);
    crowd.close();
    crowd.run(TIME_WAIT_US + QUIET_US);
    crowd.assertBaseline();
  });

  test('aborted with events pending, the last one first · each abort costs the same', (t) => {
    const { engine } = crowd.client;
    const abortAll = (count: number): number => {
      const handles = Array.from({ length: count }, () => engine.open());
      for (const handle of handles) engine.connect(handle, places[0] as AddressWords, 9);
      crowd.pair.run(QUIET_US); // nobody listens: each has its error to tell, nobody asks
      const cpu = process.cpuUsage();
      for (const handle of handles.reverse()) engine.abort(handle);
      const { user, system } = process.cpuUsage(cpu);
      assert.equal(engine.events(() => {}), 0, 'nobody is told of what he has aborted');
      assert.equal(engine.pool('connections').used, 0);
      return (user + system) / count;
    };
    const few = abortAll(1000);
    const many = abortAll(40_000);
    t.diagnostic(`${few.toFixed(2)} µs each of 1,000, ${many.toFixed(2)} of 40,000`);
    // With a walk of the list it was 150 µs each of 40,000.
    assert.ok(many < few * 20 + 5, `${many} and ${few} µs`);
  });
});
