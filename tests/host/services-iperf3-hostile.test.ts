/**
 * iperf3 against peers that do not keep to the protocol: clients that our server must refuse and
 * outlive, and servers that our client must not believe.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  iperf3Server, runIperf3Client, type Iperf3Server,
} from '../../host/node/services/iperf3/index.js';
import { ControlChannel, makeCookie, State } from '../../host/node/services/iperf3/protocol.js';
import { kernelTransport, type ServiceSocket } from '../../host/node/services/seam.js';

const HOST = '127.0.0.1';

async function start(t: TestContext, setupMs = 10_000): Promise<Iperf3Server> {
  const server = await iperf3Server(kernelTransport, {
    port: 0, address: HOST, log: () => undefined, setupMs,
  });
  t.after(() => server.close());
  return server;
}

async function dial(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ host: HOST, port });
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function works(server: Iperf3Server): Promise<void> {
  const options = { host: HOST, port: server.port, bytes: 1000, length: 1000 };
  assert.equal((await runIperf3Client(kernelTransport, options)).end.sum_received!.bytes, 1000);
}

function frame(text: string, length = Buffer.byteLength(text)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** Cookie, then parameters; gives the refusal's two numbers. */
async function refusal(t: TestContext, port: number, bytes: Buffer): Promise<[number, number]> {
  const channel = new ControlChannel(await dial(t, port));
  channel.socket.write(makeCookie());
  assert.equal(await channel.readState(), State.PARAM_EXCHANGE);
  channel.socket.write(bytes);
  assert.equal(await channel.readState(), State.SERVER_ERROR);
  const numbers = await channel.read(8);
  channel.socket.destroy();
  return [numbers.readUInt32BE(0), numbers.readUInt32BE(4)];
}

test('parameters · malformed or out of bounds · SERVER_ERROR with its number', async (t) => {
  const server = await start(t);
  const wrong: [Buffer, number, number][] = [
    [frame('', 0), 114, 90],
    [frame('{}', 8193), 114, 90],
    [frame('{}', 0xffff_ffff), 114, 90],
    [frame('{"tcp":true'), 114, 22],
    [frame('\0\0\0'), 114, 22],
    [frame('[]'), 114, 22],
    [frame('null'), 114, 22],
    [frame('"tcp"'), 114, 22],
    [frame('{"udp":true}'), 131, 93],
    [frame('{"sctp":true}'), 131, 93],
    [frame('{"tcp":true,"time":86401}'), 5, 22],
    [frame('{"tcp":true,"time":-1}'), 5, 22],
    [frame('{"tcp":true,"time":"1"}'), 5, 22],
    [frame('{"tcp":true,"time":1e999}'), 5, 22],
    [frame('{"tcp":true,"parallel":0}'), 6, 22],
    [frame('{"tcp":true,"parallel":129}'), 6, 22],
    [frame('{"tcp":true,"len":1048577}'), 7, 22],
    [frame('{"tcp":true,"window":536870913}'), 8, 22],
    [frame('{"tcp":true,"MSS":32768}'), 10, 22],
    [frame('{"tcp":true,"omit":601}'), 12, 22],
    [frame('{"tcp":true,"reverse":true,"bidirectional":true}'), 25, 0],
    [frame('{"tcp":true,"congestion":"a b"}'), 134, 22],
    [frame('{"tcp":true,"title":7}'), 114, 22],
  ];
  for (const [bytes, iperfErrno, errno] of wrong) {
    const text = bytes.subarray(4).toString();
    assert.deepEqual(await refusal(t, server.port, bytes), [iperfErrno, errno], text);
  }
  await works(server);
});

test('cookie · missing, cut or late · the server is not held', async (t) => {
  const server = await start(t, 200);
  const silent = await dial(t, server.port);
  await works(server); // nobody has to wait for the silent one
  const cut = await dial(t, server.port);
  cut.end('short');
  const reset = await dial(t, server.port);
  reset.write('x');
  reset.resetAndDestroy();
  await works(server);
  await once(silent, 'close');
});

test('parameters or streams that never come · time-out, then the next client', async (t) => {
  const server = await start(t, 200);
  const noParameters = new ControlChannel(await dial(t, server.port));
  noParameters.socket.write(makeCookie());
  assert.equal(await noParameters.readState(), State.PARAM_EXCHANGE);
  assert.equal(await noParameters.readState(), State.SERVER_ERROR);
  const noStreams = new ControlChannel(await dial(t, server.port));
  noStreams.socket.write(makeCookie());
  await noStreams.readState();
  noStreams.sendJson({ tcp: true, parallel: 2 });
  assert.equal(await noStreams.readState(), State.CREATE_STREAMS);
  assert.equal(await noStreams.readState(), State.SERVER_ERROR);
  await works(server);
});

/** Brings a test by hand to TEST_RUNNING. */
async function running(
  t: TestContext,
  port: number,
  parameters: object = {},
): Promise<{ control: ControlChannel; data: net.Socket }> {
  const cookie = makeCookie();
  const control = new ControlChannel(await dial(t, port));
  control.socket.write(cookie);
  await control.readState();
  control.sendJson({ tcp: true, ...parameters });
  await control.readState();
  const stranger = await dial(t, port);
  stranger.write(makeCookie());
  const [denied] = (await once(stranger, 'data')) as [Buffer];
  assert.equal(denied.readInt8(), State.ACCESS_DENIED);
  const data = await dial(t, port);
  data.write(cookie.subarray(0, 5));
  await sleep(20);
  data.write(cookie.subarray(5)); // a cookie may come in pieces
  assert.equal(await control.readState(), State.TEST_START);
  assert.equal(await control.readState(), State.TEST_RUNNING);
  return { control, data };
}

test('a stranger among the streams · denied; an unknown state · refused', async (t) => {
  const server = await start(t);
  for (const state of [State.TEST_START, State.IPERF_DONE, 99, -7, 0]) {
    const { control } = await running(t, server.port);
    control.sendState(state);
    assert.equal(await control.readState(), State.SERVER_ERROR);
    assert.equal((await control.read(8)).readUInt32BE(), 110);
    control.socket.destroy();
  }
  await works(server);
});

test('results · malformed · refused, and the server goes on', async (t) => {
  const server = await start(t);
  const cpu = '"cpu_util_total":1,"cpu_util_user":1,"cpu_util_system":1';
  const stream = '"id":1,"bytes":5,"retransmits":0';
  const wrong: [Buffer, number][] = [
    [frame('{}'), 117], [frame('', 0), 117], [frame('x', 0x7fff_ffff), 117], [frame('{'), 117],
    [frame(`{${cpu}}`), 117], [frame(`{${cpu},"streams":{}}`), 117],
    [frame(`{${cpu},"streams":[null]}`), 117], [frame(`{${cpu},"streams":[{"id":1}]}`), 117],
    [frame(`{${cpu},"streams":[{"id":1,"bytes":-5,"retransmits":0}]}`), 117],
    [frame(`{${cpu},"streams":[{${stream.replace('1', '77')}}]}`), 208],
  ];
  for (const [bytes, iperfErrno] of wrong) {
    const { control, data } = await running(t, server.port);
    data.write('12345');
    control.sendState(State.TEST_END);
    assert.equal(await control.readState(), State.EXCHANGE_RESULTS);
    control.socket.write(bytes);
    assert.equal(await control.readState(), State.SERVER_ERROR);
    assert.equal((await control.read(8)).readUInt32BE(), iperfErrno, bytes.toString());
    control.socket.destroy();
  }
  await works(server);
});

test('a client that sends in reverse, or ends its stream early · no harm', async (t) => {
  const server = await start(t);
  const { control, data } = await running(t, server.port, { reverse: true });
  data.write(Buffer.alloc(100_000));
  data.resume();
  await sleep(50);
  control.sendState(State.TEST_END);
  assert.equal(await control.readState(), State.EXCHANGE_RESULTS);
  control.socket.destroy();
  const early = await running(t, server.port);
  early.data.end('bye');
  await sleep(50);
  early.control.sendState(State.TEST_END);
  assert.equal(await early.control.readState(), State.EXCHANGE_RESULTS);
  early.control.socket.resetAndDestroy!();
  await sleep(20);
  await works(server);
});

/** A server that follows a script instead of the protocol. */
async function scripted(
  t: TestContext,
  script: (control: ControlChannel) => Promise<void> | void,
): Promise<number> {
  let first = true;
  const sockets: ServiceSocket[] = [];
  const listener = await kernelTransport.listen(0, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (!first) return;
    first = false;
    const control = new ControlChannel(socket);
    void (async () => {
      await control.read(37);
      await script(control);
    })().catch(() => undefined);
  }, { address: HOST });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return listener.close();
  });
  return listener.port;
}

async function upToRunning(control: ControlChannel): Promise<void> {
  control.sendState(State.PARAM_EXCHANGE);
  await control.readJson(8192, 0);
  for (const state of [State.CREATE_STREAMS, State.TEST_START, State.TEST_RUNNING]) {
    control.sendState(state);
  }
}

test('client · servers that break the protocol · an error with its number', async (t) => {
  const results = (text: Buffer) => async (control: ControlChannel): Promise<void> => {
    await upToRunning(control);
    await control.readState();
    control.sendState(State.EXCHANGE_RESULTS);
    await control.readJson(1 << 20, 0);
    control.socket.write(text);
  };
  const cases: [string, (control: ControlChannel) => Promise<void> | void, number][] = [
    ['closes at once', (c) => void c.socket.destroy(), 109],
    ['unknown state', (c) => c.sendState(77), 110],
    ['states out of order', (c) => c.sendState(State.EXCHANGE_RESULTS), 110],
    ['results before the end', async (c) => {
      await upToRunning(c);
      c.sendState(State.EXCHANGE_RESULTS);
    }, 110],
    ['an error number of its own', (c) => void c.socket.write(
      Buffer.from([0xfe, 0, 0, 0x12, 0x34, 0, 0, 0, 1])), 0x1234],
    ['an error cut short', (c) => void c.socket.end(Buffer.from([0xfe, 0, 0])), 109],
    ['results too long', results(frame('{}', 17 << 20)), 117],
    ['results that are not JSON', results(frame('{"streams":[')), 117],
    ['results of nobody', results(frame('{"cpu_util_total":0,"cpu_util_user":0,'
      + '"cpu_util_system":0,"streams":[{"id":9,"bytes":1,"retransmits":0}]}')), 208],
  ];
  for (const [name, script, iperfErrno] of cases) {
    const port = await scripted(t, script);
    const time = name === 'results before the end' ? { time: 5 } : { bytes: 1000, length: 1000 };
    const run = runIperf3Client(kernelTransport, { host: HOST, port, ...time });
    await assert.rejects(run, { iperfErrno }, name);
  }
});

test('client · a server that keeps to the protocol · states in their order', async (t) => {
  const got: number[] = [];
  const port = await scripted(t, async (control) => {
    await upToRunning(control);
    got.push(await control.readState());
    control.sendState(State.EXCHANGE_RESULTS);
    const { streams } = (await control.readJson(1 << 20, 0)) as { streams: object[] };
    control.sendJson({
      cpu_util_total: 1, cpu_util_user: 1, cpu_util_system: 0, sender_has_retransmits: -1, streams,
    });
    control.sendState(State.DISPLAY_RESULTS);
    got.push(await control.readState());
  });
  const options = { host: HOST, port, bytes: 1000, length: 1000, parallel: 3 };
  const { end } = await runIperf3Client(kernelTransport, options);
  assert.equal(end.sum_received!.bytes, end.sum_sent!.bytes);
  await sleep(50);
  assert.deepEqual(got, [State.TEST_END, State.IPERF_DONE]);
});
