/**
 * Timestamps: what is echoed, PAWS, and the tail of 24 days. RFC 7323 §3 to §5. The harness itself
 * checks that every TSval counts milliseconds of virtual time from the SYN's.
 */
import assert from 'node:assert/strict';
import { both } from './harness.js';

//= rfc7323 4.3
both('established · segment in order · its timestamp is echoed', (b) => {
  const { sock, peer } = b.passive({ ts: 1000 });
  peer.sends({ flags: '.', len: 10, ts: 1500 });
  peer.expect({ flags: '.', ack: 11, ecr: 1500 });
  peer.sends({ flags: '.', len: 10, ts: 1700 });
  peer.expect({ flags: '.', ack: 21, ecr: 1700 });
  assert.equal(sock.read(), 20);
});

both('established · two segments before one ACK · the earlier timestamp is echoed', (b) => {
  const { peer } = b.passive({ ts: 1000 });
  peer.sendsTogether({ flags: '.', len: 10, ts: 1500 }, { flags: '.', len: 10, ts: 1600 });
  peer.expect({ flags: '.', ack: 21, ecr: 1500 });
});

both('established · segment beyond a hole · its timestamp is not echoed', (b) => {
  const { peer } = b.passive({ ts: 1000 });
  peer.sends({ flags: '.', len: 10, ts: 1500 });
  peer.expect({ flags: '.', ack: 11, ecr: 1500 });
  peer.sends({ flags: '.', seq: 100, len: 10, ts: 1600 });
  peer.expect({ flags: '.', ack: 11, ecr: 1500 });
  peer.sends({ flags: '.', seq: 11, len: 89, ts: 1700 });
  peer.expect({ flags: '.', ack: 110, ecr: 1700 });
});

both('established · segment without timestamps · taken, as Linux; the old echo stays', (b) => {
  const { sock, peer } = b.passive({ ts: 1000 });
  peer.sends({ flags: '.', len: 10, ts: null });
  peer.expect({ flags: '.', ack: 11, ecr: 1000 });
  assert.equal(sock.read(), 10);
});

//= rfc7323 5.3
both('established · timestamp older than the newest · dropped, ACK, counted', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: '.', len: 10, ts: 90_000 });
  peer.expect({ flags: '.', ack: 1, ecr: 100_000 });
  assert.equal(sock.read(), 'EAGAIN');
  assert.equal(b.counter('TcpExtPAWSEstab'), 1);
});

both('established · timestamp older by one · reordered, taken as in Linux', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: '.', seq: 1, len: 10, ts: 99_999 });
  peer.expect({ flags: '.', ack: 11, ecr: 100_000 });
  assert.equal(sock.read(), 10);
});

both('established · old timestamps of empty segments · one ACK in 500 ms', (b) => {
  const { peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: '.', ts: 90_000 });
  peer.expect({ flags: '.', ack: 1 });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', ts: 90_000 });
  peer.quiet();
  assert.equal(b.counter('TcpExtTCPACKSkippedPAWS'), 4);
});

both('established · old ACK with an old timestamp, below rcvNxt · no answer', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: '.', len: 10, ts: 100_100 });
  peer.expect({ flags: '.', ack: 11 });
  peer.sends({ flags: '.', seq: 1, ts: 100_000 });
  peer.quiet();
  assert.equal(b.counter('TcpExtPAWSOldAck'), 1);
  assert.equal(sock.read(), 10);
});

both('established · duplicate ACKs overtaken within an RTO · they count', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  sock.writeAll(4 * 988); // 1,000 less the timestamps
  for (let i = 0; i < 4; i++) peer.expect({ flags: i === 3 ? 'P.' : '.', len: 988 });
  peer.sends({ flags: '.', ack: 1, ts: 100_100 });
  peer.sends({ flags: '.', ack: 1, ts: 100_090 });
  peer.sends({ flags: '.', ack: 1, ts: 100_080 });
  peer.expect({ flags: '.', seq: 1, len: 988 });
});

both('established · SYN with an old timestamp · challenge ACK', (b) => {
  const { peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: 'S', seq: 5, ts: 90_000 });
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(b.counter('TcpExtTCPSYNChallenge'), 1);
});

both('established · first timestamp 0 · says nothing about later ones', (b) => {
  const { sock, peer } = b.passive({ ts: 0 });
  peer.sends({ flags: '.', len: 10, ts: 0xf0000000 });
  peer.expect({ flags: '.', ack: 11, ecr: 0xf0000000 });
  assert.equal(sock.read(), 10);
});

both('established · RST with an old timestamp · believed (RST is exempt)', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  peer.sends({ flags: 'R', seq: 1, ts: 90_000 });
  assert.equal(sock.state, 'CLOSE');
});

both('established · timestamp wraps past 2^32 · no sign of age', (b) => {
  const { sock, peer } = b.passive({ ts: 0xffffff00 });
  peer.sends({ flags: '.', len: 10, ts: 0x100 });
  peer.expect({ flags: '.', ack: 11, ecr: 0x100 });
  assert.equal(sock.read(), 10);
});

//= rfc7323 5.5
both('established · silent for 24 days · an older timestamp is taken again', (b) => {
  const { sock, peer } = b.passive({ ts: 100_000 });
  b.run(24 * 86_400_000 - 2_000_000);
  peer.sends({ flags: '.', seq: 1, len: 10, ts: 50_000 });
  peer.expect({ flags: '.', ack: 1 });
  b.run(2_100_000);
  peer.sends({ flags: '.', seq: 1, len: 10, ts: 50_000 });
  peer.expect({ flags: '.', ack: 11, ecr: 50_000 });
  assert.equal(sock.read(), 10);
});

both('established · RTT from the echo · only of segments that bring new ACKs', (b) => {
  const { sock, peer } = b.passive({ ts: 0 });
  const before = sock.info.rtt;
  b.run(500);
  peer.sends({ flags: '.', len: 10, ecr: peer.lastTsVal });
  peer.drain();
  assert.equal(sock.info.rtt, before); // RTTM: it acknowledged nothing new
});
