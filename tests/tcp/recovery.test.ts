/**
 * Loss recovery: fast retransmit with and without SACK, limited transmit, partial ACKs, the
 * scoreboard, rescue, reneging, undo by D-SACK. RFC 5681 §3.2, RFC 6675, RFC 6582, RFC 3042,
 * RFC 2018 §8, RFC 2883.
 */
import assert from 'node:assert/strict';
import { both, type Bench, type Socket } from './harness.js';
import type { Peer } from './peer.js';

/** Ten segments of 1,000 in flight (or `n`), written by a connection with an RTT of 10 ms. */
function flight(b: Bench, sack: boolean, n = 10): { sock: Socket; peer: Peer } {
  const listener = b.listener();
  const peer = b.peer(80, { sack });
  peer.sends({ flags: 'S' });
  b.answer(peer, 'S.', {});
  b.run(10);
  peer.sends({ flags: '.' });
  const sock = b.accept(listener);
  assert.ok(sock !== undefined);
  sock.writeAll(n * 1000);
  for (let i = 0; i < Math.min(n, 10); i++) {
    peer.expect({ flags: i === n - 1 ? 'P.' : '.', seq: 1 + i * 1000, len: 1000 });
  }
  peer.quiet();
  b.run(10);
  return { sock, peer };
}

/** RFC 6675 as it is written, without RACK. */
const DUPTHRESH = { config: { tcp_recovery: 0 } };

/** SACK block of whole segments. */
const k = (first: number, last = first + 1): [number, number] =>
  [1 + first * 1000, 1 + last * 1000];

//= rfc5681 3.2
both('established · three duplicate ACKs · the first segment again', (b) => {
  const { sock, peer } = flight(b, false);
  peer.sends({ flags: '.', ack: 1 });
  peer.sends({ flags: '.', ack: 1 });
  peer.quiet();
  peer.sends({ flags: '.', ack: 1 });
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  peer.quiet();
  assert.equal(b.counter('TcpExtTCPRenoRecovery'), 1);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.quiet(1000);
  assert.equal(sock.info.snd_ssthresh, 5);
});

both('established · duplicate ACKs that bring data or another window · not counted', (b) => {
  const { peer } = flight(b, false);
  peer.sends({ flags: '.', ack: 1, len: 10 });
  peer.sends({ flags: '.', ack: 1, len: 10 });
  peer.sends({ flags: '.', ack: 1, win: 60_000 });
  peer.sends({ flags: '.', ack: 1, win: 60_000 });
  const sent = peer.drain();
  assert.equal(sent.filter(({ data }) => data.length > 0).length, 0);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.drain();
});

//= rfc3042 2
both('established · first two duplicate ACKs · a new segment each (limited transmit)', (b) => {
  const { peer } = flight(b, false, 14);
  peer.sends({ flags: '.', ack: 1 });
  peer.expect({ flags: '.', seq: 10_001, len: 1000 });
  peer.sends({ flags: '.', ack: 1 });
  peer.expect({ flags: '.', seq: 11_001, len: 1000 });
  peer.sends({ flags: '.', ack: 1 });
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  peer.sends({ flags: '.', ack: 14_001 - 2000 });
  peer.drain();
  peer.sends({ flags: '.', ack: 14_001 });
  peer.drain();
});

//= rfc6582 3.2
both('recovery without SACK · partial ACK · the next hole at once', (b) => {
  const { peer } = flight(b, false);
  // 0, 3 and 6 are lost: seven duplicate ACKs.
  for (let i = 0; i < 3; i++) peer.sends({ flags: '.', ack: 1 });
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', ack: 1 });
  peer.quiet();
  peer.sends({ flags: '.', ack: 3001 });
  peer.expect({ flags: '.', seq: 3001, len: 1000 });
  peer.sends({ flags: '.', ack: 6001 });
  peer.expect({ flags: '.', seq: 6001, len: 1000 });
  peer.sends({ flags: '.', ack: 10_001 });
  peer.quiet(1000);
  assert.equal(b.counter('TcpExtTCPTimeouts'), 0);
});

//= rfc6675 5
both('established · SACK of the third segment behind a hole · the hole again', (b) => {
  const { sock, peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 1, sack: [k(1)] });
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 3)] });
  peer.quiet();
  assert.equal(sock.info.sacked, 2);
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 4)] });
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  peer.quiet();
  assert.equal(b.counter('TcpExtTCPSackRecovery'), 1);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.quiet(1000);
});

//= rfc6675 4
both('established · SACK with several holes · only the holes are sent again', (b) => {
  const { peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 1, sack: [k(1)] });
  peer.sends({ flags: '.', ack: 1, sack: [k(3), k(1)] });
  peer.sends({ flags: '.', ack: 1, sack: [k(5, 10), k(3), k(1)] });
  const again: number[] = [];
  for (let i = 0; i < 10 && again.length < 3; i++) {
    for (const s of peer.drain()) again.push((s.tcp.seq - (peer.engineIsn ?? 0)) >> 0);
    if (again.length === 3) break;
    const done = again.length;
    const ack = done === 0 ? 1 : done === 1 ? 2001 : 4001;
    peer.sends({ flags: '.', ack, sack: done === 1 ? [k(5, 10), k(3)] : [k(5, 10)] });
  }
  assert.deepEqual(again, [1, 2001, 4001]);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.quiet(1000);
  assert.equal(b.counter('TcpExtTCPTimeouts'), 0);
  assert.equal(b.counter('TcpRetransSegs'), 3);
});

both('established · SACK block that makes no sense · discarded', (b) => {
  const { sock, peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 1, sack: [[20_001, 21_001]] });
  peer.sends({ flags: '.', ack: 1, sack: [[5001, 4001]] });
  peer.sends({ flags: '.', ack: 1, sack: [[1, 2001]] });
  peer.quiet();
  assert.equal(sock.info.sacked, 0);
  assert.ok(b.counter('TcpExtTCPSACKDiscard') >= 2);
  peer.sends({ flags: '.', ack: 10_001 });
});

both('established · SACK that lost its option · ignored where it was not agreed on', (b) => {
  const { sock, peer } = flight(b, false);
  for (const last of [2, 3, 4]) peer.sends({ flags: '.', ack: 1, sack: [k(1, last)] });
  peer.drain();
  assert.equal(sock.info.sacked <= 3, true);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.drain();
});

//= rfc2018 8
both('time-out · the peer has SACKed and forgotten (reneging) · all is sent again', (b) => {
  const { sock, peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 4)] });
  peer.drain();
  peer.sends({ flags: '.', ack: 1001 }); // the hole is filled, but what it SACKed is gone
  peer.drain();
  const got = new Set<number>();
  for (let i = 0; i < 40 && peer.expected <= 10_001; i++) {
    b.runUntil(b.nowUs + 5e6, () => peer.queue.length > 0);
    for (const s of peer.drain()) {
      if (s.data.length > 0) got.add(((s.tcp.seq - (peer.engineIsn ?? 0)) >> 0));
    }
    let ack = 1001;
    while (got.has(ack)) ack += 1000;
    peer.sends({ flags: '.', ack });
    if (ack === 10_001) break;
  }
  for (let seq = 1001; seq < 10_001; seq += 1000) assert.ok(got.has(seq), `${seq} came again`);
  assert.equal(sock.info.unacked, 0);
  assert.ok(b.counter('TcpExtTCPSACKReneging') >= 1);
});

both('recovery · retransmission lost as well · the time-out repairs it', (b) => {
  const { sock, peer } = flight(b, true);
  for (const last of [2, 3, 4]) peer.sends({ flags: '.', ack: 1, sack: [k(1, last)] });
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 10)] });
  peer.drain();
  b.runUntil(b.nowUs + 2e6, () => peer.queue.length > 0);
  b.markUs = b.nowUs;
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  peer.sends({ flags: '.', ack: 10_001 });
  peer.quiet(1000);
  assert.equal(sock.info.unacked, 0);
});

//= rfc6675 4
both('recovery · tail lost, nothing new to send · one rescue retransmission', (b) => {
  const { peer } = flight(b, true);
  // 0 lost, 1 to 6 arrive, 7 to 9 lost too.
  for (const last of [2, 3, 4, 5, 6, 7]) peer.sends({ flags: '.', ack: 1, sack: [k(1, last)] });
  const first = peer.drain();
  assert.equal(first.length >= 1, true);
  peer.sends({ flags: '.', ack: 7001 });
  const rescued = peer.drain();
  assert.deepEqual(rescued.map((s) => (s.tcp.seq - (peer.engineIsn ?? 0)) >> 0), [9001]);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.drain();
}, DUPTHRESH);

//= rfc2883 5
both('established · D-SACK from the peer · counted, not taken for SACK', (b) => {
  const { sock, peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 5001 });
  peer.sends({ flags: '.', ack: 5001, sack: [k(1)] });
  peer.drain();
  assert.equal(b.counter('TcpExtTCPDSACKRecv'), 1);
  assert.equal(sock.info.sacked, 0);
  assert.equal(sock.info.dsack_dups, 1);
  peer.sends({ flags: '.', ack: 5001, sack: [k(7), k(6, 9)] });
  peer.drain();
  assert.equal(b.counter('TcpExtTCPDSACKOfoRecv'), 1);
  assert.equal(sock.info.sacked, 3);
  peer.sends({ flags: '.', ack: 10_001 });
  peer.drain();
});

both('established · reordering by two · nothing is sent again', (b) => {
  const { sock, peer } = flight(b, true);
  peer.sends({ flags: '.', ack: 1, sack: [k(1)] });
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 3)] });
  peer.sends({ flags: '.', ack: 3001 });
  peer.quiet();
  assert.equal(b.counter('TcpRetransSegs'), 0);
  peer.sends({ flags: '.', ack: 10_001 });
  assert.ok(sock.info.snd_cwnd >= 10);
});

both('established · reordering by six, seen · DupThresh grows (tcp_reordering)', (b) => {
  const { sock, peer } = flight(b, true);
  assert.equal(sock.info.reordering, 3);
  for (const last of [2, 3]) peer.sends({ flags: '.', ack: 1, sack: [k(1, last)] });
  peer.sends({ flags: '.', ack: 1, sack: [k(6, 8), k(1, 3)] });
  peer.drain();
  peer.sends({ flags: '.', ack: 1, sack: [k(1, 5), k(6, 8)] });
  peer.drain();
  peer.sends({ flags: '.', ack: 10_001 });
  peer.drain();
  assert.equal(sock.info.reordering, 5);
  assert.ok(b.counter('TcpExtTCPSACKReorder') > 0);
}, DUPTHRESH);

both('established · fast recovery · cwnd nears ssthresh, no new time-out', (b) => {
  const { sock, peer } = flight(b, true, 12);
  for (let last = 2; last <= 10; last++) peer.sends({ flags: '.', ack: 1, sack: [k(1, last)] });
  peer.drain();
  assert.equal(sock.info.ca_state, 3);
  assert.equal(sock.info.snd_ssthresh, 5);
  peer.sends({ flags: '.', ack: 12_001 });
  peer.drain();
  b.run(1000);
  assert.equal(sock.info.ca_state, 0);
  assert.equal(b.counter('TcpExtTCPTimeouts'), 0);
});
