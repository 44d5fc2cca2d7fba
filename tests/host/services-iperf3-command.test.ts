/** `ackorn iperf3`: arguments, output, exit codes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  iperf3Command, parseIperf3Arguments, type Iperf3Report,
} from '../../host/node/services/iperf3/index.js';
import { kernelTransport, type Transport } from '../../host/node/services/seam.js';

const words = (line: string): string[] => line.split(' ').filter((word) => word !== '');

test('arguments · every option · the same words as iperf3', () => {
  assert.deepEqual(parseIperf3Arguments(words('-s -p 6000 -1')), {
    role: 'server', options: { port: 6000, oneOff: true },
  });
  assert.deepEqual(parseIperf3Arguments(words('-c host')), {
    role: 'client', options: { host: 'host', port: 5201 }, json: false,
  });
  const all = '-c h -p 1 -n 1.5M -l 8K -P 4 -R -O 2 -i 0.5 -T name -C reno -M 1400 -N -w 64K '
    + '-b 10M -S 16 -J --get-server-output';
  assert.deepEqual(parseIperf3Arguments(words(all)), {
    role: 'client', json: true,
    options: {
      host: 'h', port: 1, bytes: 1_572_864, length: 8192, parallel: 4, reverse: true, omit: 2,
      interval: 0.5, title: 'name', congestion: 'reno', mss: 1400, noDelay: true, window: 65_536,
      bitrate: 10_000_000, tos: 16, getServerOutput: true,
    },
  });
  const { options } = parseIperf3Arguments(words('-c h --bidir -k 2K -t 5')) as { options: object };
  assert.deepEqual(options, { host: 'h', port: 5201, bidir: true, blocks: 2048, time: 5 });
});

test('arguments · wrong ones · one clear line and exit code 1', async () => {
  for (const [line, said] of [
    ['', /client .* server/], ['-s -c h', /client .* server/], ['-c h -u', /TCP only/],
    ['-c h --nonsense', /nonsense/], ['-c h -t', /time/], ['-c h -t soon', /-t soon/],
    ['-c h -p 0', /-p 0/], ['-c h -p 70000', /-p 70000/], ['-c h -t 1K', /-t 1K/],
    ['-c h -n 1X', /-n 1X/], ['-s -R', /--reverse .* client/], ['-c h -1', /-1 .* server/],
    ['-c h -B ::', /-B .* server/], ['-c h stray', /stray/], ['-c h -P 1.5', /-P 1.5/],
    ['-c h -t 99999', /duration/],
  ] as const) {
    const errors: string[] = [];
    const code = await iperf3Command(words(line), {
      transport: kernelTransport, out: () => undefined, err: (text) => errors.push(text),
    });
    assert.equal(code, 1, line);
    assert.equal(errors.length, 1, line);
    assert.match(errors[0]!, said, line);
    assert.match(errors[0]!, /^iperf3: error - .*$/, line);
  }
});

test('server and client · text, JSON, the end by a signal', async () => {
  let port = 0;
  const transport: Transport = {
    connect: (options) => kernelTransport.connect({ ...options, port }),
    async listen(_port, on, options) {
      const listener = await kernelTransport.listen(0, on, { address: '127.0.0.1', ...options });
      port = listener.port;
      return listener;
    },
  };
  const out: string[] = [];
  const quiet = { transport, err: (line: string) => assert.fail(line) };
  const stop = new AbortController();
  let server: Promise<number> | undefined;
  await new Promise<void>((listening) => {
    const heard = (): void => listening();
    server = iperf3Command(['-s'], { ...quiet, out: heard, signal: stop.signal });
  });
  const client = (line: string): Promise<number> =>
    iperf3Command(words(line), { ...quiet, out: (text) => out.push(text) });
  assert.equal(await client('-c 127.0.0.1 -n 1M'), 0);
  assert.equal(out.at(-1), 'iperf Done.');
  out.length = 0;
  assert.equal(await client('-c 127.0.0.1 -n 1M -R -J'), 0);
  assert.equal(out.length, 1);
  assert.equal((JSON.parse(out[0]!) as Iperf3Report).end.sum_received!.bytes, 1 << 20);
  stop.abort();
  assert.equal(await server, 0);
  assert.equal(await client('-c 127.0.0.1 -J'), 1);
  const failed = JSON.parse(out[1]!) as Iperf3Report;
  assert.match(failed.error!, /^unable to connect to server: .*ECONNREFUSED/);
  assert.deepEqual(failed.intervals, []);
});
