/**
 * Many connections at once: a million fresh ones, and a hundred thousand that carried data, went
 * quiet and answer again. The far ends keep no state: what they send follows from what they hear.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import type { Handle } from '../../host/core/engine.js';
import { Lab, OURS, times } from './lab.js';
import { ACK, RST, SYN, type Parsed } from './packets.js';

const PORTS_EACH = 50_000;
const HELLO = new Uint8Array(100).map((_, at) => at);

/** One of many far ends: by number, spread over addresses, ports of ours and ports of theirs. */
interface Far {
  from: AddressWords;
  sourcePort: number;
  destinationPort: number;
}

class Crowd {
  readonly lab: Lab;
  readonly listeners: Handle[];
  /** Sequence numbers by number of the far end: theirs to send, ours expected. */
  readonly seq: Uint32Array;
  readonly ack: Uint32Array;
  /** Payload bytes that came back. */
  answered = 0;
  resets = 0;
  readonly #scratch = new Uint8Array(1000);

  constructor(readonly count: number, readonly ports: number, config: EngineConfig) {
    this.lab = new Lab({
      config: {
        connectionsMax: count, synRequestsMax: 1024, timeWaitMax: 16, extrasMax: 1,
        eventSlots: 1024, hashBuckets: 2 ** Math.ceil(Math.log2(count)), rxSlots: 256, txSlots: 256,
        arenaBytes: 1 << 20, ...config,
      },
      addresses: ['10.0.0.1/8'],
    });
    this.seq = new Uint32Array(count);
    this.ack = new Uint32Array(count);
    this.listeners = Array.from({ length: ports }, (_, at) =>
      this.lab.engine.listen([0, 0, 0, 0], 80 + at, 4096));
    this.lab.onPacket = (packet) => this.#hear(packet);
  }

  far(number: number): Far {
    const address = Math.floor(number / PORTS_EACH);
    return {
      from: [0, 0, 0xffff, 0x0a010000 + address + 1], sourcePort: 1024 + (number % PORTS_EACH),
      destinationPort: 80 + (number % this.ports),
    };
  }

  #number(packet: Parsed): number {
    return (packet.to[3] - 0x0a010001) * PORTS_EACH + packet.destinationPort - 1024;
  }

  #hear(packet: Parsed): void {
    const number = this.#number(packet);
    if ((packet.flags & RST) !== 0) this.resets++;
    if ((packet.flags & SYN) !== 0) {
      this.ack[number] = packet.seq + 1;
      this.seq[number] = packet.ack;
      this.say(number, ACK);
    } else if (packet.payload.length > 0) {
      this.ack[number] = packet.seq + packet.payload.length;
      this.answered += packet.payload.length;
      this.say(number, ACK);
    }
  }

  say(number: number, flags: number, payload?: Uint8Array): void {
    this.lab.send({
      ...this.far(number), to: OURS, flags, seq: this.seq[number] as number,
      ack: this.ack[number] as number, ...(payload === undefined ? {} : { payload }),
    });
    this.seq[number] = (this.seq[number] as number) + (payload?.length ?? 0);
  }

  /** All handshakes; the handles in the order of acceptance. */
  open(): Handle[] {
    const handles: Handle[] = [];
    for (let number = 0; number < this.count; number++) {
      this.seq[number] = number * 977;
      this.say(number, SYN);
      if (number % 64 === 63 || number === this.count - 1) {
        this.lab.poll(10);
        this.lab.poll();
        for (const listener of this.listeners) {
          for (;;) {
            const handle = this.lab.engine.accept(listener);
            if (handle === undefined) break;
            handles.push(handle);
          }
        }
        this.lab.drainEvents();
      }
    }
    return handles;
  }

  /** Each far end says something, and whoever has heard something says it back. */
  exchange(): void {
    const { lab } = this;
    for (let number = 0; number < this.count; number++) {
      this.say(number, ACK, HELLO);
      if (number % 64 !== 63 && number !== this.count - 1) continue;
      lab.poll(1000);
      lab.engine.events((_kind, index, generation) => {
        const handle = { index, generation };
        const got = lab.engine.read(handle, this.#scratch, 0, this.#scratch.length);
        if (got > 0) lab.engine.write(handle, this.#scratch, 0, got);
      });
      lab.poll(1000);
    }
    lab.poll(1000);
  }
}

test('a million fresh connections · made, counted, found · the longest chain is short', (t) => {
  const count = times(1_000_000, 'SEEDS');
  const crowd = new Crowd(count, 4, {});
  const { engine } = crowd.lab;
  const handles = crowd.open();
  assert.equal(handles.length, count);
  assert.equal(engine.pool('connections').used, count);
  assert.equal(crowd.resets, 0);
  const longest = engine.hashLongest();
  t.diagnostic(`longest chain ${longest} of ${count} records in ${engine.bytes.length} bytes`);
  assert.ok(longest <= 16, `a chain of ${longest}`);
  // Any of them is found and answers: an old segment is acknowledged.
  for (let number = 0; number < count; number += 9973) {
    let heard = 0;
    const { onPacket } = crowd.lab;
    crowd.lab.onPacket = () => heard++;
    crowd.lab.send({
      ...crowd.far(number), to: OURS, flags: ACK, seq: (crowd.seq[number] as number) - 1,
      ack: crowd.ack[number] as number, payload: HELLO.subarray(0, 1),
    });
    crowd.lab.poll(1000);
    crowd.lab.onPacket = onPacket;
    assert.equal(heard, 1, `number ${number}`);
  }
  assert.ok(engine.bytes.length < 256 * count, `${engine.bytes.length} bytes of memory`);
});

test('100,000 connections that carried data and went quiet · each still answers', (t) => {
  const count = times(100_000, 'SEEDS');
  const crowd = new Crowd(count, 5, { extrasMax: count, arenaBytes: 128 << 20 });
  const { engine } = crowd.lab;
  const handles = crowd.open();
  assert.equal(handles.length, count);
  crowd.exchange();
  assert.equal(crowd.answered, count * HELLO.length);
  crowd.lab.run(5e6);
  assert.equal(engine.pool('arena').used, 0, 'quiet ones hold nothing in the arena');
  assert.equal(engine.pool('extras').used, count);
  crowd.lab.poll(3600e6);
  crowd.exchange();
  assert.equal(crowd.answered, 2 * count * HELLO.length);
  for (const handle of [handles[0], handles[count >> 1], handles[count - 1]] as Handle[]) {
    const { bytes_received: received, bytes_acked: acked } = engine.info(handle);
    assert.deepEqual([received, acked], [2 * HELLO.length, 2 * HELLO.length]);
  }
  t.diagnostic(`longest chain ${engine.hashLongest()} of ${count} records`);
  assert.ok(engine.hashLongest() <= 14);
});
