/**
 * Hostile frames on an Ethernet link that configures itself: every kind that it understands, bytes
 * flipped, cut, lengthened and spliced; no trap, no table beyond its bound, everything back at the
 * end, and a neighbour who behaves is still served.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AUTO_DHCP, AUTO_IPV6, AUTO_SLAAC, LINK_UP, Table, TableWord,
} from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import {
  arp, BROADCAST, ethernet, EthernetLab, IPV4, IPV6, MAC, macBytes, macOption, nd,
  neighborAdvertise, neighborSolicit, PEER, PEER_MAC, ROUTER_MAC, US,
} from '../support/ethernet-lab.js';
import {
  be16, be32, concat, icmp6Message, icmpMessage, internetChecksum, ip4, ip6, ipv4Packet,
  ipv6Packet, Random, sealed, tcpFrame, udpDatagram,
} from '../support/frames.js';

const ROUNDS = Number(process.env['ACKORN_TEST_ROUNDS'] ?? 40_000);
const NEIGHBORS = 16;
/** As on a microcontroller. */
const SMALL = {
  arenaBytes: 32_768, arenaBlockShift: 7, txSlots: 8, rxSlots: 4, rxSlotBytes: 1664, traceSlots: 0,
  unres_qlen: 2, neighborQueueMax: 4,
};
const US6 = 'fd00::1';
const LINK_LOCAL = 'fe80::ff:fe00:1';

/** Of the client's last message: or no answer would ever be for it. */
let xid = 0;

function listen(lab: EthernetLab): void {
  for (const { type, payload } of lab.seenOthers[0]!) {
    const asked = type === IPV4 && payload[9] === 17 && payload[23] === 67;
    if (asked) xid = new DataView(payload.buffer, payload.byteOffset).getUint32(32);
  }
  lab.seenOthers[0] = [];
}

function dhcp(type: number, random: Random): Uint8Array {
  const head = new Uint8Array(236);
  head.set([2, 1, 6, 0, ...be32(random.below(4) === 0 ? random.next() : xid)]);
  head.set(ip4('10.1.77.77'), 16);
  head.set(macBytes(MAC), 28);
  const message = concat(
    head, [99, 130, 83, 99, 53, 1, type, 54, 4, 10, 1, 0, 9, 51, 4], be32(random.below(900)),
    [1, 4, 255, 255, 255, 0, 3, 4, 10, 1, 0, 9, 26, 2, 5, 0, 255],
  );
  const ends = { from: '10.1.0.9', to: '255.255.255.255' };
  return ethernet(ROUTER_MAC, BROADCAST, IPV4,
    ipv4Packet({ ...ends, protocol: 17 }, udpDatagram(ends, 67, 68, message)));
}

function advertisement(random: Random): Uint8Array {
  const prefix = concat(
    [3, 4, random.pick([64, 64, 48, 128, 200]), random.pick([0xc0, 0x80, 0x40])],
    be32(random.pick([0, 5, 86_400, 0xffffffff])), be32(random.pick([0, 5, 3600])), be32(0),
    ip6(`2001:db8:${random.below(500).toString(16)}::`),
  );
  const rest = concat(
    be32(random.pick([0, 1, 30_000, 0xffffffff])), be32(random.pick([0, 1, 1000, 0xffffffff])),
    macOption(1, ROUTER_MAC), [5, 1, 0, 0], be32(random.pick([0, 1280, 1500, 9000])), prefix,
  );
  const from = `fe80::${(1 + random.below(300)).toString(16)}`;
  return nd(ROUTER_MAC, from, 'ff02::1', 134, random.pick([0, 1800, 0xffffffff]), rest);
}

/** A frame of every kind, good as it is. */
function good(random: Random): Uint8Array {
  const peer = `10.1.${random.below(4)}.${random.below(256)}`;
  const peer6 = `fd00::${random.below(999).toString(16)}`;
  const port = 1 + random.below(60_000);
  const syn = { sourcePort: port, destinationPort: random.pick([80, 81]), flags: 2 };
  switch (random.below(12)) {
    case 0: return arp({ op: 1, from: peer, fromMac: PEER_MAC, to: US });
    case 1: return arp({ op: random.pick([1, 2]), from: random.pick([peer, US]), fromMac: PEER_MAC,
      to: random.pick([US, peer]), destination: random.pick([MAC, BROADCAST]) });
    case 2: return neighborSolicit(PEER_MAC, random.pick([peer6, '::']), 'ff02::1:ff00:1', US6);
    case 3: return neighborAdvertise(PEER_MAC, random.pick([peer6, US6, LINK_LOCAL]),
      random.pick([US6, 'ff02::1']), random.pick([0, 0x20, 0x40, 0x60, 0xe0]));
    case 4: return advertisement(random);
    case 5: return dhcp(1 + random.below(8), random);
    case 6: return nd(ROUTER_MAC, 'fe80::9', 'ff02::1', 130, random.next(), new Uint8Array(20),
      { hopLimit: 1 });
    case 7: return ethernet(PEER_MAC, MAC, IPV4,
      ipv4Packet({ from: peer, to: US, protocol: 1 }, icmpMessage(8, 0, 1, random.bytes(40))));
    case 8: return ethernet(PEER_MAC, MAC, IPV6, ipv6Packet(
      { from: peer6, to: US6, nextHeader: 58 },
      icmp6Message({ from: peer6, to: US6 }, 128, 0, 1, random.bytes(40)),
    ));
    case 9: return ethernet(PEER_MAC, MAC, IPV4, tcpFrame({ from: peer, to: US, ...syn }));
    case 10: return ethernet(PEER_MAC, MAC, IPV6, tcpFrame({ from: peer6, to: US6, ...syn }));
    default: return nd(ROUTER_MAC, 'fe80::9', US6, 137, 0, concat(ip6(peer6), ip6(peer6)));
  }
}

/** Checksums right again behind a change, as often as not: or nothing would get past them. */
function repair(frame: Uint8Array): Uint8Array {
  const packet = frame.subarray(14);
  if (frame[12] === 8 && frame[13] === 0 && packet.length >= 28) {
    packet.set([0, 0], 10);
    packet.set(be16(internetChecksum(packet.subarray(0, 20))), 10);
    if (packet[9] === 17) packet.set([0, 0], 26); // IPv4 may do without
  }
  if (frame[12] === 0x86 && packet.length >= 48 && packet[6] === 58) {
    const text = (at: number): string => Array.from({ length: 8 }, (_, i) =>
      ((packet[at + i * 2]! << 8) | packet[at + i * 2 + 1]!).toString(16)).join(':');
    packet.set(be16(packet.length - 40), 4);
    packet.set(sealed(packet.slice(40), 2, { from: text(8), to: text(24) }, 58), 40);
  }
  return frame;
}

function mutate(frame: Uint8Array, random: Random): Uint8Array {
  switch (random.below(6)) {
    case 0: return frame;
    case 1: return frame.slice(0, 1 + random.below(frame.length));
    case 2: return concat(frame, random.bytes(1 + random.below(64)));
    case 3: {
      const other = good(random);
      const at = random.below(Math.min(frame.length, other.length));
      return concat(frame.subarray(0, at), other.subarray(at));
    }
    default: {
      const copy = frame.slice();
      for (let i = 0; i <= random.below(4); i++) {
        copy[12 + random.below(copy.length - 12)] = random.pick([0, 1, 255, random.below(256)]);
      }
      return random.below(2) === 0 ? copy : repair(copy);
    }
  }
}

for (const seed of [1, 2, 3]) {
  test(`ethernet · hostile frames, seed ${seed} · no trap, bounded, everything comes back`, () => {
    const random = new Random(seed);
    const lab = new EthernetLab({
      addresses: [`${US}/16`, `${US6}/64`], auto: AUTO_IPV6 | AUTO_SLAAC | AUTO_DHCP,
      config: {
        seed, neighborsMax: NEIGHBORS, routesMax: 8, addressesMax: 12, neighborQueueMax: 8,
        addr_gen_mode: random.pick([0, 2]), dad_transmits: 1, ...(seed === 3 ? SMALL : {}),
      },
    });
    lab.engine.listen(parseAddress('::')!, 80, 4);
    for (let i = 0; i < ROUNDS / 3; i++) {
      lab.inject(mutate(good(random), random));
      if (random.below(16) === 0) lab.poll(random.pick([0, 10, 1000, 100_000]));
      if (random.below(2000) === 0) lab.engine.linkSet(0, random.below(3) > 0);
      if (random.below(500) === 0) lab.run(5000);
      if (i % 500 === 0) lab.take();
      listen(lab);
    }
    if (lab.engine.table(Table.Links).next().value![TableWord.state]! < LINK_UP) {
      lab.engine.linkSet(0, true);
    }
    assert.ok(lab.neighbors().length <= NEIGHBORS);
    assert.ok(lab.routes().length <= 8);
    lab.run(400_000); // what is half open ends, what waits fails
    for (let handle = 0; handle < 50; handle++) lab.engine.events(() => undefined);
    const pools = lab.engine.pools();
    assert.equal(pools.halfOpen.used, 0);
    assert.equal(pools.arena.used, 0);
    for (const row of lab.neighbors()) assert.equal(row.queued, 0);
    for (const name of [
      'AckornDhcpInAcks', 'AckornAddressConflicts', 'AckornRouteTableFull', 'AckornNeighborFailed',
      'AckornDhcpInErrors', 'AckornArpInErrors', 'Icmp6InErrors', 'AckornNeighborTableFull',
    ] as const) assert.ok(lab.counter(name) > 0, `${name}: that was not tried`);
    lab.exchange(arp({ op: 1, from: PEER, fromMac: PEER_MAC, to: US }));
    const echo = ipv4Packet({ from: PEER, to: US, protocol: 1 }, icmpMessage(8, 0, 9));
    const [answer] = lab.exchange(ethernet(PEER_MAC, MAC, IPV4, echo));
    assert.equal(answer?.to, PEER_MAC);
  });
}
