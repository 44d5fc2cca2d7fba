/**
 * What tcp_info and ss tell after a transfer whose every packet the test knows: Linux's fields, in
 * Linux's units.
 */
import assert from 'node:assert/strict';
import { Option } from '../../assembly/abi.js';
import { both } from './harness.js';

both('established · known transfer · every counter of tcp_info', (b) => {
  const { sock, peer } = b.passive({ mss: 1000, sack: true, ts: 1, wscale: 2 });
  b.run(100);
  sock.writeAll(988 * 3);
  for (let i = 0; i < 3; i++) peer.expect({ flags: i === 2 ? 'P.' : '.', len: 988 });
  assert.equal(sock.info.unacked, 3);
  b.run(20);
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'P.', len: 500 });
  peer.expect({ flags: '.', ack: 501 });
  b.run(7);
  const { info } = sock;
  assert.equal(info.state, 'ESTABLISHED');
  assert.equal(info.bytes_acked, 988 * 3);
  assert.equal(info.bytes_sent, 988 * 3);
  assert.equal(info.bytes_received, 500);
  assert.equal(info.bytes_retrans, 0);
  assert.equal(info.data_segs_out, 3);
  assert.equal(info.data_segs_in, 1);
  assert.equal(info.delivered, 3);
  assert.equal(info.total_retrans, 0);
  assert.equal(info.unacked, 0);
  assert.equal(info.notsent_bytes, 0);
  assert.equal(info.snd_mss, 988);
  assert.equal(info.snd_wscale, 2);
  assert.equal(info.rcv_wscale, 7);
  assert.equal(info.options & 7, 7, 'timestamps, SACK, scaling');
  assert.equal(info.snd_wnd, 65535 * 4);
  assert.equal(info.pmtu, 1500);
  assert.equal(info.inq, 500);
  assert.equal(info.outq, 0);
  assert.equal(info.last_data_recv, 7);
  assert.equal(info.last_ack_recv, 7);
  assert.equal(info.last_data_sent, 27);
  assert.ok(Math.abs(info.min_rtt - 20_000) < 100, `min_rtt ${info.min_rtt}`);
  assert.ok(info.segs_in >= 2 && info.segs_out >= 4);
  assert.equal(info.congestion, 'reno');
  // The peer answers later than twice the RTT of its handshake: without a loss probe in between.
}, { config: { tcp_early_retrans: 0 } });

both('established · retransmissions · counted in packets and bytes', (b) => {
  const { sock, peer } = b.passive({ mss: 1000 });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  const rto = sock.info.rto / 1000;
  peer.expect({ flags: 'P.', seq: 1, len: 1000, after: rto });
  assert.equal(sock.info.retransmits, 1);
  assert.equal(sock.info.backoff, 1);
  assert.equal(sock.info.ca_state, 4);
  peer.expect({ flags: 'P.', seq: 1, len: 1000, after: 2 * rto, within: 2 });
  const { info } = sock;
  assert.equal(info.total_retrans, 2);
  assert.equal(info.bytes_retrans, 2000);
  assert.equal(info.bytes_sent, 3000, 'Linux counts retransmissions in bytes_sent');
  assert.equal(info.data_segs_out, 3);
  assert.equal(info.total_rto, 2);
  assert.equal(info.snd_cwnd, 1);
  peer.sends({ flags: '.' });
  assert.equal(sock.info.retransmits, 0);
});

both('established · quiet after a transfer · tcp_info is still right', (b) => {
  const { sock, peer } = b.passive({ mss: 1000 });
  sock.writeAll(1500);
  peer.drain();
  peer.sends({ flags: '.' });
  peer.sends({ flags: '.', len: 700 });
  peer.expect({ flags: '.', ack: 701 });
  assert.equal(sock.read(), 700);
  const busy = sock.info;
  b.run(10_000);
  const idle = sock.info;
  assert.ok(idle.memory_bytes < busy.memory_bytes, 'the arena has its blocks back');
  for (const name of ['bytes_acked', 'bytes_sent', 'bytes_received', 'segs_in', 'segs_out',
    'data_segs_in', 'data_segs_out', 'rtt', 'rttvar', 'min_rtt', 'snd_mss', 'rcv_mss', 'delivered',
    'snd_wnd', 'snd_cwnd'] as const) {
    assert.equal(idle[name], busy[name], name);
  }
  sock.writeAll(100);
  peer.expect({ flags: 'P.', seq: 1501, len: 100 });
  peer.sends({ flags: '.' });
  assert.equal(sock.info.bytes_acked, 1600);
});

both('listen, half-open, established, TIME-WAIT · one record each for ss', (b) => {
  const { sock, peer } = b.passive();
  const half = b.peer(80);
  half.sends({ flags: 'S' });
  half.expect({ flags: 'S.' });
  sock.writeAll(500);
  peer.expect({ flags: 'P.', len: 500 });
  const all = [...b.engine.sockets()];
  assert.deepEqual(all.map(({ state }) => state).sort(), ['ESTABLISHED', 'LISTEN', 'SYN_RECV']);
  const connection = all.find(({ state }) => state === 'ESTABLISHED');
  assert.equal(connection?.sendQ, 500);
  assert.equal(connection?.timer, 'on');
  assert.equal(connection?.remote.port, peer.port);
  assert.equal(connection?.local.address, b.address);
  assert.equal(all.find(({ state }) => state === 'SYN_RECV')?.timer, 'synack');
  peer.sends({ flags: '.' });
  sock.close();
  peer.expect({ flags: 'F.' });
  peer.sends({ flags: 'F.' });
  peer.expect({ flags: '.', ack: 2 });
  assert.equal(b.record(peer)?.timer, 'timewait');
});

both('zero window, keep-alive · the timers ss shows', (b) => {
  const { sock, peer } = b.passive();
  sock.set(Option.SO_KEEPALIVE, 1);
  b.run(3000);
  assert.equal(b.record(peer)?.timer, 'keepalive');
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000 });
  peer.sends({ flags: '.', win: 0 });
  sock.writeAll(100);
  assert.equal(b.record(peer)?.timer, 'persist');
  peer.sends({ flags: '.', win: 5000 });
  peer.drain();
  peer.sends({ flags: '.' });
});
