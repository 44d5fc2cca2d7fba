/**
 * Writing pcapng blocks: section header, interface description, enhanced packet, interface
 * statistics. draft-ietf-opsawg-pcapng §4.1, §4.2, §4.3, §4.6; little endian throughout.
 * Written here because no npm library for it is kept up. Called by sinks.ts and tests; knows
 * nothing of queues or streams.
 */

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_STATISTICS = 5;
export const BLOCK_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
/** epb_flags, bits 0–1. */
export const EPB_INBOUND = 1;
export const EPB_OUTBOUND = 2;
/** tcpdump and Wireshark refuse to read more. */
export const SNAPLEN_MAX = 262144;
/** Less would tell nothing of a packet. */
export const SNAPLEN_MIN = 16;

const encoder = new TextEncoder();
/** An option's length is 16 bits; a comment is cut to this many bytes. */
const OPTION_BYTES_MAX = 65535;

interface Option {
  code: number;
  value: Uint8Array;
}

const text = (code: number, value: string): Option => ({
  code, value: encoder.encode(value).subarray(0, OPTION_BYTES_MAX),
});

function word32(code: number, value: number): Option {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return { code, value: bytes };
}

function word64(code: number, value: bigint): Option {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return { code, value: bytes };
}

/** A time option: two words, the high one first (unlike other 64-bit options). */
function time(code: number, timeUs: bigint): Option {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Number((timeUs >> 32n) & 0xffffffffn), true);
  view.setUint32(4, Number(timeUs & 0xffffffffn), true);
  return { code, value: bytes };
}

const padded = (length: number) => (length + 3) & ~3;

/** A block: type, length, fixed body, padded data, options with their end, length again. */
function block(type: number, body: Uint8Array, data: Uint8Array, options: Option[]): Uint8Array {
  let optionBytes = 0;
  for (const option of options) optionBytes += 4 + padded(option.value.length);
  if (options.length > 0) optionBytes += 4; // opt_endofopt
  const length = 12 + body.length + padded(data.length) + optionBytes;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(body, 8);
  bytes.set(data, 8 + body.length);
  let at = 8 + body.length + padded(data.length);
  for (const option of options) {
    view.setUint16(at, option.code, true);
    view.setUint16(at + 2, option.value.length, true);
    bytes.set(option.value, at + 4);
    at += 4 + padded(option.value.length);
  }
  view.setUint32(length - 4, length, true);
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** Begins a file: its first block. `application` becomes shb_userappl. */
export function sectionHeader(application: string): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true); // version 1.0
  view.setBigInt64(8, -1n, true); // section length not told: the file is a stream
  return block(BLOCK_SECTION, body, NOTHING, [text(4, application)]);
}

export interface InterfaceDescription {
  /** LINKTYPE_RAW or LINKTYPE_ETHERNET. */
  linkType: number;
  name: string;
  description?: string | undefined;
  /** Bytes of a packet that are kept; default SNAPLEN_MAX. */
  snaplen?: number | undefined;
}

/** Describes an interface; the first is number 0. Time stamps are microseconds (if_tsresol 6). */
export function interfaceDescription(options: InterfaceDescription): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint16(0, options.linkType, true);
  view.setUint32(4, options.snaplen ?? SNAPLEN_MAX, true);
  const list = [text(2, options.name)];
  if (options.description !== undefined) list.push(text(3, options.description));
  list.push({ code: 9, value: Uint8Array.of(6) });
  return block(BLOCK_INTERFACE, body, NOTHING, list);
}

export interface EnhancedPacket {
  timeUs: bigint;
  direction: 'in' | 'out';
  data: Uint8Array;
  /** Length on the wire, if data was cut. */
  wireLength?: number;
  packetId?: bigint;
  /** Packets lost by this reader right before this one (epb_dropcount). */
  lostBefore?: bigint;
  comment?: string | undefined;
  interfaceId?: number;
}

export function enhancedPacket(packet: EnhancedPacket): Uint8Array {
  const body = new Uint8Array(20);
  const view = new DataView(body.buffer);
  view.setUint32(0, packet.interfaceId ?? 0, true);
  view.setUint32(4, Number((packet.timeUs >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Number(packet.timeUs & 0xffffffffn), true);
  view.setUint32(12, packet.data.length, true);
  view.setUint32(16, packet.wireLength ?? packet.data.length, true);
  const list = [word32(2, packet.direction === 'in' ? EPB_INBOUND : EPB_OUTBOUND)];
  if (packet.lostBefore !== undefined && packet.lostBefore > 0n) {
    list.push(word64(4, packet.lostBefore));
  }
  if (packet.packetId !== undefined) list.push(word64(5, packet.packetId));
  if (packet.comment !== undefined) list.push(text(1, packet.comment));
  return block(BLOCK_PACKET, body, packet.data, list);
}

export interface InterfaceStatistics {
  timeUs: bigint;
  startUs: bigint;
  /** Packets that the interface saw. */
  received: bigint;
  /** Packets that this file lacks because its reader was slow. */
  dropped: bigint;
  interfaceId?: number;
}

/** Closes a capture: how much was seen, and how much of it is not in the file. */
export function interfaceStatistics(stats: InterfaceStatistics): Uint8Array {
  const body = new Uint8Array(12);
  const view = new DataView(body.buffer);
  view.setUint32(0, stats.interfaceId ?? 0, true);
  view.setUint32(4, Number((stats.timeUs >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Number(stats.timeUs & 0xffffffffn), true);
  const list = [time(2, stats.startUs), time(3, stats.timeUs), word64(4, stats.received),
    word64(5, stats.dropped)];
  if (stats.dropped > 0n) {
    list.push(text(1, `${stats.dropped} packets lost: the reader was too slow`));
  }
  return block(BLOCK_STATISTICS, body, NOTHING, list);
}
