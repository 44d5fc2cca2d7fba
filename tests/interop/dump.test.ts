/**
 * Our text and our pcapng against the real tools: `tcpdump -r` must print what we print, and
 * tshark must find nothing malformed and no bad checksum in a capture of super-segments.
 * Needs tcpdump and tshark; no network. RFC 9293 §3.1, draft-ietf-opsawg-pcapng.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  Capture, enhancedPacket, interfaceDescription, LINKTYPE_RAW, PcapngSink, readPcapng,
  sectionHeader,
} from '../../host/node/capture/index.js';
import { decodeFrame, TcpdumpPrinter, type TcpdumpOptions } from '../../host/node/decode/index.js';
import { Writable } from 'node:stream';
import { Random, tcpFrame } from '../support/frames.js';
import { mutated, randomFrame } from '../support/traffic.js';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ackorn-dump-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const START = 1_700_000_000_000_000n;

function timeOf(index: number): bigint {
  return START + BigInt(index * index * 137);
}

function fileOf(frames: Uint8Array[]): Uint8Array {
  const blocks = [sectionHeader('test'), interfaceDescription({
    linkType: LINKTYPE_RAW, name: 'tun0',
  })];
  frames.forEach((data, i) => {
    blocks.push(enhancedPacket({ timeUs: timeOf(i), direction: 'in', data }));
  });
  return Buffer.concat(blocks);
}

/** What tcpdump prints, a packet an entry: lines that begin with white space belong to the last. */
function tcpdump(frames: Uint8Array[], flags: string[]): string[] {
  const path = join(folder, 'frames.pcapng');
  writeFileSync(path, fileOf(frames));
  const text = execFileSync('tcpdump', ['-n', '--number', ...flags, '-r', path], {
    encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TZ: 'UTC' },
  });
  const packets = text.split(/^ *\d+  (?=.)/m).slice(1);
  return packets.map((packet) => packet.replace(/\n$/, ''));
}

function ours(frames: Uint8Array[], options: TcpdumpOptions): string[] {
  const printer = new TcpdumpPrinter(options);
  return frames.map((frame, i) => printer.print(decodeFrame(frame), timeOf(i)));
}

function traffic(seed: number, count: number): Uint8Array[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => randomFrame(random));
}

/** Compares packet by packet, and says how many differ with the first of them. */
function compare(frames: Uint8Array[], flags: string[], options: TcpdumpOptions): void {
  const real = tcpdump(frames, flags);
  const mine = ours(frames, options);
  assert.equal(real.length, mine.length);
  const wrong = real.flatMap((text, i) => (text === mine[i] ? [] : [i]));
  const [first] = wrong;
  if (first === undefined) return;
  const bytes = Buffer.from(frames[first]!).toString('hex');
  assert.equal(mine[first], real[first], `${wrong.length} differ, first ${first}: ${bytes}`);
}

describe('text as the real tcpdump prints it', () => {
  before(() => {
    process.env.TZ = 'UTC'; // both print local time
  });
  const cases: [string, string[], TcpdumpOptions][] = [
    ['-n', [], {}],
    ['-S', ['-S'], { absoluteSeq: true }],
    ['-v', ['-v'], { verbose: 1 }],
    ['-vv', ['-vv'], { verbose: 2 }],
    ['-t', ['-t'], { timestamps: 'none' }],
    ['-tt', ['-tt'], { timestamps: 'unix' }],
    ['-ttt', ['-ttt'], { timestamps: 'delta' }],
    ['-tttt', ['-tttt'], { timestamps: 'date' }],
    ['-ttttt', ['-ttttt'], { timestamps: 'relative' }],
  ];
  for (const [name, flags, options] of cases) {
    test(`${name} · 3,000 frames of every kind`, () => {
      compare(traffic(7, 3000), flags, options);
    });
  }

  test('mutated frames · all but one in a hundred the same', () => {
    const random = new Random(99);
    const frames = traffic(11, 4000).map((frame) => mutated(random, frame))
      .filter((frame) => frame.length > 0);
    const real = tcpdump(frames, ['-v', '-t']);
    const mine = ours(frames, { verbose: 1, timestamps: 'none' });
    const wrong = real.flatMap((text, i) => (text === mine[i] ? [] : [i]));
    if (process.env.DUMP_DIFF !== undefined) {
      for (const i of wrong.slice(0, 40)) console.log(`- ${real[i]}\n+ ${mine[i]}\n`);
    }
    assert.ok(wrong.length <= frames.length / 100, `${wrong.length} of ${frames.length} differ`);
  });
});
