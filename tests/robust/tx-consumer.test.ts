/**
 * A consumer of the transmit ring that reads late: descriptors are held for random times, one by
 * one, while connections are closed and aborted, others take their blocks and peers fill the arena.
 * Every byte sent bears its connection's tag, and is looked at only when the consumer reads it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkWord, Option } from '../../assembly/abi.js';
import { Random } from '../../host/sim/random.js';
import { Lab, Net, THEIRS, seeds, type Peer } from './lab.js';
import { ACK, FIN, readTcp, RST, SYN } from './packets.js';

const STEPS = 3000;
const FOREIGN = new Uint8Array(1400).fill(0xee);

class Consumer {
  readonly lab: Lab;
  readonly net: Net;
  readonly random: Random;
  readonly listener: { index: number; generation: number };
  peers: Peer[] = [];
  /** Payload bytes read, and those read after their connection was gone. */
  bytes = 0;
  late = 0;
  #port = 1000;
  readonly #gone = new Set<number>();
  readonly #out = new Uint8Array(66_000);

  constructor(readonly seed: number) {
    this.random = new Random(seed);
    this.lab = new Lab({
      config: {
        arenaBytes: 128 * 1024, txSlots: 256, timeWaitMax: 128, tcp_init_cwnd: 20,
        arenaBlockShift: this.random.pick([7, 9]),
      },
    });
    this.net = new Net(this.lab);
    this.listener = this.lab.engine.listen([0, 0, 0, 0], 80, 64);
    this.lab.holdTx = true;
  }

  static tag(port: number): number {
    return (port * 37) & 0x7f; // never that of FOREIGN
  }

  /** Reads and returns the oldest descriptors: what they name must be as it was. */
  take(count: number): void {
    const { ring } = this.lab;
    for (let at = 0; at < count && ring.txReady() > 0; at++) {
      const length = ring.txCopy(this.#out, 0);
      ring.txReturn(1);
      const packet = readTcp(this.#out, length);
      if (packet === undefined) continue;
      const tag = Consumer.tag(packet.destinationPort);
      for (const byte of packet.payload) {
        assert.equal(byte, tag, `seed ${this.seed}: a byte that is not this connection's`);
      }
      this.bytes += packet.payload.length;
      if (this.#gone.has(packet.destinationPort)) this.late += packet.payload.length;
      this.lab.onPacket(packet);
    }
  }

  open(): void {
    const { lab } = this;
    const port = this.#port++;
    const peer = this.net.peer({ port, to: 80, from: THEIRS });
    peer.syn();
    lab.poll();
    this.take(1000);
    if (peer.last === undefined || (peer.last.flags & SYN) === 0) return;
    peer.sndNxt++;
    peer.send(ACK);
    lab.poll();
    const handle = lab.engine.accept(this.listener);
    if (handle === undefined) return;
    peer.handle = handle;
    this.peers.push(peer);
    if (this.random.below(2) === 0) lab.engine.setOption(handle, Option.SO_SNDBUF, 32_768);
  }

  step(): void {
    const { lab, random } = this;
    if (this.peers.length < 6 && random.below(3) === 0) this.open();
    if (this.peers.length === 0) return;
    const peer = random.pick(this.peers);
    const { port } = peer.options;
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2: {
        const bytes = new Uint8Array(1 + random.below(20_000)).fill(Consumer.tag(port));
        lab.engine.write(peer.handle, bytes, 0, bytes.length);
        break;
      }
      case 3:
      case 4: peer.send(ACK); break;
      case 5: peer.data(FOREIGN.subarray(0, 1 + random.below(1400))); break;
      case 6: lab.engine.discard(peer.handle); break;
      case 7: {
        const seq = peer.sndNxt + 1400 + random.below(8000);
        peer.send(ACK, { seq, payload: FOREIGN });
        break;
      }
      case 8: if (random.below(3) === 0) this.end(peer); break;
      case 9: this.take(random.below(12)); break;
      case 10: lab.poll(random.pick([100, 1000, 250_000])); break;
      default: lab.poll();
    }
  }

  end(peer: Peer): void {
    const { lab, random } = this;
    const kind = random.below(4);
    if (kind === 0) peer.send(RST);
    if (kind === 1) peer.send(ACK | FIN);
    lab.poll();
    if (kind < 3) lab.engine.abort(peer.handle);
    else lab.engine.close(peer.handle);
    this.#gone.add(peer.options.port);
    this.peers.splice(this.peers.indexOf(peer), 1);
  }

  finish(): void {
    const { lab } = this;
    for (const peer of this.peers) lab.engine.abort(peer.handle);
    lab.engine.listenerClose(this.listener);
    lab.drainEvents();
    lab.holdTx = false;
    for (let at = 0; at < 400; at++) {
      this.take(1000);
      lab.poll(1e6);
    }
    lab.assertBaseline(`seed ${this.seed}`);
  }
}

test('a late consumer · close, abort and reuse while descriptors are out · bytes stay', () => {
  let bytes = 0;
  let late = 0;
  for (const seed of seeds(40)) {
    const consumer = new Consumer(seed);
    for (let step = 0; step < STEPS; step++) consumer.step();
    consumer.finish();
    bytes += consumer.bytes;
    late += consumer.late;
  }
  assert.ok(bytes > 1e4 && late > 1e3, `${bytes} bytes, ${late} of them late`);
});

test('a consumer that returns nothing · the ring fills and defers · all leaves afterwards', () => {
  const lab = new Lab({ config: { txSlots: 4 } });
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
  const peer = net.peer({ port: 5000, to: 80 }).open(listener);
  lab.holdTx = true;
  lab.engine.write(peer.handle, new Uint8Array(14_600), 0, 14_600);
  for (let at = 0; at < 20; at++) lab.poll(1000);
  const head = lab.engine.words[(lab.engine.linkRing(lab.link) >>> 2) + LinkWord.txHead] as number;
  assert.equal(lab.ring.txReady(), 4);
  assert.ok(head > 0);
  lab.holdTx = false;
  // A host polls again when it has returned descriptors of a ring that was full.
  for (let at = 0; at < 4; at++) lab.poll();
  assert.equal(peer.received, 14_600);
  assert.equal(lab.counter('TcpRetransSegs'), 0, 'deferred is not dropped');
});
