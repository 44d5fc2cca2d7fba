/**
 * The user calls: bind, connect, ports and their end, handles that are stale, options on the wire,
 * sysctls and their bounds. RFC 9293 §3.9.1, RFC 6056, sockets' rules as Linux has them.
 */
import assert from 'node:assert/strict';
import {
  EVENT_CLOSED, EVENT_CONNECTED, EVENT_WRITABLE, HandleKind, LISTEN_REUSEADDR, Option, SHUT_WR,
} from '../../assembly/abi.js';
import {
  ADDRESS_ANY, type AddressWords, requireAddress, requireCidr,
} from '../../host/core/address.js';
import type { ConfigName } from '../../host/core/config.js';
import { both, type Bench, only, type Socket } from './harness.js';

const ANY = ADDRESS_ANY;

function bind(b: Bench, port: number, reuse = false, address: AddressWords = ANY): Socket {
  const socket = b.socket();
  if (reuse) socket.set(Option.SO_REUSEADDR, 1);
  b.engine.bind(socket.handle, address, port);
  return socket;
}

function connect(b: Bench, socket: Socket, address: string, port: number): void {
  b.engine.connect(socket.handle, requireAddress(address), port);
  b.acted();
}

// ---- bind

//= rfc9293 MUST-43, MUST-45
only(4, 'bind · address and port · both are the connection’s to its end', (b) => {
  b.engine.addressAdd(b.linkId, requireCidr('10.0.0.9/24'));
  const socket = bind(b, 6000, false, requireAddress('10.0.0.9'));
  const { peer } = b.connect({}, socket);
  const syn = peer.expect({ flags: 'S' });
  assert.equal(syn.from, '10.0.0.9');
  assert.equal(syn.tcp.sourcePort, 6000);
  assert.equal(b.engine.name(socket.handle, 'local').address, '10.0.0.9');
});

//= rfc9293 MUST-44
only(4, 'connect · no address given · that of the route', (b) => {
  b.engine.addressAdd(b.linkId, requireCidr('192.168.7.1/24'));
  const near = b.connect();
  assert.equal(near.peer.expect({ flags: 'S' }).from, '10.0.0.1');
  connect(b, b.socket(), '192.168.7.2', 99);
  const [far] = b.strays.splice(0);
  assert.equal(far?.from, '192.168.7.1');
});

both('bind · port 0 · an ephemeral one, told by name', (b) => {
  const socket = bind(b, 0);
  const { port } = b.engine.name(socket.handle, 'local');
  assert.ok(port >= 32768 && port <= 60999, `port ${port}`);
});

both('bind · port in use · EADDRINUSE; with SO_REUSEADDR on both · possible', (b) => {
  bind(b, 6000);
  assert.throws(() => bind(b, 6000), /EADDRINUSE/);
  assert.throws(() => bind(b, 6000, true), /EADDRINUSE/);
  bind(b, 6001, true);
  bind(b, 6001, true);
  assert.throws(() => bind(b, 6001), /EADDRINUSE/);
});

only(4, 'bind · same port of another address · possible', (b) => {
  b.engine.addressAdd(b.linkId, requireCidr('10.0.0.9/24'));
  bind(b, 6000, false, requireAddress('10.0.0.9'));
  bind(b, 6000, false, requireAddress('10.0.0.1'));
  assert.throws(() => bind(b, 6000), /EADDRINUSE/);
});

both('bind · listener on the port · EADDRINUSE even with SO_REUSEADDR', (b) => {
  b.listen(6000, 16, LISTEN_REUSEADDR);
  assert.throws(() => bind(b, 6000, true), /EADDRINUSE/);
});

both('bind · twice, or after connect · EINVAL', (b) => {
  const socket = bind(b, 6000);
  assert.throws(() => b.engine.bind(socket.handle, ANY, 6001), /EINVAL/);
  const { sock, peer } = b.connect();
  peer.expect({ flags: 'S' });
  assert.throws(() => b.engine.bind(sock.handle, ANY, 6002), /EINVAL/);
});

both('bind · address that is not ours, port beyond 65,535 · EADDRNOTAVAIL, EINVAL', (b) => {
  assert.throws(() => bind(b, 6000, false, requireAddress('10.0.0.77')), /EADDRNOTAVAIL/);
  assert.throws(() => bind(b, 65536), /EINVAL/);
  assert.throws(() => b.listen(80, 1, 0, '10.0.0.77'), /EADDRNOTAVAIL/);
});

both('bind · socket closed · the port is free again', (b) => {
  bind(b, 6000).close();
  bind(b, 6000);
});

// ---- connect

//= rfc9293 MUST-46
only(4, 'connect · broadcast, multicast, 0.0.0.0, port 0 · refused, no packet', (b) => {
  assert.throws(() => connect(b, b.socket(), '10.0.0.255', 80), /EACCES/);
  assert.throws(() => connect(b, b.socket(), '255.255.255.255', 80), /EACCES|ENETUNREACH/);
  assert.throws(() => connect(b, b.socket(), '224.0.0.1', 80), /ENETUNREACH/);
  assert.throws(() => connect(b, b.socket(), '0.0.0.0', 80), /ENETUNREACH/);
  assert.throws(() => connect(b, b.socket(), '10.0.0.2', 0), /EINVAL/);
});

//= rfc9293 MUST-46
only(6, 'connect · multicast or :: over IPv6 · refused, no packet', (b) => {
  assert.throws(() => connect(b, b.socket(), 'ff02::1', 80), /ENETUNREACH/);
  assert.throws(() => connect(b, b.socket(), '::', 80), /ENETUNREACH/);
});

both('connect · to oneself · ENETUNREACH, no packet; another destination then', (b) => {
  const socket = b.socket();
  assert.throws(() => connect(b, socket, b.address, 80), /ENETUNREACH/);
  assert.throws(() => connect(b, socket, b.family === 4 ? '127.0.0.1' : '::1', 80), /ENETUNREACH/);
  b.connect({}, socket).peer.expect({ flags: 'S' });
});

both('connect · twice · EALREADY, then EISCONN', (b) => {
  const { sock, peer } = b.connect();
  peer.expect({ flags: 'S' });
  assert.throws(() => connect(b, sock, peer.address, peer.port), /EALREADY/);
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.' });
  assert.throws(() => connect(b, sock, peer.address, peer.port), /EISCONN/);
});

both('connect · the four-tuple of a connection that lives · EADDRNOTAVAIL', (b) => {
  const { peer } = b.connect({}, bind(b, 6000, true));
  peer.expect({ flags: 'S' });
  const second = bind(b, 6000, true);
  assert.throws(() => connect(b, second, peer.address, peer.port), /EADDRNOTAVAIL/);
  const other = b.connect({}, second);
  assert.equal(other.peer.expect({ flags: 'S' }).tcp.sourcePort, 6000);
});

both('connect · ports all taken · EADDRNOTAVAIL; another destination · the same ports', (b) => {
  const used = new Set<number>();
  for (let i = 0; i < 4; i++) {
    connect(b, b.socket(), b.peerAddress, 9);
    const syn = b.strays.pop();
    used.add(syn?.tcp.sourcePort ?? 0);
  }
  assert.deepEqual([...used].sort(), [40000, 40001, 40002, 40003]);
  assert.throws(() => connect(b, b.socket(), b.peerAddress, 9), /EADDRNOTAVAIL/);
  connect(b, b.socket(), b.peerAddress, 10);
  assert.ok(used.has(b.strays.pop()?.tcp.sourcePort ?? 0));
}, { config: { ip_local_port_range_low: 40000, ip_local_port_range_high: 40003 } });

both('connect · a port that is listened on · not taken as an ephemeral one', (b) => {
  b.listen(40001);
  connect(b, b.socket(), b.peerAddress, 9);
  assert.equal(b.strays.pop()?.tcp.sourcePort, 40000);
  assert.throws(() => connect(b, b.socket(), b.peerAddress, 9), /EADDRNOTAVAIL/);
}, { config: { ip_local_port_range_low: 40000, ip_local_port_range_high: 40001 } });

both('listen · port 0, ports all taken · EADDRINUSE', (b) => {
  assert.equal(b.listen(0).port, 40000);
  assert.throws(() => b.listen(0), /EADDRINUSE/);
}, { config: { ip_local_port_range_low: 40000, ip_local_port_range_high: 40000 } });

only(4, 'connect · to oneself · refused or nothing, never a loop', (b) => {
  b.listen(80);
  const socket = b.socket();
  try {
    connect(b, socket, '10.0.0.1', 80);
  } catch (error) {
    assert.match(String(error), /ENETUNREACH|EADDRNOTAVAIL/);
  }
  b.run(1000);
  b.strays.splice(0);
});

// ---- Handles

both('every call · handle that was closed · EBADF', (b) => {
  const { sock, peer } = b.passive();
  const { calls } = b.engine;
  const { index, generation } = sock.handle;
  sock.abort();
  peer.expect({ flags: 'R.', seq: 1, ack: 1 });
  const results = [
    calls.tcpBind(index, generation, 0, 0, 0, 0, 1),
    calls.tcpConnect(index, generation, 0, 0, 0xffff, 1, 1),
    calls.tcpSendReserve(index, generation, 1), calls.tcpSendCommit(index, generation, 0, 0),
    calls.tcpRecvPeek(index, generation, 0), calls.tcpRecvConsume(index, generation, 0),
    calls.tcpShutdown(index, generation, SHUT_WR), calls.tcpClose(index, generation),
    calls.tcpAbort(index, generation), calls.tcpSetOption(index, generation, 1, 1),
    calls.tcpGetOption(index, generation, 1), calls.tcpName(index, generation, 0),
    calls.tcpInfo(index, generation),
  ];
  assert.deepEqual(results, results.map(() => -9));
  const again = b.socket();
  assert.notDeepEqual(again.handle, sock.handle, 'the record lives again under another number');
});

both('every call · listener that was closed · EBADF', (b) => {
  const listener = b.listen(80);
  const { index, generation } = listener;
  const { calls } = b.engine;
  b.listeners.pop();
  b.closeListener(listener);
  assert.deepEqual([
    calls.tcpAccept(index, generation), calls.listenerClose(index, generation),
    calls.listenerName(index, generation), calls.listenerGetOption(index, generation, 2),
    calls.listenerSetOption(index, generation, 2, 1),
  ], [-9, -9, -9, -9, -9]);
  const again = b.listen(80);
  assert.ok(again.index !== index || again.generation !== generation);
});

both('every call · closed handle of an orphan that still sends · EBADF', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(100);
  peer.expect({ flags: 'P.', len: 100 });
  sock.close();
  peer.expect({ flags: 'F.' });
  const { index, generation } = sock.handle;
  assert.equal(b.engine.calls.tcpInfo(index, generation), -9);
  assert.equal(b.engine.calls.tcpInfo(index, generation + 1), -9);
  assert.equal(b.engine.calls.tcpAbort(index, generation), -9);
});

both('every call · index out of range · EBADF', (b) => {
  const { calls } = b.engine;
  for (const index of [0, 5, 127, 128, 0x7fffffff, 0xffffffff]) {
    assert.equal(calls.tcpInfo(index, 1), -9);
    assert.equal(calls.tcpClose(index, 0), -9);
    assert.equal(calls.listenerClose(index, 1), -9);
  }
});

both('open · as many as there can be · ENFILE, then free again', (b) => {
  const all = Array.from({ length: 4 }, () => b.socket());
  assert.throws(() => b.socket(), /ENFILE/);
  all[0]?.close();
  b.socket();
}, { config: { connectionsMax: 4 } });

both('send, receive · not connected · ENOTCONN', (b) => {
  const socket = b.socket();
  assert.equal(socket.write(1), -107);
  assert.equal(socket.read(), 'ENOTCONN');
});

both('events · the handle they are about · index and generation', (b) => {
  const { sock, peer } = b.passive();
  sock.takeEvents();
  peer.sends({ flags: 'R', seq: 1 });
  assert.ok(sock.takeEvents() & EVENT_CLOSED);
  let more = 0;
  b.engine.events(() => more++);
  assert.equal(more, 0, 'told once');
  assert.equal(HandleKind.Connection, 1);
});

both('send buffer full · write takes what fits; EVENT_WRITABLE when a third is free', (b) => {
  const { sock, peer } = b.passive({ options: [[Option.SO_SNDBUF, 8192]] });
  sock.takeEvents();
  assert.equal(sock.write(10_000), 8192);
  assert.equal(sock.write(1), 0);
  assert.equal(sock.get(Option.SIOCOUTQ), 8192);
  peer.drain();
  peer.sends({ flags: '.', ack: 2001 });
  assert.equal(sock.takeEvents() & EVENT_WRITABLE, 0);
  peer.sends({ flags: '.', ack: 4001 });
  assert.equal(sock.takeEvents() & EVENT_WRITABLE, EVENT_WRITABLE);
  assert.equal(sock.get(Option.SENDROOM), 4000);
  peer.drain();
  peer.sends({ flags: '.', ack: 8193 });
});

// ---- Options on the wire

//= rfc9293 MUST-48, SHLD-21, SHLD-22, MUST-49
both('IP_TOS, IP_TTL · on every segment, changed on the way, ECN bits kept out', (b) => {
  const { sock, peer } = b.connect({ options: [[Option.IP_TOS, 0x28], [Option.IP_TTL, 3]] });
  peer.expect({ flags: 'S', tos: 0x28, ttl: 3 });
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.', tos: 0x28, ttl: 3 });
  sock.set(Option.IP_TOS, 0xb8 | 3);
  sock.set(Option.IP_TTL, 200);
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10, tos: 0xb8, ttl: 200 });
  peer.sends({ flags: '.' });
  assert.throws(() => sock.set(Option.IP_TTL, 0), /EINVAL/);
  assert.throws(() => sock.set(Option.IP_TTL, 256), /EINVAL/);
  assert.throws(() => sock.set(Option.IP_TOS, 256), /EINVAL/);
});

both('default · TTL 64, TOS 0; ip_default_ttl · for those who did not choose', (b) => {
  const { sock, peer } = b.passive();
  sock.writeAll(10);
  peer.expect({ flags: 'P.', len: 10, tos: 0, ttl: 77 });
  peer.sends({ flags: '.' });
}, { config: { ip_default_ttl: 77 } });

both('received TOS · does not change what is sent', (b) => {
  const { sock, peer } = b.passive();
  peer.sends({ flags: '.', len: 10, tos: 0x20 });
  peer.expect({ flags: '.', tos: 0 });
  assert.equal(sock.get(Option.IP_TOS), 0);
});

both('options · unknown, or out of range · ENOPROTOOPT, EINVAL, nothing changes', (b) => {
  const { sock } = b.passive();
  assert.throws(() => sock.set(999 as Option, 1), /ENOPROTOOPT/);
  assert.throws(() => sock.get(999 as Option), /ENOPROTOOPT/);
  assert.throws(() => sock.set(Option.TCP_CONGESTION, 99), /EINVAL/);
  assert.throws(() => sock.set(Option.TCP_MAXSEG, 1000), /EINVAL/);
  assert.throws(() => sock.set(Option.TCP_USER_TIMEOUT, 0x80000000), /EINVAL/);
  assert.throws(() => sock.set(Option.SO_LINGER, 257), /EINVAL/);
});

// ---- Sysctls

both('sysctls · bounds · outside EINVAL, inside taken', (b) => {
  const bounds: [ConfigName, number, number, number, number][] = [
    ['ip_default_ttl', 0, 1, 255, 256],
    ['tcp_min_snd_mss', 47, 48, 32767, 32768],
    ['tcp_rto_max_ms', 999, 1000, 120_000, 120_001],
    ['tcp_rto_min_us', 999, 1000, 1_000_000, 1_000_001],
    ['tcp_reordering', 0, 1, 255, 256],
    ['tcp_fin_timeout', 0, 1, 32767, 32768],
    ['tcp_keepalive_time', 0, 1, 32767, 32768],
    ['min_pmtu', 67, 68, 65535, 65536],
    ['tcp_init_cwnd', 0, 1, 1000, 1001],
    ['tcp_retries1', 256, 0, 255, 0xffffffff],
    ['tcp_retries2', 256, 0, 255, 0xffffffff],
    ['tcp_syn_retries', 0, 1, 127, 128],
    ['tcp_synack_retries', 256, 0, 255, 1000],
    ['tcp_keepalive_probes', 256, 0, 255, 1000],
    ['tcp_orphan_retries', 256, 0, 255, 1000],
    ['tcp_tw_reuse', 3, 0, 2, 4],
  ];
  for (const [name, low, least, most, high] of bounds) {
    const before = b.engine.sysctlGet(name);
    for (const bad of [low, high]) {
      assert.throws(() => b.engine.sysctlSet(name, bad), /EINVAL/, `${name} ${bad}`);
    }
    assert.equal(b.engine.sysctlGet(name), before);
    for (const good of [least, most]) {
      b.engine.sysctlSet(name, good);
      assert.equal(b.engine.sysctlGet(name), good);
    }
    b.engine.sysctlSet(name, before);
  }
  for (const [name, value] of [
    ['ip_local_port_range_high', 1], ['ip_local_port_range_low', 61_000], ['tcp_rmem_min', 1 << 20],
    ['tcp_rmem_default', 1 << 24], ['tcp_rmem_max', 5000], ['tcp_wmem_min', 1 << 20],
    ['tcp_wmem_default', 1 << 24], ['tcp_wmem_max', 5000], ['tcp_mem_low', 1 << 28],
    ['tcp_mem_pressure', 1 << 28], ['tcp_mem_high', 1],
  ] as const) {
    assert.throws(() => b.engine.sysctlSet(name, value), /EINVAL/, `${name} beyond its neighbour`);
  }
  assert.equal(b.engine.calls.sysctlSet(1, 1), -22, 'sizes are boot’s');
  assert.equal(b.engine.calls.sysctlSet(500, 1), -22);
});

both('sysctl of a running stack · holds for the next connection', (b) => {
  b.engine.sysctlSet('tcp_timestamps', 0);
  const { peer } = b.connect();
  const mss = b.family === 4 ? 1460 : 1440;
  peer.expect({ flags: 'S', options: `mss ${mss},nop,nop,sackOK,nop,wscale 7` });
  assert.equal(EVENT_CONNECTED, 1);
});
