/**
 * The control socket as docs/control.md has it: one conformance test for every host that speaks it.
 * A host is a command that takes the words of `ackorn up`; everything else goes over its socket.
 */
import assert from 'node:assert/strict';
import http, { type IncomingMessage } from 'node:http';
import net from 'node:net';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { ABI_VERSION, Config, Counter, State } from '../../assembly/abi.js';
import { PcapngReader, type PcapngRecord } from '../../host/node/capture/index.js';
import { CLI, makePlace, needsTun, type Beside, type Place } from './fixtures/cli.js';

/** Commands that bring a stack up. */
const HOSTS: readonly [name: string, command: readonly string[]][] = [
  ['node', [execPath, CLI, 'up']],
];

interface Answer {
  status: number;
  type: string;
  body: unknown;
}

function request(
  socketPath: string, method: string, target: string, body?: unknown,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ socketPath, method, path: target, agent: false }, resolve);
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : typeof body === 'string' ? body
      : JSON.stringify(body));
  });
}

async function ask(
  socketPath: string, method: string, target: string, body?: unknown,
): Promise<Answer> {
  const response = await request(socketPath, method, target, body);
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const type = response.headers['content-type'] ?? '';
  const parsed: unknown = type === 'application/x-ndjson'
    ? text.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown) : JSON.parse(text);
  return { status: response.statusCode ?? 0, type, body: parsed };
}

interface Upgraded {
  status: number;
  headers: http.IncomingHttpHeaders;
  stream: Duplex | undefined;
}

function upgrade(socketPath: string, target: string): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const sent = http.request({
      path: target, headers: { Connection: 'Upgrade', Upgrade: 'ackorn-tcp', Host: 'stack' },
      createConnection: () => net.connect({ path: socketPath, allowHalfOpen: true }),
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      response.resume();
      const { statusCode: status = 0, headers } = response;
      resolve({ status, headers, stream: undefined });
    });
    sent.once('upgrade', (response, stream: Duplex, head: Buffer) => {
      if (head.length > 0) stream.unshift(head);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, stream });
    });
    sent.end();
  });
}

/** To the peer's end. Not `for await`, which would end our side too. */
function textOf(stream: Duplex): Promise<string> {
  let text = '';
  stream.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  return new Promise((resolve) => stream.once('end', () => resolve(text)));
}

/** Follows pcapng until it has so many packets. */
async function packetsOf(response: IncomingMessage, wanted: number): Promise<PcapngRecord[]> {
  const reader = new PcapngReader();
  const packets: PcapngRecord[] = [];
  for await (const chunk of response) {
    for (const record of reader.push(chunk as Buffer)) {
      assert.notEqual(record.type, 'malformed');
      if (record.type === 'packet') packets.push(record);
    }
    if (packets.length >= wanted) break;
  }
  return packets;
}

/** node:test gives hooks no context; a place wants one only to be cleaned up. */
function hookContext(): { t: Parameters<typeof makePlace>[0]; end: () => void } {
  const steps: (() => void)[] = [];
  const t = { after: (step: () => void) => void steps.push(step), skip: () => undefined };
  return { t: t as never, end: () => steps.forEach((step) => step()) };
}

for (const [name, command] of HOSTS) {
  describe(`control socket · ${name}`, () => {
    const { t, end } = hookContext();
    let place: Place;
    let stack: Beside | undefined;
    let socket: string;

    before(async () => {
      if (!needsTun(t)) return;
      place = makePlace(t);
      socket = path.join(place.folder, 'run', 'one.sock');
      stack = place.start([...command, '--name', 'one', '--addr', '10.99.0.2/24',
        '--addr', 'fd99::2/64', '--echo', '7', '--daytime', '13',
    '--sysctl', 'tcp_fin_timeout=30']);
      await stack.until(/ackorn: ready\n/);
    });
    after(async () => {
      stack?.child.kill('SIGTERM');
      if (stack !== undefined) {
        assert.equal((await stack.ended).code, 0);
        await place.nothingLeft();
      }
      end();
    });
    /** Skipped where no stack could be brought up. */
    const check = (title: string, body: () => Promise<void>): void => {
      test(title, { timeout: 20_000 }, async (context) => {
        if (stack === undefined) return context.skip('no TUN device here');
        return await body();
      });
    };

    check('the socket is its owner\'s alone', () => {
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      assert.equal(statSync(path.dirname(socket)).mode & 0o777, 0o700);
      return Promise.resolve();
    });

    check('GET /v1/stack', async () => {
      const { status, type, body } = await ask(socket, 'GET', '/v1/stack');
      assert.equal(status, 200);
      assert.equal(type, 'application/json');
      const said = body as Record<string, unknown>;
      assert.equal(said['name'], 'one');
      assert.equal(said['host'], name);
      assert.equal(said['abi'], ABI_VERSION);
      assert.ok(statSync(`/proc/${said['pid']}/ns/net`).ino
        !== statSync('/proc/self/ns/net').ino, 'its process is in another namespace');
      assert.deepEqual(said['addresses'], ['10.99.0.2/24', 'fd99::2/64']);
      assert.deepEqual(said['peerAddresses'], ['10.99.0.1/24', 'fd99::1/64']);
      const services = [{ name: 'echo', port: 7 }, { name: 'daytime', port: 13 }];
  assert.deepEqual(said['services'], services);
      assert.equal(said['impair'], null);
      assert.equal((said['link'] as { mtu: number }).mtu, 1500);
    });

    check('GET /v1/counters · every counter by its name', async () => {
      const { body } = await ask(socket, 'GET', '/v1/counters');
      const { counters } = body as { counters: Record<string, number> };
      assert.equal(Object.keys(counters).length, Counter.COUNT);
      assert.ok(Object.keys(counters).every((key) => key in Counter));
    });

    check('GET /v1/pools', async () => {
      const { body } = await ask(socket, 'GET', '/v1/pools');
      const { pools } = body as { pools: Record<string, Record<string, number>> };
      assert.deepEqual(Object.keys(pools), [
        'connections', 'halfOpen', 'timeWait', 'listeners', 'extras', 'segments', 'arena', 'held',
      ]);
      assert.equal(pools['listeners']?.['used'], 2);
    });

    check('GET and PUT /v1/sysctl · all or none', async () => {
      const values = async (): Promise<Record<string, number>> =>
        ((await ask(socket, 'GET', '/v1/sysctl')).body as {
          sysctl: Record<string, number>;
        }).sysctl;
      const begun = await values();
      assert.equal(begun['tcp_fin_timeout'], 30);
      assert.ok(Object.keys(begun).every((key) => key in Config));
      const set = await ask(socket, 'PUT', '/v1/sysctl', {
        tcp_rmem: '4096 65536 1048576', 'net.ipv4.tcp_fin_timeout': 31,
      });
      assert.equal(set.status, 200);
      assert.equal((await values())['tcp_rmem_default'], 65_536);
      assert.equal((await values())['tcp_fin_timeout'], 31);
      const refused = await ask(socket, 'PUT', '/v1/sysctl', {
        tcp_fin_timeout: 32, tcp_frobnicate: 1,
      });
      assert.equal(refused.status, 400);
      assert.equal((await values())['tcp_fin_timeout'], 31);
      for (const body of ['[]', 'no JSON', '"text"']) {
        assert.equal((await ask(socket, 'PUT', '/v1/sysctl', body)).status, 400, body);
      }
    });

    check('POST /v1/ping · sent, reply, end', async () => {
      const { status, body } = await ask(socket, 'POST', '/v1/ping', {
        address: '10.99.0.1', count: 2, intervalMs: 20, size: 100,
      });
      assert.equal(status, 200);
      const lines = body as { type: string; sequence?: number; bytes?: number; rttUs?: number }[];
      assert.deepEqual(lines.map(({ type }) => type), ['sent', 'reply', 'sent', 'reply', 'end']);
      assert.equal(lines[1]?.bytes, 108);
      assert.equal(lines[3]?.sequence, 2);
      assert.ok((lines[1]?.rttUs ?? 0) > 0 && (lines[1]?.rttUs ?? 0) < 1e6);
      const wrong = await ask(socket, 'POST', '/v1/ping', { address: 'nowhere' });
      assert.equal(wrong.status, 400);
      const far = await ask(socket, 'POST', '/v1/ping', {
        address: '10.99.0.77', count: 1, timeoutMs: 50,
      });
      assert.deepEqual((far.body as { type: string }[]).map(({ type }) => type), ['sent', 'end']);
    });

    check('a wrong request is refused in JSON', async () => {
      for (const [method, target, status] of [
        ['GET', '/v1/nothing', 404], ['GET', '/', 404], ['PUT', '/v1/stack', 405],
        ['GET', '/v1/tcp?connect=10.99.0.1:7', 426], ['GET', '/v1/dump?snaplen=none', 400],
      ] as const) {
        const answer = await ask(socket, method, target);
        assert.equal(answer.status, status, target);
        const { error } = answer.body as { error: { code: string; message: string } };
        assert.match(error.message, /^[^\n]+$/);
      }
    });

    check('a client that leaves in the middle, or says nonsense, harms nobody', async () => {
      const cut = ['GET /v1/dump HTTP/1.1\r\nHost: a\r\n\r\n', 'nonsense\r\n\r\n', 'GET '];
      for (const words of cut) {
        const client = net.connect({ path: socket });
        client.write(words);
        await sleep(30);
        client.destroy();
      }
      assert.equal((await ask(socket, 'GET', '/v1/stack')).status, 200);
    });

    /** A connection with a service, from the kernel's side, by a program in the namespace. */
    const fetchDaytime = async (): Promise<void> => {
      const script = 'require("node:net").connect(13, "10.99.0.2").on("close", () => {}).resume()';
      const ran = await place.ackorn(['exec', '--name', 'one', '--', execPath, '-e', script]);
      assert.equal(ran.code, 0, ran.stderr);
    };

    check('GET /v1/dump · pcapng · both directions, times of day', async () => {
      const response = await request(socket, 'GET', '/v1/dump');
      assert.equal(response.headers['content-type'], 'application/x-pcapng');
      const [packets] = await Promise.all([packetsOf(response, 6), fetchDaytime()]);
      response.destroy();
      const seen = packets.flatMap((packet) => packet.type === 'packet' ? [packet] : []);
      assert.ok(seen.some(({ direction }) => direction === 'in'));
      assert.ok(seen.some(({ direction }) => direction === 'out'));
      for (const packet of seen) {
        assert.ok(Math.abs(Number(packet.timeUs) / 1000 - Date.now()) < 60_000);
        assert.equal((packet.data[0] ?? 0) >> 4, 4);
      }
    });

    check('GET /v1/trace · the states of a connection, in order', async () => {
      const response = await request(socket, 'GET', '/v1/trace');
      assert.equal(response.headers['content-type'], 'application/x-ndjson');
      await fetchDaytime();
      let text = '';
      const states: number[] = [];
      for await (const chunk of response) {
        text += String(chunk);
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) {
          const record = JSON.parse(line) as Record<string, number | string>;
          if (record['kind'] !== 'StateChange') continue;
          assert.equal(record['localPort'], 13);
          states.push(record['b'] as number);
        }
        if (states.includes(State.TIME_WAIT) || states.includes(State.CLOSE)) break;
      }
      assert.deepEqual(states.slice(0, 3), [State.SYN_RECV, State.ESTABLISHED, State.FIN_WAIT1]);
    });

    check('GET /v1/sockets · listeners and a connection with tcp_info', async () => {
      const script = 'require("node:net").connect(7, "10.99.0.2").on("data", () => '
        + 'console.log("echoed")).write("hello")';
      const peer = place.start([execPath, CLI, 'exec', '--name', 'one', '--', execPath, '-e',
        script]);
      await peer.until(/echoed/);
      const sockets = (await ask(socket, 'GET', '/v1/sockets')).body as {
        sockets: Record<string, unknown>[];
      };
      peer.child.kill('SIGTERM');
      await peer.ended;
      const listeners = sockets.sockets.filter(({ state }) => state === 'LISTEN');
      assert.deepEqual(listeners.map(({ local }) => local), [
        { address: '::', port: 7 }, { address: '::', port: 13 },
      ]);
      assert.ok(listeners.every(({ kind }) => kind === 'listener'));
      const open = sockets.sockets.filter(({ kind }) => kind === 'connection');
      assert.equal(open.length, 1);
      const info = open[0]?.['info'] as Record<string, unknown>;
      assert.deepEqual(open[0]?.['local'], { address: '10.99.0.2', port: 7 });
      assert.equal(info['state'], 'ESTABLISHED');
      assert.equal(typeof info['congestion'], 'string');
      assert.ok((info['snd_cwnd'] as number) >= 10);
      assert.equal(info['bytes_received'], 5);
      assert.equal(info['bytes_acked'], 5, 'of an accepted connection the SYN does not count');
    });

    check('Upgrade · listen · a peer of the kernel, both half closes', async () => {
      const waiting = upgrade(socket, '/v1/tcp?listen=4000');
      await sleep(100);
      const script = 'const s = require("node:net").connect({ port: 4000, host: "10.99.0.2", '
        + 'allowHalfOpen: true }); s.end("from the kernel"); '
        + 's.on("data", (chunk) => process.stdout.write(chunk));';
      const [peer, here] = await Promise.all([
        place.ackorn(['exec', '--name', 'one', '--', execPath, '-e', script]),
        (async () => {
          const { status, headers, stream } = await waiting;
          assert.equal(status, 101);
          assert.equal(headers['ackorn-local'], '10.99.0.2:4000');
          assert.match(String(headers['ackorn-remote']), /^10\.99\.0\.1:\d+$/);
          assert.ok(stream !== undefined);
          const text = await textOf(stream);
          stream.end('after your FIN');
          return text;
        })(),
      ]);
      assert.equal(here, 'from the kernel');
      assert.equal(peer.stdout, 'after your FIN', peer.stderr);
    });

    check('Upgrade · connect · refused by the peer, and wrong words', async () => {
      assert.equal((await upgrade(socket, '/v1/tcp?connect=10.99.0.1:4001')).status, 502);
      assert.equal((await upgrade(socket, '/v1/tcp?connect=nowhere')).status, 400);
      assert.equal((await upgrade(socket, '/v1/tcp')).status, 400);
      assert.equal((await upgrade(socket, '/v1/nothing')).status, 404);
    });
  });
}

describe('control socket · which stack', () => {
  test('several run: listed, exit code 2; a dead one\'s socket is passed over', async (t) => {
    if (!needsTun(t)) return;
    const place = makePlace(t);
    const one = await place.up(['--name', 'one']);
    const two = await place.up(['--name', 'two']);
    const both = await place.ackorn(['ss', '-l']);
    assert.equal(both.code, 2);
    assert.equal(both.stderr,
      'ackorn: several stacks are running: one, two; choose one with --name\n');
    assert.equal((await place.ackorn(['ss', '-l', '--name', 'two'])).code, 0);
    for (const pid of place.processes()) {
      // The first stack, whole: its socket stays.
      if (pid === one.child.pid) process.kill(pid, 'SIGKILL');
    }
    await one.ended;
    await sleep(500);
    writeFileSync(path.join(place.folder, 'run', 'stale.sock'), '');
    assert.equal((await place.ackorn(['ss', '-l'])).code, 0, 'the only one that lives');
    two.child.kill('SIGTERM');
    await two.ended;
    await place.nothingLeft();
  });
});
