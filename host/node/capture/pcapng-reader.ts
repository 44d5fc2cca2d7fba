/**
 * Reading pcapng from a stream of chunks, in either byte order. draft-ietf-opsawg-pcapng §3–4.
 * Called by `dump` on the client's side of the control socket, by `replay`, and by tests.
 * Total: bytes that are no pcapng give one 'malformed' record, after which nothing more is read;
 * unknown blocks are skipped; a block is at most BLOCK_BYTES_MAX long, so memory is bounded.
 */
import {
  BLOCK_INTERFACE, BLOCK_PACKET, BLOCK_SECTION, BLOCK_SIMPLE_PACKET, BLOCK_STATISTICS,
  BYTE_ORDER_MAGIC, EPB_INBOUND, EPB_OUTBOUND, SNAPLEN_MAX,
} from './pcapng.js';

export const BLOCK_BYTES_MAX = 16 * 1024 * 1024;
const MAGIC_SWAPPED = 0x4d3c2b1a;
const INTERFACES_MAX = 1024;

export interface PcapngInterface {
  linkType: number;
  snaplen: number;
  name: string;
  description: string;
}

export interface PcapngPacket {
  type: 'packet';
  interfaceId: number;
  linkType: number;
  timeUs: bigint;
  data: Uint8Array;
  wireLength: number;
  direction: 'in' | 'out' | undefined;
  comment: string | undefined;
  packetId: bigint | undefined;
  lostBefore: bigint;
}

export type PcapngRecord =
  | PcapngPacket
  | { type: 'section'; application: string }
  | { type: 'interface'; interfaceId: number; interface: PcapngInterface }
  | { type: 'statistics'; interfaceId: number; timeUs: bigint; received: bigint; dropped: bigint }
  | { type: 'malformed'; reason: string; offset: number };

interface Clock {
  /** Units per second. */
  resolution: bigint;
  offsetSeconds: bigint;
}

const decoder = new TextDecoder();

export class PcapngReader {
  private pending: Uint8Array = new Uint8Array(0);
  private littleEndian = true;
  private started = false;
  private broken = false;
  private offset = 0;
  private interfaces: PcapngInterface[] = [];
  private clocks: Clock[] = [];

  /** Takes the next bytes and returns the records that are complete now. */
  push(chunk: Uint8Array): PcapngRecord[] {
    const records: PcapngRecord[] = [];
    if (this.broken) return records;
    this.pending = this.pending.length === 0 ? new Uint8Array(chunk)
      : Buffer.concat([this.pending, chunk]);
    let at = 0;
    while (!this.broken && this.pending.length - at >= 12) {
      const length = this.blockLength(at, records);
      if (length === 0 || this.pending.length - at < length) break;
      this.readBlock(at, length, records);
      at += length;
      this.offset += length;
    }
    this.pending = this.broken ? new Uint8Array(0) : this.pending.slice(at);
    return records;
  }

  /** Tells that no more bytes come: what is left is half a block. */
  end(): PcapngRecord[] {
    const records: PcapngRecord[] = [];
    if (!this.broken && this.pending.length > 0) this.fail(records, 'ends within a block');
    if (!this.broken && !this.started) this.fail(records, 'no section header');
    return records;
  }

  private fail(records: PcapngRecord[], reason: string): number {
    this.broken = true;
    records.push({ type: 'malformed', reason, offset: this.offset });
    return 0;
  }

  private view(at: number): DataView {
    return new DataView(this.pending.buffer, this.pending.byteOffset + at);
  }

  /** Length of the block at `at`, checked; 0 when it cannot be read (then the reader is broken). */
  private blockLength(at: number, records: PcapngRecord[]): number {
    const view = this.view(at);
    const type = view.getUint32(0, true);
    if (type === BLOCK_SECTION) {
      const magic = view.getUint32(8, true);
      if (magic !== BYTE_ORDER_MAGIC && magic !== MAGIC_SWAPPED) {
        return this.fail(records, 'bad byte-order magic');
      }
      this.littleEndian = magic === BYTE_ORDER_MAGIC;
      this.started = true;
    } else if (!this.started) return this.fail(records, 'not a pcapng file');
    const length = view.getUint32(4, this.littleEndian);
    if (length < 12 || length % 4 !== 0) return this.fail(records, `block length ${length}`);
    if (length > BLOCK_BYTES_MAX) return this.fail(records, `block of ${length} bytes`);
    return length;
  }

  private readBlock(at: number, length: number, records: PcapngRecord[]): void {
    const view = this.view(at);
    const little = this.littleEndian;
    if (view.getUint32(length - 4, little) !== length) {
      this.fail(records, 'block lengths differ');
      return;
    }
    switch (view.getUint32(0, little)) {
      case BLOCK_SECTION: this.readSection(at, length, records); break;
      case BLOCK_INTERFACE: this.readInterface(at, length, records); break;
      case BLOCK_PACKET: this.readPacket(at, length, records); break;
      case BLOCK_SIMPLE_PACKET: this.readSimple(at, length, records); break;
      case BLOCK_STATISTICS: this.readStatistics(at, length, records); break;
      default: break; // a reader skips what it does not know (§3.1)
    }
  }

  /** Options in [from, to), the last of each code; stops at the first that does not fit. */
  private options(from: number, to: number): Map<number, Uint8Array> {
    const found = new Map<number, Uint8Array>();
    let at = from;
    while (at + 4 <= to) {
      const view = this.view(at);
      const code = view.getUint16(0, this.littleEndian);
      const length = view.getUint16(2, this.littleEndian);
      if (code === 0 || at + 4 + length > to) break;
      found.set(code, this.copy(at + 4, length));
      at += 4 + ((length + 3) & ~3);
    }
    return found;
  }

  /** A copy, so that a record keeps neither the chunk nor a Buffer's pool alive. */
  private copy(at: number, length: number): Uint8Array {
    return new Uint8Array(this.pending.subarray(at, at + length));
  }

  private number64(value: Uint8Array | undefined): bigint | undefined {
    if (value === undefined || value.length < 8) return undefined;
    return new DataView(value.buffer, value.byteOffset).getBigUint64(0, this.littleEndian);
  }

  private readSection(at: number, length: number, records: PcapngRecord[]): void {
    if (length < 28) {
      this.fail(records, 'section header too short');
      return;
    }
    this.interfaces = [];
    this.clocks = [];
    const options = this.options(at + 24, at + length - 4);
    records.push({ type: 'section', application: decoder.decode(options.get(4)) });
  }

  private readInterface(at: number, length: number, records: PcapngRecord[]): void {
    if (length < 20 || this.interfaces.length >= INTERFACES_MAX) {
      this.fail(records, 'bad interface description');
      return;
    }
    const view = this.view(at);
    const options = this.options(at + 16, at + length - 4);
    const description: PcapngInterface = {
      linkType: view.getUint16(8, this.littleEndian),
      snaplen: view.getUint32(12, this.littleEndian),
      name: decoder.decode(options.get(2)), description: decoder.decode(options.get(3)),
    };
    const resolution = options.get(9)?.[0] ?? 6;
    const exponent = BigInt(resolution & 0x7f);
    const shift = this.number64(options.get(14)) ?? 0n;
    this.clocks.push({
      resolution: (resolution & 0x80) !== 0 ? 2n ** exponent : 10n ** exponent,
      offsetSeconds: BigInt.asIntN(64, shift),
    });
    this.interfaces.push(description);
    const interfaceId = this.interfaces.length - 1;
    records.push({ type: 'interface', interfaceId, interface: description });
  }

  private micros(interfaceId: number, high: number, low: number): bigint {
    const units = (BigInt(high) << 32n) | BigInt(low);
    const clock = this.clocks[interfaceId] ?? { resolution: 1_000_000n, offsetSeconds: 0n };
    return (units * 1_000_000n) / clock.resolution + clock.offsetSeconds * 1_000_000n;
  }

  private readPacket(at: number, length: number, records: PcapngRecord[]): void {
    const view = this.view(at);
    const little = this.littleEndian;
    const captured = length >= 32 ? view.getUint32(20, little) : Number.MAX_SAFE_INTEGER;
    const dataEnd = 28 + ((captured + 3) & ~3);
    if (captured > length - 32 || dataEnd > length - 4) {
      this.fail(records, 'packet longer than its block');
      return;
    }
    const interfaceId = view.getUint32(8, little);
    const linkType = this.interfaces[interfaceId]?.linkType;
    if (linkType === undefined) {
      this.fail(records, `packet of an unknown interface ${interfaceId}`);
      return;
    }
    const options = this.options(at + dataEnd, at + length - 4);
    const flags = options.get(2)?.[little ? 0 : 3] ?? 0;
    const comment = options.get(1);
    records.push({
      type: 'packet', interfaceId, linkType,
      timeUs: this.micros(interfaceId, view.getUint32(12, little), view.getUint32(16, little)),
      data: this.copy(at + 28, captured),
      wireLength: view.getUint32(24, little),
      direction: directionOf(flags),
      comment: comment === undefined ? undefined : decoder.decode(comment),
      packetId: this.number64(options.get(5)), lostBefore: this.number64(options.get(4)) ?? 0n,
    });
  }

  /** A simple packet: interface 0, no time; its length is what the block and snaplen leave. */
  private readSimple(at: number, length: number, records: PcapngRecord[]): void {
    const description = this.interfaces[0];
    if (length < 16 || description === undefined) {
      this.fail(records, 'bad simple packet');
      return;
    }
    const wireLength = this.view(at).getUint32(8, this.littleEndian);
    const snaplen = description.snaplen === 0 ? SNAPLEN_MAX : description.snaplen;
    const captured = Math.min(wireLength, snaplen, length - 16);
    records.push({
      type: 'packet', interfaceId: 0, linkType: description.linkType, timeUs: 0n,
      data: this.copy(at + 12, captured), wireLength, direction: undefined,
      comment: undefined, packetId: undefined, lostBefore: 0n,
    });
  }

  private readStatistics(at: number, length: number, records: PcapngRecord[]): void {
    if (length < 24) {
      this.fail(records, 'bad interface statistics');
      return;
    }
    const view = this.view(at);
    const interfaceId = view.getUint32(8, this.littleEndian);
    const high = view.getUint32(12, this.littleEndian);
    const low = view.getUint32(16, this.littleEndian);
    const options = this.options(at + 20, at + length - 4);
    records.push({
      type: 'statistics', interfaceId, timeUs: this.micros(interfaceId, high, low),
      received: this.number64(options.get(4)) ?? 0n, dropped: this.number64(options.get(5)) ?? 0n,
    });
  }
}

function directionOf(flags: number): 'in' | 'out' | undefined {
  if ((flags & 3) === EPB_INBOUND) return 'in';
  return (flags & 3) === EPB_OUTBOUND ? 'out' : undefined;
}

/** Reads a whole file at once. */
export function readPcapng(bytes: Uint8Array): PcapngRecord[] {
  const reader = new PcapngReader();
  const records = reader.push(bytes);
  for (const record of reader.end()) records.push(record);
  return records;
}
