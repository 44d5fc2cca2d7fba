/**
 * Ownership of what a TX descriptor names (law 4): a consumer of the ring that reads its bytes late,
 * while connections are closed, aborted and their blocks used again, never sends bytes of another
 * connection. Every connection has content of its own, and every received byte is looked at.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POOL_NAMES } from '../../host/core/records.js';
import { connect, delay, End, loss, Random, Server, Simulation } from '../../host/sim/index.js';
import { engine, seeds } from './module.js';

test('a late consumer of the TX ring · never sends another connection’s bytes', () => {
  let aborted = 0;
  let bytes = 0;
  for (const seed of seeds(30)) {
    const simulation = new Simulation({ module: engine, seed });
    const random = new Random(seed);
    // A small arena: what one connection gives back, the next one takes.
    const client = simulation.host('client', { config: { arenaBytes: 256 * 1024 } });
    const server = simulation.host('server');
    const link = simulation.link(client, server, {
      elements: [loss(0.02), delay(3000)], txHoldUs: random.between(100, 20_000),
    });
    const to = link.addresses[1][0];
    assert.ok(to !== undefined);
    const servers: Server[] = [];
    const clients: End[] = [];
    for (let at = 0; at < 40; at++) {
      const content = seed * 100 + at;
      servers.push(new Server(server, 1000 + at % 14, () => ({ receiveSeed: content }), 8));
      simulation.runFor(random.below(10_000));
      const end = connect(client, to, 1000 + at % 14, { sendBytes: 60_000, sendSeed: content });
      clients.push(end);
      simulation.runFor(random.below(30_000) + 8000);
      if (random.chance(0.5)) end.abort();
      else if (random.chance(0.5)) simulation.runWhile(() => end.state === 'open', 60e6);
      // One listener at a time for a port: its connection knows which content to expect.
      servers[at]?.close();
    }
    simulation.runToIdle(7200e6);
    aborted += clients.filter(({ state }) => state === 'failed').length;
    for (const { ends } of servers) {
      for (const end of ends) {
        assert.equal(end.wrongAt, -1, `seed ${seed}`);
        bytes += end.received;
        if (end.state === 'open') end.abort();
      }
    }
    for (const end of clients) if (end.state === 'open') end.abort();
    simulation.runToIdle(7200e6);
    for (const host of [client, server]) {
      for (const name of POOL_NAMES) assert.equal(host.engine.pool(name).used, 0, name);
    }
  }
  assert.ok(aborted > 30 || process.env['ACKORN_SEED'] !== undefined, `${aborted} aborted`);
  assert.ok(bytes > 1e6);
});
