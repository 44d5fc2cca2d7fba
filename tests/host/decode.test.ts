/**
 * The decoder and its text without any other program: golden lines, checksums, truncation, and
 * millions of random and mutated frames that must neither throw nor take long.
 * RFC 791, 8200, 9293, 792, 4443, 1071.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeFrame, TcpdumpPrinter, type TcpSegment } from '../../host/node/decode/index.js';
import {
  be16, be32, concat, ethernetFrame, icmp6Message, icmpMessage, ip4, ipv4Packet, ipv6Packet,
  Random, tcpFrame, tcpSegment, udpDatagram,
} from '../support/frames.js';
import { mutated, randomFrame } from '../support/traffic.js';

const ENDS = { from: '10.99.0.1', to: '10.99.0.2' };
const BACK = { from: '10.99.0.2', to: '10.99.0.1' };
const ENDS6 = { from: 'fd00::1', to: 'fd00::2' };
const SYN_OPTIONS = [2, 4, 5, 0xb4, 4, 2, 8, 10, ...be32(1000), ...be32(0), 1, 3, 3, 7];

function handshake(): Uint8Array[] {
  const client = { ...ENDS, sourcePort: 40000, destinationPort: 80 };
  const server = { ...BACK, sourcePort: 80, destinationPort: 40000 };
  const request = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  return [
    tcpFrame({ ...client, seq: 5000, flags: 2, options: SYN_OPTIONS }),
    tcpFrame({ ...server, seq: 9000, ack: 5001, flags: 18, options: [2, 4, 5, 0xb4] }),
    tcpFrame({ ...client, seq: 5001, ack: 9001, flags: 16 }),
    tcpFrame({ ...client, seq: 5001, ack: 9001, flags: 24 }, request),
    tcpFrame({
      ...server, seq: 9001, ack: 5001, options: [1, 1, 5, 10, ...be32(5010), ...be32(5020)],
    }),
    tcpFrame({ ...server, seq: 9001, ack: 5028, flags: 17 }),
    tcpFrame({ ...client, seq: 5028, ack: 9002, flags: 20 }),
  ];
}

function lines(frames: Uint8Array[], options = {}, stepUs = 250): string[] {
  const printer = new TcpdumpPrinter(options);
  return frames.map((frame, i) => printer.print(decodeFrame(frame), i * stepUs));
}

describe('tcpdump text', () => {
  test('handshake, data, SACK, close · relative numbers after the SYN-ACK', () => {
    assert.deepEqual(lines(handshake(), { timestamps: 'relative' }), [
      ' 00:00:00.000000 IP 10.99.0.1.40000 > 10.99.0.2.80: Flags [S], seq 5000, win 64240, '
        + 'options [mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7], length 0',
      ' 00:00:00.000250 IP 10.99.0.2.80 > 10.99.0.1.40000: Flags [S.], seq 9000, ack 5001, '
        + 'win 64240, options [mss 1460], length 0',
      ' 00:00:00.000500 IP 10.99.0.1.40000 > 10.99.0.2.80: Flags [.], ack 1, win 64240, length 0',
      ' 00:00:00.000750 IP 10.99.0.1.40000 > 10.99.0.2.80: Flags [P.], seq 1:28, ack 1, '
        + 'win 64240, length 27: HTTP: GET / HTTP/1.1',
      ' 00:00:00.001000 IP 10.99.0.2.80 > 10.99.0.1.40000: Flags [.], ack 1, win 64240, '
        + 'options [nop,nop,sack 1 {10:20}], length 0',
      ' 00:00:00.001250 IP 10.99.0.2.80 > 10.99.0.1.40000: Flags [F.], seq 1, ack 28, win 64240, '
        + 'length 0',
      ' 00:00:00.001500 IP 10.99.0.1.40000 > 10.99.0.2.80: Flags [R.], seq 28, ack 2, win 64240, '
        + 'length 0',
    ]);
  });

  test('-S -t · absolute numbers, SACK blocks too', () => {
    const printed = lines(handshake(), { timestamps: 'none', absoluteSeq: true });
    assert.match(printed[3]!, /^IP .* seq 5001:5028, ack 9001, win/);
    assert.match(printed[4]!, /ack 5001, .*sack 1 \{5010:5020\}/);
  });

  test('-ttt · time since the packet before, negative when it goes back', () => {
    const printer = new TcpdumpPrinter({ timestamps: 'delta' });
    const frame = decodeFrame(handshake()[2]!);
    const stamps = [5_000_000n, 5_000_001, 3_000_000n, 3_700_000_000n]
      .map((time) => printer.print(frame, time).slice(0, 16));
    assert.deepEqual(stamps, [
      ' 00:00:00.000000', ' 00:00:00.000001', '-00:00:02.000001', ' 01:01:37.000000',
    ]);
  });

  test('-v · header and checksums; an offloaded one is not called wrong', () => {
    const frame = tcpFrame({ ...ENDS, sourcePort: 1, destinationPort: 2, seq: 7, flags: 2 });
    const head = 'IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 40)\n'
      + '    10.99.0.1.1 > 10.99.0.2.2: Flags [S], cksum ';
    const printer = new TcpdumpPrinter({ verbose: 1, timestamps: 'none' });
    assert.equal(printer.frameText(decodeFrame(frame)),
      `${head}0xa01f (correct), seq 7, win 64240, length 0`);
    frame.set([0x12, 0x34], 36);
    assert.equal(printer.frameText(decodeFrame(frame)),
      `${head}0x1234 (incorrect -> 0xa01f), seq 7, win 64240, length 0`);
    assert.equal(printer.frameText(decodeFrame(frame, { csumPartial: true })),
      `${head}0x1234 (not yet computed), seq 7, win 64240, length 0`);
  });

  test('ICMP, ICMPv6, UDP, fragments, ARP, VLAN', () => {
    const quoted = tcpFrame({ ...ENDS, sourcePort: 5, destinationPort: 6, flags: 2 });
    const echo = icmpMessage(8, 0, 0x00070001, new Uint8Array(56));
    const arp = concat(be16(1), be16(0x0800), [6, 4], be16(1), [2, 0, 0, 0, 0, 1],
      ip4('10.99.0.1'), [0, 0, 0, 0, 0, 0], ip4('10.99.0.2'));
    const raw: [Uint8Array, string][] = [
      [ipv4Packet({ ...ENDS, protocol: 1 }, echo),
        'IP 10.99.0.1 > 10.99.0.2: ICMP echo request, id 7, seq 1, length 64'],
      [ipv4Packet({ ...BACK, protocol: 1 }, icmpMessage(3, 4, 1280, quoted)),
        'IP 10.99.0.2 > 10.99.0.1: ICMP 10.99.0.2 unreachable - need to frag (mtu 1280), '
        + 'length 48'],
      [ipv6Packet({ ...ENDS6, nextHeader: 58 }, icmp6Message(ENDS6, 128, 0, 0x00070002)),
        'IP6 fd00::1 > fd00::2: ICMP6, echo request, id 7, seq 2, length 8'],
      [ipv6Packet({ ...ENDS6, nextHeader: 17 }, udpDatagram(ENDS6, 7777, 9999, new Uint8Array(5))),
        'IP6 fd00::1.7777 > fd00::2.9999: UDP, length 5'],
      [ipv4Packet({ ...ENDS, protocol: 17, flags: 1, fragmentOffset: 1480 }, new Uint8Array(8)),
        'IP 10.99.0.1 > 10.99.0.2: ip-proto-17'],
    ];
    const printer = new TcpdumpPrinter();
    for (const [frame, text] of raw) assert.equal(printer.frameText(decodeFrame(frame)), text);
    const ethernet: [Uint8Array, string][] = [
      [ethernetFrame(0x0806, arp), 'ARP, Request who-has 10.99.0.2 tell 10.99.0.1, length 28'],
      [ethernetFrame(0x0800, quoted, [5]),
        'IP 10.99.0.1.5 > 10.99.0.2.6: Flags [S], seq 0, win 64240, length 0'],
    ];
    for (const [frame, text] of ethernet) {
      assert.equal(printer.frameText(decodeFrame(frame, { link: 'ethernet' })), text);
    }
  });
});

describe('decoder', () => {
  test('TCP · every option as a field', () => {
    const cookie = [1, 2, 3, 4, 5, 6];
    const frame = tcpFrame({
      ...ENDS, sourcePort: 1, destinationPort: 2, flags: 2,
      options: [...SYN_OPTIONS, 34, 8, ...cookie, 254, 6, 0xf9, 0x89, 9, 9],
    });
    const { transport, ip } = decodeFrame(frame);
    assert.ok(ip?.version === 4 && ip.checksum.status === 'good');
    const { options, checksum } = transport as TcpSegment;
    assert.equal(checksum.status, 'good');
    assert.deepEqual(options.map((option) => option.name),
      ['mss', 'sackOK', 'TS', 'nop', 'wscale', 'tfo', 'exp', 'eol']);
    assert.equal(options[0]?.mss, 1460);
    assert.deepEqual([options[2]?.tsVal, options[2]?.tsEcr], [1000, 0]);
    assert.equal(options[4]?.shift, 7);
    assert.deepEqual([...options[5]?.cookie ?? []], cookie);
    assert.deepEqual([options[6]?.exId, [...options[6]?.cookie ?? []]], [0xf989, [9, 9]]);
  });

  test('TCP · an option longer than the header is reported, the ones before it are kept', () => {
    const frame = tcpFrame({
      ...ENDS, sourcePort: 1, destinationPort: 2, options: [2, 4, 5, 0xb4, 8, 200, 0, 0],
    });
    const { transport, issues } = decodeFrame(frame);
    const tcp = transport as TcpSegment;
    assert.equal(tcp.optionsProblem, 'bad-option');
    assert.deepEqual(tcp.options.map((option) => option.name), ['mss']);
    assert.deepEqual(issues, [{ layer: 'tcp', problem: 'bad-option', detail: 24 }]);
  });

  test('every cut of a frame is reported as truncated, a whole one is not', () => {
    const extension = concat([6, 0, 1, 4, 0, 0, 0, 0],
      tcpSegment({ ...ENDS6, sourcePort: 1, destinationPort: 2 }, new Uint8Array(9)));
    const whole = [handshake()[0]!, ipv6Packet({ ...ENDS6, nextHeader: 60 }, extension)];
    for (const frame of whole) {
      assert.equal(decodeFrame(frame).truncated, false);
      for (let length = 0; length < frame.length; length++) {
        const cut = frame.subarray(0, length);
        assert.ok(decodeFrame(cut).truncated, `${length} bytes, sent short`);
        assert.ok(decodeFrame(cut, { wireLength: frame.length }).truncated, `${length}, captured`);
      }
    }
  });

  test('checksum over a routing header or a fragment is not judged', () => {
    const payload = tcpSegment({ ...ENDS, sourcePort: 1, destinationPort: 2 });
    const first = decodeFrame(ipv4Packet({ ...ENDS, protocol: 6, flags: 1 }, payload));
    assert.equal((first.transport as TcpSegment).checksum.status, 'unverified');
  });

  test('an ICMP error shows the packet it quotes, one level deep', () => {
    const tcp = tcpFrame({ ...ENDS, sourcePort: 5, destinationPort: 6, seq: 77 });
    const inner = ipv4Packet({ ...BACK, protocol: 1 }, icmpMessage(3, 1, 0, tcp));
    const outer = ipv4Packet({ ...ENDS, protocol: 1 }, icmpMessage(11, 0, 0, inner));
    const message = decodeFrame(outer).transport;
    assert.ok(message?.kind === 'icmp' && message.quoted?.transport?.kind === 'icmp');
    assert.equal(message.quoted.transport.quoted, undefined);
    const direct = decodeFrame(inner).transport;
    assert.ok(direct?.kind === 'icmp' && direct.quoted?.transport?.kind === 'tcp');
    assert.equal(direct.quoted.transport.seq, 77);
  });
});

describe('any bytes', () => {
  /** Decodes and prints; the text must exist, and offsets may not lie about missing bytes. */
  function check(bytes: Uint8Array, link: 'raw' | 'ethernet', printer: TcpdumpPrinter): void {
    const frame = decodeFrame(bytes, { link });
    const { transport } = frame;
    if (transport?.kind === 'tcp') {
      for (const option of transport.options) {
        if (option.offset >= bytes.length) throw new Error('option behind the end');
      }
    }
    if (printer.frameText(frame).length === 0) throw new Error('no text');
  }

  test('random and mutated frames by the million · neither throw nor hang', (t) => {
    const random = new Random(2024);
    const printers = [0, 1, 2].map((verbose) => new TcpdumpPrinter({ verbose }));
    const pool = Array.from({ length: 2000 }, () => randomFrame(random));
    const deadline = Date.now() + 5000; // slow machines do fewer, but at least a tenth
    let done = 0;
    let bytes: Uint8Array = new Uint8Array(1);
    try {
      while (done < 2_000_000 && (done < 200_000 || Date.now() < deadline)) {
        const kind = random.below(4);
        bytes = mutated(random, random.pick(pool));
        if (kind === 0) bytes = random.bytes(random.below(80));
        else if (kind === 1 && bytes.length > 0) bytes[0] = random.pick([0x45, 0x46, 0x4f, 0x60]);
        const link = random.below(8) === 0 ? 'ethernet' : 'raw';
        check(bytes, link, random.pick(printers));
        done++;
      }
    } catch (error) {
      assert.fail(`${String(error)} at frame ${done}: ${Buffer.from(bytes).toString('hex')}`);
    }
    t.diagnostic(`${done} frames`);
    assert.ok(done >= 200_000);
  });
});
