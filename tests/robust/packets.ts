/**
 * TCP packets for tests that need millions of them: written into one buffer, checksums included,
 * and read back from a transmit ring. IPv4 and IPv6 by the engine's four address words. Knows
 * nothing of connections. Called by tests/robust; tests/support/frames.ts is the readable twin.
 */
import { familyOf, type AddressWords } from '../../host/core/address.js';

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

export interface TcpPacket {
  from: AddressWords;
  to: AddressWords;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack?: number;
  flags: number;
  window?: number;
  urgent?: number;
  /** Raw option bytes, a multiple of four. */
  options?: readonly number[];
  payload?: Uint8Array;
}

/** What a packet of the engine said. */
export interface Parsed {
  from: AddressWords;
  to: AddressWords;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  options: Uint8Array;
  payload: Uint8Array;
  length: number;
}

/** Sum of 16-bit words over bytes, not folded. */
function sumOf(bytes: Uint8Array, from: number, to: number, start: number): number {
  let sum = start;
  let at = from;
  for (; at + 1 < to; at += 2) sum += ((bytes[at] as number) << 8) + (bytes[at + 1] as number);
  if (at < to) sum += (bytes[at] as number) << 8;
  return sum;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 65536);
  return ~rest & 0xffff;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function get16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function get32(bytes: Uint8Array, at: number): number {
  return ((get16(bytes, at) << 16) | get16(bytes, at + 2)) >>> 0;
}

/** Computes the IPv4 header's checksum again. */
export function sealIp(bytes: Uint8Array): void {
  if ((bytes[0] as number) >> 4 !== 4) return;
  put16(bytes, 10, 0);
  put16(bytes, 10, folded(sumOf(bytes, 0, ((bytes[0] as number) & 15) * 4, 0)));
}

/** Computes the TCP checksum again, of `length` bytes of packet with a header of `header`. */
export function sealTcp(bytes: Uint8Array, header: number, length: number): void {
  const six = (bytes[0] as number) >> 4 === 6;
  put16(bytes, header + 16, 0);
  const pseudo = sumOf(bytes, six ? 8 : 12, six ? 40 : 20, 6 + length - header);
  put16(bytes, header + 16, folded(sumOf(bytes, header, length, pseudo)));
}

/** Writes a packet with right checksums. @returns its length */
export function writeTcp(bytes: Uint8Array, packet: TcpPacket): number {
  const { from, to, options = [], payload } = packet;
  const four = familyOf(from) === 4;
  const header = four ? 20 : 40;
  const tcpHeader = 20 + options.length;
  const length = header + tcpHeader + (payload?.length ?? 0);
  bytes.fill(0, 0, header + tcpHeader);
  if (four) {
    bytes[0] = 0x45;
    put16(bytes, 2, length);
    bytes[6] = 0x40;
    bytes[8] = 64;
    bytes[9] = 6;
    put32(bytes, 12, from[3]);
    put32(bytes, 16, to[3]);
    sealIp(bytes);
  } else {
    bytes[0] = 0x60;
    put16(bytes, 4, length - 40);
    bytes[6] = 6;
    bytes[7] = 64;
    for (let word = 0; word < 4; word++) {
      put32(bytes, 8 + word * 4, from[word] as number);
      put32(bytes, 24 + word * 4, to[word] as number);
    }
  }
  put16(bytes, header, packet.sourcePort);
  put16(bytes, header + 2, packet.destinationPort);
  put32(bytes, header + 4, packet.seq);
  put32(bytes, header + 8, packet.ack ?? 0);
  bytes[header + 12] = (tcpHeader / 4) << 4;
  bytes[header + 13] = packet.flags;
  put16(bytes, header + 14, packet.window ?? 65535);
  put16(bytes, header + 18, packet.urgent ?? 0);
  for (let at = 0; at < options.length; at++) bytes[header + 20 + at] = options[at] as number;
  if (payload !== undefined) bytes.set(payload, header + tcpHeader);
  sealTcp(bytes, header, length);
  return length;
}

function words(bytes: Uint8Array, at: number): AddressWords {
  return [get32(bytes, at), get32(bytes, at + 4), get32(bytes, at + 8), get32(bytes, at + 12)];
}

/** Reads a packet of the engine; undefined when it is not TCP. The views are of `bytes`. */
export function readTcp(bytes: Uint8Array, length: number): Parsed | undefined {
  const four = (bytes[0] as number) >> 4 === 4;
  const header = four ? 20 : 40;
  if (bytes[four ? 9 : 6] !== 6) return undefined;
  const data = header + ((bytes[header + 12] as number) >> 4) * 4;
  return {
    from: four ? [0, 0, 0xffff, get32(bytes, 12)] : words(bytes, 8),
    to: four ? [0, 0, 0xffff, get32(bytes, 16)] : words(bytes, 24),
    sourcePort: get16(bytes, header),
    destinationPort: get16(bytes, header + 2),
    seq: get32(bytes, header + 4),
    ack: get32(bytes, header + 8),
    flags: (bytes[header + 13] as number) & 63,
    window: get16(bytes, header + 14),
    options: bytes.subarray(header + 20, data),
    payload: bytes.subarray(data, length),
    length,
  };
}

/** Bytes of a TCP option list: MSS, SACK permitted, timestamps, window scale, SACK blocks. */
export function tcpOptions(wanted: {
  mss?: number; sackOk?: boolean; ts?: readonly [number, number]; wscale?: number;
  sack?: readonly (readonly [number, number])[];
}): number[] {
  const word = (value: number): number[] =>
    [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const list: number[] = [];
  if (wanted.mss !== undefined) list.push(2, 4, wanted.mss >>> 8, wanted.mss & 255);
  if (wanted.sackOk === true) list.push(1, 1, 4, 2);
  if (wanted.ts !== undefined) list.push(1, 1, 8, 10, ...word(wanted.ts[0]), ...word(wanted.ts[1]));
  if (wanted.wscale !== undefined) list.push(1, 3, 3, wanted.wscale);
  if (wanted.sack !== undefined && wanted.sack.length > 0) {
    list.push(1, 1, 5, 2 + wanted.sack.length * 8);
    for (const [start, end] of wanted.sack) list.push(...word(start), ...word(end));
  }
  return list;
}

/** The value of an option's first word, or undefined. */
export function optionWord(options: Uint8Array, kind: number): number | undefined {
  for (let at = 0; at + 1 < options.length;) {
    if (options[at] === 0) return undefined;
    if (options[at] === 1) at++;
    else if (options[at] === kind) return get32(options, at + 2);
    else at += Math.max(2, options[at + 1] as number);
  }
  return undefined;
}

/** Blocks of a SACK option. */
export function sackBlocks(options: Uint8Array): [number, number][] {
  for (let at = 0; at + 1 < options.length;) {
    if (options[at] === 0) return [];
    if (options[at] === 1) {
      at++;
      continue;
    }
    const bytes = options[at + 1] as number;
    if (options[at] === 5) {
      const blocks: [number, number][] = [];
      for (let place = at + 2; place < at + bytes; place += 8) {
        blocks.push([get32(options, place), get32(options, place + 4)]);
      }
      return blocks;
    }
    at += Math.max(2, bytes);
  }
  return [];
}
