/**
 * Small tools on both sides of a TUN device: Debian's nc against our services and against `ackorn
 * nc`, `ackorn ss`, `nstat` and `ping` against the kernel's own words of the same connections, and
 * `ackorn exec` as a way to run them; two stacks at once, and a socket that a dead one left.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test, type TestContext } from 'node:test';
import { ask } from '../../host/node/control/client.js';
import type { StackDocument } from '../../host/node/control/queries.js';
import { chargenPattern } from '../../host/node/services/chargen.js';
import { CLI, makePlace, needsTun, type Beside } from '../host/fixtures/cli.js';
import { FOUR, KERNEL_FOUR, KERNEL_SIX, raise, SIX, type Site } from './site.js';
import { needs } from './tools.js';

/** OpenBSD's, under the name that is never another's. */
const NC = 'nc.openbsd';
const FAMILIES = [['IPv4', FOUR, KERNEL_FOUR], ['IPv6', SIX, KERNEL_SIX]] as const;
const SERVICES = ['--echo', '7', '--discard', '9', '--daytime', '13', '--chargen', '19'];
const BYTES = 1_000_000;

async function siteWith(t: TestContext, ...programs: string[]): Promise<Site | undefined> {
  for (const program of programs) if (!needs(t, program)) return undefined;
  return await raise(t, ...SERVICES);
}

/** Random bytes, and as the text that outputs are collected in. */
function seed(): { bytes: Buffer; text: string } {
  const bytes = randomBytes(BYTES);
  return { bytes, text: bytes.toString('latin1') };
}

/** Equal, without a megabyte of difference in the log. */
function same(got: string, wanted: string, what: string): void {
  assert.equal(got.length, wanted.length, `${what}: length`);
  assert.ok(got === wanted, `${what}: other bytes`);
}

describe('nc · TUN · the services', () => {
  for (const [family, host] of FAMILIES) {
    test(`echo and discard over ${family} · every byte, then the end`, async (t) => {
      const s = await siteWith(t, NC);
      if (!s) return;
      const { bytes, text } = seed();
      const echo = await s.kernel([NC, '-N', host, '7'], bytes);
      assert.deepEqual([echo.code, echo.stderr], [0, '']);
      same(echo.stdout, text, 'echo');
      const before = (await s.counters())['TcpInSegs'] ?? 0;
      const discard = await s.kernel([NC, '-N', host, '9'], bytes);
      assert.deepEqual(discard, { code: 0, signal: null, stdout: '', stderr: '' });
      assert.ok(((await s.counters())['TcpInSegs'] ?? 0) - before > BYTES / 1500);
      await s.baseline();
      await s.down();
    });
    test(`daytime and chargen over ${family}`, async (t) => {
      const s = await siteWith(t, NC);
      if (!s) return;
      const daytime = await s.kernel([NC, '-d', host, '13']);
      assert.equal(daytime.code, 0, daytime.stderr);
      assert.match(daytime.stdout, /^[A-Z][a-z]+day, [A-Z][a-z]+ \d+, \d{4} [\d:]{8}-UTC\r\n$/);
      assert.ok(Math.abs(Date.parse(daytime.stdout.replace('-UTC', ' UTC')) - Date.now()) < 60_000);
      // Who ends first waits: we, and the kernel does not.
      assert.match(await s.ackorn('ss', '-tan', 'state', 'time-wait', 'sport', '=', ':13'), /:13 /);
      const command = `${NC} -d ${host} 19 | head -c ${BYTES}`;
      const chargen = await s.kernel(['sh', '-c', command]);
      assert.equal(chargen.code, 0, chargen.stderr);
      const pattern = chargenPattern().toString('latin1');
      same(chargen.stdout, pattern.repeat(BYTES / pattern.length + 1).slice(0, BYTES), 'chargen');
      await s.baseline();
      await s.down();
    });
  }
});

/** Waits until a program of the kernel's side listens. @returns its process */
async function untilListening(s: Site, program: string, port: number): Promise<number> {
  const listening = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} 0+:0000 0A `);
  for (let waited = 0; waited < 5000; waited += 20) {
    const [pid] = s.running(program);
    // The tables of its own namespace.
    const tables = pid === undefined ? [] : [`/proc/${pid}/net/tcp`, `/proc/${pid}/net/tcp6`];
    if (tables.some((table) => listening.test(readFileSync(table, 'latin1')))) return pid!;
    await sleep(20);
  }
  return assert.fail(`${program} does not listen on ${port}`);
}

describe('ackorn nc · TUN · against the kernel’s nc, a megabyte each way at once', () => {
  for (const [family, host, kernelHost] of FAMILIES) {
    test(`we connect over ${family}`, async (t) => {
      const s = await siteWith(t, NC);
      if (!s) return;
      const [ours, theirs] = [seed(), seed()];
      const listener = s.kernelBeside(NC, '-N', '-l', kernelHost, '4000');
      await untilListening(s, NC, 4000);
      listener.child.stdin!.end(theirs.bytes);
      const ran = await s.place.ackorn(['nc', '-v', kernelHost, '4000'], { input: ours.bytes });
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stderr, /^\S+:\d+ connected with \S+:4000\n$/);
      same(ran.stdout, theirs.text, 'to us');
      const { code, stdout } = await listener.ended;
      assert.equal(code, 0);
      same(stdout, ours.text, 'to the kernel');
      await s.baseline();
      await s.down();
    });
    test(`we listen over ${family}`, async (t) => {
      const s = await siteWith(t, NC);
      if (!s) return;
      const [ours, theirs] = [seed(), seed()];
      const listener = s.place.start([execPath, CLI, 'nc', '-l', '4000']);
      await s.untilSocket(({ kind, local }) => kind === 'listener' && local.port === 4000);
      listener.child.stdin!.end(ours.bytes);
      const ran = await s.kernel([NC, '-N', host, '4000'], theirs.bytes);
      assert.equal(ran.code, 0, ran.stderr);
      same(ran.stdout, ours.text, 'to the kernel');
      const { code, stdout, stderr } = await listener.ended;
      assert.deepEqual([code, stderr], [0, '']);
      same(stdout, theirs.text, 'to us');
      await s.baseline();
      await s.down();
    });
    test(`nobody listens over ${family} · refused on both sides`, async (t) => {
      const s = await siteWith(t, NC);
      if (!s) return;
      const ours = await s.place.ackorn(['nc', '-z', kernelHost, '4000']);
      assert.equal(ours.code, 1);
      assert.match(ours.stderr, /^ackorn: [^\n]*ECONNREFUSED[^\n]*\n$/);
      const theirs = await s.kernel([NC, '-z', '-v', host, '4000']);
      assert.equal(theirs.code, 1);
      assert.match(theirs.stderr, /Connection refused/);
      await s.baseline();
      await s.down();
    });
  }
});

/** A kernel's nc that talks with our echo service and stays. */
async function talking(s: Site, host: string): Promise<Beside> {
  const nc = s.kernelBeside(NC, '-N', host, '7');
  nc.child.stdin!.write('hello\n');
  await nc.until(/hello\n/);
  return nc;
}

/** Fields of the one row of `ss -tinOH`: state, queues, both ends, then name:value words. */
function rowOf(text: string): { columns: string[]; info: Map<string, string> } {
  const lines = text.trimEnd().split('\n');
  assert.equal(lines.length, 1, text);
  const words = lines[0]!.trim().split(/\s+/);
  const info = words.slice(5).filter((word) => /^[a-z_]+:\S/.test(word))
    .map((word) => word.split(/:(.*)/).slice(0, 2) as [string, string]);
  return { columns: words.slice(0, 5), info: new Map(info) };
}

describe('ackorn ss · TUN · the same connection as the kernel’s ss sees it', () => {
  for (const [family, host] of FAMILIES) {
    test(family, async (t) => {
      const s = await siteWith(t, NC, 'ss');
      if (!s) return;
      const nc = await talking(s, host);
      // One read of both ends, with no segment between: the kernel's ACK of our echo is not delayed
      // for longer.
      await sleep(300);
      const kernel = rowOf((await s.kernel(['ss', '-tinOH'])).stdout);
      const ours = rowOf(await s.ackorn('ss', '-tinOH'));
      const [state, receive, send, local, remote] = kernel.columns;
      assert.deepEqual(ours.columns, [state, receive, send, remote, local]);
      assert.equal(state, 'ESTAB');
      assert.equal(ours.columns[3], family === 'IPv4' ? `${host}:7` : `[${host}]:7`);
      for (const [one, other, most] of [
        ['mss', 'mss', 0], ['pmtu', 'pmtu', 0], ['bytes_sent', 'bytes_received', 0],
        ['bytes_received', 'bytes_sent', 0], ['data_segs_out', 'data_segs_in', 0],
        ['data_segs_in', 'data_segs_out', 0],
        // Ours are counted with the first data: SYN, SYN-ACK, its ACK and that data may be missing.
        ['segs_out', 'segs_in', 1], ['segs_in', 'segs_out', 3],
      ] as const) {
        const less = Number(kernel.info.get(other)) - Number(ours.info.get(one));
        assert.ok(less >= 0 && less <= most, `our ${one} is ${less} below their ${other}`);
      }
      const scales = kernel.info.get('wscale')?.split(',');
      assert.equal(ours.info.get('wscale'), scales?.reverse().join());
      assert.match(await s.ackorn('ss', '-tln'), /LISTEN +0 +\d+ +\*:7 /);
      nc.child.stdin!.end();
      assert.equal((await nc.ended).code, 0);
      // It ended first: the kernel waits, and we do not.
      await s.baseline();
      assert.match((await s.kernel(['ss', '-tanH'])).stdout, /^TIME-WAIT .*:7 *\n$/);
      assert.equal(await s.ackorn('ss', '-tnH'), '');
      await s.down();
    });
  }
  test('a reader that stands still · Send-Q and the persist timer', async (t) => {
    const s = await siteWith(t, NC, 'ss');
    if (!s) return;
    const nc = s.kernelBeside(NC, FOUR, '19');
    await nc.until(/ !"#/);
    const [pid] = s.running(NC);
    process.kill(pid!, 'SIGSTOP');
    await s.untilSocket(({ local, info }) => local.port === 19 && info?.snd_wnd === 0);
    const text = await s.ackorn('ss', '-tnoOH');
    assert.match(text, /timer:\(persist,/);
    const [state, receive, send] = rowOf(text).columns;
    assert.deepEqual([state, receive], ['ESTAB', '0']);
    assert.ok(Number(send) > 0, text);
    process.kill(pid!, 'SIGKILL');
    await nc.ended;
    await s.baseline();
    await s.down();
  });
});

async function nstat(s: Site): Promise<Record<string, number>> {
  const { kernel } = JSON.parse(await s.ackorn('nstat', '-zj')) as {
    kernel: Record<string, number>;
  };
  return kernel;
}

/** The kernel's own, of its Tcp group. */
async function kernelTcp(s: Site): Promise<Record<string, number>> {
  const text = (await s.kernel(['nstat', '-aszj', 'Tcp*'])).stdout;
  return (JSON.parse(text) as { kernel: Record<string, number> }).kernel;
}

test('ackorn nstat · TUN · each counter moves as the connections do', async (t) => {
  const s = await siteWith(t, NC, 'nstat');
  if (!s) return;
  assert.deepEqual(Object.entries(await nstat(s)).filter(([name, value]) =>
    name.startsWith('Tcp') && value !== 0), [], 'a fresh stack has seen no TCP');
  const nc = await talking(s, FOUR);
  assert.equal((await nstat(s))['TcpPassiveOpens'], 1);
  nc.child.stdin!.end();
  await nc.ended;
  await s.place.ackorn(['nc', '-z', KERNEL_FOUR, '4000']);
  await s.kernel([NC, '-z', FOUR, '4000']);
  await s.kernel([NC, '-d', FOUR, '13']);
  await s.baseline();
  const [ours, kernel] = [await nstat(s), await kernelTcp(s)];
  for (const [name, value] of [
    ['TcpPassiveOpens', 2], ['TcpActiveOpens', 1], ['TcpAttemptFails', 1], ['TcpOutRsts', 1],
    ['TcpEstabResets', 0], ['TcpInErrs', 0], ['TcpInCsumErrors', 0], ['TcpExtTW', 1],
  ] as const) {
    assert.equal(ours[name], value, name);
  }
  assert.equal(kernel['TcpActiveOpens'], 3);
  // What one side sent, the other received.
  const sent = (from: Record<string, number>): number =>
    (from['TcpOutSegs'] ?? 0) + (from['TcpRetransSegs'] ?? 0);
  assert.equal(ours['TcpInSegs'], sent(kernel));
  assert.equal(kernel['TcpInSegs'], sent(ours));
  assert.match(await s.ackorn('nstat', 'TcpPassive*'),
    /^#kernel\nTcpPassiveOpens +2 +0\.0\n$/);
  await s.down();
});

describe('ping · TUN', () => {
  for (const [family, host, kernelHost] of FAMILIES) {
    test(`ours to the kernel and the kernel’s to us over ${family}`, async (t) => {
      const s = await siteWith(t, 'ping');
      if (!s) return;
      const all = /\n3 packets transmitted, 3 received, 0% packet loss, time \d+ms\nrtt min/;
      assert.match(await s.ackorn('ping', '-c', '3', '-i', '0.2', kernelHost), all);
      for (const size of ['0', '56', '1400']) {
        const ran = await s.kernel(['ping', '-c', '3', '-i', '0.2', '-s', size, host]);
        assert.equal(ran.code, 0, ran.stdout + ran.stderr);
        assert.match(ran.stdout, size === '0' ? /\n3 packets transmitted, 3 received, 0% / : all);
      }
      const counters = await s.counters();
      const of = family === 'IPv4' ? 'Icmp' : 'Icmp6';
      for (const [name, value] of [
        ['OutEchos', 3], ['InEchoReps', 3], ['InEchos', 9], ['OutEchoReps', 9],
      ] as const) {
        const wanted = family === 'IPv4' ? name : name.replace('Reps', 'Replies');
        assert.equal(counters[`${of}${wanted}`], value, `${of}${wanted}`);
      }
      await s.down();
    });
  }
  test('nobody answers · exit code 1', async (t) => {
    const s = await siteWith(t);
    if (!s) return;
    const ran = await s.place.ackorn(['ping', '-c', '2', '-i', '0.1', '-W', '0.3', '10.99.0.77']);
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(ran.stdout, /\n2 packets transmitted, 0 received, 100% packet loss/);
    await s.down();
  });
});

test('ackorn exec · exit codes, signals, input, words with dashes', async (t) => {
  const s = await siteWith(t);
  if (!s) return;
  const codeOf = async (...words: string[]): Promise<number | null> =>
    (await s.kernel(words)).code;
  assert.deepEqual([await codeOf('true'), await codeOf('sh', '-c', 'exit 7')], [0, 7]);
  assert.equal(await codeOf('/nonexistent/program'), 127);
  assert.equal(await codeOf(s.place.folder), 126);
  assert.equal((await s.kernel(['sh', '-c', 'kill -TERM $$'])).signal, 'SIGTERM');
  const ran = await s.kernel(['cat', '-', '--', '/dev/null'], 'from outside\n');
  assert.deepEqual(ran, { code: 0, signal: null, stdout: 'from outside\n', stderr: '' });
  const script = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done';
  const waiting = s.kernelBeside('sh', '-c', script);
  await waiting.until(/ready/);
  waiting.child.kill('SIGTERM');
  assert.equal((await waiting.ended).code, 9);
  // The namespace's own: our device, and nothing of the host's.
  const devices = await s.kernel(['cat', '/proc/net/dev']);
  assert.deepEqual([...devices.stdout.matchAll(/^ *(\w+):/gm)].map((match) => match[1]).sort(),
    ['ackorn0', 'lo']);
  await s.down();
});

test('two stacks at once · listed with exit code 2, --name chooses', async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const ups = [await place.up(['--name', 'one', '--echo', '7']),
    await place.up(['--name', 'two', '--discard', '9'])];
  for (const words of [['ss'], ['nstat'], ['exec', '--', 'true'], ['nc', '10.99.0.1', '7']]) {
    const ran = await place.ackorn(words);
    assert.equal(ran.code, 2, words.join(' '));
    assert.equal(ran.stderr,
      'ackorn: several stacks are running: one, two; choose one with --name\n');
  }
  for (const [name, port, other] of [['one', 7, 9], ['two', 9, 7]] as const) {
    const { code, stdout } = await place.ackorn(['ss', '--name', name, '-tln']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`\\*:${port} `));
    assert.doesNotMatch(stdout, new RegExp(`\\*:${other} `));
  }
  for (const up of ups) {
    up.child.kill('SIGTERM');
    assert.equal((await up.ended).code, 0);
  }
  await place.nothingLeft();
});

test('a stack that was killed · its socket is nobody’s, and is replaced', async (t) => {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const killed = await place.up(['--name', 'one']);
  const socket = path.join(place.folder, 'run', 'one.sock');
  // The process outside the namespace must not go first: without it the stack ends in good order.
  process.kill((await ask<StackDocument>(socket, { path: '/v1/stack' })).pid, 'SIGKILL');
  await killed.ended;
  await place.nothingLeft();
  assert.ok(existsSync(socket), 'SIGKILL leaves the file');
  const ran = await place.ackorn(['ss']);
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /^ackorn: no stack is running/);
  const again = await place.up(['--name', 'one']);
  assert.equal((await place.ackorn(['ss'])).code, 0);
  again.child.kill('SIGTERM');
  assert.equal((await again.ended).code, 0);
  assert.ok(!existsSync(socket), 'an orderly end takes it away');
  await place.nothingLeft();
});
