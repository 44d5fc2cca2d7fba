/**
 * What a frame costs between a TUN device and the engine's rings, with the addon and with koffi:
 * calls that move nothing, reads and writes of 1,500 bytes and of 64 KiB, wake-up to callback.
 * Prints medians of several rounds; asserts nothing. `node build/js/bench/native.js` runs itself
 * again in an anonymous network namespace and leaves nothing behind.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { argv, env, execPath, exit, getuid, hrtime } from 'node:process';
import { setImmediate as turn } from 'node:timers/promises';
import { LINK_VNET_HDR, LinkWord } from '../assembly/abi.js';
import { chooseNative } from '../host/node/addon/index.js';
import type { Native } from '../host/node/addon/index.js';
import { RingMemory } from '../tests/host/fixtures/ring-memory.js';
import { ipv4 } from '../tests/host/fixtures/packets.js';

const INSIDE = 'ACKORN_BENCH_NAMESPACE';
const ROUNDS = 15;
/** Less than a TUN device's queue (500 packets). */
const FRAMES = 256;

interface Setup {
  readonly native: Native;
  readonly fd: number;
  readonly rings: RingMemory;
  readonly socket: Socket;
}

const nanoseconds = (run: () => void, count: number): number => {
  const start = hrtime.bigint();
  run();
  return Number(hrtime.bigint() - start) / count;
};

const median = (values: number[]): number =>
  values.sort((a, b) => a - b)[values.length >> 1] as number;

async function rounds(run: () => Promise<number> | number): Promise<number> {
  const values: number[] = [];
  for (let round = 0; round < ROUNDS; round++) values.push(await run());
  return median(values);
}

const send = (socket: Socket, bytes: Buffer): Promise<void> =>
  new Promise((done, fail) => {
    socket.send(bytes, 9, '10.99.0.2', (error) => (error ? fail(error) : done()));
  });

function callsAlone({ native, fd, rings }: Setup, max: number): number {
  const { memory, ringAddress } = rings;
  const count = 50_000;
  return nanoseconds(() => {
    for (let index = 0; index < count; index++) {
      native.readBatch(fd, memory.buffer, ringAddress, max);
    }
  }, count);
}

async function reads({ native, fd, rings, socket }: Setup, bytes: number): Promise<number> {
  const payload = Buffer.alloc(bytes - 28, 1);
  const { buffer } = rings.memory;
  native.readBatch(fd, buffer, rings.ringAddress, FRAMES);
  rings.takeAll();
  for (let index = 0; index < FRAMES; index++) await send(socket, payload);
  let moved = 0;
  const each = nanoseconds(() => {
    for (let batch = 0; batch < FRAMES / 32; batch++) {
      moved += native.readBatch(fd, buffer, rings.ringAddress, 32);
      rings.set(LinkWord.rxTail, rings.get(LinkWord.rxHead));
    }
  }, FRAMES);
  if (moved !== FRAMES) throw new Error(`${moved} frames instead of ${FRAMES}`);
  return each;
}

function writes({ native, fd, rings }: Setup, port: number, bytes: number): number {
  const udp = Buffer.alloc(bytes - 20);
  udp.writeUInt16BE(9, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4); // checksum zero: none (RFC 768)
  const frame = ipv4('10.99.0.2', '10.99.0.1', 17, udp);
  let total = 0;
  for (let batch = 0; batch < FRAMES / 32; batch++) {
    const pieces = [frame.subarray(0, 28), frame.subarray(28)];
    for (let index = 0; index < 32; index++) rings.send(pieces);
    total += nanoseconds(() => native.writeBatch(fd, rings.memory.buffer, rings.ringAddress), 1);
  }
  return total / FRAMES;
}

async function wakeUp({ native, fd, rings, socket }: Setup): Promise<number> {
  let arrived: () => void = () => undefined;
  let started = 0n;
  let waited = 0;
  const poll = native.startPoll(fd, true, false, () => {
    waited = Number(hrtime.bigint() - started);
    native.readBatch(fd, rings.memory.buffer, rings.ringAddress, 32);
    rings.takeAll();
    arrived();
  });
  const samples: number[] = [];
  for (let round = 0; round < 500; round++) {
    await turn();
    const wait = new Promise<void>((done) => (arrived = done));
    started = hrtime.bigint();
    socket.send('x', 9, '10.99.0.2');
    await wait;
    samples.push(waited);
  }
  native.stopPoll(poll);
  return median(samples);
}

async function measure(native: Native): Promise<Record<string, number>> {
  const { fd, name } = native.openTun({ vnetHdr: true });
  native.setOffload(fd, 15);
  native.quietIpv6(name);
  native.setMtu(name, 65_535);
  native.addAddress(name, '10.99.0.1', 24);
  native.linkUp(name, true);
  const frames = { rxEntries: 32, rxCapacity: 66_000, txSlots: 32, txFrameBytes: 66_000 };
  const rings = new RingMemory({ flags: LINK_VNET_HDR, ...frames });
  const socket = createSocket('udp4');
  const sink = createSocket('udp4'); // full within a round: it drops the rest
  sink.bind(0, '10.99.0.1');
  await once(sink, 'listening');
  const setup: Setup = { native, fd, rings, socket };
  const { port } = sink.address();
  const result = {
    'call that reads nothing (max 0)': await rounds(() => callsAlone(setup, 0)),
    'empty queue': await rounds(() => callsAlone(setup, 64)),
    'read 1,500 B': await rounds(() => reads(setup, 1500)),
    'read 64 KiB': await rounds(() => reads(setup, 65_000)),
    'write 1,500 B': await rounds(() => writes(setup, port, 1500)),
    'write 64 KiB': await rounds(() => writes(setup, port, 65_000)),
    'datagram sent to callback': await wakeUp(setup),
  };
  socket.close();
  sink.close();
  native.closeTun(fd);
  return result;
}

if (env[INSIDE] === undefined) {
  const options = getuid?.() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net'];
  const command = [...options, execPath, argv[1] as string];
  const run = spawnSync('unshare', command, {
    stdio: 'inherit',
    env: { ...env, [INSIDE]: '1' },
  });
  if (run.error) console.error(`unshare: ${run.error.message}`);
  exit(run.status ?? 1);
}

const results: Record<string, Record<string, number>> = {};
for (const kind of ['addon', 'koffi']) {
  const { native, reasons } = chooseNative(kind);
  if (native === undefined) console.log(reasons.join());
  else results[kind] = await measure(native);
}
console.log(`nanoseconds, medians of ${ROUNDS} rounds`.padEnd(40), Object.keys(results).join('  '));
for (const what of Object.keys(Object.values(results)[0] ?? {})) {
  const row = Object.values(results).map((each) => String(Math.round(each[what] ?? 0)).padStart(6));
  console.log(what.padEnd(40), row.join(' '));
}
