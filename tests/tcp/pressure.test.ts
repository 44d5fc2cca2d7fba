/**
 * Memory that is short: what a receiver gives up first, and that nothing acknowledged is lost.
 * Blueprint §3 (tcp_mem), RFC 2018 §8 (reneging), RFC 9293 §3.8.6.
 */
import assert from 'node:assert/strict';
import { Option } from '../../assembly/abi.js';
import { both, type Bench, type Socket } from './harness.js';
import type { Peer } from './peer.js';

const SMALL = { config: { arenaBytes: 128 * 1024, tcp_rmem_default: 65_536 } };

/** Connections whose readers sleep, each with `bytes` unread, until nothing more is taken. */
function fillArena(b: Bench, listener: ReturnType<Bench['listener']>): void {
  for (let i = 0; i < 6; i++) {
    const { peer } = b.passive({ mss: 1000, wscale: 0 }, listener);
    for (let n = 0; n < 40; n++) {
      peer.sends({ flags: '.', seq: 1 + n * 1000, len: 1000 });
      peer.drain();
    }
  }
}

/** Sends what the engine has not acknowledged yet, again and again. @returns octets in order */
function push(peer: Peer, from: number, to: number): number {
  let acked = from;
  for (let n = from; n < to; n += 1000) {
    peer.sends({ flags: '.', seq: n, len: Math.min(1000, to - n) });
    for (const s of peer.drain()) acked = Math.max(acked, (s.tcp.ack - peer.isn) >> 0);
  }
  return acked;
}

both('arena full of unread bytes · new bytes dropped and not acknowledged, later taken', (b) => {
  const listener = b.listener();
  fillArena(b, listener);
  const { sock, peer } = b.passive({ mss: 1000 }, listener);
  let acked = 1;
  for (let round = 0; round < 20 && acked < 20_001; round++) {
    acked = push(peer, acked, 20_001);
    let read = sock.read();
    while (typeof read === 'number' && read > 0) read = sock.read();
    peer.drain();
    if (round === 5) for (const other of b.sockets) if (other !== sock && other.open) other.abort();
    for (const other of b.peers) if (other !== peer) other.drain();
    b.run(100);
    peer.drain();
  }
  assert.ok(b.counter('TcpExtTCPMemoryPressures') > 0 && b.counter('TcpExtTCPRcvQDrop') > 0);
  assert.equal(acked, 20_001);
  assert.equal(sock.consumed, 20_000, 'every acknowledged octet was delivered');
  for (const other of b.peers) other.drain();
}, SMALL);

both('arena full · segments beyond a hole are given up, never what is in order', (b) => {
  const listener = b.listener();
  const { sock, peer } = b.passive({ mss: 1000, sack: true }, listener);
  peer.sends({ flags: '.', len: 1000 });
  peer.drain();
  for (let n = 2; n < 30; n++) {
    peer.sends({ flags: '.', seq: 1 + n * 1000, len: 1000 });
    peer.drain();
  }
  fillArena(b, listener);
  for (const other of b.peers) if (other !== peer) other.drain();
  let acked = 1001;
  for (let round = 0; round < 30 && acked < 30_001; round++) {
    acked = push(peer, acked, 30_001);
    let read = sock.read();
    while (typeof read === 'number' && read > 0) read = sock.read();
    if (round === 3) for (const other of b.sockets) if (other !== sock && other.open) other.abort();
    for (const other of b.peers) other.drain();
    b.run(50);
  }
  assert.ok(b.counter('TcpExtTCPMemoryPressures') > 0 && b.counter('TcpExtTCPOFODrop') > 0);
  assert.equal(acked, 30_001);
  assert.equal(sock.consumed, 30_000);
  for (const other of b.peers) other.drain();
}, SMALL);

both('out of segment records · no new data leaves until ACKs free some', (b) => {
  const { sock, peer } = b.passive({ mss: 500, sack: true,
    options: [[Option.SO_SNDBUF, 60_000], [Option.TCP_NODELAY, 1]] });
  const start = (s: Socket): number => s.write(20_000 - s.written);
  start(sock);
  for (let round = 0; peer.expected < 20_001 && round < 500; round++) {
    b.run(20);
    peer.drain();
    peer.sends({ flags: '.' });
    if (sock.written < 20_000) start(sock);
  }
  peer.drain();
  peer.sends({ flags: '.' });
  assert.equal(sock.info.unacked, 0);
  assert.equal(peer.expected, 20_001);
}, { config: { segmentsMax: 4 } });

both('out of range records · segments beyond holes are dropped, the rest goes on', (b) => {
  const { sock, peer } = b.passive({ mss: 500, sack: true });
  for (let n = 1; n < 12; n++) {
    peer.sends({ flags: '.', seq: 1 + n * 200, len: 100 });
    peer.drain();
  }
  assert.ok(b.counter('TcpExtTCPOFODrop') > 0);
  let acked = 1;
  for (let round = 0; round < 10 && acked < 2401; round++) acked = push(peer, acked, 2401);
  assert.equal(acked, 2401);
  assert.equal(sock.read(), 2400);
  peer.drain();
}, { config: { segmentsMax: 4 } });

both('no record for what a connection has counted · it still works', (b) => {
  const listener = b.listener();
  const all = [0, 1, 2].map(() => b.passive({ mss: 500 }, listener));
  for (const { peer } of all) {
    peer.sends({ flags: '.', len: 100 });
    peer.drain();
  }
  const [first] = all;
  assert.equal(first?.sock.read(), 100);
  assert.ok(b.counter('AckornExtrasExhausted') > 0);
}, { config: { extrasMax: 2 } });
