/**
 * Hostile peers: blind sweeps change nothing (RFC 5961 §3 to §5), and what hundreds of them hold or
 * cost is bounded while a neighbour's echo goes on. Time is not measured here: bench/hostile.ts
 * does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../host/sim/random.js';
import { everySecondByte, feed, sackPieces, Scene, sweep, type Sweep } from './hostile.js';
import { ACK } from './packets.js';

for (const kind of ['RST', 'SYN', 'data', 'closed window'] satisfies Sweep[]) {
  test(`blind sweep · ${kind} over the whole sequence space · nothing changes`, () => {
    const random = new Random(11);
    for (let round = 0; round < 3; round++) {
      const scene = new Scene();
      for (let at = 0; at < 20; at++) assert.ok(scene.echo());
      const { lab, good } = scene;
      const window = lab.engine.info(good.handle).rcv_wnd;
      const sndWnd = lab.engine.info(good.handle).snd_wnd;
      const startUs = lab.nowUs;
      let tried = 0;
      const before = scene.echoes;
      const packets = sweep(scene, kind, window, random.u32(), () => {
        for (let at = 0; at < 20; at++, tried++) scene.echo();
      });
      const seconds = (lab.nowUs - startUs) / 1e6;
      assert.ok(packets > 1000 && tried > 0, `${packets} packets`);
      assert.ok(scene.echoes - before >= tried * 0.8, `${scene.echoes - before} of ${tried}`);
      assert.equal(lab.engine.info(good.handle).state, 'ESTABLISHED');
      assert.equal(lab.engine.info(good.handle).snd_wnd, sndWnd, 'the peer’s window');
      // One challenge in half a second for a connection, whatever comes (RFC 5961 §7).
      const challenges = lab.counter('TcpExtTCPChallengeACK');
      assert.ok(challenges <= seconds / 0.448 + 2, `${challenges} in ${seconds} s`);
      for (let at = 0; at < 50; at++) assert.ok(scene.echo(), 'the stream goes on');
      scene.finish();
    }
  });
}

test('500 connections send every second byte only · bounded, a neighbour’s echo goes on', () => {
  const scene = new Scene({ segmentsMax: 65_536, arenaBytes: 64 << 20 });
  const { engine } = scene.lab;
  scene.attack(500, 1460);
  let tried = 0;
  for (let round = 0; round < 400; round++) {
    everySecondByte(scene, round);
    tried++;
    scene.echo();
  }
  assert.ok(scene.echoes >= tried * 0.8, `${scene.echoes} of ${tried}`);
  const segments = engine.pool('segments');
  const arena = engine.pool('arena');
  // n connections leave 1 / (1 + n / 8) of the pool to those that hold little.
  assert.ok(segments.capacity - segments.highWater >= 900, `${segments.highWater} records`);
  assert.ok(arena.used < 500 * 32 * 1024, `${arena.used} bytes of arena`);
  assert.equal(segments.refused, 0, 'the pool never ran dry');
  assert.ok(engine.counter('TcpExtTCPOFODrop') > 0);
  assert.ok(engine.counter('AckornSegmentsExhausted') > 0);
  scene.finish();
});

test('500 receivers SACK every second piece of 48 bytes · bounded, the echo goes on', () => {
  const scene = new Scene({
    segmentsMax: 65_536, arenaBytes: 128 << 20, tcp_init_cwnd: 1000, tcp_wmem_default: 65_536,
  });
  const { engine } = scene.lab;
  scene.attack(500, 48);
  feed(scene, 48_000);
  let tried = 0;
  let most = 0;
  let sum = 0;
  const rounds = 60;
  for (let round = 0; round < rounds; round++) {
    const visited = sackPieces(scene, round, 48);
    most = Math.max(most, visited);
    sum += visited;
    tried++;
    scene.echo();
  }
  assert.ok(scene.echoes >= tried * 0.8, `${scene.echoes} of ${tried}`);
  // Four blocks: each is found by one descent, cuts one record and judges what it has passed.
  assert.ok(most > 4 && most <= 64, `${most} records for one ACK`);
  const segments = engine.pool('segments');
  assert.ok(segments.highWater > 10_000, 'the attack made records');
  assert.ok(segments.capacity - segments.highWater >= 900, `${segments.highWater} records`);
  assert.equal(segments.refused, 0, 'the pool never ran dry');
  assert.ok(sum > 0);
  // Acknowledged at once, all of it goes back at once.
  for (const peer of scene.attackers) peer.send(ACK);
  scene.lab.poll();
  scene.finish();
});
