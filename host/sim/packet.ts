/**
 * The little that elements must know of packets: where the TCP header is, the Internet checksum
 * (RFC 1071) and its update (RFC 1624), an ICMP error (RFC 792, RFC 4443). Decoding for people is
 * elsewhere; congestion marks (RFC 3168 §5). Total: anything may stand in the bytes. Used by
 * elements/ and the router.
 */

import { formatAddress, type AddressWords } from '../core/address.js';

export const PROTOCOL_TCP = 6;

const get16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >>> 8) & 255;
  bytes[at + 1] = value & 255;
}

const get32 = (bytes: Uint8Array, at: number): number =>
  ((get16(bytes, at) << 16) | get16(bytes, at + 2)) >>> 0;

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

/** Ones' complement sum of the bytes and what was summed before. Not folded, not inverted. */
export function sum(bytes: Uint8Array, from: number, to: number, before = 0): number {
  let total = before;
  for (let at = from; at + 1 < to; at += 2) total += get16(bytes, at);
  if ((to - from) % 2 === 1) total += (bytes[to - 1] as number) << 8;
  return total;
}

export function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded & 0xffff);
  return ~folded & 0xffff;
}

/** Replaces a 16-bit word and corrects the checksum at `sumAt` for it (RFC 1624 eqn. 3). */
export function replace16(bytes: Uint8Array, at: number, value: number, sumAt: number): void {
  const old = get16(bytes, at);
  const corrected = (~get16(bytes, sumAt) & 0xffff) + (~old & 0xffff) + value;
  put16(bytes, sumAt, fold(corrected));
  put16(bytes, at, value);
}

/** IP version of a frame; 0 when it is none of the two or too short for its header. */
export function ipVersion(bytes: Uint8Array, length: number): 0 | 4 | 6 {
  const version = length > 0 ? (bytes[0] as number) >> 4 : 0;
  if (version === 4 && length >= 20) return 4;
  return version === 6 && length >= 40 ? 6 : 0;
}

/** ECN codepoint: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE; 0 when the frame is not IP. */
export function ecnOf(bytes: Uint8Array, length: number): number {
  const version = ipVersion(bytes, length);
  if (version === 0) return 0;
  return version === 4 ? (bytes[1] as number) & 3 : ((bytes[1] as number) >> 4) & 3;
}

/** Sets CE, and IPv4's checksum for it. @returns false, nothing changed: not ECN-capable */
export function markCe(bytes: Uint8Array, length: number): boolean {
  if (ecnOf(bytes, length) === 0) return false;
  if (ipVersion(bytes, length) === 6) bytes[1] = (bytes[1] as number) | 0x30;
  else replace16(bytes, 0, get16(bytes, 0) | 3, 10);
  return true;
}

/** Offset of the TCP header; 0: no whole TCP header is here. */
export function tcpOffset(bytes: Uint8Array, length: number): number {
  const version = ipVersion(bytes, length);
  if (version === 0) return 0;
  const at = version === 4 ? ((bytes[0] as number) & 15) * 4 : 40;
  const protocol = version === 4 ? bytes[9] : bytes[6];
  // A later fragment has no header.
  if (version === 4 && (get16(bytes, 6) & 0x1fff) !== 0) return 0;
  if (protocol !== PROTOCOL_TCP || length < at + 20) return 0;
  return length >= at + tcpHeaderLength(bytes, at) ? at : 0;
}

export function tcpHeaderLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 12] as number) >> 4) * 4;
}

/** Bytes behind the TCP header; 0 when the frame is not TCP. */
export function tcpPayloadLength(bytes: Uint8Array, length: number): number {
  const at = tcpOffset(bytes, length);
  return at === 0 ? 0 : length - at - tcpHeaderLength(bytes, at);
}

/** TCP flags byte; 0 when the frame is not TCP. */
export function tcpFlags(bytes: Uint8Array, length: number): number {
  const at = tcpOffset(bytes, length);
  return at === 0 ? 0 : (bytes[at + 13] as number);
}

/** Source or destination of a frame in the engine's form; undefined when it is no IP packet. */
export function ipAddress(
  bytes: Uint8Array, length: number, end: 'source' | 'destination',
): AddressWords | undefined {
  const version = ipVersion(bytes, length);
  if (version === 4) return [0, 0, 0xffff, get32(bytes, end === 'source' ? 12 : 16)];
  if (version === 0) return undefined;
  const at = end === 'source' ? 8 : 24;
  return [get32(bytes, at), get32(bytes, at + 4), get32(bytes, at + 8), get32(bytes, at + 12)];
}

function ipv4Header(
  into: Uint8Array, length: number, from: AddressWords, to: AddressWords,
): void {
  into.fill(0, 0, 20);
  into[0] = 0x45;
  put16(into, 2, length);
  into[8] = 64;
  into[9] = 1;
  put32(into, 12, from[3]);
  put32(into, 16, to[3]);
  put16(into, 10, fold(sum(into, 0, 20)));
}

function ipv6Header(
  into: Uint8Array, length: number, from: AddressWords, to: AddressWords,
): void {
  into.fill(0, 0, 40);
  into[0] = 0x60;
  put16(into, 4, length - 40);
  into[6] = 58;
  into[7] = 64;
  for (let at = 0; at < 4; at++) {
    put32(into, 8 + at * 4, from[at] as number);
    put32(into, 24 + at * 4, to[at] as number);
  }
}

export interface IcmpError {
  /** Address of the router that complains. */
  from: AddressWords;
  type: number;
  code: number;
  /** The four bytes behind the checksum: the MTU, or 0. */
  rest: number;
}

/** True for ICMP and ICMPv6 errors: no error is ever sent about one (RFC 1122 §3.2.2). */
function isIcmpError(bytes: Uint8Array, length: number, version: 4 | 6): boolean {
  if (version === 6) return bytes[6] === 58 && length > 40 && (bytes[40] as number) < 128;
  const at = ((bytes[0] as number) & 15) * 4;
  if (bytes[9] !== 1 || length <= at) return false;
  return [3, 4, 5, 11, 12].includes(bytes[at] as number);
}

/**
 * Writes the ICMP or ICMPv6 error that a router answers to a packet with: its beginning is quoted,
 * up to 576 bytes in all (RFC 1812 §4.3.2.3) or 1280 (RFC 4443 §2.4).
 * @param into room for 1,280 bytes
 * @returns the length of the error; 0 when the packet is none that may be answered
 */
export function icmpError(
  into: Uint8Array, packet: Uint8Array, length: number, error: IcmpError,
): number {
  const version = ipVersion(packet, length);
  const to = ipAddress(packet, length, 'source');
  if (version === 0 || to === undefined || isIcmpError(packet, length, version)) return 0;
  const header = version === 4 ? 20 : 40;
  const quoted = Math.min(length, (version === 4 ? 576 : 1280) - header - 8);
  const total = header + 8 + quoted;
  into[header] = error.type;
  into[header + 1] = error.code;
  put16(into, header + 2, 0);
  put32(into, header + 4, error.rest);
  into.set(packet.subarray(0, quoted), header + 8);
  if (version === 4) {
    ipv4Header(into, total, error.from, to);
    put16(into, header + 2, fold(sum(into, header, total)));
  } else {
    ipv6Header(into, total, error.from, to);
    const pseudo = sum(into, 8, 40, total - 40 + 58);
    put16(into, header + 2, fold(sum(into, header, total, pseudo)));
  }
  return total;
}

/** One short line about a frame, for messages of failing tests. */
export function describe(bytes: Uint8Array, length: number): string {
  const from = ipAddress(bytes, length, 'source');
  const to = ipAddress(bytes, length, 'destination');
  if (from === undefined || to === undefined) return `not IP, ${length} bytes`;
  const at = tcpOffset(bytes, length);
  if (at === 0) return `${formatAddress(from)} > ${formatAddress(to)} ${length} bytes`;
  const names = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];
  const set = tcpFlags(bytes, length);
  const flags = names.filter((_, bit) => (set >> bit) & 1).join('');
  const ports = [get16(bytes, at), get16(bytes, at + 2)];
  const payload = tcpPayloadLength(bytes, length);
  return `${formatAddress(from)}.${ports[0]} > ${formatAddress(to)}.${ports[1]} [${flags}] ` +
    `seq ${get32(bytes, at + 4)} ack ${get32(bytes, at + 8)} win ${get16(bytes, at + 14)} ` +
    `len ${payload}`;
}
