/** The real curl against our HTTP files, over the kernel's loopback. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { httpServer } from '../../host/node/services/http.js';
import { kernelTransport } from '../../host/node/services/seam.js';
import { needs, run, type Ran } from './tools.js';

interface Site {
  url: string;
  outer: string;
  directory: string;
  curl: (...args: string[]) => Promise<Ran>;
}

async function site(t: TestContext): Promise<Site | undefined> {
  if (!needs(t, 'curl')) return undefined;
  const outer = await fs.mkdtemp(path.join(os.tmpdir(), 'ackorn-curl-'));
  t.after(() => fs.rm(outer, { recursive: true }));
  const directory = path.join(outer, 'site');
  await fs.mkdir(directory);
  await fs.writeFile(path.join(outer, 'secret.txt'), 'secret');
  await fs.writeFile(path.join(directory, 'a.txt'), 'hello world');
  const options = { port: 0, address: '127.0.0.1', directory, writable: true };
  const service = await httpServer(kernelTransport, options);
  t.after(() => service.close());
  const url = `http://127.0.0.1:${service.port}`;
  const curl = (...args: string[]): Promise<Ran> =>
    run('curl', ['--noproxy', '*', '-sS', '--max-time', '20', ...args]);
  return { url, outer, directory, curl };
}

test('curl · GET of 20 MB · the same bytes', async (t) => {
  const s = await site(t);
  if (!s) return;
  const bytes = randomBytes(20_000_000);
  await fs.writeFile(path.join(s.directory, 'big'), bytes);
  const got = path.join(s.outer, 'got');
  assert.equal((await s.curl('-o', got, `${s.url}/big`)).code, 0);
  assert.ok((await fs.readFile(got)).equals(bytes));
});

test('curl · PUT -T · 201 then 204, Expect: 100-continue answered', async (t) => {
  const s = await site(t);
  if (!s) return;
  const bytes = randomBytes(20_000_000);
  const file = path.join(s.outer, 'up');
  await fs.writeFile(file, bytes);
  const upload = (target: string): Promise<Ran> =>
    s.curl('-v', '-w', '%{http_code}', '-T', file, `${s.url}${target}`);
  const created = await upload('/up.bin');
  assert.equal(created.stdout, '201', created.stderr);
  assert.match(created.stderr, /> Expect: 100-continue/);
  assert.match(created.stderr, /< HTTP\/1.1 100 Continue/);
  assert.equal((await upload('/up.bin')).stdout, '204');
  assert.ok((await fs.readFile(path.join(s.directory, 'up.bin'))).equals(bytes));
  const refused = await upload('/no/such/dir');
  assert.match(refused.stdout, /409$/);
  assert.doesNotMatch(refused.stderr, /100 Continue/);
  assert.deepEqual((await fs.readdir(s.directory)).sort(), ['a.txt', 'up.bin']);
});

test('curl · PUT from a pipe · chunked', async (t) => {
  const s = await site(t);
  if (!s) return;
  const piped = await run('sh', [
    '-c', `printf 'from a pipe' | curl --noproxy '*' -sS -w '%{http_code}' -T - ${s.url}/piped`,
  ]);
  assert.equal(piped.stdout, '201');
  assert.equal(await fs.readFile(path.join(s.directory, 'piped'), 'utf8'), 'from a pipe');
});

test('curl · an upload cut short · nothing is left', async (t) => {
  const s = await site(t);
  if (!s) return;
  const file = path.join(s.outer, 'up');
  await fs.writeFile(file, randomBytes(4_000_000));
  const cut = await s.curl('--limit-rate', '500k', '--max-time', '1', '-T', file, `${s.url}/cut`);
  assert.equal(cut.code, 28);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(await fs.readdir(s.directory), ['a.txt']);
});

test('curl · Range, HEAD, -C · 206, 416, headers alone, the rest of a file', async (t) => {
  const s = await site(t);
  if (!s) return;
  const code = ['-w', ' %{http_code}'];
  assert.equal((await s.curl(...code, '-r', '6-', `${s.url}/a.txt`)).stdout, 'world 206');
  assert.match((await s.curl(...code, '-r', '99-', `${s.url}/a.txt`)).stdout, / 416$/);
  const head = await s.curl('-I', `${s.url}/a.txt`);
  assert.match(head.stdout, /^HTTP\/1.1 200 OK\r\n/);
  assert.match(head.stdout, /\r\nContent-Length: 11\r\n/);
  assert.match(head.stdout, /\r\n\r\n$/);
  const got = path.join(s.outer, 'half');
  await fs.writeFile(got, 'hello');
  assert.equal((await s.curl('-C', '-', '-o', got, `${s.url}/a.txt`)).code, 0);
  assert.equal(await fs.readFile(got, 'utf8'), 'hello world');
});

test('curl · two URLs · one connection', async (t) => {
  const s = await site(t);
  if (!s) return;
  const two = await s.curl('-v', `${s.url}/a.txt`, `${s.url}/a.txt`);
  assert.equal(two.stdout, 'hello worldhello world');
  assert.match(two.stderr, /Re-using existing connection/);
});

test('curl --path-as-is · ways out · 403, 400, 404', async (t) => {
  const s = await site(t);
  if (!s) return;
  for (const [target, status] of [
    ['/../secret.txt', 403], ['/%2e%2e/secret.txt', 403], ['/..%2fsecret.txt', 400],
    ['/a.txt%00.html', 400], ['/missing', 404],
  ] as const) {
    const reply = await s.curl('--path-as-is', '-w', ' %{http_code}', `${s.url}${target}`);
    assert.match(reply.stdout, new RegExp(` ${status}$`), target);
    assert.doesNotMatch(reply.stdout, /secret/);
    const put = await s.curl(
      '--path-as-is', '-o', os.devNull, '-w', '%{http_code}', '-X', 'PUT', '-d', 'x',
      `${s.url}${target === '/missing' ? '/missing/x' : target}`,
    );
    assert.match(put.stdout, /^4/, target);
  }
  assert.equal(await fs.readFile(path.join(s.outer, 'secret.txt'), 'utf8'), 'secret');
});
