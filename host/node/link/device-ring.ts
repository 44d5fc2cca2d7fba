/**
 * Rings in a memory of our own, for who stands between a device and the engine: the device fills
 * and empties them as it would the engine's, and we are at the engine's end. Layout as in
 * assembly/abi.ts, "Links". Used by impaired.ts.
 */

import {
  LINK_RING_BYTES, LinkWord, RX_ADDRESS, RX_CAPACITY, RX_DESCRIPTOR_BYTES, RX_FLAGS, RX_LENGTH,
  RX_TRUNCATED, TX_PIECES, TX_PIECE_COUNT, TX_SLOT_BYTES, TX_TOTAL, VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import { NO_OFFLOAD, readVnetHeader, type VnetHeader } from '../offload.js';
import { Ring, type EngineMemory } from './ring.js';

/** A batch each way. */
const SLOTS = 64;
/** A 64 KiB super-segment with its headers. */
const RX_BYTES = 65_600;
const RING_AT = 64;
const ALIGN = 16;

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGN) * ALIGN;

/** A received frame; its bytes are valid during the call. */
export type OnFrame = (frame: Uint8Array, vnet: VnetHeader, truncated: boolean) => void;

export class DeviceRing {
  readonly memory: EngineMemory;
  readonly address = RING_AT;
  readonly ring: Ring;
  readonly #txFrames: number;
  readonly #txStride: number;

  /** @param frameBytes the longest frame that is sent */
  constructor(flags: number, mtu: number, frameBytes: number) {
    const rxTable = RING_AT + aligned(LINK_RING_BYTES);
    const txTable = rxTable + SLOTS * RX_DESCRIPTOR_BYTES;
    const rxStride = aligned(VNET_HDR_BYTES) + aligned(RX_BYTES);
    const rxFrames = aligned(txTable + SLOTS * TX_SLOT_BYTES);
    this.#txStride = aligned(VNET_HDR_BYTES) + aligned(frameBytes);
    this.#txFrames = rxFrames + SLOTS * rxStride;
    const buffer = new ArrayBuffer(this.#txFrames + SLOTS * this.#txStride);
    this.memory = { buffer };
    const words = new Uint32Array(buffer);
    const set = (word: LinkWord, value: number): void => {
      words[RING_AT / 4 + word] = value;
    };
    set(LinkWord.rxMask, SLOTS - 1);
    set(LinkWord.rxDescriptors, rxTable);
    set(LinkWord.txMask, SLOTS - 1);
    set(LinkWord.txSlots, txTable);
    set(LinkWord.flags, flags);
    set(LinkWord.mtu, mtu);
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = (rxTable + slot * RX_DESCRIPTOR_BYTES) / 4;
      words[at + RX_ADDRESS / 4] = rxFrames + slot * rxStride + aligned(VNET_HDR_BYTES);
      words[at + RX_CAPACITY / 4] = RX_BYTES;
    }
    this.ring = new Ring(this.memory, RING_AT);
  }

  /** Hands every frame that the device received to the callback and gives its place back. */
  received(onFrame: OnFrame): void {
    const { ring } = this;
    const head = ring.get(LinkWord.rxHead);
    for (let at = ring.get(LinkWord.rxTail); at !== head; at = (at + 1) >>> 0) {
      const slot = (at & (SLOTS - 1)) * RX_DESCRIPTOR_BYTES;
      const entry = (ring.get(LinkWord.rxDescriptors) + slot) >>> 2;
      const address = ring.words[entry + RX_ADDRESS / 4] as number;
      const length = ring.words[entry + RX_LENGTH / 4] as number;
      const cut = ((ring.words[entry + RX_FLAGS / 4] as number) & RX_TRUNCATED) !== 0;
      const vnet = ring.hasVnetHeader
        ? readVnetHeader(ring.bytes, address - VNET_HDR_BYTES) : NO_OFFLOAD;
      onFrame(ring.bytes.subarray(address, address + length), vnet, cut);
    }
    ring.set(LinkWord.rxTail, head);
  }

  /** Puts a finished packet up for the device to send. @returns false when there is no room */
  send(packet: Uint8Array, length: number): boolean {
    const { ring } = this;
    if (ring.txPending() >= SLOTS) return false;
    const index = (ring.get(LinkWord.txHead) & (SLOTS - 1)) >>> 0;
    const address = this.#txFrames + index * this.#txStride + aligned(VNET_HDR_BYTES);
    ring.bytes.set(packet.subarray(0, length), address);
    ring.bytes.fill(0, address - VNET_HDR_BYTES, address);
    const slot = (ring.get(LinkWord.txSlots) + index * TX_SLOT_BYTES) >>> 2;
    ring.words[slot + TX_PIECE_COUNT / 4] = 1;
    ring.words[slot + TX_TOTAL / 4] = length;
    ring.words[slot + TX_PIECES / 4] = address;
    ring.words[slot + TX_PIECES / 4 + 1] = length;
    ring.add(LinkWord.txHead, 1);
    return true;
  }
}
