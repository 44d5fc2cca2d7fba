/**
 * A capture on one link: what crosses it becomes wire packets, handed to any number of sinks.
 * Super-segments are cut and checksums completed first (offload.ts), so that a reader sees what a
 * wire would carry. Called by the link drivers for every frame, before it may be changed or reused.
 * Costs one comparison while nobody listens. A sink may lose records but never waits: nothing here
 * blocks or throws into the stack.
 */
import {
  VNET_F_NEEDS_CSUM, VNET_GSO_NONE, VNET_GSO_TCPV4, VNET_GSO_TCPV6,
} from '../../../assembly/abi.js';
import { u16, u8 } from '../decode/bytes.js';
import type { LinkType } from '../decode/types.js';
import { segmentGso, type VnetHeader } from '../offload.js';

/** A frame as the link driver has it. Bytes are copied before packet() returns. */
export interface CaptureInput {
  /** Microseconds; since 1970 unless the stack runs in virtual time. */
  timeUs: bigint | number;
  /** Seen from the stack. */
  direction: 'in' | 'out';
  /** The frame, or its pieces in order. */
  bytes: Uint8Array | readonly Uint8Array[];
  /** Said with each of its wire packets, for example "dropped: loss". */
  comment?: string;
  /** Payload bytes of each wire packet, if this is a TCP super-segment. */
  gsoSize?: number;
  /** The transport checksum holds only the pseudo-header's sum. */
  csumPartial?: boolean;
  /** Where the transport header begins, and the checksum within it, bytes. */
  csumStart?: number;
  csumOffset?: number;
}

/** A packet as a wire would carry it. */
export interface WirePacket {
  /** Counts from 1 in this capture. */
  id: bigint;
  timeUs: bigint;
  direction: 'in' | 'out';
  bytes: Uint8Array;
  comment: string | undefined;
}

/** Who receives wire packets. deliver() may not throw, block, or keep more than its bound. */
export interface CaptureSink {
  deliver(packet: WirePacket): void;
  /** No more packets come. `received` is how many there were since the sink was added. */
  close(received: bigint, timeUs: bigint): void;
}

interface Attached {
  sink: CaptureSink;
  received: bigint;
}

export interface CaptureOptions {
  /** 'raw' (TUN, default) or 'ethernet'. */
  link?: LinkType;
}

function joined(bytes: Uint8Array | readonly Uint8Array[]): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  return bytes.length === 1 && bytes[0] !== undefined ? bytes[0] : Buffer.concat(bytes);
}

/** Where the IP header begins: behind the Ethernet header and its 802.1Q tags. */
export function networkOffset(frame: Uint8Array, link: LinkType): number {
  if (link === 'raw') return 0;
  let at = 12;
  while ([0x8100, 0x88a8, 0x9100, 0x9200].includes(u16(frame, at))) at += 4;
  return at + 2;
}

function vnetOf(input: CaptureInput, frame: Uint8Array, network: number): VnetHeader {
  const gsoSize = input.gsoSize ?? 0;
  const version = u8(frame, network) >> 4;
  const tcpType = version === 6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
  return {
    flags: input.csumPartial === true ? VNET_F_NEEDS_CSUM : 0,
    gsoType: gsoSize > 0 ? tcpType : VNET_GSO_NONE, hdrLen: 0, gsoSize,
    csumStart: input.csumStart ?? 0, csumOffset: input.csumOffset ?? 16,
  };
}

export class Capture {
  readonly link: LinkType;
  private readonly sinks = new Set<Attached>();
  private lastId = 0n;
  private lastTimeUs = 0n;

  constructor(options: CaptureOptions = {}) {
    this.link = options.link ?? 'raw';
  }

  /** True while somebody listens: a driver may skip the call otherwise. */
  get active(): boolean {
    return this.sinks.size > 0;
  }

  /** Packets go to `sink` from now on; call what is returned to end it (once is enough). */
  add(sink: CaptureSink): () => void {
    const attached: Attached = { sink, received: 0n };
    this.sinks.add(attached);
    return () => {
      if (this.sinks.delete(attached)) sink.close(attached.received, this.lastTimeUs);
    };
  }

  /** Hands a frame to every sink. Never throws, never waits. */
  packet(input: CaptureInput): void {
    if (this.sinks.size === 0) return;
    const timeUs = typeof input.timeUs === 'bigint' ? input.timeUs
      : BigInt(Math.round(input.timeUs));
    this.lastTimeUs = timeUs;
    const frame = joined(input.bytes);
    const network = networkOffset(frame, this.link);
    for (const bytes of segmentGso(frame, vnetOf(input, frame, network), network)) {
      this.lastId += 1n;
      const { direction, comment } = input;
      const packet: WirePacket = { id: this.lastId, timeUs, direction, bytes, comment };
      for (const attached of this.sinks) {
        attached.received += 1n;
        attached.sink.deliver(packet);
      }
    }
  }

  /** Ends all sinks. The capture can be used again. */
  close(): void {
    const all = [...this.sinks];
    this.sinks.clear();
    for (const { sink, received } of all) sink.close(received, this.lastTimeUs);
  }
}
