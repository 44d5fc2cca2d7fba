/**
 * `ackorn bench tun` and `bench paths` as they are typed: figures of both sides, one line where a
 * program is missing, and nothing left behind however they end.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { PathsBench } from '../../host/node/bench/paths.js';
import type { TunBench } from '../../host/node/bench/tun.js';
import { findNamespace } from '../../host/node/cli/namespace.js';
import { needs } from './tools.js';

const CLI = fileURLToPath(new URL('../../host/node/cli/main.js', import.meta.url));
const RUN_MS = 120_000;

function possible(t: TestContext): boolean {
  for (const program of ['iperf3', 'ip', 'setpriv', 'unshare']) {
    if (!needs(t, program)) return false;
  }
  const found = findNamespace();
  if ('kind' in found) return true;
  if (process.env['CI'] === 'true') throw new Error(found.reasons.join('; '));
  t.skip(found.reasons.join('; '));
  return false;
}

/** Command lines of processes that have our environment's mark. */
function marked(mark: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      return environment.includes(mark) ? [readFileSync(`/proc/${pid}/cmdline`, 'utf8')] : [];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}

async function untilGone(mark: string): Promise<string[]> {
  for (let waited = 0; waited < 5000 && marked(mark).length > 0; waited += 50) await sleep(50);
  return marked(mark);
}

test('bench tun · figures of both sides as JSON, and no process stays', async (t) => {
  if (!possible(t)) return;
  const mark = `ACKORN_BENCH_TEST=${process.pid}.1`;
  const args = [CLI, 'bench', 'tun', '--runs', '1', '--seconds', '1', '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8', timeout: RUN_MS,
    env: { ...process.env, ACKORN_BENCH_TEST: `${process.pid}.1` },
  });
  assert.equal(status, 0, stderr);
  const bench = JSON.parse(stdout) as TunBench;
  assert.equal(bench.congestion.kernel, 'cubic');
  const bulk = bench.rows.filter(({ name }) => name.startsWith('bulk'));
  assert.deepEqual(bulk.map(({ name }) => name), [
    'bulk in, offload', 'bulk out, offload', 'bulk in, no offload', 'bulk out, no offload',
  ]);
  for (const { figures: { ackorn, kernel, ratio } } of bulk) {
    assert.ok(ackorn.median > 0 && kernel.median > 0);
    assert.equal(ratio.median, ackorn.median / kernel.median);
  }
  assert.ok(bench.rows.some(({ name }) => name === 'connections, 16 at a time, no offload'));
  assert.deepEqual(await untilGone(mark), []);
});

test('bench paths · --quick --json · every cell has figures of both, and no process stays',
  async (t) => {
    if (!possible(t)) return;
    const { status, stdout, stderr } = spawnSync(
      process.execPath, [CLI, 'bench', 'paths', '--quick', '--json'], {
        encoding: 'utf8', timeout: RUN_MS,
        env: { ...process.env, ACKORN_BENCH_TEST: `${process.pid}.2` },
      },
    );
    assert.equal(status, 0, stderr);
    const bench = JSON.parse(stdout) as PathsBench;
    assert.deepEqual([bench.runs, bench.rateBps, bench.congestion], [1, 100e6, 'cubic']);
    assert.deepEqual(
      bench.rows.map(({ lossPercent, rttMs, direction, queueBytes }) =>
        [lossPercent, rttMs, direction, queueBytes]),
      [[0, 10, 'in', 125_000], [0, 10, 'out', 125_000], [1, 60, 'in', 750_000],
        [1, 60, 'out', 750_000]],
    );
    const ratios = bench.rows.map(({ goodput, values, details }) => {
      for (const who of ['ackorn', 'kernel'] as const) {
        assert.equal(details[who].length, 1);
        const [{ goodputBps, punctuality, sender, dropped } = assert.fail()] = details[who];
        assert.deepEqual(values[who], [goodputBps / 1e6]);
        // Payload of 1448 in 1500 bytes is what the link has room for.
        assert.ok(goodputBps > 0 && goodputBps <= 100e6 * (1448 / 1500) * 1.01, `${goodputBps}`);
        assert.ok(punctuality.packets > 100);
        assert.deepEqual([sender, dropped], ['cubic', 0]);
      }
      return goodput.ratio.median;
    });
    assert.equal(bench.worst.ratio, Math.min(...ratios));
    const product = ratios.reduce((all, ratio) => all * ratio, 1);
    assert.ok(Math.abs(bench.geometricMean ** 4 - product) < 1e-9 * product);
    assert.deepEqual(await untilGone(`ACKORN_BENCH_TEST=${process.pid}.2`), []);
  });

/** What is started, and how many processes it has when it measures. */
const STOPPED: readonly [command: string, args: readonly string[], processes: number][] = [
  // Ours inside and outside, both stacks, the far end, two of iperf3.
  ['tun', ['--parts', 'plain'], 6],
  // Ours inside and outside, one that emulates the link, two of iperf3 at its ends.
  ['paths', ['--cells', '1:60:in', '--jobs', '1'], 5],
];

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  for (const [command, args, processes] of STOPPED) {
    test(`bench ${command} · ${signal} in the middle · no process stays`, async (t) => {
      if (!possible(t)) return;
      const mark = `ACKORN_BENCH_TEST=${process.pid}.${command}.${signal}`;
      const child = spawn(process.execPath, [CLI, 'bench', command, ...args], {
        stdio: 'ignore',
        env: { ...process.env, ACKORN_BENCH_TEST: `${process.pid}.${command}.${signal}` },
      });
      t.after(() => child.kill('SIGKILL'));
      const count = (): number => marked(mark).length;
      for (let waited = 0; waited < 30_000 && count() < processes; waited += 50) await sleep(50);
      assert.ok(count() >= processes, marked(mark).join('\n'));
      child.kill(signal);
      await once(child, 'exit');
      assert.deepEqual(await untilGone(mark), []);
    });
  }
}

for (const command of ['tun', 'paths']) {
  test(`bench ${command} · iperf3 is missing · one line says so`, (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'ackorn-bench-'));
    t.after(() => rmSync(folder, { recursive: true }));
    symlinkSync(process.execPath, path.join(folder, 'node'));
    const run = spawnSync(process.execPath, [CLI, 'bench', command], {
      encoding: 'utf8', env: { ...process.env, PATH: folder },
    });
    assert.equal(run.status, 1);
    assert.equal(
      run.stderr, 'ackorn: iperf3 is missing and bench needs it: apt-get install iperf3\n',
    );
  });
}
