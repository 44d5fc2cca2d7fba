/**
 * IP, ICMP and UDP in the engine (assembly/ip, udp, wire), TCP replaced by a probe: each kind of
 * packet goes where it belongs, each broken one into exactly one drop counter.
 * RFC 791, 792, 768, 1122, 1191, 4443, 8200, 8201.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Config, Counter, Errno, LINK_UP, Trace } from '../../assembly/abi.js';
import {
  checksum, dropsOf, engine, icmp, icmp6, ipv4, ipv6, only, pattern, PEER, PEER6, PROBE_ICMP_ERROR,
  PROBE_PATH_MTU, PROBE_TCP, tcp, TX_SLOTS, udp, US, US6, words,
} from './ip-harness.js';

test('echo · IPv4, every size parity up to the MTU · reply with the same bytes', () => {
  const e = engine();
  for (const size of [0, 1, 2, 3, 56, 57, 511, 512, 513, 1471, 1472]) {
    const payload = pattern(size);
    const request = ipv4(PEER, US, 1, icmp(8, 0, 0x12340000 + size, payload), { tos: 0x2b });
    const reply = only(e.exchange(request));
    assert.equal(reply[20], 0);
    assert.equal(reply.readUInt32BE(24), 0x12340000 + size);
    assert.deepEqual(reply.subarray(28), payload);
    assert.equal(reply[1], 0x28, 'the class of service without the ECN mark');
    assert.equal(reply[8], 64);
    assert.deepEqual(reply.subarray(12, 16), request.subarray(16, 20));
    assert.deepEqual(reply.subarray(16, 20), request.subarray(12, 16));
  }
  assert.equal(e.call('arenaUsed'), 0);
  assert.equal(e.call('outstanding'), 0);
});

test('echo · IPv6, odd and even sizes · reply with the same bytes', () => {
  const e = engine();
  for (const size of [0, 1, 57, 1000, 1451, 1452]) {
    const payload = pattern(size);
    const request = ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 128, 0, 0x55550001, payload));
    const reply = only(e.exchange(request));
    assert.equal(reply[40], 129);
    assert.equal(reply.readUInt32BE(44), 0x55550001);
    assert.deepEqual(reply.subarray(48), payload);
  }
  assert.equal(e.call('arenaUsed'), 0);
});

test('echo · a known packet byte by byte', () => {
  const e = engine();
  // header checksum from the example that textbooks share: 192.168.0.1 to 192.168.0.199
  e.call('addressAdd', ...words('192.168.0.199'), 24, 0);
  const known = Buffer.from('45000073000040004011b861c0a80001c0a800c7', 'hex');
  const before = e.snapshot();
  e.exchange(Buffer.concat([known, Buffer.alloc(95)]));
  assert.deepEqual(dropsOf(e.changed(before)), { UdpInErrors: 1 }); // past IP: the header was right
  const request = ipv4('192.168.0.1', '192.168.0.199', 1, Buffer.from('0800f7fe00000001', 'hex'));
  assert.equal(request.readUInt16BE(22), 0xf7fe);
  const reply = only(e.exchange(request));
  assert.equal(reply.subarray(20).toString('hex'), '0000fffe00000001');
});

test('echo · broadcast, multicast, icmp_echo_ignore_all · silence', () => {
  const e = engine();
  for (const to of ['10.99.0.255', '255.255.255.255', '224.0.0.1']) {
    assert.equal(e.exchange(ipv4(PEER, to, 1, icmp(8, 0, 1, pattern(8)))).length, 0);
  }
  const to = 'ff02::1';
  assert.equal(e.exchange(ipv6(PEER6, to, 58, icmp6(PEER6, to, 128, 0, 1, pattern(8)))).length, 0);
  const quiet = engine(LINK_UP, { [Config.icmp_echo_ignore_all]: 1 });
  assert.equal(quiet.exchange(ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(8)))).length, 0);
  assert.equal(quiet.exchange(ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(8)))).length, 0);
});

test('icmpEcho · request out, reply and error back as trace records', () => {
  const e = engine();
  assert.equal(e.call('icmpEcho', ...words(PEER), 7, 3, 33, 5), 0);
  const request = only(e.take());
  assert.equal(request[20], 8);
  assert.equal(request.readUInt32BE(24), 0x00070003);
  assert.equal(request[8], 5);
  assert.equal(request.length, 28 + 33);
  e.traces();
  e.exchange(ipv4(PEER, US, 1, icmp(0, 0, 0x00070003, request.subarray(28)), { ttl: 61 }));
  assert.deepEqual(e.traces(), [
    { kind: Trace.EchoReply, index: 7, ports: 0, a: 3, b: 61, c: 33 },
  ]);
  e.exchange(ipv4('10.99.0.77', US, 1, icmp(11, 0, 0, request.subarray(0, 28))));
  const [from0, from1, from2, from3] = words('10.99.0.77');
  assert.deepEqual(e.traces(), [
    { kind: Trace.EchoErrorFrom, index: from0, ports: 0, a: from1, b: from2, c: from3 },
    { kind: Trace.EchoError, index: 7, ports: 0, a: 3, b: 11, c: 0 },
  ]);
  assert.equal(e.call('icmpEcho', ...words(PEER6), 8, 4, 1, 0), 0);
  const request6 = only(e.take());
  e.exchange(ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 129, 0, 0x00080004, request6.subarray(48))));
  assert.equal(e.traces()[0]?.c, 1);
  assert.equal(e.call('icmpEcho', ...words(PEER), 7, 3, 1473, 0), -Errno.EMSGSIZE);
  assert.equal(e.call('icmpEcho', ...words(US), 7, 3, 1, 0), -Errno.ENETUNREACH);
  assert.equal(e.call('icmpEcho', ...words('224.0.0.1'), 7, 3, 1, 0), -Errno.EINVAL);
  assert.equal(e.call('icmpEcho', ...words('10.99.0.255'), 7, 3, 1, 0), -Errno.EINVAL);
  e.call('linkSet', 0, 0);
  assert.equal(e.call('icmpEcho', ...words(PEER), 7, 3, 1, 0), -Errno.ENETDOWN);
  e.call('addressRemove', ...words(US));
  assert.equal(e.call('icmpEcho', ...words(PEER), 7, 3, 1, 0), -Errno.ENETUNREACH);
});

test('echo · ring full, arena empty · dropped and counted', () => {
  const e = engine();
  const request = ipv4(PEER, US, 1, icmp(8, 0, 1, pattern(8)));
  for (let i = 0; i < TX_SLOTS + 1; i++) e.push(request);
  let before = e.snapshot();
  e.run();
  const changed = e.changed(before);
  assert.equal(changed['IcmpOutEchoReps'], TX_SLOTS);
  assert.equal(changed['AckornLinkTxDeferred'], 1);
  assert.equal(e.take().length, TX_SLOTS);
  assert.equal(e.call('arenaUsed'), 0);
  const small = engine(LINK_UP, { [Config.arenaBytes]: 512 });
  small.push(request);
  small.push(request);
  before = small.snapshot();
  small.run(); // the first block is in limbo: the host has not sent it yet
  assert.equal(small.changed(before)['AckornArenaExhausted'], 1);
  assert.equal(small.take().length, 1);
  assert.equal(small.exchange(request).length, 1);
});

// ---- each broken packet in one counter --------------------------------------------------------

/** Options for the malformed list: bytes of an IPv6 extension header with one option. */
function extension(next: number, option: number[]): Buffer {
  return Buffer.from([next, 0, ...option, 0, 0, 0, 0, 0, 0].slice(0, 8));
}

function bad(frame: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = value;
  return copy;
}

const data = pattern(11);
const v4udp = ipv4(PEER, US, 17, udp(PEER, US, data));
const v4icmp = ipv4(PEER, US, 1, icmp(8, 0, 1, data));
const v4tcp = ipv4(PEER, US, 6, tcp(PEER, US, data));
const v6udp = ipv6(PEER6, US6, 17, udp(PEER6, US6, data));
const v6icmp = ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 128, 0, 1, data));

/** A frame whose IPv4 header was edited: with a right checksum again. */
function edited(frame: Buffer, at: number, value: number): Buffer {
  const copy = bad(frame, at, value);
  copy.writeUInt16BE(0, 10);
  copy.writeUInt16BE(checksum(copy.subarray(0, 20)), 10);
  return copy;
}

const unreach = (quoted: Uint8Array, code = 1, rest = 0): Buffer =>
  ipv4(PEER, US, 1, icmp(3, code, rest, quoted));
const ours = ipv4(US, PEER, 6, tcp(US, PEER, data));
const ours6 = ipv6(US6, PEER6, 6, tcp(US6, PEER6, data));

const dropped: [string, Counter, Buffer][] = [
  ['no IP version', Counter.AckornLinkInErrors, bad(v4udp, 0, 0x55)],
  ['one byte of IPv4', Counter.IpInHdrErrors, v4udp.subarray(0, 1)],
  ['half an IPv4 header', Counter.IpInHdrErrors, v4udp.subarray(0, 19)],
  ['IHL 4', Counter.IpInHdrErrors, edited(v4udp, 0, 0x44)],
  ['IHL beyond the frame', Counter.IpInHdrErrors, bad(v4udp.subarray(0, 24), 0, 0x4f)],
  ['total length below the header', Counter.IpInHdrErrors, edited(v4udp, 3, 19)],
  ['total length beyond the frame', Counter.IpInTruncatedPkts, edited(v4udp, 3, 0xff)],
  ['header checksum', Counter.IpInCsumErrors, bad(v4udp, 8, 1)],
  ['multicast source', Counter.IpInAddrErrors, ipv4('224.0.0.9', US, 6, tcp(PEER, US, data))],
  ['broadcast source', Counter.IpInAddrErrors, ipv4('10.99.0.255', US, 6, tcp(PEER, US, data))],
  ['all-ones source', Counter.IpInAddrErrors, ipv4('255.255.255.255', US, 6, data)],
  ['zero source', Counter.IpInAddrErrors, ipv4('0.0.0.0', US, 6, data)],
  ['this-network source', Counter.IpInAddrErrors, ipv4('0.1.2.3', US, 6, data)],
  ['loopback source', Counter.IpInAddrErrors, ipv4('127.0.0.1', US, 6, data)],
  ['our own source', Counter.IpInAddrErrors, ipv4(US, US, 6, tcp(US, US, data))],
  ['not our destination', Counter.IpInAddrErrors, ipv4(PEER, '10.99.0.3', 6, data)],
  ['first fragment', Counter.IpReasmFails, ipv4(PEER, US, 17, data, { fragment: 0x2000 })],
  ['last fragment', Counter.IpReasmFails, ipv4(PEER, US, 17, data, { fragment: 7 })],
  ['unknown protocol', Counter.IpInUnknownProtos, ipv4(PEER, US, 99, data)],
  ['ICMPv6 in IPv4', Counter.IpInUnknownProtos, ipv4(PEER, US, 58, data)],
  ['ICMP cut short', Counter.IcmpInErrors, ipv4(PEER, US, 1, data.subarray(0, 7))],
  ['ICMP checksum', Counter.IcmpInCsumErrors, bad(v4icmp, 30, 99)],
  ['ICMP type 40', Counter.IcmpInErrors, ipv4(PEER, US, 1, icmp(40, 0, 0, data))],
  ['unreachable, code 16', Counter.IcmpInErrors, unreach(ours, 16)],
  ['unreachable quoting nothing', Counter.IcmpInErrors, unreach(data)],
  ['unreachable quoting others', Counter.IcmpInErrors, unreach(v4tcp)],
  ['unreachable quoting 7 bytes of TCP', Counter.IcmpInErrors, unreach(ours.subarray(0, 27))],
  ['unreachable quoting IHL 15', Counter.IcmpInErrors, unreach(bad(ours, 0, 0x4f))],
  ['unreachable quoting 4 bytes behind options', Counter.IcmpInErrors,
    unreach(bad(ours.subarray(0, 28), 0, 0x46))],
  ['unreachable quoting IPv6', Counter.IcmpInErrors, unreach(ours6)],
  ['unreachable quoting a fragment', Counter.IcmpInErrors, unreach(bad(ours, 7, 9))],
  ['unreachable quoting UDP', Counter.IcmpInErrors, unreach(ipv4(US, PEER, 17, pattern(8)))],
  ['fragmentation needed, MTU 67', Counter.IcmpInErrors, unreach(ours, 4, 67)],
  ['fragmentation needed quoting 19 bytes', Counter.IcmpInErrors, unreach(data, 4, 1400)],
  ['unreachable to broadcast', Counter.IcmpInErrors,
    ipv4(PEER, '10.99.0.255', 1, icmp(3, 1, 0, ours))],
  ['UDP cut short', Counter.UdpInErrors, ipv4(PEER, US, 17, data.subarray(0, 7))],
  ['UDP length 7', Counter.UdpInErrors, ipv4(PEER, US, 17, udp(PEER, US, data, 7))],
  ['UDP length beyond', Counter.UdpInErrors, ipv4(PEER, US, 17, udp(PEER, US, data, 20))],
  ['UDP checksum', Counter.UdpInCsumErrors, bad(v4udp, 30, 99)],
  ['UDP to a closed port', Counter.UdpNoPorts, v4udp],
  ['UDP without a checksum', Counter.UdpNoPorts, bad(bad(v4udp, 26, 0), 27, 0)],
  ['TCP cut short', Counter.TcpInErrs, ipv4(PEER, US, 6, data)],
  ['TCP offset 4', Counter.TcpInErrs, ipv4(PEER, US, 6, tcp(PEER, US, data, undefined, 4))],
  ['TCP offset beyond', Counter.TcpInErrs, ipv4(PEER, US, 6, tcp(PEER, US, data, undefined, 8))],
  ['TCP checksum', Counter.TcpInCsumErrors, bad(v4tcp, 30, 99)],
  ['half an IPv6 header', Counter.Ip6InHdrErrors, v6udp.subarray(0, 39)],
  ['IPv6 payload beyond the frame', Counter.Ip6InTruncatedPkts, bad(v6udp, 5, 200)],
  ['IPv6 multicast source', Counter.Ip6InAddrErrors, ipv6('ff02::9', US6, 6, data)],
  ['IPv6 unspecified source', Counter.Ip6InAddrErrors, ipv6('::', US6, 6, data)],
  ['IPv6 loopback source', Counter.Ip6InAddrErrors, ipv6('::1', US6, 6, data)],
  ['IPv6 own source', Counter.Ip6InAddrErrors, ipv6(US6, US6, 6, data)],
  ['IPv6 mapped source', Counter.Ip6InAddrErrors, ipv6(PEER, US6, 6, data)],
  ['our IPv4 address in an IPv6 header', Counter.Ip6InAddrErrors, ipv6(PEER6, US, 6, data)],
  ['IPv6 not our destination', Counter.Ip6InAddrErrors, ipv6(PEER6, 'fd00::3', 6, data)],
  ['IPv6 unknown next header', Counter.Ip6InUnknownProtos, ipv6(PEER6, US6, 99, data)],
  ['ICMP in IPv6', Counter.Ip6InUnknownProtos, ipv6(PEER6, US6, 1, data)],
  ['hop-by-hop not first', Counter.Ip6InUnknownProtos,
    ipv6(PEER6, US6, 60, Buffer.concat([extension(0, [1, 4]), extension(17, [1, 4])]))],
  ['extension cut short', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 60, data.subarray(0, 7))],
  ['extension beyond', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 60, Buffer.from('0611aa', 'hex'))],
  ['extension longer than the rest', Counter.Ip6InHdrErrors,
    ipv6(PEER6, US6, 60, bad(extension(17, [1, 4]), 1, 1))],
  ['option cut short', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 60, extension(17, [1, 9]))],
  ['option to be discarded', Counter.Ip6InHdrErrors,
    ipv6(PEER6, US6, 60, extension(17, [0x5e, 4]))],
  ['option to be answered', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 0, extension(17, [0x9e, 4]))],
  ['routing type 0, 1 left', Counter.Ip6InHdrErrors,
    ipv6(PEER6, US6, 43, Buffer.from([17, 0, 0, 1, 0, 0, 0, 0]))],
  ['too many headers', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 60,
    Buffer.concat([...Array.from({ length: 9 }, () => extension(60, [1, 4])), data]))],
  ['IPv6 fragment', Counter.Ip6ReasmFails,
    ipv6(PEER6, US6, 44, Buffer.from([17, 0, 0, 1, 0, 0, 0, 9]))],
  ['fragment header cut short', Counter.Ip6InHdrErrors, ipv6(PEER6, US6, 44, Buffer.alloc(7))],
  ['ICMPv6 cut short', Counter.Icmp6InErrors, ipv6(PEER6, US6, 58, data.subarray(0, 7))],
  ['ICMPv6 checksum', Counter.Icmp6InCsumErrors, bad(v6icmp, 50, 99)],
  ['ICMPv6 unknown error', Counter.Icmp6InErrors,
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 100, 0, 0, data))],
  ['packet too big, 1279', Counter.Icmp6InErrors,
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 2, 0, 1279, ours6))],
  ['ICMPv6 quoting IPv4', Counter.Icmp6InErrors,
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 1, 0, 0, Buffer.concat([ours, pattern(20)])))],
  ['ICMPv6 quoting our IPv4 address in an IPv6 header', Counter.Icmp6InErrors,
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 1, 0, 0, ipv6(US, PEER6, 6, tcp(US, PEER, data))))],
  ['UDP over IPv6 without a checksum', Counter.UdpInCsumErrors, bad(bad(v6udp, 46, 0), 47, 0)],
  ['UDP over IPv6 to a closed port', Counter.UdpNoPorts, v6udp],
];

for (const [name, counter, frame] of dropped) {
  test(`dropped · ${name} · ${Counter[counter]}, and no other drop counter`, () => {
    const e = engine();
    const before = e.snapshot();
    e.exchange(frame);
    assert.deepEqual(dropsOf(e.changed(before)), { [Counter[counter]!]: 1 });
    const drop = e.traces().filter((t) => t.kind === Trace.Drop);
    assert.deepEqual(drop.map((t) => t.a), [counter]);
  });
}

test('accepted · padding, options, TTL 0, atomic fragments, skipped extensions', () => {
  const e = engine();
  const segment = tcp(PEER, US, data);
  const segment6 = tcp(PEER6, US6, data);
  const skipped = Buffer.concat([
    extension(60, [5, 2, 0, 0]), extension(43, [1, 4]), // router alert; 5e skipped by its bits
    Buffer.from([44, 0, 0, 0, 0, 0, 0, 0]), Buffer.from([6, 0, 0, 0, 0, 0, 0, 9]), segment6,
  ]);
  const frames = [
    Buffer.concat([ipv4(PEER, US, 6, segment), Buffer.alloc(17, 0xee)]),
    ipv4(PEER, US, 6, segment, { options: Buffer.from('0703040001010100', 'hex') }),
    ipv4(PEER, US, 6, segment, { options: Buffer.from('83ff0000', 'hex') }), // nonsense, skipped
    ipv4(PEER, US, 6, segment, { ttl: 0 }),
    Buffer.concat([ipv6(PEER6, US6, 6, segment6), Buffer.alloc(3)]),
    ipv6(PEER6, US6, 0, skipped),
  ];
  for (const frame of frames) {
    const before = e.snapshot();
    e.exchange(frame);
    assert.deepEqual(dropsOf(e.changed(before)), {});
    const [probe] = e.traces();
    assert.equal(probe?.kind, PROBE_TCP);
    assert.equal(probe?.a, segment.length);
  }
});

test('accepted · multicast and broadcast destinations · flagged for TCP', () => {
  //= rfc9293 MUST-57
  const e = engine();
  for (const to of ['10.99.0.255', '255.255.255.255', '224.0.0.1']) {
    e.exchange(ipv4(PEER, to, 6, tcp(PEER, to, data)));
    assert.deepEqual(e.traces().map((t) => [t.kind, t.index, t.ports]), [[PROBE_TCP, 0xffff, 2]]);
  }
});

// ---- ICMP errors ------------------------------------------------------------------------------

test('errors in · steered to the connection with errno and kind', () => {
  //= rfc9293 MUST-54
  //= rfc9293 MUST-56
  const e = engine();
  const ports = ((40000 << 16) | 80) >>> 0;
  const cases: [number, number, Errno, number][] = [
    [3, 0, Errno.ENETUNREACH, 0], [3, 1, Errno.EHOSTUNREACH, 0], [3, 2, Errno.ENOPROTOOPT, 1],
    [3, 3, Errno.ECONNREFUSED, 1], [3, 5, Errno.EOPNOTSUPP, 0], [3, 13, Errno.EHOSTUNREACH, 1],
    [11, 0, Errno.EHOSTUNREACH, 0], [12, 0, Errno.EPROTO, 0],
  ];
  for (const [type, code, errno, kind] of cases) {
    // the least that a router quotes: header and eight bytes
    e.exchange(ipv4('172.16.0.9', US, 1, icmp(type, code, 0, ours.subarray(0, 28))));
    assert.deepEqual(e.traces(), [{
      kind: PROBE_ICMP_ERROR, index: kind, ports, a: 0x01020304, b: errno, c: words(PEER)[3],
    }]);
  }
  const cases6: [number, number, Errno, number][] = [
    [1, 0, Errno.ENETUNREACH, 0], [1, 1, Errno.EACCES, 1], [1, 3, Errno.EHOSTUNREACH, 0],
    [1, 4, Errno.ECONNREFUSED, 1], [3, 0, Errno.EHOSTUNREACH, 0], [4, 1, Errno.EPROTO, 0],
  ];
  for (const [type, code, errno, kind] of cases6) {
    e.exchange(ipv6(PEER6, US6, 58, icmp6(PEER6, US6, type, code, 0, ours6)));
    assert.deepEqual(e.traces(), [{
      kind: PROBE_ICMP_ERROR, index: (1 << 16) | kind, ports, a: 0x01020304, b: errno,
      c: words(PEER6)[3],
    }]);
  }
});

test('errors in · source quench · nothing but its counter', () => {
  //= rfc9293 MUST-55
  const e = engine();
  const before = e.snapshot();
  e.exchange(ipv4(PEER, US, 1, icmp(4, 0, 0, ours)));
  assert.equal(e.changed(before)['IcmpInSrcQuenchs'], 1);
  assert.deepEqual(e.traces(), []);
});

test('path MTU · told, plateau, floor, off', () => {
  const e = engine();
  const mtus = (told: number, quoted = ours): number[] => {
    e.exchange(unreach(quoted, 4, told));
    return e.traces().filter((t) => t.kind === PROBE_PATH_MTU).map((t) => t.b);
  };
  assert.deepEqual(mtus(1400), [1400]);
  assert.deepEqual(mtus(100), [552], 'min_pmtu');
  const long = Buffer.from(ours);
  long.writeUInt16BE(1500, 2);
  assert.deepEqual(mtus(0, long), [1492], 'a router older than RFC 1191');
  e.exchange(ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 2, 0, 1300, ours6)));
  assert.deepEqual(e.traces().map((t) => [t.kind, t.b]), [[PROBE_PATH_MTU, 1300]]);
  const off = engine(LINK_UP, { [Config.ip_no_pmtu_disc]: 1 });
  off.exchange(unreach(ours, 4, 1400));
  assert.deepEqual(off.traces(), []);
});

test('errors out · closed UDP port, unknown protocol · quoted within limits', () => {
  const e = engine();
  const big = ipv4(PEER, US, 17, udp(PEER, US, pattern(1400)), { tos: 0x1e });
  const port = only(e.exchange(big));
  assert.deepEqual([...port.subarray(20, 22)], [3, 3]);
  assert.equal(port.length, 576);
  assert.deepEqual(port.subarray(28), big.subarray(0, 548));
  assert.equal(port[1], 0xde);
  const small = only(e.exchange(Buffer.concat([v4udp, Buffer.alloc(7)]))); // padding is no packet
  assert.deepEqual(small.subarray(28), v4udp);
  assert.deepEqual([...only(e.exchange(ipv4(PEER, US, 99, data))).subarray(20, 22)], [3, 2]);
  const big6 = ipv6(PEER6, US6, 17, udp(PEER6, US6, pattern(1400)));
  const port6 = only(e.exchange(big6));
  assert.deepEqual([...port6.subarray(40, 42)], [1, 4]);
  assert.equal(port6.length, 1280);
  assert.deepEqual(port6.subarray(48), big6.subarray(0, 1232));
  const problem = only(e.exchange(ipv6(PEER6, US6, 60, Buffer.concat([extension(99, [1, 4])]))));
  assert.deepEqual([...problem.subarray(40, 42)], [4, 1]);
  assert.equal(problem.readUInt32BE(44), 40, 'points at the next-header byte of the extension');
  const option = only(e.exchange(ipv6(PEER6, 'ff02::1', 0, extension(17, [0x9e, 4]))));
  assert.deepEqual([...option.subarray(40, 42)], [4, 2]);
  assert.equal(option.readUInt32BE(44), 42);
});

test('errors out · never in answer to errors, multicast, broadcast', () => {
  const e = engine();
  const error6 = icmp6(PEER6, US6, 1, 4, 0, ours6);
  const silent = [
    ipv4(PEER, '10.99.0.255', 17, udp(PEER, '10.99.0.255', data)),
    ipv4(PEER, '224.0.0.1', 99, data),
    ipv6(PEER6, 'ff02::1', 17, udp(PEER6, 'ff02::1', data)),
    ipv6(PEER6, 'ff02::1', 60, extension(17, [0xde, 4])), // 11: only if unicast
    ipv6(PEER6, US6, 60, Buffer.concat([extension(58, [0x9e, 4]), error6])),
  ];
  for (const frame of silent) {
    const before = e.snapshot();
    assert.equal(e.exchange(frame).length, 0);
    assert.equal(Object.keys(dropsOf(e.changed(before))).length, 1);
  }
});

test('errors out · rate limit per host and for all · counted, and credit comes back', () => {
  const e = engine(LINK_UP, { [Config.icmp_ratelimit]: 1000, [Config.icmp_msgs_per_sec]: 1000 });
  const answers = (n: number): number => {
    let sent = 0;
    for (let i = 0; i < n; i++) sent += e.exchange(v4udp).length;
    return sent;
  };
  const before = e.snapshot();
  assert.equal(answers(20), 6, 'a burst of six to one host');
  assert.equal(e.changed(before)['IcmpOutRateLimitHost'], 14);
  e.call('setNowMs', 102_000);
  assert.equal(answers(20), 2, 'one a second after that');
  const many = engine(LINK_UP, { [Config.icmp_ratelimit]: 0, [Config.icmp_msgs_per_sec]: 100 });
  let sent = 0;
  for (let i = 0; i < 2000; i++) sent += many.exchange(v4udp).length;
  assert.ok(sent >= 35 && sent <= 80, `a burst of about 50, by chance a little off: ${sent}`);
  many.call('setNowMs', 101_000); // fills 100, holds 50
  assert.ok(many.exchange(v4udp).length === 1);
});
