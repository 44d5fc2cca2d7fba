/**
 * Keep-alives: off by default, two hours, 75 s, nine; what puts them off and what ends them.
 * RFC 9293 §3.8.4, Linux's tcp_keepalive_timer.
 */
import assert from 'node:assert/strict';
import { Option, SHUT_WR } from '../../assembly/abi.js';
import { both, failed } from './harness.js';

const ON: [Option, number] = [Option.SO_KEEPALIVE, 1];
const QUICK: [Option, number][] = [
  ON, [Option.TCP_KEEPIDLE, 10], [Option.TCP_KEEPINTVL, 2], [Option.TCP_KEEPCNT, 3],
];

function begin(b: Parameters<Parameters<typeof both>[1]>[0], options: [Option, number][]) {
  const made = b.passive({});
  for (const [option, value] of options) made.sock.set(option, value);
  return made;
}

//= rfc9293 MUST-25
both('established · no SO_KEEPALIVE · silence for a day and more', (b) => {
  const { sock, peer } = begin(b, []);
  assert.equal(sock.get(Option.SO_KEEPALIVE), 0);
  peer.quiet(30 * 3_600_000);
  assert.equal(sock.state, 'ESTABLISHED');
});

//= rfc9293 MUST-28, MUST-24, SHLD-12, MAY-5
both('established · SO_KEEPALIVE · first probe after two hours, no data, seq sndNxt − 1', (b) => {
  const { sock, peer } = begin(b, [ON]);
  assert.equal(sock.get(Option.TCP_KEEPIDLE), 7200);
  peer.quiet(7_199_000);
  peer.expect({ flags: '.', seq: 0, ack: 1, len: 0, after: 1000, within: 10 });
  peer.sends({ flags: '.' });
  peer.quiet(7_190_000);
  sock.set(Option.SO_KEEPALIVE, 0);
  peer.quiet(7_300_000);
});

//= rfc9293 MUST-27, MUST-29
both('established · probes unanswered · after intvl each, then RST and ETIMEDOUT', (b) => {
  const { sock, peer } = begin(b, QUICK);
  peer.expect({ flags: '.', seq: 0, ack: 1, after: 10_000, within: 2 });
  peer.expect({ flags: '.', seq: 0, ack: 1, after: 2000 });
  peer.expect({ flags: '.', seq: 0, ack: 1, after: 2000 });
  assert.equal(sock.state, 'ESTABLISHED');
  peer.expect({ flags: 'R.', seq: 1, ack: 1, after: 2000 });
  assert.equal(sock.state, 'CLOSE');
  assert.ok(failed(sock.takeEvents()));
  assert.equal(sock.error(Option.SO_ERROR), 'ETIMEDOUT');
  assert.equal(b.counter('TcpExtTCPKeepAlive'), 3);
});

//= rfc9293 MUST-29
both('established · a late answer · the count starts again', (b) => {
  const { sock, peer } = begin(b, QUICK);
  for (let round = 0; round < 4; round++) {
    peer.expect({ flags: '.', seq: 0, after: 10_000, within: 2 });
    peer.expect({ flags: '.', seq: 0, after: 2000 });
    peer.sends({ flags: '.' });
  }
  assert.equal(sock.state, 'ESTABLISHED');
});

//= rfc9293 MUST-26
both('established · traffic · puts the probe off; data in flight as well', (b) => {
  const { sock, peer } = begin(b, QUICK);
  b.run(6000);
  peer.sends({ flags: '.', len: 10 });
  peer.expect({ flags: '.', ack: 11 });
  sock.read();
  peer.quiet(9900);
  peer.expect({ flags: '.', seq: 0, after: 100, within: 5 });
  peer.sends({ flags: '.' });
  sock.writeAll(100);
  peer.expect({ flags: 'P.', seq: 1, len: 100 });
  b.run(15_000);
  for (const s of peer.drain()) assert.equal(s.data.length, 100, 'retransmissions, no probes');
  peer.sends({ flags: '.', ack: 101 });
  peer.drain();
});

both('established · keep-alive set while it is long idle · counts from the last segment', (b) => {
  const { sock, peer } = begin(b, []);
  b.run(60_000);
  for (const [option, value] of QUICK) sock.set(option, value);
  b.run(10_100);
  assert.ok(peer.drain().length >= 1);
  peer.sends({ flags: '.' });
});

both('established · peer resets in answer to a probe · ECONNRESET', (b) => {
  const { sock, peer } = begin(b, QUICK);
  peer.expect({ flags: '.', seq: 0, after: 10_000, within: 2 });
  peer.sends({ flags: 'R', seq: 1 });
  assert.equal(sock.error(Option.SO_ERROR), 'ECONNRESET');
});

both('close-wait · SO_KEEPALIVE · probes too', (b) => {
  const { peer } = begin(b, QUICK);
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  peer.expect({ flags: '.', seq: 0, ack: 2, after: 10_000, within: 1100 });
  peer.sends({ flags: '.' });
});

both('fin-wait-2 · SO_KEEPALIVE, user still there · probes find the peer gone', (b) => {
  const { sock, peer } = begin(b, QUICK);
  sock.shutdown(SHUT_WR);
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: '.' });
  peer.expect({ flags: '.', seq: 1, ack: 1, after: 10_000, within: 1100 });
  b.run(10_000);
  peer.drain();
  assert.equal(sock.state, 'CLOSE');
});

both('options · bounds of Linux', (b) => {
  const { sock } = begin(b, []);
  for (const [option, bad] of [
    [Option.TCP_KEEPIDLE, 0], [Option.TCP_KEEPIDLE, 32768], [Option.TCP_KEEPINTVL, 32768],
    [Option.TCP_KEEPCNT, 128], [Option.TCP_KEEPCNT, 0],
  ] as const) assert.throws(() => sock.set(option, bad), /EINVAL/);
});
