/**
 * Hostile peers beside a good one: hundreds of connections that send every second byte, receivers
 * that SACK every second piece of 48 bytes, a stranger who sweeps the sequence space. The good one
 * sends messages to an application that echoes them. Used by hostile.test.ts, which judges what is
 * deterministic, and by bench/hostile.ts, which measures time.
 */
import assert from 'node:assert/strict';
import { SYSTEM_AT } from '../../assembly/abi.js';
import type { EngineConfig } from '../../host/core/config.js';
import { Lab, Net, THEIRS, type Peer } from './lab.js';
import { ACK, RST, SYN } from './packets.js';

export const MESSAGE = new Uint8Array(1000).map((_, at) => (at * 31) & 255);
const ONE = MESSAGE.subarray(0, 1);
/** AckSample.visited: records looked at for the last ACK (tcp/ack-sample.ts). */
const VISITED_AT = (SYSTEM_AT + 2048 + 128 + 88) >>> 2;

export class Scene {
  readonly lab: Lab;
  readonly net: Net;
  readonly listener: { index: number; generation: number };
  readonly good: Peer;
  readonly attackers: Peer[] = [];
  /** Messages that came back whole. */
  echoes = 0;
  readonly #scratch = new Uint8Array(4096);

  constructor(config: EngineConfig = {}) {
    this.lab = new Lab({
      config: { connectionsMax: 2048, extrasMax: 2048, hashBuckets: 2048, rxSlots: 256, ...config },
    });
    this.net = new Net(this.lab);
    this.listener = this.lab.engine.listen([0, 0, 0, 0], 80, 1024);
    this.good = this.net.peer({ port: 7, to: 80, wscale: 0, timestamps: true }).open(this.listener);
  }

  attack(count: number, mss: number): void {
    for (let at = 0; at < count; at++) {
      const options = { port: 2000 + at, to: 80, mss, wscale: 7 };
      this.attackers.push(this.net.peer(options).open(this.listener));
    }
  }

  /** One message there and back; 1 ms passes. @returns false when it did not come back at once */
  echo(): boolean {
    const { lab, good } = this;
    const before = good.received;
    good.data(MESSAGE);
    lab.poll(500);
    const got = lab.engine.read(good.handle, this.#scratch, 0, MESSAGE.length);
    if (got > 0) lab.engine.write(good.handle, this.#scratch, 0, got);
    lab.poll(500);
    good.send(ACK);
    lab.poll();
    const back = got === MESSAGE.length && good.received - before === MESSAGE.length;
    if (back) this.echoes++;
    // What was not taken is sent again, as any TCP would.
    else good.sndNxt = (good.last?.ack ?? good.sndNxt) >>> 0;
    return back;
  }

  /** Records that the engine looked at for the last ACK. */
  visited(): number {
    return this.lab.engine.words[VISITED_AT] as number;
  }

  /** Everyone goes; nothing may stay. */
  finish(): void {
    const { lab } = this;
    for (const peer of [...this.attackers, this.good]) {
      lab.engine.abort(peer.handle);
      lab.poll();
    }
    lab.engine.listenerClose(this.listener);
    lab.drainEvents();
    lab.run(200e6);
    lab.assertBaseline('after the attack');
  }
}

/** The next byte of each attacker, with a hole before it. */
export function everySecondByte(scene: Scene, round: number): void {
  for (const peer of scene.attackers) {
    peer.send(ACK, { seq: peer.sndNxt + 1 + round * 2, payload: ONE });
  }
  scene.lab.poll();
}

/** Something to send for each attacker. */
export function feed(scene: Scene, bytes: number): void {
  const piece = new Uint8Array(bytes);
  for (const peer of scene.attackers) {
    scene.lab.engine.write(peer.handle, piece, 0, bytes);
    scene.lab.poll();
  }
}

/** Each attacker SACKs three more pieces, each beside one that it does not have. */
export function sackPieces(scene: Scene, round: number, mss: number): number {
  let most = 0;
  for (const peer of scene.attackers) {
    const start = peer.rcvNxt - peer.received;
    const blocks: [number, number][] = [0, 1, 2, 3].map((at) => {
      const from = start + ((round * 4 + at) * 2 + 1) * mss;
      return [from >>> 0, (from + mss) >>> 0];
    });
    peer.send(ACK, { ack: start >>> 0, sack: blocks });
    scene.lab.poll();
    most = Math.max(most, scene.visited());
  }
  return most;
}

export type Sweep = 'RST' | 'SYN' | 'data' | 'closed window';

/**
 * A stranger's packets over the whole sequence space in steps of the window, `between` called every
 * thousand of them. It knows addresses and ports; what it says of ACKs is a guess.
 */
export function sweep(
  scene: Scene, kind: Sweep, window: number, guess: number, between: () => void,
): number {
  const steps = Math.ceil(2 ** 32 / window);
  const flags = { 'RST': RST, 'SYN': SYN, 'data': ACK, 'closed window': ACK }[kind];
  for (let step = 0; step < steps; step++) {
    scene.lab.send({
      from: THEIRS, to: scene.good.to, sourcePort: 7, destinationPort: 80, flags,
      seq: (guess + step * window) >>> 0, ack: guess >>> 0,
      window: kind === 'closed window' ? 0 : 65_535,
      ...(kind === 'data' ? { payload: ONE } : {}),
    });
    if (step % 1000 === 999) between();
  }
  scene.lab.poll();
  assert.ok(steps > 0);
  return steps;
}
