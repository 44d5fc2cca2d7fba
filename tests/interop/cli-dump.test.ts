/**
 * What `ackorn dump` says against what tshark reads in the same capture: the same packets, flags,
 * sequence and acknowledgement numbers and lengths, nothing malformed, no bad checksum. And of an
 * impaired link, what became of each packet.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { execPath } from 'node:process';
import { test } from 'node:test';
import { CLI, makePlace, needsTun, type Place } from '../host/fixtures/cli.js';
import { needs, run } from './tools.js';

/** One curl of 1 MB over IPv4 and IPv6 with a capture of it. */
async function capture(place: Place, ...flags: string[]): Promise<string> {
  const directory = path.join(place.folder, 'site');
  mkdirSync(directory);
  writeFileSync(path.join(directory, 'file'), randomBytes(1_000_000));
  const file = path.join(place.folder, 'capture.pcapng');
  const up = await place.up(['--addr', '10.99.0.2/24', '--addr', 'fd99::2/64',
    '--http', `80=${directory}`, '--pcap', file, ...flags]);
  for (const host of ['10.99.0.2', '[fd99::2]']) {
    const ran = await place.start([execPath, CLI, 'exec', '--', 'curl', '-sSg', '--noproxy', '*',
      '-o', '/dev/null', `http://${host}/file`]).ended;
    assert.equal(ran.code, 0, ran.stderr);
  }
  up.child.kill('SIGTERM');
  await up.ended;
  return file;
}

async function tshark(file: string, ...args: string[]): Promise<string[]> {
  const ran = await run('tshark', ['-n', '-r', file, ...args]);
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout.split('\n').filter((line) => line !== '');
}

const FLAGS: readonly [bit: number, letter: string][] = [
  [1, 'F'], [2, 'S'], [4, 'R'], [8, 'P'], [128, 'W'], [64, 'E'], [32, 'U'], [16, '.'],
];

/** tshark's fields in the words of tcpdump -S. */
function wordsOf(line: string): string {
  const [flags = '', seq = '', ack = '', length = ''] = line.split('\t');
  const bits = Number(flags);
  const letters = FLAGS.filter(([bit]) => (bits & bit) !== 0).map(([, letter]) => letter).join('');
  const end = (Number(seq) + Number(length)) >>> 0;
  const shown = (bits & 7) !== 0 || length !== '0';
  const seqText = !shown ? '' : length === '0' ? ` seq ${seq},` : ` seq ${seq}:${end},`;
  const ackText = (bits & 16) !== 0 ? ` ack ${ack},` : '';
  return `Flags [${letters}],${seqText}${ackText} length ${length}`;
}

/** The same of a line of ours. */
function partsOf(line: string): string {
  const match = /(Flags \[[^\]]*\],)( seq [\d:]+,)?( ack \d+,)?.*( length \d+)/.exec(line);
  assert.ok(match !== null, line);
  return match.slice(1).join('');
}

test('dump · a capture of two fetches · tshark sees the same and nothing wrong', async (t) => {
  if (!needs(t, 'tshark') || !needs(t, 'curl') || !needsTun(t)) return;
  const place = makePlace(t);
  const file = await capture(place);
  const wrong = '_ws.malformed || _ws.expert.severity == 8388608';
  assert.deepEqual(await tshark(file, '-Y', wrong), []);
  const checks = ['-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
  const bad = 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"';
  assert.deepEqual(await tshark(file, ...checks, '-Y', bad), []);
  const good = await tshark(file, ...checks, '-Y', 'tcp.checksum.status == "Good"');
  const fields = await tshark(file, '-Y', 'tcp', '-o', 'tcp.relative_sequence_numbers:FALSE',
    '-T', 'fields', '-e', 'tcp.flags', '-e', 'tcp.seq', '-e', 'tcp.ack', '-e', 'tcp.len');
  assert.ok(fields.length > 1400, `${fields.length} packets`);
  assert.equal(good.length, fields.length);
  const ours = await place.ackorn(['dump', '-S', '-t', '-r', file, 'tcp']);
  assert.equal(ours.code, 0, ours.stderr);
  const lines = ours.stdout.trimEnd().split('\n');
  assert.deepEqual(lines.map(partsOf), fields.map(wordsOf));
});

test('dump · an impaired link · each packet that is dropped says so', async (t) => {
  if (!needs(t, 'curl') || !needsTun(t)) return;
  const place = makePlace(t);
  const file = await capture(place, '--impair', 'loss=5%,dup=5%,corrupt=5%,seed=3');
  const { stdout } = await place.ackorn(['dump', '-t', '-r', file]);
  const lines = stdout.trimEnd().split('\n');
  for (const fate of ['dropped: loss', 'duplicated', 'corrupted']) {
    const share = lines.filter((line) => line.endsWith(`  [${fate}]`)).length / lines.length;
    assert.ok(share > 0.03 && share < 0.07, `${fate}: ${share} of ${lines.length}`);
  }
});
