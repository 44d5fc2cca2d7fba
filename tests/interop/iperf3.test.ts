/**
 * The real iperf3 against our server and our client against the real one, over the kernel's
 * loopback: every option, a busy server, a killed client, a refused -u.
 */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  iperf3Server, runIperf3Client, type Iperf3ClientOptions, type Iperf3Report, type Iperf3Server,
} from '../../host/node/services/iperf3/index.js';
import { kernelTransport } from '../../host/node/services/seam.js';
import { checkReport } from './iperf3-report.js';
import { background, needs, run, type Ran } from './tools.js';

const MIB = 1 << 20;
const HOST = '127.0.0.1';

interface OurServer {
  server: Iperf3Server;
  lines: string[];
  client: (...args: string[]) => Promise<Ran>;
}

async function ourServer(t: TestContext, oneOff = false): Promise<OurServer | undefined> {
  if (!needs(t, 'iperf3')) return undefined;
  const lines: string[] = [];
  const server = await iperf3Server(kernelTransport, {
    port: 0, address: HOST, oneOff, log: (line) => lines.push(line),
  });
  t.after(() => server.close());
  const client = (...args: string[]): Promise<Ran> =>
    run('iperf3', ['-c', HOST, '-p', String(server.port), ...args]);
  return { server, lines, client };
}

/** Options of the real client, and what must be true of its report. */
const combinations: [string, (report: Iperf3Report) => void][] = [
  ['-t 1', (r) => checkReport(r, 1, false)],
  ['-t 1 -R', (r) => checkReport(r, 1, false)],
  ['-t 1 -P 4', (r) => checkReport(r, 4, false)],
  ['-t 1 -P 4 -R', (r) => checkReport(r, 4, false)],
  ['-t 1 --bidir', (r) => checkReport(r, 1, false)],
  ['-t 1 --bidir -P 2', (r) => checkReport(r, 2, false)],
  ['-n 20M', (r) => {
    checkReport(r, 1, true);
    assert.equal(r.end.sum_sent!.bytes, 20 * MIB);
  }],
  ['-n 20M -P 4', (r) => assert.ok(r.end.sum_received!.bytes >= 20 * MIB)],
  ['-n 20M -R', (r) => {
    checkReport(r, 1, true);
    assert.equal(r.end.sum_received!.bytes, 20 * MIB);
  }],
  ['-k 100', (r) => assert.equal(r.end.sum_received!.bytes, 100 * 128 * 1024)],
  ['-k 100 -R', (r) => assert.ok(r.end.sum_sent!.bytes >= 100 * 128 * 1024)],
  ['-n 1000 -l 1000', (r) => assert.equal(r.end.sum_received!.bytes, 1000)],
  ['-t 1 -l 8K', (r) => checkReport(r, 1, false)],
  ['-t 1 -l 1M -R', (r) => checkReport(r, 1, false)],
  ['-t 1 -O 1', (r) => {
    checkReport(r, 1, false);
    assert.ok(r.intervals.some((i) => i.sum.omitted) && r.intervals.some((i) => !i.sum.omitted));
    assert.ok(r.end.sum_received!.seconds < 1.5);
  }],
  ['-t 1 -O 1 -R', (r) => checkReport(r, 1, false)],
  ['-t 1 -C reno', (r) => checkReport(r, 1, false)],
  ['-t 1 -M 1000', (r) => checkReport(r, 1, false)],
  ['-t 1 -N', (r) => checkReport(r, 1, false)],
  ['-t 1 -w 256K', (r) => checkReport(r, 1, false)],
  ['-t 1 --title abc', (r) => assert.equal(r.title, 'abc')],
  ['-t 1 -i 0.2', (r) => assert.ok(r.intervals.length >= 4)],
  ['-t 1 -b 80M -R', (r) => {
    assert.ok(Math.abs(r.end.sum_received!.bits_per_second - 80e6) < 20e6);
  }],
  ['-t 1 --get-server-output', (r) => {
    assert.match(r.server_output_text!, /^Accepted connection from 127.0.0.1, port \d+\n/);
    assert.match(r.server_output_text!, /receiver\n$/);
  }],
  ['-t 1 -4 -Z', (r) => checkReport(r, 1, false)],
];

test('real client · our server · every combination of options', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  for (const [options, check] of combinations) {
    await t.test(options, async () => {
      const ran = await our.client('-J', ...options.split(' '));
      assert.equal(ran.code, 0, ran.stdout + ran.stderr);
      check(JSON.parse(ran.stdout) as Iperf3Report);
    });
  }
  assert.equal(our.lines.filter((line) => line.startsWith('iperf3: ')).join(), '');
});

test('real client · a second one while busy · is told so, the first goes on', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  const first = our.client('-t', '2', '-J');
  await sleep(700);
  const second = await our.client('-t', '1');
  assert.equal(second.code, 1);
  assert.equal(second.stderr,
    'iperf3: error - the server is busy running a test. try again later\n');
  const ran = await first;
  assert.equal(ran.code, 0, ran.stdout);
  checkReport(JSON.parse(ran.stdout) as Iperf3Report, 1, false);
});

test('real client · killed in mid-test, each way · the next one is served', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  for (const mode of ['-P4', '-R', '--bidir']) {
    const port = String(our.server.port);
    const doomed = background(t, 'iperf3', ['-c', HOST, '-p', port, '-t', '10', mode]);
    await sleep(500);
    doomed.kill('SIGKILL');
    await once(doomed, 'close');
    await sleep(100);
    const next = await our.client('-n', '1M', mode);
    assert.equal(next.code, 0, mode + next.stderr);
  }
  const broken = 'iperf3: the client has unexpectedly closed the connection';
  assert.equal(our.lines.filter((line) => line === broken).length, 3);
});

test('real client · interrupted · the server knows and goes on', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  const port = String(our.server.port);
  const client = background(t, 'iperf3', ['-c', HOST, '-p', port, '-t', '10']);
  await sleep(500);
  client.kill('SIGINT');
  await once(client, 'close');
  assert.equal((await our.client('-n', '1M')).code, 0);
  assert.ok(our.lines.includes('iperf3: the client has terminated'));
});

test('real client · -u · refused with a reason', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  const refused = await our.client('-u', '-t', '1');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^iperf3: error - protocol does not exist/);
  assert.equal((await our.client('-n', '1M')).code, 0);
});

test('real client · our server closes · reads that it has terminated', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  const ran = our.client('-t', '10');
  await sleep(500);
  await our.server.close();
  assert.match((await ran).stderr, /the server has terminated/);
});

test('real client · our one-off server · one test and then it is gone', async (t) => {
  const our = await ourServer(t, true);
  if (!our) return;
  assert.equal((await our.client('-n', '1M')).code, 0);
  await our.server.done;
  assert.match((await our.client('-n', '1M')).stderr, /Connection refused/);
});

test('real client · its own text · our server has the same columns', async (t) => {
  const our = await ourServer(t);
  if (!our) return;
  const ran = await our.client('-t', '1', '-P', '2', '-R');
  const shape = (line: string): string => line.replace(/[\d.]+/g, '#').replace(/ +/g, ' ');
  const shapes = new Set(ran.stdout.split('\n').map(shape));
  const own = our.lines.filter((line) => line.startsWith('[SUM]'));
  assert.ok(own.length >= 2);
  for (const line of own.filter((l) => l.includes('GBytes'))) {
    assert.ok(shapes.has(shape(line)), line);
  }
});

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, HOST);
  await once(probe, 'listening');
  const { port } = probe.address() as net.AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function realServer(t: TestContext): Promise<{ port: number; child: ChildProcess }> {
  const port = await freePort();
  const child = background(t, 'iperf3', ['-s', '-p', String(port), '--forceflush']);
  await once(child.stdout!, 'data');
  child.stdout!.resume();
  await sleep(100);
  return { port, child };
}

const ourOptions: [string, Partial<Iperf3ClientOptions>, (report: Iperf3Report) => void][] = [
  ['forward', { time: 1 }, (r) => checkReport(r, 1, false)],
  ['reverse', { time: 1, reverse: true }, (r) => {
    checkReport(r, 1, false);
    assert.ok(r.end.sum_sent!.retransmits! >= 0);
  }],
  ['parallel', { time: 1, parallel: 4 }, (r) => checkReport(r, 4, false)],
  ['bidir', { time: 1, bidir: true, parallel: 2 }, (r) => checkReport(r, 2, false)],
  ['bytes', { bytes: 20 * MIB }, (r) => assert.equal(r.end.sum_sent!.bytes, 20 * MIB)],
  ['bytes reverse', { bytes: 20 * MIB, reverse: true }, (r) => {
    assert.equal(r.end.sum_received!.bytes, 20 * MIB);
  }],
  ['blocks', { blocks: 50, length: 8192 }, (r) => {
    assert.equal(r.end.sum_sent!.bytes, 50 * 8192);
  }],
  ['blocks reverse', { blocks: 50, reverse: true }, (r) => {
    assert.equal(r.end.sum_received!.bytes, 50 * 128 * 1024);
  }],
  ['omit', { time: 1, omit: 1 }, (r) => assert.ok(r.end.sum_sent!.seconds < 1.5)],
  ['options', {
    time: 1, congestion: 'reno', mss: 1000, noDelay: true, window: 262_144, title: 'abc',
    interval: 0.5,
  }, (r) => {
    checkReport(r, 1, false);
    assert.equal(r.intervals.length, 2);
  }],
  ['server output', { time: 1, getServerOutput: true }, (r) => {
    assert.match(r.server_output_text!, /receiver/);
  }],
  ['bitrate', { time: 1, bitrate: 80e6 }, (r) => {
    assert.ok(Math.abs(r.end.sum_sent!.bits_per_second - 80e6) < 20e6);
  }],
];

test('our client · the real server · every option', async (t) => {
  if (!needs(t, 'iperf3')) return;
  const { port } = await realServer(t);
  for (const [name, options, check] of ourOptions) {
    await t.test(name, async () => {
      check(await runIperf3Client(kernelTransport, { host: HOST, port, ...options }));
      await sleep(100); // the real server listens again a moment after its last byte
    });
  }
});

test('our client · the real server is busy, or terminates · the same errors', async (t) => {
  if (!needs(t, 'iperf3')) return;
  const { port, child } = await realServer(t);
  const first = runIperf3Client(kernelTransport, { host: HOST, port, time: 10 });
  await sleep(500);
  await assert.rejects(runIperf3Client(kernelTransport, { host: HOST, port, time: 1 }), {
    iperfErrno: 121, message: 'the server is busy running a test. try again later',
  });
  child.kill('SIGINT');
  await assert.rejects(first, { iperfErrno: 120 });
});
