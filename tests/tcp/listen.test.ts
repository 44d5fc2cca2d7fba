/**
 * LISTEN and half-open connections. RFC 9293 §3.10.7.2 and §3.10.7.4 in SYN-RECEIVED, which of
 * several listeners gets a SYN, what connections inherit. And CLOSED: what no record wants. Queues
 * that are full are in queues.test.ts.
 */
import assert from 'node:assert/strict';
import { LISTEN_REUSEADDR, LISTEN_V6ONLY, Option }
  from '../../assembly/abi.js';
import { requireCidr } from '../../host/core/address.js';
import { EngineError } from '../../host/core/errors.js';
import { tcpFrame } from '../support/frames.js';
import { both, only } from './harness.js';

// ---- CLOSED (§3.10.7.1)

both('closed · SYN · RST with ACK of it', (b) => {
  const peer = b.peer(81);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'R.', ack: 1, win: 0, options: '' });
});

both('closed · segment without ACK · RST, seq 0, ACK of all its octets', (b) => {
  const peer = b.peer(81);
  peer.sends({ flags: 'SF', seq: 10, len: 5 });
  const s = peer.expect({ flags: 'R.', ack: 17 });
  assert.equal(s.tcp.seq, 0);
});

both('closed · segment with ACK · RST with that seq, no ACK', (b) => {
  const peer = b.peer(81);
  peer.sends({ flags: 'P.', seq: 1, ack: 12345, len: 5 });
  peer.expect({ flags: 'R', seq: 12345, options: '' });
});

both('closed · RST · no answer', (b) => {
  const peer = b.peer(81);
  peer.sends({ flags: 'R', seq: 1 });
  peer.sends({ flags: 'R.', seq: 1, ack: 3 });
  peer.quiet(1000);
});

// ---- LISTEN

both('listen · RST · ignored', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'R', seq: 0 });
  peer.sends({ flags: 'SR', seq: 0 });
  peer.quiet(100);
});

both('listen · ACK · RST with its seq', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: '.', seq: 0, ack: 999 });
  peer.expect({ flags: 'R', seq: 999 });
  peer.sends({ flags: 'S.', seq: 0, ack: 998 });
  peer.expect({ flags: 'R', seq: 998 });
});

both('listen · SYN with FIN · dropped, as Linux', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'SF' });
  peer.quiet(100);
  assert.equal(b.state(peer), 'none');
});

both('listen · neither SYN, ACK nor RST · dropped', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: '', len: 10 });
  peer.sends({ flags: 'F' });
  peer.sends({ flags: 'P', len: 1 });
  peer.quiet(100);
});

both('listen · SYN with data · data comes again after the handshake', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S', len: 50 });
  peer.expect({ flags: 'S.', seq: 0, ack: 1 });
  peer.sends({ flags: 'P.', seq: 1, len: 50 });
  peer.expect({ flags: '.', ack: 51 });
  const sock = b.accept(listener);
  assert.equal(sock?.read(), 50);
});

//= rfc9293 MUST-57, MUST-63
only(4, 'listen · SYN to or from broadcast, multicast, oneself or 0 · dropped', (b) => {
  b.listener();
  const before = b.counter('TcpPassiveOpens');
  const syn = (from: string, to: string, sourcePort = 7): void => b.deliver(tcpFrame({
    from, to, sourcePort, destinationPort: 80, seq: 5, flags: 2,
  }));
  syn('10.0.0.2', '255.255.255.255');
  syn('10.0.0.2', '10.0.0.255');
  syn('10.0.0.2', '224.0.0.1');
  syn('224.0.0.1', '10.0.0.1');
  syn('255.255.255.255', '10.0.0.1');
  syn('10.0.0.255', '10.0.0.1');
  syn('127.0.0.1', '10.0.0.1');
  syn('10.0.0.1', '10.0.0.1', 80);
  syn('10.0.0.1', '10.0.0.1', 81);
  syn('0.0.0.0', '10.0.0.1');
  syn('10.0.0.2', '10.0.0.1', 0);
  b.run(2000);
  assert.deepEqual([...b.engine.sockets()].map(({ state }) => state), ['LISTEN']);
  assert.equal(b.counter('TcpPassiveOpens'), before);
});

//= rfc9293 MUST-57, MUST-63
only(6, 'listen · SYN to or from multicast, oneself or :: over IPv6 · dropped', (b) => {
  b.listener();
  const syn = (from: string, to: string): void => b.deliver(tcpFrame({
    from, to, sourcePort: 7, destinationPort: 80, seq: 5, flags: 2,
  }));
  syn('fd00::2', 'ff02::1');
  syn('ff02::1', 'fd00::1');
  syn('fd00::1', 'fd00::1');
  syn('::', 'fd00::1');
  syn('::1', 'fd00::1');
  b.run(2000);
  assert.deepEqual([...b.engine.sockets()].map(({ state }) => state), ['LISTEN']);
});

//= rfc9293 MUST-3
both('listen · SYN with a wrong checksum · dropped and counted', (b) => {
  b.listener();
  const peer = b.peer(80);
  const frame = peer.frame({ flags: 'S' });
  frame[frame.length - 1] = (frame[frame.length - 1] as number) ^ 1;
  b.deliver(frame);
  peer.quiet(100);
  assert.equal(b.counter('TcpInCsumErrors'), 1);
});

// ---- SYN-RECEIVED, opened by the peer

both('syn-received · repeated SYN · the same SYN-ACK again', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  const first = peer.expect({ flags: 'S.', seq: 0, ack: 1 });
  b.run(300);
  peer.sends({ flags: 'S', seq: 0 });
  const second = peer.expect({ flags: 'S.', seq: 0, ack: 1 });
  assert.equal(second.tcp.seq, first.tcp.seq);
});

both('syn-received · ACK of something else · RST with its seq, stays', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  for (const ack of [0, 2, 1000]) {
    peer.sends({ flags: '.', seq: 1, ack });
    peer.expect({ flags: 'R', seq: ack });
  }
  assert.equal(b.state(peer), 'SYN_RECV');
  peer.sends({ flags: '.', ack: 1 });
  assert.ok(b.accept(listener) !== undefined);
});

both('syn-received · RST at the exact seq · gone; elsewhere in the window · stays', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: 'R', seq: 2 });
  peer.sends({ flags: 'R', seq: 100 });
  peer.sends({ flags: 'R', seq: 0x20000 });
  peer.drain();
  assert.equal(b.state(peer), 'SYN_RECV');
  peer.sends({ flags: 'R', seq: 1 });
  assert.equal(b.state(peer), 'none');
  assert.equal(b.counter('TcpAttemptFails'), 1);
  peer.quiet(100);
});

//= rfc6298 5.7
both('syn-received · ACK of the second SYN-ACK · no RTT sample: RTO 3 s, one segment', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.expect({ flags: 'S.', after: 1000 });
  b.run(20);
  peer.sends({ flags: '.' });
  const sock = b.accept(listener);
  assert.equal(sock?.info.rtt, 0);
  assert.equal(sock?.info.rto, 3_000_000);
  assert.equal(sock?.info.snd_cwnd, 1);
});

both('syn-received · the same with timestamps · the echo measures', (b) => {
  const listener = b.listener();
  const peer = b.peer(80, { ts: 5 });
  peer.sends({ flags: 'S' });
  b.answer(peer, 'S.', { ts: 5 });
  peer.expect({ flags: 'S.', after: 1000 });
  b.run(20);
  peer.sends({ flags: '.' });
  const { rtt } = b.accept(listener)?.info ?? { rtt: 0 };
  assert.ok(Math.abs(rtt - 20_000) <= 1000, `rtt ${rtt}`);
});

both('syn-received · peer repeats its SYN · its ACK is no sample (Karn), window ten', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  b.run(500);
  peer.sends({ flags: 'S', seq: 0 });
  peer.expect({ flags: 'S.', seq: 0 });
  peer.sends({ flags: '.', seq: 1 });
  const sock = b.accept(listener);
  assert.equal(sock?.info.rtt, 0);
  assert.equal(sock?.info.snd_cwnd, 10);
  assert.equal(b.counter('TcpExtTCPSynRetrans'), 1);
});

both('syn-received · segment out of the window · ACK of what would be in order', (b) => {
  b.listener();
  const peer = b.peer(80, { wscale: 7, ts: 500 });
  peer.sends({ flags: 'S' });
  b.answer(peer, 'S.', { ts: 500 });
  peer.sends({ flags: '.', seq: 0x20000, ack: 1 });
  peer.expect({ flags: '.', seq: 1, ack: 1, win: 511, ecr: 500 });
  assert.equal(b.state(peer), 'SYN_RECV');
});

both('syn-received · new SYN in the window · challenge ACK, stays', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: 'S', seq: 100 });
  // Linux resets and forgets; that would let a stranger end what he can not see (RFC 5961 §4.2).
  peer.expect({ flags: '.', seq: 1, ack: 1 });
  assert.equal(b.state(peer), 'SYN_RECV');
});

both('syn-received · segment without ACK · dropped', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: 'P', seq: 1, len: 10 });
  peer.quiet(100);
  assert.equal(b.state(peer), 'SYN_RECV');
});

both('syn-received · data with the ACK · ESTABLISHED, data kept', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: 'P.', len: 70 });
  peer.expect({ flags: '.', ack: 71 });
  assert.equal(b.accept(listener)?.read(), 70);
});

both('syn-received · FIN with the ACK · CLOSE-WAIT', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  const sock = b.accept(listener);
  assert.equal(sock?.state, 'CLOSE_WAIT');
  assert.equal(sock?.read(), 0);
});

both('syn-received · silence · SYN-ACK after 1, 2, 4, 8, 16 s, then gone', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', seq: 0, ack: 1 });
  for (const s of [1, 2, 4, 8, 16]) peer.expect({ flags: 'S.', seq: 0, ack: 1, after: s * 1000 });
  peer.quiet(31_900);
  assert.equal(b.state(peer), 'SYN_RECV');
  peer.quiet(200);
  assert.equal(b.state(peer), 'none');
  assert.equal(b.counter('TcpExtTCPSynRetrans'), 5);
  peer.sends({ flags: '.', seq: 1, ack: 1 });
  peer.expect({ flags: 'R', seq: 1 });
});

both('syn-received · tcp_synack_retries 1 · one more SYN-ACK', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.expect({ flags: 'S.', after: 1000 });
  peer.quiet(2100);
  assert.equal(b.state(peer), 'none');
}, { config: { tcp_synack_retries: 1 } });

both('syn-received · old timestamp · SYN-ACK again, not established', (b) => {
  b.listener();
  const peer = b.peer(80, { ts: 5000 });
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.ts = true;
  peer.sends({ flags: '.', seq: 1, ack: 1, ts: 4000 });
  peer.drain();
  assert.equal(b.state(peer), 'SYN_RECV');
  assert.equal(b.counter('TcpExtPAWSEstab'), 1);
});

both('syn-received · hard ICMP error at the SYN-ACK’s seq · gone; elsewhere · ignored', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.icmp('port', 5);
  assert.equal(b.state(peer), 'SYN_RECV');
  peer.icmp('port', 0);
  assert.equal(b.state(peer), 'none');
});

// ---- Which listener (§3.9.1.1)

//= rfc9293 MUST-43
both('listen · one bound to the address, one to any of the other family · the first', (b) => {
  b.engine.addressAdd(b.linkId, requireCidr('10.0.0.9/24'));
  const [flags, address] = b.family === 4 ? [LISTEN_V6ONLY, 'any'] : [0, '0.0.0.0'];
  const any = b.listen(80, 16, flags as number, address as string);
  const own = b.listen(80, 16, 0, b.address);
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: '.' });
  assert.equal(b.accept(any), undefined);
  const sock = b.accept(own);
  assert.ok(sock !== undefined);
  assert.equal(b.engine.name(sock.handle, 'local').address, b.address);
});

both('listen · any, then the same port of one address · EADDRINUSE, even with reuse', (b) => {
  b.listen(80, 16, LISTEN_REUSEADDR);
  const again = (): unknown => b.listen(80, 16, LISTEN_REUSEADDR, b.address);
  assert.throws(again, /EADDRINUSE/); // Linux: nobody shares with one that listens
});

only(4, 'listen · bound to another address · RST on this one', (b) => {
  b.engine.addressAdd(b.linkId, requireCidr('10.0.0.9/24'));
  b.listen(80, 16, 0, '10.0.0.9');
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'R.', ack: 1 });
});

both('listen · any · IPv4 and IPv6 (dual-stack)', (b) => {
  const { sock } = b.passive();
  assert.equal(b.engine.name(sock.handle, 'local').family, b.family === 4 ? 'IPv4' : 'IPv6');
});

both('listen · any with IPV6_V6ONLY · IPv6 alone', (b) => {
  b.listen(80, 16, LISTEN_V6ONLY);
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  if (b.family === 6) peer.expect({ flags: 'S.' });
  else peer.expect({ flags: 'R.', ack: 1 });
});

both('listen · 0.0.0.0 · IPv4 alone', (b) => {
  b.listen(80, 16, 0, '0.0.0.0');
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  if (b.family === 4) peer.expect({ flags: 'S.' });
  else peer.expect({ flags: 'R.', ack: 1 });
});

both('listen · 0.0.0.0 and [::] only of IPv6 at one port · both', (b) => {
  const v4 = b.listen(80, 16, 0, '0.0.0.0');
  const v6 = b.listen(80, 16, LISTEN_V6ONLY);
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: '.' });
  assert.ok(b.accept(b.family === 4 ? v4 : v6) !== undefined);
});

//= rfc9293 MUST-41
both('listen · port already listened on · EADDRINUSE, the first one undisturbed', (b) => {
  const { sock, peer } = b.passive();
  assert.throws(() => b.listen(80), (e) => e instanceof EngineError && e.code === 'EADDRINUSE');
  peer.sends({ flags: 'P.', len: 5 });
  peer.expect({ flags: '.', ack: 6 });
  assert.equal(sock.read(), 5);
});

//= rfc9293 MUST-42
both('listen · port with a connection in SYN-SENT · possible with SO_REUSEADDR', (b) => {
  const socket = b.socket();
  socket.set(Option.SO_REUSEADDR, 1);
  b.engine.bind(socket.handle, [0, 0, 0, 0], 5555);
  const { peer } = b.connect({}, socket);
  peer.expect({ flags: 'S' });
  const listener = b.listen(5555, 16, LISTEN_REUSEADDR);
  const other = b.peer(5555);
  other.sends({ flags: 'S' });
  other.expect({ flags: 'S.' });
  other.sends({ flags: '.' });
  assert.ok(b.accept(listener) !== undefined);
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.' });
});

//= rfc9293 MUST-42
both('listen · port with a connection in SYN-RECEIVED whose listener closed · possible', (b) => {
  const { peer } = b.passive();
  const [first] = b.listeners.splice(0);
  assert.ok(first !== undefined);
  b.closeListener(first);
  const again = b.listen(80, 16, LISTEN_REUSEADDR);
  peer.sends({ flags: 'P.', len: 5 });
  peer.expect({ flags: '.', ack: 6 });
  const other = b.peer(80);
  other.sends({ flags: 'S' });
  other.expect({ flags: 'S.' });
  other.sends({ flags: '.' });
  assert.ok(b.accept(again) !== undefined);
});

both('listen · port of a connection, then of its TIME-WAIT · only with SO_REUSEADDR', (b) => {
  const inUse = (): void => {
    assert.throws(() => b.listen(80), (e) => e instanceof EngineError && e.code === 'EADDRINUSE');
  };
  const { sock, peer } = b.passive();
  const [first] = b.listeners.splice(0);
  assert.ok(first !== undefined);
  b.closeListener(first);
  inUse();
  sock.close();
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.' });
  inUse();
  b.listen(80, 16, LISTEN_REUSEADDR);
});

both('listener · IP_TOS and IP_TTL · on the SYN-ACK too', (b) => {
  b.listener({ options: [[Option.IP_TOS, 0x20], [Option.IP_TTL, 9]] });
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', tos: 0x20, ttl: 9 });
});

both('listener · SO_RCVBUF · the window of the SYN-ACK', (b) => {
  b.listener({ options: [[Option.SO_RCVBUF, 6000]] });
  const peer = b.peer(80, { wscale: 3 });
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', win: 6000 });
});

both('listener · options · inherited by its connections', (b) => {
  const { sock, peer } = b.passive({
    options: [
      [Option.TCP_NODELAY, 1], [Option.SO_KEEPALIVE, 1], [Option.IP_TOS, 0x48],
      [Option.IP_TTL, 33], [Option.TCP_USER_TIMEOUT, 9000], [Option.SO_RCVBUF, 20000],
      [Option.SO_SNDBUF, 30000], [Option.SO_LINGER, 1],
    ],
  });
  assert.deepEqual([
    sock.get(Option.TCP_NODELAY), sock.get(Option.SO_KEEPALIVE), sock.get(Option.IP_TOS),
    sock.get(Option.IP_TTL), sock.get(Option.TCP_USER_TIMEOUT), sock.get(Option.SO_RCVBUF),
    sock.get(Option.SO_SNDBUF), sock.get(Option.SO_LINGER),
  ], [1, 1, 0x48, 33, 9000, 20000, 30000, 1]);
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10, tos: 0x48, ttl: 33 });
});
