/**
 * Words of ss, nstat and ping: golden text in the shape of iproute2 and iputils, filters and
 * patterns. The real tools are compared in tests/interop/format.test.ts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Counter, HandleKind, SocketWord, State, TcpInfo, Timer,
} from '../../assembly/abi.js';
import { formatG, formatRate } from '../../host/node/format/c-number.js';
import { countersFromWords, formatNstat, matchesGlob } from '../../host/node/format/nstat.js';
import { PingFormatter, pingTime } from '../../host/node/format/ping.js';
import {
  socketFromWords, tcpInfoFromWords, type SocketRecord, type TcpInfoRecord,
} from '../../host/node/format/socket-record.js';
import { formatSs, selectSockets, timerText } from '../../host/node/format/ss.js';
import { parseFilter, SsFilterError } from '../../host/node/format/ss-filter.js';

function infoOf(fields: Partial<TcpInfoRecord>): TcpInfoRecord {
  const info = tcpInfoFromWords(new Uint32Array(TcpInfo.WORDS));
  return { ...info, reordering: 3, ...fields };
}

function socket(fields: Partial<SocketRecord> = {}): SocketRecord {
  return {
    handle: undefined, state: State.ESTABLISHED, family: 4, localAddress: '10.99.0.2',
    localPort: 80, remoteAddress: '10.99.0.1', remotePort: 40000, recvQ: 0, sendQ: 0,
    timer: Timer.off, timerMs: 0, retransmits: 0, memoryBytes: 248, ...fields,
  };
}

const BUSY = infoOf({
  state: State.ESTABLISHED, options: 1 | 2 | 4, congestion: 1, snd_wscale: 7, rcv_wscale: 9,
  rto: 204_000, rtt: 3456, rttvar: 1200, ato: 40_000, snd_mss: 1448, pmtu: 1500, rcv_mss: 536,
  advmss: 1448, snd_cwnd: 10, snd_ssthresh: 0x7fffffff, bytes_sent: 5_000_000_000,
  bytes_acked: 4_999_998_552, bytes_received: 73, segs_out: 9, segs_in: 8, data_segs_out: 7,
  data_segs_in: 1, last_data_sent: 12, pacing_rate: 83_796_296, delivery_rate: 1_250_000_000,
  delivered: 8, busy_time_ms: 120, rwnd_limited_ms: 30, unacked: 1, retrans: 1, total_retrans: 3,
  lost: 2, rcv_rtt: 1000, rcv_space: 14480, rcv_ssthresh: 64088, min_rtt: 33, snd_wnd: 65160,
});
const SECOND_LINE = '\t ts sack cubic wscale:7,9 rto:204 rtt:3.456/1.2 ato:40 mss:1448 pmtu:1500 '
  + 'rcvmss:536 advmss:1448 cwnd:10 bytes_sent:5000000000 bytes_acked:4999998552 '
  + 'bytes_received:73 segs_out:9 segs_in:8 data_segs_out:7 data_segs_in:1 send 33.5Mbps '
  + 'lastsnd:12 pacing_rate 670Mbps delivery_rate 10Gbps delivered:8 busy:120ms '
  + 'rwnd_limited:30ms(25.0%) unacked:1 retrans:1/3 lost:2 rcv_rtt:1 rcv_space:14480 '
  + 'rcv_ssthresh:64088 minrtt:0.033 snd_wnd:65160';

describe('ss', () => {
  const sockets = [
    socket({
      state: State.LISTEN, localAddress: '::', remoteAddress: '::', family: 6, remotePort: 0,
      sendQ: 128,
    }),
    socket({ recvQ: 5, sendQ: 1448, timer: Timer.on, timerMs: 1280, retransmits: 1, info: BUSY }),
    socket({
      state: State.TIME_WAIT, family: 6, localAddress: 'fd00::2', remoteAddress: 'fd00::1',
      timer: Timer.timewait, timerMs: 59_000,
    }),
  ];

  test('-tna · columns as wide as their widest cell', () => {
    assert.equal(formatSs(sockets, { all: true }), [
      'State     Recv-Q Send-Q Local Address:Port Peer Address:Port Process',
      'LISTEN    0      128                *:80              *:*',
      'ESTAB     5      1448       10.99.0.2:80      10.99.0.1:40000',
      'TIME-WAIT 0      0          [fd00::2]:80      [fd00::1]:40000', '',
    ].join('\n'));
  });

  test('-tino · timer on the first line, tcp_info on the second', () => {
    const [, first, second] = formatSs(sockets, { info: true, timers: true }).split('\n');
    assert.match(first ?? '', /^ESTAB .*:40000 ?timer:\(on,1\.280ms,1\)$/);
    assert.equal(second, SECOND_LINE);
  });

  test('-tim · memory first, no names of options without -o', () => {
    const second = formatSs(sockets, { info: true, memory: true }).split('\n')[2];
    assert.match(second ?? '', /^\t skmem:\(r5,rb0,t0,tb0,f0,w1448,o0,bl0,d0\) cubic wscale/);
  });

  test('-tlH, -4, state NAME without the State column', () => {
    assert.equal(formatSs(sockets, { listening: true, noHeader: true }),
      'LISTEN 0      128    *:80 *:*\n');
    assert.equal(selectSockets(sockets, { all: true, family: 4 }).length, 1);
    const text = formatSs(sockets, { states: ['time-wait'], noHeader: true, timers: true });
    assert.equal(text, '0      0      [fd00::2]:80 [fd00::1]:40000 timer:(timewait,59sec,0)\n');
  });

  test('timers as ss words them', () => {
    const cases: [number, string][] = [[0, ''], [40, '040ms'], [204, '204ms'], [1280, '1.280ms'],
      [9000, '9sec'], [12_345, '12sec'], [60_000, '1min'], [125_500, '2min5sec'],
      [3_600_000, '60min']];
    for (const [ms, text] of cases) assert.equal(timerText(ms), text);
  });

  test('filters · precedence, parentheses, addresses', () => {
    const one = socket();
    const six = sockets[2]!;
    const cases: [string, SocketRecord, boolean][] = [
      ['', one, true], ['sport = :80', one, true], ['sport = :81', one, false],
      ['dport >= 40000', one, true], ['sport eq 80 and dport lt 100', one, false],
      ['sport = :80 or sport = :81 and dport = :1', one, true],
      ['( sport = :80 or sport = :81 ) and dport = :1', one, false],
      ['not sport = :80', one, false], ['!(sport = :80 || dport = :1)', one, false],
      ['src 10.99.0.2', one, true], ['dst 10.99.0.0/24', one, true],
      ['dst 10.98.0.0/16', one, false],
      ['src 10.99.0.2:80 dport :40000', one, true], ['src != 10.99.0.2', one, false],
      ['src [fd00::2]:80', six, true], ['dst fd00::/16', six, true], ['dst fd01::/16', six, false],
      ['dst 10.0.0.0/8', six, false], ['src *:80', six, true],
    ];
    for (const [filter, row, expected] of cases) {
      assert.equal(parseFilter(filter.split(' '))(row), expected, filter);
    }
  });

  test('filters · what cannot be understood is named', () => {
    const cases: [string, RegExp][] = [
      ['sport', /a port expected/], ['sport = :99999', /bad port/], ['colour = red', /colour/],
      ['(sport = :1', /too early/], ['sport = :1 )', /without/], ['src 10.0.0.0/33', /prefix/],
      ['sport = :1 and', /too early/], ['src 1.2.3.999', /bad address/],
    ];
    for (const [filter, message] of cases) {
      assert.throws(() => parseFilter([filter]), (error) => (
        error instanceof SsFilterError && message.test(error.message)
      ), filter);
    }
    assert.throws(() => formatSs([], { states: ['asleep'] }), /wrong state name: asleep/);
    assert.doesNotThrow(() => parseFilter(['('.repeat(50_000), 'sport = :1', ')'.repeat(50_000)]));
  });

  test('records from the engine\'s words', () => {
    const words = new Uint32Array(SocketWord.WORDS);
    const at = (address: number[], from: number) => {
      new Uint8Array(words.buffer, from * 4, 16).set(address);
    };
    at([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 99, 0, 2], SocketWord.local0);
    at([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 99, 0, 1], SocketWord.remote0);
    words[SocketWord.kind] = HandleKind.Connection;
    words[SocketWord.state] = State.CLOSE_WAIT;
    words[SocketWord.localPort] = 80;
    words[SocketWord.timerUs] = 1_500_400;
    const info = new Uint32Array(TcpInfo.WORDS);
    info[TcpInfo.bytes_sent_lo] = 5;
    info[TcpInfo.bytes_sent_hi] = 1;
    info[TcpInfo.outq] = 9;
    const record = socketFromWords(words, info);
    assert.deepEqual([record.family, record.localAddress, record.remoteAddress, record.localPort],
      [4, '10.99.0.2', '10.99.0.1', 80]);
    assert.deepEqual([record.state, record.timerMs], [State.CLOSE_WAIT, 1500]);
    assert.deepEqual([record.info?.bytes_sent, record.info?.outq], [2 ** 32 + 5, 9]);
    assert.equal('bytes_sent_hi' in (record.info ?? {}), false);
  });

  test('numbers as C prints them', () => {
    const cases: [number, string][] = [[0, '0'], [204, '204'], [0.033, '0.033'], [1.5, '1.5'],
      [123456, '123456'], [1234567, '1.23457e+06'], [0.0000123, '1.23e-05'], [999999.7, '1e+06']];
    for (const [value, text] of cases) assert.equal(formatG(value), text);
    assert.deepEqual([950, 1500, 33_518_518, 9_999_999_999].map((bits) => formatRate(bits)),
      ['950', '1.5k', '33.5M', '10G']);
    assert.equal(formatRate(33_518_518.4, true), '33518518');
  });
});

describe('nstat', () => {
  const rows = [{ name: 'TcpInSegs', value: 12 }, { name: 'TcpOutSegs', value: 0n },
    { name: 'TcpExtTCPTimeouts', value: 2n ** 60n + 1n, rate: 0.25 }];

  test('text · names 32 wide, zeros only with -z', () => {
    const head = '#kernel\nTcpInSegs                       12                 0.0\n';
    const last = 'TcpExtTCPTimeouts               1152921504606846977   0.3\n';
    assert.equal(formatNstat(rows), `${head}${last}`);
    assert.equal(formatNstat(rows, { zeros: true }),
      `${head}TcpOutSegs                      0                  0.0\n${last}`);
  });

  test('--json · no digit lost; -p is indented', () => {
    assert.equal(formatNstat(rows, { json: true }),
      '{"kernel":{"TcpInSegs":12,"TcpExtTCPTimeouts":1152921504606846977}}\n');
    assert.equal(formatNstat(rows, { json: true, pretty: true, patterns: ['tcpin*'] }),
      '{\n    "kernel": {\n        "TcpInSegs": 12\n    }\n}\n');
  });

  test('what was added since; a counter that went back is all new', () => {
    const since = new Map<string, number>([['TcpInSegs', 10], ['TcpExtTCPTimeouts', 0]]);
    assert.match(formatNstat(rows, { since }), /^TcpInSegs {23}2 /m);
    assert.match(formatNstat(rows, { since: new Map([['TcpInSegs', 13]]) }), /TcpInSegs {23}12 /);
  });

  test('patterns · as fnmatch, in time that is bounded', () => {
    const cases: [string, string, boolean][] = [
      ['*', '', true], ['TcpExt*', 'TcpExtTW', true], ['tcpext*', 'TcpExtTW', true],
      ['Tcp*Segs', 'TcpRetransSegs', true], ['Tcp*Segs', 'TcpRetransSegsX', false],
      ['*Re*Segs', 'TcpRetransSegs', true], ['Tcp?nSegs', 'TcpInSegs', true],
      ['[TU]*InSegs', 'TcpInSegs', true], ['[!T]*', 'TcpInSegs', false], ['[a-t]cp*', 'Tcp', true],
      ['[a-s]cp*', 'Tcp', false], ['\\*', 'x', false], ['\\*', '*', true], ['[', '[', true],
      ['TcpInSegs', 'TcpIn', false],
    ];
    for (const [pattern, name, expected] of cases) {
      assert.equal(matchesGlob(pattern, name), expected, `${pattern} ${name}`);
    }
    assert.equal(matchesGlob('*a'.repeat(2000), 'a'.repeat(1999)), false);
  });

  test('counters from the engine\'s words, by name', () => {
    const words = new Uint32Array(512);
    words[2 * Counter.TcpRetransSegs] = 7;
    words[2 * Counter.TcpRetransSegs + 1] = 1;
    const counters = countersFromWords(words);
    assert.equal(counters.length, Counter.COUNT);
    const found = counters.find((row) => row.name === 'TcpRetransSegs');
    assert.equal(found?.value, 2n ** 32n + 7n);
  });
});

describe('ping', () => {
  test('lines and summary', () => {
    const ping = new PingFormatter('host', '10.99.0.2');
    assert.equal(ping.header(), 'PING host (10.99.0.2) 56(84) bytes of data.');
    const reply = { from: '10.99.0.2', bytes: 64, ttl: 64 };
    const lines = [[1, 42], [2, 1234], [2, 12_340], [3, 123_456]].map(([sequence, rttUs]) => {
      ping.sent();
      return ping.reply({ ...reply, sequence: sequence!, rttUs: rttUs! });
    });
    assert.deepEqual(lines, [
      '64 bytes from 10.99.0.2: icmp_seq=1 ttl=64 time=0.042 ms',
      '64 bytes from 10.99.0.2: icmp_seq=2 ttl=64 time=1.23 ms',
      '64 bytes from 10.99.0.2: icmp_seq=2 ttl=64 time=12.3 ms (DUP!)',
      '64 bytes from 10.99.0.2: icmp_seq=3 ttl=64 time=123 ms',
    ]);
    assert.equal(ping.error('10.99.0.9', 4, 3, 1),
      'From 10.99.0.9 icmp_seq=4 Destination Host Unreachable');
    assert.equal(ping.summary(3_004_400), '\n--- host ping statistics ---\n'
      + '4 packets transmitted, 3 received, +1 duplicates, +1 errors, 25% packet loss, '
      + 'time 3004ms\nrtt min/avg/max/mdev = 0.042/34.268/123.456/51.715 ms\n');
    assert.equal(ping.exitCode, 0);
  });

  test('nothing came back · no times, exit code 1', () => {
    const ping = new PingFormatter('10.0.0.1', '10.0.0.1');
    for (let i = 0; i < 3; i++) ping.sent();
    assert.equal(ping.summary(2_047_000), '\n--- 10.0.0.1 ping statistics ---\n'
      + '3 packets transmitted, 0 received, 100% packet loss, time 2047ms\n\n');
    assert.equal(ping.exitCode, 1);
  });

  test('times get as many digits as ping gives them', () => {
    const cases: [number, string][] = [[0, '0.000'], [999, '0.999'], [1000, '1.00'],
      [1235, '1.24'], [9994, '9.99'], [9995, '10.0'], [99_949, '99.9'], [99_950, '100'],
      [1_000_499, '1000']];
    for (const [us, text] of cases) assert.equal(pingTime(us), text);
  });
});
