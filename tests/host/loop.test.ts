/**
 * The loop of the Node host over the in-process wire, in real time: data, latency, what keeps the
 * process alive, and what happens when a listener throws or the engine stops.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Link } from '../../host/node/link/link.js';
import { createWire } from '../../host/node/link/wire.js';
import { Stack } from '../../host/node/index.js';

const run = promisify(execFile);
const SERVER = '10.0.0.2';

async function stacks(offload: boolean): Promise<{
  client: Stack; server: Stack; [Symbol.asyncDispose](): Promise<void>;
}> {
  const wire = createWire({ offload });
  const client = await Stack.create({ links: [wire.a], addresses: ['10.0.0.1/24'] });
  const server = await Stack.create({ links: [wire.b], addresses: [`${SERVER}/24`] });
  return {
    client, server,
    async [Symbol.asyncDispose]() {
      await client.closeSockets();
      await server.closeSockets();
      await client.close();
      await server.close();
    },
  };
}

for (const offload of [true, false]) {
  test(`64 MiB each way at once · offload ${offload ? 'on' : 'off'} · hashes equal`, async () => {
    await using pair = await stacks(offload);
    const block = Buffer.alloc(1 << 20, 'abcdefg');
    const rounds = 64;
    const expected = createHash('sha256');
    for (let round = 0; round < rounds; round++) expected.update(block);
    const want = expected.digest('hex');
    const transfer = async (socket: NodeJS.ReadWriteStream): Promise<string> => {
      const hash = createHash('sha256');
      const sending = (async () => {
        for (let round = 0; round < rounds; round++) {
          if (!socket.write(block)) await once(socket, 'drain');
        }
        socket.end();
      })();
      for await (const chunk of socket) hash.update(chunk as Buffer);
      await sending;
      return hash.digest('hex');
    };
    const server = pair.server.listen({ port: 5, allowHalfOpen: true });
    const accepted = once(server, 'connection');
    const client = await pair.client.open({ address: SERVER, port: 5, allowHalfOpen: true });
    const [peer] = await accepted;
    assert.deepEqual(await Promise.all([transfer(client), transfer(peer)]), [want, want]);
    server.close();
    const { TcpRetransSegs } = pair.client.counters();
    assert.equal(TcpRetransSegs, 0, 'a wire loses nothing');
  });
}

test('latency · a write is in the engine of the peer before the next timer', async () => {
  await using pair = await stacks(true);
  const server = pair.server.listen({ port: 5 }, (socket) => {
    socket.setNoDelay(true);
    socket.pipe(socket);
  });
  const client = await pair.client.open({ address: SERVER, port: 5 });
  client.setNoDelay(true);
  const times: number[] = [];
  for (let round = 0; round < 300; round++) {
    const start = performance.now();
    client.write('x');
    await once(client, 'data');
    times.push(performance.now() - start);
  }
  times.sort((left, right) => left - right);
  // A timer of Node waits a millisecond: the median must be well below, on a busy machine too.
  const median = times[150] as number;
  assert.ok(median < 0.9, `median round trip ${median.toFixed(3)} ms`);
  client.destroy();
  server.close();
});

test('many writes of one tick make one poll and few segments', async () => {
  await using pair = await stacks(true);
  const server = pair.server.listen({ port: 5 }, (socket) => socket.resume());
  const client = await pair.client.open({ address: SERVER, port: 5 });
  const before = pair.client.counters().TcpOutSegs;
  for (let round = 0; round < 100; round++) client.write('0123456789');
  await new Promise((resolve) => setImmediate(resolve));
  const sent = pair.client.counters().TcpOutSegs - before;
  assert.ok(sent >= 1 && sent <= 2, `${sent} segments for 1,000 bytes`);
  client.destroy();
  server.close();
});

/** A device that has a frame whenever it is asked, and takes 2 ms to give it. */
function flooded(link: Link, onRead: () => void): Link {
  return {
    name: link.name, mtu: link.mtu, flags: link.flags,
    attach: (memory, ringAddress, wake) => link.attach(memory, ringAddress, wake),
    readBatch(max) {
      onRead();
      const until = performance.now() + 2;
      while (performance.now() < until) link.readBatch(max);
      return 1;
    },
    writeBatch: () => link.writeBatch(),
    ref: () => link.ref(), unref: () => link.unref(), close: () => link.close(),
  };
}

test('a device that always has frames · timers and other I/O get their turn', async () => {
  const wire = createWire();
  let reads = 0;
  const stack = await Stack.create({
    links: [flooded(wire.a, () => { reads++; })], addresses: ['10.0.0.1/24'],
  });
  const socket = stack.connect({ address: SERVER, port: 5 });
  let most = 0;
  for (let round = 0; round < 20; round++) {
    const before = reads;
    await nextTurn();
    most = Math.max(most, reads - before);
  }
  socket.destroy();
  await stack.close();
  wire.b.close();
  assert.ok(reads >= 10, `${reads} reads: the device is not flooded`);
  assert.ok(most <= 2, `${most} reads of 2 ms before a turn of the event loop`);
});

/** Runs a program that has two stacks on a wire; gives what it printed. */
async function program(body: string): Promise<string> {
  const root = new URL('../../', import.meta.url);
  const source = `
    import { createWire } from '${new URL('host/node/link/wire.js', root).href}';
    import { Stack } from '${new URL('host/node/index.js', root).href}';
    const wire = createWire();
    const client = await Stack.create({ links: [wire.a], addresses: ['10.0.0.1/24'] });
    const server = await Stack.create({ links: [wire.b], addresses: ['10.0.0.2/24'] });
    ${body}`;
  const args = ['--input-type=module', '--eval', source];
  const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
  return stdout;
}

test('alive · a stack without sockets keeps no process', async () => {
  assert.equal(await program('console.log("end");'), 'end\n');
});

test('alive · exactly while a referenced socket or server exists', async () => {
  const out = await program(`
    const s = server.listen({ port: 5, allowHalfOpen: true }, (socket) => {
      socket.on('data', (d) => { console.log(String(d)); socket.end(); s.close(); });
    });
    const c = client.connect({ address: '10.0.0.2', port: 5 });
    c.on('close', () => console.log('closed')).resume();
    setTimeout(() => c.write('late'), 100);`);
  assert.equal(out, 'late\nclosed\n');
  const unref = await program(`
    server.listen({ port: 5 }, (socket) => socket.unref()).unref();
    const c = client.connect({ address: '10.0.0.2', port: 5 }, () => {
      console.log('connected');
      c.unref();
    });`);
  assert.equal(unref, 'connected\n');
});

test('errors · a listener that throws is an uncaught exception and stops nobody else', async () => {
  const out = await program(`
    process.on('uncaughtException', (error) => console.log(error.message));
    const s = server.listen({ port: 5 }, (socket) => { socket.resume(); throw new Error('mine'); });
    const c = client.connect({ address: '10.0.0.2', port: 5 }).resume();
    c.once('connect', () => setTimeout(() => { c.end(); s.close(); }, 50));
    c.once('close', () => console.log('closed'));`);
  assert.equal(out, 'mine\nclosed\n');
});
