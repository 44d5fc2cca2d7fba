/**
 * Where a capture's packets go: a pcapng stream (file, pipe, control socket) or an async iterator.
 * Both hold a bounded queue: a slow reader loses packets, which are counted and told (epb_dropcount
 * on the next packet, isb_ifdrop at the end), and never slows the stack.
 * Called by `up --pcap`, `dump`, the control socket and tests, through Capture.add().
 */
import type { Writable } from 'node:stream';
import type { LinkType } from '../decode/types.js';
import type { CaptureSink, WirePacket } from './capture.js';
import {
  enhancedPacket, interfaceDescription, interfaceStatistics, LINKTYPE_ETHERNET, LINKTYPE_RAW,
  sectionHeader, SNAPLEN_MAX,
} from './pcapng.js';

/** Bytes that may wait for a slow reader: some hundred super-segments. */
export const QUEUE_BYTES_DEFAULT = 8 * 1024 * 1024;
/** Packets that may wait in a PacketQueue. */
export const QUEUE_PACKETS_DEFAULT = 65536;

export interface PcapngSinkOptions {
  link?: LinkType;
  /** if_name, default "tun0". */
  name?: string;
  /** if_description. */
  description?: string;
  /** Bytes of each packet to keep; the rest is cut, the length on the wire is told. */
  snaplen?: number;
  /** Bytes that may wait in the stream before packets are lost. */
  queueBytes?: number;
  /** End the stream with the capture; default true. */
  end?: boolean;
}

/** Writes pcapng to a byte stream. An error of the stream ends the sink quietly (see `failed`). */
export class PcapngSink implements CaptureSink {
  /** Packets lost to a full queue. */
  lost = 0n;
  /** The stream's error, if it had one. */
  failed: Error | undefined;
  private lostSince = 0n;
  private startUs: bigint | undefined;
  private readonly snaplen: number;
  private readonly queueBytes: number;

  constructor(private readonly out: Writable, private readonly options: PcapngSinkOptions = {}) {
    this.snaplen = options.snaplen ?? SNAPLEN_MAX;
    this.queueBytes = options.queueBytes ?? QUEUE_BYTES_DEFAULT;
    out.on('error', (error) => {
      this.failed ??= error;
    });
    out.write(sectionHeader('ackorn'));
    out.write(interfaceDescription({
      linkType: options.link === 'ethernet' ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
      name: options.name ?? 'tun0', description: options.description, snaplen: this.snaplen,
    }));
  }

  deliver(packet: WirePacket): void {
    this.startUs ??= packet.timeUs;
    if (!this.open || this.out.writableLength + packet.bytes.length > this.queueBytes) {
      this.lost += 1n;
      this.lostSince += 1n;
      return;
    }
    this.out.write(enhancedPacket({
      timeUs: packet.timeUs, direction: packet.direction, comment: packet.comment,
      data: packet.bytes.subarray(0, this.snaplen), wireLength: packet.bytes.length,
      packetId: packet.id, lostBefore: this.lostSince,
    }));
    this.lostSince = 0n;
  }

  close(received: bigint, timeUs: bigint): void {
    if (!this.open) return;
    const startUs = this.startUs ?? timeUs;
    this.out.write(interfaceStatistics({ timeUs, startUs, received, dropped: this.lost }));
    if (this.options.end !== false) this.out.end();
  }

  private get open(): boolean {
    return this.failed === undefined && !this.out.destroyed && !this.out.writableEnded;
  }
}

export interface QueuedPacket extends WirePacket {
  /** Packets lost right before this one. */
  lostBefore: bigint;
}

/**
 * Packets for code in this process: `for await (const packet of queue)`. One reader. At most
 * `limit` packets wait, beside the batch that the reader is working through.
 */
export class PacketQueue implements CaptureSink, AsyncIterable<QueuedPacket> {
  lost = 0n;
  private readonly waiting: QueuedPacket[] = [];
  private lostSince = 0n;
  private closed = false;
  private wake: (() => void) | undefined;

  constructor(private readonly limit = QUEUE_PACKETS_DEFAULT) {}

  deliver(packet: WirePacket): void {
    if (this.closed || this.waiting.length >= this.limit) {
      this.lost += 1n;
      this.lostSince += 1n;
      return;
    }
    this.waiting.push({ ...packet, lostBefore: this.lostSince });
    this.lostSince = 0n;
    this.wake?.();
  }

  close(): void {
    this.closed = true;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<QueuedPacket, void, undefined> {
    while (true) {
      // Taken in whole batches: shift() on a long array is linear.
      for (const packet of this.waiting.splice(0)) yield packet;
      if (this.waiting.length > 0) continue;
      if (this.closed) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }
}
