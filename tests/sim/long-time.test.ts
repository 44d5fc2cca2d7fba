/**
 * Long time: a connection that is quiet for 49 days (32 bits of milliseconds are 49.7) and for 400,
 * clocks that begin shortly before they wrap, and a host that sleeps for an hour.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Option } from '../../assembly/abi.js';
import { blackhole, connect, delay, End, Server, SimHost, Simulation, type EndOptions } from
  '../../host/sim/index.js';
import { patternAt } from '../../host/sim/pattern.js';
import { engine } from './module.js';

const DAY_US = 86_400e6;

/** An end that sends when it is told. */
class Talker extends End {
  say(bytes: number): void {
    const piece = patternAt(this.options.sendSeed ?? 1, this.sent, bytes);
    assert.equal(this.host.engine.write(this.handle, piece, 0, bytes), bytes);
    this.sent += bytes;
    this.host.wake();
  }
}

class TalkServer extends Server {
  protected override make(handle: Server['handle']): End {
    return new Talker(this.host, handle, this.options(0));
  }
}

interface Talk {
  simulation: Simulation;
  client: Talker;
  server: TalkServer;
  hosts: [SimHost, SimHost];
}

/** Two ends that never finish by themselves: each "still has to send" without end. */
function talk(startUs: number, keepAlive: boolean): Talk {
  const simulation = new Simulation({ module: engine, seed: 5, startUs });
  const hosts: [SimHost, SimHost] = [simulation.host('a'), simulation.host('b')];
  const link = simulation.link(...hosts, { elements: [delay(10_000)] });
  const options: [Option, number][] = keepAlive
    ? [[Option.TCP_KEEPIDLE, 7200], [Option.SO_KEEPALIVE, 1]] : [];
  const ends = (sendSeed: number, receiveSeed: number): EndOptions =>
    ({ answerAfterFin: true, sendSeed, receiveSeed, options });
  const server = new TalkServer(hosts[1], 7, () => ends(2, 1));
  const to = link.addresses[1][0];
  assert.ok(to !== undefined);
  const handle = hosts[0].engine.open();
  const client = new Talker(hosts[0], handle, ends(1, 2));
  hosts[0].engine.connect(handle, to, 7);
  hosts[0].wake();
  simulation.runFor(1e6);
  assert.ok(client.connected && server.ends.length === 1);
  return { simulation, client, server, hosts };
}

function exchange({ simulation, client, server }: Talk): void {
  const peer = server.ends[0] as Talker;
  const [up, down] = [peer.received, client.received];
  client.say(3000);
  peer.say(2000);
  simulation.runFor(5e6);
  assert.deepEqual([peer.received - up, client.received - down], [3000, 2000]);
  assert.deepEqual([peer.wrongAt, client.wrongAt], [-1, -1]);
}

function retransmissions({ hosts }: Talk): number {
  return hosts.reduce((sum, host) => sum + host.engine.counter('TcpRetransSegs'), 0);
}

for (const days of [1, 25, 49.7, 49.8, 400]) {
  test(`quiet for ${days} days · the connection still carries data, nothing is sent again`, () => {
    const world = talk(1e6, false);
    exchange(world);
    world.simulation.runFor(days * DAY_US);
    exchange(world);
    exchange(world);
    assert.equal(retransmissions(world), 0);
  });
}

test('kept alive for 400 days · one probe every two hours, each answered', () => {
  const world = talk(1e6, true);
  exchange(world);
  world.simulation.runFor(400 * DAY_US);
  exchange(world);
  const probes = world.hosts[0].engine.counter('TcpExtTCPKeepAlive');
  const both = probes + world.hosts[1].engine.counter('TcpExtTCPKeepAlive');
  // Either end may be the one that asks first; an answer is activity for the other.
  assert.ok(both >= 400 * 12 * 0.95 && both <= 400 * 12 * 2.05, `${both} probes`);
  assert.equal(retransmissions(world), 0);
});

for (const [name, wrapUs] of [
  ['32 bits of µs', 2 ** 32], ['32 bits of ticks of 64 µs', 2 ** 38],
  ['31 bits of ms', 2 ** 31 * 1000], ['32 bits of ms', 2 ** 32 * 1000],
] as const) {
  test(`clock · ${name} wrap during transfers`, () => {
    const world = talk(wrapUs - 20e6, false);
    for (let round = 0; round < 8; round++) exchange(world);
    assert.ok(world.simulation.nowUs > wrapUs);
    assert.equal(retransmissions(world), 0);
  });
}

test('sleep for an hour · in mid-transfer, then the rest arrives', () => {
  const simulation = new Simulation({ module: engine, seed: 6 });
  const hosts: [SimHost, SimHost] = [simulation.host('a'), simulation.host('b')];
  const link = simulation.link(...hosts, { elements: [delay(20_000)] });
  // The awake side gives up after tcp_retries2 (924.6 s at least) unless it is the one that sleeps.
  const server = new Server(hosts[1], 80, () => ({ receiveSeed: 1, sendBytes: 10, sendSeed: 2 }));
  const to = link.addresses[1][0];
  assert.ok(to !== undefined);
  const client = connect(hosts[0], to, 80, { sendBytes: 3e6, sendSeed: 1, receiveSeed: 2 });
  simulation.runFor(200_000);
  const before = server.ends[0]?.received ?? 0;
  assert.ok(before > 0 && before < 3e6, `${before} bytes before the sleep`);
  hosts[0].sleep();
  simulation.runFor(3600e6);
  hosts[0].resume();
  assert.ok(simulation.runWhile(() => client.state === 'open', 600e6));
  assert.deepEqual([client.state, server.ends[0]?.received], ['done', 3e6]);
  assert.equal(server.ends[0]?.wrongAt, -1);
});

for (const hours of [20, 50, 90, 24 * 400]) {
  test(`sleep for ${hours} hours · in mid-transfer, then both ends learn of the failure`, () => {
    const simulation = new Simulation({ module: engine, seed: 6 });
    const hosts: [SimHost, SimHost] = [simulation.host('a'), simulation.host('b')];
    const link = simulation.link(...hosts, { elements: [delay(20_000)] });
    const server = new Server(hosts[1], 80, () => ({
      receiveSeed: 1, sendBytes: 3e6, sendSeed: 2,
    }));
    const to = link.addresses[1][0];
    assert.ok(to !== undefined);
    const client = connect(hosts[0], to, 80, { sendBytes: 3e6, sendSeed: 1, receiveSeed: 2 });
    simulation.runFor(200_000);
    assert.ok(client.connected && client.state === 'open');
    hosts[0].sleep();
    simulation.runFor(hours * 3600e6);
    assert.deepEqual([server.ends[0]?.state, server.ends[0]?.error], ['failed', 'ETIMEDOUT']);
    hosts[0].resume();
    assert.ok(simulation.runWhile(() => client.state === 'open', 600e6));
    assert.equal(client.state, 'failed');
    server.close();
    assert.ok(simulation.runToIdle(600e6));
  });
}

for (const hours of [20, 50, 90]) {
  test(`sleep for ${hours} hours · while a retransmission is due, then it gives up`, () => {
    const simulation = new Simulation({ module: engine, seed: 6 });
    const hosts: [SimHost, SimHost] = [simulation.host('a'), simulation.host('b')];
    const link = simulation.link(...hosts, { elements: [blackhole(1.2e6), delay(20_000)] });
    const server = new Server(hosts[1], 80, () => ({}));
    const to = link.addresses[1][0];
    assert.ok(to !== undefined);
    const client = connect(hosts[0], to, 80, { sendBytes: 3e6 });
    simulation.runFor(300_000);
    assert.ok(client.connected && server.ends.length === 1);
    hosts[0].sleep();
    // 64 µs ticks: 38 hours are half of what a deadline can be told apart by.
    simulation.runFor(hours * 3600e6);
    hosts[0].resume();
    assert.ok(simulation.runWhile(() => client.state === 'open', 2000e6));
    assert.deepEqual([client.state, client.error], ['failed', 'ETIMEDOUT']);
  });
}
