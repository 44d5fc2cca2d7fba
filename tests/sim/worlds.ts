/**
 * Random worlds for tests: a topology, a fault plan and transfers, all drawn from one seed. run()
 * lets it happen and gives what must be judged; judge() judges: every byte arrived in order or both
 * ends learned of the failure, and everything came back to the pools.
 */
import assert from 'node:assert/strict';
import { Option } from '../../assembly/abi.js';
import type { AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { POOL_NAMES } from '../../host/core/records.js';
import {
  burstLoss, connect, corrupt, delay, duplicate, End, jitter, loss, mtu, outage, rate, Random,
  Recorder, reorder, Server, SimHost, Simulation, stripOptions, tailDrop, type ElementFactory,
  type Link,
} from '../../host/sim/index.js';

export interface World {
  simulation: Simulation;
  hosts: SimHost[];
  links: Link[];
  recorders: Recorder[];
  pairs: { client: End; server: Server; bytesUp: number; bytesDown: number }[];
  servers: Server[];
  /** What was drawn, for the message of a failure. */
  plan: string[];
}

/** Draws up to three elements of what a network does to packets. */
export function drawFaults(random: Random, plan: string[]): ElementFactory[] {
  const drawn: ElementFactory[] = [];
  const add = (text: string, element: ElementFactory): void => {
    plan.push(text);
    drawn.push(element);
  };
  const choices: (() => void)[] = [
    () => { const p = random.unit() * 0.15; add(`loss ${p}`, loss(p)); },
    () => {
      const toBad = random.unit() * 0.03;
      add(`burst ${toBad}`, burstLoss({ toBad, toGood: 0.3 }));
    },
    () => { const us = random.below(50_000); add(`jitter ${us}`, jitter(us, { reorder: true })); },
    () => {
      const p = random.unit() * 0.2;
      add(`reorder ${p}`, reorder(p, 1 + random.below(20_000)));
    },
    () => { const p = random.unit() * 0.1; add(`duplicate ${p}`, duplicate(p)); },
    () => {
      // Once a world: two flips in one packet can cancel each other in TCP's checksum, which then
      // delivers a wrong byte rightly (RFC 1071's sum sees single flips only for certain).
      const p = random.unit() * 0.05;
      if (!plan.some((text) => text.startsWith('corrupt'))) add(`corrupt ${p}`, corrupt(p));
    },
    () => {
      const kinds = [3, 4, 5, 8].filter(() => random.chance(0.5));
      add(`strip ${kinds.join()}`, stripOptions(...kinds));
    },
    () => {
      const bits = 10 ** (5 + random.unit() * 3);
      add(`rate ${bits}`, rate(bits, tailDrop({ packets: 5 + random.below(100) })));
    },
    () => {
      const fromUs = 1_000_000 + random.below(3_000_000);
      const untilUs = fromUs + random.below(8_000_000);
      add(`outage ${fromUs} ${untilUs}`, outage({ fromUs, untilUs }));
    },
    () => { const bytes = random.between(1000, 1499); add(`mtu ${bytes}`, mtu(bytes)); },
  ];
  const count = random.below(4);
  for (let at = 0; at < count; at++) random.pick(choices)();
  return drawn;
}

function drawConfig(random: Random): EngineConfig {
  const off = (): number => (random.chance(0.2) ? 0 : 1);
  return {
    tcp_sack: off(), tcp_timestamps: off(), tcp_window_scaling: off(), tcp_dsack: off(),
    tcp_slow_start_after_idle: off(), tcp_moderate_rcvbuf: off(),
    ...(random.chance(0.2) ? { arenaBytes: 256 * 1024 } : {}),
  };
}

/** A world from a seed: two to five hosts on a wire or around a router, one to six connections. */
export function makeWorld(module: WebAssembly.Module, seed: number, record = false): World {
  const simulation = new Simulation({ module, seed });
  const random = simulation.random.fork();
  const plan: string[] = [`seed ${seed}`];
  const count = random.chance(0.5) ? 2 : random.between(2, 5);
  const hosts: SimHost[] = [];
  const recorders: Recorder[] = [];
  for (let at = 0; at < count; at++) {
    const recorder = new Recorder();
    recorders.push(recorder);
    const filter = record ? { filter: recorder.filter } : {};
    hosts.push(simulation.host(`h${at}`, { config: drawConfig(random), ...filter }));
  }
  const links = connectHosts(simulation, hosts, random, plan);
  const world: World = { simulation, hosts, links, recorders, pairs: [], servers: [], plan };
  const transfers = random.between(1, 6);
  for (let at = 0; at < transfers; at++) transfer(world, random, at);
  return world;
}

function connectHosts(
  simulation: Simulation, hosts: SimHost[], random: Random, plan: string[],
): Link[] {
  const path = (): ElementFactory[] => {
    plan.push('|');
    return [...drawFaults(random, plan), delay(random.between(1, 60_000))];
  };
  const [first, second] = hosts as [SimHost, SimHost];
  if (hosts.length === 2 && random.chance(0.7)) {
    plan.push('wire');
    return [simulation.link(first, second, { forward: path(), backward: path() })];
  }
  plan.push(`router with ${hosts.length}`);
  const router = simulation.router('r');
  return hosts.map((host) => simulation.link(host, router, { forward: path(), backward: path() }));
}

/** The address of a host, on whichever link it is. */
function addressOf(world: World, at: number, six: boolean): AddressWords {
  const link = world.links.length === 1 ? world.links[0] : world.links[at];
  const side = world.links.length === 1 ? at : 0;
  return (link as Link).addresses[side as 0 | 1][six ? 1 : 0] as AddressWords;
}

function transfer(world: World, random: Random, at: number): void {
  const { hosts, simulation } = world;
  const from = random.below(hosts.length);
  const to = (from + 1 + random.below(hosts.length - 1)) % hosts.length;
  const size = (): number => (random.chance(0.2) ? 0 : Math.floor(10 ** (random.unit() * 5.5)));
  const [bytesUp, bytesDown] = [size(), size()];
  // Whoever only waits must hear of a dead peer some day: keep-alive after 10 s.
  const options: [Option, number][] = [
    [Option.TCP_KEEPIDLE, 10], [Option.TCP_KEEPINTVL, 5], [Option.SO_KEEPALIVE, 1],
  ];
  if (random.chance(0.3)) options.push([Option.TCP_NODELAY, 1]);
  if (random.chance(0.2)) options.push([Option.SO_RCVBUF, random.between(2000, 20_000)]);
  const answerAfterFin = random.chance(0.3);
  const [up, down] = [at * 2 + 1, at * 2 + 2];
  const server = new Server(hosts[to] as SimHost, 1000 + at, () => ({
    sendBytes: bytesDown, sendSeed: down, receiveSeed: up, options, answerAfterFin,
  }));
  world.servers.push(server);
  const address = addressOf(world, to, random.chance(0.4));
  world.plan.push(`h${from}>h${to}:${1000 + at} ${bytesUp} up ${bytesDown} down`);
  const startUs = simulation.nowUs + random.below(2_000_000);
  simulation.at(startUs, () => {
    const client = connect(hosts[from] as SimHost, address, 1000 + at, {
      sendBytes: bytesUp, sendSeed: up, receiveSeed: down, options,
    });
    world.pairs.push({ client, server, bytesUp, bytesDown });
  });
  world.plan.push(`at ${startUs}`);
}

/** Longest that a world may take: retransmissions give up, keep-alive finds out, TIME-WAIT ends. */
const LIMIT_US = 7200e6;

/** Lets the world happen, then closes the servers and waits until nothing moves. */
export function runWorld(world: World): void {
  const { simulation, pairs, servers } = world;
  const total = servers.length;
  const open = (): boolean => pairs.length < total ||
    pairs.some(({ client, server }) =>
      client.state === 'open' || server.ends.some(({ state }) => state === 'open'));
  simulation.runWhile(open, LIMIT_US);
  for (const server of servers) server.close();
  simulation.runToIdle(LIMIT_US);
}

/** Throws unless the world ended as it must. */
export function judge(world: World): { completed: number; failed: number } {
  const story = world.plan.join(' ');
  let completed = 0;
  let failed = 0;
  for (const { client, server, bytesUp, bytesDown } of world.pairs) {
    const ends = server.ends;
    const peer = ends[0];
    assert.ok(ends.length <= 1, `one connection made ${ends.length}: ${story}`);
    for (const end of [client, ...ends]) {
      assert.equal(end.wrongAt, -1, `a byte is wrong: ${story}`);
      assert.notEqual(end.state, 'open', `an end knows nothing: ${story}`);
    }
    if (client.state === 'done' && peer?.state === 'done') {
      assert.equal(client.received, bytesDown, story);
      assert.equal(peer.received, bytesUp, story);
      completed++;
    } else {
      failed++;
      assert.ok(client.received <= bytesDown, story);
    }
    // A done end has heard that all it sent has arrived, so the other must have it.
    if (client.state === 'done') assert.equal(peer?.received, bytesUp, `lost in silence: ${story}`);
    if (peer?.state === 'done') assert.equal(client.received, bytesDown, `in silence: ${story}`);
  }
  for (const host of world.hosts) {
    for (const name of POOL_NAMES) {
      assert.equal(host.engine.pool(name).used, 0, `${host.name}: ${name} leaked: ${story}`);
    }
    assert.equal(host.dispatcher.size, 0, story);
  }
  assert.equal(world.simulation.pool.live, 0, `frames: ${story}`);
  return { completed, failed };
}
