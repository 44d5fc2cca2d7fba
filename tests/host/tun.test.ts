/**
 * TunLink and readiness: wake-ups, callback scopes, full rings, devices that go away, errors in
 * plain words, and what remains when a worker or the process ends: nothing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { execPath, hrtime } from 'node:process';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { LINK_ETHERNET, LINK_TSO4, LINK_VNET_HDR, LinkWord } from '../../assembly/abi.js';
import { NativeError, chooseNative, parseCidr } from '../../host/node/addon/index.js';
import type { Native } from '../../host/node/addon/index.js';
import { TunLink } from '../../host/node/link/tun.js';
import type { TunLinkOptions } from '../../host/node/link/tun.js';
import { buildAddon } from '../../tools/build-addon.js';
import {
  namespaceKind,
  plainEnvironment,
  runInNamespaces,
  tunDescriptors,
} from './fixtures/namespace.js';
import { echo4, ipv4 } from './fixtures/packets.js';
import { RingMemory } from './fixtures/ring-memory.js';

const OURS = '10.99.0.2';
const INDEX = new URL('../../host/node/addon/index.js', import.meta.url).href;
const TUN = new URL('../../host/node/link/tun.js', import.meta.url).href;
const FIXTURE = new URL('./fixtures/ring-memory.js', import.meta.url).href;

const open = (native: Native, more: TunLinkOptions = {}): TunLink =>
  TunLink.open({ addresses: ['10.99.0.1/24', 'fd99::1/64'], ...more }, native);

const send = (text: string, to = OURS): Promise<void> =>
  new Promise((done, fail) => {
    const socket = createSocket('udp4');
    socket.send(text, 9, to, (error) => {
      socket.close();
      if (error) fail(error);
      else done();
    });
  });

/** Resolves when `condition` holds; gives up after two seconds. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (let step = 0; step < 1000; step++) {
    if (condition()) return;
    await delay(2);
  }
  throw new Error(`it did not happen: ${what}`);
}

async function moves(native: Native): Promise<void> {
  const link = open(native);
  assert.equal(link.mtu, 1500);
  assert.equal(link.flags & (LINK_VNET_HDR | LINK_TSO4), LINK_VNET_HDR | LINK_TSO4);
  const rings = new RingMemory({ flags: link.flags, rxCapacity: 66_000 });
  const got: string[] = [];
  link.attach(rings.memory, rings.ringAddress, () => {
    link.readBatch(64);
    for (const { bytes } of rings.takeAll()) got.push(bytes.toString('latin1'));
  });
  await send('wake up');
  await until(() => got.some((frame) => frame.includes('wake up')), 'the datagram');
  rings.send([ipv4(OURS, '10.99.0.1', 1, echo4(9, Buffer.from('answer me')))]);
  assert.equal(link.writeBatch(), 1);
  await until(() => got.some((frame) => frame.includes('answer me')), 'the echo reply');
  link.close();
  link.close();
  assert.equal(link.readBatch(1), 0);
  assert.equal(link.writeBatch(), 0);
  assert.equal(native.interfaceExists(link.name), false);
}

async function fullRingPauses(native: Native): Promise<void> {
  const link = open(native, { offload: false });
  assert.equal(link.flags & LINK_VNET_HDR, 0);
  const rings = new RingMemory({ flags: link.flags, rxEntries: 4 });
  let wakes = 0;
  let consume = false;
  const seen: string[] = [];
  link.attach(rings.memory, rings.ringAddress, () => {
    wakes++;
    if (consume) link.readBatch(64);
    if (consume) for (const { bytes } of rings.takeAll()) seen.push(bytes.toString('latin1', 28));
  });
  for (let index = 0; index < 12; index++) await send(`n${index}`);
  link.readBatch(64);
  assert.equal(rings.get(LinkWord.rxHead), 4);
  await turn();
  await turn();
  const before = wakes;
  await delay(20);
  assert.ok(wakes - before <= 1, `a full ring wakes nobody: ${wakes - before} wake-ups`);
  consume = true;
  // The engine polls and takes what is there; the link must bring the rest by itself.
  for (const { bytes } of rings.takeAll()) seen.push(bytes.toString('latin1', 28));
  link.readBatch(64);
  await until(() => seen.filter((text) => /^n\d+$/.test(text)).length === 12, 'all twelve');
  const numbers = seen.filter((text) => /^n\d+$/.test(text));
  assert.deepEqual(numbers, Array.from({ length: 12 }, (_, index) => `n${index}`));
  link.close();
}

async function callbackScope(native: Native): Promise<void> {
  const order: string[] = [];
  const descriptors: number[] = [];
  for (const subnet of ['10.99.0', '10.97.0']) {
    const { fd, name } = native.openTun({ vnetHdr: false });
    native.addAddress(name, `${subnet}.1`, 24);
    native.linkUp(name, true);
    await send('x', `${subnet}.2`);
    descriptors.push(fd);
  }
  // Both are readable: libuv calls back twice in one turn, and promises must run in between.
  for (const fd of descriptors) {
    const poll = native.startPoll(fd, true, false, (status, events) => {
      assert.deepEqual([status, events & 1], [0, 1]);
      native.stopPoll(poll);
      order.push('callback');
      process.nextTick(() => order.push('tick'));
      void Promise.resolve().then(() => order.push('promise'));
    });
    assert.ok(poll > 0);
  }
  await until(() => order.length === 6, 'both callbacks');
  const once = ['callback', 'tick', 'promise'];
  assert.deepEqual(order, [...once, ...once]);
  descriptors.forEach((fd) => native.closeTun(fd));
}

async function pollNumbers(native: Native): Promise<void> {
  const { fd } = native.openTun({ vnetHdr: false });
  const poll = native.startPoll(fd, true, false, () => undefined);
  assert.equal(native.startPoll(fd, true, false, () => undefined), -17, 'EEXIST');
  assert.equal(native.startPoll(9999, true, false, () => undefined), -9, 'EBADF');
  const file = openSync('/proc/self/status', 'r');
  assert.equal(native.startPoll(file, true, false, () => undefined), -1, 'EPERM');
  closeSync(file);
  assert.equal(native.updatePoll(poll, false, true), 0);
  assert.equal(native.updatePoll(poll, false, false), 0);
  native.stopPoll(poll);
  native.stopPoll(poll);
  assert.equal(native.updatePoll(poll, true, false), -9, 'EBADF');
  assert.equal(native.refPoll(poll, true), -9);
  native.closeTun(fd);
}

async function callbackThrows(native: Native): Promise<void> {
  const code = `
    import { chooseNative } from '${INDEX}';
    import { createSocket } from 'node:dgram';
    const { native } = chooseNative('${native.kind}');
    const { fd, name } = native.openTun({ vnetHdr: false });
    native.addAddress(name, '10.99.0.1', 24);
    native.linkUp(name, true);
    process.on('uncaughtException', (error) => process.exit(error.message === 'mine' ? 42 : 1));
    native.startPoll(fd, true, false, () => { throw new Error('mine'); });
    createSocket('udp4').send('x', 9, '${OURS}');
  `;
  assert.equal(runModule(code).status, 42);
}

/** Deletes an interface: the one rtnetlink message that the Native has no method for. */
function deleteInterface(native: Native, name: string): void {
  const attribute = Buffer.alloc(4 + 16);
  attribute.writeUInt16LE(4 + name.length + 1, 0);
  attribute.writeUInt16LE(3, 2);
  attribute.write(name, 4);
  const request = Buffer.alloc(32 + attribute.length);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(17, 4); // RTM_DELLINK
  request.writeUInt16LE(5, 6);
  request.set(attribute, 32);
  const reply = Buffer.alloc(1024);
  assert.ok(native.rtnetlink(request, reply) > 0);
  assert.equal(reply.readInt32LE(16), 0);
}

async function deviceDeleted(native: Native): Promise<void> {
  const link = open(native);
  const rings = new RingMemory({ flags: link.flags });
  let wakes = 0;
  link.attach(rings.memory, rings.ringAddress, () => {
    wakes++;
    link.readBatch(64);
  });
  deleteInterface(native, link.name);
  await until(() => link.failure !== undefined, 'the failure');
  assert.match(link.failure?.message ?? '', /the device is gone/);
  const before = wakes;
  await delay(20);
  assert.ok(wakes - before <= 1, 'no wake-ups after');
  assert.equal(link.readBatch(1), 0);
  link.close();
}

async function tapCarriesEthernet(native: Native): Promise<void> {
  const link = open(native, { tap: true, persist: true });
  assert.match(link.name, /^tap\d+$/);
  assert.equal(link.flags & LINK_ETHERNET, LINK_ETHERNET);
  const rings = new RingMemory({ flags: link.flags, rxCapacity: 66_000 });
  const types: number[] = [];
  link.attach(rings.memory, rings.ringAddress, () => {
    link.readBatch(64);
    for (const { bytes } of rings.takeAll()) types.push(bytes.readUInt16BE(12));
  });
  await send('who has?');
  await until(() => types.includes(0x0806), 'an ARP request');
  link.close();
  assert.equal(native.interfaceExists(link.name), true, 'a persistent device stays');
  deleteInterface(native, link.name);
}

async function corruptRingThrows(native: Native): Promise<void> {
  const link = open(native);
  const rings = new RingMemory({ flags: link.flags });
  link.attach(rings.memory, rings.ringAddress, () => undefined);
  rings.set(LinkWord.rxDescriptors, 0xfffffff0);
  const isFault = (error: unknown): boolean =>
    error instanceof NativeError && error.code === 'EFAULT';
  assert.throws(() => link.readBatch(1), isFault);
  link.close();
}

function runModule(code: string, before: readonly string[] = []) {
  const command = [...before, execPath, '--input-type=module', '-e', code];
  return spawnSync(command[0] as string, command.slice(1), {
    encoding: 'utf8',
    env: plainEnvironment(),
    timeout: 20_000,
  });
}

/** Runs a module that must fail with a NativeError; returns `CODE: message`. */
function failureOf(code: string, before: readonly string[] = []): string {
  const run = runModule(
    `import { chooseNative } from '${INDEX}'; import { TunLink } from '${TUN}';
     try { ${code} } catch (e) { console.log(e.name, e.code, e.syscall, e.message); }`,
    before,
  );
  return run.stdout + run.stderr;
}

async function errorsInWords(native: Native): Promise<void> {
  const link = open(native, { name: 'busy0' });
  const attempt = (options: TunLinkOptions): NativeError => {
    try {
      TunLink.open(options, native).close();
    } catch (error) {
      assert.ok(error instanceof NativeError, String(error));
      assert.ok(!error.message.includes('\n'));
      return error;
    }
    throw new Error(`${JSON.stringify(options)} was accepted`);
  };
  const expect: readonly [TunLinkOptions, string, RegExp][] = [
    [{ name: 'busy0' }, 'EBUSY', /busy0: another program has this device open/],
    [{ name: 'lo' }, 'EINVAL', /lo: an interface of this name exists/],
    [{ name: 'a-name-of-16-bye' }, 'ENAMETOOLONG', /at most 15 bytes, this one has 16/],
    [{ name: 'a/b' }, 'ERR_INVALID_ARG_VALUE', /is no interface name/],
    [{ name: '' }, 'ERR_INVALID_ARG_VALUE', /is no interface name/],
    [{ mtu: 70_000 }, 'ERR_INVALID_ARG_VALUE', /68 to 65535/],
    [{ addresses: ['10.99.0.1'] }, 'ERR_INVALID_ARG_VALUE', /write one like 10.99.0.1\/24/],
    [{ addresses: ['10.99.0.1/33'] }, 'ERR_INVALID_ARG_VALUE', /a number from 0 to 32/],
    [{ addresses: ['10.99.0/24'] }, 'ERR_INVALID_ARG_VALUE', /no address with a prefix/],
    [{ addresses: ['fd99::1/129'] }, 'ERR_INVALID_ARG_VALUE', /0 to 128/],
    [{ addresses: ['fd99::1/6x'] }, 'ERR_INVALID_ARG_VALUE', /0 to 128/],
  ];
  for (const [options, code, message] of expect) {
    const error = attempt(options);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
  }
  link.close();
  assert.throws(() => native.linkUp('nowhere0', true), /no such interface.*ENODEV/);
  assert.throws(() => native.addAddress('lo', '1.2.3', 8), /no IP address/);
  assert.throws(() => native.joinNetworkNamespace('/nonexistent'), /no such network namespace/);
  assert.deepEqual(tunDescriptors(), [], 'no descriptor is left');
}

async function permissionErrors(native: Native): Promise<void> {
  const choose = `const { native } = chooseNative('${native.kind}');`;
  const tryOpen = `${choose} TunLink.open({}, native);`;
  const noAdmin = failureOf(tryOpen, ['setpriv', '--bounding-set=-net_admin']);
  assert.match(noAdmin, /^NativeError EPERM TUNSETIFF tun%d: .*needs CAP_NET_ADMIN/);
  const hidden = 'mount -t tmpfs none /dev/net && exec "$@"';
  const none = failureOf(tryOpen, ['unshare', '--mount', 'sh', '-c', hidden, 'sh']);
  assert.match(none, /^NativeError ENOENT open .*there is no \/dev\/net\/tun here/);
  if (namespaceKind === 'root') {
    // A plain user before a node of mode 0600, without needing one who can read this checkout.
    const closed = `mount -t tmpfs none /dev/net && mknod -m 0 /dev/net/tun c 10 200 &&
      exec setpriv --bounding-set=-dac_override,-dac_read_search "$@"`;
    const denied = failureOf(tryOpen, ['unshare', '--mount', 'sh', '-c', closed, 'sh']);
    assert.match(denied, /^NativeError EACCES open .*this user may not open \/dev\/net\/tun/);
  }
  const set = `${choose} native.linkUp('lo', true);`;
  const noConfigure = failureOf(set, ['setpriv', '--bounding-set=-net_admin']);
  assert.match(noConfigure, /^NativeError EPERM RTM_SETLINK lo: .*needs CAP_NET_ADMIN/);
}

async function addressesStay(native: Native): Promise<void> {
  native.linkUp('lo', true);
  native.addAddress('lo', '10.98.0.1', 32);
  native.addAddress('lo', '10.98.0.1', 32);
  native.addAddress('lo', 'fd98::1', 128);
  native.awaitAddress('fd98::1');
  assert.throws(() => native.awaitAddress('fd98::2'), /fd98::2: .*is its interface up\?/);
  for (const address of ['127.0.0.1', '10.98.0.1', 'fd98::1', '::1']) {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(0, address);
    await once(socket, 'listening');
    socket.close();
  }
  assert.equal(native.interfaceExists('lo'), true);
  assert.deepEqual(parseCidr('::ffff:1.2.3.4/96'), {
    address: '::ffff:1.2.3.4',
    family: 6,
    prefixLength: 96,
  });
}

/** A worker, or a process, that opens a device, watches it, and then ends as `ending` says. */
const holder = (kind: string, ending: string): string => `
  import { chooseNative } from '${INDEX}';
  import { TunLink } from '${TUN}';
  import { RingMemory } from '${FIXTURE}';
  import { parentPort } from 'node:worker_threads';
  const { native } = chooseNative('${kind}');
  const link = TunLink.open({ name: 'held0' }, native);
  const rings = new RingMemory({ flags: link.flags });
  link.attach(rings.memory, rings.ringAddress, () => link.readBatch(64));
  parentPort?.postMessage('ready');
  ${ending}
`;

async function koffiStaysOutOfWorkers(): Promise<void> {
  const code = `import { chooseNative } from '${INDEX}';
    import { parentPort } from 'node:worker_threads';
    parentPort.postMessage(chooseNative('koffi').reasons);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  const [reasons] = (await once(worker, 'message')) as [string[]];
  assert.match(reasons.join(), /koffi is used on the main thread only/);
  await worker.terminate();
}

async function workerEnds(native: Native): Promise<void> {
  if (native.kind === 'koffi') return koffiStaysOutOfWorkers();
  for (const ending of ['', 'process.exit(3);', 'throw new Error("crash");']) {
    const code = holder(native.kind, ending && `setTimeout(() => { ${ending} }, 20);`);
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const crashed = new Promise<void>((done) => worker.once('error', () => done()));
    await once(worker, 'message');
    assert.equal(native.interfaceExists('held0'), true);
    const gone = once(worker, 'exit').catch(() => undefined);
    if (ending === '') await worker.terminate();
    await Promise.race([gone, crashed]);
    await until(() => !native.interfaceExists('held0'), 'the device to go');
  }
  assert.deepEqual(tunDescriptors(), []);
}

async function processEnds(native: Native): Promise<void> {
  const endings: Readonly<Record<string, number>> = {
    'process.exit(7);': 7,
    'setTimeout(() => process.exit(7), 5);': 7,
    'link.unref();': 0, // nothing else keeps the loop alive
    'link.close();': 0,
    'link.unref(); link.ref(); setTimeout(() => process.exit(8), 50).unref();': 8,
  };
  for (const [ending, status] of Object.entries(endings)) {
    const run = runModule(holder(native.kind, ending));
    assert.equal(run.status, status, `${ending}: ${run.stderr}`);
    assert.equal(native.interfaceExists('held0'), false, ending);
  }
}

async function wakeLatency(native: Native, context?: TestContext): Promise<void> {
  const link = open(native);
  const rings = new RingMemory({ flags: link.flags, rxCapacity: 66_000 });
  const socket = createSocket('udp4');
  let started = 0n;
  let arrived: (() => void) | undefined;
  const samples: number[] = [];
  link.attach(rings.memory, rings.ringAddress, () => {
    const now = hrtime.bigint();
    link.readBatch(64);
    if (!rings.takeAll().some(({ bytes }) => bytes.includes('latency'))) return;
    samples.push(Number(now - started));
    arrived?.();
  });
  for (let round = 0; round < 300; round++) {
    await turn();
    const wait = new Promise<void>((done) => (arrived = done));
    started = hrtime.bigint();
    socket.send('latency', 9, OURS);
    await wait;
  }
  socket.close();
  link.close();
  samples.sort((a, b) => a - b);
  const [p50 = 0, p99 = 0] = [samples[150], samples[297]];
  context?.diagnostic(`${native.kind}: wake-up p50 ${p50 / 1000} µs, p99 ${p99 / 1000} µs`);
}

type Check = (native: Native, context?: TestContext) => Promise<void>;
const TESTS: Readonly<Record<string, Check>> = {
  'frames both ways, woken by the loop': moves,
  'full RX ring · the poll pauses and goes on': fullRingPauses,
  'callback · nextTick and promises run in its scope': callbackScope,
  'polls · numbers that are taken, stale or wrong': pollNumbers,
  'callback that throws · uncaughtException': callbackThrows,
  'device deleted · failure told, no spinning': deviceDeleted,
  'TAP · Ethernet frames, a persistent device stays': tapCarriesEthernet,
  'corrupt ring · NativeError EFAULT': corruptRingThrows,
  'bad arguments and busy names · one clear line': errorsInWords,
  'no permission, no device · says which': permissionErrors,
  'addresses on lo, twice is no error': addressesStay,
  'worker ends · device and descriptor gone': workerEnds,
  'process ends · device gone, ref and unref count': processEnds,
  'wake-up latency': wakeLatency,
};

if (namespaceKind === undefined) {
  buildAddon();
  runInNamespaces(import.meta.url);
  test('ACKORN_NATIVE · none and nonsense', () => {
    assert.deepEqual(chooseNative('none').native, undefined);
    assert.throws(() => chooseNative('magic'), /must be addon, koffi or none/);
  });
} else {
  for (const kind of ['addon', 'koffi']) {
    const { native, reasons } = chooseNative(kind);
    assert.ok(native, reasons.join());
    for (const [name, run] of Object.entries(TESTS)) {
      test(`${kind} · ${name}`, (context) => run(native, context));
    }
  }
}
