/**
 * HTTP files: what is served, what is refused, and that uploads are all or nothing. Node's client
 * over the kernel's loopback, raw requests for what no client would send, and bare Duplex sockets.
 */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpServer, parseHttpArgument } from '../../host/node/services/http.js';
import { parseTarget } from '../../host/node/services/http-path.js';
import { kernelTransport, type Service } from '../../host/node/services/seam.js';
import { duplexTransport } from './duplex-transport.js';

interface Site {
  port: number;
  directory: string;
  service: Service;
}

async function makeSite(t: TestContext): Promise<string> {
  const outer = await fs.mkdtemp(path.join(os.tmpdir(), 'ackorn-http-'));
  t.after(() => fs.rm(outer, { recursive: true }));
  const directory = path.join(outer, 'site');
  await fs.mkdir(path.join(directory, 'sub'), { recursive: true });
  await fs.mkdir(path.join(outer, 'site-secret'));
  await fs.writeFile(path.join(outer, 'secret.txt'), 'secret');
  await fs.writeFile(path.join(outer, 'site-secret', 'x.txt'), 'secret');
  await fs.writeFile(path.join(directory, 'a.txt'), 'hello world');
  await fs.writeFile(path.join(directory, 'page.md'), '# Grüße');
  await fs.writeFile(path.join(directory, '.hidden'), 'hidden');
  await fs.writeFile(path.join(directory, 'a <b>&"c.txt'), 'odd name');
  await fs.symlink('a.txt', path.join(directory, 'inside-link.txt'));
  await fs.symlink('../secret.txt', path.join(directory, 'outside-link.txt'));
  await fs.symlink('../site-secret', path.join(directory, 'outside-dir'));
  await fs.symlink('loop', path.join(directory, 'loop'));
  return directory;
}

async function site(t: TestContext, writable = false): Promise<Site> {
  const directory = await makeSite(t);
  const service = await httpServer(
    kernelTransport, { port: 0, address: '127.0.0.1', directory, writable },
  );
  t.after(() => service.close());
  return { port: service.port, directory, service };
}

interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

async function fetchIt(
  port: number,
  target: string,
  options: http.RequestOptions = {},
  body?: Buffer | string,
): Promise<Reply> {
  const request = http.request({ host: '127.0.0.1', port, path: target, agent: false, ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) };
}

/** Sends bytes as they are and gives all that comes back until the server closes. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.end(bytes);
  let text = '';
  for await (const chunk of socket) text += (chunk as Buffer).toString('latin1');
  return text;
}

test('GET · files · content, type, length, charset', async (t) => {
  const { port } = await site(t);
  const text = await fetchIt(port, '/a.txt?query=1');
  assert.equal(text.status, 200);
  assert.equal(text.body.toString(), 'hello world');
  assert.equal(text.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(text.headers['content-length'], '11');
  const markdown = await fetchIt(port, '/page.md');
  assert.equal(markdown.headers['content-type'], 'text/markdown; charset=utf-8');
  assert.equal(markdown.body.toString(), '# Grüße');
  assert.equal((await fetchIt(port, '/inside-link.txt')).body.toString(), 'hello world');
  assert.equal((await fetchIt(port, `/${encodeURIComponent('a <b>&"c.txt')}`)).status, 200);
  assert.equal((await fetchIt(port, `http://any.example:1${'/a.txt'}`)).status, 200);
});

test('HEAD · file and listing · the headers of GET, no body', async (t) => {
  const { port } = await site(t);
  for (const target of ['/a.txt', '/sub/', '/']) {
    const head = await fetchIt(port, target, { method: 'HEAD' });
    const get = await fetchIt(port, target);
    assert.equal(head.body.length, 0);
    assert.equal(head.headers['content-length'], String(get.body.length), target);
  }
});

test('GET · Range · 206, 416 and If-Range', async (t) => {
  const { port } = await site(t);
  const part = await fetchIt(port, '/a.txt', { headers: { Range: 'bytes=6-' } });
  assert.equal(part.status, 206);
  assert.equal(part.body.toString(), 'world');
  assert.equal(part.headers['content-range'], 'bytes 6-10/11');
  const tail = await fetchIt(port, '/a.txt', { headers: { Range: 'bytes=-3' } });
  assert.equal(tail.body.toString(), 'rld');
  const beyond = await fetchIt(port, '/a.txt', { headers: { Range: 'bytes=50-60' } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers['content-range'], 'bytes */11');
  const stale = { Range: 'bytes=6-', 'If-Range': 'Thu, 01 Jan 1970 00:00:00 GMT' };
  assert.equal((await fetchIt(port, '/a.txt', { headers: stale })).status, 200);
});

test('GET · conditional · 304 by ETag and by date, changed by a rewrite', async (t) => {
  const { port, directory } = await site(t);
  const first = await fetchIt(port, '/a.txt');
  const tagged = { 'If-None-Match': first.headers.etag! };
  assert.equal((await fetchIt(port, '/a.txt', { headers: tagged })).status, 304);
  const dated = { 'If-Modified-Since': first.headers['last-modified']! };
  assert.equal((await fetchIt(port, '/a.txt', { headers: dated })).status, 304);
  await fs.writeFile(path.join(directory, 'a.txt'), 'hello moon!');
  assert.equal((await fetchIt(port, '/a.txt', { headers: tagged })).status, 200);
});

test('GET · directories · index, listing without hidden and outside, redirect', async (t) => {
  const { port, directory } = await site(t);
  const listing = (await fetchIt(port, '/')).body.toString();
  for (const shown of ['a.txt', 'sub/', 'page.md', 'inside-link.txt', 'a &lt;b&gt;&amp;&quot;c']) {
    assert.ok(listing.includes(`>${shown}`), shown);
  }
  for (const hidden of ['.hidden', 'outside-link', 'outside-dir', 'loop', '<b>']) {
    assert.ok(!listing.includes(hidden), hidden);
  }
  const redirect = await fetchIt(port, '//sub');
  assert.equal(redirect.status, 301);
  assert.equal(redirect.headers.location, '/sub/');
  await fs.writeFile(path.join(directory, 'sub', 'index.html'), '<p>index');
  const index = await fetchIt(port, '/sub/');
  assert.equal(index.body.toString(), '<p>index');
  assert.equal(index.headers['content-type'], 'text/html; charset=utf-8');
});

test('GET · ways out of the directory · refused', async (t) => {
  const { port } = await site(t);
  const refused: [string, number][] = [
    ['/../secret.txt', 403], ['/sub/../../secret.txt', 403], ['/%2e%2e/secret.txt', 403],
    ['/.%2E/secret.txt', 403], ['/..%2fsecret.txt', 400], ['/sub%2f..%2f..%2fsecret.txt', 400],
    ['/%2fetc/passwd', 400], ['/a.txt%00', 400], ['/%', 400], ['/%zz', 400], ['/%ff', 400],
    ['/outside-link.txt', 404], ['/outside-dir/x.txt', 404], ['/outside-dir/', 404],
    ['/loop', 404], ['/.hidden', 404], ['//etc/passwd', 404], ['/missing', 404],
    ['/a.txt/', 404], ['/a.txt/b', 404], [`/${'x'.repeat(5000)}`, 404],
  ];
  for (const [target, status] of refused) {
    const headers = 'Host: x\r\nConnection: close\r\n';
    const answer = await raw(port, `GET ${target} HTTP/1.1\r\n${headers}\r\n`);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), target);
    assert.ok(!/secret\n|root:|hidden/.test(answer.split('\r\n\r\n')[1]!), target);
  }
});

test('parseTarget · forms of a target', () => {
  assert.deepEqual(parseTarget('/a/b%20c/?x=/../'), {
    segments: ['a', 'b c'], trailingSlash: true,
  });
  assert.deepEqual(parseTarget('http://h/x').segments, ['x']);
  assert.deepEqual(parseTarget('http://h').segments, []);
  assert.throws(() => parseTarget('*'), { status: 400 });
});

test('other methods · 405 with Allow, and the connection goes on', async (t) => {
  const { port } = await site(t);
  const put = await fetchIt(port, '/a.txt', { method: 'PUT' }, 'x');
  assert.equal(put.status, 405);
  assert.equal(put.headers.allow, 'GET, HEAD');
  const writable = await site(t, true);
  for (const method of ['DELETE', 'POST', 'OPTIONS', 'PATCH']) {
    const reply = await fetchIt(writable.port, '/a.txt', { method });
    assert.equal(reply.status, 405);
    assert.equal(reply.headers.allow, 'GET, HEAD, PUT');
  }
  const two = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc'
    + 'GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const answers = await raw(port, two);
  assert.match(answers, /^HTTP\/1.1 405 [^]*HTTP\/1.1 200 [^]*hello world$/);
});

test('PUT · new, replaced, chunked · 201, 204, the same bytes', async (t) => {
  const { port, directory } = await site(t, true);
  const big = randomBytes(5_000_000);
  const created = await fetchIt(port, '/sub/new%20file.bin', { method: 'PUT' }, big);
  assert.equal(created.status, 201);
  assert.equal(created.headers.location, '/sub/new%20file.bin');
  const digest = (b: Buffer): string => createHash('sha256').update(b).digest('hex');
  assert.equal(digest(await fs.readFile(path.join(directory, 'sub/new file.bin'))), digest(big));
  const chunked = { method: 'PUT', headers: { 'Transfer-Encoding': 'chunked' } };
  assert.equal((await fetchIt(port, '/sub/new%20file.bin', chunked, 'short')).status, 204);
  assert.equal((await fetchIt(port, '/sub/new%20file.bin')).body.toString(), 'short');
  assert.equal((await fetchIt(port, '/empty', { method: 'PUT' })).status, 201);
  assert.equal((await fetchIt(port, '/empty')).body.length, 0);
});

test('PUT · broken upload · the old file stays and nothing is left', async (t) => {
  const { port, directory } = await site(t, true);
  const before = await fs.readdir(directory);
  for (const head of ['Content-Length: 1000000', 'Transfer-Encoding: chunked']) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    const start = head.startsWith('T') ? 'fff\r\nabc' : 'abc';
    socket.write(`PUT /a.txt HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${start}`);
    await waitFor(async () => (await fs.readdir(directory)).length > before.length);
    socket.resetAndDestroy();
    await waitFor(async () => (await fs.readdir(directory)).length === before.length);
  }
  assert.equal(await fs.readFile(path.join(directory, 'a.txt'), 'utf8'), 'hello world');
});

test('PUT · an upload under way · readers see the old file, and no temporary one', async (t) => {
  const { port, directory } = await site(t, true);
  const request = http.request({ host: '127.0.0.1', port, path: '/a.txt', method: 'PUT' });
  request.write('half');
  const hidden = async (): Promise<string | undefined> =>
    (await fs.readdir(directory)).find((name) => name.startsWith('.put-'));
  await waitFor(async () => (await hidden()) !== undefined);
  assert.equal((await fetchIt(port, '/a.txt')).body.toString(), 'hello world');
  assert.equal((await fetchIt(port, `/${await hidden()}`)).status, 404);
  assert.ok(!(await fetchIt(port, '/')).body.toString().includes('.put-'));
  request.end(' whole');
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 204);
  assert.equal((await fetchIt(port, '/a.txt')).body.toString(), 'half whole');
  assert.equal(await hidden(), undefined);
});

test('PUT · refusals · nothing outside is written, links are replaced', async (t) => {
  const { port, directory } = await site(t, true);
  const status = async (target: string, headers = {}): Promise<number> => {
    const reply = await raw(port, `PUT ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`
      + Object.entries(headers).map(([k, v]) => `${k}: ${String(v)}\r\n`).join('')
      + 'Content-Length: 3\r\n\r\nnew');
    return Number(reply.slice(9, 12));
  };
  assert.equal(await status('/../secret.txt'), 403);
  assert.equal(await status('/..%2fsecret.txt'), 400);
  assert.equal(await status('/outside-dir/x.txt'), 409);
  assert.equal(await status('/missing/x.txt'), 409);
  assert.equal(await status('/a.txt/x'), 409);
  assert.equal(await status('/sub'), 409);
  assert.equal(await status('/sub/'), 409);
  assert.equal(await status('/'), 409);
  assert.equal(await status('/.hidden'), 403);
  assert.equal(await status('/n', { 'Content-Range': 'bytes 0-2/9' }), 400);
  assert.equal(await status('/a.txt', { 'If-None-Match': '*' }), 412);
  assert.equal(await status('/n', { 'If-Match': '*' }), 412);
  assert.equal(await status('/a.txt', {
    'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT',
  }), 412);
  assert.equal(await status('/outside-link.txt'), 204);
  const outside = path.join(directory, '..');
  assert.equal(await fs.readFile(path.join(outside, 'secret.txt'), 'utf8'), 'secret');
  assert.equal(await fs.readFile(path.join(outside, 'site-secret/x.txt'), 'utf8'), 'secret');
  assert.equal(await fs.readFile(path.join(directory, 'outside-link.txt'), 'utf8'), 'new');
});

test('Expect: 100-continue · wanted and unwanted bodies', async (t) => {
  const { port } = await site(t, true);
  const ask = async (target: string): Promise<[boolean, number]> => {
    const request = http.request({
      host: '127.0.0.1', port, path: target, method: 'PUT', agent: false,
      headers: { Expect: '100-continue', 'Content-Length': 4 },
    });
    let continued = false;
    request.on('continue', () => {
      continued = true;
      request.end('body');
    });
    request.flushHeaders();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    request.destroy();
    return [continued, response.statusCode!];
  };
  assert.deepEqual(await ask('/fresh'), [true, 201]);
  assert.deepEqual(await ask('/missing/dir'), [false, 409]);
});

test('nonsense, pipelining and resets · the server goes on', async (t) => {
  const { port } = await site(t, true);
  assert.match(await raw(port, 'no http at all\r\n\r\n'), /^HTTP\/1.1 400 /);
  assert.match(await raw(port, `GET / HTTP/1.1\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`), / 431 /);
  const one = 'GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n';
  const last = 'GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  assert.equal((await raw(port, one + one + last)).match(/hello world/g)?.length, 3);
  const rude = net.connect(port, '127.0.0.1');
  rude.on('error', () => undefined);
  rude.write(one.repeat(500));
  await sleep(20);
  rude.resetAndDestroy();
  assert.equal((await fetchIt(port, '/a.txt')).status, 200);
});

test('headers that never end · 408 and gone', async (t) => {
  const directory = await makeSite(t);
  const options = { port: 0, address: '127.0.0.1', directory, headersTimeoutMs: 200 };
  const service = await httpServer(kernelTransport, options);
  t.after(() => service.close());
  const socket = net.connect(service.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1.1 408 /);
  await once(socket, 'close');
});

test('bare Duplex sockets · GET, keep-alive, PUT', async (t) => {
  const directory = await makeSite(t);
  const transport = duplexTransport();
  const lines: string[] = [];
  const service = await httpServer(
    transport, { port: 80, directory, writable: true, log: (line) => lines.push(line) },
  );
  t.after(() => service.close());
  const socket = await transport.connect({ host: 'x', port: 80 });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  // Node's agent asks more of a socket than its server does; only the client's end gets it.
  const same = (): unknown => socket;
  Object.assign(socket, { setKeepAlive: same, setTimeout: same, ref: same, unref: same });
  Object.assign(agent, { createConnection: same });
  const through = { agent };
  assert.equal((await fetchIt(80, '/a.txt', through)).body.toString(), 'hello world');
  const body = randomBytes(300_000);
  assert.equal((await fetchIt(80, '/up', { ...through, method: 'PUT' }, body)).status, 201);
  assert.ok((await fetchIt(80, '/up', through)).body.equals(body));
  await waitFor(() => Promise.resolve(lines.length === 3));
  assert.deepEqual(lines, ['GET /a.txt 200 11', 'PUT /up 201 0', 'GET /up 200 300000']);
});

test('start · bad arguments · one clear line', async (t) => {
  assert.deepEqual(parseHttpArgument('80=docs'), { port: 80, directory: 'docs', writable: false });
  assert.deepEqual(parseHttpArgument('8080=/a=b:rw'), {
    port: 8080, directory: '/a=b', writable: true,
  });
  for (const bad of ['docs', '0=docs', '70000=docs', '80=', '=docs']) {
    assert.throws(() => parseHttpArgument(bad), /--http .*PORT=DIRECTORY/);
  }
  const directory = await makeSite(t);
  for (const bad of ['missing', 'a.txt']) {
    const options = { port: 0, directory: path.join(directory, bad) };
    await assert.rejects(httpServer(kernelTransport, options), /^Error: cannot serve .*\S$/);
  }
});

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return;
    await sleep(10);
  }
  assert.fail('it did not happen within two seconds');
}
