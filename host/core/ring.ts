/**
 * One link's rings in the engine's memory, seen from the host: free receive entries, published
 * transmit entries (LinkWord, RX_* and TX_* of abi.ts). Used by the simulator's ports and by links
 * written in TypeScript; the TUN addon does the same in C. Moves indices and bytes, looks into no
 * packet. Indices run freely and wrap at 2³².
 */

import {
  LinkWord, RX_ADDRESS, RX_CAPACITY, RX_DESCRIPTOR_BYTES, RX_FLAGS, RX_LENGTH, RX_TRUNCATED,
  TX_PIECES, TX_PIECE_COUNT, TX_SLOT_BYTES, TX_TOTAL, VNET_HDR_BYTES,
} from '../../assembly/abi.js';

export class LinkRing {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly #at: number;
  readonly #rxMask: number;
  readonly #rxDescriptors: number;
  readonly #txMask: number;
  readonly #txSlots: number;

  /** @param address what linkRing(id) gave */
  constructor(bytes: Uint8Array, words: Uint32Array, address: number) {
    this.bytes = bytes;
    this.words = words;
    this.#at = address >>> 2;
    this.#rxMask = this.#word(LinkWord.rxMask);
    this.#rxDescriptors = this.#word(LinkWord.rxDescriptors) >>> 2;
    this.#txMask = this.#word(LinkWord.txMask);
    this.#txSlots = this.#word(LinkWord.txSlots) >>> 2;
  }

  #word(word: LinkWord): number {
    return this.words[this.#at + word] as number;
  }

  // ---- Receive: host to engine ---------------------------------------------------------------

  /** Receive entries that the host may fill. */
  rxFree(): number {
    const used = (this.#word(LinkWord.rxHead) - this.#word(LinkWord.rxTail)) >>> 0;
    return this.#rxMask + 1 - used;
  }

  /** Address of the next free entry's frame. Call only while rxFree() > 0. */
  rxAddress(): number {
    return this.words[this.#rxEntry() + RX_ADDRESS / 4] as number;
  }

  rxCapacity(): number {
    return this.words[this.#rxEntry() + RX_CAPACITY / 4] as number;
  }

  #rxEntry(): number {
    const slot = this.#word(LinkWord.rxHead) & this.#rxMask;
    return this.#rxDescriptors + slot * (RX_DESCRIPTOR_BYTES / 4);
  }

  /** Hands the entry over: its frame of `length` bytes stands at rxAddress(). */
  rxPublish(length: number, truncated: boolean): void {
    const entry = this.#rxEntry();
    this.words[entry + RX_LENGTH / 4] = length;
    this.words[entry + RX_FLAGS / 4] = truncated ? RX_TRUNCATED : 0;
    this.words[this.#at + LinkWord.rxHead] = this.#word(LinkWord.rxHead) + 1;
  }

  /**
   * Copies a frame in, or as much of it as `frame` has.
   * @param vnet its virtio_net_hdr, where the link has one
   * @returns false when no entry is free; the caller counts it (rxMissed) or waits
   */
  receive(frame: Uint8Array, length: number, vnet?: Uint8Array): boolean {
    if (this.rxFree() === 0) return false;
    const address = this.rxAddress();
    const capacity = this.rxCapacity();
    const taken = Math.min(length, capacity);
    this.bytes.set(taken >= frame.length ? frame : frame.subarray(0, taken), address);
    if (vnet !== undefined) this.bytes.set(vnet, address - VNET_HDR_BYTES);
    this.rxPublish(taken, taken < length);
    return true;
  }

  rxMissed(): void {
    this.words[this.#at + LinkWord.rxMissed] = this.#word(LinkWord.rxMissed) + 1;
  }

  // ---- Transmit: engine to host --------------------------------------------------------------

  /** Entries published and not yet returned. */
  txReady(): number {
    return (this.#word(LinkWord.txHead) - this.#word(LinkWord.txTail)) >>> 0;
  }

  /** The engine may have more to send and no entry for it: poll again after txReturn. */
  txFull(): boolean {
    return this.txReady() === this.#txMask + 1;
  }

  /** Word index of the entry `ahead` places after the oldest one. */
  #txEntry(ahead: number): number {
    const slot = (this.#word(LinkWord.txTail) + ahead) & this.#txMask;
    return this.#txSlots + slot * (TX_SLOT_BYTES / 4);
  }

  /** Bytes of the frame, without virtio_net_hdr. */
  txLength(ahead = 0): number {
    return this.words[this.#txEntry(ahead) + TX_TOTAL / 4] as number;
  }

  /** Copies the headers of the oldest frame, as many of them as there is room for. */
  txCopyHeader(into: Uint8Array): void {
    const { words, bytes } = this;
    const pair = this.#txEntry(0) + TX_PIECES / 4;
    const from = words[pair] as number;
    into.set(bytes.subarray(from, from + Math.min(words[pair + 1] as number, into.length)));
  }

  /** Gathers the pieces of a frame. @returns its length */
  txCopy(into: Uint8Array, at: number, ahead = 0): number {
    const { words, bytes } = this;
    const entry = this.#txEntry(ahead);
    const pieces = words[entry + TX_PIECE_COUNT / 4] as number;
    let place = at;
    for (let piece = 0; piece < pieces; piece++) {
      const pair = entry + TX_PIECES / 4 + piece * 2;
      const from = words[pair] as number;
      const length = words[pair + 1] as number;
      into.set(bytes.subarray(from, from + length), place);
      place += length;
    }
    return place - at;
  }

  /** Copies the virtio_net_hdr of a frame. */
  txVnet(into: Uint8Array, at: number, ahead = 0): void {
    const header = this.words[this.#txEntry(ahead) + TX_PIECES / 4] as number;
    for (let byte = 0; byte < VNET_HDR_BYTES; byte++) {
      into[at + byte] = this.bytes[header - VNET_HDR_BYTES + byte] as number;
    }
  }

  /** Returns the oldest entries: the engine may use again the bytes that they name. */
  txReturn(count: number): void {
    this.words[this.#at + LinkWord.txTail] = this.#word(LinkWord.txTail) + count;
  }
}
