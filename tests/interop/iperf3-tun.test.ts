/**
 * The real iperf3 on the kernel's TCP and ours on our own, through a TUN device: IPv4 and IPv6,
 * with offload and without; a busy server, a killed client, a refused -u; our client against the
 * real server. After each, nothing is left in the pools, and what was sent again is printed.
 */

import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { Iperf3Report } from '../../host/node/services/iperf3/index.js';
import { checkReport } from './iperf3-report.js';
import { FOUR, KERNEL_FOUR, KERNEL_SIX, raise, SIX, type Site } from './site.js';
import { needs } from './tools.js';

const MIB = 1 << 20;
/** What iperf3 writes at once. */
const BLOCK = 128 * 1024;
const PORT = '5201';
const LINKS: readonly [name: string, flags: readonly string[]][] = [
  ['offload', []], ['no offload', ['--no-offload']],
];

/** Options of the real client, and what must be true of its report. */
const COMBINATIONS: readonly [options: string, check: (report: Iperf3Report) => void][] = [
  ['-t 1', (r) => checkReport(r, 1, false)],
  ['-t 1 -R', (r) => checkReport(r, 1, false)],
  ['-t 1 -P 4', (r) => checkReport(r, 4, false)],
  ['-t 1 -P 4 -R', (r) => checkReport(r, 4, false)],
  ['-t 1 --bidir', (r) => checkReport(r, 1, false)],
  ['-n 64M', (r) => {
    checkReport(r, 1, true);
    // The real client asks after a block whether it is enough, and sends ten in a row.
    const { bytes } = r.end.sum_sent!;
    assert.ok(bytes >= 64 * MIB && bytes <= 64 * MIB + 10 * BLOCK, `${bytes}`);
  }],
  ['-n 64M -R', (r) => {
    checkReport(r, 1, true);
    assert.equal(r.end.sum_received!.bytes, 64 * MIB);
  }],
  ['-t 1 -O 1', (r) => {
    checkReport(r, 1, false);
    assert.ok(r.intervals.some((i) => i.sum.omitted) && r.intervals.some((i) => !i.sum.omitted));
    assert.ok(r.end.sum_received!.seconds < 1.5);
  }],
  ['-t 1 --get-server-output', (r) => {
    checkReport(r, 1, false);
    assert.match(r.server_output_text!, /^Accepted connection from [\d.a-f:]+, port \d+\n/);
    assert.match(r.server_output_text!, /receiver\n$/);
  }],
];

const SENT_AGAIN = ['TcpRetransSegs', 'TcpExtTCPLossProbes', 'TcpExtTCPTimeouts',
  'TcpExtTCPFastRetrans', 'TcpExtTCPLostRetransmit'];
/** Column of /proc/net/dev. */
const TX_DROP = 11;

async function server(t: TestContext, ...flags: string[]): Promise<Site | undefined> {
  return needs(t, 'iperf3') ? await raise(t, '--iperf3', PORT, ...flags) : undefined;
}

/** One line of figures for the log. */
function summary({ end: { sum_sent: sent, sum_received: received } }: Iperf3Report): string {
  return `${(received!.bits_per_second / 1e9).toFixed(2)} Gbit/s, `
    + `${sent!.bytes - received!.bytes} bytes in flight, Retr ${sent!.retransmits}`;
}

/** The kernel's own counters in the namespace, and what its queue for our device dropped. */
async function kernelCounters(s: Site): Promise<Record<string, number>> {
  const ran = await s.kernel(['cat', '/proc/net/netstat', '/proc/net/snmp', '/proc/net/dev']);
  assert.equal(ran.code, 0, ran.stderr);
  const [pairs = '', devices = ''] = ran.stdout.split('Inter-|');
  const lines = pairs.trimEnd().split('\n');
  const found: Record<string, number> = {};
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [names = [], values = []] = [lines[at], lines[at + 1]].map((line) => line?.split(' '));
    const prefix = names[0]?.replace(':', '') ?? '';
    names.forEach((name, i) => { found[`${prefix}${name}`] = Number(values[i]); });
  }
  const device = /^ *ackorn0:(.*)$/m.exec(devices)?.[1]?.trim().split(/ +/) ?? [];
  return { ...found, QueueDrops: Number(device[TX_DROP]) };
}

/** Prints what both sides sent again, and judges it: nothing was lost but by the kernel's queue. */
async function sentAgain(t: TestContext, s: Site): Promise<void> {
  const ours = await s.counters();
  const kernel = await kernelCounters(s);
  for (const [side, all, names] of [
    ['ours', ours, SENT_AGAIN], ['kernel', kernel, [...SENT_AGAIN, 'QueueDrops']],
  ] as const) {
    t.diagnostic(`${side}: ${names.map((name) => `${name} ${all[name]}`).join(', ')}`);
  }
  assert.equal(ours['TcpInErrs'], 0);
  assert.equal(kernel['TcpInErrs'], 0);
  assert.equal(ours['TcpExtTCPFastRetrans'], 0);
  // A probe of the tail goes out when this machine lets us wait; more than that is a loss.
  if (kernel['QueueDrops'] === 0) assert.equal(kernel['TcpExtTCPFastRetrans'], 0);
}

for (const [name, flags] of LINKS) {
  describe(`real client · TUN, ${name} · every combination of options`, () => {
    for (const [family, host] of [['IPv4', FOUR], ['IPv6', SIX]] as const) {
      test(family, async (t) => {
        const s = await server(t, ...flags);
        if (!s) return;
        for (const [options, check] of COMBINATIONS) {
          await t.test(options, async (t) => {
            const ran = await s.kernel(['iperf3', '-c', host, '-J', ...options.split(' ')]);
            assert.equal(ran.code, 0, ran.stdout + ran.stderr);
            const report = JSON.parse(ran.stdout) as Iperf3Report;
            t.diagnostic(summary(report));
            check(report);
            await s.baseline();
          });
        }
        await sentAgain(t, s);
        assert.doesNotMatch(s.up.output(), /iperf3: /);
        await s.down();
      });
    }
  });
}

test('real client · TUN · its own text · ends with both sides’ figures', async (t) => {
  const s = await server(t);
  if (!s) return;
  const ran = await s.kernel(['iperf3', '-c', FOUR, '-t', '1']);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, / [1-9][\d.]* [GM]bits\/sec +\d+ +sender\n/);
  assert.match(ran.stdout, / [1-9][\d.]* [GM]bits\/sec +receiver\n/);
  assert.match(ran.stdout, /\niperf Done\.\n$/);
  await s.baseline();
  await s.down();
});

test('real client · TUN · a second one while busy · is told so, the first goes on', async (t) => {
  const s = await server(t);
  if (!s) return;
  const first = s.kernel(['iperf3', '-c', FOUR, '-t', '4', '-J']);
  await s.untilSocket((socket) => (socket.info?.bytes_received ?? 0) > MIB);
  for (const host of [FOUR, SIX]) {
    const second = await s.kernel(['iperf3', '-c', host, '-t', '1']);
    assert.equal(second.code, 1);
    assert.equal(second.stderr,
      'iperf3: error - the server is busy running a test. try again later\n');
  }
  const ran = await first;
  assert.equal(ran.code, 0, ran.stdout);
  checkReport(JSON.parse(ran.stdout) as Iperf3Report, 1, false);
  await s.baseline();
  await s.down();
});

test('real client · TUN · killed in mid-test, each way · the next one is served', async (t) => {
  const s = await server(t);
  if (!s) return;
  const modes = ['-P4', '-R', '--bidir'];
  for (const mode of modes) {
    const doomed = s.kernelBeside('iperf3', '-c', FOUR, '-t', '10', mode);
    const many = (bytes = 0): boolean => bytes > MIB;
    await s.untilSocket(({ info }) => many(info?.bytes_received) || many(info?.bytes_acked));
    const pids = s.running('iperf3');
    assert.equal(pids.length, 1);
    process.kill(pids[0]!, 'SIGKILL');
    assert.equal((await doomed.ended).signal, 'SIGKILL');
    await s.baseline();
    const next = await s.kernel(['iperf3', '-c', SIX, '-n', '1M', mode]);
    assert.equal(next.code, 0, mode + next.stderr);
    await s.baseline();
  }
  const broken = 'iperf3: the client has unexpectedly closed the connection';
  assert.equal(s.up.output().split('\n').filter((line) => line === broken).length, modes.length);
  await s.down();
});

test('real client · TUN · -u · refused with a reason', async (t) => {
  const s = await server(t);
  if (!s) return;
  const refused = await s.kernel(['iperf3', '-u', '-c', FOUR, '-t', '1']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^iperf3: error - protocol does not exist/);
  assert.equal((await s.kernel(['iperf3', '-c', FOUR, '-n', '1M'])).code, 0);
  await s.baseline();
  await s.down();
});

test('real client · TUN · the stack ends in mid-test · reads that it has terminated', async (t) => {
  const s = await server(t);
  if (!s) return;
  const client = s.kernelBeside('iperf3', '-c', FOUR, '-t', '10');
  await s.untilSocket(({ info }) => (info?.bytes_received ?? 0) > MIB);
  await s.down();
  const { code, stderr } = await client.ended;
  assert.equal(code, 1);
  assert.match(stderr, /the server has terminated/);
});

/** Options of `ackorn iperf3 -c`, and what must be true of its report. */
const OURS: readonly [options: string, check: (report: Iperf3Report) => void][] = [
  ['-t 1', (r) => checkReport(r, 1, false)],
  ['-t 1 -R', (r) => checkReport(r, 1, false)],
  ['-t 1 -P 4', (r) => checkReport(r, 4, false)],
  ['-t 1 --bidir', (r) => checkReport(r, 1, false)],
  ['-n 64M', (r) => {
    // The real server stops counting when TEST_END overtakes what is in flight.
    checkReport(r, 1, false);
    assert.equal(r.end.sum_sent!.bytes, 64 * MIB);
  }],
  ['-n 64M -R', (r) => {
    checkReport(r, 1, false);
    assert.ok(r.end.sum_received!.bytes >= 64 * MIB);
  }],
  ['-t 1 -O 1', (r) => checkReport(r, 1, false)],
  ['-t 1 --get-server-output', (r) => {
    checkReport(r, 1, false);
    assert.match(r.server_output_text!, /receiver/);
  }],
];

describe('our client · TUN · the real server on the kernel’s TCP · every option', () => {
  for (const [name, flags, host] of [
    ['IPv4, offload', [], KERNEL_FOUR], ['IPv6, no offload', ['--no-offload'], KERNEL_SIX],
  ] as const) {
    test(name, async (t) => {
      if (!needs(t, 'iperf3')) return;
      const s = await raise(t, ...flags);
      if (!s) return;
      const real = s.kernelBeside('iperf3', '-s', '-p', PORT, '--forceflush');
      for (const [at, [options, check]] of OURS.entries()) {
        await t.test(options, async (t) => {
          // It listens again a moment after its last byte.
          await real.until(new RegExp(`test #${at + 1}\\)\n-+\n`));
          const text = await s.ackorn('iperf3', '-c', host, '-J', ...options.split(' '));
          const report = JSON.parse(text) as Iperf3Report;
          t.diagnostic(summary(report));
          check(report);
          await s.baseline();
        });
      }
      await sentAgain(t, s);
      const [pid] = s.running('iperf3');
      process.kill(pid!, 'SIGTERM');
      await real.ended;
      const refused = await s.place.ackorn(['iperf3', '-c', host, '-t', '1']);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /^iperf3: error - unable to connect to server: .*ECONNREFUSED/);
      await s.baseline();
      await s.down();
    });
  }
});
