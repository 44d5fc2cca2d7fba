/**
 * Receiving: delayed and immediate ACKs as Linux schedules them, data out of order with its SACK
 * blocks and D-SACKs, urgent data. RFC 9293 §3.8.6.3 and §3.8.5, RFC 5681 §4.2, RFC 2018, RFC 2883.
 */
import assert from 'node:assert/strict';
import { EVENT_PEER_FIN, EVENT_READABLE, EVENT_URGENT, Option } from '../../assembly/abi.js';
import { both, type Bench, type Socket } from './harness.js';
import type { Peer } from './peer.js';

/** Past the quick ACKs of a connection's beginning: the application has answered once. */
function talking(b: Bench, more = {}): { sock: Socket; peer: Peer; at: number } {
  const { sock, peer } = b.passive(more);
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  sock.read();
  sock.writeAll(100);
  peer.expect({ flags: 'P.', len: 100 });
  peer.sends({ flags: '.' });
  b.run(10);
  return { sock, peer, at: 101 };
}

// ---- When to acknowledge

//= rfc9293 SHLD-18, MUST-40
both('established · one small segment in a conversation · ACK after 40 ms', (b) => {
  const { sock, peer } = talking(b);
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 201, after: 40 });
  assert.equal(b.counter('TcpExtDelayedACKs'), 1);
  sock.read();
});

both('established · answer within 40 ms · the ACK rides on it', (b) => {
  const { sock, peer } = talking(b);
  peer.sends({ flags: 'P.', len: 100 });
  b.run(20);
  sock.read();
  sock.writeAll(50);
  peer.expect({ flags: 'P.', ack: 201, len: 50 });
  peer.sends({ flags: '.' });
  peer.quiet(100);
  assert.equal(b.counter('TcpExtDelayedACKs'), 0);
});

//= rfc9293 SHLD-19
both('established · every second full segment · ACK at once', (b) => {
  const { sock, peer } = talking(b);
  peer.sends({ flags: '.', len: 1000 });
  let at = 1101;
  let acked = 101;
  let acks = 0;
  for (let i = 0; i < 12; i++) {
    peer.sends({ flags: '.', len: 1000 });
    at += 1000;
    for (const { tcp } of peer.drain()) {
      acked = (tcp.ack - peer.isn) >> 0;
      acks++;
    }
    assert.ok(at - acked <= 1000, `${at - acked} octets are not acknowledged`);
  }
  assert.equal(acks, 6);
  b.run(50);
  peer.drain();
  assert.equal(sock.read(), at - 101);
});

//= rfc9293 MUST-58, MUST-59
both('established · ten segments in one batch · one ACK', (b) => {
  const { peer } = b.passive();
  peer.sendsTogether(...Array.from({ length: 10 }, () => ({ flags: '.', len: 500 })));
  peer.expect({ flags: '.', ack: 5001 });
});

both('established · beginning of a connection · ACK at once (quick-ack)', (b) => {
  const { peer } = b.passive();
  for (let i = 1; i <= 8; i++) {
    peer.sends({ flags: '.', len: 100 });
    peer.expect({ flags: '.', ack: 1 + i * 100 });
  }
});

both('established · TCP_QUICKACK · ACK at once again', (b) => {
  const { sock, peer } = talking(b);
  sock.set(Option.TCP_QUICKACK, 1);
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 201 });
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 301 });
});

both('established · TCP_QUICKACK while an ACK is delayed · it leaves', (b) => {
  const { sock, peer } = talking(b);
  peer.sends({ flags: 'P.', len: 100 });
  peer.quiet(10);
  sock.set(Option.TCP_QUICKACK, 1);
  peer.expect({ flags: '.', ack: 201 });
});

// ---- Out of order

//= rfc9293 SHLD-31, MAY-13
both('established · segment beyond a hole · duplicate ACK at once; filled · ACK of all', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', seq: 1001, len: 1000 });
  peer.expect({ flags: '.', ack: 1 });
  peer.sends({ flags: '.', seq: 2001, len: 1000 });
  peer.expect({ flags: '.', ack: 1 });
  assert.equal(sock.read(), 'EAGAIN');
  peer.sends({ flags: '.', seq: 1, len: 1000 });
  peer.expect({ flags: '.', ack: 3001 });
  assert.equal(sock.read(), 3000);
  assert.equal(b.counter('TcpExtTCPOFOQueue'), 2);
});

both('established · three segments beyond a hole in one batch · three duplicate ACKs', (b) => {
  const { peer } = b.passive();
  peer.sendsTogether(...[1, 2, 3].map((i) => ({ flags: '.', seq: 1 + i * 1000, len: 1000 })));
  // Without SACK the peer counts them: RFC 5681 §3.2.
  for (let i = 0; i < 3; i++) peer.expect({ flags: '.', ack: 1 });
});

//= rfc2018 4
both('established · several holes · SACK blocks, the newest first', (b) => {
  const { peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', seq: 1001, len: 100 });
  peer.expect({ flags: '.', ack: 1, sack: [[1001, 1101]] });
  peer.sends({ flags: '.', seq: 3001, len: 100 });
  peer.expect({ flags: '.', ack: 1, sack: [[3001, 3101], [1001, 1101]] });
  peer.sends({ flags: '.', seq: 2001, len: 100 });
  peer.expect({ flags: '.', ack: 1, sack: [[2001, 2101], [3001, 3101], [1001, 1101]] });
  peer.sends({ flags: '.', seq: 1101, len: 100 });
  peer.expect({ flags: '.', ack: 1, sack: [[1001, 1201], [2001, 2101], [3001, 3101]] });
  peer.sends({ flags: '.', seq: 4001, len: 100 });
  peer.expect({ flags: '.', sack: [[4001, 4101], [1001, 1201], [2001, 2101], [3001, 3101]] });
  peer.sends({ flags: '.', seq: 5001, len: 100 }); // four fit
  peer.expect({ flags: '.', sack: [[5001, 5101], [4001, 4101], [1001, 1201], [2001, 2101]] });
  peer.sends({ flags: '.', seq: 1, len: 1000 });
  peer.expect({ flags: '.', ack: 1201,
    sack: [[5001, 5101], [4001, 4101], [2001, 2101], [3001, 3101]] });
});

both('established · SACK with timestamps · three blocks', (b) => {
  const { peer } = b.passive({ sack: true, ts: 1 });
  for (const seq of [1001, 2001, 3001]) {
    peer.sends({ flags: '.', seq, len: 100 });
    peer.drain();
  }
  peer.sends({ flags: '.', seq: 4001, len: 100 });
  peer.expect({ flags: '.', sack: [[4001, 4101], [3001, 3101], [2001, 2101]] });
});

both('established · holes filled from behind · one merged block', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  for (let i = 9; i >= 1; i--) {
    peer.sends({ flags: '.', seq: 1 + i * 100, len: 100 });
    peer.expect({ flags: '.', ack: 1, sack: [[1 + i * 100, 1001]] });
  }
  peer.sends({ flags: '.', seq: 1, len: 100 });
  peer.expect({ flags: '.', ack: 1001 });
  assert.equal(sock.read(), 1000);
});

//= rfc2883 4.2
both('established · segment beyond a hole twice · D-SACK of it, then the block', (b) => {
  const { peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', seq: 1001, len: 1000 });
  peer.expect({ flags: '.', sack: [[1001, 2001]] });
  peer.sends({ flags: '.', seq: 1001, len: 1000 });
  peer.expect({ flags: '.', ack: 1, sack: [[1001, 2001], [1001, 2001]] });
  assert.equal(b.counter('TcpExtTCPDSACKOfoSent'), 1);
  peer.sends({ flags: '.', seq: 1501, len: 1000 }); // overlaps in part
  peer.expect({ flags: '.', ack: 1, sack: [[1501, 2001], [1001, 2501]] });
});

//= rfc2883 4.1
both('established · old duplicate while a hole is open · D-SACK, then the block', (b) => {
  const { peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', len: 500 });
  peer.expect({ flags: '.', ack: 501 });
  peer.sends({ flags: '.', seq: 1001, len: 500 });
  peer.expect({ flags: '.', sack: [[1001, 1501]] });
  peer.sends({ flags: '.', seq: 1, len: 500 });
  peer.expect({ flags: '.', ack: 501, sack: [[1, 501], [1001, 1501]] });
});

both('established · FIN beyond a hole · kept, CLOSE-WAIT when it is filled', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  peer.sends({ flags: 'F.', seq: 101, len: 100 });
  peer.expect({ flags: '.', ack: 1, sack: [[101, 202]] });
  assert.equal(sock.state, 'ESTABLISHED');
  peer.sends({ flags: '.', seq: 1, len: 100 });
  peer.expect({ flags: '.', ack: 202 });
  assert.equal(sock.state, 'CLOSE_WAIT');
  assert.equal(sock.takeEvents() & (EVENT_READABLE | EVENT_PEER_FIN),
    EVENT_READABLE | EVENT_PEER_FIN);
  assert.equal(sock.read(), 200);
  assert.equal(sock.read(), 0);
});

both('established · bare FIN beyond a hole · the same', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  peer.sends({ flags: 'F.', seq: 101 });
  peer.expect({ flags: '.', ack: 1, sack: [[101, 102]] });
  peer.sends({ flags: '.', seq: 1, len: 100 });
  peer.expect({ flags: '.', ack: 102 });
  assert.equal(sock.state, 'CLOSE_WAIT');
});

both('established · PSH or not · readable at once, nothing waits for it', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', len: 10 });
  assert.ok(sock.takeEvents() & EVENT_READABLE);
  peer.drain();
  assert.equal(sock.read(), 10);
});

// ---- Urgent data

//= rfc9293 MUST-32, MUST-33, MUST-62
both('established · URG · told at once, mark in octets from the reader, data inline', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.U', urgent: 200 });
  assert.ok(sock.takeEvents() & EVENT_URGENT);
  assert.equal(sock.get(Option.SIOCATMARK), 200);
  peer.sends({ flags: 'P.U', len: 100, urgent: 200 });
  assert.equal(sock.takeEvents() & EVENT_URGENT, 0, 'not told twice');
  peer.sends({ flags: 'P.U', len: 100, urgent: 300 });
  assert.ok(sock.takeEvents() & EVENT_URGENT, 'it moved forward');
  assert.equal(sock.get(Option.SIOCATMARK), 400);
  assert.equal(sock.read(150), 150);
  assert.equal(sock.get(Option.SIOCATMARK), 250);
  peer.sends({ flags: 'P.', len: 200 });
  assert.equal(sock.read(250), 250);
  assert.throws(() => sock.get(Option.SIOCATMARK), /EINVAL/);
  peer.drain();
});

both('established · URG that points back · ignored', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.U', urgent: 200 });
  sock.takeEvents();
  peer.sends({ flags: '.U', urgent: 100 });
  assert.equal(sock.takeEvents() & EVENT_URGENT, 0);
  assert.equal(sock.get(Option.SIOCATMARK), 200);
});
