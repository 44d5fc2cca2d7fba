/**
 * Segmentation and checksum offload in software: what the wire packets of a super-segment must be.
 * RFC 9293 §3.4, §3.8.5; RFC 3168 §6.1.2; RFC 1071; virtio 1.2 §5.1.6.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeFrame, TCP_CWR, TCP_FIN, TCP_PSH } from '../../host/node/decode/index.js';
import {
  completeChecksum, NO_OFFLOAD, readVnetHeader, segmentGso, writeVnetHeader,
} from '../../host/node/offload.js';
import { concat, ethernetFrame, Random, sealed, tcpFrame } from '../support/frames.js';
import { superSegment } from '../support/offloaded.js';

for (const version of [4, 6] as const) {
  describe(`super-segment over IPv${version}`, () => {
    for (const total of [1, 1447, 1448, 1449, 20_000, 64_000]) {
      test(`${total} bytes at 1,448 · every byte once, all checksums good`, () => {
        const { frame, payload, vnet, seq } = superSegment(version, 1448, total);
        const before = frame.slice();
        const packets = segmentGso(frame, vnet);
        assert.deepEqual(frame, before, 'the frame itself is not touched');
        assert.equal(packets.length, Math.ceil(total / 1448));
        const bytes: Uint8Array[] = [];
        let done = 0;
        packets.forEach((packet, i) => {
          const decoded = decodeFrame(packet);
          const { ip, transport: tcp } = decoded;
          assert.deepEqual(decoded.issues, []);
          assert.ok(tcp?.kind === 'tcp' && ip !== undefined);
          assert.equal(tcp.checksum.status, 'good');
          if (ip.version === 4) {
            assert.equal(ip.checksum.status, 'good');
            assert.equal(ip.id, (0xfffe + i) & 0xffff);
            assert.equal(ip.totalLength, packet.length);
          }
          const last = i === packets.length - 1;
          assert.equal(tcp.seq, (seq + done) >>> 0);
          assert.equal((tcp.flags & (TCP_FIN | TCP_PSH)) !== 0, last);
          assert.equal((tcp.flags & TCP_CWR) !== 0, i === 0);
          assert.equal(tcp.options.length, 3);
          assert.equal(tcp.payloadLength, last ? total - done : 1448);
          // Our own sums could agree on a wrong one: compare with another way to add up.
          const segment = packet.subarray(tcp.offset);
          const ends = { from: ip.source, to: ip.destination };
          assert.deepEqual(sealed(segment, 16, ends, 6), segment);
          bytes.push(packet.subarray(tcp.payloadOffset));
          done += tcp.payloadLength;
        });
        assert.deepEqual(concat(...bytes), concat(payload));
      });
    }
  });
}

test('urgent pointer · counts from each packet, ends where the urgent data end', () => {
  const { frame, vnet } = superSegment(4, 1000, 3000);
  frame[33]! |= 0x20;
  frame.set([0x05, 0xdc], 38); // 1,500
  const urgent = segmentGso(frame, vnet).map((packet) => {
    const { transport: tcp } = decodeFrame(packet);
    return tcp?.kind === 'tcp' && (tcp.flags & 0x20) !== 0 ? tcp.urgent : undefined;
  });
  assert.deepEqual(urgent, [1500, 500, undefined]);
});

test('Ethernet · the IP header is found behind a VLAN tag', () => {
  const { frame, vnet } = superSegment(4, 1448, 5000);
  const tagged = ethernetFrame(0x0800, frame, [7]);
  const packets = segmentGso(tagged, { ...vnet, csumStart: vnet.csumStart + 18 }, 18);
  assert.equal(packets.length, 4);
  for (const packet of packets) {
    const { transport, ethernet } = decodeFrame(packet, { link: 'ethernet' });
    assert.ok(transport?.kind === 'tcp' && transport.checksum.status === 'good');
    assert.equal(ethernet?.tags[0]?.vlan, 7);
  }
});

test('a Buffer with an open checksum · completed in a copy', () => {
  const { frame, vnet } = superSegment(4, 0, 100);
  const buffer = Buffer.from(frame);
  const [packet] = segmentGso(buffer, { ...vnet, gsoSize: 0, gsoType: 0 });
  assert.ok(packet !== undefined);
  const { transport } = decodeFrame(packet);
  assert.ok(transport?.kind === 'tcp' && transport.checksum.status === 'good');
  assert.deepEqual(new Uint8Array(buffer), frame);
});

test('without NEEDS_CSUM a frame passes unchanged', () => {
  const frame = tcpFrame({ from: '10.0.0.1', to: '10.0.0.2', sourcePort: 1, destinationPort: 2 });
  assert.deepEqual(segmentGso(frame, NO_OFFLOAD), [frame]);
});

test('completeChecksum · a field outside the frame is refused', () => {
  const frame = new Uint8Array(40);
  assert.equal(completeChecksum(frame, 20, 19), false);
  assert.equal(completeChecksum(frame, -1, 0), false);
  assert.deepEqual(frame, new Uint8Array(40));
  assert.equal(completeChecksum(frame, 20, 18), true);
});

test('virtio_net_hdr · written and read back', () => {
  const header = {
    flags: 1, gsoType: 0x84, hdrLen: 66, gsoSize: 1448, csumStart: 34, csumOffset: 16,
  };
  const bytes = new Uint8Array(14).fill(0xee);
  writeVnetHeader(bytes, header, 2);
  assert.deepEqual([...bytes],
    [0xee, 0xee, 1, 0x84, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0xee, 0xee]);
  assert.deepEqual(readVnetHeader(bytes, 2), header);
});

test('100,000 random frames and headers · neither throws nor loses the frame', () => {
  const random = new Random(5);
  const { frame } = superSegment(6, 1448, 3000);
  for (let i = 0; i < 100_000; i++) {
    const bytes = random.below(2) === 0 ? random.bytes(random.below(120)) : frame.slice(0, 400);
    if (bytes.length > 60) bytes[random.below(60)] = random.below(256);
    const vnet = {
      flags: random.below(4), gsoType: random.pick([0, 1, 4, 0x81, 5]), hdrLen: 0,
      gsoSize: random.pick([0, 100, 1448, 65535]), csumStart: random.pick([0, 20, 40, 65535]),
      csumOffset: random.pick([0, 6, 16, 65535]),
    };
    const packets = segmentGso(bytes, vnet, random.pick([0, 0, 14, 300]));
    if (packets.length === 0) assert.fail('no packet');
  }
});
