/**
 * Frames for tests: IPv4, IPv6, TCP, UDP, ICMP built field by field with right checksums, and a
 * seeded source of random ones. Written apart from the decoders, so that both can be wrong
 * only independently. Called by tests; never by the hosts.
 */

/** xorshift32: the same numbers from the same seed, on every machine. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  /** Whole number in [0, limit). */
  below(limit: number): number {
    return this.next() % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next() >>> 24;
    return bytes;
  }
}

export function concat(...parts: (Uint8Array | number[])[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
}

export function be16(value: number): number[] {
  return [(value >> 8) & 255, value & 255];
}

export function be32(value: number): number[] {
  return [...be16(value >>> 16), ...be16(value & 65535)];
}

/** RFC 1071, the slow way: byte by byte, folding at each step. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  bytes.forEach((byte, i) => {
    sum += i % 2 === 0 ? byte << 8 : byte;
    sum = (sum & 0xffff) + (sum >> 16);
  });
  return ~sum & 0xffff;
}

export function ip4(text: string): number[] {
  return text.split('.').map(Number);
}

/** IPv6 text of eight groups or with one `::`, no dotted tail. */
export function ip6(text: string): number[] {
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(middle).fill('0'), ...right];
  return groups.flatMap((group) => be16(Number.parseInt(group, 16)));
}

export interface Ends {
  from: string;
  to: string;
}

export interface Ip4Fields extends Ends {
  protocol: number;
  tos?: number;
  id?: number;
  flags?: number;
  fragmentOffset?: number;
  ttl?: number;
  options?: number[];
  totalLength?: number;
}

export function ipv4Packet(fields: Ip4Fields, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? [];
  const headerLength = 20 + options.length;
  const header = concat(
    [0x40 | (headerLength / 4), fields.tos ?? 0],
    be16(fields.totalLength ?? headerLength + payload.length), be16(fields.id ?? 1),
    be16(((fields.flags ?? 2) << 13) | ((fields.fragmentOffset ?? 0) >> 3)),
    [fields.ttl ?? 64, fields.protocol, 0, 0], ip4(fields.from), ip4(fields.to), options,
  );
  header.set(be16(internetChecksum(header)), 10);
  return concat(header, payload);
}

export interface Ip6Fields extends Ends {
  nextHeader: number;
  trafficClass?: number;
  flowLabel?: number;
  hopLimit?: number;
}

export function ipv6Packet(fields: Ip6Fields, payload: Uint8Array): Uint8Array {
  const first = 0x60000000 + ((fields.trafficClass ?? 0) << 20) + (fields.flowLabel ?? 0);
  return concat(
    be32(first >>> 0), be16(payload.length), [fields.nextHeader, fields.hopLimit ?? 64],
    ip6(fields.from), ip6(fields.to), payload,
  );
}

/** `segment` with its checksum at `at` filled in, for these ends and this protocol. */
export function sealed(
  segment: Uint8Array, at: number, ends: Ends, protocol: number,
): Uint8Array {
  const v6 = ends.from.includes(':');
  const bytesOf = v6 ? ip6 : ip4;
  const addresses = [...bytesOf(ends.from), ...bytesOf(ends.to)];
  const pseudo = v6 ? [...addresses, ...be32(segment.length), 0, 0, 0, protocol]
    : [...addresses, 0, protocol, ...be16(segment.length)];
  const copy = segment.slice();
  copy.set([0, 0], at);
  copy.set(be16(internetChecksum(concat(pseudo, copy))), at);
  return copy;
}

export interface TcpFields extends Ends {
  sourcePort: number;
  destinationPort: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  urgent?: number;
  /** Raw bytes; padded with EOL to a multiple of four. */
  options?: number[];
  /** Overrides the data offset, in bytes. */
  headerLength?: number;
}

/** A TCP segment with a right checksum. */
export function tcpSegment(fields: TcpFields, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const options = [...(fields.options ?? [])];
  while (options.length % 4 !== 0) options.push(0);
  const headerLength = fields.headerLength ?? 20 + options.length;
  const segment = concat(
    be16(fields.sourcePort), be16(fields.destinationPort), be32(fields.seq ?? 0),
    be32(fields.ack ?? 0), [(headerLength / 4) << 4, fields.flags ?? 0x10],
    be16(fields.window ?? 64240), [0, 0], be16(fields.urgent ?? 0), options, payload,
  );
  return sealed(segment, 16, fields, 6);
}

export function tcpFrame(fields: TcpFields, payload?: Uint8Array, ip: Partial<Ip4Fields> = {}) {
  const segment = tcpSegment(fields, payload);
  if (!fields.from.includes(':')) {
    return ipv4Packet({ from: fields.from, to: fields.to, protocol: 6, ...ip }, segment);
  }
  const trafficClass = ip.tos ?? 0;
  return ipv6Packet({ from: fields.from, to: fields.to, nextHeader: 6, trafficClass }, segment);
}

export function udpDatagram(
  ends: Ends, sourcePort: number, destinationPort: number, payload: Uint8Array,
): Uint8Array {
  const datagram = concat(
    be16(sourcePort), be16(destinationPort), be16(8 + payload.length), [0, 0], payload,
  );
  return sealed(datagram, 6, ends, 17);
}

/** An ICMP message: type, code, the four bytes behind the checksum, and the rest. */
export function icmpMessage(
  type: number, code: number, word: number, rest: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const message = concat([type, code, 0, 0], be32(word), rest);
  message.set(be16(internetChecksum(message)), 2);
  return message;
}

export function icmp6Message(
  ends: Ends, type: number, code: number, word: number, rest: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return sealed(concat([type, code, 0, 0], be32(word), rest), 2, ends, 58);
}

export function ethernetFrame(type: number, payload: Uint8Array, tags: number[] = []): Uint8Array {
  const head = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
  const tagged = tags.flatMap((tci) => [0x81, 0, ...be16(tci)]);
  return concat(head, tagged, be16(type), payload);
}
