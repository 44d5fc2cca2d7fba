/**
 * The link emulator in virtual time: delay, rate and queue are what was asked for, also when its
 * alarms are late; which packets are lost follows from the seed and their number alone, so that
 * `ackorn bench paths` harms two kernels as it harms a kernel and us.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALL_CELLS, formatCell, linkOf, parseCells } from '../../host/node/bench/cells.js';
import { Bridge } from '../../host/node/bench/bridge.js';
import { parseImpair } from '../../host/node/board/impair.js';
import { ImpairedLink } from '../../host/node/link/impaired.js';
import { RingMemory } from './fixtures/ring-memory.js';
import { numbered, VirtualClock, VirtualDevice, type Sent } from './fixtures/virtual-device.js';

const MTU = 1500;
const SHAPE = { rateBps: 100e6, queueBdp: 1 };
/** The emulator gathers what is due within this, µs. */
const GRAIN_US = 200;

interface Emulator {
  clock: VirtualClock;
  left: VirtualDevice;
  right: VirtualDevice;
  link: ImpairedLink;
}

/** Two devices with the emulator between them, as between two kernels. */
function bridged(impair: string, lateUs = 0): Emulator {
  const clock = new VirtualClock(lateUs);
  const left = new VirtualDevice('left', clock);
  const right = new VirtualDevice('right', clock);
  const link = new ImpairedLink(left, parseImpair(impair), undefined, clock);
  new Bridge(link, right);
  return { clock, left, right, link };
}

const run = (from: number, count: number, length = MTU): Uint8Array[] =>
  Array.from({ length: count }, (_, at) => numbered(from + at, length));

const indices = (sent: readonly Sent[]): number[] => sent.map(({ index }) => index);

describe('impaired link · times', () => {
  test('delay · each packet that much later, at most the grain more, both ways', () => {
    const { clock, left, right, link } = bridged('delay=30ms');
    for (let at = 0; at < 200; at++) {
      clock.pass(at * 777);
      left.arrive([numbered(at, 100)]);
      right.arrive([numbered(at, 100)]);
    }
    clock.pass(1e6);
    for (const sent of [left.sent, right.sent]) {
      assert.deepEqual(indices(sent), Array.from({ length: 200 }, (_, at) => at));
      for (const { index, atUs } of sent) {
        const lateUs = atUs - index * 777 - 30_000;
        assert.ok(lateUs >= 0 && lateUs <= GRAIN_US, `packet ${index}: ${lateUs} µs late`);
      }
    }
    assert.equal(link.punctuality.packets, 400);
    assert.equal(link.punctuality.late, 0);
  });

  test('alarms 3 ms late · the rate is kept, no packet is late twice', () => {
    const { clock, left, right, link } = bridged('rate=100mbit,delay=30ms', 3000);
    left.arrive(run(0, 500));
    clock.pass(1e6);
    assert.equal(right.sent.length, 500);
    for (const { index, atUs } of right.sent) {
      const dueUs = (index + 1) * 120 + 30_000;
      const lateUs = atUs - dueUs;
      assert.ok(lateUs >= 0 && lateUs <= 3000 + GRAIN_US, `packet ${index}: ${lateUs} µs late`);
    }
    assert.ok(link.punctuality.late > 0 && link.punctuality.worstUs <= 3000 + GRAIN_US);
  });
});

describe('impaired link · queue', () => {
  for (const rttMs of [10, 60, 150]) {
    test(`one BDP of ${rttMs} ms at 100 Mbit/s · a burst fills it and no more`, () => {
      const { impair, queueBytes } = linkOf({ lossPercent: 0, rttMs, direction: 'in' }, SHAPE);
      assert.equal(queueBytes, 12_500 * rttMs);
      const { clock, left, right } = bridged(impair);
      left.arrive(run(0, 3000));
      clock.pass(2e6);
      const fits = Math.floor(queueBytes / MTU) + 1; // and the one that is being sent
      assert.deepEqual(indices(right.sent), Array.from({ length: fits }, (_, at) => at));
      const last = right.sent.at(-1)?.atUs ?? 0;
      const emptyUs = fits * 120 + rttMs * 500;
      assert.ok(last >= emptyUs && last <= emptyUs + GRAIN_US);
    });
  }

  test('time passes before a packet enters: what has left makes room', () => {
    const { clock, left, right } = bridged('rate=100mbit,queue=15000', 5000);
    left.arrive(run(0, 11));
    clock.pass(1000); // eight have left, though no alarm has rung
    left.arrive(run(11, 8));
    clock.pass(1e6);
    assert.equal(right.sent.length, 19);
  });

  test('--queue 0.1 · a tenth', () => {
    const cell = { lossPercent: 1, rttMs: 60, direction: 'out' } as const;
    assert.equal(linkOf(cell, { ...SHAPE, queueBdp: 0.1 }).queueBytes, 75_000);
  });
});

/** The packets that crossed, of so many that came at these intervals. */
function crossed(seed: number, gapUs: number, length: number, back: number): number[] {
  const { clock, left, right } = bridged(`loss=3%,delay=5ms,seed=${seed}`);
  for (let at = 0; at < 2000; at++) {
    left.arrive([numbered(at, length)]);
    if (back > 0 && at % back === 0) right.arrive([numbered(at, 40)]);
    clock.pass((at + 1) * gapUs);
  }
  clock.pass(1e7);
  return indices(right.sent);
}

/** The same from a device to an engine's ring, as `up --impair` has it. */
function received(seed: number): number[] {
  const clock = new VirtualClock();
  const device = new VirtualDevice('device', clock);
  const link = new ImpairedLink(device, parseImpair(`loss=3%,delay=5ms,seed=${seed}`), undefined,
    clock);
  const engine = new RingMemory({ rxEntries: 64 });
  const got: number[] = [];
  link.attach(engine.memory, engine.ringAddress, () => {
    link.readBatch(64);
    for (const { bytes } of engine.takeAll()) got.push(bytes.readUInt32BE(0));
  });
  for (let at = 0; at < 2000; at++) {
    device.arrive([numbered(at, 1000)]);
    clock.pass((at + 1) * 333);
  }
  clock.pass(1e7);
  link.close();
  return got;
}

describe('impaired link · loss by number', () => {
  const reference = crossed(7, 120, MTU, 0);

  test('about as many as asked for', () => {
    const lost = 2000 - reference.length;
    assert.ok(lost > 35 && lost < 85, `${lost} of 2000 at 3 %`);
  });
  test('the same packets, however long, whenever they come, whatever goes back', () => {
    assert.deepEqual(crossed(7, 1000, 60, 1), reference);
    assert.deepEqual(crossed(7, 7, 700, 3), reference);
  });
  test('the same packets before an engine as between two devices', () => {
    assert.deepEqual(received(7), reference);
  });
  test('others with another seed, and others on the way back', () => {
    assert.notDeepEqual(crossed(8, 120, MTU, 0), reference);
    const { clock, left, right } = bridged('loss=3%,delay=5ms,seed=7');
    right.arrive(run(0, 2000));
    clock.pass(1e7);
    assert.notDeepEqual(indices(left.sent), reference);
  });
});

describe('bench paths · cells', () => {
  test('four losses, three round trips, two directions', () => {
    assert.equal(new Set(ALL_CELLS.map(formatCell)).size, 24);
  });
  test('by name, one direction or both', () => {
    assert.deepEqual(parseCells('0.1:60:out,3:150').map(formatCell), [
      '0.1 % loss, 60 ms, out', '3 % loss, 150 ms, in', '3 % loss, 150 ms, out',
    ]);
  });
  test('a cell as --impair takes it', () => {
    const { impair } = linkOf({ lossPercent: 0.1, rttMs: 60, direction: 'in' }, SHAPE);
    assert.deepEqual(parseImpair(`${impair},seed=3`), {
      loss: 0.001, rate: 100e6, queueBytes: 750_000, delayUs: 30_000, seed: 3,
    });
  });
});
