/**
 * What the engine alone costs: two of them in one process, no system calls, applications that copy.
 * CPU ns for each data segment (both ends together) and for each connection opened and closed. The
 * frames between them are copied here; that part is told apart. Prints the best tenth of many short
 * rounds, because other processes only ever add. Usage: node build/js/bench/engine.js [--json]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  LINK_CSUM, LINK_UP, LINK_VNET_HDR, Option, VNET_F_DATA_VALID, VNET_HDR_BYTES,
} from '../assembly/abi.js';
import { parseAddress, parseCidr } from '../host/core/address.js';
import { Engine, type Handle } from '../host/core/engine.js';
import { LinkRing } from '../host/core/ring.js';

const KIB = 1024;
const BUDGET = 128;
/** µs of the engines' clock for each turn: about what it takes. */
const TURN_US = 40;
const PORT = 9;

interface End {
  engine: Engine;
  ring: LinkRing;
  /** ns spent in the engine's calls. */
  spent: number;
}

interface Figure {
  name: string;
  engineNs: number;
  copyNs: number;
}

const module = new WebAssembly.Module(readFileSync(new URL('../../engine.wasm', import.meta.url)));
const clock = (): number => performance.now() * 1e6;

function makeEnd(address: string, flags: number): End {
  const engine = Engine.load(module, { seed: 1, rxSlotBytes: 2048, connectionsMax: 16384 });
  const link = engine.linkAdd(LINK_UP | flags, 1500);
  const ring = new LinkRing(engine.bytes, engine.words, engine.linkRing(link));
  const cidr = parseCidr(`${address}/24`);
  if (cidr === undefined) throw new Error(address);
  engine.poll(1, BUDGET);
  engine.addressAdd(link, cidr);
  return { engine, ring, spent: 0 };
}

class Pair {
  readonly client: End;
  readonly server: End;
  readonly #vouched: boolean;
  now = 1000;

  constructor(flags: number) {
    this.client = makeEnd('10.0.0.1', flags);
    this.server = makeEnd('10.0.0.2', flags);
    this.#vouched = (flags & LINK_VNET_HDR) !== 0;
  }

  poll(end: End): void {
    const begun = clock();
    end.engine.poll(this.now, BUDGET);
    end.spent += clock() - begun;
  }

  /** Everything that one end has sent, to the other. */
  carry(from: End, to: End): number {
    let moved = 0;
    const ready = Math.min(from.ring.txReady(), to.ring.rxFree());
    for (; moved < ready; moved++) {
      const at = to.ring.rxAddress();
      const length = from.ring.txCopy(to.engine.bytes, at, moved);
      if (this.#vouched) to.engine.bytes[at - VNET_HDR_BYTES] = VNET_F_DATA_VALID;
      to.ring.rxPublish(length, false);
    }
    from.ring.txReturn(moved);
    return moved;
  }

  /** Both ends once, with what they have to say to each other. */
  turn(): void {
    this.now += TURN_US;
    this.poll(this.client);
    this.carry(this.client, this.server);
    this.poll(this.server);
    this.carry(this.server, this.client);
  }

  settle(turns: number): void {
    for (let turn = 0; turn < turns; turn++) this.turn();
  }
}

function connect(pair: Pair, listener: Handle): { client: Handle; server: Handle } {
  const { engine } = pair.client;
  const client = engine.open();
  engine.connect(client, parseAddress('10.0.0.2')!, PORT);
  for (let turn = 0; turn < 8; turn++) {
    pair.turn();
    const server = pair.server.engine.accept(listener);
    if (server !== undefined) return { client, server };
  }
  throw new Error('no connection');
}

function listen(pair: Pair, window: number): Handle {
  const listener = pair.server.engine.listen(parseAddress('0.0.0.0')!, PORT, 4096);
  pair.server.engine.listenerSetOption(listener, Option.SO_RCVBUF, window);
  return listener;
}

/** The best tenth: its mean. */
function best(values: number[]): number {
  const sorted = values.sort((a, b) => a - b).slice(0, Math.max(1, values.length / 10));
  return sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
}

/** Runs `round` until the time is over; each gives what it moved. */
function figure(name: string, pair: Pair, forMs: number, round: () => number): Figure {
  const engineNs: number[] = [];
  const copyNs: number[] = [];
  for (const until = clock() + forMs * 1e6; clock() < until;) {
    pair.client.spent = 0;
    pair.server.spent = 0;
    const begun = clock();
    const units = round();
    const all = clock() - begun;
    const spent = pair.client.spent + pair.server.spent;
    engineNs.push(spent / units);
    copyNs.push((all - spent) / units);
  }
  return { name, engineNs: best(engineNs), copyNs: best(copyNs) };
}

interface BulkCase {
  name: string;
  window: number;
  flags: number;
  idle: number;
}

const OFFLOAD = LINK_VNET_HDR | LINK_CSUM;
const CASES: BulkCase[] = [
  { name: '64 KiB windows, checksums', window: 64 * KIB, flags: 0, idle: 0 },
  { name: '64 KiB windows, no checksums', window: 64 * KIB, flags: OFFLOAD, idle: 0 },
  { name: '1 MiB windows, checksums', window: 1024 * KIB, flags: 0, idle: 0 },
  { name: '1 MiB windows, no checksums', window: 1024 * KIB, flags: OFFLOAD, idle: 0 },
  { name: '64 KiB windows beside 10,000 idle', window: 64 * KIB, flags: 0, idle: 10_000 },
];

function bulk(what: BulkCase, forMs: number): Figure {
  const pair = new Pair(what.flags);
  const listener = listen(pair, what.window);
  for (let idle = 0; idle < what.idle; idle++) connect(pair, listener);
  const { client, server } = connect(pair, listener);
  pair.client.engine.setOption(client, Option.SO_SNDBUF, what.window * 2);
  const chunk = new Uint8Array(64 * KIB).fill(7);
  const into = new Uint8Array(64 * KIB);
  const turn = (): void => {
    let begun = clock();
    while (pair.client.engine.write(client, chunk, 0, chunk.length) === chunk.length);
    pair.client.spent += clock() - begun;
    pair.turn();
    begun = clock();
    while (pair.server.engine.read(server, into, 0, into.length) === into.length);
    pair.server.spent += clock() - begun;
    pair.client.engine.calls.eventsCollect();
    pair.server.engine.calls.eventsCollect();
  };
  for (let warm = 0; warm < 4000; warm++) turn();
  return figure(what.name, pair, forMs, () => {
    const before = pair.client.engine.counter('TcpOutSegs');
    for (let count = 0; count < 100; count++) turn();
    return pair.client.engine.counter('TcpOutSegs') - before;
  });
}

/** Opened by one end, closed by both: seven packets and a TIME-WAIT. */
function connections(forMs: number): Figure {
  const pair = new Pair(0);
  const listener = listen(pair, 64 * KIB);
  const round = (count: number): number => {
    for (let at = 0; at < count; at++) {
      const { client, server } = connect(pair, listener);
      pair.client.engine.close(client);
      pair.turn();
      pair.server.engine.close(server);
      pair.settle(3);
      pair.client.engine.calls.eventsCollect();
      pair.server.engine.calls.eventsCollect();
    }
    pair.now += 61_000_000; // TIME-WAIT is over
    pair.settle(8);
    return count;
  };
  for (let warm = 0; warm < 20; warm++) round(100);
  return figure('connections', pair, forMs, () => round(100));
}

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, seconds: { type: 'string', default: '1' } },
});
const forMs = Number(values.seconds) * 1000;
const figures = [...CASES.map((what) => bulk(what, forMs)), connections(forMs)];
if (values.json === true) {
  console.log(JSON.stringify(figures));
} else {
  for (const { name, engineNs, copyNs } of figures) {
    const engine = `${Math.round(engineNs)} ns in the engines`.padStart(26);
    console.log(`${name.padEnd(36)}${engine}, ${Math.round(copyNs)} ns between them`);
  }
}
