/**
 * Memory pressure: an arena that stalled readers and closed windows have filled still carries the
 * others; bytes beyond holes are given up, highest first, and our own sender survives a peer that
 * does so. What happened stands in the counters.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHUT_WR } from '../../assembly/abi.js';
import type { CounterName } from '../../host/core/engine.js';
import {
  connect, delay, Element, End, Server, Simulation, type EndOptions, type Frame, type SimHost,
} from '../../host/sim/index.js';
import { tcpOffset, tcpPayloadLength } from '../../host/sim/packet.js';
import { Lab, module, Net } from './lab.js';
import { ACK, sackBlocks } from './packets.js';

const MIB = 1 << 20;

function counters(host: SimHost, ...names: CounterName[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, host.engine.counter(name)]));
}

function idlePools(hosts: readonly SimHost[]): void {
  for (const host of hosts) {
    for (const [name, { used }] of Object.entries(host.engine.pools())) {
      assert.equal(used, 0, `${host.name}: ${name}`);
    }
  }
}

test('pressure · 1,000 stalled readers and 1,000 closed windows · ten others finish', () => {
  const simulation = new Simulation({ module, seed: 1 });
  const sizes = {
    connectionsMax: 4096, synRequestsMax: 4096, timeWaitMax: 4096, segmentsMax: 65_536,
  };
  // The crowd's far ends need room too: it is the second host that is to be filled.
  const far = simulation.host('far', { config: { ...sizes, arenaBytes: 320 * MIB } });
  const near = simulation.host('near', { config: { ...sizes, arenaBytes: 32 * MIB } });
  const link = simulation.link(far, near, { latencyUs: 200 });
  const to = link.addresses[1][0] as (typeof link.addresses)[1][0];
  const size = 10 * MIB;
  const servers = [
    new Server(near, 1, () => ({ stalled: true }), 4096),
    new Server(near, 2, () => ({ sendBytes: size, sendSeed: 2 }), 4096),
    new Server(near, 3, () => ({ receiveSeed: 3 }), 4096),
    new Server(near, 4, () => ({ sendBytes: size, sendSeed: 4 }), 4096),
  ];
  const crowd: End[] = [];
  for (let at = 0; at < 1000; at++) {
    crowd.push(connect(far, to as never, 1, { sendBytes: size, sendSeed: 1 }));
    crowd.push(connect(far, to as never, 2, { stalled: true }));
    if (at % 50 === 0) simulation.runFor(20_000);
  }
  simulation.runFor(5e6);
  const full = near.engine.pool('arena');
  assert.ok(full.used > full.capacity * 0.6, `only ${full.used} of ${full.capacity} are used`);
  assert.equal(near.engine.counter('TcpExtTCPMemoryPressures') > 0, true);
  assert.ok(crowd.every(({ connected }) => connected), 'the whole crowd is in');
  const others: End[] = [];
  for (let at = 0; at < 5; at++) {
    others.push(connect(far, to as never, 3, { sendBytes: size, sendSeed: 3 }));
    others.push(connect(far, to as never, 4, { receiveSeed: 4 }));
  }
  assert.ok(simulation.runWhile(() => others.some(({ state }) => state === 'open'), 600e6));
  for (const end of [...others, ...(servers[2] as Server).ends]) {
    assert.deepEqual([end.state, end.wrongAt], ['done', -1]);
  }
  for (const end of (servers[2] as Server).ends) assert.equal(end.received, size);
  for (const end of others) assert.ok(end.received === size || end.sent === size);
  assert.ok(crowd.every(({ state }) => state === 'open'), 'nobody of the crowd was cut off');
  const told = counters(near, 'TcpExtTCPMemoryPressures', 'AckornShareExceeded');
  assert.ok(Object.values(told).every((count) => count > 0), JSON.stringify(told));
  for (const end of crowd) end.abort();
  simulation.runFor(1e6);
  for (const { ends } of servers) for (const end of ends) end.abort();
  for (const server of servers) server.close();
  assert.ok(simulation.runToIdle(3600e6));
  idlePools([far, near]);
});

/** Loses the first segment with text of each connection to a port until it is told to stop. */
class Holes extends Element {
  readonly name = 'holes';
  open = true;
  readonly #first = new Map<number, number>();

  constructor(readonly port: number) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const tcp = tcpOffset(frame.bytes, frame.length);
    const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset + tcp);
    const text = tcpPayloadLength(frame.bytes, frame.length) > 0;
    if (this.open && view.getUint16(2) === this.port && text) {
      const from = view.getUint16(0);
      const seq = view.getUint32(4);
      if (!this.#first.has(from)) this.#first.set(from, seq);
      if (this.#first.get(from) === seq) return this.drop(frame);
    }
    this.next.accept(frame, nowUs);
  }
}

test('pressure · bytes beyond 200 holes fill the arena · discarded, sent again', () => {
  const simulation = new Simulation({ module, seed: 2 });
  const sizes = { connectionsMax: 512, synRequestsMax: 512, timeWaitMax: 512 };
  const large = { ...sizes, arenaBytes: 64 * MIB, segmentsMax: 65_536 };
  const far = simulation.host('far', { config: large });
  const near = simulation.host('near', { config: { ...sizes, arenaBytes: 2 * MIB } });
  const holes = new Holes(5);
  const forward = [() => holes, delay(500)];
  const link = simulation.link(far, near, { forward, backward: [delay(500)] });
  const to = link.addresses[1][0] as never;
  const size = 200_000;
  const crowdServer = new Server(near, 5, () => ({ receiveSeed: 1 }), 512);
  const otherServer = new Server(near, 6, () => ({ receiveSeed: 2 }), 512);
  const up: EndOptions = { sendBytes: size, sendSeed: 1 };
  const crowd = Array.from({ length: 200 }, () => connect(far, to, 5, up));
  simulation.runFor(1e6);
  const whole: EndOptions = { sendBytes: MIB, sendSeed: 2 };
  const others = Array.from({ length: 10 }, () => connect(far, to, 6, whole));
  assert.ok(simulation.runWhile(() => others.some(({ state }) => state === 'open'), 120e6));
  for (const end of otherServer.ends) {
    assert.deepEqual([end.state, end.received, end.wrongAt], ['done', MIB, -1]);
  }
  assert.ok(crowdServer.ends.every(({ received }) => received === 0), 'the holes are still there');
  const told = counters(near, 'TcpExtTCPMemoryPressures', 'TcpExtTCPOFODrop');
  assert.ok(Object.values(told).every((count) => count > 0), JSON.stringify(told));
  // Now all that is held lies above the mark: it goes back, a step for each segment that comes.
  const before = near.engine.pool('arena').used;
  for (const name of ['tcp_mem_low', 'tcp_mem_pressure', 'tcp_mem_high'] as const) {
    near.engine.sysctlSet(name, 300_000);
  }
  const last = connect(far, to, 6, whole);
  assert.ok(simulation.runWhile(() => last.state === 'open', 120e6));
  assert.equal(otherServer.ends.at(-1)?.received, MIB);
  const after = near.engine.pool('arena').used;
  assert.ok(after < before / 3, `${before} bytes, then ${after}`);
  const pruned = counters(near, 'TcpExtPruneCalled', 'TcpExtOfoPruned');
  assert.ok(Object.values(pruned).every((count) => count > 0), JSON.stringify(pruned));
  holes.open = false;
  assert.ok(simulation.runWhile(() => crowd.some(({ state }) => state === 'open'), 900e6));
  for (const end of crowdServer.ends) {
    assert.deepEqual([end.state, end.received, end.wrongAt], ['done', size, -1]);
  }
  assert.ok(far.engine.counter('TcpExtTCPSACKReneging') + far.engine.counter('TcpRetransSegs') > 0);
  crowdServer.close();
  otherServer.close();
  assert.ok(simulation.runToIdle(600e6));
  idlePools([far, near]);
});

test('ESTABLISHED · the peer SACKs and then forgets · all of it is sent again', () => {
  const lab = new Lab();
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
  const peer = net.peer({ port: 5000, to: 80 }).open(listener);
  lab.engine.write(peer.handle, new Uint8Array(14_600).fill(7), 0, 14_600);
  lab.poll();
  const una = (peer.rcvNxt - 14_600) >>> 0;
  peer.send(ACK, { ack: una, sack: [[(una + 1460) >>> 0, peer.rcvNxt]] });
  lab.poll();
  // It acknowledges the first segment alone: the second, SACKed before, is gone.
  peer.send(ACK, { ack: una + 1460 });
  const seen = new Set<number>();
  lab.onPacket = (packet) => {
    const start = packet.seq - una;
    for (let at = 0; at < packet.payload.length; at += 1460) seen.add((start + at) >>> 0);
  };
  for (let turn = 1; turn <= 12; turn++) {
    lab.run(1e6);
    const next = [...Array(10).keys()].map((at) => at * 1460).find((at) => at > 0 && !seen.has(at));
    peer.send(ACK, { ack: (una + (next ?? 14_600)) >>> 0 });
    lab.poll();
  }
  assert.equal(lab.engine.info(peer.handle).unacked, 0);
  assert.equal(lab.counter('TcpExtTCPSACKReneging') > 0, true);
  lab.engine.shutdown(peer.handle, SHUT_WR);
});

test('ESTABLISHED under pressure · ranges beyond its share, then the hole is filled', () => {
  // 1 MiB of arena: pressure begins at two thirds.
  const lab = new Lab({ config: { arenaBytes: MIB, tcp_rmem_default: 400_000 } });
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 64);
  const holder = net.peer({ port: 5000, to: 80, wscale: 0 }).open(listener);
  const piece = new Uint8Array(1400).map((_, at) => at);
  let edge = 65_000;
  for (let at = 2800; at + 1400 < edge; at += 2800) {
    holder.send(ACK, { seq: (holder.sndNxt + at) >>> 0, payload: piece });
    lab.poll();
  }
  const before = lab.engine.info(holder.handle).rcv_ooopack;
  assert.ok(before >= 20);
  // Others fill the arena up to the mark and do not read.
  for (let other = 0; lab.engine.pool('arena').used < MIB * 0.67 && other < 60; other++) {
    const peer = net.peer({ port: 6000 + other, to: 80 }).open(listener);
    for (let at = 0; at < 40; at++) peer.data(piece);
    lab.poll();
  }
  const right = (): number => {
    const last = holder.last as NonNullable<typeof holder.last>;
    return (last.ack + (last.window << 7)) >>> 0;
  };
  let before2 = right();
  for (let at = 0; at < 40; at++) {
    holder.data(piece);
    lab.poll(1000);
    assert.ok(((right() - before2) | 0) >= 0, 'the right edge moved left');
    before2 = right();
    const ack = (holder.last as NonNullable<typeof holder.last>).ack;
    holder.sndNxt = ack;
    edge = ack;
    lab.engine.discard(holder.handle);
  }
  assert.equal(lab.counter('TcpExtOfoPruned') > 0, true, 'its own ranges made room');
  const blocks = sackBlocks((holder.last as NonNullable<typeof holder.last>).options);
  assert.ok(blocks.length <= 4 && edge > 0);
});
