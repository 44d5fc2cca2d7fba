/**
 * Windows: scaling, zero windows and their probes, shrinking, silly windows on both sides, and what
 * is told after reads. RFC 9293 §3.8.6, RFC 7323 §2.
 */
import assert from 'node:assert/strict';
import { EVENT_ERROR, Option } from '../../assembly/abi.js';
import type { Bench, Socket } from './harness.js';
import { both } from './harness.js';
import type { Peer } from './peer.js';

//= rfc9293 MUST-1
both('established · window of 65535 without scaling · unsigned', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 40000 });
  assert.equal(sock.info.snd_wnd, 40000);
  peer.sends({ flags: '.', win: 65535 });
  assert.equal(sock.info.snd_wnd, 65535);
});

//= rfc9293 REC-1
both('established · scale 7 of the peer · its windows times 128, its SYN’s unscaled', (b) => {
  const listener = b.listener();
  const peer = b.peer(80, { mss: 1000, wscale: 7 });
  peer.sends({ flags: 'S', win: 3000 });
  peer.expect({ flags: 'S.', win: 65535 });
  peer.sends({ flags: '.', win: 3000 });
  const sock = b.accept(listener);
  assert.equal(sock?.info.snd_wnd, 384_000);
  assert.equal(sock?.info.snd_wscale, 7);
});

both('established · scale above 14 · read as 14', (b) => {
  const { sock } = b.passive({ wscale: 15, win: 2 });
  assert.equal(sock.info.snd_wnd, 2 << 14);
});

both('syn-sent · SYN-ACK’s window · unscaled', (b) => {
  const { sock, peer } = b.connect({ wscale: 7 });
  peer.expect({ flags: 'S' });
  peer.sends({ flags: 'S.', win: 1000 });
  peer.expect({ flags: '.', win: 512 }); // 65535 rounded up: the edge never moves left
  assert.equal(sock.info.snd_wnd, 1000);
});

both('established · our scale · windows told in units of 128', (b) => {
  const { sock, peer } = b.passive({ wscale: 0 });
  peer.sends({ flags: '.', len: 1000 });
  peer.expect({ flags: '.', ack: 1001, win: (131072 - 1000) >> 7 });
  assert.equal(sock.info.rcv_wscale, 7);
  assert.equal(sock.read(), 1000);
});

both('established · window of a segment older than the last that told one · ignored', (b) => {
  const { sock, peer } = b.passive({ win: 20000 });
  peer.sends({ flags: '.', len: 100 });
  peer.drain();
  peer.sends({ flags: '.', seq: 50, win: 100 });
  peer.drain();
  assert.equal(sock.info.snd_wnd, 20000);
  peer.sends({ flags: '.', win: 30000 });
  assert.equal(sock.info.snd_wnd, 30000);
  assert.equal(sock.read(), 100);
});

// ---- Zero windows of the peer

/** A connection with `bytes` waiting behind a window that the peer has closed. */
function stalled(b: Bench, bytes = 1000): { sock: Socket; peer: Peer } {
  const { sock, peer } = b.passive({ mss: 1000 });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  peer.sends({ flags: '.', win: 0 });
  sock.writeAll(bytes);
  peer.quiet();
  return { sock, peer };
}

//= rfc9293 MUST-36, SHLD-29, SHLD-30
both('zero window · silence of the peer · probes back off, then ETIMEDOUT', (b) => {
  const { sock, peer } = stalled(b);
  const rto = sock.info.rto / 1000;
  let wait = rto;
  let probes = 0;
  while (sock.state !== 'CLOSE') {
    b.run(wait + 2);
    const [probe, ...more] = peer.drain();
    assert.equal(more.length, 0);
    if (probe === undefined || (probe.tcp.flags & 4) !== 0) break;
    // Linux: an ACK one octet below sndUna, no data.
    assert.equal((probe.tcp.seq - (peer.engineIsn ?? 0)) >> 0, 1000);
    assert.equal(probe.data.length, 0);
    b.nowUs = probe.atUs;
    b.markUs = probe.atUs;
    probes++;
    wait = Math.min(wait * 2, 120_000);
    assert.ok(probes < 30);
  }
  assert.equal(probes, 15, 'tcp_retries2');
  assert.equal(sock.error(Option.SO_ERROR), 'ETIMEDOUT');
  assert.equal(b.counter('TcpExtTCPWinProbe'), 15);
});

//= rfc9293 MUST-37
both('zero window · the peer answers every probe · open for hours', (b) => {
  const { sock, peer } = stalled(b);
  const end = b.nowUs + 8 * 3600e6;
  let gap = 0;
  let last = b.nowUs;
  while (b.nowUs < end) {
    b.runUntil(b.nowUs + 200e6, () => peer.queue.length > 0);
    const [probe] = peer.drain();
    assert.ok(probe !== undefined, 'a probe within 200 s');
    gap = (probe.atUs - last) / 1000;
    last = probe.atUs;
    peer.sends({ flags: '.', ack: 1001, win: 0 });
  }
  assert.ok(Math.abs(gap - 120_000) < 100, `the last gap was ${gap} ms`);
  assert.equal(sock.state, 'ESTABLISHED');
  peer.sends({ flags: '.', ack: 1001, win: 5000 });
  peer.expect({ flags: 'P.', seq: 1001, len: 1000 });
  peer.sends({ flags: '.' });
  assert.equal(sock.takeEvents() & EVENT_ERROR, 0);
});

both('zero window · it opens · data at once, by the update itself', (b) => {
  const { peer } = stalled(b);
  b.run(50);
  peer.sends({ flags: '.', ack: 1001, win: 1000 });
  peer.expect({ flags: 'P.', seq: 1001, len: 1000 });
  peer.sends({ flags: '.' });
});

both('zero window · FIN waits behind it · probed, sent when it opens', (b) => {
  const { sock, peer } = stalled(b, 100);
  sock.shutdown(1);
  peer.quiet();
  b.run(sock.info.rto / 1000 + 50);
  assert.equal(peer.drain().length, 1);
  peer.sends({ flags: '.', ack: 1001, win: 1000 });
  peer.expect({ flags: 'FP.', seq: 1001, len: 100 });
  peer.sends({ flags: '.' });
});

both('zero window · orphan · gives up sooner', (b) => {
  const { sock, peer } = stalled(b);
  sock.close();
  b.run(300_000);
  peer.drain();
  assert.equal(b.state(peer), 'none');
});

both('zero window · TCP_USER_TIMEOUT · ends the wait', (b) => {
  const { sock, peer } = stalled(b);
  sock.set(Option.TCP_USER_TIMEOUT, 3000);
  b.run(10_000);
  peer.drain();
  assert.equal(sock.state, 'CLOSE');
  assert.equal(sock.error(Option.SO_ERROR), 'ETIMEDOUT');
});

// ---- The peer shrinks its window

//= rfc9293 MUST-34, SHLD-15, SHLD-16
both('window shrinks below what is in flight · no new data; what is out is sent again', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 4000 });
  sock.writeAll(8000);
  for (let i = 0; i < 4; i++) peer.expect({ flags: '.', len: 1000 });
  peer.sends({ flags: '.', ack: 1001, win: 1500 }); // edge from 4001 back to 2501
  peer.quiet();
  peer.expect({ flags: '.', seq: 1001, len: 1000, after: sock.info.rto / 1000, within: 20 });
  peer.sends({ flags: '.', ack: 4001, win: 4000 });
  peer.expect({ flags: '.', seq: 4001, len: 1000 });
  peer.drain();
  assert.equal(sock.state, 'ESTABLISHED');
});

//= rfc9293 MUST-35, SHLD-17
both('window shrinks to zero with data in flight · retransmission goes on as a probe', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 4000 });
  sock.writeAll(2000);
  peer.expect({ flags: '.', len: 1000 });
  peer.expect({ flags: 'P.', len: 1000 });
  peer.sends({ flags: '.', ack: 1001, win: 0 });
  let seenAny = 0;
  for (let i = 0; i < 60; i++) {
    b.runUntil(b.nowUs + 300e6, () => peer.queue.length > 0);
    seenAny += peer.drain().length;
    peer.sends({ flags: '.', ack: 1001, win: 0 });
  }
  assert.ok(seenAny >= 60, `${seenAny} retransmissions`);
  assert.equal(sock.state, 'ESTABLISHED', 'a live peer may keep it so');
  peer.sends({ flags: '.', ack: 2001, win: 4000 });
  peer.quiet(500);
});

both('window shrinks to zero with data in flight, then silence · ends after minutes', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 4000 });
  sock.writeAll(2000);
  peer.drain();
  peer.sends({ flags: '.', ack: 1001, win: 0 });
  b.run(240_000); // two of the longest time-outs
  assert.equal(sock.state, 'ESTABLISHED');
  b.run(300_000);
  peer.drain();
  assert.equal(sock.state, 'CLOSE');
  assert.equal(sock.error(Option.SO_ERROR), 'ETIMEDOUT');
});

//= rfc9293 MAY-8
both('reader that never reads · our window stays closed for a day, probes are answered', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 4096]] });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', len: 1024 });
  peer.drain();
  for (let hour = 0; hour < 24; hour++) {
    b.run(3_600_000);
    peer.sends({ flags: '.', seq: 4096 });
    peer.expect({ flags: '.', ack: 4097, win: 0 });
    peer.sends({ flags: '.', seq: 4097, len: 1 }); // the other form of a probe
    peer.next = 4097;
    peer.expect({ flags: '.', ack: 4097, win: 0 });
  }
  assert.equal(sock.read(), 4096);
  peer.expect({ flags: '.', ack: 4097, win: 4096 });
});

// ---- Silly windows

//= rfc9293 MUST-38
both('window of a few bytes · waits (sender’s silly-window avoidance), then a probe sends', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 10000 });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  peer.sends({ flags: '.', win: 300 });
  sock.writeAll(5000);
  peer.quiet(10);
  peer.expect({ flags: '.', seq: 1001, len: 300, after: sock.info.rto / 1000, within: 60 });
  peer.sends({ flags: '.', win: 10000 });
  peer.drain();
});

both('window of half the largest ever · used at once', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, win: 1500 });
  sock.writeAll(4000);
  peer.expect({ flags: '.', len: 1000 });
  peer.sends({ flags: '.', win: 800 });
  peer.expect({ flags: '.', len: 800 });
  peer.sends({ flags: '.', win: 10000 });
  peer.drain();
});

//= rfc9293 MUST-39, SHLD-14
both('reader that takes a little · window grows only by a segment or half the buffer', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 8192]] });
  for (let i = 0; i < 8; i++) peer.sends({ flags: '.', len: 1024 });
  const last = peer.drain().at(-1);
  assert.equal(last?.tcp.window, 0);
  assert.equal(sock.read(500), 500);
  peer.quiet(100);
  peer.sends({ flags: '.', seq: 8192 }); // asks
  peer.expect({ flags: '.', ack: 8193, win: 0 });
  assert.equal(sock.read(600), 600);
  peer.expect({ flags: '.', ack: 8193, win: 1100 });
  let edge = 8193 + 1100;
  for (let i = 0; i < 10; i++) {
    sock.read(300);
    for (const s of peer.drain()) {
      const right = ((s.tcp.ack - peer.isn) >> 0) + s.tcp.window;
      assert.ok(right >= edge + 1024, `the edge moved by ${right - edge}`);
      edge = right;
    }
  }
});

both('reader that takes all of a full buffer · window update at once, counted', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_RCVBUF, 4096]] });
  for (let i = 0; i < 4; i++) peer.sends({ flags: '.', len: 1024 });
  assert.equal(peer.drain().at(-1)?.tcp.window, 0);
  assert.equal(b.counter('TcpExtTCPToZeroWindowAdv'), 1);
  assert.equal(sock.read(), 4096);
  peer.expect({ flags: '.', ack: 4097, win: 4096 });
  assert.equal(b.counter('TcpExtTCPFromZeroWindowAdv'), 1);
});

//= rfc9293 SHLD-14
both('established · SO_RCVBUF made smaller · the right edge stays', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', len: 1000 });
  const first = peer.expect({ flags: '.' });
  const edge = ((first.tcp.ack - peer.isn) >> 0) + first.tcp.window;
  sock.set(Option.SO_RCVBUF, 4096);
  for (let i = 0; i < 20; i++) {
    peer.sends({ flags: '.', len: 1000 });
    for (const s of peer.drain()) {
      assert.ok(((s.tcp.ack - peer.isn) >> 0) + s.tcp.window >= edge, 'never left');
    }
  }
  assert.equal(sock.read(), 21_000);
  peer.drain();
});

both('established · reader keeps up with a fast peer · the window grows past the default', (b) => {
  const { sock, peer } = b.passive({ wscale: 7, ts: 1, mss: 1000 });
  for (let round = 0; round < 30; round++) {
    for (let i = 0; i < 40; i++) peer.sends({ flags: '.', len: 1000 });
    sock.read();
    peer.drain();
    b.run(20);
    peer.drain();
  }
  assert.ok(sock.get(Option.SO_RCVBUF) >= 131_072);
});
