/**
 * Scripts drawn from seeds against small models: what a receiver must answer to any order, overlap
 * and repetition of segments, and what a sender may do towards a receiver that loses, delays, SACKs
 * and moves its window. RFC 9293 §3.8, RFC 2018, RFC 2883. The seed stands in the message.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Option } from '../../assembly/abi.js';
import { Random } from '../support/frames.js';
import { Bench, type Socket } from './harness.js';
import type { Peer, PeerSetup } from './peer.js';
import type { Seen } from './segment.js';

const SEEDS = 60;

/** Which octets have come: what a receiver's ACK and blocks must agree with. */
class Received {
  readonly #bytes: Uint8Array;
  edge = 1;

  constructor(length: number) {
    this.#bytes = new Uint8Array(length + 2);
  }

  add(from: number, to: number): void {
    this.#bytes.fill(1, from, to);
    while (this.#bytes[this.edge] === 1) this.edge++;
  }

  has(from: number, to: number): boolean {
    return this.#bytes.subarray(from, to).every((byte) => byte === 1);
  }

  /** Blocks above the edge, lowest first. */
  blocks(): [number, number][] {
    const all: [number, number][] = [];
    let start = -1;
    for (let at = this.edge; at < this.#bytes.length; at++) {
      if (this.#bytes[at] === 1 && start < 0) start = at;
      if (this.#bytes[at] !== 1 && start >= 0) {
        all.push([start, at]);
        start = -1;
      }
    }
    return all;
  }
}

function sackBlocks(s: Seen, isn: number): [number, number][] {
  const option = s.tcp.options.find(({ name }) => name === 'sack');
  return (option?.blocks ?? []).map(([a, b]) => [(a - isn) >> 0, (b - isn) >> 0]);
}

/** One ACK of the engine's against the model; `last` is the segment that it answers. */
function checkAck(s: Seen, peer: Peer, model: Received, last: [number, number]): void {
  assert.equal((s.tcp.ack - peer.isn) >> 0, model.edge, 'acknowledges exactly what is in order');
  const blocks = sackBlocks(s, peer.isn);
  const [first, second] = blocks;
  const duplicate = first !== undefined && (first[0] < model.edge
    || (second !== undefined && first[0] >= second[0] && first[1] <= second[1]));
  for (const [from, to] of blocks) {
    assert.ok(from < to && model.has(from, to), `block ${from}:${to} has come`);
  }
  const plain = duplicate ? blocks.slice(1) : blocks;
  const known = model.blocks();
  for (const [from, to] of plain) {
    assert.ok(known.some(([a, b]) => a === from && b === to), `block ${from}:${to} is whole`);
  }
  if (plain[0] !== undefined && last[1] > model.edge && last[0] > model.edge) {
    assert.ok(plain[0][0] <= last[0] && plain[0][1] >= last[1], 'the newest block is the first');
  }
}

/** A segment of the stream: often the next one, often one that has come before. */
function drawn(random: Random, model: Received, total: number): [number, number] {
  const length = 1 + random.below(1400);
  const where = random.below(10);
  let from = model.edge;
  if (where < 5) from = model.edge + random.below(8000);
  else if (where < 7) from = Math.max(1, model.edge - random.below(3000));
  from = Math.min(from, total);
  return [from, Math.min(from + length, total + 1)];
}

function receive(seed: number, setup: PeerSetup): void {
  const random = new Random(seed);
  const b = new Bench({ family: seed % 2 === 0 ? 4 : 6 });
  const { sock, peer } = b.passive(setup);
  const total = 30_000;
  const model = new Received(total);
  let edge = 65_536;
  while (model.edge <= total) {
    const [from, to] = drawn(random, model, total);
    peer.sends({ flags: '.', seq: from, len: to - from });
    model.add(from, to);
    const acks = peer.drain();
    if (from > model.edge || to <= model.edge - (to - from)) assert.ok(acks.length >= 1);
    for (const s of acks) {
      checkAck(s, peer, model, [from, to]);
      const right = ((s.tcp.ack - peer.isn) >> 0) + (s.tcp.window << sock.info.rcv_wscale);
      assert.ok(right >= edge, `the right edge moved from ${edge} to ${right}`);
      edge = right;
    }
    if (random.below(6) === 0) sock.read(1 + random.below(5000));
    if (random.below(8) === 0) b.run(random.below(60));
    for (const s of peer.drain()) checkAck(s, peer, model, [0, 0]);
  }
  while (sock.consumed < total) assert.ok((sock.read() as number) > 0);
  b.run(100);
  for (const s of peer.drain()) checkAck(s, peer, model, [0, 0]);
  b.finish();
}

const SETUPS: readonly PeerSetup[] = [
  {}, { sack: true }, { sack: true, ts: 77 }, { sack: true, wscale: 7 }, { ts: 77, wscale: 3 },
];

test('random · segments in any order, overlapping, repeated · ACKs, blocks and bytes agree', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      receive(seed, SETUPS[seed % SETUPS.length] as PeerSetup);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
});

// ---- The sender

interface Receiver {
  readonly model: Received;
  window: number;
  /** Highest right edge ever told. */
  edge: number;
  highest: number;
}

/** What the engine has sent: inside the window, right bytes, and taken or lost by the dice. */
function take(all: Seen[], peer: Peer, r: Receiver, random: Random, loss: number): number {
  let taken = 0;
  for (const s of all) {
    const from = (s.tcp.seq - (peer.engineIsn ?? 0)) >> 0;
    const to = from + s.data.length;
    if (s.data.length === 0) continue;
    assert.ok(to <= r.edge, `octet ${to} beyond the edge ${r.edge}`);
    assert.ok(s.data.every((byte, i) => byte === ((((from - 1 + i) * 7
      + ((from - 1 + i) >>> 8) * 13) & 255))), 'the right octets');
    if (to > r.highest) r.highest = to;
    if (random.below(100) < loss) continue;
    r.model.add(from, to);
    taken++;
  }
  return taken;
}

function acknowledge(peer: Peer, r: Receiver, random: Random, sack: boolean): void {
  const draw = random.below(10);
  if (draw === 0) r.window = 0;
  else if (draw < 3) r.window = 500 + random.below(4000);
  else r.window = 30_000;
  const held = Math.max(0, r.edge - r.model.edge);
  const window = Math.max(r.window, Math.min(held, 65_535)); // never takes anything back
  r.edge = Math.max(r.edge, r.model.edge + window);
  const blocks = r.model.blocks().slice(-3).reverse();
  peer.sends({ flags: '.', ack: r.model.edge, win: window, ...(sack ? { sack: blocks } : {}) });
}

function send(seed: number, sack: boolean, loss: number): void {
  const random = new Random(seed);
  const b = new Bench({ family: seed % 2 === 0 ? 4 : 6 });
  const { sock, peer } = b.passive({ sack, mss: 1000, win: 20_000,
    options: [[Option.SO_SNDBUF, 100_000]] });
  const total = 60_000;
  const model = new Received(total);
  const r: Receiver = { model, window: 20_000, edge: 20_001, highest: 1 };
  const start = b.nowUs;
  fill(sock, total);
  for (let step = 0; model.edge <= total; step++) {
    assert.ok(step < 20_000 && b.nowUs - start < 3600e6, `stuck at ${model.edge} after an hour`);
    b.runUntil(b.nowUs + 130e6, () => peer.queue.length > 0);
    b.run(random.below(20));
    const got = peer.drain();
    const taken = take(got, peer, r, random, loss);
    const probed = got.some(({ data }) => data.length === 0);
    if (taken > 0 || probed || random.below(3) === 0) acknowledge(peer, r, random, sack);
    fill(sock, total);
  }
  peer.sends({ flags: '.', ack: total + 1, win: 30_000 });
  peer.drain();
  assert.equal(sock.info.unacked, 0);
  assert.equal(sock.info.outq, 0);
  assert.equal(sock.info.sacked + sock.info.lost + sock.info.retrans, 0);
  b.finish();
}

function fill(sock: Socket, total: number): void {
  if (sock.written < total) sock.write(total - sock.written);
}

for (const [name, sack, loss] of [
  ['no loss', true, 0], ['SACK, 5 % loss', true, 5], ['SACK, 30 % loss', true, 30],
  ['no SACK, 5 % loss', false, 5], ['no SACK, 30 % loss', false, 30],
] as const) {
  test(`random · receiver with moving windows, ${name} · all arrives, none beyond it`, () => {
    for (let seed = 1; seed <= SEEDS / 2; seed++) {
      try {
        send(seed, sack, loss);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}
