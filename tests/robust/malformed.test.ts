/**
 * Each malformed packet increments exactly one named drop counter and is gone: the connection it
 * names stays as it was, in whatever state that is. What is malformed is said here by rules of its
 * own, not by the engine's code.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RX_LENGTH, LinkWord, SHUT_WR } from '../../assembly/abi.js';
import type { CounterName } from '../../host/core/engine.js';
import { Random } from '../../host/sim/random.js';
import { Lab, Net, type Peer } from './lab.js';
import { ACK, FIN, sealIp, sealTcp, writeTcp } from './packets.js';

const DROPS: CounterName[] = [
  'IpInHdrErrors', 'IpInTruncatedPkts', 'IpInAddrErrors', 'IpInUnknownProtos', 'IpInCsumErrors',
  'IpInDiscards', 'IpReasmFails', 'Ip6InHdrErrors', 'Ip6InTruncatedPkts', 'Ip6InAddrErrors',
  'Ip6InUnknownProtos', 'Ip6InDiscards', 'Ip6ReasmFails', 'TcpInErrs', 'TcpInCsumErrors',
  'TcpExtTCPMD5Unexpected', 'AckornLinkInErrors', 'AckornLinkInTruncated', 'AckornTcpBadAddress',
  'AckornSynMalformed', 'UdpInErrors', 'UdpInCsumErrors', 'UdpNoPorts', 'IcmpInErrors',
  'IcmpInCsumErrors', 'Icmp6InErrors', 'Icmp6InCsumErrors',
];

/** Ways of being wrong in the same way. */
const ROUNDS = 50;

interface Case {
  name: string;
  counter: CounterName;
  counter6?: CounterName;
  /** Spoils a packet of `length` bytes, TCP header at `tcp`. @returns its new length */
  spoil(bytes: Uint8Array, tcp: number, length: number, random: Random): number;
}

const v4 = (tcp: number): boolean => tcp === 20;

const CASES: Case[] = [
  {
    name: 'a version that is none', counter: 'AckornLinkInErrors',
    spoil: (bytes, _tcp, length, random) => {
      bytes[0] = random.pick([0x05, 0x15, 0x35, 0x55, 0x75, 0xf5]);
      return length;
    },
  },
  {
    name: 'cut short in the IP header', counter: 'IpInHdrErrors', counter6: 'Ip6InHdrErrors',
    spoil: (_bytes, tcp, _length, random) => 1 + random.below(tcp - 1),
  },
  {
    name: 'shorter than it says', counter: 'IpInTruncatedPkts', counter6: 'Ip6InTruncatedPkts',
    spoil: (_bytes, tcp, length, random) => tcp + random.below(length - tcp),
  },
  {
    name: 'a wrong TCP checksum', counter: 'TcpInCsumErrors',
    spoil: (bytes, tcp, length, random) => {
      const at = tcp + random.pick([4, 8, 13, 14, 16, 17, length - tcp - 1]);
      bytes[at] = (bytes[at] as number) ^ (1 + random.below(255));
      return length;
    },
  },
  {
    name: 'a data offset below five', counter: 'TcpInErrs',
    spoil: (bytes, tcp, length, random) => {
      bytes[tcp + 12] = random.below(5) << 4;
      sealTcp(bytes, tcp, length);
      return length;
    },
  },
  {
    name: 'a data offset beyond the segment', counter: 'TcpInErrs',
    spoil: (bytes, tcp) => {
      const length = tcp + 24;
      if (v4(tcp)) bytes.set([0, length], 2);
      else bytes.set([0, 24], 4);
      sealIp(bytes);
      bytes[tcp + 12] = 7 << 4;
      sealTcp(bytes, tcp, length);
      return length;
    },
  },
  {
    name: 'source port 0', counter: 'AckornTcpBadAddress',
    spoil: (bytes, tcp, length) => {
      bytes.set([0, 0], tcp);
      sealTcp(bytes, tcp, length);
      return length;
    },
  },
  {
    name: 'a source that is a multicast address', counter: 'IpInAddrErrors',
    counter6: 'Ip6InAddrErrors',
    spoil: (bytes, tcp, length) => {
      bytes[v4(tcp) ? 12 : 8] = v4(tcp) ? 0xe0 : 0xff;
      sealIp(bytes);
      sealTcp(bytes, tcp, length);
      return length;
    },
  },
  {
    name: 'a fragment', counter: 'IpReasmFails', counter6: 'Ip6ReasmFails',
    spoil: (bytes, tcp, length, random) => {
      if (v4(tcp)) {
        bytes.set(random.pick([[0x20, 0], [0, 1], [0x20, 9]]), 6);
        sealIp(bytes);
        return length;
      }
      bytes.copyWithin(48, 40, length);
      bytes.set([6, 0, 0, random.pick([1, 8, 9]), 1, 2, 3, 4], 40);
      bytes[6] = 44;
      bytes.set([(length - 32) >> 8, (length - 32) & 255], 4);
      return length + 8;
    },
  },
];

/** Only where there is such a header. */
const CASES4: Case[] = [
  {
    name: 'a wrong header checksum', counter: 'IpInCsumErrors',
    spoil: (bytes, _tcp, length, random) => {
      bytes[8] = (bytes[8] as number) ^ (1 + random.below(255));
      return length;
    },
  },
  {
    name: 'a header length below five', counter: 'IpInHdrErrors',
    spoil: (bytes, _tcp, length, random) => {
      bytes[0] = 0x40 | random.below(5);
      return length;
    },
  },
];

/** A connection brought into a state, and its peer. */
const STATES: Record<string, (lab: Lab, peer: Peer) => void> = {
  'ESTABLISHED': () => {},
  'data in flight': (lab, peer) => {
    lab.engine.write(peer.handle, new Uint8Array(8000), 0, 8000);
    lab.poll();
  },
  'ranges beyond holes': (lab, peer) => {
    for (const at of [100, 300, 500]) {
      peer.send(ACK, { seq: peer.sndNxt + at, payload: new Uint8Array(50) });
    }
    lab.poll();
  },
  'CLOSE_WAIT': (lab, peer) => {
    peer.send(ACK | FIN);
    peer.sndNxt++;
    lab.poll();
  },
  'FIN_WAIT1': (lab, peer) => {
    lab.engine.shutdown(peer.handle, SHUT_WR);
    lab.poll();
  },
  'FIN_WAIT2': (lab, peer) => {
    lab.engine.shutdown(peer.handle, SHUT_WR);
    lab.poll();
    peer.send(ACK);
    lab.poll();
  },
  'TIME_WAIT': (lab, peer) => {
    lab.engine.shutdown(peer.handle, SHUT_WR);
    lab.poll();
    peer.send(ACK | FIN);
    peer.sndNxt++;
    lab.poll();
  },
};

function drops(lab: Lab): Map<CounterName, number> {
  return new Map(DROPS.map((name) => [name, lab.counter(name)]));
}

function tryCase(lab: Lab, peer: Peer, one: Case, random: Random, story: string): void {
  const six = peer.options.six === true;
  const tcp = six ? 40 : 20;
  const bytes = new Uint8Array(2000);
  const length = writeTcp(bytes, {
    from: peer.from, to: peer.to, sourcePort: peer.options.port, destinationPort: 80, flags: ACK,
    seq: peer.sndNxt, ack: peer.rcvNxt, payload: new Uint8Array(1 + random.below(100)).fill(1),
  });
  const before = drops(lab);
  const delivered = lab.counter('TcpExtTCPOFOQueue') + lab.counter('TcpOutSegs');
  lab.inject(bytes, one.spoil(bytes, tcp, length, random));
  lab.poll();
  const changed = [...drops(lab)].filter(([name, count]) => count !== before.get(name));
  const wanted = six ? one.counter6 ?? one.counter : one.counter;
  const told = changed.map(([name, count]) => `${name} +${count - (before.get(name) ?? 0)}`);
  assert.deepEqual(told, [`${wanted} +1`], story);
  const after = lab.counter('TcpExtTCPOFOQueue') + lab.counter('TcpOutSegs');
  assert.equal(after, delivered, `${story}: it was answered`);
}

for (const [state, bring] of Object.entries(STATES)) {
  test(`malformed · ${state} · one counter, nothing else`, () => {
    const random = new Random(state.length);
    for (const six of [false, true]) {
      const lab = new Lab();
      const net = new Net(lab);
      const listener = lab.engine.listen([0, 0, 0, 0], 80, 16);
      const peer = net.peer({ port: 5000, to: 80, six }).open(listener);
      bring(lab, peer);
      const told = (): string =>
        JSON.stringify([...lab.engine.sockets()].map((one) => ({ ...one, timerUs: 0 })));
      const info = told();
      for (const one of six ? CASES : [...CASES, ...CASES4]) {
        for (let round = 0; round < ROUNDS; round++) {
          tryCase(lab, peer, one, random, `${state}, ${six ? 'IPv6' : 'IPv4'}: ${one.name}`);
        }
      }
      assert.equal(told(), info, 'the connection is as it was');
    }
  });
}

test('malformed · descriptors that cannot be · one counter', () => {
  const lab = new Lab();
  const { words } = lab.engine;
  const block = lab.engine.linkRing(lab.link) >>> 2;
  const word = (at: LinkWord): number => words[block + at] as number;
  for (const length of [0, 0xffffffff, 0x7fffffff, 2048 * 65]) {
    const before = lab.counter('AckornLinkInErrors');
    const slot = word(LinkWord.rxHead) & word(LinkWord.rxMask);
    lab.ring.rxPublish(40, false);
    words[(word(LinkWord.rxDescriptors) + slot * 16 + RX_LENGTH) >>> 2] = length;
    lab.poll();
    assert.equal(lab.counter('AckornLinkInErrors'), before + 1, `a length of ${length}`);
  }
});
