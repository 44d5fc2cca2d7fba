/**
 * The commands beside a running stack, as a user types them: named namespaces, exec's exit code and
 * signals, nc both ways, ping, nstat, ss, iperf3, dump; and the board's README word by word.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { readPcapng } from '../../host/node/capture/index.js';
import { at } from '../../tools/repository.js';
import { CLI, makePlace, needsRoot, needsTun } from './fixtures/cli.js';

const TIMEOUT = { timeout: 60_000 };

test('up --netns NAME · made when absent, removed at the end; kept when it was there', TIMEOUT,
  async (t) => {
    if (!needsRoot(t) || !needsTun(t)) return;
    const name = `ackorn-test-${process.pid}`;
    const file = `/run/netns/${name}`;
    const place = makePlace(t);
    const first = await place.up(['--netns', name, '--name', 'first', '--echo', '7']);
    assert.ok(existsSync(file));
    const ran = await place.ackorn(['exec', '--', 'cat', '/proc/net/dev']);
    assert.match(ran.stdout, /ackorn0:/);
    // A second stack joins it, and leaves it as it was.
    const second = await place.up(['--netns', name, '--name', 'second', '--link', 'tun:second0',
      '--addr', '10.98.0.2/24']);
    second.child.kill('SIGTERM');
    assert.equal((await second.ended).code, 0);
    assert.ok(existsSync(file));
    first.child.kill('SIGTERM');
    assert.equal((await first.ended).code, 0);
    assert.ok(!existsSync(file));
    await place.nothingLeft();
  });

test('exec · exit code, signals, a command that is not there', TIMEOUT, async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const up = await place.up([]);
  assert.equal((await place.ackorn(['exec', '--', 'sh', '-c', 'exit 42'])).code, 42);
  const missing = await place.ackorn(['exec', '--', 'no-such-command']);
  assert.equal(missing.code, 127);
  const script = 'trap "echo got it; exit 3" TERM; echo waiting; while :; do sleep 0.1; done';
  const waiting = place.start([execPath, CLI, 'exec', '--', 'sh', '-c', script]);
  await waiting.until(/waiting/);
  waiting.child.kill('SIGTERM');
  const ran = await waiting.ended;
  assert.match(ran.stdout, /got it/);
  assert.equal(ran.code, 3);
  const killed = place.start([execPath, CLI, 'exec', '--', 'sh', '-c', 'echo here; kill -9 $$']);
  assert.equal((await killed.ended).signal, 'SIGKILL');
  up.child.kill('SIGTERM');
  await up.ended;
  await place.nothingLeft();
});

test('nc, ping, ss, nstat · over IPv4 and IPv6, the kernel as the peer', TIMEOUT, async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const up = await place.up(['--addr', '10.99.0.2/24', '--addr', 'fd99::2/64', '--echo', '7']);
  const upper = 'require("node:net").createServer({ allowHalfOpen: true }, (s) => { let all = "";'
    + ' s.on("data", (c) => { all += c; }).on("end", () => s.end(all.toUpperCase())); })'
    + '.listen(4000, () => console.log("listening"))';
  const server = place.start([execPath, CLI, 'exec', '--', execPath, '-e', upper]);
  await server.until(/listening/);
  for (const host of ['10.99.0.1', 'fd99::1']) {
    const ran = await place.ackorn(['nc', host, '4000'], { input: 'hello' });
    assert.equal(ran.stdout, 'HELLO', ran.stderr);
    const ping = await place.ackorn(['ping', '-c', '2', '-i', '0.05', host]);
    assert.equal(ping.code, 0);
    assert.match(ping.stdout, /2 packets transmitted, 2 received, 0% packet loss/);
  }
  const silent = await place.ackorn(['ping', '-c', '1', '-W', '0.1', '10.99.0.99']);
  assert.equal(silent.code, 1);
  const listening = place.start([execPath, CLI, 'nc', '-l', '4001']);
  listening.child.stdin?.end();
  await sleep(1000);
  const back = 'require("node:net").connect(4001, "10.99.0.2").end("to you")';
  assert.equal((await place.ackorn(['exec', '--', execPath, '-e', back])).code, 0);
  assert.equal((await listening.ended).stdout, 'to you');
  const refused = await place.ackorn(['nc', '10.99.0.1', '4009']);
  assert.equal(refused.code, 1);
  assert.equal(refused.stderr, 'ackorn: connect ECONNREFUSED 10.99.0.1:4009\n');
  const ss = await place.ackorn(['ss', '-tlnH']);
  assert.match(ss.stdout, /^LISTEN 0 +511 +\*:7 +\*:\*\n$/);
  const nstat = await place.ackorn(['nstat', '-j', 'TcpActiveOpens', 'IcmpInEchoReps']);
  assert.deepEqual(JSON.parse(nstat.stdout), {
    kernel: { IcmpInEchoReps: 2, TcpActiveOpens: 3 },
  });
  server.child.kill('SIGTERM');
  up.child.kill('SIGTERM');
  await up.ended;
  await place.nothingLeft();
});

test('dump -s · keeps the front of each packet and its length', TIMEOUT, async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const up = await place.up([]);
  const dump = place.start([execPath, CLI, 'dump', '-s', '64', '-c', '2', '-w', '-', 'icmp']);
  const chunks: Buffer[] = [];
  dump.child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  await dump.until(/listening/);
  await place.ackorn(['ping', '-c', '1', '-s', '200', '10.99.0.1']);
  assert.equal((await dump.ended).code, 0);
  const packets = readPcapng(Buffer.concat(chunks)).filter((record) => record.type === 'packet');
  assert.deepEqual(packets.map(({ data, wireLength }) => [data.length, wireLength]),
    [[64, 228], [64, 228]]);
  up.child.kill('SIGTERM');
  await up.ended;
  await place.nothingLeft();
});

test('dump · a reader that does not read · loses packets, is told, and slows nobody', TIMEOUT,
  async (t) => {
    if (!needsTun(t)) return;
    const place = makePlace(t);
    const up = await place.up(['--chargen', '19']);
    const dump = place.start([execPath, CLI, 'dump', '-t']);
    await dump.until(/listening/);
    dump.child.stdout?.pause();
    process.kill(dump.child.pid as number, 'SIGSTOP');
    const began = performance.now();
    const reader = 'let n = 0; require("node:net").connect(19, "10.99.0.2").on("data", (chunk) => {'
      + ' if ((n += chunk.length) > 5e7) process.exit(0); })';
    assert.equal((await place.ackorn(['exec', '--', execPath, '-e', reader])).code, 0);
    assert.ok(performance.now() - began < 20_000);
    process.kill(dump.child.pid as number, 'SIGCONT');
    dump.child.stdout?.resume();
    // The next packets after the gap tell of it.
    await sleep(500);
    await place.ackorn(['ping', '-c', '1', '10.99.0.1']);
    await sleep(500);
    dump.child.kill('SIGINT');
    assert.match((await dump.ended).stderr, /\d+ packets captured\n\d+ packets lost: this reader/);
    up.child.kill('SIGTERM');
    await up.ended;
    await place.nothingLeft();
  });

test("boards/generic-x86_64 · its README's commands, one after the other", TIMEOUT, async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const readme = readFileSync(at('boards', 'generic-x86_64', 'README.md'), 'utf8');
  const block = /```sh\n([^]*?)```/.exec(readme)?.[1] ?? '';
  const lines = block.trimEnd().split('\n');
  assert.ok(lines.length <= 10);
  // Built already, and others run from it; `npx ackorn` is what it stands for.
  const bin = mkdtempSync(path.join(place.folder, 'bin-'));
  const ackorn = `#!/bin/sh\nexec '${execPath}' '${CLI}' "$@"\n`;
  writeFileSync(path.join(bin, 'ackorn'), ackorn, { mode: 0o755 });
  writeFileSync(path.join(bin, 'npx'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  writeFileSync(path.join(bin, 'npm'), '#!/bin/sh\n', { mode: 0o755 });
  for (const tool of ['ping', 'curl']) {
    writeFileSync(path.join(bin, tool), `#!/bin/sh\necho "${tool} $*"\n`, { mode: 0o755 });
  }
  const shell = place.start(['sh', '-e', '-c', `cd '${at('.')}'\n${block}wait\n`], {
    PATH: `${bin}:${process.env['PATH']}`,
  });
  const ran = await shell.ended;
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /'generic' is up on ackorn0/);
  assert.match(ran.stdout, /curl http:\/\/\[fd99::2\]\//);
  assert.match(ran.stdout, /1 packets transmitted, 1 received/);
  await place.nothingLeft();
});
