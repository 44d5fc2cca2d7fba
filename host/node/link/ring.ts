/**
 * A link's rings seen from TypeScript: the words of LinkWord and the entries of both directions
 * (assembly/abi.ts, "Links"). Everything the ring names is checked against the memory before it
 * is used; a ring that names bytes outside raises EFAULT. Used by wire.ts and addon/koffi.ts;
 * the C addon does the same in addon/rings.c. Allocates nothing per frame.
 */
import {
  LINK_RING_BYTES,
  LINK_VNET_HDR,
  LinkWord,
  RX_ADDRESS,
  RX_CAPACITY,
  RX_DESCRIPTOR_BYTES,
  RX_FLAGS,
  RX_LENGTH,
  TX_PIECES,
  TX_PIECES_MAX,
  TX_PIECE_COUNT,
  TX_SLOT_BYTES,
  VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import { NativeError } from '../addon/errors.js';

/** What holds the engine's bytes: a WebAssembly.Memory, whose buffer is another once it grew. */
export interface EngineMemory {
  readonly buffer: ArrayBuffer;
}

function corrupt(what: string): NativeError {
  return new NativeError('EFAULT', 'ring', `the ring is corrupt: ${what}`);
}

/** One link's rings. Call refresh() before a batch; entries are word indices into `words`. */
export class Ring {
  words: Uint32Array = new Uint32Array(0);
  bytes: Uint8Array = new Uint8Array(0);
  readonly #memory: EngineMemory;
  readonly #base: number;
  #buffer: ArrayBuffer | undefined;

  /** @param address of the LinkRing block, bytes; linkRing(id) of the engine */
  constructor(memory: EngineMemory, address: number) {
    this.#memory = memory;
    this.#base = address >>> 2;
    this.refresh();
    const fits = address + LINK_RING_BYTES <= this.bytes.length;
    if (address % 4 !== 0 || address < 0 || !fits) throw corrupt(`no ring at ${address}`);
  }

  /** Sees the memory anew after it grew. */
  refresh(): void {
    const buffer = this.#memory.buffer;
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
    this.bytes = new Uint8Array(buffer);
  }

  get(word: LinkWord): number {
    return this.words[this.#base + word] as number;
  }

  set(word: LinkWord, value: number): void {
    this.words[this.#base + word] = value;
  }

  /** Adds to a word, modulo 2³². */
  add(word: LinkWord, value: number): void {
    this.words[this.#base + word]! += value;
  }

  /** Whether the ten bytes before a frame mean something. */
  get hasVnetHeader(): boolean {
    return (this.get(LinkWord.flags) & LINK_VNET_HDR) !== 0;
  }

  /** Receive entries the host may fill now. */
  rxFree(): number {
    const used = (this.get(LinkWord.rxHead) - this.get(LinkWord.rxTail)) >>> 0;
    return this.#entries(LinkWord.rxMask, LinkWord.rxDescriptors, RX_DESCRIPTOR_BYTES) - used;
  }

  /** Frames the engine wants sent. */
  txPending(): number {
    return (this.get(LinkWord.txHead) - this.get(LinkWord.txTail)) >>> 0;
  }

  /** Throws unless the indices and both tables make sense. Once a batch. */
  check(): void {
    const slots = this.#entries(LinkWord.txMask, LinkWord.txSlots, TX_SLOT_BYTES);
    if (this.txPending() > slots) throw corrupt('txHead is too far from txTail');
    if (this.rxFree() < 0) throw corrupt('rxHead is too far from rxTail');
  }

  #entries(maskWord: LinkWord, tableWord: LinkWord, stride: number): number {
    const entries = this.get(maskWord) + 1;
    const table = this.get(tableWord);
    if (table % 4 !== 0 || table + entries * stride > this.bytes.length) {
      throw corrupt('a table of entries lies outside the memory');
    }
    return entries;
  }

  /** The next receive entry to fill, checked with the frame's place. */
  rxEntry(): number {
    const index = (this.get(LinkWord.rxHead) & this.get(LinkWord.rxMask)) >>> 0;
    const at = (this.get(LinkWord.rxDescriptors) + index * RX_DESCRIPTOR_BYTES) >>> 2;
    const address = this.words[at + RX_ADDRESS / 4] as number;
    const capacity = this.words[at + RX_CAPACITY / 4] as number;
    if (address < VNET_HDR_BYTES || address + capacity > this.bytes.length) {
      throw corrupt('a receive entry lies outside the memory');
    }
    return at;
  }

  /** Hands the entry at `at` to the engine. */
  rxPublish(at: number, length: number, flags: number): void {
    this.words[at + RX_LENGTH / 4] = length;
    this.words[at + RX_FLAGS / 4] = flags;
    this.add(LinkWord.rxHead, 1);
  }

  /** The next frame to send, all its pieces checked. */
  txSlot(): number {
    const index = (this.get(LinkWord.txTail) & this.get(LinkWord.txMask)) >>> 0;
    const at = (this.get(LinkWord.txSlots) + index * TX_SLOT_BYTES) >>> 2;
    const count = this.words[at + TX_PIECE_COUNT / 4] as number;
    if (count === 0 || count > TX_PIECES_MAX) throw corrupt(`a frame of ${count} pieces`);
    const first = at + TX_PIECES / 4;
    for (let piece = first; piece < first + 2 * count; piece += 2) {
      const address = this.words[piece] as number;
      if (address + (this.words[piece + 1] as number) > this.bytes.length) {
        throw corrupt('a piece of a frame lies outside the memory');
      }
    }
    if (this.hasVnetHeader && (this.words[first] as number) < VNET_HDR_BYTES) {
      throw corrupt('no room for a virtio_net_hdr before a frame');
    }
    return at;
  }
}
