/**
 * Running out of things: records, arena, room. Each case is one way in which want of memory had
 * become a lost connection, a stuck writer or bytes that nobody gave back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_ERROR, EVENT_WRITABLE, Option } from '../../assembly/abi.js';
import { Lab, Net, type Peer } from './lab.js';
import { ACK } from './packets.js';

const PIECE = new Uint8Array(1000).map((_, at) => at % 251);

function listening(config: ConstructorParameters<typeof Lab>[0] = {}) {
  const lab = new Lab(config);
  const net = new Net(lab);
  const listener = lab.engine.listen([0, 0, 0, 0], 80, 64);
  const open = (port: number, more: object = {}): Peer =>
    net.peer({ port, to: 80, ...more }).open(listener);
  return { lab, open };
}

test('ESTABLISHED · no record for one more range · its bytes go back to the arena', () => {
  const { lab, open } = listening({ config: { segmentsMax: 4 } });
  const peer = open(5000);
  const start = peer.sndNxt;
  for (let at = 1; at <= 12; at++) {
    peer.send(ACK, { seq: start + at * 2000, payload: PIECE });
    lab.poll();
  }
  assert.ok(lab.counter('TcpExtTCPOFODrop') > 0);
  const kept = lab.engine.info(peer.handle).rcv_ooopack;
  for (let at = 0; at < kept * 2 + 1; at++) peer.data(PIECE);
  lab.poll();
  assert.equal(lab.engine.discard(peer.handle), (kept * 2 + 1) * 1000);
  lab.run(5e6);
  assert.equal(lab.engine.pool('arena').used, 0, 'the quiet connection holds nothing');
});

test('ESTABLISHED · one byte in every 4,096 · what they pin is bounded', () => {
  const { lab, open } = listening({ config: { tcp_rmem_default: 1 << 20, tcp_rmem_max: 1 << 20 } });
  const peer = open(5000, { wscale: 7 });
  // The window opens to its buffer with the first ACK of data.
  peer.data(PIECE);
  lab.poll();
  lab.engine.discard(peer.handle);
  peer.data(PIECE);
  lab.poll(1000);
  lab.engine.discard(peer.handle);
  lab.poll(1000);
  const window = lab.engine.info(peer.handle).rcv_wnd;
  assert.ok(window > 500_000, `a window of ${window}`);
  for (let at = 4096; at < window; at += 4096) {
    peer.send(ACK, { seq: (peer.sndNxt + at) >>> 0, payload: PIECE.subarray(0, 1) });
    lab.poll();
  }
  const { used } = lab.engine.pool('arena');
  assert.ok(used < 64 * 1024, `${used} bytes of arena for ${Math.floor(window / 4096)} bytes`);
  assert.ok(lab.counter('AckornShareExceeded') > 0);
  // Nothing is lost by it: in order the same bytes are taken.
  for (let at = 0; at < 20; at++) peer.data(PIECE);
  lab.poll();
  assert.equal(lab.engine.discard(peer.handle), 20_000);
});

test('arena empty · reserve on a fresh connection · EVENT_WRITABLE follows without an ACK', () => {
  const { lab, open } = listening({ config: { arenaBytes: 8192 } });
  const fat = Array.from({ length: 16 }, (_, at) => open(6000 + at));
  for (const peer of fat) {
    peer.data(PIECE);
    lab.poll();
  }
  const { used, capacity } = lab.engine.pool('arena');
  assert.ok(capacity - used < 1024, `${capacity - used} bytes are free`);
  const writer = open(5000);
  const { index, generation } = writer.handle;
  const { calls } = lab.engine;
  assert.equal(calls.tcpSendReserve(index, generation, 1000), 0, 'the arena was not empty');
  lab.poll();
  lab.drainEvents();
  for (const { handle } of fat) lab.engine.abort(handle);
  let mask = 0;
  for (let at = 0; at < 10; at++) {
    lab.poll(100_000);
    lab.engine.events((_kind, at_, life, bits) => {
      if (at_ === index && life === generation) mask |= bits;
    });
  }
  assert.equal(mask & EVENT_WRITABLE, EVENT_WRITABLE);
  assert.ok(calls.tcpSendReserve(index, generation, 1000) > 0);
});

test('ESTABLISHED · no record to send with, for hours · the connection waits and lives', () => {
  const { lab, open } = listening({ config: { segmentsMax: 1 } });
  const slow = open(5000);
  const waiting = open(5001);
  lab.engine.write(slow.handle, PIECE, 0, 1000);
  lab.poll();
  lab.engine.write(waiting.handle, PIECE, 0, 1000);
  lab.poll();
  const una = (slow.rcvNxt - 1000) >>> 0;
  // The slow one's peer takes a byte a minute, so that its record stays where it is.
  for (let minute = 1; minute <= 180; minute++) {
    lab.run(60e6);
    slow.send(ACK, { ack: una + minute });
    lab.poll();
  }
  assert.equal(lab.engine.info(waiting.handle).state, 'ESTABLISHED');
  assert.equal(waiting.received, 0);
  slow.send(ACK);
  lab.run(5e6);
  assert.equal(waiting.received, 1000);
});

test('a writer waits for memory, its peer is gone · keep-alive finds out in time', () => {
  const { lab, open } = listening({ config: { arenaBytes: 8192 } });
  const writer = open(5000);
  const { engine } = lab;
  engine.setOption(writer.handle, Option.TCP_KEEPIDLE, 10);
  engine.setOption(writer.handle, Option.TCP_KEEPINTVL, 5);
  engine.setOption(writer.handle, Option.TCP_KEEPCNT, 3);
  engine.setOption(writer.handle, Option.SO_KEEPALIVE, 1);
  for (const at of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) {
    open(6000 + at).data(PIECE);
    lab.poll();
  }
  const { index, generation } = writer.handle;
  assert.equal(engine.calls.tcpSendReserve(index, generation, 1000), 0);
  let mask = 0;
  const startUs = lab.nowUs;
  while ((mask & EVENT_ERROR) === 0 && lab.nowUs - startUs < 100e6) {
    lab.run(100_000);
    engine.events((_kind, at, life, bits) => {
      if (at !== index || life !== generation) return;
      mask |= bits;
      if ((bits & EVENT_WRITABLE) !== 0) engine.calls.tcpSendReserve(index, generation, 1000);
    });
  }
  const seconds = (lab.nowUs - startUs) / 1e6;
  assert.ok(seconds > 24 && seconds < 27, `10 s and three probes of 5 s: ${seconds} s`);
  assert.equal(lab.counter('TcpExtTCPKeepAlive'), 3);
});
