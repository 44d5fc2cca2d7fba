/**
 * Which segments a synchronized connection believes: RFC 9293 §3.10.7.4 first to fifth, RFC 5961
 * §3 to §5 with challenge ACKs limited per connection, and old duplicates with D-SACK (RFC 2883).
 */
import assert from 'node:assert/strict';
import { EVENT_PEER_FIN, Option } from '../../assembly/abi.js';
import { both, failed } from './harness.js';

//= rfc9293 MUST-12
both('established · RST at the exact seq · reset, the user learns of it', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'R', seq: 1 });
  assert.equal(sock.state, 'CLOSE');
  const events = sock.takeEvents();
  assert.ok(failed(events));
  assert.equal(events & EVENT_PEER_FIN, 0);
  assert.equal(sock.read(), 'ECONNRESET');
  assert.equal(b.counter('TcpEstabResets'), 1);
});

//= rfc9293 SHLD-2
both('established · RST with data · reset all the same', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'R.', seq: 1, len: 20 });
  assert.equal(sock.state, 'CLOSE');
});

//= rfc5961 3.2
both('established · RST in the window · challenge ACK', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'R', seq: 2 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(sock.state, 'ESTABLISHED');
  assert.equal(b.counter('TcpExtTCPChallengeACK'), 1);
  b.run(1000);
  peer.sends({ flags: 'R', seq: 65536 }); // rcvNxt + window: the edge is still in it, as in Linux
  peer.expect({ flags: '.', seq: 1, ack: 1 });
});

both('established · RST outside the window · dropped', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'R', seq: 0 });
  peer.sends({ flags: 'R', seq: 65537 });
  peer.sends({ flags: 'R', seq: 0x40000000 });
  peer.sends({ flags: 'R', seq: -1000 });
  peer.quiet(100);
  assert.equal(sock.state, 'ESTABLISHED');
});

both('established · RST at the end of the newest SACK block · reset, as Linux', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', seq: 1001, len: 1000 });
  peer.expect({ flags: '.', ack: 1, sack: [[1001, 2001]] });
  peer.sends({ flags: 'R', seq: 2001 });
  assert.equal(sock.state, 'CLOSE');
});

//= rfc5961 4.2
both('established · SYN in and outside the window · challenge ACK', (b) => {
  const { sock, peer } = b.passive();
  for (const seq of [1, 5000, 0x40000000, -20]) {
    b.run(1000);
    peer.sends({ flags: 'S', seq });
    peer.expect({ flags: '.', seq: 1, ack: 1 });
  }
  b.run(1000);
  peer.sends({ flags: 'S.', seq: 0, ack: 1 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(sock.state, 'ESTABLISHED');
  assert.equal(b.counter('TcpExtTCPSYNChallenge'), 5);
});

both('established · challenges · one in 500 ms for a connection, others have their own', (b) => {
  const listener = b.listener();
  const one = b.passive({}, listener);
  const other = b.passive({}, listener);
  one.peer.sends({ flags: 'S', seq: 1 });
  one.peer.expect({ flags: '.' });
  for (let i = 0; i < 10; i++) {
    one.peer.sends({ flags: 'S', seq: 1 });
    one.peer.sends({ flags: 'R', seq: 5 });
  }
  one.peer.quiet();
  assert.equal(b.counter('TcpExtTCPACKSkippedChallenge'), 20);
  other.peer.sends({ flags: 'R', seq: 5 }); // a shared count would be a side channel
  other.peer.expect({ flags: '.' });
  b.run(600);
  one.peer.sends({ flags: 'S', seq: 1 });
  one.peer.expect({ flags: '.' });
});

//= rfc5961 5.2
//= rfc9293 MAY-12
both('established · ACK of what was never sent · challenge ACK, data not taken', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', seq: 1, ack: 2, len: 10 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(sock.read(), 'EAGAIN');
  b.run(1000);
  peer.sends({ flags: '.', seq: 1, ack: 1_000_000, len: 10 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(b.counter('TcpExtTCPChallengeACK'), 2);
});

both('established · ACK older than every window we were told · challenge ACK', (b) => {
  const { sock, peer } = b.passive({ win: 3000 });
  peer.sends({ flags: '.', seq: 1, ack: 1 - 3001, len: 10 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(sock.read(), 'EAGAIN');
  peer.sends({ flags: '.', seq: 1, ack: 1 - 3000, len: 10 });
  peer.expect({ flags: '.', seq: 1, ack: 11 });
  assert.equal(sock.read(), 10);
});

both('established · old ACK with new data · the data counts', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(500);
  peer.expect({ flags: 'P.', len: 500 });
  peer.sends({ flags: '.' });
  peer.sends({ flags: '.', ack: 1, len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  assert.equal(sock.read(), 100);
});

both('established · segment without ACK · dropped', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'P', seq: 1, len: 10 });
  peer.quiet(100);
  assert.equal(sock.read(), 'EAGAIN');
});

both('established · text wholly beyond the window · dropped, ACK', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', seq: 65537, len: 100 });
  peer.expect({ flags: '.', ack: 1 });
  assert.equal(sock.read(), 'EAGAIN');
});

both('established · text that ends at the right edge · taken; beyond it · cut off', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 4096]] });
  const win = sock.info.rcv_wnd;
  assert.equal(win, 4096);
  peer.sends({ flags: '.', len: 1000 });
  peer.expect({ flags: '.', ack: 1001 });
  peer.sends({ flags: '.', len: 1000 });
  peer.expect({ flags: '.', ack: 2001 });
  peer.sends({ flags: '.', len: 1000 });
  peer.expect({ flags: '.', ack: 3001 });
  peer.sends({ flags: '.', len: 1200 });
  peer.expect({ flags: '.', ack: 4097, win: 0 });
  assert.equal(sock.read(), 4096);
  peer.drain();
});

both('established · old duplicate · ACK, with D-SACK where SACK is on', (b) => {
  const plain = b.passive();
  plain.peer.sends({ flags: '.', len: 500 });
  plain.peer.expect({ flags: '.', ack: 501 });
  plain.peer.sends({ flags: '.', seq: 1, len: 500 });
  plain.peer.expect({ flags: '.', ack: 501 });
});

//= rfc2883 4.1
both('established · old duplicate with SACK · D-SACK of exactly it', (b) => {
  const { sock, peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', len: 500 });
  peer.expect({ flags: '.', ack: 501 });
  peer.sends({ flags: '.', seq: 101, len: 200 });
  peer.expect({ flags: '.', ack: 501, sack: [[101, 301]] });
  assert.equal(b.counter('TcpExtTCPDSACKOldSent'), 1);
  peer.sends({ flags: '.', seq: 301, len: 400 }); // half old, half new
  peer.expect({ flags: '.', ack: 701, sack: [[301, 501]] });
  assert.equal(sock.read(), 700);
});

both('established · old duplicate below the window, tcp_dsack 0 · plain ACK', (b) => {
  const { peer } = b.passive({ sack: true });
  peer.sends({ flags: '.', len: 500 });
  peer.expect({ flags: '.', ack: 501 });
  peer.sends({ flags: '.', seq: 1, len: 500 });
  peer.expect({ flags: '.', ack: 501 });
}, { config: { tcp_dsack: 0 } });

both('established · empty segment before the window (keep-alive) · ACK, one in 500 ms', (b) => {
  const { peer } = b.passive();
  peer.sends({ flags: '.', seq: 0 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  for (let i = 0; i < 5; i++) peer.sends({ flags: '.', seq: 0 });
  peer.quiet();
  assert.equal(b.counter('TcpExtTCPACKSkippedSeq'), 5);
  b.run(600);
  peer.sends({ flags: '.', seq: 0 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
});

both('established · keep-alive with one garbage octet · ACK at once, octet not delivered', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', len: 10 });
  peer.expect({ flags: '.', ack: 11 });
  peer.sends({ flags: '.', seq: 10, len: 1 });
  peer.expect({ flags: '.', ack: 11 });
  assert.equal(sock.read(), 10);
});

//= rfc9293 MUST-66
both('zero receive window · RST, URG and ACK · still heard', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 4096]] });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', len: 1024 });
  peer.drain();
  assert.equal(sock.info.rcv_wnd, 0);
  sock.writeAll(100);
  peer.expect({ flags: 'P.', len: 100, win: 0 });
  peer.sends({ flags: '.' });
  assert.equal(sock.info.unacked, 0);
  peer.sends({ flags: '.U', urgent: 1 });
  assert.equal(sock.get(Option.SIOCATMARK), 4097);
  peer.sends({ flags: '.', len: 10 });
  peer.expect({ flags: '.', ack: 4097, win: 0 });
  assert.equal(b.counter('TcpExtTCPZeroWindowDrop'), 1);
  peer.sends({ flags: 'R', seq: 4097 });
  assert.equal(sock.state, 'CLOSE');
});

both('zero receive window · bare FIN · taken, as Linux', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 4096]] });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', len: 1024 });
  peer.drain();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 4098 });
  assert.equal(sock.state, 'CLOSE_WAIT');
  assert.equal(sock.read(), 4096);
  assert.equal(sock.read(), 0);
  peer.drain();
});

//= rfc9293 MUST-5, MUST-6, MUST-64, MUST-68, MUST-69, MUST-4
both('established · unknown, unaligned and padded options · skipped, the rest read', (b) => {
  const { sock, peer } = b.passive({ ts: 1 });
  const stamp = [8, 10, 0, 0, 0, 9, 0, 0, 0, 0];
  peer.sends({ flags: '.', len: 10, raw: [200, 3, 1, ...stamp, 0, 255, 255] });
  peer.expect({ flags: '.', ack: 11, ecr: 9 });
  peer.sends({ flags: '.', len: 10, raw: [1, ...stamp, 253, 4, 9, 9, 0] });
  peer.expect({ flags: '.', ack: 21 });
  assert.equal(sock.read(), 20);
});

//= rfc9293 MUST-7
both('established · option of length 0, 1 or beyond the header · survived and counted', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', len: 10, raw: [8, 0, 1, 1] });
  peer.sends({ flags: '.', len: 10, raw: [99, 1, 1, 1] });
  peer.sends({ flags: '.', len: 10, raw: [99, 40, 1, 1] });
  peer.drain();
  assert.equal(b.counter('AckornTcpBadOption'), 3);
  assert.equal(sock.read(), 30);
});

//= rfc9293 MUST-50
both('established · IP options · ignored by TCP', (b) => {
  const { sock, peer } = b.passive();
  const frame = peer.frame({ flags: '.', len: 10 });
  if (b.family === 4) {
    const longer = new Uint8Array(frame.length + 4);
    longer.set(frame.subarray(0, 20));
    longer.set([1, 1, 1, 0], 20);
    longer.set(frame.subarray(20), 24);
    longer[0] = 0x46;
    longer[3] = (longer[3] as number) + 4;
    longer.set([0, 0], 10);
    let sum = 0;
    for (let i = 0; i < 24; i += 2) {
      sum += ((longer[i] as number) << 8) + (longer[i + 1] as number);
    }
    sum = (sum & 0xffff) + (sum >>> 16);
    longer.set([(~sum >>> 8) & 255, ~sum & 255], 10);
    b.deliver(longer);
  } else {
    const longer = new Uint8Array(frame.length + 8);
    longer.set(frame.subarray(0, 40));
    longer[5] = (longer[5] as number) + 8;
    longer[6] = 60; // destination options: PadN alone
    longer.set([6, 0, 1, 4, 0, 0, 0, 0], 40);
    longer.set(frame.subarray(40), 48);
    b.deliver(longer);
  }
  peer.expect({ flags: '.', ack: 11 });
  assert.equal(sock.read(), 10);
});
