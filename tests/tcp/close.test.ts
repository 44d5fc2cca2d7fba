/**
 * Ending: normal, half and simultaneous close, the states on the way, RST where data would be lost,
 * SO_LINGER, orphans and their time-outs. RFC 9293 §3.6, §3.10.4 to §3.10.7.4, RFC 2525 §2.17.
 */
import assert from 'node:assert/strict';
import {
  EVENT_CLOSED, EVENT_ERROR, EVENT_PEER_FIN, Option, SHUT_RD, SHUT_RDWR, SHUT_WR,
} from '../../assembly/abi.js';
import { both, failed } from './harness.js';

//= rfc9293 MUST-13
both('established · close first · FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT for 60 s', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 1 });
  assert.equal(sock.state, 'FIN_WAIT1');
  peer.sends({ flags: '.' });
  assert.equal(sock.state, 'FIN_WAIT2');
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  assert.equal(sock.read(), 0);
  sock.close();
  b.run(59_900);
  assert.equal(b.state(peer), 'TIME_WAIT');
  b.run(200);
  assert.equal(b.state(peer), 'none');
});

//= rfc9293 MUST-12
both('established · peer closes first · CLOSE-WAIT, LAST-ACK, CLOSED', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', seq: 1, ack: 2 });
  assert.equal(sock.state, 'CLOSE_WAIT');
  const events = sock.takeEvents();
  assert.ok(events & EVENT_PEER_FIN);
  assert.equal(events & EVENT_ERROR, 0);
  assert.equal(sock.read(), 0);
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 2 });
  assert.equal(sock.state, 'LAST_ACK');
  peer.sends({ flags: '.' });
  assert.equal(sock.state, 'CLOSE');
  assert.ok(sock.takeEvents() & EVENT_CLOSED);
  assert.equal(b.state(peer), 'none');
  peer.quiet(1000);
});

both('established · both close at once · CLOSING, TIME-WAIT', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 1 });
  peer.sends({ flags: 'F.', ack: 1 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(sock.state, 'CLOSING');
  peer.sends({ flags: '.', ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  peer.drain();
});

both('fin-wait-1 · FIN that acknowledges ours · TIME-WAIT at once', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 1 });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
});

both('fin-wait-1 · data · still delivered (half close)', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 1 });
  peer.sends({ flags: 'P.', ack: 1, len: 100 });
  peer.expect({ flags: '.', seq: 2, ack: 101 });
  assert.equal(sock.read(), 100);
  peer.sends({ flags: 'P.', ack: 2, len: 100 });
  peer.expect({ flags: '.', seq: 2, ack: 201 });
  assert.equal(sock.state, 'FIN_WAIT2');
  assert.equal(sock.read(), 100);
  peer.sends({ flags: 'FP.', len: 10 });
  peer.expect({ flags: '.', ack: 212 });
  assert.equal(sock.read(), 10);
  assert.equal(sock.read(), 0);
});

both('close-wait · write · data goes on, then LAST-ACK', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  sock.writeAll(1500);
  peer.expect({ flags: '.', seq: 1, ack: 2, len: 1000 });
  peer.expect({ flags: 'P.', seq: 1001, ack: 2, len: 500 });
  peer.sends({ flags: '.' });
  sock.close();
  peer.expect({ flags: 'F.', seq: 1501, ack: 2 });
  peer.sends({ flags: '.' });
  assert.equal(b.state(peer), 'none');
});

both('established · close with data queued · FIN on the last segment', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(1500);
  sock.close();
  peer.expect({ flags: '.', seq: 1, len: 1000 });
  const s = peer.expect({ flags: 'P.', seq: 1001, len: 500 });
  peer.expect({ flags: 'F.', seq: 1501 });
  assert.equal(s.data.length, 500);
  peer.sends({ flags: '.' });
  assert.equal(b.state(peer), 'FIN_WAIT2');
});

both('close-wait · repeated FIN · ACK again', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  peer.sends({ flags: 'F.', seq: 1 });
  peer.expect({ flags: '.', ack: 2 });
  assert.equal(sock.state, 'CLOSE_WAIT');
});

both('close-wait · data beyond the FIN · not taken', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  peer.sends({ flags: 'P.', seq: 2, len: 10 });
  peer.drain();
  assert.equal(sock.read(), 0);
});

both('last-ack · silence · FIN again, then gone', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  sock.close();
  peer.expect({ flags: 'F.', seq: 1, ack: 2 });
  let fins = 0;
  for (;;) {
    b.runUntil(b.nowUs + 200e6, () => peer.queue.length > 0);
    const [s] = peer.drain();
    if (s === undefined) break;
    assert.equal(s.tcp.flags & 1, 1, 'a FIN');
    fins++;
  }
  assert.ok(fins >= 7 && fins <= 9, `tcp_orphan_retries 0 stands for 8: ${fins}`);
  assert.equal(b.state(peer), 'none');
});

both('fin-wait-1, closing, last-ack · FIN lost · sent again after an RTO, doubled', (b) => {
  const { sock, peer } = b.passive({ ts: 1 });
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.', seq: 1, ack: 1 });
  const rto = sock.info.rto / 1000;
  peer.expect({ flags: 'F.', seq: 1, ack: 1, after: rto });
  peer.expect({ flags: 'F.', seq: 1, ack: 1, after: 2 * rto });
  peer.sends({ flags: 'F.', ack: 1 });
  peer.expect({ flags: '.', seq: 2, ack: 2 });
  assert.equal(sock.state, 'CLOSING');
  peer.expect({ flags: 'F.', seq: 1, ack: 2, after: 4 * rto, within: 2 });
  peer.sends({ flags: '.', ack: 2 });
  assert.equal(b.state(peer), 'TIME_WAIT');
  peer.drain();
});

both('fin-wait-2 · user still there · waits for ever (half close)', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: '.' });
  peer.quiet(3_600_000);
  assert.equal(sock.state, 'FIN_WAIT2');
  peer.sends({ flags: 'P.', len: 5 });
  peer.expect({ flags: '.', ack: 6 });
  assert.equal(sock.read(), 5);
});

both('fin-wait-2 · orphan · gone after tcp_fin_timeout', (b) => {
  const { sock, peer } = b.passive();
  sock.close();
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: '.' });
  peer.quiet(59_900);
  assert.equal(b.state(peer), 'FIN_WAIT2');
  peer.quiet(200);
  assert.equal(b.state(peer), 'none');
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: 'R', seq: 2 });
});

both('fin-wait-2 · orphan with TCP_LINGER2 · its own time', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.TCP_LINGER2, 5);
  sock.close();
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: '.' });
  peer.quiet(5100);
  assert.equal(b.state(peer), 'none');
});

// ---- RST instead of FIN

//= rfc9293 SHLD-3
both('established · close with unread data · RST', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  sock.close();
  peer.expect({ flags: 'R.', seq: 1, ack: 101 });
  assert.equal(b.state(peer), 'none');
  assert.equal(b.counter('TcpExtTCPAbortOnClose'), 1);
});

both('close-wait · close with unread data · RST', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'FP.', len: 100 });
  peer.expect({ flags: '.', ack: 102 });
  sock.close();
  peer.expect({ flags: 'R.', seq: 1, ack: 102 });
  assert.equal(b.state(peer), 'none');
});

//= rfc9293 SHLD-3, MAY-1
both('fin-wait-1 · data after close · RST', (b) => {
  const { sock, peer } = b.passive();
  sock.close();
  peer.expect({ flags: 'F.', seq: 1 });
  peer.sends({ flags: 'P.', ack: 1, len: 10 });
  peer.expect({ flags: 'R', seq: 1 }); // Linux: the reply form, with the segment's ACK as seq
  assert.equal(b.state(peer), 'none');
  assert.equal(b.counter('TcpExtTCPAbortOnData'), 1);
});

//= rfc9293 SHLD-3
both('fin-wait-2 · data after close · RST', (b) => {
  const { sock, peer } = b.passive();
  sock.close();
  peer.expect({ flags: 'F.', seq: 1 });
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'P.', len: 10 });
  peer.expect({ flags: 'R', seq: 2 });
  assert.equal(b.state(peer), 'none');
});

both('fin-wait-2 · data after shutdown of both directions · RST, as Linux', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_RDWR);
  peer.expect({ flags: 'F.', seq: 1 });
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'P.', len: 10 });
  peer.expect({ flags: 'R', seq: 2 });
  assert.equal(sock.state, 'CLOSE');
});

both('fin-wait-2 · orphan, old duplicate of data · ACK, no RST', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  assert.equal(sock.read(), 100);
  sock.close();
  peer.expect({ flags: 'F.', seq: 1 });
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'P.', seq: 1, len: 100 });
  peer.expect({ flags: '.', seq: 2, ack: 101 });
  assert.equal(b.state(peer), 'FIN_WAIT2');
});

both('established · SO_LINGER of 0 s, close · RST', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.SO_LINGER, 1); // seconds + 1
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10 });
  sock.close();
  peer.expect({ flags: 'R.', seq: 11, ack: 1 });
  assert.equal(b.state(peer), 'none');
});

//= rfc9293 MUST-12
both('established · abort · RST, everything gone', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(500);
  peer.expect({ flags: 'P.', len: 500 });
  sock.abort();
  peer.expect({ flags: 'R.', seq: 501, ack: 1 });
  assert.equal(b.state(peer), 'none');
  peer.quiet(10_000);
});

both('fin-wait-1, fin-wait-2, closing, close-wait, last-ack · RST · CLOSED', (b) => {
  const listener = b.listener();
  const all = Array.from({ length: 5 }, () => b.passive({}, listener));
  const [wait1, wait2, closing, closeWait, lastAck] = all as [
    typeof all[0], typeof all[0], typeof all[0], typeof all[0], typeof all[0]];
  for (const { peer } of [closeWait, lastAck]) {
    peer.sends({ flags: 'F.' });
    peer.expect({ flags: '.', ack: 2 });
  }
  for (const { sock, peer } of [wait1, wait2, closing, lastAck]) {
    sock.shutdown(SHUT_WR);
    peer.expect({ flags: 'F.' });
  }
  wait2.peer.sends({ flags: '.' });
  closing.peer.sends({ flags: 'F.', ack: 1 });
  closing.peer.expect({ flags: '.', ack: 2 });
  assert.deepEqual(all.map(({ sock }) => sock.state),
    ['FIN_WAIT1', 'FIN_WAIT2', 'CLOSING', 'CLOSE_WAIT', 'LAST_ACK']);
  for (const { sock, peer } of all) {
    peer.sends({ flags: 'R', seq: peer.next });
    assert.equal(sock.state, 'CLOSE');
    assert.equal(b.state(peer), 'none');
  }
  // Linux's tcp_reset: EPIPE in CLOSE-WAIT, ECONNRESET elsewhere.
  assert.deepEqual(all.map(({ sock }) => sock.error(Option.SO_ERROR)),
    ['ECONNRESET', 'ECONNRESET', 'ECONNRESET', 'EPIPE', 'ECONNRESET']);
});

both('fin-wait-1 … last-ack · RST in the window, SYN · challenge ACK', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'R', seq: 50 });
  peer.expect({ flags: '.', seq: 2, ack: 1 });
  b.run(100);
  peer.sends({ flags: '.' });
  b.run(600);
  peer.sends({ flags: 'S', seq: 3 });
  peer.expect({ flags: '.', seq: 2, ack: 1 });
  assert.equal(sock.state, 'FIN_WAIT2');
});

// ---- shutdown

both('established · shutdown(RD) · reads give 0, data is still acknowledged', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_RD);
  peer.quiet();
  assert.equal(sock.read(), 0);
  peer.sends({ flags: 'P.', len: 10 });
  peer.expect({ flags: '.', ack: 11 });
  assert.equal(sock.state, 'ESTABLISHED');
});

both('established · shutdown(WR) · write is EPIPE, reading goes on', (b) => {
  const { sock, peer } = b.passive();
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  assert.equal(sock.write(10), -32);
  peer.sends({ flags: '.', len: 10 });
  peer.expect({ flags: '.', ack: 11 });
  assert.equal(sock.read(), 10);
});

both('shutdown · not connected, or a wrong how · ENOTCONN, EINVAL', (b) => {
  const socket = b.socket();
  assert.throws(() => socket.shutdown(SHUT_WR), /ENOTCONN/);
  const { sock } = b.passive();
  assert.throws(() => sock.shutdown(3), /EINVAL/);
});

both('closed by RST · write · ECONNRESET once, then EPIPE', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'R', seq: 1 });
  assert.ok(failed(sock.takeEvents()));
  assert.equal(sock.write(1), -104);
  assert.equal(sock.write(1), -32);
  assert.equal(sock.read(), 0);
});

both('closed by RST · what had arrived before · still readable', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: 'P.', len: 100 });
  peer.expect({ flags: '.', ack: 101 });
  peer.sends({ flags: 'R', seq: 101 });
  assert.equal(sock.read(), 100);
  assert.equal(sock.read(), 'ECONNRESET');
  assert.equal(sock.read(), 0);
});

both('orphans · more than tcp_max_orphans · RST and counted', (b) => {
  const listener = b.listener();
  const one = b.passive({}, listener);
  const two = b.passive({}, listener);
  one.sock.close();
  one.peer.expect({ flags: 'F.' });
  two.sock.close();
  two.peer.expect({ flags: 'R.', seq: 1, ack: 1 });
  assert.equal(b.counter('TcpExtTCPTooManyOrphans'), 1);
  one.peer.sends({ flags: 'R', seq: 1 });
}, { config: { tcp_max_orphans: 1 } });
