/**
 * The in-process wire: whole super-segments with their virtio_net_hdr, order, full rings, driven
 * by hand and by the event loop, corrupt rings. No privileges, any system.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { execPath } from 'node:process';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  LINK_CSUM,
  LINK_TSO6,
  LINK_UP,
  LINK_VNET_HDR,
  LinkWord,
  RX_ADDRESS,
  RX_CAPACITY,
  RX_TRUNCATED,
  TX_PIECES,
  TX_PIECE_COUNT,
} from '../../assembly/abi.js';
import { NativeError } from '../../host/node/addon/errors.js';
import { createWire } from '../../host/node/link/wire.js';
import type { WireEnd, WireOptions } from '../../host/node/link/wire.js';
import { plainEnvironment } from './fixtures/namespace.js';
import { vnetHeader } from './fixtures/packets.js';
import { RingMemory } from './fixtures/ring-memory.js';
import type { RingMemoryOptions } from './fixtures/ring-memory.js';

interface Side {
  readonly end: WireEnd;
  readonly rings: RingMemory;
  wakes: number;
  onWake: () => void;
}

/** A wire with a ring memory at each end. */
function sides(options: WireOptions, left: RingMemoryOptions = {}, right = left): [Side, Side] {
  const wire = createWire(options);
  const make = (end: WireEnd, layout: RingMemoryOptions): Side => {
    const rings = new RingMemory({ flags: end.flags, ...layout });
    const side: Side = { end, rings, wakes: 0, onWake: () => undefined };
    end.attach(rings.memory, rings.ringAddress, () => {
      side.wakes++;
      side.onWake();
    });
    return side;
  };
  return [make(wire.a, left), make(wire.b, right)];
}

const numbered = (index: number): Buffer => Buffer.from(`frame ${index}`);
const texts = (side: Side): string[] => side.rings.takeAll().map(({ bytes }) => `${bytes}`);
const isFault = (error: unknown): boolean =>
  error instanceof NativeError && error.code === 'EFAULT';

test('wire · flags and names', () => {
  const { a, b } = createWire({ names: ['left', 'right'], mtu: 9000 });
  assert.deepEqual([a.name, b.name, a.mtu, b.mtu], ['left', 'right', 9000, 9000]);
  const offloads = LINK_UP | LINK_VNET_HDR | LINK_CSUM | LINK_TSO6;
  assert.equal(a.flags & offloads, offloads);
  assert.equal(createWire({ offload: false }).a.flags, LINK_UP);
});

test('wire, by hand · a super-segment of several pieces crosses whole', () => {
  const [a, b] = sides({ drive: 'manual' }, { rxCapacity: 66_000, txFrameBytes: 66_000 });
  const bytes = Buffer.from(Array.from({ length: 65_000 }, (_, at) => (at * 11) & 255));
  const vnet = vnetHeader(1, 1, 40, 1460, 20, 16);
  a.rings.send([bytes.subarray(0, 40), bytes.subarray(40, 30_001), bytes.subarray(30_001)], vnet);
  assert.equal(a.end.writeBatch(), 1);
  assert.equal(a.rings.get(LinkWord.txTail), 1);
  assert.equal(b.end.readBatch(64), 1);
  const frame = b.rings.take();
  assert.deepEqual(frame?.bytes, bytes);
  assert.deepEqual(frame?.vnet, vnet);
  assert.equal(frame?.flags, 0);
  assert.equal(b.end.readBatch(64), 0);
});

test('wire, by hand · without offload the ten bytes are zero', () => {
  const [a, b] = sides({ drive: 'manual', offload: false });
  b.rings.bytes.fill(0xaa, b.rings.layout.rxFrames, b.rings.layout.txFrames);
  a.rings.send([numbered(0)], Buffer.alloc(10, 0x55));
  a.end.writeBatch();
  assert.deepEqual(b.rings.take()?.vnet, Buffer.alloc(10));
});

test('wire, by hand · readBatch alone fetches, and at most max', () => {
  const [a, b] = sides({ drive: 'manual' });
  for (let index = 0; index < 5; index++) a.rings.send([numbered(index)]);
  assert.equal(b.end.readBatch(2), 2);
  assert.deepEqual(texts(b), ['frame 0', 'frame 1']);
  assert.equal(b.end.readBatch(64), 3);
  assert.deepEqual(texts(b), ['frame 2', 'frame 3', 'frame 4']);
});

test('wire, by hand · a full RX ring leaves frames in the TX ring, in order', () => {
  const [a, b] = sides({ drive: 'manual' }, { rxEntries: 4, txSlots: 16 });
  for (const side of [a, b]) {
    // Indices wrap at 2³² on the way.
    for (const word of [LinkWord.rxHead, LinkWord.rxTail, LinkWord.txHead, LinkWord.txTail]) {
      side.rings.set(word, 0xfffffffc);
    }
  }
  for (let index = 0; index < 10; index++) a.rings.send([numbered(index)]);
  assert.equal(a.end.writeBatch(), 4);
  assert.equal(a.end.writeBatch(), 0);
  assert.equal(a.rings.get(LinkWord.txTail), 0);
  const seen: string[] = [];
  for (const expected of [4, 4, 2, 0]) {
    assert.equal(b.end.readBatch(64), expected);
    seen.push(...texts(b));
  }
  assert.deepEqual(seen, Array.from({ length: 10 }, (_, index) => `frame ${index}`));
  assert.equal(b.rings.get(LinkWord.rxMissed), 0);
});

test('wire, by hand · a frame longer than its entry is cut and marked', () => {
  const [a, b] = sides({ drive: 'manual' }, { rxCapacity: 100 });
  b.rings.bytes.fill(0xaa, b.rings.layout.rxFrames, b.rings.layout.txFrames);
  a.rings.send([Buffer.alloc(60, 'x'), Buffer.alloc(60, 'y'), Buffer.alloc(60, 'z')]);
  a.rings.send([Buffer.alloc(60, 'x'), Buffer.alloc(40, 'y')]);
  assert.equal(a.end.writeBatch(), 2);
  const [cut, exact] = b.rings.takeAll();
  assert.equal(`${cut?.bytes}`, 'x'.repeat(60) + 'y'.repeat(40));
  assert.deepEqual([cut?.flags, exact?.flags], [RX_TRUNCATED, 0]);
  const after = b.rings.view.getUint32(b.rings.rxEntryAt(0) + RX_ADDRESS, true) + 100;
  assert.deepEqual(b.rings.bytes.subarray(after, after + 16), Buffer.alloc(16, 0xaa));
});

test('wire · memory that grows is seen anew', () => {
  const [a, b] = sides({ drive: 'manual' });
  a.rings.memory.grow(1);
  b.rings.memory.grow(1);
  a.rings.send([numbered(1)]);
  assert.equal(a.end.writeBatch(), 1);
  assert.deepEqual(texts(b), ['frame 1']);
});

test('wire, event loop · one wake-up a turn for all frames, none when idle', async () => {
  const [a, b] = sides({}, { txSlots: 16, rxEntries: 16 });
  await turn();
  await turn();
  const before = [a.wakes, b.wakes];
  for (let index = 0; index < 9; index++) {
    a.rings.send([numbered(index)]);
    a.end.writeBatch();
  }
  assert.deepEqual([a.wakes, b.wakes], before, 'never from within a call');
  await turn();
  await turn();
  assert.deepEqual([a.wakes, b.wakes], [before[0], before[1]! + 1]);
  assert.equal(b.end.readBatch(64), 9);
  for (let idle = 0; idle < 5; idle++) await turn();
  assert.deepEqual([a.wakes, b.wakes], [before[0], before[1]! + 1]);
});

test('wire, event loop · ten thousand frames through rings of four, both ways', async () => {
  const [a, b] = sides({}, { rxEntries: 4, txSlots: 8 });
  const most = 10_000;
  const run = async (side: Side): Promise<string[]> => {
    let sent = 0;
    const got: string[] = [];
    return new Promise((done) => {
      side.onWake = () => {
        side.end.readBatch(64);
        got.push(...texts(side));
        const pending = () => side.rings.get(LinkWord.txHead) - side.rings.get(LinkWord.txTail);
        while (sent < most && pending() < 8) side.rings.send([numbered(sent++)]);
        side.end.writeBatch();
        if (got.length === most) done(got);
      };
    });
  };
  const expected = Array.from({ length: most }, (_, index) => `frame ${index}`);
  const [left, right] = await Promise.all([run(a), run(b)]);
  assert.deepEqual(left, expected);
  assert.deepEqual(right, expected);
});

test('wire, event loop · what was sent before the other end attached arrives', async () => {
  const wire = createWire();
  const [left, right] = [new RingMemory(), new RingMemory()];
  wire.a.attach(left.memory, left.ringAddress, () => undefined);
  left.send([numbered(7)]);
  assert.equal(wire.a.writeBatch(), 0);
  const woken = new Promise<number>((done) => {
    wire.b.attach(right.memory, right.ringAddress, () => done(wire.b.readBatch(64)));
  });
  assert.equal(await woken, 1);
  assert.equal(`${right.take()?.bytes}`, 'frame 7');
});

test('wire · closed at one end, silent at both', async () => {
  const [a, b] = sides({});
  await turn();
  a.rings.send([numbered(1)]);
  a.end.writeBatch();
  const before = b.wakes;
  b.end.close();
  b.end.close();
  await turn();
  await turn();
  assert.equal(b.wakes, before);
  a.rings.send([numbered(2)]);
  assert.equal(a.end.writeBatch(), 0);
  const { memory, ringAddress } = b.rings;
  assert.throws(() => b.end.attach(memory, ringAddress, () => undefined), /closed/);
});

const CORRUPTIONS: Readonly<Record<string, (from: RingMemory, to: RingMemory) => void>> = {
  'piece outside': (from) =>
    from.view.setUint32(from.txSlotAt(0) + TX_PIECES, from.memory.buffer.byteLength - 2, true),
  'length wraps': (from) => from.view.setUint32(from.txSlotAt(0) + TX_PIECES + 4, 0xffffffff, true),
  'no room for the header': (from) => from.view.setUint32(from.txSlotAt(0) + TX_PIECES, 3, true),
  'no pieces': (from) => from.view.setUint32(from.txSlotAt(0) + TX_PIECE_COUNT, 0, true),
  'tx indices apart': (from) => from.set(LinkWord.txHead, 4096),
  'tx table outside': (from) => from.set(LinkWord.txSlots, 0xfffffff0),
  'tx mask too large': (from) => from.set(LinkWord.txMask, 0xffffffff),
  'rx frame outside': (_, to) =>
    to.view.setUint32(to.rxEntryAt(0) + RX_ADDRESS, to.memory.buffer.byteLength, true),
  'rx frame at zero': (_, to) => to.view.setUint32(to.rxEntryAt(0) + RX_ADDRESS, 0, true),
  'rx capacity wraps': (_, to) =>
    to.view.setUint32(to.rxEntryAt(0) + RX_CAPACITY, 0xffffffff, true),
  'rx indices apart': (_, to) => to.set(LinkWord.rxTail, 77),
  'rx table unaligned': (_, to) => to.set(LinkWord.rxDescriptors, 130),
};

for (const [name, spoil] of Object.entries(CORRUPTIONS)) {
  test(`wire · corrupt ring · ${name} · refused, nothing touched`, () => {
    const [a, b] = sides({ drive: 'manual' });
    a.rings.send([numbered(0)]);
    spoil(a.rings, b.rings);
    const before = [Buffer.from(a.rings.bytes), Buffer.from(b.rings.bytes)];
    assert.throws(() => a.end.writeBatch(), isFault);
    assert.deepEqual([a.rings.bytes, b.rings.bytes], before);
  });
}

test('wire · an idle wire lets the process end', () => {
  const wire = new URL('../../host/node/link/wire.js', import.meta.url).href;
  const rings = new URL('./fixtures/ring-memory.js', import.meta.url).href;
  const code = `
    import { createWire } from '${wire}';
    import { RingMemory } from '${rings}';
    const { a, b } = createWire();
    for (const end of [a, b]) {
      const ring = new RingMemory();
      end.attach(ring.memory, ring.ringAddress, () => end.readBatch(8));
    }
  `;
  const run = spawnSync(execPath, ['--input-type=module', '-e', code], {
    env: plainEnvironment(),
    timeout: 10_000,
  });
  assert.equal(run.status, 0);
});
