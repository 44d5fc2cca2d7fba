/**
 * Rough worlds: what tests/sim/worlds.ts leaves out. Arenas and pools that run dry, packets of 68
 * to 9,000 bytes, hosts that sleep, cables that are pulled, readers that are slow or stop, ends
 * that half close, abort or close over unread bytes. All drawn from one seed. Judged alike: every
 * byte arrives in order or both ends learn of the failure, and everything comes back.
 */
import assert from 'node:assert/strict';
import { Option } from '../../assembly/abi.js';
import type { AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { POOL_NAMES } from '../../host/core/records.js';
import {
  burstLoss, connect, corrupt, delay, duplicate, End, jitter, loss, Random, reorder, Server,
  Simulation, type ElementFactory, type EndOptions, type Link, type SimHost,
} from '../../host/sim/index.js';

interface Pair {
  client: End | undefined;
  server: Server;
  up: EndOptions;
  down: EndOptions;
  /** Ends that the test has cut short: what they had not read is theirs to lose. */
  cut: Set<End>;
}

export interface RoughWorld {
  simulation: Simulation;
  hosts: SimHost[];
  link: Link;
  pairs: Pair[];
  story: string[];
}

/** Longest that anything may take: an hour's sleep, retries, keep-alive, TIME-WAIT. */
const LIMIT_US = 4 * 3600e6;

function config(random: Random, story: string[]): EngineConfig {
  const off = (): number => (random.chance(0.2) ? 0 : 1);
  const chosen: EngineConfig = {
    tcp_sack: off(), tcp_timestamps: off(), tcp_window_scaling: off(), tcp_dsack: off(),
    tcp_slow_start_after_idle: off(), tcp_moderate_rcvbuf: off(), rxSlotBytes: 10_240,
    arenaBytes: random.pick([16_384, 32_768, 65_536, 1 << 20, 8 << 20]),
    arenaBlockShift: random.pick([7, 9]),
    segmentsMax: random.pick([2, 8, 32, 8192]), txSlots: random.pick([2, 8, 128]),
    tcp_tw_reuse: random.below(3),
    tcp_min_snd_mss: random.pick([48, 48, 500]),
  };
  story.push(JSON.stringify(chosen));
  return chosen;
}

function faults(random: Random, story: string[]): ElementFactory[] {
  const drawn: ElementFactory[] = [];
  const add = (text: string, element: ElementFactory): void => {
    story.push(text);
    drawn.push(element);
  };
  if (random.chance(0.3)) add('loss', loss(random.unit() * 0.1));
  if (random.chance(0.2)) add('burst', burstLoss({ toBad: random.unit() * 0.02, toGood: 0.3 }));
  if (random.chance(0.2)) add('reorder', reorder(random.unit() * 0.2, 1 + random.below(20_000)));
  if (random.chance(0.2)) add('duplicate', duplicate(random.unit() * 0.1));
  // One at most: two flipped bits can hide from the checksum.
  if (random.chance(0.2)) add('corrupt', corrupt(random.unit() * 0.03));
  // Spikes: most packets in time, some very late.
  if (random.chance(0.2)) add('jitter', jitter(random.below(400_000), { reorder: true }));
  drawn.push(delay(random.pick([1, 500, 20_000, 150_000])));
  return drawn;
}

function behaviour(random: Random, seeds: readonly [number, number]): EndOptions {
  const options: [Option, number][] = [
    [Option.TCP_KEEPIDLE, 10], [Option.TCP_KEEPINTVL, 5], [Option.SO_KEEPALIVE, 1],
  ];
  if (random.chance(0.3)) options.push([Option.TCP_NODELAY, 1]);
  if (random.chance(0.2)) options.push([Option.SO_RCVBUF, random.between(1000, 20_000)]);
  if (random.chance(0.2)) options.push([Option.SO_SNDBUF, random.between(1000, 20_000)]);
  if (random.chance(0.1)) options.push([Option.TCP_USER_TIMEOUT, random.between(5000, 60_000)]);
  const bytes = random.chance(0.2) ? 0 : Math.floor(10 ** (random.unit() * 5));
  return {
    sendBytes: bytes, sendSeed: seeds[0], receiveSeed: seeds[1], options,
    answerAfterFin: random.chance(0.2),
    ...(random.chance(0.3) ? { readLimit: random.between(100, 8000) } : {}),
  };
}

export function makeRoughWorld(module: WebAssembly.Module, seed: number): RoughWorld {
  const simulation = new Simulation({ module, seed });
  const random = simulation.random.fork();
  const story = [`seed ${seed}`];
  const hosts = [0, 1].map((at) => simulation.host(`h${at}`, { config: config(random, story) }));
  const mtu = random.pick([68, 100, 296, 576, 1280, 1500, 9000]);
  story.push(`mtu ${mtu}`);
  const [first, second] = hosts as [SimHost, SimHost];
  const forward = faults(random, story);
  const backward = faults(random, story);
  const link = simulation.link(first, second, { mtu, forward, backward });
  const world: RoughWorld = { simulation, hosts, link, pairs: [], story };
  const count = random.between(1, 8);
  for (let at = 0; at < count; at++) addPair(world, random, at, mtu >= 1280 && random.chance(0.4));
  disturb(world, random);
  return world;
}

function addPair(world: RoughWorld, random: Random, at: number, six: boolean): void {
  const { simulation, hosts, link, story } = world;
  const from = random.below(2);
  const [client, target] = [hosts[from] as SimHost, hosts[1 - from] as SimHost];
  const [seedUp, seedDown] = [at * 2 + 1, at * 2 + 2];
  const up = behaviour(random, [seedUp, seedDown]);
  const down = behaviour(random, [seedDown, seedUp]);
  // Two ends that both wait for the other's FIN wait for ever, and rightly.
  if (up.answerAfterFin === true) down.answerAfterFin = false;
  const server = new Server(target, 1000 + at, () => down);
  const pair: Pair = { client: undefined, server, up, down, cut: new Set() };
  world.pairs.push(pair);
  const address = link.addresses[(1 - from) as 0 | 1][six ? 1 : 0] as AddressWords;
  const startUs = simulation.nowUs + random.below(3_000_000);
  story.push(`${from}>${1 - from} ${up.sendBytes}/${down.sendBytes} at ${startUs}`);
  simulation.at(startUs, () => {
    pair.client = connect(client, address, 1000 + at, up);
  });
  // Slow readers come back every so often.
  const everyUs = random.between(1000, 300_000);
  const read = (): void => {
    for (const end of [pair.client, ...server.ends]) end?.readMore();
    if (pair.client?.state !== 'open' && !server.ends.some(({ state }) => state === 'open') &&
      pair.client !== undefined) return;
    simulation.after(everyUs, read);
  };
  simulation.after(everyUs, read);
  if (random.chance(0.25)) cutShort(world, random, pair);
}

/** One end has enough at some time: RST, or a close over whatever is unread. */
function cutShort(world: RoughWorld, random: Random, pair: Pair): void {
  const { simulation, story } = world;
  const atUs = simulation.nowUs + random.below(6_000_000);
  const [server, close] = [random.chance(0.5), random.chance(0.5)];
  story.push(`${close ? 'close' : 'abort'} ${server ? 'server' : 'client'} at ${atUs}`);
  simulation.at(atUs, () => {
    const end = server ? pair.server.ends[0] : pair.client;
    if (end === undefined || end.state !== 'open') return;
    pair.cut.add(end);
    if (!close) return end.abort();
    end.state = 'failed';
    end.host.dispatcher.detachConnection(end.handle);
    end.host.engine.close(end.handle);
    end.host.wake();
  });
}

/** Hosts sleep, cables are pulled. */
function disturb(world: RoughWorld, random: Random): void {
  const { simulation, hosts, story } = world;
  for (const host of hosts) {
    if (random.chance(0.15)) {
      const [fromUs, us] = [random.below(5_000_000), random.pick([100_000, 5e6, 100e6, 3600e6])];
      story.push(`${host.name} sleeps ${us} from ${fromUs}`);
      simulation.after(fromUs, () => host.sleep());
      simulation.after(fromUs + us, () => host.resume());
    }
    if (random.chance(0.15)) {
      const [fromUs, us] = [random.below(5_000_000), random.pick([1000, 2e6, 50e6])];
      story.push(`${host.name} unplugged ${us} from ${fromUs}`);
      const set = (up: boolean): void => {
        host.engine.linkSet(0, up);
        host.wake();
      };
      simulation.after(fromUs, () => set(false));
      simulation.after(fromUs + us, () => set(true));
    }
  }
}

export function runRoughWorld({ simulation, pairs, hosts }: RoughWorld): void {
  const open = (): boolean => pairs.some(({ client, server }) =>
    client === undefined || client.state === 'open' ||
    server.ends.some(({ state }) => state === 'open'));
  simulation.runWhile(open, LIMIT_US);
  for (const { server } of pairs) server.close();
  simulation.runToIdle(LIMIT_US);
  // The last descriptors came back after the last poll: one more notices it.
  for (const host of hosts) host.wake();
  simulation.runToIdle(LIMIT_US);
}

/** Throws unless the world ended as it must. @returns how many transfers were whole */
export function judgeRoughWorld(world: RoughWorld): number {
  const story = world.story.join(' ');
  let whole = 0;
  for (const { client, server, up, down, cut } of world.pairs) {
    const ends = [client as End, ...server.ends];
    for (const end of ends) {
      assert.equal(end.wrongAt, -1, `a byte is wrong: ${story}`);
      assert.notEqual(end.state, 'open', `an end knows nothing: ${story}`);
    }
    const [near, far] = ends as [End, End | undefined];
    if (near.state === 'done' && !(far !== undefined && cut.has(far))) {
      assert.equal(far?.received, up.sendBytes, `in silence: ${story}`);
    }
    if (far?.state === 'done' && !cut.has(near)) {
      assert.equal(near.received, down.sendBytes, `in silence: ${story}`);
    }
    if (near.state === 'done' && far?.state === 'done') whole++;
  }
  for (const host of world.hosts) {
    for (const name of POOL_NAMES) {
      assert.equal(host.engine.pool(name).used, 0, `${host.name}: ${name} leaked: ${story}`);
    }
    assert.equal(host.dispatcher.size, 0, story);
  }
  assert.equal(world.simulation.pool.live, 0, `frames: ${story}`);
  return whole;
}
