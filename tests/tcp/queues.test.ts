/**
 * The two queues of a listener when they are full, with Linux's rules and counters; its close.
 * RFC 9293 §3.10.7.2, tcp_max_syn_backlog, somaxconn, tcp_abort_on_overflow.
 */
import assert from 'node:assert/strict';
import { EVENT_ACCEPTABLE } from '../../assembly/abi.js';
import { both } from './harness.js';

both('listen · accept queue full (backlog 1: two wait) · SYN dropped and counted', (b) => {
  const listener = b.listener({ backlog: 1 });
  const first = b.peer(80);
  const second = b.peer(80);
  for (const peer of [first, second]) {
    peer.sends({ flags: 'S' });
    peer.expect({ flags: 'S.' });
    peer.sends({ flags: '.' });
  }
  const third = b.peer(80);
  third.sends({ flags: 'S' });
  third.quiet(100);
  assert.equal(b.counter('TcpExtListenOverflows'), 1);
  assert.equal(b.counter('TcpExtListenDrops'), 1);
  assert.equal(b.record(first)?.state, 'ESTABLISHED');
  assert.ok(b.accept(listener) !== undefined);
  third.sends({ flags: 'S', seq: 0 });
  third.expect({ flags: 'S.' });
});

both('listen · backlog 0 · one may wait, as on Linux', (b) => {
  const listener = b.listener({ backlog: 0 });
  const peers = [b.peer(80), b.peer(80)];
  const [first, second] = peers as [typeof peers[0], typeof peers[0]];
  first.sends({ flags: 'S' });
  first.expect({ flags: 'S.' });
  first.sends({ flags: '.' });
  second.sends({ flags: 'S' });
  second.quiet();
  assert.equal(b.counter('TcpExtListenOverflows'), 1);
  assert.ok(b.accept(listener) !== undefined);
});

both('syn-received · ACK while the accept queue is full · no RST, SYN-ACK goes on', (b) => {
  const listener = b.listener({ backlog: 1 });
  const late = b.peer(80);
  late.sends({ flags: 'S' });
  late.expect({ flags: 'S.' });
  for (const peer of [b.peer(80), b.peer(80)]) {
    if (b.counter('TcpExtTCPReqQFullDrop') > 0) break;
    peer.sends({ flags: 'S' });
    if (peer.queue.length === 0) break;
    peer.expect({ flags: 'S.' });
    peer.sends({ flags: '.' });
  }
  assert.equal(b.counter('TcpExtListenOverflows'), 0);
  late.sends({ flags: '.' });
  late.quiet();
  assert.equal(b.state(late), 'SYN_RECV');
  assert.equal(b.counter('TcpExtListenOverflows'), 1);
  // Linux: the peer believes it is connected; its SYN-ACK comes again until there is room.
  late.expect({ flags: 'S.', seq: 0, ack: 1, after: 1000 });
  assert.ok(b.accept(listener) !== undefined);
  late.sends({ flags: '.' });
  assert.equal(b.state(late), 'ESTABLISHED');
});

both('syn-received · the same with tcp_abort_on_overflow · RST', (b) => {
  b.listener({ backlog: 1 });
  const late = b.peer(80);
  late.sends({ flags: 'S' });
  late.expect({ flags: 'S.' });
  for (const peer of [b.peer(80), b.peer(80)]) {
    peer.sends({ flags: 'S' });
    peer.expect({ flags: 'S.' });
    peer.sends({ flags: '.' });
  }
  late.sends({ flags: '.' });
  late.expect({ flags: 'R', seq: 1 });
  assert.equal(b.state(late), 'none');
}, { config: { tcp_abort_on_overflow: 1 } });

both('listen · as many half-open as tcp_max_syn_backlog · SYN dropped and counted', (b) => {
  b.listener({ backlog: 100 });
  for (let i = 0; i < 4; i++) {
    const peer = b.peer(80);
    peer.sends({ flags: 'S' });
    peer.expect({ flags: 'S.' });
  }
  const one = b.peer(80);
  one.sends({ flags: 'S' });
  one.quiet(100);
  assert.equal(b.counter('TcpExtTCPReqQFullDrop'), 1);
  assert.equal(b.counter('TcpExtListenDrops'), 1);
}, { config: { tcp_max_syn_backlog: 4, tcp_syncookies: 0 } });

both('listen · somaxconn · bounds the backlog', (b) => {
  b.listener({ backlog: 5000 });
  const [listener] = [...b.engine.sockets()];
  assert.equal(listener?.sendQ, 7);
}, { config: { somaxconn: 7 } });

both('listen · accept queue · in order, and ss sees its length', (b) => {
  const listener = b.listener();
  const peers = [b.peer(80), b.peer(80), b.peer(80)];
  for (const peer of peers) {
    peer.sends({ flags: 'S' });
    peer.expect({ flags: 'S.' });
    peer.sends({ flags: '.' });
  }
  const records = [...b.engine.sockets()].filter(({ kind }) => kind === 'listener');
  assert.equal(records[0]?.recvQ, 3);
  for (const peer of peers) {
    const sock = b.accept(listener);
    assert.ok(sock !== undefined);
    assert.equal(b.engine.name(sock.handle, 'remote').port, peer.port);
  }
  assert.equal(b.accept(listener), undefined);
});

both('listen · RST in the accept queue · still accepted, then says so', (b) => {
  const listener = b.listener();
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'R', seq: 1 });
  const sock = b.accept(listener);
  assert.ok(sock !== undefined);
  assert.equal(sock.read(), 'ECONNRESET');
});

both('listen · close, connections waiting and half-open · RST to those, silence to these', (b) => {
  const listener = b.listener();
  const done = b.peer(80);
  done.sends({ flags: 'S' });
  done.expect({ flags: 'S.' });
  done.sends({ flags: '.' });
  const half = b.peer(80);
  half.sends({ flags: 'S' });
  half.expect({ flags: 'S.' });
  b.listeners.pop();
  b.closeListener(listener);
  done.expect({ flags: 'R.', seq: 1, ack: 1 });
  half.quiet(5000);
  half.sends({ flags: '.', seq: 1, ack: 1 });
  half.expect({ flags: 'R', seq: 1 });
});

both('listen · a SYN finished · EVENT_ACCEPTABLE', (b) => {
  const listener = b.listener();
  let mask = 0;
  const peer = b.peer(80);
  peer.sends({ flags: 'S' });
  peer.expect({ flags: 'S.' });
  b.collect = () => {
    b.engine.events((kind, index, _generation, bits) => {
      if (kind === 2 && index === listener.index) mask |= bits;
    });
  };
  peer.sends({ flags: '.' });
  assert.equal(mask, EVENT_ACCEPTABLE);
});
