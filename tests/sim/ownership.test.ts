/**
 * Ownership of what a TX descriptor names (law 4): a consumer of the ring that reads its bytes
 * late, while connections are closed, aborted and their blocks used again, never sends bytes of
 * another connection. Every connection has content of its own, and every received byte is looked
 * at.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POOL_NAMES } from '../../host/core/records.js';
import {
  connect, delay, End, loss, Random, Server, Simulation, type LinkOptions,
} from '../../host/sim/index.js';
import { engine, seeds } from './module.js';

const PORTS = 14;

interface Run {
  aborted: number;
  bytes: number;
  badChecksums: number;
}

/** Forty connections one after the other, half of them aborted while their frames wait. */
function run(seed: number, options: LinkOptions): Run {
  const simulation = new Simulation({ module: engine, seed });
  const random = new Random(seed);
  // A small arena: what one connection gives back, the next one takes.
  const config = { rxSlotBytes: 69_632 };
  const client = simulation.host('client', { config: { ...config, arenaBytes: 256 * 1024 } });
  const server = simulation.host('server', { config });
  const txHoldUs = random.between(100, 20_000);
  const link = simulation.link(client, server, { ...options, txHoldUs });
  const to = link.addresses[1][0];
  assert.ok(to !== undefined);
  const servers: Server[] = [];
  const clients: End[] = [];
  for (let at = 0; at < 40; at++) {
    const content = seed * 100 + at;
    const port = 1000 + at % PORTS;
    servers.push(new Server(server, port, () => ({ receiveSeed: content }), 8));
    simulation.runFor(random.below(10_000));
    const end = connect(client, to, port, { sendBytes: 60_000, sendSeed: content });
    clients.push(end);
    simulation.runFor(random.below(30_000) + 8000);
    if (random.chance(0.5)) end.abort();
    else if (random.chance(0.5)) simulation.runWhile(() => end.state === 'open', 60e6);
    // One listener at a time for a port: its connection knows which content to expect. A SYN that
    // was lost must not come again when the port is the next one's.
    simulation.runWhile(() => end.state === 'open' && !end.connected, 60e6);
    servers[at]?.close();
  }
  simulation.runToIdle(7200e6);
  const ends = servers.flatMap((one) => one.ends);
  const aborted = clients.filter(({ state }) => state === 'failed').length;
  for (const end of [...clients, ...ends]) end.abort();
  simulation.runToIdle(7200e6);
  for (const end of ends) assert.equal(end.wrongAt, -1, `seed ${seed}`);
  for (const host of [client, server]) {
    for (const name of POOL_NAMES) assert.equal(host.engine.pool(name).used, 0, name);
  }
  const badChecksums = server.engine.counter('TcpInCsumErrors');
  return { aborted, bytes: ends.reduce((sum, end) => sum + end.received, 0), badChecksums };
}

// Without offload a foreign byte breaks the checksum, with offload nothing stands in its way.
const lossy: LinkOptions = { elements: [loss(0.02), delay(3000)] };
for (const [name, options] of [['packets', lossy], ['offload', { offload: true }]] as const) {
  test(`a late consumer of the TX ring · ${name} · never another connection’s bytes`, () => {
    const total = { aborted: 0, bytes: 0 };
    for (const seed of seeds(30)) {
      const { aborted, bytes, badChecksums } = run(seed, options);
      assert.equal(badChecksums, 0, `seed ${seed}`);
      total.aborted += aborted;
      total.bytes += bytes;
    }
    if (process.env['ACKORN_SEED'] !== undefined) return;
    assert.ok(total.aborted > 30 && total.bytes > 1e6, JSON.stringify(total));
  });
}
