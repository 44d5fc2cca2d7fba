/**
 * iperf3, our client against our server: every mode over the kernel's loopback and over bare Duplex
 * sockets, the fast ways of a socket, and the ends of a test that nobody wished for.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  iperf3Server, runIperf3Client, type Iperf3ClientError, type Iperf3ClientOptions,
  type Iperf3Report, type Iperf3Server,
} from '../../host/node/services/iperf3/index.js';
import { withUnit } from '../../host/node/services/iperf3/report-text.js';
import {
  kernelTransport, type ServiceSocket, type SocketOptions, type Transport,
} from '../../host/node/services/seam.js';
import { duplexTransport } from './duplex-transport.js';

const MIB = 1 << 20;
const BLOCK = 128 * 1024;

interface Running {
  server: Iperf3Server;
  lines: string[];
  client: (options: Partial<Iperf3ClientOptions>) => Promise<Iperf3Report>;
}

async function start(
  t: TestContext,
  transport: Transport = kernelTransport,
  options: { oneOff?: boolean; idleMs?: number } = {},
): Promise<Running> {
  const lines: string[] = [];
  const server = await iperf3Server(transport, {
    port: 0, address: '127.0.0.1', log: (line) => lines.push(line), ...options,
  });
  t.after(() => server.close());
  const client = (o: Partial<Iperf3ClientOptions>): Promise<Iperf3Report> =>
    runIperf3Client(transport, { host: '127.0.0.1', port: server.port, ...o });
  return { server, lines, client };
}

const modes: [string, Partial<Iperf3ClientOptions>][] = [
  ['forward', {}],
  ['reverse', { reverse: true }],
  ['four streams', { parallel: 4 }],
  ['four streams, reverse', { parallel: 4, reverse: true }],
  ['both ways', { bidir: true }],
  ['both ways, two streams each', { bidir: true, parallel: 2 }],
];

for (const [transportName, makeTransport] of [
  ['kernel', () => kernelTransport], ['bare Duplex', duplexTransport],
] as const) {
  for (const [mode, options] of modes) {
    test(`${transportName} · ${mode} · 8 MiB by bytes · both sides agree`, async (t) => {
      const { client } = await start(t, makeTransport());
      const { end } = await client({ bytes: 8 * MIB, ...options });
      const streams = options.parallel ?? 1;
      // Both ways, the direction that is through first ends the other, whose bytes may all still
      // lie in the buffers of the kernel.
      const inFlight = options.bidir ? 9 * MIB : 0;
      const within = (sent: number, received: number): void => {
        assert.ok(sent - received >= 0 && sent - received <= inFlight,
          `${sent} sent, ${received} received`);
      };
      assert.ok(end.sum_sent!.bytes >= 8 * MIB || options.bidir);
      assert.ok(end.sum_sent!.bytes <= 8 * MIB + streams * BLOCK);
      within(end.sum_sent!.bytes, end.sum_received!.bytes);
      assert.equal(end.streams!.length, options.bidir ? 2 * streams : streams);
      for (const { sender, receiver } of end.streams!) within(sender.bytes, receiver.bytes);
      if (options.bidir) {
        within(end.sum_sent_bidir_reverse!.bytes, end.sum_received_bidir_reverse!.bytes);
      }
    });
  }
}

test('blocks and length · the exact number of bytes', async (t) => {
  const { client } = await start(t);
  for (const reverse of [false, true]) {
    const { end } = await client({ blocks: 10, length: 5000, reverse });
    assert.equal(end.sum_sent!.bytes, 50_000);
    assert.equal(end.sum_received!.bytes, 50_000);
  }
});

test('time, omit, interval · the omitted second does not count', async (t) => {
  const { client } = await start(t);
  const report = await client({ time: 1, omit: 1, interval: 0.25, bitrate: 40_000_000 });
  const omitted = report.intervals.map((interval) => interval.sum.omitted);
  assert.deepEqual(omitted, [true, true, true, true, false, false, false, false]);
  const { sum_sent: sent } = report.end;
  assert.ok(Math.abs(sent!.seconds - 1) < 0.2, `${sent!.seconds} s`);
  assert.ok(Math.abs(sent!.bits_per_second - 40e6) < 8e6, `${sent!.bits_per_second} bit/s`);
  const counted = report.intervals.filter((interval) => !interval.sum.omitted);
  assert.equal(counted.reduce((sum, i) => sum + i.sum.bytes, 0), sent!.bytes);
});

test('bytes with omit · the limit begins after the omitted time', async (t) => {
  const { client } = await start(t);
  const report = await client({ bytes: MIB, omit: 1, bitrate: 80_000_000 });
  const omitted = report.intervals.find((interval) => interval.sum.omitted);
  assert.ok(omitted!.sum.bytes > 4 * MIB);
  assert.equal(report.end.sum_sent!.bytes, MIB);
});

test('text · columns, title, server output', async (t) => {
  const { client, lines } = await start(t);
  const said: string[] = [];
  const report = await client({
    bytes: MIB, parallel: 2, title: 'abc', getServerOutput: true, log: (l) => said.push(l),
  });
  assert.ok(said.every((line) => line.startsWith('abc:  ')));
  const text = said.map((line) => line.slice(6));
  assert.match(text[0]!, /^Connecting to host 127\.0\.0\.1, port \d+$/);
  assert.match(text[1]!, /^\[  5\] local 127\.0\.0\.1 port \d+ connected to 127.0.0.1 port \d+$/);
  assert.equal(text[3], '[ ID] Interval           Transfer     Bitrate');
  const row = /^\[( {2}[57]|SUM)\] {3}0\.00-\d\.\d\d {3}sec {2}[\d. ]{4} [KM]?Bytes {2}[\d. ]{4} /;
  for (const line of text.slice(4, 7)) assert.match(line, row);
  assert.equal(text.filter((line) => line.endsWith('sender')).length, 3);
  assert.equal(text.filter((line) => line.endsWith('receiver')).length, 3 + 3); // the server's too
  assert.equal(text.at(-1), 'iperf Done.');
  const output = report.server_output_text!.split('\n').slice(0, -1);
  assert.ok(output.length > 5);
  assert.deepEqual(output, lines.slice(3, 3 + output.length));
  assert.equal(report.title, 'abc');
});

test('withUnit · four places', () => {
  assert.equal(withUnit(0, 'bytes'), '0.00 Bytes');
  assert.equal(withUnit(1023, 'bytes'), '1023 Bytes');
  assert.equal(withUnit(1.37 * MIB, 'bytes'), '1.37 MBytes');
  assert.equal(withUnit(474 * MIB, 'bytes'), ' 474 MBytes');
  assert.equal(withUnit(9.995e9, 'bits'), '10.0 Gbits');
  assert.equal(withUnit(999.6e6, 'bits'), '1000 Mbits');
});

/** The kernel's sockets with the optional members that our own stack's will have. */
function fastTransport(seen: { patterns: number; discards: number; options: SocketOptions[] }) {
  const fit = (socket: ServiceSocket): ServiceSocket => {
    let retransmits = 7; // before the start, so it does not count; one more at each look
    socket.info = () => ({
      retransmits: retransmits++, snd_cwnd_bytes: 14_600, snd_wnd: 65_535, rtt_us: 250,
      rttvar_us: 20, pmtu: 1500, congestion: 'reno',
    });
    socket.setOptions = (options) => void seen.options.push(options);
    socket.discardAll = (onBytes) => {
      seen.discards++;
      socket.on('data', (chunk: Buffer) => onBytes(chunk.length));
    };
    socket.sendPattern = (chunk, onBytes) => {
      seen.patterns++;
      let stopped = false;
      const send = (): void => {
        if (stopped) return;
        socket.write(chunk, () => setImmediate(send));
        onBytes(chunk.length);
      };
      send();
      return { stop: () => { stopped = true; } };
    };
    return socket;
  };
  const transport: Transport = {
    setsOptions: true,
    listen: (port, on, o) => kernelTransport.listen(port, (s) => on(fit(s)), o),
    connect: async (o) => {
      if (o.options) seen.options.push(o.options);
      return fit(await kernelTransport.connect(o));
    },
  };
  return transport;
}

test('fast ways and info · used, with retransmissions and cwnd in text and JSON', async (t) => {
  const seen = { patterns: 0, discards: 0, options: [] as SocketOptions[] };
  const { client, lines } = await start(t, fastTransport(seen));
  const said: string[] = [];
  const report = await client({
    bytes: 4 * MIB, bidir: true, congestion: 'reno', mss: 1400, window: 65_536,
    log: (line) => said.push(line),
  });
  assert.deepEqual([seen.patterns, seen.discards], [2, 2]);
  const wanted = { TCP_CONGESTION: 'reno', TCP_MAXSEG: 1400, SO_BUF: 65_536 };
  assert.deepEqual(seen.options, [wanted, wanted, wanted, wanted]);
  const header = '[ ID][Role] Interval           Transfer     Bitrate         Retr  Cwnd';
  assert.ok(said.includes(header) && lines.includes(header));
  assert.match(said.find((line) => line.startsWith('[  5][TX-C]'))!, /sec {4}\d {3}14\.3 KBytes/);
  const { sender } = report.end.streams![0]!;
  assert.equal(sender.retransmits, 1);
  assert.equal(sender.max_snd_cwnd, 14_600);
  assert.equal(sender.mean_rtt, 250);
  assert.equal(report.end.sum_sent_bidir_reverse!.retransmits, 1);
  assert.equal(report.intervals[0]!.streams[0]!.rttvar, 20);
  assert.equal(report.end.sender_tcp_congestion, 'reno');
  assert.equal(report.end.receiver_tcp_congestion, 'reno');
});

test('busy · the second client is refused, the first ends well', async (t) => {
  const { client, lines } = await start(t);
  const first = client({ time: 1 });
  await sleep(300);
  await assert.rejects(client({ bytes: MIB }), (error: Iperf3ClientError) => {
    assert.equal(error.iperfErrno, 121);
    assert.equal(error.report.error, 'the server is busy running a test. try again later');
    return true;
  });
  assert.ok((await first).end.sum_received!.bytes > 0);
  assert.ok(!lines.some((line) => line.startsWith('iperf3: ')));
});

/** Remembers the client's sockets, so that a test can break them as a killed process does. */
function breakable(): { transport: Transport; sockets: ServiceSocket[] } {
  const sockets: ServiceSocket[] = [];
  const transport: Transport = {
    ...kernelTransport,
    async connect(options) {
      const socket = await kernelTransport.connect(options);
      sockets.push(socket);
      return socket;
    },
  };
  return { transport, sockets };
}

for (const reverse of [false, true]) {
  test(`killed client · ${reverse ? 'reverse' : 'forward'} · the next one is served`, async (t) => {
    const { transport, sockets } = breakable();
    const { client, lines, server } = await start(t);
    const doomed = runIperf3Client(transport, {
      host: '127.0.0.1', port: server.port, time: 10, reverse, parallel: 2,
    });
    const gone = assert.rejects(doomed);
    await sleep(300);
    for (const socket of sockets) socket.resetAndDestroy!();
    await gone;
    await sleep(150);
    assert.equal((await client({ bytes: MIB, reverse })).end.sum_received!.bytes, MIB);
    assert.ok(lines.includes('iperf3: the client has unexpectedly closed the connection'));
  });
}

test('interrupted client · partial report, the server is told', async (t) => {
  const { client, lines } = await start(t);
  const abort = new AbortController();
  const interrupted = client({ time: 10, signal: abort.signal });
  setTimeout(() => abort.abort(), 400);
  await assert.rejects(interrupted, (error: Iperf3ClientError) => {
    assert.equal(error.iperfErrno, 119);
    assert.ok(error.report.end.sum_sent!.bytes > 0);
    return true;
  });
  await client({ bytes: 1000, length: 1000 });
  assert.ok(lines.includes('iperf3: the client has terminated'));
});

test('server closed in mid-test · the client reads that it has terminated', async (t) => {
  const { client, server } = await start(t);
  const running = client({ time: 10 });
  const ended = assert.rejects(running, { iperfErrno: 120 });
  await sleep(300);
  await server.close();
  await ended;
});

test('one-off · done after one test, and the port is free', async (t) => {
  const { client, server } = await start(t, kernelTransport, { oneOff: true });
  await client({ bytes: MIB });
  await server.done;
  await assert.rejects(client({ bytes: MIB }), { iperfErrno: 103 });
});

test('nothing moves · the server ends the test, and so does a client', async (t) => {
  const { server, lines } = await start(t, kernelTransport, { idleMs: 200 });
  const stuck: Transport = {
    ...kernelTransport,
    async connect(options) {
      const socket = await kernelTransport.connect(options);
      socket.sendPattern = () => ({ stop: () => undefined });
      return socket;
    },
  };
  const options = { host: '127.0.0.1', port: server.port, time: 10 };
  await assert.rejects(runIperf3Client(stuck, options), { iperfErrno: 144, errno: 110 });
  assert.ok(lines.includes('iperf3: error - idle timeout for receiving data'));
  const patient = runIperf3Client(stuck, { ...options, idleMs: 100 });
  await assert.rejects(patient, { iperfErrno: 144, errno: 0 });
});

test('options · out of bounds or together · iperf3 numbers, before any connection', async () => {
  const wrong: [Partial<Iperf3ClientOptions>, number][] = [
    [{ time: 86_401 }, 5], [{ time: -1 }, 5], [{ time: 1.5 }, 5], [{ parallel: 0 }, 6],
    [{ parallel: 129 }, 6], [{ length: 0 }, 7], [{ length: 2 * MIB }, 7], [{ window: 1e9 }, 8],
    [{ interval: 0.01 }, 9], [{ interval: 61 }, 9], [{ mss: 40_000 }, 10], [{ omit: 601 }, 12],
    [{ time: 1, bytes: 1 }, 16], [{ bytes: 1, blocks: 1 }, 16], [{ bytes: 0 }, 16],
    [{ reverse: true, bidir: true }, 25], [{ congestion: '../etc' }, 134],
  ];
  const transport = duplexTransport();
  for (const [options, iperfErrno] of wrong) {
    const run = runIperf3Client(transport, { host: 'x', port: 1, ...options });
    await assert.rejects(run, { iperfErrno }, JSON.stringify(options));
  }
  await assert.rejects(runIperf3Client(transport, { host: 'x', port: 1 }), { iperfErrno: 103 });
});

test('options that the transport cannot set · said on both sides, no error', async (t) => {
  const { client, lines } = await start(t);
  const said: string[] = [];
  await client({ bytes: MIB, congestion: 'reno', parallel: 2, log: (line) => said.push(line) });
  const warning = 'warning: TCP_CONGESTION cannot be set on this side';
  assert.deepEqual(said.filter((line) => line.startsWith('warning')), [warning]);
  assert.deepEqual(lines.filter((line) => line.startsWith('warning')), [warning]);
});

test('after every test · no socket and no timer is left', async (t) => {
  const { transport, sockets } = breakable();
  const { server } = await start(t);
  await runIperf3Client(transport, {
    host: '127.0.0.1', port: server.port, bytes: MIB, bidir: true, parallel: 3,
  });
  assert.equal(sockets.length, 7);
  for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
  assert.ok(timers.length <= 1, `${timers.length} timers`); // one may be node:test's own
});
