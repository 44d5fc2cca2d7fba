/**
 * Explicit Congestion Notification: what SYNs agree on under tcp_ecn 0, 1 and 2, which segments are
 * ECN-capable, the receiver's echo, the sender's answer, fallback. RFC 3168 §6.1, with Linux's
 * choices. Scripts on the shipped module; two engines with offload at the end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Option, VNET_GSO_ECN, VNET_GSO_TCPV4, VNET_GSO_TYPE, VNET_HDR_BYTES }
  from '../../assembly/abi.js';
import { LinkWord, TX_PIECES, TX_SLOT_BYTES } from '../../assembly/abi.js';
import { connect, Server, Simulation } from '../../host/sim/index.js';
import { engine } from '../sim/module.js';
import { Bench, both, only, type Beginning, type Socket } from './harness.js';
import type { Peer } from './peer.js';

/** TCPI_OPT_ECN, TCPI_OPT_ECN_SEEN. */
const ECN = 8;
const SEEN = 16;
const ECT0 = 2;
const CE = 3;
const ASK = { config: { tcp_ecn: 1 } };

/** A connection with ECN that the peer opened; the RTT is 10 ms. */
function passive(b: Bench, beginning: Beginning = {}): { sock: Socket; peer: Peer } {
  const listener = b.listener(beginning);
  const peer = b.peer(80, beginning);
  peer.sends({ flags: 'SEW' });
  b.answer(peer, 'SE.', beginning);
  b.run(10);
  peer.sends({ flags: '.' });
  const sock = b.accept(listener);
  assert.ok(sock !== undefined);
  assert.equal(sock.info.options & (ECN | SEEN), ECN);
  return { sock, peer };
}

/** The same with ten segments of 1,000 in flight of `n` written. */
function flight(b: Bench, n = 10, sack = true): { sock: Socket; peer: Peer } {
  const { sock, peer } = passive(b, { sack });
  sock.writeAll(n * 1000);
  for (let at = 0; at < 10; at++) {
    const flags = at === n - 1 ? 'P.' : '.';
    peer.expect({ flags, seq: 1 + at * 1000, len: 1000, tos: ECT0 });
  }
  peer.quiet();
  b.run(10);
  return { sock, peer };
}

/** What the engine sent, as `flags length tos`. */
function sent(peer: Peer): string[] {
  return peer.drain().map(({ tcp, data, tos }) => {
    const letters = [['E', 64], ['W', 128]] as const;
    const flags = letters.filter(([, bit]) => tcp.flags & bit).map(([letter]) => letter).join('');
    return `${flags} ${data.length} ${tos}`.trim();
  });
}

// ---- Agreement

for (const tcp_ecn of [0, 1, 2]) {
  const config = { tcp_ecn };
  for (const [flags, tos, wanted] of [
    ['S', 0, false], ['SE', 0, false], ['SW', 0, false], ['SEW', 0, tcp_ecn !== 0],
    ['SEW', ECT0, false], ['SEW', CE, false], ['SEW', 0xb8, tcp_ecn !== 0],
  ] as const) {
    //= rfc3168 6.1.1
    //= rfc9293 SHLD-8
    both(`listen, tcp_ecn ${tcp_ecn} · [${flags}] with TOS ${tos} · ECN ${wanted}`, (b) => {
      const listener = b.listener();
      const peer = b.peer(80);
      peer.sends({ flags, tos });
      peer.expect({ flags: wanted ? 'SE.' : 'S.', seq: 0, tos: 0 });
      peer.expect({ flags: wanted ? 'SE.' : 'S.', seq: 0, tos: 0, after: 1000 });
      peer.sends({ flags, seq: 0, tos });
      peer.expect({ flags: wanted ? 'SE.' : 'S.', seq: 0, tos: 0 });
      peer.sends({ flags: '.' });
      const sock = b.accept(listener);
      assert.ok(sock !== undefined);
      assert.equal(sock.info.options & ECN, wanted ? ECN : 0);
      sock.writeAll(100);
      peer.expect({ flags: 'P.', len: 100, tos: wanted ? ECT0 : 0 });
      peer.sends({ flags: '.' });
    }, { config });
  }

  for (const [answer, yes] of [['S.', false], ['SE.', true], ['SEW.', false], ['SW.', false]] as
    const) {
    const wanted = tcp_ecn === 1 && yes;
    //= rfc3168 6.1.1
    both(`syn-sent, tcp_ecn ${tcp_ecn} · answer [${answer}] · ECN ${wanted}`, (b) => {
      const { sock, peer } = b.connect();
      peer.expect({ flags: tcp_ecn === 1 ? 'SEW' : 'S', seq: 0, tos: 0 });
      peer.sends({ flags: answer });
      peer.expect({ flags: '.', tos: 0 });
      assert.equal(sock.info.options & ECN, wanted ? ECN : 0);
      sock.writeAll(100);
      peer.expect({ flags: 'P.', len: 100, tos: wanted ? ECT0 : 0 });
      peer.sends({ flags: '.' });
    }, { config });
  }

  for (const [syn, yes] of [['S', false], ['SEW', true], ['SE', false]] as const) {
    const wanted = tcp_ecn === 1 && yes;
    both(`syn-sent, tcp_ecn ${tcp_ecn} · simultaneous [${syn}] · ECN ${wanted}`, (b) => {
      const { sock, peer } = b.connect();
      peer.expect({ flags: tcp_ecn === 1 ? 'SEW' : 'S', seq: 0 });
      peer.sends({ flags: syn });
      peer.expect({ flags: wanted ? 'SE.' : 'S.', seq: 0, ack: 1, tos: 0 });
      peer.expect({ flags: wanted ? 'SE.' : 'S.', seq: 0, ack: 1, tos: 0, after: 1000 });
      peer.sends({ flags: '.', ack: 1 });
      assert.equal(sock.info.options & ECN, wanted ? ECN : 0);
    }, { config });
  }
}

//= rfc3168 6.1.1.1
both('syn-sent · SYN lost · the next one does not ask, an answer to the first counts', (b) => {
  const { sock, peer } = b.connect();
  peer.expect({ flags: 'SEW' });
  peer.expect({ flags: 'S', seq: 0, after: 1000 });
  peer.expect({ flags: 'S', seq: 0, after: 2000 });
  peer.sends({ flags: 'SE.' });
  peer.expect({ flags: '.' });
  assert.equal(sock.info.options & ECN, ECN);
}, ASK);

both('syn-sent, tcp_ecn_fallback 0 · SYN lost · asks again', (b) => {
  const { peer } = b.connect();
  peer.expect({ flags: 'SEW' });
  peer.expect({ flags: 'SEW', seq: 0, after: 1000 });
  peer.sends({ flags: 'S.' });
  peer.expect({ flags: '.' });
}, { config: { tcp_ecn: 1, tcp_ecn_fallback: 0 } });

// ---- What is ECN-capable

//= rfc3168 6.1.4, 6.1.5
both('established · new data has ECT(0); ACK, data again, FIN alone and RST have not', (b) => {
  const { sock, peer } = passive(b, { options: [[Option.IP_TOS, 0xb8]] });
  sock.writeAll(100);
  peer.expect({ flags: 'P.', len: 100, tos: 0xb8 | ECT0 });
  peer.expect({ flags: 'P.', seq: 1, len: 100, tos: 0xb8, after: 200, within: 60 });
  peer.sends({ flags: '.', len: 100 });
  peer.expect({ flags: '.', tos: 0xb8 });
  sock.read();
  sock.shutdown(1);
  peer.expect({ flags: 'F.', tos: 0xb8 });
  peer.sends({ flags: '.' });
  sock.abort();
  peer.expect({ flags: 'R.', tos: 0xb8 });
});

both('IP_TOS · set with or after ECN state · neither disturbs the other', (b) => {
  const { sock, peer } = passive(b);
  peer.sends({ flags: '.', len: 10, tos: CE });
  peer.expect({ flags: 'E.', tos: 0 });
  sock.set(Option.IP_TOS, 0xff);
  assert.equal(sock.get(Option.IP_TOS), 0xfc);
  assert.equal(sock.info.options & SEEN, SEEN);
  sock.writeAll(10);
  peer.expect({ flags: 'PE.', len: 10, tos: 0xfc | ECT0 });
  peer.sends({ flags: '.' });
});

//= rfc3168 6.1.6
both('zero window · probe · not ECN-capable', (b) => {
  const { sock, peer } = passive(b);
  peer.sends({ flags: '.', win: 0 });
  sock.writeAll(100);
  peer.expect({ flags: '.', seq: 0, tos: 0, after: 200, within: 60 });
  peer.sends({ flags: '.' });
  peer.expect({ flags: 'P.', len: 100, tos: ECT0 });
  peer.sends({ flags: '.' });
});

// ---- The receiver

//= rfc3168 6.1.3
both('established · CE · every ACK has ECE until CWR comes', (b) => {
  const { sock, peer } = passive(b);
  assert.equal(b.counter('TcpExtTCPDeliveredCE'), 0);
  peer.sends({ flags: '.', len: 1000, tos: ECT0 });
  peer.expect({ flags: '.', tos: 0 });
  assert.equal(sock.info.options & SEEN, SEEN);
  peer.sends({ flags: '.', len: 1000, tos: CE });
  peer.expect({ flags: 'E.', tos: 0 });
  peer.sends({ flags: '.', len: 1000, tos: ECT0 });
  peer.expect({ flags: 'E.' });
  sock.writeAll(50);
  peer.expect({ flags: 'PE.', len: 50, tos: ECT0 });
  peer.sends({ flags: '.' });
  peer.sends({ flags: 'W.', len: 1000, tos: ECT0 });
  peer.expect({ flags: '.' });
  peer.sends({ flags: 'W.', len: 1000, tos: CE });
  peer.expect({ flags: 'E.' });
  peer.sends({ flags: 'W.', len: 1000, tos: ECT0 });
  peer.expect({ flags: '.' });
  assert.equal(b.counter(b.family === 4 ? 'IpExtInCEPkts' : 'Ip6InCEPkts'), 2);
  assert.equal(b.counter(b.family === 4 ? 'IpExtInECT0Pkts' : 'Ip6InECT0Pkts'), 4);
});

both('established · ACKs are delayed · the first CE and a CWR are answered at once', (b) => {
  const { sock, peer } = passive(b);
  const ask = (says: { tos: number; flags: string }): void => {
    // What was asked is answered with data: ACKs wait for it (ping-pong).
    peer.sends({ flags: '.', len: 10, tos: ECT0 });
    sock.writeAll(10);
    peer.drain();
    peer.sends({ flags: '.' });
    peer.sends({ len: 10, ...says });
  };
  ask({ flags: '.', tos: ECT0 });
  peer.expect({ flags: '.', after: 40, within: 2 });
  ask({ flags: '.', tos: CE });
  peer.expect({ flags: 'E.' });
  for (let at = 0; at < 3; at++) ask({ flags: '.', tos: ECT0 });
  b.run(100);
  assert.ok(peer.drain().every(({ tcp }) => (tcp.flags & 64) !== 0));
  ask({ flags: 'W.', tos: ECT0 });
  peer.expect({ flags: '.' });
});

both('established · CE beyond a hole, on old data, without ECN · echoed, ignored, ignored', (b) => {
  const { peer } = passive(b);
  peer.sends({ flags: '.', len: 1000, tos: ECT0 });
  peer.expect({ flags: '.' });
  peer.sends({ flags: '.', seq: 1, len: 1000, tos: CE });
  peer.expect({ flags: '.' });
  peer.sends({ flags: '.', seq: 2001, len: 1000, tos: CE });
  peer.expect({ flags: 'E.' });
  const plain = b.passive({}, b.listener({}, 81)).peer;
  plain.sends({ flags: '.', len: 1000, tos: CE });
  plain.expect({ flags: '.' });
});

// ---- The sender

//= rfc3168 6.1.2
both('established · ECE · one reduction a window, CWR on the next new data alone', (b) => {
  const { sock, peer } = flight(b, 20);
  const before = sock.info.snd_cwnd;
  peer.sends({ flags: 'E.', ack: 1001 });
  const { ca_state, snd_ssthresh } = sock.info;
  assert.equal(ca_state, 2, 'CWR');
  assert.ok(snd_ssthresh < before && snd_ssthresh >= before / 2, `${snd_ssthresh}`);
  const lines = sent(peer);
  for (let ack = 2001; ack <= 10_001; ack += 1000) {
    peer.sends({ flags: 'E.', ack });
    lines.push(...sent(peer));
    assert.equal(sock.info.snd_ssthresh, snd_ssthresh, 'the same window');
  }
  assert.equal(lines[0], 'W 1000 2');
  assert.ok(lines.length > 3);
  for (const line of lines.slice(1)) assert.equal(line, '1000 2');
  assert.ok(sock.info.snd_cwnd < before);
  assert.equal(sock.info.delivered_ce, 10);
  assert.equal(b.counter('TcpExtTCPDeliveredCE'), 10);
  // The echo has not ended although CWR has come: the next window was marked too.
  peer.sends({ flags: 'E.', ack: 11_001 });
  assert.equal(sock.info.ca_state, 2);
  assert.ok(sock.info.snd_ssthresh < snd_ssthresh);
  assert.match(sent(peer).join(), /W 1000 2|^$/);
  assert.equal(b.counter('TcpRetransSegs'), 0);
});

both('established · ECE with nothing in flight, or without ECN · no reduction', (b) => {
  const { sock, peer } = flight(b);
  peer.sends({ flags: '.', ack: 10_001 });
  const { snd_ssthresh } = sock.info;
  peer.sends({ flags: 'E.', len: 10 });
  peer.drain();
  peer.sends({ flags: 'E.' });
  peer.sends({ flags: 'E.', sack: [[1, 1001]] }); // a D-SACK, which is looked at
  assert.deepEqual([sock.info.ca_state, sock.info.snd_ssthresh], [0, snd_ssthresh]);
  const plain = b.passive({}, b.listener({}, 81));
  plain.sock.writeAll(2000);
  plain.peer.drain();
  plain.peer.sends({ flags: 'E.', ack: 1001 });
  assert.equal(plain.sock.info.ca_state, 0);
  plain.peer.sends({ flags: '.', ack: 2001 });
  assert.equal(plain.sock.info.delivered_ce, 0);
});

//= rfc3168 6.1.5
both('established · loss · sent again without ECT and CWR, which the new data bears', (b) => {
  const { sock, peer } = flight(b, 20);
  for (const last of [2001, 3001, 4001]) peer.sends({ flags: '.', ack: 1, sack: [[1001, last]] });
  const lines = sent(peer);
  for (let ack = 10_001; ack <= 14_001; ack += 1000) {
    peer.sends({ flags: '.', ack });
    lines.push(...sent(peer));
  }
  assert.equal(lines.filter((line) => line === '1000 0').length, 1, lines.join());
  const fresh = lines.filter((line) => line.endsWith('1000 2'));
  assert.equal(fresh.filter((line) => line.startsWith('W')).length, 1);
  assert.equal(sock.info.total_retrans, 1);
});

both('established · time-out · CWR with the first new data after it', (b) => {
  const { sock, peer } = flight(b, 10);
  peer.expect({ flags: '.', seq: 1, len: 1000, tos: 0, after: 190, within: 60 });
  peer.sends({ flags: '.', ack: 10_001 });
  sock.writeAll(1000);
  peer.expect({ flags: 'PW.', len: 1000, tos: ECT0 });
  peer.sends({ flags: '.' });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000, tos: ECT0 });
  peer.sends({ flags: '.' });
}, { config: { tcp_early_retrans: 0, tcp_frto: 0 } });

both('established · time-out that was needless (F-RTO) · undone, no CWR', (b) => {
  const { sock, peer } = flight(b, 10);
  peer.expect({ flags: '.', seq: 1, len: 1000, tos: 0, after: 190, within: 60 });
  peer.sends({ flags: '.', ack: 10_001 });
  sock.writeAll(1000);
  peer.expect({ flags: 'P.', len: 1000, tos: ECT0 });
  peer.sends({ flags: '.' });
}, { config: { tcp_early_retrans: 0 } });

both('CWR owed · the connection goes quiet · told with the next data', (b) => {
  const { sock, peer } = flight(b);
  peer.sends({ flags: 'E.', ack: 10_001 });
  b.run(120_000);
  assert.equal(sock.info.memory_bytes < 400, true, 'only the small records are left');
  sock.writeAll(100);
  peer.expect({ flags: 'PW.', len: 100, tos: ECT0 });
  peer.sends({ flags: '.' });
});

// ---- Offload

/** Super-segments from a to b; every tenth is marked in the ring, as a kernel's queue would. */
test('offload · CWR on a super-segment · the device is told; a marked one is echoed', () => {
  const simulation = new Simulation({ module: engine, seed: 3 });
  const config = { tcp_ecn: 1 };
  const a = simulation.host('a', { config });
  const b = simulation.host('b', { config: { ...config, rxSlotBytes: 68 * 1024 } });
  const link = simulation.link(a, b, { offload: true, latencyUs: 5000 });
  const types = new Map<boolean, Set<number>>([[true, new Set()], [false, new Set()]]);
  const { engine: e } = a;
  const ring = e.linkRing(a.ports[0]!.linkId) >>> 2;
  let superSegments = 0;
  let marked = 0;
  const drain = a.ports[0]!.drain.bind(a.ports[0]);
  a.ports[0]!.drain = (nowUs, held) => {
    const { words, bytes } = e;
    const [head, tail, mask, slots] = [LinkWord.txHead, LinkWord.txTail, LinkWord.txMask,
      LinkWord.txSlots].map((word) => words[ring + word]!);
    for (let at = tail!; at !== head; at = (at + 1) >>> 0) {
      const slot = slots! + ((at & mask!) >>> 0) * TX_SLOT_BYTES;
      const ip = words[(slot + TX_PIECES) >>> 2]!;
      const type = bytes[ip - VNET_HDR_BYTES + VNET_GSO_TYPE]!;
      const cwr = (bytes[ip + 20 + 13]! & 0x80) !== 0;
      if (type !== 0) {
        superSegments++;
        types.get(cwr)!.add(type);
        if (superSegments % 10 === 0) {
          bytes[ip + 1]! |= CE; // the IPv4 checksum for it
          const sum = ((bytes[ip + 10]! << 8) | bytes[ip + 11]!) - 1;
          bytes.set([sum >> 8, sum & 255], ip + 10);
          marked++;
        }
      }
    }
    drain(nowUs, held);
  };
  new Server(b, 80, () => ({ receiveSeed: 1 }));
  const end = connect(a, link.addresses[1][0] as never, 80, { sendBytes: 20e6, sendSeed: 1 });
  simulation.runWhile(() => end.state === 'open', 60e6);
  assert.equal(end.state, 'done');
  assert.ok(marked > 2);
  assert.deepEqual([...types.get(false)!], [VNET_GSO_TCPV4]);
  assert.deepEqual([...types.get(true)!], [VNET_GSO_TCPV4 | VNET_GSO_ECN]);
  assert.equal(a.engine.counter('TcpRetransSegs'), 0);
  const ce = b.engine.counter('IpExtInCEPkts');
  assert.ok(ce > marked, `${ce} pieces of ${marked} super-segments`);
});

only(4, 'tcp_ecn · 3 and more · EINVAL', (b) => {
  assert.throws(() => b.engine.sysctlSet('tcp_ecn', 3), /EINVAL/);
  b.engine.sysctlSet('tcp_ecn', 1);
});
