/**
 * Captures and pcapng without any other program: what is written is read back, slow readers lose
 * packets and are told how many, and no bytes make the reader throw.
 * draft-ietf-opsawg-pcapng §3–4.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Writable } from 'node:stream';
import {
  Capture, enhancedPacket, interfaceDescription, LINKTYPE_ETHERNET, LINKTYPE_RAW, PacketQueue,
  PcapngReader, PcapngSink, readPcapng, sectionHeader, type PcapngPacket, type PcapngRecord,
} from '../../host/node/capture/index.js';
import { Random, tcpFrame } from '../support/frames.js';
import { superSegment } from '../support/offloaded.js';

const FRAME = tcpFrame({ from: '10.0.0.1', to: '10.0.0.2', sourcePort: 1, destinationPort: 2 });

/** A stream that keeps what it gets; while `held` it takes nothing. */
class Sink extends Writable {
  readonly chunks: Uint8Array[] = [];
  held = false;
  private release: (() => void) | undefined;

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    if (this.held) this.release = done;
    else done();
  }

  free(): void {
    this.held = false;
    this.release?.();
  }

  records(): PcapngRecord[] {
    return readPcapng(Buffer.concat(this.chunks));
  }
}

const packetsOf = (records: PcapngRecord[]): PcapngPacket[] => records.filter(
  (record): record is PcapngPacket => record.type === 'packet',
);

async function finished(stream: Writable): Promise<void> {
  if (!stream.writableFinished) await new Promise((resolve) => stream.once('finish', resolve));
}

describe('pcapng', () => {
  test('written and read back · times, direction, comment, ids, link type', async () => {
    const out = new Sink();
    const capture = new Capture({ link: 'ethernet' });
    capture.add(new PcapngSink(out, { link: 'ethernet', name: 'tap7', description: 'a wire' }));
    const start = 1_700_000_000_123_456n;
    capture.packet({ timeUs: start, direction: 'in', bytes: FRAME, comment: 'dropped: loss' });
    capture.packet({ timeUs: Number(start) + 7, direction: 'out', bytes: [FRAME, FRAME] });
    capture.close();
    await finished(out);
    const records = out.records();
    assert.deepEqual(records[0], { type: 'section', application: 'ackorn' });
    assert.ok(records[1]?.type === 'interface');
    assert.deepEqual({ ...records[1].interface }, {
      linkType: LINKTYPE_ETHERNET, snaplen: 262144, name: 'tap7', description: 'a wire',
    });
    const [first, second] = packetsOf(records);
    assert.deepEqual([first?.timeUs, second?.timeUs], [start, start + 7n]);
    assert.deepEqual([first?.direction, second?.direction], ['in', 'out']);
    assert.deepEqual([first?.comment, second?.comment], ['dropped: loss', undefined]);
    assert.deepEqual([first?.packetId, second?.packetId], [1n, 2n]);
    assert.equal(second?.data.length, 2 * FRAME.length);
    assert.deepEqual(records.at(-1), {
      type: 'statistics', interfaceId: 0, timeUs: start + 7n, received: 2n, dropped: 0n,
    });
  });

  test('snaplen · data cut, the length on the wire kept', async () => {
    const out = new Sink();
    const capture = new Capture();
    capture.add(new PcapngSink(out, { snaplen: 24 }));
    capture.packet({ timeUs: 1, direction: 'in', bytes: FRAME });
    capture.close();
    await finished(out);
    const [packet] = packetsOf(out.records());
    assert.deepEqual([packet?.data.length, packet?.wireLength], [24, FRAME.length]);
  });

  test('chunks of any size give the same records', () => {
    const file = Buffer.concat([sectionHeader('x'),
      interfaceDescription({ linkType: LINKTYPE_RAW, name: 'a' }),
      ...[1n, 2n, 3n].map((timeUs) => enhancedPacket({ timeUs, direction: 'in', data: FRAME }))]);
    const whole = readPcapng(file);
    assert.equal(packetsOf(whole).length, 3);
    for (const size of [1, 3, 13, 100]) {
      const reader = new PcapngReader();
      const records: PcapngRecord[] = [];
      for (let at = 0; at < file.length; at += size) {
        records.push(...reader.push(file.subarray(at, at + size)));
      }
      records.push(...reader.end());
      assert.deepEqual(records, whole);
    }
  });

  test('big-endian file with nanoseconds · read', () => {
    const hexes = ['0a0d0d0a0000001c1a2b3c4d00010000ffffffffffffffff0000001c',
      '000000010000001c0065000000040000000900010900000000000000' + '0000001c',
      '000000060000002400000000000000000000272f00000002000000024500000000000024'];
    const file = Buffer.from(hexes.join(''), 'hex');
    file.writeUInt32BE(32, 28 + 4);
    file.writeUInt32BE(32, 28 + 28);
    const [packet] = packetsOf(readPcapng(file));
    assert.equal(packet?.timeUs, 10n); // 10,031 ns
    assert.deepEqual([...packet?.data ?? []], [0x45, 0]);
  });

  test('malformed files · one record says why, nothing throws', () => {
    const good = Buffer.concat([sectionHeader('x'),
      interfaceDescription({ linkType: LINKTYPE_RAW, name: 'a' }),
      enhancedPacket({ timeUs: 5n, direction: 'in', data: FRAME, comment: 'c' })]);
    const reasons = (bytes: Uint8Array) => readPcapng(bytes)
      .flatMap((record) => (record.type === 'malformed' ? [record.reason] : []));
    assert.deepEqual(reasons(good), []);
    assert.deepEqual(reasons(good.subarray(0, good.length - 1)), ['ends within a block']);
    assert.deepEqual(reasons(new Uint8Array(40)), ['not a pcapng file']);
    assert.deepEqual(reasons(new Uint8Array(0)), ['no section header']);
    const start = sectionHeader('x').length;
    const packet = start + interfaceDescription({ linkType: LINKTYPE_RAW, name: 'a' }).length;
    const changed = (at: number, value: number) => {
      const bytes = Buffer.from(good);
      bytes.writeUInt32LE(value, at);
      return reasons(bytes);
    };
    assert.deepEqual(changed(8, 0x12345678), ['bad byte-order magic']);
    assert.deepEqual(changed(start + 4, 8), ['block length 8']);
    assert.deepEqual(changed(start + 4, 0x7ffffff0), ['block of 2147483632 bytes']);
    assert.deepEqual(changed(good.length - 4, 44), ['block lengths differ']);
    assert.deepEqual(changed(packet + 8, 3), ['packet of an unknown interface 3']);
    for (const captured of [200, 0xfffffffd, 0xffffffff]) {
      assert.deepEqual(changed(packet + 20, captured), ['packet longer than its block']);
    }
    const random = new Random(3);
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(good);
      const changes = 1 + random.below(4);
      for (let n = 0; n < changes; n++) bytes[random.below(bytes.length)] = random.below(256);
      if (reasons(bytes.subarray(0, random.below(bytes.length + 1))).length > 1) assert.fail();
    }
  });
});

describe('capture', () => {
  test('a slow reader loses packets, is told how many, and another one loses none', async () => {
    const [slow, fast] = [new Sink(), new Sink()];
    slow.held = true;
    const capture = new Capture();
    const sink = new PcapngSink(slow, { queueBytes: 2000 });
    capture.add(sink);
    capture.add(new PcapngSink(fast));
    for (let i = 0; i < 100; i++) capture.packet({ timeUs: i, direction: 'in', bytes: FRAME });
    assert.ok(sink.lost > 0n && sink.lost < 100n);
    assert.ok(slow.writableLength < 2200, 'the queue is bounded');
    const lost = sink.lost;
    slow.free();
    await new Promise((resolve) => setImmediate(resolve));
    capture.packet({ timeUs: 200, direction: 'in', bytes: FRAME });
    capture.close();
    await finished(slow);
    await finished(fast);
    const packets = packetsOf(slow.records());
    assert.equal(BigInt(packets.length) + lost, 101n);
    assert.equal(packets.at(-1)?.lostBefore, lost);
    const end = slow.records().at(-1);
    assert.ok(end?.type === 'statistics');
    assert.deepEqual([end.received, end.dropped], [101n, lost]);
    assert.equal(packetsOf(fast.records()).length, 101);
  });

  test('a stream that fails ends its sink; the capture goes on', async () => {
    const broken = new Writable({
      write(_chunk, _encoding, done) {
        done(new Error('EPIPE'));
      },
    });
    const capture = new Capture();
    const sink = new PcapngSink(broken);
    const queue = new PacketQueue();
    capture.add(sink);
    capture.add(queue);
    await new Promise((resolve) => setImmediate(resolve));
    capture.packet({ timeUs: 1, direction: 'in', bytes: FRAME });
    capture.close();
    assert.equal(sink.failed?.message, 'EPIPE');
    assert.equal(sink.lost, 1n);
    const got = [];
    for await (const packet of queue) got.push(packet);
    assert.equal(got.length, 1);
  });

  test('queue · bounded, loss told with the next packet', async () => {
    const queue = new PacketQueue(3);
    const capture = new Capture();
    capture.add(queue);
    for (let i = 0; i < 5; i++) capture.packet({ timeUs: i, direction: 'out', bytes: FRAME });
    const reader = queue[Symbol.asyncIterator]();
    const take = async () => {
      const { value } = await reader.next();
      return value === undefined ? undefined : [value.timeUs, value.lostBefore];
    };
    assert.deepEqual([await take(), await take(), await take()], [[0n, 0n], [1n, 0n], [2n, 0n]]);
    const next = take();
    capture.packet({ timeUs: 9, direction: 'out', bytes: FRAME });
    assert.deepEqual(await next, [9n, 2n]);
    capture.close();
    assert.equal(await take(), undefined);
    assert.equal(queue.lost, 2n);
  });

  test('super-segment · the bytes are copied, the comment goes with each packet', () => {
    const seen: { bytes: Uint8Array; comment: string | undefined }[] = [];
    const capture = new Capture();
    assert.equal(capture.active, false);
    const remove = capture.add({ deliver: (packet) => seen.push(packet), close: () => {} });
    assert.equal(capture.active, true);
    const { frame, vnet, payload } = superSegment(4, 1448, 3000);
    const { gsoSize, csumStart } = vnet;
    capture.packet({
      timeUs: 1, direction: 'out', bytes: frame, comment: 'c', gsoSize, csumPartial: true,
      csumStart,
    });
    frame.fill(0);
    assert.equal(seen.length, 3);
    assert.deepEqual(seen.map((packet) => packet.comment), ['c', 'c', 'c']);
    const bytes = Buffer.concat(seen.map((packet) => packet.bytes.subarray(52)));
    assert.deepEqual(new Uint8Array(bytes), payload);
    remove();
    capture.packet({ timeUs: 2, direction: 'out', bytes: FRAME });
    assert.equal(seen.length, 3);
  });
});
