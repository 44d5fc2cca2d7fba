/**
 * Random traffic from a seed: well-formed frames of every kind that the decoders know, and
 * mutations of them. Called by the fuzz tests and by the comparison with the real tcpdump.
 */
import {
  be16, be32, concat, icmp6Message, icmpMessage, ipv4Packet, ipv6Packet, Random, tcpFrame,
  tcpSegment, udpDatagram,
} from './frames.js';

const V4 = { from: '10.99.0.1', to: '10.99.0.2' };
const V6 = { from: 'fd00::1', to: '2001:db8:0:1::2' };

function tcpOptions(random: Random): number[] {
  const word = () => be32(random.next());
  const kinds: (() => number[])[] = [
    () => [1], () => [2, 4, ...be16(random.below(65536))], () => [3, 3, random.below(15)],
    () => [4, 2], () => [8, 10, ...word(), ...word()],
    () => [5, 10, ...word(), ...word()], () => [5, 18, ...word(), ...word(), ...word(), ...word()],
    () => [34, 2], () => [34, 10, ...random.bytes(8)], () => [254, 4, 0xf9, 0x89],
    () => [254, 6, 0x12, 0x34, 1, 2], () => [28, 4, ...be16(random.below(65536))],
    () => [19, 18, ...random.bytes(16)], () => [99, 5, 1, 2, 3], () => [6, 6, ...word()],
    () => [29, 8, 1, 2, ...random.bytes(4)],
  ];
  const list: number[] = [];
  const count = random.below(5);
  for (let i = 0; i < count; i++) {
    const option = random.pick(kinds)();
    if (list.length + option.length <= 40) list.push(...option);
  }
  return list;
}

function randomTcp(random: Random): Uint8Array {
  const ends = random.pick([V4, V6]);
  const forward = random.below(2) === 0;
  const [from, to] = forward ? [ends.from, ends.to] : [ends.to, ends.from];
  const [near, far] = [40000 + random.below(3), 5201];
  const [sourcePort, destinationPort] = forward ? [near, far] : [far, near];
  const flags = random.pick([2, 18, 16, 24, 17, 4, 20, 0x52, 0xc2, 0x90, 0x30, 0, 41]);
  const payload = random.bytes(random.pick([0, 0, 1, 5, 100, 1448]));
  const fields = {
    from, to, sourcePort, destinationPort, flags, seq: random.next(), ack: random.next(),
    window: random.below(65536), urgent: random.below(100), options: tcpOptions(random),
  };
  const options = random.below(8) === 0 ? [7, 7, 4, 0, 0, 0, 0, 0] : [];
  const ip = {
    tos: random.below(256), ttl: random.below(256), id: random.below(65536),
    flags: random.pick([0, 2, 2, 2, 4]), options,
  };
  return tcpFrame(fields, payload, ip);
}

function randomFragment(random: Random): Uint8Array {
  const payload = random.bytes(64);
  const offset = random.pick([0, 8, 1480]);
  const more = random.below(2);
  if (random.below(2) === 0) {
    const first = tcpSegment({ ...V4, sourcePort: 1, destinationPort: 2 }, payload);
    const fields = { ...V4, protocol: 6, flags: more, fragmentOffset: offset };
    return ipv4Packet(fields, first);
  }
  const first = tcpSegment({ ...V6, sourcePort: 1, destinationPort: 2 }, payload);
  const header = [6, 0, ...be16(offset | more), ...be32(random.next())];
  return ipv6Packet({ ...V6, nextHeader: 44 }, concat(header, first));
}

function randomIcmp(random: Random): Uint8Array {
  const quoted = tcpFrame({ ...V4, sourcePort: 5, destinationPort: 6, flags: 2 });
  const quoted6 = tcpFrame({ ...V6, sourcePort: 5, destinationPort: 6, flags: 2 });
  const datagram = ipv4Packet({ ...V4, protocol: 17 }, udpDatagram(V4, 7, 9, random.bytes(20)));
  const word = random.below(65536);
  const echo = be32(random.next());
  const target = concat(random.bytes(16), [1, 1, 2, 0, 0, 0, 0, 1]);
  const four: (() => Uint8Array)[] = [
    () => icmpMessage(8, 0, (echo[0]! << 24) >>> 0, random.bytes(56)),
    () => icmpMessage(0, 0, word, random.bytes(56)),
    () => icmpMessage(3, random.below(17), word, random.pick([quoted, datagram])),
    () => icmpMessage(3, 3, 0, quoted.slice(0, 28)),
    () => icmpMessage(11, random.below(3), 0, quoted.slice(0, 28)),
    () => icmpMessage(12, random.below(2), random.next(), quoted),
    () => icmpMessage(5, random.below(5), 0x0a630009, quoted),
  ];
  const six: (() => Uint8Array)[] = [
    () => icmp6Message(V6, random.pick([128, 129]), 0, random.next(), random.bytes(56)),
    () => icmp6Message(V6, 1, random.below(5), 0, quoted6),
    () => icmp6Message(V6, 2, 0, 1280, quoted6),
    () => icmp6Message(V6, 3, random.below(3), 0, quoted6),
    () => icmp6Message(V6, 4, random.below(5), word, quoted6),
    () => icmp6Message(V6, 135, 0, 0, target),
    () => icmp6Message(V6, 136, 0, random.pick([0x60000000, 0xe0000000]), target),
  ];
  if (random.below(2) === 0) return ipv4Packet({ ...V4, protocol: 1 }, random.pick(four)());
  return ipv6Packet({ ...V6, nextHeader: 58 }, random.pick(six)());
}

function randomOther(random: Random): Uint8Array {
  const payload = random.bytes(random.below(200));
  const inner = tcpSegment({ ...V6, sourcePort: 40000, destinationPort: 5201 }, payload);
  switch (random.below(6)) {
    case 0: return ipv4Packet({ ...V4, protocol: 17 }, udpDatagram(V4, 7777, 8888, payload));
    case 1: return ipv6Packet({ ...V6, nextHeader: 17 }, udpDatagram(V6, 7777, 8888, payload));
    case 2: return ipv4Packet({ ...V4, protocol: 253 }, payload);
    case 3: return ipv6Packet({ ...V6, nextHeader: 59 }, new Uint8Array(0));
    case 4: return ipv6Packet({ ...V6, nextHeader: 0 }, concat([6, 0, 1, 4, 0, 0, 0, 0], inner));
    default: return ipv6Packet({ ...V6, nextHeader: 60 }, concat([6, 0, 1, 4, 0, 0, 0, 0], inner));
  }
}

/** One well-formed raw IP frame. */
export function randomFrame(random: Random): Uint8Array {
  switch (random.below(8)) {
    case 0: return randomFragment(random);
    case 1:
    case 2: return randomIcmp(random);
    case 3: return randomOther(random);
    default: return randomTcp(random);
  }
}

/** A copy with a few bytes changed, or cut, or lengthened. */
export function mutated(random: Random, frame: Uint8Array): Uint8Array {
  const copy = concat(frame);
  const changes = 1 + random.below(4);
  for (let i = 0; i < changes; i++) copy[random.below(copy.length)] = random.below(256);
  const kind = random.below(4);
  if (kind === 0) return copy.slice(0, random.below(copy.length));
  return kind === 1 ? concat(copy, random.bytes(random.below(20))) : copy;
}
