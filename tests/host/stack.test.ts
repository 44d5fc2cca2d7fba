/**
 * The Stack's sockets and servers as Node's streams, on a pair in virtual time: life and errors,
 * back pressure, options, half close, time-outs, fast paths; and that the pair finds what is left
 * open.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { createPair, type Pair } from '../../host/testing/index.js';
import type { StackServer, StackSocket } from '../../host/node/index.js';

interface Ends {
  client: StackSocket;
  peer: StackSocket;
  server: StackServer;
}

/** A connection and both its ends. */
async function connected(pair: Pair, halfOpen = false): Promise<Ends> {
  const server = pair.server.listen({ port: 80, allowHalfOpen: halfOpen });
  const accepted = once(server, 'connection') as Promise<[StackSocket]>;
  const address = pair.serverAddress;
  const client = await pair.client.open({ address, port: 80, allowHalfOpen: halfOpen });
  const [peer] = await accepted;
  server.close();
  return { client, peer, server };
}

/** Both 'close' events. */
async function closed(...sockets: StackSocket[]): Promise<void> {
  const open = sockets.filter((socket) => !socket.closed);
  await Promise.all(open.map((socket) => once(socket, 'close')));
}

test('names · both ends know both ends, also after the end', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair);
  assert.equal(client.remoteAddress, pair.serverAddress);
  assert.equal(client.remotePort, 80);
  assert.equal(client.localPort, peer.remotePort);
  assert.deepEqual(peer.address(), { address: pair.serverAddress, family: 'IPv4', port: 80 });
  assert.deepEqual([client.state, peer.state], ['ESTABLISHED', 'ESTABLISHED']);
  assert.equal(client.readyState, 'open');
  peer.resume();
  client.resume();
  client.end();
  await closed(client, peer);
  assert.equal(client.remoteAddress, pair.serverAddress);
  assert.deepEqual([client.state, client.readyState], ['CLOSE', 'closed']);
});

test('half close · one side ends, the other goes on', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair, true);
  peer.resume();
  client.end('first');
  await once(peer, 'end');
  await pair.sleep(1);
  assert.deepEqual([peer.readyState, client.state], ['writeOnly', 'FIN_WAIT2']);
  peer.end('second');
  let text = '';
  for await (const chunk of client) text += String(chunk);
  assert.equal(text, 'second');
  await closed(client, peer);
});

test('back pressure · a reader that stops closes the window, and opens it again', async () => {
  // Node 22 reads 64 KiB ahead, Node 20 sixteen: after the larger first read the window would grow
  // to more than the arena holds, and pressure, not the window, would be what stops the peer.
  const config = { tcp_rmem_max: 1 << 20 };
  await using pair = await createPair({ faults: { delayMs: 5 }, config });
  const { client, peer } = await connected(pair);
  const block = Buffer.alloc(64 * 1024, 1);
  for (let round = 0; round < 256; round++) client.write(block);
  await pair.sleep(5000);
  const stalledAt = client.bytesWritten - client.writableLength;
  await pair.sleep(5000);
  assert.equal(client.bytesWritten - client.writableLength, stalledAt, 'nothing moves');
  assert.ok(stalledAt < 8e6 && client.writableNeedDrain);
  const window = client.tcpInfo()?.snd_wnd ?? -1;
  assert.ok(window < 1460, `the peer's window is ${window}`);
  const drained = once(client, 'drain');
  peer.resume();
  await drained;
  client.end();
  client.resume();
  await closed(client, peer);
  assert.equal(peer.bytesRead, client.bytesWritten);
});

test('reset · the peer of resetAndDestroy gets ECONNRESET', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair);
  peer.resume();
  const failed = once(peer, 'error');
  client.resetAndDestroy();
  const [error] = await failed;
  assert.deepEqual([error.code, error.syscall, error.errno], ['ECONNRESET', 'read', -104]);
  await closed(client, peer);
});

test('destroy with unread data · the peer is reset; without, it sees an end', async () => {
  await using pair = await createPair();
  const rude = await connected(pair);
  // More than a paused stream takes into its own buffer.
  rude.client.write(Buffer.alloc(200_000));
  await pair.sleep(100);
  const failed = once(rude.client.resume(), 'error');
  rude.peer.destroy();
  assert.equal((await failed)[0].code, 'ECONNRESET');
  const kind = await connected(pair);
  const ended = once(kind.client.resume(), 'end');
  kind.peer.destroy();
  await ended;
  await closed(kind.client, kind.peer);
});

test('write after the peer is gone · EPIPE or ECONNRESET, callback told', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair, true);
  client.on('error', () => undefined);
  client.resume();
  peer.destroy();
  await pair.sleep(100);
  client.write('into the void');
  await pair.sleep(100);
  const told = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
    client.write('again', resolve);
  });
  assert.match(String(told?.code), /EPIPE|ECONNRESET|ERR_STREAM_DESTROYED/);
  await closed(client);
});

test('destroy with a write under way · its callback gets an error', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair);
  peer.resume();
  client.resume();
  const told = new Promise<Error | null | undefined>((resolve) => {
    client.write(Buffer.alloc(32e6), resolve);
  });
  client.destroy();
  assert.equal(((await told) as NodeJS.ErrnoException).code, 'ERR_STREAM_DESTROYED');
  await closed(client);
  peer.destroy();
  await closed(peer);
});

test('connect · EADDRINUSE, bad address, abort', async () => {
  await using pair = await createPair({ faults: { delayMs: 50 } });
  const server = pair.server.listen({ port: 80 });
  assert.throws(() => pair.server.listen({ port: 80 }), { code: 'EADDRINUSE', syscall: 'listen' });
  assert.throws(() => pair.client.connect({ address: 'example', port: 1 }), {
    code: 'ERR_INVALID_IP_ADDRESS',
  });
  assert.throws(() => pair.client.connect({ address: '10.0.0.1', port: 70_000 }), {
    code: 'ERR_SOCKET_BAD_PORT',
  });
  const aborting = new AbortController();
  const attempt = pair.client.open({
    address: pair.serverAddress, port: 80, signal: aborting.signal,
  });
  aborting.abort();
  await assert.rejects(attempt, { name: 'AbortError' });
  await pair.sleep(200);
  server.close();
});

test('setTimeout · tells once after silence, and not while there is activity', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair);
  peer.resume();
  client.resume();
  let told = 0;
  client.setTimeout(1000, () => { told++; });
  for (let round = 0; round < 5; round++) {
    await pair.sleep(600);
    client.write('x');
  }
  assert.equal(told, 0);
  const start = pair.nowMs;
  await once(client, 'timeout');
  assert.ok(pair.nowMs - start >= 990 && pair.nowMs - start < 1100, `${pair.nowMs - start} ms`);
  await pair.sleep(5000);
  assert.equal(told, 1);
  client.end();
  await closed(client, peer);
});

test('options · set, read, refused by name', async () => {
  await using pair = await createPair();
  const { client, peer } = await connected(pair);
  client.setNoDelay(true);
  assert.equal(client.getOption('TCP_NODELAY'), 1);
  client.setKeepAlive(true, 30_000);
  assert.deepEqual([client.getOption('SO_KEEPALIVE'), client.getOption('TCP_KEEPIDLE')], [1, 30]);
  client.setOption('TCP_CONGESTION', 'reno');
  assert.throws(() => client.setOption('TCP_CONGESTION', 'vegas'), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
  assert.equal(client.tcpInfo()?.congestion, 'reno');
  assert.ok((client.info()?.rtt_us ?? 0) >= 0);
  peer.destroy();
  client.destroy();
  await closed(client, peer);
  assert.throws(() => client.getOption('TCP_NODELAY'), { code: 'EBADF' });
});

test('fast paths · a pattern in, counted and dropped at the other side', async () => {
  await using pair = await createPair({ faults: { delayMs: 1, rate: 100e6 } });
  const { client, peer } = await connected(pair);
  let dropped = 0;
  let taken = 0;
  let looked = 0;
  peer.on('data', () => { looked++; });
  peer.discardAll((bytes) => { dropped += bytes; });
  const pattern = client.sendPattern(Buffer.from('0123456789'), (bytes) => { taken += bytes; });
  await pair.sleep(1000);
  pattern.stop();
  client.end();
  client.resume();
  await closed(client, peer);
  assert.equal(looked, 0);
  assert.ok(taken > 5e6, `${taken} bytes in a second of 100 Mbit/s`);
  assert.deepEqual([dropped, peer.bytesRead, client.bytesWritten], [taken, taken, taken]);
});

test('discardAll · bytes that came before it count too', async () => {
  await using pair = await createPair();
  let dropped = 0;
  const server = pair.server.listen({ port: 80 }, (socket) => socket.write(Buffer.alloc(40_000)));
  const client = pair.client.connect({ address: pair.serverAddress, port: 80 });
  await pair.sleep(500);
  assert.ok(client.readableLength > 0, 'nothing waits: the test tests nothing');
  client.discardAll((bytes) => { dropped += bytes; });
  await pair.sleep(500);
  assert.deepEqual([dropped, client.bytesRead, client.readableLength], [40_000, 40_000, 0]);
  client.destroy();
  server.close();
});

test('onread · the user’s buffer is filled, false pauses', async () => {
  await using pair = await createPair();
  const server = pair.server.listen({ port: 80 }, (socket) => socket.end(Buffer.alloc(5000, 7)));
  const buffer = Buffer.alloc(1000);
  const seen: number[] = [];
  const client = pair.client.connect({
    address: pair.serverAddress, port: 80,
    onread: { buffer, callback: (bytes) => { seen.push(bytes); return seen.length !== 2; } },
  });
  await pair.sleep(100);
  assert.deepEqual(seen, [1000, 1000]);
  client.resume();
  await closed(client);
  assert.equal(seen.reduce((sum, bytes) => sum + bytes), 5000);
  server.close();
});

test('maxConnections · the others wait in the queue', async () => {
  await using pair = await createPair();
  const server = pair.server.listen({ port: 80, maxConnections: 1 });
  const address = pair.serverAddress;
  const first = await pair.client.open({ address, port: 80 });
  const second = await pair.client.open({ address, port: 80 });
  await pair.sleep(100);
  assert.equal(server.sockets.size, 1);
  const accepted = once(server, 'connection');
  first.destroy();
  for (const socket of server.sockets) socket.resume();
  await accepted;
  second.destroy();
  server.close();
  for (const socket of server.sockets) socket.resume();
  await once(server, 'close');
});

test('leaks · what is left open is named', async () => {
  const pair = await createPair();
  const { client } = await connected(pair);
  await assert.rejects(pair[Symbol.asyncDispose](), (error: Error) => {
    assert.match(error.message, /client: connection with 10\.0\.1\.2:80/);
    assert.match(error.message, /server: connection with 10\.0\.1\.1:/);
    return true;
  });
  assert.ok(client.destroyed);
});

test('real time · the same pair by the clock on the wall', async () => {
  const start = performance.now();
  {
    await using pair = await createPair({ virtualTime: false, faults: { delayMs: 20 } });
    const { client, peer } = await connected(pair);
    client.end('ping');
    const [chunk] = await once(peer, 'data');
    assert.equal(String(chunk), 'ping');
    client.resume();
    peer.resume();
    await closed(client, peer);
  }
  const took = performance.now() - start;
  assert.ok(took >= 60, `three one-way delays take ${took} ms`);
});
