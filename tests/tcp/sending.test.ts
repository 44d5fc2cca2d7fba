/**
 * When data leaves: Nagle in Minshall's form as Linux has it, TCP_NODELAY, TCP_CORK, MSG_MORE, PSH,
 * and the sender's side of urgent data. RFC 9293 §3.7.4, §3.8.5 (RFC 6093), §3.9.1.2.
 */
import assert from 'node:assert/strict';
import { MSG_MORE, MSG_OOB, Option } from '../../assembly/abi.js';
import { both } from './harness.js';

//= rfc9293 SHLD-7
both('established · small write while a small one is out · waits for its ACK (Nagle)', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(100);
  peer.expect({ flags: 'P.', seq: 1, len: 100 });
  sock.writeAll(100);
  sock.writeAll(100);
  peer.quiet(10);
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', seq: 101, len: 200 });
  peer.sends({ flags: '.' });
});

both('established · small tail after full segments · leaves at once (Minshall)', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(2300);
  peer.expect({ flags: '.', len: 1000 });
  peer.expect({ flags: '.', len: 1000 });
  peer.expect({ flags: 'P.', len: 300 });
  sock.writeAll(200); // a second partial one waits
  peer.quiet(10);
  sock.writeAll(900); // and is filled up meanwhile
  peer.expect({ flags: '.', seq: 2301, len: 1000 });
  peer.quiet(10);
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', seq: 3301, len: 100 });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-17
both('established · TCP_NODELAY · each write leaves at once', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.TCP_NODELAY, 1]] });
  for (let i = 0; i < 3; i++) {
    sock.writeAll(10);
    peer.expect({ flags: 'P.', seq: 1 + i * 10, len: 10 });
  }
  peer.sends({ flags: '.' });
});

both('established · TCP_NODELAY switched on · what waited leaves', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10 });
  sock.writeAll(10);
  peer.quiet();
  sock.set(Option.TCP_NODELAY, 1);
  peer.expect({ flags: 'P.', seq: 11, len: 10 });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-60
both('established · TCP_CORK · only full segments; the rest after 200 ms', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.TCP_CORK, 1);
  sock.writeAll(1500);
  peer.expect({ flags: '.', len: 1000 });
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', seq: 1001, len: 500, after: 200, within: 2 });
  peer.sends({ flags: '.' });
});

both('established · TCP_CORK taken off · the rest at once', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.TCP_CORK, 1);
  sock.writeAll(300);
  peer.quiet(50);
  sock.set(Option.TCP_CORK, 0);
  peer.expect({ flags: 'P.', len: 300 });
  peer.sends({ flags: '.' });
});

both('established · TCP_CORK, then close · rest and FIN leave', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.TCP_CORK, 1);
  sock.writeAll(300);
  sock.close();
  peer.expect({ flags: 'FP.', len: 300 });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
});

//= rfc9293 MAY-15, MAY-16, MUST-60
both('established · MSG_MORE · held until a write without it, or 200 ms', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(100, MSG_MORE);
  peer.quiet(50);
  sock.writeAll(100);
  peer.expect({ flags: 'P.', seq: 1, len: 200 });
  peer.sends({ flags: '.' });
  sock.writeAll(100, MSG_MORE);
  peer.expect({ flags: 'P.', seq: 201, len: 100, after: 200, within: 2 });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-61, SHLD-27, SHLD-28
both('established · many small writes at once · full segments, PSH on the last', (b) => {
  const { sock, peer } = b.passive({ win: 500 });
  sock.writeAll(500);
  peer.expect({ flags: 'P.', len: 500 });
  for (let i = 0; i < 25; i++) sock.writeAll(100);
  peer.quiet();
  peer.sends({ flags: '.', win: 60000 });
  peer.expect({ flags: '.', seq: 501, len: 1000 });
  peer.expect({ flags: '.', seq: 1501, len: 1000 });
  peer.expect({ flags: 'P.', seq: 2501, len: 500 });
  peer.sends({ flags: '.' });
});

both('established · more than the initial window · ten segments, then ACK by ACK', (b) => {
  const { sock, peer } = b.passive();
  assert.ok(sock.write(15_000) >= 11_000);
  for (let i = 0; i < 10; i++) peer.expect({ flags: '.', seq: 1 + i * 1000, len: 1000 });
  peer.quiet(50);
  peer.sends({ flags: '.', ack: 2001 });
  for (let i = 10; i < 14; i++) peer.expect({ flags: '.', seq: 1 + i * 1000, len: 1000 });
  peer.quiet(10);
  peer.sends({ flags: '.', ack: 14_001 });
  peer.drain();
  peer.sends({ flags: '.', ack: 15_001 });
});

// ---- Urgent data

//= rfc9293 MUST-30, MUST-31, MUST-62
both('established · MSG_OOB · URG until sent, pointer behind the last urgent octet', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(2500, MSG_OOB);
  peer.expect({ flags: 'U.', seq: 1, len: 1000, urgent: 2500 });
  peer.expect({ flags: 'U.', seq: 1001, len: 1000, urgent: 1500 });
  peer.expect({ flags: 'UP.', seq: 2001, len: 500, urgent: 500 });
  peer.sends({ flags: '.' });
  sock.writeAll(100);
  peer.expect({ flags: 'P.', len: 100 });
  peer.sends({ flags: '.' });
});

//= rfc9293 MUST-31
both('established · urgent mark beyond 65,535 octets · pointer 65,535', (b) => {
  const { sock, peer } = b.passive({ wscale: 7, win: 2000,
    options: [[Option.SO_SNDBUF, 200_000]] });
  sock.writeAll(70_000, MSG_OOB);
  const first = peer.expect({ flags: 'U.', seq: 1, len: 1000, urgent: 65535 });
  assert.equal(first.tcp.urgent, 65535);
  for (let at = 1001; at <= 70_000;) {
    const all = peer.drain();
    for (const s of all) {
      const seq = (s.tcp.seq - (peer.engineIsn ?? 0)) >> 0;
      assert.equal(s.tcp.urgent, Math.min(70_001 - seq, 65535));
      at = seq + s.data.length;
    }
    peer.sends({ flags: '.', ack: at });
  }
  peer.drain();
});

both('established · urgent mark behind a closed window · told by URG all the same', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  peer.sends({ flags: '.', win: 0 });
  sock.writeAll(10, MSG_OOB);
  // Linux tells at once (tcp_send_probe0's urgent form goes with the probe).
  b.run(sock.info.rto / 1000 + 20);
  const [probe] = peer.drain();
  assert.equal((probe?.tcp.flags ?? 0) & 32, 32);
  peer.sends({ flags: '.', win: 5000 });
  peer.expect({ flags: 'UP.', seq: 1001, len: 10, urgent: 10 });
  peer.sends({ flags: '.' });
});
