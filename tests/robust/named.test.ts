/**
 * One test for each fault that the storms of this folder or a reading of the code have found: the
 * shortest way to it, named by state, event and step.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Config, Errno, Option, SHUT_WR } from '../../assembly/abi.js';
import { Lab, Net, OURS, THEIRS, THEIRS6, type Peer } from './lab.js';
import { ACK, FIN, sealIp, SYN, URG, writeTcp, type Parsed } from './packets.js';

const BYTES = new Uint8Array(100_000).map((_, at) => at % 251);

interface Scene {
  lab: Lab;
  peer: Peer;
  listener: { index: number; generation: number };
  sent: Parsed[];
}

/** An accepted connection with a scripted peer. */
function established(options: Partial<Parameters<Net['peer']>[0]> = {}, mtu = 1500): Scene {
  const lab = new Lab({ mtu });
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
  const peer = net.peer({ port: 5000, to: 80, ...options }).open(listener);
  const sent: Parsed[] = [];
  const see = lab.onPacket;
  lab.onPacket = (packet) => {
    sent.push({ ...packet, options: packet.options.slice(), payload: packet.payload.slice() });
    see(packet);
  };
  return { lab, peer, listener, sent };
}

function finish({ lab, peer, listener }: Scene): void {
  const { calls } = lab.engine;
  calls.tcpAbort(peer.handle.index, peer.handle.generation);
  calls.listenerClose(listener.index, listener.generation);
  lab.drainEvents();
  lab.run(200e6);
  lab.assertBaseline('after the test');
}

test('ESTABLISHED without SACK · duplicate ACKs, then a smaller path MTU · no false count', () => {
  const scene = established({ sackOk: false });
  const { lab, peer } = scene;
  lab.engine.write(peer.handle, BYTES, 0, 14_000);
  lab.poll();
  const una = peer.last?.seq as number;
  const first = (una - 8 * 1460) >>> 0;
  // Two duplicates: Disorder, with a guess of two segments behind the hole.
  for (let at = 0; at < 3; at++) peer.send(ACK, { ack: first });
  lab.poll();
  const bytes = new Uint8Array(100);
  writeTcp(bytes, {
    from: THEIRS, to: OURS, sourcePort: 0, destinationPort: 0, seq: 0, flags: 0,
    payload: new Uint8Array(28),
  });
  const quoted = new Uint8Array(60);
  writeTcp(quoted, {
    from: OURS, to: THEIRS, sourcePort: 80, destinationPort: 5000, seq: first, flags: ACK,
  });
  bytes.set([3, 4, 0, 0, 0, 0, 1000 >> 8, 1000 & 255], 20);
  bytes.set(quoted.subarray(0, 28), 28);
  bytes[9] = 1;
  bytes.set([0, 56], 2);
  sealIp(bytes);
  let sum = 0;
  for (let at = 20; at < 56; at++) sum += (bytes[at] as number) << (at & 1 ? 0 : 8);
  sum = (sum & 0xffff) + (sum >>> 16);
  bytes.set([(~sum >> 8) & 255, ~sum & 255], 22);
  lab.inject(bytes, 56);
  lab.poll();
  assert.equal(lab.engine.info(peer.handle).pmtu, 1000, 'the message was believed');
  peer.send(ACK);
  lab.poll();
  lab.engine.write(peer.handle, BYTES, 0, 14_000);
  lab.poll();
  peer.send(ACK);
  lab.poll(); // trapped here: Segment
  assert.equal(lab.engine.info(peer.handle).sacked, 0);
  finish(scene);
});

test('accept queue · calls with a guessed handle · EBADF, it is nobody’s yet', () => {
  const lab = new Lab();
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
  const peer = net.peer({ port: 5000, to: 80 });
  peer.syn();
  lab.poll();
  peer.sndNxt++;
  peer.send(ACK);
  lab.poll();
  const { calls } = lab.engine;
  assert.equal(calls.tcpClose(0, 1), -Errno.EBADF);
  assert.equal(calls.tcpInfo(0, 1), -Errno.EBADF);
  const handle = lab.engine.accept(listener);
  assert.deepEqual(handle, { index: 0, generation: 1 });
  assert.equal(calls.tcpClose(0, 1), 0);
});

test('FIN-WAIT-1 · commit of what was reserved before · EPIPE, nothing behind the FIN', () => {
  const scene = established();
  const { lab, peer, sent } = scene;
  const { index, generation } = peer.handle;
  const { calls } = lab.engine;
  assert.ok(calls.tcpSendReserve(index, generation, 1000) >= 1000);
  assert.equal(calls.tcpShutdown(index, generation, SHUT_WR), 0);
  lab.poll();
  assert.equal(calls.tcpSendCommit(index, generation, 1000, 0), -Errno.EPIPE);
  lab.poll(1e6);
  assert.equal(lab.engine.getOption(peer.handle, Option.SIOCOUTQ), 0);
  assert.ok(sent.every(({ payload }) => payload.length === 0), 'bytes left behind the FIN');
  finish(scene);
});

test('ESTABLISHED · a FIN beyond a hole, then bytes behind it · they are not believed', () => {
  const scene = established();
  const { lab, peer } = scene;
  const { engine } = lab;
  const start = peer.sndNxt;
  // The FIN's octet ends a granule of 512 bytes: nothing was ever stored there.
  const fin = (Math.ceil((start + 1024) / 512) * 512 - 1) >>> 0;
  peer.send(ACK | FIN, { seq: fin });
  peer.send(ACK, { seq: fin + 1, payload: BYTES.subarray(0, 1000) });
  peer.send(ACK, { payload: BYTES.subarray(0, fin - start) });
  lab.poll();
  const into = new Uint8Array(4000);
  let got = 0;
  for (;;) {
    const n = engine.read(peer.handle, into, got, into.length); // trapped here: Stream
    if (n <= 0) break;
    got += n;
  }
  assert.equal(got, fin - start);
  assert.deepEqual(into.subarray(0, got), BYTES.subarray(0, got));
  assert.equal(engine.info(peer.handle).state, 'CLOSE_WAIT');
  finish(scene);
});

test('ESTABLISHED · bytes beyond a hole, then a FIN below them · the FIN is not believed', () => {
  const scene = established();
  const { lab, peer } = scene;
  peer.send(ACK, { seq: peer.sndNxt + 2000, payload: BYTES.subarray(0, 1000) });
  peer.send(ACK | FIN, { seq: peer.sndNxt + 1000, payload: BYTES.subarray(0, 500) });
  lab.poll();
  peer.data(BYTES.subarray(0, 1000));
  peer.data(BYTES.subarray(1000, 2000));
  lab.poll();
  assert.equal(lab.engine.getOption(peer.handle, Option.SIOCINQ), 3000);
  assert.equal(lab.engine.info(peer.handle).state, 'ESTABLISHED');
  finish(scene);
});

test('ESTABLISHED · a FIN in order with bytes behind it · they are forgotten', () => {
  const scene = established();
  const { lab, peer } = scene;
  peer.send(ACK, { seq: peer.sndNxt + 100, payload: BYTES.subarray(0, 1000) });
  peer.send(ACK | FIN, {});
  lab.poll();
  assert.equal(lab.engine.info(peer.handle).state, 'CLOSE_WAIT');
  lab.engine.shutdown(peer.handle, SHUT_WR);
  lab.poll();
  assert.equal(lab.engine.pool('segments').used, 1, 'only our FIN is in flight');
  finish(scene);
});

test('ESTABLISHED · an urgent mark ahead of the bytes · kept while the connection is quiet', () => {
  const scene = established();
  const { lab, peer } = scene;
  lab.send({
    from: THEIRS, to: OURS, sourcePort: 5000, destinationPort: 80, seq: peer.sndNxt,
    ack: peer.rcvNxt, flags: ACK | URG, urgent: 700,
  });
  lab.poll();
  lab.run(5e6);
  const { index, generation } = peer.handle;
  assert.equal(lab.engine.calls.tcpGetOption(index, generation, Option.SIOCATMARK), 700);
  finish(scene);
});

test('sysctl · a port range turned round, or a limit beyond its pair · EINVAL', () => {
  const lab = new Lab();
  const { calls } = lab.engine;
  const high = lab.engine.sysctlGet('ip_local_port_range_high');
  assert.equal(calls.sysctlSet(Config.ip_local_port_range_low, high + 1), -Errno.EINVAL);
  assert.equal(calls.sysctlSet(Config.ip_local_port_range_low, high), 0);
  const pressure = lab.engine.sysctlGet('tcp_mem_pressure');
  assert.equal(calls.sysctlSet(Config.tcp_mem_low, pressure + 1), -Errno.EINVAL);
  assert.equal(calls.sysctlSet(Config.tcp_mem_pressure, 0xffffffff), -Errno.EINVAL);
  assert.equal(calls.sysctlSet(Config.tcp_rmem_default, 0x7fffffff), -Errno.EINVAL);
  assert.equal(calls.sysctlSet(Config.tcp_syn_retries, 0), -Errno.EINVAL);
  assert.equal(calls.sysctlSet(Config.tcp_retries2, 256), -Errno.EINVAL);
});

test('TIME-WAIT · the host sleeps for days · the record ends, however far the clock jumps', () => {
  // 2^32 ticks of 64 µs are 76 hours: a second after that the wheel would stand where it stood.
  const round = (2 ** 32 * 64) / 3600e6;
  for (const hours of [0.5, 30, round + 1 / 3600, round * 4 + 1 / 3600, 24 * 49, 24 * 400]) {
    const lab = new Lab({ startUs: 1e9 });
    const net = new Net(lab);
    const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
    const peer = net.peer({ port: 5000, to: 80 }).open(listener);
    lab.engine.close(peer.handle);
    lab.poll();
    peer.send(ACK);
    peer.send(ACK | FIN);
    lab.poll();
    assert.equal(lab.engine.pool('timeWait').used, 1);
    lab.poll(Math.floor(hours * 3600e6));
    assert.equal(lab.engine.pool('timeWait').used, 0, `after ${hours} hours`);
  }
});

test('LISTEN · a SYN in the same poll as a jump of days · its SYN-ACK is repeated on time', () => {
  for (const jumpUs of [0, 2 ** 30 * 64, 3.5 * 2 ** 30 * 64, 2 ** 32 * 64 - 64e6, 1.7e15]) {
    const lab = new Lab({ startUs: 1e6 });
    const net = new Net(lab);
    lab.engine.listen([0, 0, 0, 0], 80, 16);
    net.peer({ port: 5000, to: 80 }).syn();
    lab.poll(jumpUs);
    lab.run(0.99e6);
    assert.equal(lab.counter('TcpExtTCPSynRetrans'), 0, `early after ${jumpUs}`);
    lab.run(0.02e6);
    assert.equal(lab.counter('TcpExtTCPSynRetrans'), 1, `late after ${jumpUs}`);
  }
});

test('CLOSE, bound to IPv4 · connect to IPv6 · ENETUNREACH', () => {
  const lab = new Lab();
  const { calls } = lab.engine;
  const { index, generation } = lab.engine.open();
  assert.equal(calls.tcpBind(index, generation, ...OURS, 0), 0);
  assert.equal(calls.tcpConnect(index, generation, ...THEIRS6, 80), -Errno.ENETUNREACH);
});

test('CLOSE after a reset · the address is removed · not reset once more', () => {
  const scene = established();
  const { lab, peer } = scene;
  peer.reset();
  lab.poll();
  const before = lab.counter('TcpOutRsts');
  assert.equal(lab.engine.calls.addressRemove(0), 0);
  assert.equal(lab.counter('TcpOutRsts'), before);
  assert.equal(lab.engine.getOption(peer.handle, Option.SO_ERROR), Errno.ECONNRESET);
});

test('IPv6 over a link of 68 bytes · connect · a segment size that can be', () => {
  const lab = new Lab({ mtu: 68 });
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
  const peer = net.peer({ port: 5000, to: 80, six: true, timestamps: true }).open(listener);
  const mss = lab.engine.info(peer.handle).snd_mss;
  assert.ok(mss >= 8 && mss <= 68, `${mss}`);
});

test('ESTABLISHED on a link of 68 bytes · three holes · SACK blocks fit the link', () => {
  const scene = established({ timestamps: true }, 68);
  const { lab, peer, sent } = scene;
  for (const hole of [10, 30, 50, 70]) {
    peer.send(ACK, { seq: peer.sndNxt + hole, payload: BYTES.subarray(0, 10) });
    lab.poll();
  }
  assert.equal(sent.length, 4);
  for (const { length } of sent) assert.ok(length <= 68, `a packet of ${length} bytes`);
  finish(scene);
});

test('SYN-RECEIVED of a simultaneous open · shutdown · the FIN follows the handshake', () => {
  const lab = new Lab();
  const net = new Net(lab);
  const { engine } = lab;
  const handle = engine.open();
  const peer = net.peer({ port: 5000, to: 0 });
  engine.bind(handle, OURS, 4000);
  const flags: number[] = [];
  const see = lab.onPacket;
  lab.onPacket = (packet) => {
    flags.push(packet.flags);
    see(packet);
  };
  engine.connect(handle, THEIRS, 5000);
  lab.poll();
  const iss = (peer.last as Parsed).seq;
  const there = { from: THEIRS, to: OURS, sourcePort: 5000, destinationPort: 4000 };
  lab.send({ ...there, seq: 1000, flags: SYN });
  lab.poll();
  engine.shutdown(handle, SHUT_WR);
  lab.run(2e6);
  assert.equal(engine.info(handle).state, 'SYN_RECV');
  assert.ok(flags.every((bits) => (bits & FIN) === 0), 'a FIN before the handshake was over');
  lab.send({ ...there, seq: 1001, ack: iss + 1, flags: ACK });
  lab.poll();
  assert.equal(engine.info(handle).state, 'FIN_WAIT1');
  assert.equal((flags.at(-1) as number) & FIN, FIN);
});
