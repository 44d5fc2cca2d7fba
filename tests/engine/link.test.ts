/**
 * Links, their rings and the way out of IP (assembly/link, ip/output.ts, ip/route.ts), TCP replaced
 * by a probe: a host's numbers are not believed, and lent bytes stay until they come back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Config, Counter, Errno, LINK_CSUM, LINK_ETHERNET, LINK_TSO4, LINK_TSO6, LINK_UP, LINK_VNET_HDR,
  LinkWord, RX_TRUNCATED, TX_PIECES_MAX, VNET_F_DATA_VALID, VNET_F_NEEDS_CSUM, VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
} from '../../assembly/abi.js';
import {
  assertWhole, bare, dropsOf, engine, icmp, ipv4, onesSum, only, pattern, PEER, PEER6, PROBE_TCP,
  pseudo, RX_SLOT_BYTES, RX_SLOTS, SCRATCH_AT, tcp, TX_SLOTS, udp, US, US6, words,
} from './ip-harness.js';

const OFFLOAD = LINK_VNET_HDR | LINK_CSUM | LINK_TSO4 | LINK_TSO6;
const v4udp = ipv4(PEER, US, 17, udp(PEER, US, pattern(11)));
const v4icmp = ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(11)));
const v4tcp = ipv4(PEER, US, 6, tcp(PEER, US, pattern(11)));

test('link · corrupt descriptors and indices · counted, skipped, nothing read', () => {
  const e = engine();
  const area = e.word(0, LinkWord.rxDescriptors) + RX_SLOTS * 16;
  const cases: [number, number, number][] = [ // address, capacity, length
    [0, 100, 50], [area, 100, 39], [area + 9, 100, 39], [0xffffffff, 100, 50],
    [area - 1, 100, 50], [area + RX_SLOTS * RX_SLOT_BYTES, 100, 50],
    [area + RX_SLOTS * RX_SLOT_BYTES - 10, 11, 5], [area + 16, 0xffffffff, 50],
    [area + 16, 100, 101], [area + 16, 100, 0xffffffff], [area + 16, 0, 0], [0x80000000, 9, 9],
  ];
  for (const [at, capacity, length] of cases) {
    e.push(v4udp);
    const descriptor = e.nextDescriptor() - 16;
    const last = descriptor < e.word(0, LinkWord.rxDescriptors)
      ? descriptor + RX_SLOTS * 16 : descriptor;
    e.view.setUint32(last, at, true);
    e.view.setUint32(last + 4, capacity, true);
    e.view.setUint32(last + 8, length, true);
    // a good frame in that place, so that the place alone is what is wrong
    if (at >= area && at <= area + 16) v4icmp.copy(e.memory, at);
    const before = e.snapshot();
    assert.equal(e.run(), 1);
    assert.deepEqual(e.changed(before), { AckornLinkInErrors: 1 });
  }
  const head = e.word(0, LinkWord.rxHead);
  for (const ahead of [RX_SLOTS + 1, 0x80000000, 0xffffffff]) {
    const before = e.snapshot();
    e.setWord(0, LinkWord.rxHead, (head + ahead) >>> 0);
    assert.equal(e.run(), 0);
    assert.deepEqual(e.changed(before), { AckornLinkInErrors: 1 });
  }
  e.setWord(0, LinkWord.rxHead, head);
  for (const word of [LinkWord.rxMask, LinkWord.rxDescriptors, LinkWord.txMask, LinkWord.txSlots]) {
    e.setWord(0, word, 0xffffffff); // the engine does not look at these
  }
  for (const tail of [1, 0x80000000, 0xffffffff]) {
    const before = e.snapshot();
    e.setWord(0, LinkWord.txTail, tail);
    e.call('poll', 0);
    assert.deepEqual(e.changed(before), { AckornLinkInErrors: 1 });
    assert.equal(e.call('room', 0), TX_SLOTS);
  }
});

test('link · truncated, down, budget', () => {
  const e = engine();
  e.push(v4icmp);
  e.view.setUint32(e.nextDescriptor() - 16 + 12, RX_TRUNCATED, true);
  let before = e.snapshot();
  assert.equal(e.run(), 1);
  assert.deepEqual(e.changed(before), { AckornLinkInTruncated: 1 });
  assert.equal(e.call('linkSet', 0, 0), 0);
  before = e.snapshot();
  assert.equal(e.exchange(v4icmp).length, 0);
  assert.deepEqual(e.changed(before), { AckornLinkInDown: 1 });
  assert.equal(e.call('sendTcp', 0, ...words(PEER), SCRATCH_AT, 10, 0, 0, 0), -2); // IpOut.Down
  assert.equal(e.changed(before)['IpOutDiscards'], 1);
  e.call('linkSet', 0, 1);
  for (let i = 0; i < 5; i++) e.push(v4icmp);
  assert.equal(e.call('input', 0, 3), 3);
  assert.equal(e.word(0, LinkWord.rxTail), 5); // 2 before, 3 now
  assert.equal(e.call('input', 0, 3), 2);
  assert.equal(e.take().length, 5);
});

test('link · linkAdd · refuses what it cannot do', () => {
  const e = bare();
  assert.equal(e.call('linksConfigured'), 1);
  assert.equal(e.call('linkAdd', LINK_ETHERNET, 1500), -Errno.EOPNOTSUPP);
  assert.equal(e.call('linkAdd', 2048, 1500), -Errno.EINVAL);
  assert.equal(e.call('linkAdd', 0, 67), -Errno.EINVAL);
  assert.equal(e.call('linkAdd', 0, 65536), -Errno.EINVAL);
  assert.equal(e.call('linkAdd', LINK_TSO4 | LINK_VNET_HDR, 1500), -Errno.EINVAL);
  assert.equal(e.call('linkAdd', LINK_CSUM, 1500), -Errno.EINVAL);
  assert.equal(e.call('linkAdd', 0, 68), 0);
  assert.equal(e.call('linkAdd', OFFLOAD, 65535), 1);
  assert.equal(e.call('linkAdd', 0, 1500), -Errno.ENFILE);
  assert.equal(e.call('linkRing', 2), 0);
  assert.equal(e.call('linkSet', 2, 1), -Errno.EINVAL);
  const wrong = bare({ [Config.rxSlots]: 48 });
  assert.equal(wrong.call('linksConfigured'), 0);
});

test('link · the virtio_net_hdr is believed only where the link has one', () => {
  const wrong = Buffer.from(v4tcp);
  wrong[wrong.length - 1]! ^= 1; // a checksum that is left to us
  for (const flag of [VNET_F_NEEDS_CSUM, VNET_F_DATA_VALID]) {
    const vnet = Buffer.from([flag, VNET_GSO_TCPV4, 0, 0, 0xb4, 5, 0, 0, 0, 0]);
    const e = engine(LINK_UP | LINK_VNET_HDR);
    e.exchange(wrong, vnet);
    assert.deepEqual(e.traces().map((t) => [t.kind, t.ports, t.b]), [[PROBE_TCP, 1, 1460]]);
    const plain = engine();
    const before = plain.snapshot();
    plain.exchange(wrong, vnet);
    assert.deepEqual(dropsOf(plain.changed(before)), { TcpInCsumErrors: 1 });
  }
});

test('ownership · blocks freed while named by a descriptor come back after it is returned', () => {
  const e = engine(LINK_UP, { [Config.arenaBytes]: 65536 });
  e.call('linkAdd', LINK_UP, 1500);
  const request = ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(40)));
  e.push(request);
  e.run();
  const [first] = e.take(0, false);
  const block = first!.pieces[1]!.address;
  assert.equal(e.call('arenaLimbo'), 512);
  for (let i = 0; i < 8; i++) { // more frees while it is out: none may take its place
    e.call('poll', 0);
    e.call('poll', 1);
    assert.notEqual(e.call('lend', 9) >>> 0, block);
  }
  assert.deepEqual(e.memory.subarray(block, block + 40), pattern(40));
  e.take();
  assert.equal(e.call('arenaLimbo'), 0);
  assert.equal(e.call('arenaUsed'), 0);
  assert.equal(e.call('outstanding'), 0);
});

test('ownership · a link that always has something under way still frees', () => {
  const e = engine(LINK_UP, { [Config.arenaBytes]: 65536 });
  const request = ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(400)));
  for (let i = 0; i < 2000; i++) { // 128 blocks: without epochs they would be used up
    e.push(request);
    e.run();
    if (i < 2) continue; // two frames stay under way all the time
    e.setWord(0, LinkWord.txTail, i - 1);
    e.call('poll', 0);
    assert.equal(e.call('outstanding'), 2);
  }
  assert.equal(e.counters[Counter.AckornArenaExhausted], 0n);
});

// ---- IP output --------------------------------------------------------------------------------

test('output · TCP over odd pieces · checksum right, header as asked', () => {
  const e = engine();
  pattern(3000).copy(e.memory, SCRATCH_AT);
  const pieces = [[0, 0, 0], [1, 0, 0], [1, 1, 1], [3, 5, 7], [1400, 1, 2], [5, 2, 9]];
  for (const [n0, n1, n2] of pieces) {
    for (const [local, to] of [[0, PEER], [1, PEER6]] as const) {
      const n = n0! + n1! + n2!;
      assert.equal(e.call('sendTcp', local, ...words(to), SCRATCH_AT, n0!, n1!, n2!, 0), 0);
      const [sent] = e.take();
      const frame = sent!.frame;
      assertWhole(frame);
      assert.deepEqual([...sent!.vnet], Array<number>(10).fill(0));
      assert.deepEqual(frame.subarray(frame.length - n), pattern(n));
      if (local !== 0) continue;
      assert.equal(frame.readUInt32BE(4), 0x00004000); // ID 0, DF
      assert.equal(frame[1], 0x28);
    }
  }
});

test('output · IPv6 · one flow label for a connection', () => {
  const e = engine();
  const label = (): number => {
    e.call('sendTcp', 1, ...words(PEER6), SCRATCH_AT, 5, 0, 0, 0);
    return only(e.take()).readUInt32BE(0);
  };
  const first = label();
  assert.equal(first >>> 20, 0x628, 'version and traffic class 0x28');
  assert.equal(first & 0xfffff, label() & 0xfffff);
  e.call('sendTcp', 1, ...words('fd00::77'), SCRATCH_AT, 5, 0, 0, 0);
  assert.notEqual(only(e.take()).readUInt32BE(0) & 0xfffff, first & 0xfffff);
});

test('output · offload · pseudo-header sum, segmentation fields', () => {
  const e = engine(LINK_UP | OFFLOAD);
  const cases = [[0, US, PEER, 20, VNET_GSO_TCPV4], [1, US6, PEER6, 40, VNET_GSO_TCPV6]] as const;
  for (const [local, from, to, l3, type] of cases) {
    assert.equal(e.call('sendTcp', local, ...words(to), SCRATCH_AT, 60000, 0, 0, 1448), 0);
    const [sent] = e.take();
    const { vnet, frame } = sent!;
    assert.equal(vnet[0], VNET_F_NEEDS_CSUM);
    assert.equal(vnet[1], type);
    assert.equal(vnet.readUInt16LE(2), l3 + 32);
    assert.equal(vnet.readUInt16LE(4), 1448);
    assert.equal(vnet.readUInt16LE(6), l3);
    assert.equal(vnet.readUInt16LE(8), 16);
    assert.equal(frame.readUInt16BE(l3 + 16), onesSum(pseudo(from, to, 6, 60032)));
    assert.equal(frame.length, l3 + 60032);
    e.call('sendTcp', local, ...words(to), SCRATCH_AT, 1448, 0, 0, 1448);
    assert.equal(e.take()[0]!.vnet[1], 0, 'one segment needs no cutting');
  }
  e.exchange(ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(9)))).forEach((s) => assertWhole(s.frame));
});

test('output · ring full · deferred; pieces · at most TX_PIECES_MAX', () => {
  const e = engine();
  assert.equal(e.call('fillPieces', 0, words(PEER)[3]), TX_PIECES_MAX - 1);
  for (let i = 0; i < TX_SLOTS; i++) {
    assert.equal(e.call('sendTcp', 0, ...words(PEER), SCRATCH_AT, 1, 0, 0, 0), 0);
  }
  assert.equal(e.call('room', 0), 0);
  assert.equal(e.call('sendTcp', 0, ...words(PEER), SCRATCH_AT, 1, 0, 0, 0), -1); // IpOut.Full
  e.take();
  assert.equal(e.call('room', 0), TX_SLOTS);
  assert.equal(e.call('sendTcp', 3, ...words(PEER), SCRATCH_AT, 1, 0, 0, 0), -3); // IpOut.NoRoute
});

// ---- addresses --------------------------------------------------------------------------------

test('addresses · add, find, remove, revive, limits', () => {
  const e = engine();
  assert.equal(e.call('addressFind', ...words(US)), 0);
  assert.equal(e.call('addressAdd', ...words(US), 16, 0), 0, 'the same index');
  assert.equal(e.call('isBroadcast', ...words('10.99.255.255')), 1);
  assert.equal(e.call('addressRemove', ...words(US)), 0);
  assert.equal(e.call('addressFind', ...words(US)), -1);
  assert.equal(e.call('addressRemove', ...words(US)), -Errno.EADDRNOTAVAIL);
  assert.equal(e.call('addressAdd', ...words('10.1.0.1'), 31, 0), 2, 'an index is not given away');
  assert.equal(e.call('isBroadcast', ...words('10.1.0.1')), 0, 'a /31 has none');
  assert.equal(e.call('addressAdd', ...words('10.2.0.1'), 32, 0), 3);
  assert.equal(e.call('addressAdd', ...words(US), 24, 0), 0, 'revived');
  assert.equal(e.call('addressAdd', ...words('10.3.0.1'), 24, 0), -Errno.ENFILE);
  e.call('addressRemove', ...words(US));
  assert.equal(e.call('addressAdd', ...words('10.3.0.1'), 24, 0), 0, 'the last resort');
  for (const wrong of ['224.0.0.1', '0.0.0.0', '127.0.0.1', '255.255.255.255', '::', 'ff02::1']) {
    assert.equal(e.call('addressAdd', ...words(wrong), 24, 0), -Errno.EADDRNOTAVAIL);
  }
  assert.equal(e.call('addressAdd', ...words('10.4.0.1'), 33, 0), -Errno.EINVAL);
  assert.equal(e.call('addressAdd', ...words('10.4.0.1'), 24, 1), -Errno.EINVAL);
});

test('addresses · source by longest common prefix within the family', () => {
  const e = engine();
  e.call('addressAdd', ...words('192.168.5.1'), 24, 0);
  e.call('addressAdd', ...words('fe80::1'), 64, 0);
  assert.equal(e.call('sourceFor', ...words('10.99.0.77')), 0);
  assert.equal(e.call('sourceFor', ...words('192.168.77.1')), 2);
  assert.equal(e.call('sourceFor', ...words('fd00::99')), 1);
  assert.equal(e.call('sourceFor', ...words('fe80::99')), 3);
  e.call('addressRemove', ...words(US));
  e.call('addressRemove', ...words('192.168.5.1'));
  assert.equal(e.call('sourceFor', ...words('10.99.0.77')), -1);
});
