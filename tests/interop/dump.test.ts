/**
 * Our text and our pcapng against the real tools: `tcpdump -r` must print what we print, and
 * tshark must find nothing malformed and no bad checksum in a capture of super-segments.
 * Needs tcpdump and tshark; no network. RFC 9293 §3.1, draft-ietf-opsawg-pcapng.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import {
  Capture, enhancedPacket, interfaceDescription, LINKTYPE_ETHERNET, LINKTYPE_RAW, PcapngSink,
  readPcapng, sectionHeader,
} from '../../host/node/capture/index.js';
import { decodeFrame, TcpdumpPrinter, type TcpdumpOptions } from '../../host/node/decode/index.js';
import { openChecksum, superSegment } from '../support/offloaded.js';
import { be16, concat, ethernetFrame, Random, tcpFrame } from '../support/frames.js';
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

  test('mutated frames · all but four in a hundred the same', () => {
    const random = new Random(99);
    const frames = traffic(11, 4000).map((frame) => mutated(random, frame))
      .filter((frame) => frame.length > 0);
    const real = tcpdump(frames, ['-v', '-t']);
    const mine = ours(frames, { verbose: 1, timestamps: 'none' });
    // tcpdump takes more protocols apart, and reads on differently behind an option whose length
    // does not fit its kind; both are rare.
    const wrong = real.flatMap((text, i) => (text === mine[i] ? [] : [i]));
    assert.ok(wrong.length <= frames.length / 25, `${wrong.length} of ${frames.length} differ`);
  });
});

describe('captures as tshark sees them', () => {
  /** A capture with offloaded frames both ways and a dropped packet, in a file. */
  function captured(name: string): string {
    const path = join(folder, name);
    const chunks: Uint8Array[] = [];
    const sink = new PcapngSink(new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    }));
    const capture = new Capture();
    capture.add(sink);
    let timeUs = START;
    for (const version of [4, 6] as const) {
      const { frames } = superSegment(version, 1448, 20_000);
      for (const input of frames) capture.packet({ ...input, timeUs: timeUs++ });
    }
    const plain = openChecksum();
    capture.packet({ ...plain, timeUs: timeUs++, comment: 'dropped: loss' });
    capture.close();
    writeFileSync(path, Buffer.concat(chunks));
    return path;
  }

  function tshark(path: string, ...flags: string[]): string {
    const checks = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum']
      .flatMap((name) => ['-o', `${name}:TRUE`]);
    return execFileSync('tshark', ['-r', path, ...checks, ...flags], {
      encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    });
  }

  test('super-segments · cut, no malformed packet, no bad checksum', () => {
    const path = captured('super.pcapng');
    assert.equal(tshark(path, '-Y', '_ws.malformed || _ws.expert.severity == 8388608'), '');
    const bad = 'ip.checksum.status == "Bad" || tcp.checksum.status == "Bad"';
    assert.equal(tshark(path, '-Y', bad), '');
    const good = tshark(path, '-Y', 'tcp.checksum.status == "Good"', '-T', 'fields', '-e',
      'frame.number').trim().split('\n');
    const packets = readPcapng(readFileSync(path)).filter((record) => record.type === 'packet');
    assert.equal(good.length, packets.length);
    assert.ok(packets.length > 2 * 14);
  });

  test('flags, seq, ack and len are those of our own decoder', () => {
    const path = captured('fields.pcapng');
    const fields = ['tcp.flags', 'tcp.seq', 'tcp.ack', 'tcp.len'].flatMap((name) => ['-e', name]);
    const theirs = tshark(path, '-o', 'tcp.relative_sequence_numbers:FALSE', '-T', 'fields',
      ...fields).trim().split('\n');
    const own = readPcapng(readFileSync(path)).flatMap((record) => {
      if (record.type !== 'packet') return [];
      const { transport: tcp } = decodeFrame(record.data);
      if (tcp?.kind !== 'tcp') return ['no TCP'];
      const flags = `0x${tcp.flags.toString(16).padStart(4, '0')}`;
      return [[flags, tcp.seq, tcp.ack, tcp.payloadLength].join('\t')];
    });
    assert.deepEqual(theirs, own);
  });

  test('comment, direction, interface and packet ids can be read by others', () => {
    const path = captured('options.pcapng');
    const fields = ['frame.comment', 'frame.packet_flags_direction', 'frame.interface_name',
      'frame.packet_id'].flatMap((name) => ['-e', name]);
    const lines = tshark(path, '-T', 'fields', ...fields).trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^\t(2|0x0*2)\ttun0\t1$/);
    assert.match(lines.at(-1) ?? '', /^dropped: loss\t/);
  });
});

test('Ethernet frames with ARP and VLAN tags · the same text as tcpdump', () => {
  const { frames, file } = ethernetFile();
  const path = join(folder, 'ethernet.pcapng');
  writeFileSync(path, file);
  for (const verbose of [0, 1]) {
    const flags = verbose > 0 ? ['-v'] : [];
    const real = execFileSync('tcpdump', ['-n', '-t', ...flags, '-r', path], {
      encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    });
    const printer = new TcpdumpPrinter({ timestamps: 'none', verbose });
    const mine = frames.map((frame) => printer.print(decodeFrame(frame, { link: 'ethernet' }), 0));
    assert.equal(`${mine.join('\n')}\n`, real);
  }
});

function ethernetFile(): { frames: Uint8Array[]; file: Uint8Array } {
  const arp = (operation: number, target: number[]) => concat(be16(1), be16(0x0800), [6, 4],
    be16(operation), [2, 0, 0, 0, 0, 1, 10, 99, 0, 1], target, [10, 99, 0, 2], new Uint8Array(18));
  const tcp = tcpFrame({ from: '10.99.0.1', to: '10.99.0.2', sourcePort: 5, destinationPort: 6 });
  const frames = [
    ethernetFrame(0x0806, arp(1, [0, 0, 0, 0, 0, 0])),
    ethernetFrame(0x0806, arp(2, [2, 0, 0, 0, 0, 2])),
    ethernetFrame(0x0800, concat(tcp, new Uint8Array(6))),
    ethernetFrame(0x0800, tcp, [0x2005]),
    ethernetFrame(0x1234, Uint8Array.from([1, 2, 3, 65, 66])),
  ];
  const blocks = [sectionHeader('test'),
    interfaceDescription({ linkType: LINKTYPE_ETHERNET, name: 'tap0' }),
    ...frames.map((data) => enhancedPacket({ timeUs: START, direction: 'in', data }))];
  return { frames, file: Buffer.concat(blocks) };
}
