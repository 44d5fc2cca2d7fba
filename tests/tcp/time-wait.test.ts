/**
 * TIME-WAIT: 60 s, what restarts and ends it, reuse by a peer's SYN (RFC 9293 §3.6.1, RFC 6191)
 * and by our own connect (tcp_tw_reuse), RFC 1337, its bounds. As Linux's tcp_minisocks.c.
 */
import assert from 'node:assert/strict';
import { Option, SHUT_WR } from '../../assembly/abi.js';
import { requireAddress } from '../../host/core/address.js';
import { both, type Beginning, type Bench, type Socket } from './harness.js';
import type { Peer } from './peer.js';

/** A connection in TIME-WAIT, closed by us first; ends with seq 2 both ways. */
function timeWait(b: Bench, beginning: Beginning = {}): { sock: Socket; peer: Peer } {
  const { sock, peer } = b.passive(beginning);
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  return { sock, peer };
}

//= rfc9293 MUST-13
both('time-wait · repeated FIN · ACK, and 60 s anew', (b) => {
  const { peer } = timeWait(b);
  b.run(50_000);
  peer.sends({ flags: 'F.', seq: 1, ack: 2 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  b.run(59_000);
  assert.equal(b.state(peer), 'TIME_WAIT');
  b.run(1100);
  assert.equal(b.state(peer), 'none');
});

both('time-wait · old data · ACK', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: 'P.', seq: 1, ack: 2, len: 1 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
});

both('time-wait · empty segments out of order · one ACK in 500 ms', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: '.', seq: 1, ack: 2 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  for (let i = 0; i < 5; i++) peer.sends({ flags: '.', seq: 1, ack: 2 });
  peer.quiet();
  assert.equal(b.counter('TcpExtTCPACKSkippedTimeWait'), 5);
  peer.sends({ flags: 'F.', seq: 1, ack: 2 }); // a FIN is always answered
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  b.run(600);
  peer.sends({ flags: '.', seq: 1, ack: 2 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
});

both('time-wait · ACK in order · nothing', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: '.', seq: 2, ack: 2 });
  peer.quiet(100);
  assert.equal(b.state(peer), 'TIME_WAIT');
});

both('time-wait · RST at rcvNxt · gone; tcp_rfc1337 0 as on Linux', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: 'R', seq: 2 });
  peer.quiet();
  assert.equal(b.state(peer), 'none');
});

both('time-wait · RST at rcvNxt with tcp_rfc1337 · ignored', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: 'R', seq: 2 });
  peer.quiet();
  assert.equal(b.state(peer), 'TIME_WAIT');
}, { config: { tcp_rfc1337: 1 } });

both('time-wait · RST elsewhere · ignored', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: 'R', seq: 3 });
  peer.sends({ flags: 'R', seq: 1 });
  peer.quiet();
  assert.equal(b.state(peer), 'TIME_WAIT');
});

//= rfc9293 MAY-2
both('time-wait · SYN beyond the old sequence · a new connection, ISN beyond the old one', (b) => {
  const { sock, peer } = timeWait(b);
  const old = peer.engineIsn as number;
  sock.close();
  peer.sends({ flags: 'S', seq: 1000 });
  const s = peer.expect({ flags: 'S.', ack: 1001 });
  const gap = (s.tcp.seq - old) >>> 0;
  assert.ok(gap > 65535 && gap < 200_000, `${gap}`);
  assert.equal(b.state(peer), 'SYN_RECV');
  assert.equal(b.engine.pool('timeWait').used, 0);
});

both('time-wait · SYN not beyond the old sequence · ACK, stays', (b) => {
  const { peer } = timeWait(b);
  peer.sends({ flags: 'S', seq: 0 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  b.run(600);
  peer.sends({ flags: 'S', seq: 2 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
});

//= rfc9293 SHLD-4
//= rfc6191 2
both('time-wait · SYN with older sequence and newer timestamp · a new connection', (b) => {
  const { peer } = timeWait(b, { ts: 5000 });
  peer.ts = false;
  peer.sends({ flags: 'S', seq: -500, ts: 6000, ecr: 0 });
  peer.expect({ flags: 'S.', ack: -499, ecr: 6000 });
  assert.equal(b.state(peer), 'SYN_RECV');
});

both('time-wait · SYN with newer sequence and older timestamp · ACK, counted', (b) => {
  const { peer } = timeWait(b, { ts: 5000 });
  peer.sends({ flags: 'S', seq: 1000, ts: 4000, ecr: 0 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  assert.equal(b.counter('TcpExtPAWSEstab'), 1);
});

both('time-wait · new SYN, nobody listens any more · RST', (b) => {
  const { peer } = timeWait(b);
  const [listener] = b.listeners.splice(0);
  assert.ok(listener !== undefined);
  b.closeListener(listener);
  peer.sends({ flags: 'S', seq: 1000 });
  peer.expect({ flags: 'R.', ack: 1001 });
});

both('time-wait · unread bytes · the user reads them from the closed handle', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 102 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  b.run(61_000);
  assert.equal(sock.read(), 100);
  assert.equal(sock.read(), 0);
});

both('time-wait · window and timestamps of its ACKs · as the connection left them', (b) => {
  const { peer } = timeWait(b, { ts: 5000, wscale: 7 });
  b.run(100);
  peer.sends({ flags: 'F.', seq: 1, ack: 2, ts: 5100 });
  const s = peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.ok(s.tcp.window >= 511, `window ${s.tcp.window}`);
});

both('time-wait · more than tcp_max_tw_buckets · closed at once and counted', (b) => {
  const listener = b.listener();
  for (let i = 0; i < 2; i++) {
    const { sock, peer } = b.passive({}, listener);
    sock.shutdown(SHUT_WR);
    peer.expect({ flags: 'F.' });
    peer.sends({ flags: 'F.' });
    peer.expect({ flags: '.', ack: 2 });
    assert.equal(b.state(peer), i === 0 ? 'TIME_WAIT' : 'none');
  }
  assert.equal(b.counter('TcpExtTCPTimeWaitOverflow'), 1);
}, { config: { tcp_max_tw_buckets: 1 } });

// ---- Our own connect

/** An active connection from a bound port, closed by us, in TIME-WAIT. */
function ours(b: Bench, ts: boolean): { peer: Peer; port: number } {
  const socket = b.socket();
  b.engine.bind(socket.handle, [0, 0, 0, 0], 5000);
  const beginning = ts ? { ts: 7000 } : {};
  const { sock, peer } = b.connect(beginning, socket);
  b.answer(peer, 'S', beginning);
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.' });
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  sock.close();
  assert.equal(b.state(peer), 'TIME_WAIT');
  return { peer, port: 5000 };
}

function again(b: Bench, peer: Peer): Socket {
  const socket = b.socket();
  socket.set(Option.SO_REUSEADDR, 1);
  b.engine.bind(socket.handle, [0, 0, 0, 0], 5000);
  peer.engineIsn = undefined;
  peer.expected = 0;
  b.engine.connect(socket.handle, requireAddress(peer.address), peer.port);
  b.acted();
  return socket;
}

both('time-wait · connect to the same end, tcp_tw_reuse 1, after a second · SYN', (b) => {
  const { peer } = ours(b, true);
  const old = peer.engineIsn as number;
  b.run(2500);
  again(b, peer);
  const s = peer.expect({ flags: 'S' });
  assert.ok((s.tcp.seq - old) >>> 0 > 65535, 'beyond the old sequence');
  assert.equal(b.state(peer), 'SYN_SENT');
}, { config: { tcp_tw_reuse: 1 } });

both('time-wait · connect to the same end within the second · EADDRNOTAVAIL', (b) => {
  const { peer } = ours(b, true);
  b.run(500);
  assert.throws(() => again(b, peer), /EADDRNOTAVAIL/);
}, { config: { tcp_tw_reuse: 1 } });

both('time-wait · connect to the same end, tcp_tw_reuse 2 (loopback) · EADDRNOTAVAIL', (b) => {
  const { peer } = ours(b, true);
  b.run(5000);
  assert.throws(() => again(b, peer), /EADDRNOTAVAIL/);
});

both('time-wait · connect to the same end without timestamps · EADDRNOTAVAIL', (b) => {
  const { peer } = ours(b, false);
  b.run(5000);
  assert.throws(() => again(b, peer), /EADDRNOTAVAIL/);
}, { config: { tcp_tw_reuse: 1 } });
