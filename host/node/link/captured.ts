/**
 * A link with a capture beside it: what was read from the device and what is about to be written to
 * it is handed to the capture, before the engine or the device sees it. Costs one comparison a
 * batch while nobody listens. Made by runtime/; stands between the loop and any Link.
 */

import {
  LinkWord, RX_ADDRESS, RX_DESCRIPTOR_BYTES, RX_LENGTH, TX_PIECES, TX_PIECE_COUNT, TX_SLOT_BYTES,
  VNET_F_NEEDS_CSUM, VNET_GSO_ECN, VNET_GSO_NONE, VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import type { Capture } from '../capture/index.js';
import { NO_OFFLOAD, readVnetHeader } from '../offload.js';
import type { EthernetSettings, Link } from './link.js';
import { Ring, type EngineMemory } from './ring.js';

/** Wall-clock time in µs. Not Date.now(): its steps of a millisecond would reorder packets. */
export function wallClockUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

export class CapturedLink implements Link {
  readonly #inner: Link;
  readonly #capture: Capture;
  #ring: Ring | undefined;
  /** Entries shown to the capture, in the rings' own counts. */
  #rxSeen = 0;
  #txSeen = 0;

  constructor(inner: Link, capture: Capture) {
    this.#inner = inner;
    this.#capture = capture;
  }

  get name(): string {
    return this.#inner.name;
  }

  get mtu(): number {
    return this.#inner.mtu;
  }

  get flags(): number {
    return this.#inner.flags;
  }

  get ethernet(): EthernetSettings | undefined {
    return this.#inner.ethernet;
  }

  attach(memory: EngineMemory, ringAddress: number, wake: () => void): void {
    this.#inner.attach(memory, ringAddress, wake);
    this.#ring = new Ring(memory, ringAddress);
  }

  readBatch(max: number): number {
    const moved = this.#inner.readBatch(max);
    const ring = this.#ring as Ring;
    const head = ring.get(LinkWord.rxHead);
    if (this.#capture.active) {
      for (let at = this.#rxSeen; at !== head; at = (at + 1) >>> 0) this.#received(ring, at);
    }
    this.#rxSeen = head;
    return moved;
  }

  writeBatch(): number {
    const ring = this.#ring as Ring;
    const head = ring.get(LinkWord.txHead);
    if (this.#capture.active) {
      for (let at = this.#txSeen; at !== head; at = (at + 1) >>> 0) this.#sent(ring, at);
    }
    this.#txSeen = head;
    return this.#inner.writeBatch();
  }

  #received(ring: Ring, at: number): void {
    const index = (at & ring.get(LinkWord.rxMask)) >>> 0;
    const entry = (ring.get(LinkWord.rxDescriptors) + index * RX_DESCRIPTOR_BYTES) >>> 2;
    const address = ring.words[entry + RX_ADDRESS / 4] as number;
    const length = ring.words[entry + RX_LENGTH / 4] as number;
    this.#show(ring, 'in', address, [ring.bytes.subarray(address, address + length)]);
  }

  #sent(ring: Ring, at: number): void {
    const index = (at & ring.get(LinkWord.txMask)) >>> 0;
    const slot = (ring.get(LinkWord.txSlots) + index * TX_SLOT_BYTES) >>> 2;
    const first = slot + TX_PIECES / 4;
    const pieces: Uint8Array[] = [];
    for (let piece = 0; piece < (ring.words[slot + TX_PIECE_COUNT / 4] as number); piece++) {
      const address = ring.words[first + piece * 2] as number;
      const length = ring.words[first + piece * 2 + 1] as number;
      pieces.push(ring.bytes.subarray(address, address + length));
    }
    this.#show(ring, 'out', ring.words[first] as number, pieces);
  }

  #show(ring: Ring, direction: 'in' | 'out', address: number, bytes: Uint8Array[]): void {
    const vnet = ring.hasVnetHeader
      ? readVnetHeader(ring.bytes, address - VNET_HDR_BYTES) : NO_OFFLOAD;
    const cut = (vnet.gsoType & ~VNET_GSO_ECN) !== VNET_GSO_NONE;
    this.#capture.packet({
      timeUs: wallClockUs(), direction, bytes,
      csumPartial: (vnet.flags & VNET_F_NEEDS_CSUM) !== 0,
      csumStart: vnet.csumStart, csumOffset: vnet.csumOffset,
      ...(cut ? { gsoSize: vnet.gsoSize } : {}),
    });
  }

  ref(): void {
    this.#inner.ref();
  }

  unref(): void {
    this.#inner.unref();
  }

  close(): void {
    this.#inner.close();
  }
}
