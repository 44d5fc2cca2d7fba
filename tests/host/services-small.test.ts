/**
 * echo, discard, chargen and daytime over the kernel's loopback, through the services' seam:
 * bytes, half close, back-pressure and resets.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chargenPattern, chargenServer } from '../../host/node/services/chargen.js';
import { daytimeLine, daytimeServer } from '../../host/node/services/daytime.js';
import { discardServer } from '../../host/node/services/discard.js';
import { echoServer } from '../../host/node/services/echo.js';
import {
  kernelTransport, type Service, type ServiceSocket,
} from '../../host/node/services/seam.js';

const anyPort = { port: 0, address: '127.0.0.1' };

async function started(t: TestContext, service: Promise<Service>): Promise<Service> {
  const running = await service;
  t.after(() => running.close());
  return running;
}

async function connected(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function readAll(socket: ServiceSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('echo · 3 MB and a half close · the same bytes, then FIN', async (t) => {
  const service = await started(t, echoServer(kernelTransport, anyPort));
  const socket = await connected(t, service.port);
  const sent = randomBytes(3_000_000);
  socket.end(sent);
  const got = await readAll(socket);
  assert.ok(got.equals(sent), `${got.length} bytes came back, or not the same`);
});

test('echo · a peer that never reads · the service stops reading', async (t) => {
  let accepted: ServiceSocket | undefined;
  const watched = {
    ...kernelTransport,
    listen: (port: number, on: (s: ServiceSocket) => void, o?: { address?: string }) =>
      kernelTransport.listen(port, (s) => { accepted = s; on(s); }, o),
  };
  const service = await started(t, echoServer(watched, anyPort));
  const socket = await connected(t, service.port);
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < 64; i++) socket.write(block);
  await sleep(300);
  assert.ok(socket.writableLength > 0, 'the service took all 64 MiB in');
  assert.ok(accepted!.writableLength <= 4 * accepted!.writableHighWaterMark + 65_536);
});

test('echo · RST in mid-stream · the next connection is served', async (t) => {
  const service = await started(t, echoServer(kernelTransport, anyPort));
  const rude = await connected(t, service.port);
  rude.on('error', () => undefined);
  rude.write(Buffer.alloc(1 << 20));
  await sleep(20);
  rude.resetAndDestroy();
  const polite = await connected(t, service.port);
  polite.end('still there?');
  assert.equal((await readAll(polite)).toString(), 'still there?');
});

test('discard · bytes and half close · counted, nothing comes back, FIN', async (t) => {
  let total = 0;
  const count = (n: number): void => { total += n; };
  const service = await started(t, discardServer(kernelTransport, anyPort, count));
  const socket = await connected(t, service.port);
  socket.end(Buffer.alloc(5_000_000));
  assert.equal((await readAll(socket)).length, 0);
  assert.equal(total, 5_000_000);
});

test('discard · a socket with discardAll · the fast way is taken', async (t) => {
  let total = 0;
  const fast = {
    ...kernelTransport,
    listen: (port: number, on: (s: ServiceSocket) => void, o?: { address?: string }) =>
      kernelTransport.listen(port, (s) => {
        s.discardAll = (onBytes) => {
          s.on('data', (chunk: Buffer) => onBytes(chunk.length * 1000));
        };
        on(s);
      }, o),
  };
  const count = (n: number): void => { total += n; };
  const service = await started(t, discardServer(fast, anyPort, count));
  const socket = await connected(t, service.port);
  socket.end('abc');
  await readAll(socket);
  assert.equal(total, 3000);
});

test('chargen · three megabytes · 72-character lines that rotate by one', async (t) => {
  const service = await started(t, chargenServer(kernelTransport, anyPort));
  const socket = await connected(t, service.port);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > 3_000_000) break; // destroys the socket: the service must survive it
  }
  const lines = Buffer.concat(chunks).toString('latin1').split('\r\n').slice(0, -1);
  assert.equal(lines[0], String.fromCharCode(...Array.from({ length: 72 }, (_, i) => 32 + i)));
  for (let i = 1; i < lines.length; i++) {
    assert.equal(lines[i]!.length, 72);
    assert.equal(lines[i]!.slice(0, 71), lines[i - 1]!.slice(1), `line ${i}`);
  }
  const again = await connected(t, service.port);
  const [first] = (await once(again, 'data')) as [Buffer];
  assert.equal(first.subarray(0, 74).toString(), `${lines[0]}\r\n`);
  assert.equal(chargenPattern(2).length, 2 * 95 * 74);
});

test('chargen · the peer ends its side · the last block and FIN', async (t) => {
  const service = await started(t, chargenServer(kernelTransport, anyPort));
  const socket = await connected(t, service.port);
  socket.end();
  assert.ok((await readAll(socket)).length > 0);
});

test('chargen · a peer that never reads · at most one block beyond the mark waits', async (t) => {
  let accepted: ServiceSocket | undefined;
  const watched = {
    ...kernelTransport,
    listen: (port: number, on: (s: ServiceSocket) => void, o?: { address?: string }) =>
      kernelTransport.listen(port, (s) => { accepted = s; on(s); }, o),
  };
  const service = await started(t, chargenServer(watched, anyPort));
  await connected(t, service.port);
  await sleep(300);
  assert.ok(accepted!.writableLength > 0, 'the send buffer should have filled');
  // Node 20 stops a writer at 16 KiB, Node 22 at 64.
  const mark = (accepted as unknown as net.Socket).writableHighWaterMark;
  assert.ok(accepted!.writableLength < mark + chargenPattern().length);
});

test('daytime · connect · one line of the clock, then FIN', async (t) => {
  const now = new Date(Date.UTC(1982, 1, 22, 17, 37, 43));
  assert.equal(daytimeLine(now), 'Monday, February 22, 1982 17:37:43-UTC\r\n');
  const service = await started(t, daytimeServer(kernelTransport, anyPort, () => now));
  const socket = await connected(t, service.port);
  assert.equal((await readAll(socket)).toString(), daytimeLine(now));
});

test('daytime · unread input · the line arrives, and nothing is left open', async (t) => {
  let accepted: ServiceSocket | undefined;
  const watched = {
    ...kernelTransport,
    listen: (port: number, on: (s: ServiceSocket) => void, o?: { address?: string }) =>
      kernelTransport.listen(port, (s) => { accepted = s; on(s); }, o),
  };
  const service = await started(t, daytimeServer(watched, anyPort));
  const socket = await connected(t, service.port);
  socket.end(Buffer.alloc(100_000));
  assert.match((await readAll(socket)).toString(), /^\w+, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n$/);
  await sleep(100);
  assert.ok(accepted!.closed);
});

test('any service · close · its open connections end', async () => {
  const service = await echoServer(kernelTransport, anyPort);
  const socket = net.connect(service.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('x');
  await once(socket, 'data');
  await service.close();
  if (!socket.closed) await once(socket, 'close');
  const refused = kernelTransport.connect({ host: '127.0.0.1', port: service.port });
  await assert.rejects(refused, { code: 'ECONNREFUSED' });
});
