/**
 * How to test a program against a bad network with `ackorn/testing`: two TCP stacks in this
 * process, a wire between them that does what you say, and a clock that runs as fast as it can.
 * Needs no privileges. Whatever a test leaves open, `await using` finds.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createPair } from '../../host/testing/index.js';

test('a request and its answer', async () => {
  await using pair = await createPair();
  const server = pair.server.listen({ port: 80 }, (socket) => {
    socket.setEncoding('utf8');
    socket.on('data', (name) => socket.end(`Hello ${name}!`));
  });

  const socket = await pair.client.open({ address: pair.serverAddress, port: 80 });
  socket.write('world');
  let answer = '';
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk;

  assert.equal(answer, 'Hello world!');
  server.close();
});

test('a megabyte over a bad line, in no time', async () => {
  await using pair = await createPair({
    seed: 7,
    faults: { loss: 0.02, delayMs: 50, reorder: 0.01, duplicate: 0.01, corrupt: 0.005 },
  });
  const hash = createHash('sha256');
  const server = pair.server.listen({ port: 9 }, (socket) => {
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => socket.end());
  });

  const data = Buffer.alloc(1_000_000, 'All work and no play makes Jack a dull boy. ');
  const socket = await pair.client.open({ address: pair.serverAddress6, port: 9 });
  socket.end(data);
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));

  assert.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
  assert.ok(pair.nowMs > 500, 'many round trips of 100 ms have passed on the pair’s clock');
  assert.ok((pair.client.counters().TcpRetransSegs ?? 0) > 0, 'the line was bad');
  server.close();
});

test('nobody listens', async () => {
  await using pair = await createPair({ faults: { delayMs: 20 } });
  await assert.rejects(pair.client.open({ address: pair.serverAddress, port: 81 }), {
    code: 'ECONNREFUSED', syscall: 'connect', address: pair.serverAddress, port: 81,
  });
});

test('nobody is there: Linux gives up after two minutes and some', async () => {
  await using pair = await createPair({ faults: { loss: 1 } });
  const before = pair.nowMs;
  await assert.rejects(pair.client.open({ address: pair.serverAddress, port: 80 }), {
    code: 'ETIMEDOUT',
  });
  assert.ok(pair.nowMs - before > 120_000);
});
