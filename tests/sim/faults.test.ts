/**
 * Random topologies and fault plans: every byte arrives in order or both ends learn of the failure;
 * pools return to their baseline; the same seed gives the same run. A failing seed is run alone
 * with ACKORN_SEED=N; ACKORN_SEEDS=10 tries ten times as many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CounterName } from '../../host/core/engine.js';
import { connect, delay, Element, Server, Simulation, type Frame } from
  '../../host/sim/index.js';
import { replace16, tcpOffset, tcpPayloadLength } from '../../host/sim/packet.js';
import { engine, seeds } from './module.js';
import { judge, makeWorld, runWorld } from './worlds.js';

const WORLDS = 2000;

test('random worlds · every byte arrives in order or both ends learn of the failure', () => {
  let completed = 0;
  let failed = 0;
  const seen = new Set<CounterName>();
  for (const seed of seeds(WORLDS)) {
    const world = makeWorld(engine, seed);
    try {
      runWorld(world);
      const outcome = judge(world);
      completed += outcome.completed;
      failed += outcome.failed;
    } catch (cause) {
      throw new Error(`ACKORN_SEED=${seed}`, { cause });
    }
    for (const host of world.hosts) {
      for (const [name, count] of Object.entries(host.engine.counters())) {
        if (count > 0) seen.add(name as CounterName);
      }
    }
  }
  if (process.env['ACKORN_SEED'] !== undefined) return;
  // The plans must be hard enough to mean something, and not so hard that nothing gets through.
  assert.ok(completed > failed * 5 && failed > 0, `${completed} completed, ${failed} failed`);
  const wanted: CounterName[] = [
    'TcpRetransSegs', 'TcpExtTCPTimeouts', 'TcpExtTCPSackRecovery', 'TcpExtTCPOFOQueue',
    'TcpExtTCPDSACKRecv', 'TcpInCsumErrors', 'TcpExtTCPAbortOnTimeout', 'TcpExtTCPKeepAlive',
    'IcmpInDestUnreachs', 'TcpExtTCPRenoRecovery',
  ];
  for (const name of wanted) assert.ok(seen.has(name), `no world ever counted ${name}`);
});

test('random worlds · a seed decides everything', () => {
  for (const seed of seeds(40)) {
    const runs = [0, 1].map(() => {
      const world = makeWorld(engine, seed);
      runWorld(world);
      const { simulation, hosts } = world;
      return {
        nowUs: simulation.nowUs, steps: simulation.steps,
        memories: hosts.map((host) => Buffer.from(host.engine.bytes)),
      };
    });
    assert.deepEqual(
      { ...runs[0], memories: 0 }, { ...runs[1], memories: 0 }, `seed ${seed}`,
    );
    for (const [at, memory] of (runs[0]?.memories ?? []).entries()) {
      assert.ok(memory.equals(runs[1]?.memories[at] as Buffer), `seed ${seed}, host ${at}`);
    }
  }
});

/** Changes a payload byte and mends the checksum: what TCP cannot find, the judge must. */
class Forger extends Element {
  readonly name = 'forger';
  #left = 1;

  protected process(frame: Frame, nowUs: number): void {
    if (this.#left > 0 && tcpPayloadLength(frame.bytes, frame.length) > 100) {
      this.#left--;
      const tcp = tcpOffset(frame.bytes, frame.length);
      replace16(frame.bytes, tcp + 60, 0xbeef, tcp + 16);
    }
    this.next.accept(frame, nowUs);
  }
}

test('the judge · finds one forged byte', () => {
  const simulation = new Simulation({ module: engine, seed: 1 });
  const client = simulation.host('client');
  const server = simulation.host('server');
  const link = simulation.link(client, server, { forward: [() => new Forger(), delay(1000)] });
  const sink = new Server(server, 80, () => ({ receiveSeed: 1 }));
  const to = link.addresses[1][0];
  assert.ok(to !== undefined);
  connect(client, to, 80, { sendBytes: 10_000, sendSeed: 1 });
  simulation.runToIdle(200e6);
  assert.equal(sink.ends[0]?.received, 10_000);
  assert.ok((sink.ends[0]?.wrongAt ?? -1) >= 0);
});
