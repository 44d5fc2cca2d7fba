/**
 * Ethernet links (link/input.ts, link/ethernet.ts): whose frames are taken, tags, padding, and what
 * the virtio_net_hdr says when a MAC header stands before the packet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AUTO_IPV6, Errno, LINK_CSUM, LINK_ETHERNET, LINK_TSO4, LINK_UP, LINK_VNET_HDR, LinkWord,
  RX_DESCRIPTOR_BYTES, RX_FLAGS, RX_VLAN, State,
} from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import {
  arp, ARP, assertIpv4, BROADCAST, ethernet, EthernetLab, IPV4, IPV6, MAC, macBytes, PEER, PEER_MAC,
  US,
} from '../support/ethernet-lab.js';
import { icmpMessage, ipv4Packet, tcpFrame } from '../support/frames.js';

/** An echo request from the peer, whose MAC the engine knows afterwards. */
function echo(to = US, from = PEER): Uint8Array {
  return ipv4Packet({ from, to, protocol: 1 }, icmpMessage(8, 0, 0x00010001, new Uint8Array(8)));
}

function introduce(lab: EthernetLab): void {
  lab.exchange(arp({ op: 1, from: PEER, fromMac: PEER_MAC, to: US }));
}

const DROPS = /^AckornLinkIn|Errors$/;

test('ethernet · an echo request to our MAC · is answered to its sender, padded to 60', () => {
  const lab = new EthernetLab();
  introduce(lab);
  const [reply, ...more] = lab.exchange(ethernet(PEER_MAC, MAC, IPV4, echo()));
  assert.ok(reply !== undefined && more.length === 0);
  assert.deepEqual([reply.to, reply.from, reply.type], [PEER_MAC, MAC, IPV4]);
  assert.equal(reply.length, 60);
  assert.equal(reply.payload[20], 0); // echo reply
  assertIpv4(reply.payload);
  assert.deepEqual([...reply.payload.subarray(36)], Array<number>(10).fill(0), 'padding of zeros');
  lab.assertBaseline();
});

test('ethernet · frames for others, of other kinds, cut short · each in its one counter', () => {
  const lab = new EthernetLab();
  introduce(lab);
  const cases: [string, Uint8Array, Record<string, number>][] = [
    ['another MAC', ethernet(PEER_MAC, '02:00:00:00:00:09', IPV4, echo()),
      { AckornLinkInOtherHost: 1 }],
    ['a group of nobody', ethernet(PEER_MAC, '01:00:5e:00:00:fb', IPV4, echo()),
      { AckornLinkInOtherHost: 1 }],
    ['our own frame', ethernet(MAC, BROADCAST, IPV4, echo()), { AckornLinkInOtherHost: 1 }],
    ['from a group', ethernet('03:00:00:00:00:02', MAC, IPV4, echo()), { AckornLinkInErrors: 1 }],
    ['another type', ethernet(PEER_MAC, MAC, 0x88cc, echo()), { AckornLinkInUnknownType: 1 }],
    ['802.3 length', ethernet(PEER_MAC, MAC, 46, echo()), { AckornLinkInUnknownType: 1 }],
    ['a VLAN', ethernet(PEER_MAC, MAC, IPV4, echo(), 7), { AckornLinkInVlan: 1 }],
    ['13 bytes', new Uint8Array(13), { AckornLinkInErrors: 1 }],
    ['header only', ethernet(PEER_MAC, MAC, IPV4, new Uint8Array(0)), { AckornLinkInErrors: 1 }],
    ['half a tag', ethernet(PEER_MAC, MAC, IPV4, new Uint8Array(0), 7).slice(0, 16),
      { AckornLinkInErrors: 1 }],
    ['IPv6 said, IPv4 inside', ethernet(PEER_MAC, MAC, IPV6, echo()), { AckornLinkInErrors: 1 }],
    ['ARP of 27 bytes', ethernet(PEER_MAC, MAC, ARP, new Uint8Array(27)), { AckornArpInErrors: 1 }],
  ];
  for (const [name, frame, counters] of cases) {
    let out: unknown[] = [];
    const changed = lab.changed(() => { out = lab.exchange(frame); }, DROPS);
    assert.deepEqual(changed, counters, name);
    assert.equal(out.length, 0, name);
  }
});

test('ethernet · priority tag of VLAN 0 · taken as untagged', () => {
  const lab = new EthernetLab();
  introduce(lab);
  assert.equal(lab.exchange(ethernet(PEER_MAC, MAC, IPV4, echo(), 5 << 13)).length, 1);
});

test('ethernet · VLAN 7 · tags out, takes tags in the frame and from the descriptor', () => {
  const lab = new EthernetLab({ vlan: 7 });
  const request = arp({ op: 1, from: PEER, fromMac: PEER_MAC, to: US });
  const untagged = lab.changed(() => assert.equal(lab.exchange(request).length, 0), DROPS);
  assert.deepEqual(untagged, { AckornLinkInVlan: 1 });
  const tagged = ethernet(PEER_MAC, BROADCAST, ARP, request.slice(14), 7 | 3 << 13);
  const [reply] = lab.exchange(tagged);
  assert.deepEqual([reply?.vlan, reply?.type, reply?.length], [7, ARP, 60]);
  // the tag was taken out by the device
  const ring = lab.rings[0]!;
  const words = lab.engine.words;
  const at = lab.engine.calls.linkRing(0) >>> 2;
  const head = words[at + LinkWord.rxHead]! & words[at + LinkWord.rxMask]!;
  const entry = words[at + LinkWord.rxDescriptors]! + head * RX_DESCRIPTOR_BYTES;
  assert.ok(ring.receive(ethernet(PEER_MAC, MAC, IPV4, echo()), 14 + echo().length));
  words[(entry + RX_FLAGS) >>> 2] = RX_VLAN | 7 << 16;
  lab.poll();
  const [answer] = lab.take();
  assert.deepEqual([answer?.vlan, answer?.to], [7, PEER_MAC]);
});

test('ethernet · unicast packet in a broadcast frame · no answer (RFC 1122 §3.3.6)', () => {
  const lab = new EthernetLab();
  introduce(lab);
  assert.equal(lab.exchange(ethernet(PEER_MAC, BROADCAST, IPV4, echo())).length, 0);
  const syn = { from: PEER, to: US, sourcePort: 4000, destinationPort: 9, flags: 2 };
  assert.equal(lab.exchange(ethernet(PEER_MAC, BROADCAST, IPV4, tcpFrame(syn))).length, 0);
  assert.equal(lab.exchange(ethernet(PEER_MAC, MAC, IPV4, tcpFrame(syn))).length, 1); // RST
});

test('ethernet · checksum offload · csum_start counts the MAC header, with a tag too', () => {
  for (const vlan of [0, 9]) {
    const flags = LINK_UP | LINK_ETHERNET | LINK_VNET_HDR | LINK_CSUM | LINK_TSO4;
    const lab = new EthernetLab({ flags, vlan });
    const tag = vlan === 0 ? undefined : vlan;
    const request = arp({ op: 1, from: PEER, fromMac: PEER_MAC, to: US });
    lab.exchange(ethernet(PEER_MAC, BROADCAST, ARP, request.slice(14), tag));
    lab.engine.listen(parseAddress('0.0.0.0')!, 80, 5);
    const syn = tcpFrame({ from: PEER, to: US, sourcePort: 4000, destinationPort: 80, flags: 2 });
    const [synAck] = lab.exchange(ethernet(PEER_MAC, MAC, IPV4, syn, tag));
    const view = new DataView(synAck!.vnet.buffer);
    assert.equal(view.getUint8(0), 1, 'NEEDS_CSUM');
    assert.equal(view.getUint16(6, true), (vlan === 0 ? 14 : 18) + 20);
    assert.equal(view.getUint16(8, true), 16);
  }
});

test('ethernet · a super-segment · one descriptor, hdr_len counts the MAC header', () => {
  const flags = LINK_UP | LINK_ETHERNET | LINK_VNET_HDR | LINK_CSUM | LINK_TSO4;
  const lab = new EthernetLab({ flags });
  introduce(lab);
  const { engine } = lab;
  const handle = engine.open();
  engine.connect(handle, parseAddress(PEER)!, 80);
  lab.poll();
  const syn = lab.take().find(({ type }) => type === IPV4)!;
  const port = (syn.payload[20]! << 8) | syn.payload[21]!;
  const iss = new DataView(syn.payload.buffer, syn.payload.byteOffset).getUint32(24);
  const synAck = tcpFrame({
    from: PEER, to: US, sourcePort: 80, destinationPort: port, seq: 100, ack: iss + 1, flags: 0x12,
    options: [2, 4, 5, 0xb4],
  });
  lab.exchange(ethernet(PEER_MAC, MAC, IPV4, synAck));
  assert.equal(engine.info(handle).state, State[State.ESTABLISHED]);
  engine.write(handle, new Uint8Array(10_000), 0, 10_000);
  lab.poll();
  const big = lab.take().find(({ payload }) => payload.length > 1500)!;
  const view = new DataView(big.vnet.buffer);
  assert.equal(view.getUint8(1), 1, 'TCPv4');
  assert.equal(view.getUint16(2, true), 14 + 20 + 20);
  assert.equal(view.getUint16(4, true), 1460);
  assert.equal(view.getUint16(6, true), 34);
  assert.equal(big.to, PEER_MAC);
});

test('ethernet · linkEthernet · refuses what cannot be', () => {
  const lab = new EthernetLab({ start: false });
  const { calls } = lab.engine;
  const [a0, a1, a2, a3] = parseAddress(US)!;
  assert.equal(calls.addressAdd(0, a0, a1, a2, a3, 24), -Errno.ENETDOWN); // no MAC yet
  assert.equal(calls.linkEthernet(1, 0x02000000, 1, 0, 0), -Errno.EINVAL); // no such link
  assert.equal(calls.linkEthernet(0, 0x03000000, 1, 0, 0), -Errno.EINVAL); // a group
  assert.equal(calls.linkEthernet(0, 0, 0, 0, 0), -Errno.EINVAL);
  assert.equal(calls.linkEthernet(0, 0x02000000, 0x10000, 0, 0), -Errno.EINVAL);
  assert.equal(calls.linkEthernet(0, 0x02000000, 1, 4095, 0), -Errno.EINVAL);
  assert.equal(calls.linkEthernet(0, 0x02000000, 1, 0, 8), -Errno.EINVAL);
  assert.equal(calls.linkEthernet(0, 0x02000000, 1, 4094, AUTO_IPV6), 0);
  assert.equal(lab.addLink(LINK_UP), 1);
  assert.equal(calls.linkEthernet(1, 0x02000000, 1, 0, 0), -Errno.EINVAL); // no Ethernet
  const without = new EthernetLab({ start: false });
  assert.throws(() => new EthernetLab({ config: { neighborsMax: 0 } }), /EOPNOTSUPP/);
  assert.equal(without.engine.calls.tableNext(9, 0), 0);
  assert.equal(macBytes(MAC).length, 6);
});
