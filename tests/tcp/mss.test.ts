/**
 * Segment sizes: MSS options both ways, defaults, path MTU from ICMP, the quoted sequence number
 * checked (RFC 5927), and what is cut again. RFC 9293 §3.7.1, RFC 1191, RFC 8201, RFC 6691.
 */
import assert from 'node:assert/strict';
import { Option } from '../../assembly/abi.js';
import { both, only } from './harness.js';

//= rfc9293 MUST-15
both('syn · no MSS option · segments of 536 or 1220', (b) => {
  const { sock, peer } = b.passive({ mss: null });
  const mss = b.family === 4 ? 536 : 1220;
  sock.writeAll(mss + 100);
  peer.expect({ flags: '.', len: mss });
  peer.expect({ flags: 'P.', len: 100, seq: 1 + mss });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-16, MUST-14, SHLD-28
both('syn · MSS above ours · our own link bounds', (b) => {
  const { sock, peer } = b.passive({ mss: 9000 });
  const mss = b.family === 4 ? 1460 : 1440;
  sock.writeAll(mss * 2);
  peer.expect({ flags: '.', len: mss });
  peer.expect({ flags: 'P.', len: mss });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-16
both('syn · MSS and timestamps · options come off the segment', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, ts: 1 });
  sock.writeAll(1000);
  peer.expect({ flags: '.', len: 988 });
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', len: 12 });
  peer.sends({ flags: '.' });
  assert.equal(sock.info.snd_mss, 988);
});

both('syn · MSS of 1 · tcp_min_snd_mss', (b) => {
  const { sock, peer } = b.passive({ mss: 1 });
  sock.writeAll(96);
  peer.expect({ flags: '.', len: 48 });
  peer.expect({ flags: 'P.', len: 48 });
  peer.sends({ flags: '.' });
});

both('syn · MSS of 1 with timestamps · still a segment of some bytes', (b) => {
  const { sock, peer } = b.passive({ mss: 1, ts: 1 });
  sock.writeAll(72);
  peer.expect({ flags: '.', len: 36 });
  peer.expect({ flags: 'P.', len: 36 });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-67, SHLD-6
both('syn · link of 600 bytes · MSS option 560 or 540', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', options: `mss ${b.family === 4 ? 560 : 540}` });
}, { mtu: 600 });

both('syn · link of 9000 bytes · MSS option 8960 or 8940', (b) => {
  b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', options: `mss ${b.family === 4 ? 8960 : 8940}` });
}, { mtu: 9000, config: { rxSlotBytes: 16384 } });

both('syn · TCP_MAXSEG · bounds what is announced and what is sent', (b) => {
  const { sock, peer } = b.connect({ mss: 1400, options: [[Option.TCP_MAXSEG, 700]] });
  peer.expect({ flags: 'S', options: b.family === 4
    ? 'mss 700,sackOK,TS,nop,wscale 7' : 'mss 700,sackOK,TS,nop,wscale 7' });
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.' });
  sock.writeAll(800);
  peer.expect({ flags: '.', len: 700 });
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', len: 100 });
  peer.sends({ flags: '.' });
});

both('listener · TCP_MAXSEG · in the SYN-ACK', (b) => {
  const listener = b.listener({ options: [[Option.TCP_MAXSEG, 512]] });
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.', options: 'mss 512' });
  peer.sends({ flags: '.' });
  assert.ok(b.accept(listener) !== undefined);
});

//= rfc9293 MUST-65
both('established · MSS option without SYN · neither sent nor heeded', (b) => {
  const { sock, peer } = b.passive({ mss: 1000 });
  peer.sends({ flags: '.', len: 1, raw: [2, 4, 1, 0] });
  peer.expect({ flags: '.', options: '' });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000, options: '' });
  peer.sends({ flags: '.' });
  assert.equal(sock.read(), 1);
});

// ---- Path MTU

//= rfc1191 6.3
//= rfc9293 MUST-54
both('established · packet too big, quoted seq in flight · cut and sent again at once', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(2880);
  const first = peer.expect({ flags: '.', seq: 1, len: 1440 });
  assert.equal(first.dontFragment, true);
  peer.expect({ flags: 'P.', seq: 1441, len: 1440 });
  const mtu = 1300;
  peer.icmp('tooBig', 1, mtu);
  const mss = mtu - (b.family === 4 ? 40 : 60);
  const again = peer.expect({ flags: '.', seq: 1, len: mss });
  assert.equal(again.ipLength, mtu);
  const rest = peer.drain();
  const bytes = rest.reduce((sum, { data }) => sum + data.length, mss);
  assert.equal(bytes, 2880, 'all of it again');
  assert.equal(sock.info.pmtu, mtu);
  peer.sends({ flags: '.', ack: 2881 });
  sock.writeAll(mss);
  peer.expect({ flags: 'P.', len: mss });
  peer.sends({ flags: '.' });
  assert.ok(sock.info.snd_cwnd >= 10, 'no sign of congestion');
});

both('established · packet too big, quoted seq not in flight · ignored and counted', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', seq: 1, len: 1440 });
  peer.icmp('tooBig', 1441, 1300);
  peer.icmp('tooBig', 0, 1300);
  peer.icmp('tooBig', 0x40000000, 1300);
  peer.quiet();
  assert.equal(sock.info.pmtu, 1500);
  assert.equal(b.counter('TcpExtOutOfWindowIcmps'), 3);
  peer.sends({ flags: '.' });
});

both('established · packet too big with a greater MTU · ignored', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', len: 1440 });
  peer.icmp('tooBig', 1, 9000);
  peer.quiet();
  assert.equal(sock.info.pmtu, 1500);
  peer.sends({ flags: '.' });
});

//= rfc8201 4
only(6, 'established · packet too big below 1280 · discarded', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', len: 1440 });
  peer.icmp('tooBig', 1, 600);
  peer.drain();
  assert.equal(sock.info.pmtu, 1500); // RFC 8201 §4, and Linux
  peer.sends({ flags: '.', ack: 1441 });
});

only(4, 'established · fragmentation needed below min_pmtu · min_pmtu', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', len: 1440 });
  peer.icmp('tooBig', 1, 68);
  peer.drain();
  assert.equal(sock.info.pmtu, 552);
  peer.sends({ flags: '.', ack: 1441 });
});

only(4, 'established · fragmentation needed without an MTU · min_pmtu, as Linux', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', len: 1440 });
  peer.icmp('tooBig', 1, 0);
  peer.drain();
  assert.equal(sock.info.pmtu, 552);
  peer.sends({ flags: '.', ack: 1441 });
});

only(4, 'established · ip_no_pmtu_disc · fragmentation needed is not believed', (b) => {
  const { sock, peer } = b.passive({ mss: 1440 });
  sock.writeAll(1440);
  peer.expect({ flags: 'P.', len: 1440 });
  peer.icmp('tooBig', 1, 1000);
  peer.quiet();
  assert.equal(sock.info.pmtu, 1500);
  peer.sends({ flags: '.' });
}, { config: { ip_no_pmtu_disc: 1 } });

// ---- Other ICMP errors (§3.9.2.2)

//= rfc9293 MUST-55
only(4, 'established · Source Quench · dropped in silence', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  const before = sock.info.snd_cwnd;
  peer.icmp('quench', 1);
  peer.quiet();
  assert.equal(sock.info.snd_cwnd, before);
  assert.equal(sock.error(Option.SO_ERROR), 'OK');
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-56, SHLD-26, SHLD-25
both('established · every ICMP error · soft: the connection goes on', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  for (const name of ['net', 'host', 'protocol', 'port', 'admin', 'ttl', 'parameter',
    'sourceRoute'] as const) {
    peer.icmp(name, 1);
    assert.equal(sock.state, 'ESTABLISHED', name);
  }
  peer.sends({ flags: '.' });
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10 });
  peer.sends({ flags: '.' });
});
