/**
 * The native layer against the kernel: devices, addresses, batched I/O on the rings, offload,
 * corrupt rings. Every test runs with the addon and with koffi, in namespaces of its own.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  LINK_VNET_HDR,
  LinkWord,
  RX_ADDRESS,
  RX_CAPACITY,
  RX_TRUNCATED,
  TX_PIECES,
  TX_PIECES_MAX,
  TX_PIECE_COUNT,
  VNET_F_NEEDS_CSUM,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
} from '../../assembly/abi.js';
import { addressBytes, chooseNative } from '../../host/node/addon/index.js';
import type { Native } from '../../host/node/addon/index.js';
import { buildAddon } from '../../tools/build-addon.js';
import { closeDevices, namespaceKind, runInNamespaces } from './fixtures/namespace.js';
import { echo4, echo6, ipv4, ipv6, pseudoSum, tcpHeader, vnetHeader } from './fixtures/packets.js';
import { RingMemory } from './fixtures/ring-memory.js';
import type { TakenFrame } from './fixtures/ring-memory.js';

const OURS_4 = '10.99.0.2';
const OURS_6 = 'fd99::2';
const EFAULT = -14;
const EBADF = -9;

/** A device that is up, with both addresses, and rings for it. */
interface Bench {
  readonly native: Native;
  readonly fd: number;
  readonly name: string;
  readonly rings: RingMemory;
}

function openBench(native: Native, vnetHdr: boolean, rings: RingMemory): Bench {
  const { fd, name } = native.openTun({ name: 'ack%d', vnetHdr });
  if (vnetHdr) native.setOffload(fd, 15);
  native.quietIpv6(name);
  native.setMtu(name, 1500);
  native.addAddress(name, '10.99.0.1', 24);
  native.addAddress(name, 'fd99::1', 64);
  native.linkUp(name, true);
  native.awaitAddress('fd99::1');
  return { native, fd, name, rings };
}

const ringsFor = (vnet: boolean, more: object = {}): RingMemory =>
  new RingMemory({ flags: vnet ? LINK_VNET_HDR : 0, rxCapacity: 70_000, ...more });

/** Sends datagrams from the kernel's end; resolves when the kernel has taken them. */
async function datagrams(to: string, payloads: readonly Buffer[]): Promise<void> {
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
  for (const payload of payloads) {
    await new Promise<void>((done, fail) => {
      socket.send(payload, 9, to, (error) => (error ? fail(error) : done()));
    });
  }
  socket.close();
}

/** Reads until a frame passes the filter; gives up after two seconds. */
async function frameWhere(
  bench: Bench,
  wanted: (frame: TakenFrame) => boolean,
): Promise<TakenFrame> {
  for (let turn = 0; turn < 400; turn++) {
    const moved = bench.native.readBatch(
      bench.fd,
      bench.rings.memory.buffer,
      bench.rings.ringAddress,
      64,
    );
    assert.ok(moved >= 0, `readBatch: ${moved}`);
    const found = bench.rings.takeAll().find(wanted);
    if (found !== undefined) return found;
    await delay(5);
  }
  throw new Error('the frame did not come');
}

const write = ({ native, fd, rings }: Bench): number =>
  native.writeBatch(fd, rings.memory.buffer, rings.ringAddress);

const read = ({ native, fd, rings }: Bench, max = 64): number =>
  native.readBatch(fd, rings.memory.buffer, rings.ringAddress, max);

const protocolOf = (frame: TakenFrame): number =>
  (frame.bytes[0]! >> 4 === 4 ? frame.bytes[9] : frame.bytes[6]) as number;

async function kernelSends(native: Native, vnet: boolean): Promise<void> {
  const bench = openBench(native, vnet, ringsFor(vnet));
  bench.rings.bytes.fill(0xaa, bench.rings.layout.rxFrames, bench.rings.layout.txFrames);
  const payload = Buffer.from('over version four');
  await datagrams(OURS_4, [payload]);
  const four = await frameWhere(bench, (frame) => protocolOf(frame) === 17);
  assert.equal(four.bytes[0], 0x45);
  assert.equal(four.bytes.length, 28 + payload.length);
  assert.deepEqual(four.bytes.subarray(28), payload);
  assert.equal(four.flags, 0);
  assert.equal(four.vnet[1], 0, 'no segmentation');
  if (!vnet) assert.deepEqual(four.vnet, Buffer.alloc(10));
  await datagrams(OURS_6, [Buffer.from('over version six')]);
  const six = await frameWhere(
    bench,
    (frame) => frame.bytes[0]! >> 4 === 6 && protocolOf(frame) === 17,
  );
  assert.deepEqual(six.bytes.subarray(48), Buffer.from('over version six'));
  assert.deepEqual(six.bytes.subarray(24, 40), Buffer.from(addressBytes(OURS_6)));
  native.closeTun(bench.fd);
  assert.equal(native.interfaceExists(bench.name), false);
}

async function kernelAnswersEcho(native: Native, vnet: boolean): Promise<void> {
  const bench = openBench(native, vnet, ringsFor(vnet));
  const payload = Buffer.alloc(1000, 'echo');
  const request = ipv4(OURS_4, '10.99.0.1', 1, echo4(77, payload));
  // Three pieces, cut at odd places: the kernel sees one packet.
  bench.rings.send([request.subarray(0, 20), request.subarray(20, 33), request.subarray(33)]);
  assert.equal(write(bench), 1);
  assert.equal(bench.rings.get(LinkWord.txTail), 1);
  const reply = await frameWhere(bench, (frame) => protocolOf(frame) === 1);
  assert.equal(reply.bytes[20], 0, 'an echo reply');
  assert.equal(reply.bytes.readUInt16BE(24), 77);
  assert.deepEqual(reply.bytes.subarray(28), payload);
  const [us, kernel] = [addressBytes(OURS_6), addressBytes('fd99::1')];
  const message = echo6(78, payload, us, kernel);
  bench.rings.send([ipv6(us, kernel, 58, message)]);
  assert.equal(write(bench), 1);
  const isReply = (frame: TakenFrame): boolean =>
    protocolOf(frame) === 58 && frame.bytes[40] === 129;
  const six = await frameWhere(bench, isReply);
  assert.equal(six.bytes.readUInt16BE(44), 78);
  assert.deepEqual(six.bytes.subarray(48), payload);
  assert.equal(bench.rings.get(LinkWord.txErrors), 0);
  native.closeTun(bench.fd);
}

/** What a toy TCP that only opens a connection knows: enough to see super-segments. */
interface Toy {
  readonly bench: Bench;
  readonly six: boolean;
  readonly kernelPort: number;
  seq: number;
  ack: number;
}

function toySend(toy: Toy, flags: number, data: Buffer, gsoSize: number, options?: Buffer): void {
  const [us, kernel] = toy.six
    ? [addressBytes(OURS_6), addressBytes('fd99::1')]
    : [addressBytes(OURS_4), addressBytes('10.99.0.1')];
  const headerBytes = 20 + (options?.length ?? 0);
  const pseudo = pseudoSum(us, kernel, 6, headerBytes + data.length);
  const { seq, ack, kernelPort } = toy;
  const fields = { sourcePort: 80, destinationPort: kernelPort, seq, ack, flags };
  const header = tcpHeader(options ? { ...fields, options } : fields, pseudo);
  const start = toy.six ? 40 : 20;
  const segment = Buffer.concat([header, data]);
  const packet = toy.six
    ? ipv6(us, kernel, 6, segment)
    : ipv4(OURS_4, '10.99.0.1', 6, segment);
  const type = gsoSize === 0 ? 0 : toy.six ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
  const vnet = vnetHeader(VNET_F_NEEDS_CSUM, type, start + headerBytes, gsoSize, start, 16);
  const cut = start + headerBytes;
  const pieces = data.length > 0 ? [packet.subarray(0, cut), packet.subarray(cut)] : [packet];
  toy.bench.rings.send(pieces, vnet);
  assert.equal(write(toy.bench), 1);
  assert.equal(toy.bench.rings.get(LinkWord.txErrors), 0);
  toy.seq += data.length + (flags & 3 ? 1 : 0);
}

async function superSegments(native: Native, six: boolean): Promise<void> {
  const rings = ringsFor(true, { txFrameBytes: 70_000 });
  const bench = openBench(native, true, rings);
  const ip = six ? 40 : 20;
  const socket = connect(80, six ? OURS_6 : OURS_4);
  const syn = await frameWhere(bench, (f) => protocolOf(f) === 6 && f.bytes[ip + 13] === 2);
  const theirs = syn.bytes.readUInt32BE(ip + 4);
  const kernelPort = syn.bytes.readUInt16BE(ip);
  const toy: Toy = { bench, six, kernelPort, seq: 1000, ack: theirs + 1 };
  const mss = six ? 1440 : 1460;
  toySend(toy, 0x12, Buffer.alloc(0), 0, Buffer.from([2, 4, mss >> 8, mss & 255, 1, 3, 3, 7]));
  await once(socket, 'connect');

  const sent = Buffer.from(Array.from({ length: 60_000 }, (_, at) => (at * 7) & 255));
  socket.write(sent);
  const large = await frameWhere(bench, (f) => protocolOf(f) === 6 && f.bytes.length > 1500);
  assert.equal(large.vnet[1]! & 0x7f, six ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4);
  assert.equal(large.vnet.readUInt16LE(4), mss, 'the segment size');
  assert.equal(large.vnet[0]! & VNET_F_NEEDS_CSUM, VNET_F_NEEDS_CSUM);
  const data = large.bytes.subarray(ip + (large.bytes[ip + 12]! >> 4) * 4);
  assert.deepEqual(data, sent.subarray(0, data.length));

  const back = Buffer.from(Array.from({ length: 50_000 }, (_, at) => (at * 13) & 255));
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  toySend(toy, 0x18, back, mss);
  for (let turn = 0; turn < 200 && Buffer.concat(received).length < back.length; turn++) {
    await delay(5);
  }
  assert.deepEqual(Buffer.concat(received), back);
  socket.destroy();
  native.closeTun(bench.fd);
}

async function fullRing(native: Native): Promise<void> {
  const rings = ringsFor(false, { rxEntries: 4 });
  rings.set(LinkWord.rxHead, 0xfffffffe); // indices wrap at 2³² on the way
  rings.set(LinkWord.rxTail, 0xfffffffe);
  const bench = openBench(native, false, rings);
  for (let quiet = 0; quiet < 2; quiet++) {
    await delay(10);
    read(bench);
    rings.takeAll();
  }
  await datagrams(OURS_4, Array.from({ length: 10 }, (_, index) => Buffer.from(`n${index}`)));
  const seen: string[] = [];
  const moved: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    moved.push(read(bench), read(bench)); // the second finds the ring full, or nothing more
    seen.push(...rings.takeAll().map((frame) => frame.bytes.toString('latin1', 28)));
  }
  assert.deepEqual(moved, [4, 0, 4, 0, 2, 0]);
  assert.deepEqual(seen, Array.from({ length: 10 }, (_, index) => `n${index}`));
  assert.equal(rings.get(LinkWord.rxMissed), 0);
  await datagrams(OURS_4, [Buffer.from('a'), Buffer.from('b'), Buffer.from('c')]);
  assert.equal(read(bench, 2), 2, 'at most max');
  native.closeTun(bench.fd);
}

async function truncation(native: Native, vnet: boolean): Promise<void> {
  const capacity = 128;
  const rings = ringsFor(vnet, { rxCapacity: capacity });
  const bench = openBench(native, vnet, rings);
  rings.bytes.fill(0xaa, rings.layout.rxFrames, rings.layout.txFrames);
  const before = Buffer.from(rings.bytes);
  await datagrams(OURS_4, [Buffer.alloc(300, 'x'), Buffer.alloc(capacity - 28, 'y')]);
  await delay(10);
  const first = rings.get(LinkWord.rxHead);
  assert.ok(read(bench) >= 2);
  const used = rings.get(LinkWord.rxHead) - first;
  const frames = rings.takeAll().filter((frame) => protocolOf(frame) === 17);
  assert.deepEqual(
    frames.map((frame) => [frame.bytes.length, frame.flags]),
    [
      [capacity, RX_TRUNCATED],
      [capacity, 0],
    ],
  );
  // Not a byte beside the frames and their ten bytes was touched.
  for (let index = 0; index < used; index++) {
    const address = rings.view.getUint32(rings.rxEntryAt(first + index) + RX_ADDRESS, true);
    const after = address + capacity;
    assert.deepEqual(rings.bytes.subarray(after, after + 32), before.subarray(after, after + 32));
    const lead = address - 10;
    assert.deepEqual(rings.bytes.subarray(lead - 32, lead), before.subarray(lead - 32, lead));
  }
  native.closeTun(bench.fd);
}

/** Ways to break a ring, each of which must be refused without a byte moved. */
const CORRUPTIONS: Readonly<Record<string, (rings: RingMemory) => void>> = {
  'rx frame behind the end': (r) =>
    r.view.setUint32(r.rxEntryAt(0) + RX_ADDRESS, r.memory.buffer.byteLength - 100, true),
  'rx capacity wraps': (r) => r.view.setUint32(r.rxEntryAt(0) + RX_CAPACITY, 0xffffffff, true),
  'rx no room for the header': (r) => r.view.setUint32(r.rxEntryAt(0) + RX_ADDRESS, 9, true),
  'rx table outside': (r) =>
    r.set(LinkWord.rxDescriptors, r.memory.buffer.byteLength - 16),
  'rx table unaligned': (r) => r.set(LinkWord.rxDescriptors, r.layout.rxTable + 2),
  'rx mask too large': (r) => r.set(LinkWord.rxMask, 0xffffffff),
  'rx indices apart': (r) => r.set(LinkWord.rxTail, 1),
  'tx piece behind the end': (r) =>
    r.view.setUint32(r.txSlotAt(0) + TX_PIECES, r.memory.buffer.byteLength - 4, true),
  'tx length wraps': (r) => r.view.setUint32(r.txSlotAt(0) + TX_PIECES + 4, 0xffffffff, true),
  'tx second piece outside': (r) => {
    r.view.setUint32(r.txSlotAt(0) + TX_PIECE_COUNT, 2, true);
    r.view.setUint32(r.txSlotAt(0) + TX_PIECES + 8, 0xfffffff0, true);
    r.view.setUint32(r.txSlotAt(0) + TX_PIECES + 12, 32, true);
  },
  'tx no room for the header': (r) => r.view.setUint32(r.txSlotAt(0) + TX_PIECES, 9, true),
  'tx no pieces': (r) => r.view.setUint32(r.txSlotAt(0) + TX_PIECE_COUNT, 0, true),
  'tx too many pieces': (r) =>
    r.view.setUint32(r.txSlotAt(0) + TX_PIECE_COUNT, TX_PIECES_MAX + 1, true),
  'tx table outside': (r) => r.set(LinkWord.txSlots, r.memory.buffer.byteLength - 64),
  'tx mask too large': (r) => r.set(LinkWord.txMask, 0x7fffffff),
  'tx indices apart': (r) => r.set(LinkWord.txHead, 1000),
};

async function corruptRings(native: Native): Promise<void> {
  const device = openBench(native, true, ringsFor(true));
  await datagrams(OURS_4, [Buffer.from('waiting')]);
  for (const [name, spoil] of Object.entries(CORRUPTIONS)) {
    const rings = new RingMemory({ flags: LINK_VNET_HDR });
    const bench = { ...device, rings };
    rings.send([ipv4(OURS_4, '10.99.0.1', 1, echo4(1, Buffer.alloc(8)))]);
    spoil(rings);
    const before = Buffer.from(rings.bytes);
    const result = name.startsWith('rx') ? read(bench) : write(bench);
    assert.equal(result, EFAULT, name);
    assert.deepEqual(rings.bytes, before, `${name}: the memory is untouched`);
  }
  const { buffer } = device.rings.memory;
  for (const at of [2, buffer.byteLength - 60, 0xfffffffc]) {
    assert.equal(native.readBatch(device.fd, buffer, at, 1), EFAULT, `ring at ${at}`);
    assert.equal(native.writeBatch(device.fd, buffer, at), EFAULT, `ring at ${at}`);
  }
  assert.ok(read(device) > 0, 'the packet waited through it all');
  native.closeTun(device.fd);
}

async function refusedFrames(native: Native): Promise<void> {
  const bench = openBench(native, false, ringsFor(false));
  const good = ipv4(OURS_4, '10.99.0.1', 1, echo4(5, Buffer.alloc(8)));
  bench.rings.send([Buffer.from([0xff, 1, 2, 3])]); // neither version 4 nor 6: EINVAL
  bench.rings.send([good]);
  assert.equal(write(bench), 2);
  assert.equal(bench.rings.get(LinkWord.txErrors), 1);
  await frameWhere(bench, (frame) => protocolOf(frame) === 1);
  native.linkUp(bench.name, false);
  bench.rings.send([good]);
  assert.equal(write(bench), 1, 'a device that is down takes nothing and blocks nothing');
  assert.equal(bench.rings.get(LinkWord.txErrors), 2);
  native.closeTun(bench.fd);
  bench.rings.send([good]);
  assert.equal(write(bench), EBADF);
  assert.equal(read(bench), EBADF);
}

async function grownMemory(native: Native): Promise<void> {
  const bench = openBench(native, false, ringsFor(false));
  await datagrams(OURS_4, [Buffer.from('before')]);
  await frameWhere(bench, (frame) => frame.bytes.includes('before'));
  const detached = bench.rings.memory.buffer;
  bench.rings.memory.grow(1);
  assert.equal(native.readBatch(bench.fd, detached, bench.rings.ringAddress, 1), EFAULT);
  await datagrams(OURS_4, [Buffer.from('after')]);
  await frameWhere(bench, (frame) => frame.bytes.includes('after'));
  native.closeTun(bench.fd);
}

const TESTS: Readonly<Record<string, (native: Native) => Promise<void>>> = {
  'kernel to ring': (native) => kernelSends(native, false),
  'kernel to ring, virtio_net_hdr': (native) => kernelSends(native, true),
  'ring to kernel: echo answered': (native) => kernelAnswersEcho(native, false),
  'ring to kernel, virtio_net_hdr': (native) => kernelAnswersEcho(native, true),
  'super-segments both ways, IPv4': (native) => superSegments(native, false),
  'super-segments both ways, IPv6': (native) => superSegments(native, true),
  'full ring · packets wait in the device': fullRing,
  'frame longer than its entry · cut and marked': (native) => truncation(native, false),
  'frame longer than its entry, virtio_net_hdr': (native) => truncation(native, true),
  'corrupt ring · refused, nothing touched': corruptRings,
  'frame the device refuses · counted and skipped': refusedFrames,
  'memory that grew · seen anew': grownMemory,
};

if (namespaceKind === undefined) {
  buildAddon();
  runInNamespaces(import.meta.url);
} else {
  for (const kind of ['addon', 'koffi']) {
    const { native, reasons } = chooseNative(kind);
    assert.ok(native, reasons.join());
    assert.equal(native.kind, kind);
    for (const [name, run] of Object.entries(TESTS)) {
      test(`${kind} · ${name}`, () => run(native).finally(closeDevices));
    }
  }
}
