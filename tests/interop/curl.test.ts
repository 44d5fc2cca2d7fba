/**
 * The real curl, on the kernel's TCP, against HTTP files on ours, through a TUN device: large files
 * both ways over IPv4 and IPv6, with offload and without, many connections at once, and over a link
 * that loses, delays, reorders, doubles and corrupts. ACKORN_TEST_BYTES makes the large file
 * larger.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  createReadStream, mkdirSync, openSync, closeSync, writeFileSync, writeSync,
} from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { pipeline } from 'node:stream/promises';
import { describe, test, type TestContext } from 'node:test';
import { CLI, makePlace, needsTun, type Place } from '../host/fixtures/cli.js';
import { needs } from './tools.js';

const MIB = 1 << 20;
const LARGE = Number(process.env['ACKORN_TEST_BYTES'] ?? 64 * MIB);
const IMPAIR = 'loss=2%,delay=10ms,reorder=1%,dup=1%,corrupt=0.5%';
const FOUR = '10.99.0.2';
const SIX = '[fd99::2]';

interface Site {
  place: Place;
  directory: string;
  /** curl inside the namespace; rejects unless it ends well. */
  curl(...args: string[]): Promise<string>;
  counters(): Promise<Record<string, number>>;
  /** Ends the stack, and asserts that it ends well. */
  down(): Promise<void>;
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Random bytes: equal places in the file are not equal bytes. */
function makeFile(file: string, bytes: number): void {
  const fd = openSync(file, 'w');
  for (let left = bytes; left > 0; left -= MIB) writeSync(fd, randomBytes(Math.min(MIB, left)));
  closeSync(fd);
}

async function site(t: TestContext, ...flags: string[]): Promise<Site | undefined> {
  if (!needs(t, 'curl') || !needsTun(t)) return undefined;
  const place = makePlace(t);
  const directory = path.join(place.folder, 'site');
  mkdirSync(directory);
  const up = await place.up([
    '--addr', `${FOUR}/24`, '--addr', 'fd99::2/64', '--http', `80=${directory}:rw`, ...flags,
  ]);
  const run = async (...args: string[]): Promise<string> => {
    const ran = await place.start([execPath, CLI, ...args]).ended;
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  return {
    place, directory,
    curl: (...args) => run('exec', '--', 'curl', '-sSf', '-g', '--noproxy', '*', '--max-time',
      '500', ...args),
    async counters() {
      const text = await run('nstat', '--json', '-z');
      return (JSON.parse(text) as { kernel: Record<string, number> }).kernel;
    },
    async down() {
      up.child.kill('SIGTERM');
      assert.equal((await up.ended).code, 0);
      await place.nothingLeft();
    },
  };
}

/** GET and PUT of one file, hashes compared. */
async function bothWays(s: Site, host: string, bytes: number): Promise<void> {
  const file = path.join(s.directory, 'file');
  makeFile(file, bytes);
  const wanted = await hashOf(file);
  const got = path.join(s.place.folder, 'got');
  await s.curl('-o', got, `http://${host}/file`);
  assert.equal(await hashOf(got), wanted, 'GET');
  await s.curl('-T', got, `http://${host}/uploaded`);
  assert.equal(await hashOf(path.join(s.directory, 'uploaded')), wanted, 'PUT');
}

describe('curl · TUN · GET and PUT of one file, the same bytes', () => {
  for (const [name, host, bytes, flags] of [
    ['IPv4', FOUR, LARGE, []], ['IPv6', SIX, LARGE, []],
    ['IPv4 without offload', FOUR, 64 * MIB, ['--no-offload']],
    ['IPv6 without offload', SIX, 64 * MIB, ['--no-offload']],
  ] as const) {
    test(`${bytes} bytes, ${name}`, async (t) => {
      const s = await site(t, ...flags);
      if (!s) return;
      await bothWays(s, host, bytes);
      const counters = await s.counters();
      assert.equal(counters['TcpInCsumErrors'], 0);
      assert.equal(counters['TcpPassiveOpens'], 2);
      await s.down();
    });
  }
});

describe(`curl · TUN · 32 MiB each way with ${IMPAIR}`, () => {
  for (const [name, host] of [['IPv4', FOUR], ['IPv6', SIX]] as const) {
    test(name, { timeout: 550_000 }, async (t) => {
      const s = await site(t, '--impair', `${IMPAIR},seed=1`);
      if (!s) return;
      await bothWays(s, host, 32 * MIB);
      const counters = await s.counters();
      // 24,000 packets came in, 0.5 % of them with a flipped bit; most of those bits are TCP's.
      assert.ok((counters['TcpInCsumErrors'] ?? 0) > 20, `${counters['TcpInCsumErrors']}`);
      assert.ok((counters['TcpRetransSegs'] ?? 0) > 100, `${counters['TcpRetransSegs']}`);
      await s.down();
    });
  }
});

test('curl · TUN · 200 connections at once, mixed sizes, no byte wrong', async (t) => {
  const s = await site(t);
  if (!s) return;
  const sizes = Array.from({ length: 200 }, (_, at) => [1, 100, 1460, 30_000, 500_000][at % 5]!);
  const lines = sizes.map((size, at) => {
    makeFile(path.join(s.directory, `f${at}`), size + at);
    return `url = "http://${at % 2 === 0 ? FOUR : SIX}/f${at}"\n`
      + `output = "${path.join(s.place.folder, `g${at}`)}"\n`;
  });
  const config = path.join(s.place.folder, 'config');
  writeFileSync(config, lines.join(''));
  // HTTP/1.1 without keep-alive: as many connections as files, all at once.
  await s.curl('-Z', '--parallel-max', '200', '--parallel-immediate', '-H', 'Connection: close',
    '-K', config);
  for (let at = 0; at < sizes.length; at++) {
    const got: string = await hashOf(path.join(s.place.folder, `g${at}`));
    assert.equal(got, await hashOf(path.join(s.directory, `f${at}`)), `file ${at}`);
  }
  assert.equal((await s.counters())['TcpPassiveOpens'], 200);
  await s.down();
});
