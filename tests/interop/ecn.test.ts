/**
 * ECN with the real kernel over a TUN device, with offload: who asks and who only accepts, as ss on
 * both sides tells it; and a transfer each way over a link that marks instead of dropping, in which
 * both ends' counters say that they understood each other.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { FOUR, KERNEL_SIX, raise, SIX, type Site } from './site.js';
import { needs } from './tools.js';

const NC = 'nc.openbsd';
const BYTES = 8 << 20;

/** tcp_ecn of the kernel's side, in the stack's own namespace. */
async function kernelEcn(s: Site, value: number): Promise<void> {
  const ran = await s.kernel(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/tcp_ecn`]);
  assert.equal(ran.code, 0, ran.stderr);
}

/** The words of `ss -tino` about a connection with this port, on either side. */
async function words(s: Site, port: number): Promise<{ ours: string[]; theirs: string[] }> {
  const filter = ['state', 'established', `( sport = :${port} or dport = :${port} )`];
  const theirs = await s.kernel(['ss', '-tinoH', ...filter]);
  const ours = await s.ackorn('ss', '-tino', 'state', 'established', '(', 'sport', '=', `:${port}`,
    'or', 'dport', '=', `:${port}`, ')');
  return { ours: ours.split(/\s+/), theirs: theirs.stdout.split(/\s+/) };
}

async function site(t: TestContext, ...flags: string[]): Promise<Site | undefined> {
  for (const program of [NC, 'ss', 'nstat', 'curl']) if (!needs(t, program)) return undefined;
  return await raise(t, ...flags);
}

describe('ECN · TUN · the kernel connects to us', () => {
  for (const [theirs, ours, agreed] of [
    [1, 2, true], [1, 1, true], [1, 0, false], [2, 2, false], [0, 1, false],
  ] as const) {
    test(`tcp_ecn ${theirs} there, ${ours} here · ${agreed ? 'ECN' : 'none'}`, async (t) => {
      const s = await site(t, '--echo', '7', '--sysctl', `tcp_ecn=${ours}`);
      if (!s) return;
      await kernelEcn(s, theirs);
      const nc = s.kernelBeside(NC, FOUR, '7');
      nc.child.stdin!.write('data both ways\n');
      await nc.until(/data both ways/);
      const seen = await words(s, 7);
      for (const side of [seen.ours, seen.theirs]) {
        assert.equal(side.includes('ecn'), agreed, side.join(' '));
        assert.equal(side.includes('ecnseen'), agreed, side.join(' '));
      }
      nc.child.stdin!.end();
      await s.down();
    });
  }
});

describe('ECN · TUN · we connect to the kernel', () => {
  for (const [ours, theirs, agreed] of [
    [1, 2, true], [1, 1, true], [1, 0, false], [2, 2, false], [0, 2, false],
  ] as const) {
    test(`tcp_ecn ${ours} here, ${theirs} there · ${agreed ? 'ECN' : 'none'}`, async (t) => {
      const s = await site(t, '--sysctl', `tcp_ecn=${ours}`);
      if (!s) return;
      await kernelEcn(s, theirs);
      const listener = s.kernelBeside(NC, '-6', '-l', KERNEL_SIX, '4000');
      const listening = ['sh', '-c',
        'for i in $(seq 200); do ss -tlnH | grep -q :4000 && exit; sleep 0.02; done; exit 1'];
      assert.equal((await s.kernel(listening)).code, 0);
      const nc = s.place.start([process.execPath, s.up.child.spawnargs[1]!, 'nc', KERNEL_SIX,
        '4000']);
      nc.child.stdin!.write('to the kernel\n');
      await listener.until(/to the kernel/);
      listener.child.stdin!.write('to us\n');
      await nc.until(/to us/);
      const seen = await words(s, 4000);
      for (const side of [seen.ours, seen.theirs]) {
        assert.equal(side.includes('ecn'), agreed, side.join(' '));
        assert.equal(side.includes('ecnseen'), agreed, side.join(' '));
      }
      nc.child.stdin!.end();
      listener.child.stdin!.end();
      await s.down();
    });
  }
});

async function theirCounters(s: Site): Promise<Record<string, number>> {
  const ran = await s.kernel(['nstat', '-asz', '--json']);
  assert.equal(ran.code, 0, ran.stderr);
  return (JSON.parse(ran.stdout) as { kernel: Record<string, number> }).kernel;
}

describe('ECN · TUN · marks on the way, curl both ways', () => {
  for (const [family, host] of [['IPv4', FOUR], ['IPv6', `[${SIX}]`]] as const) {
    test(`8 MiB over ${family} · answered by both, no loss is seen`, async (t) => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'ackorn-ecn-'));
      t.after(() => rmSync(directory, { recursive: true, force: true }));
      const impair = 'mark=2%,delay=2ms,seed=3';
      const s = await site(t, '--http', `80=${directory}:rw`, '--impair', impair);
      if (!s) return;
      await kernelEcn(s, 1);
      const bytes = randomBytes(BYTES);
      writeFileSync(path.join(directory, 'file'), bytes);
      const got = path.join(directory, 'got');
      const curl = ['curl', '-sSf', '-g', '--noproxy', '*', '--max-time', '60'];
      const get = await s.kernel([...curl, '-o', got, `http://${host}/file`]);
      assert.equal(get.code, 0, get.stderr);
      const put = await s.kernel([...curl, '-T', got, `http://${host}/back`]);
      assert.equal(put.code, 0, put.stderr);
      assert.ok(readFileSync(path.join(directory, 'back')).equals(bytes), 'the same bytes');
      const [ours, theirs] = [await s.counters(), await theirCounters(s)];
      const ce = family === 'IPv4' ? 'IpExtInCEPkts' : 'Ip6InCEPkts';
      for (const [who, side] of [['ours', ours], ['theirs', theirs]] as const) {
        // Of 5,700 packets of data each way two in a hundred are marked.
        assert.ok(side[ce]! > 20, `${who}: ${side[ce]} marked`);
        const echoed = side['TcpExtTCPDeliveredCE']!;
        assert.ok(echoed > 5, `${who}: ${echoed} echoed`);
        // A busy machine may make the kernel probe for a tail that was only late.
        assert.equal(side['TcpExtTCPFastRetrans'], 0, `${who}: fast retransmissions`);
      }
      await s.down();
    });
  }
});
