/**
 * Frames on their way between two rings, and the pool they come from: a frame is taken when it
 * leaves a transmit ring and given back when it was delivered or dropped, so that a long run does
 * not allocate. A frame here begins with its IP header. Used by elements and ports.
 */

import { VNET_HDR_BYTES } from '../../assembly/abi.js';

export class Frame {
  readonly bytes: Uint8Array;
  length = 0;
  /** virtio_net_hdr; meaningful only on links that have LINK_VNET_HDR. */
  readonly vnet = new Uint8Array(VNET_HDR_BYTES);
  /** When the frame is due where it waits now, µs. */
  dueUs = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }
}

/** Sizes: headers alone, a wire packet of the usual MTU, and the largest IP packet. */
const HOLLOW = 128;
const SMALL = 2048;
const LARGE = 65_600;

export class FramePool {
  readonly #hollow: Frame[] = [];
  readonly #small: Frame[] = [];
  readonly #large: Frame[] = [];
  /** Frames outside the pool. */
  live = 0;

  /** A frame with room for `length` bytes; its length is set, its bytes are what they were. */
  take(length: number): Frame {
    if (length > LARGE) throw new RangeError(`no frame has ${length} bytes`);
    this.live++;
    const frame = length <= SMALL
      ? this.#small.pop() ?? new Frame(SMALL)
      : this.#large.pop() ?? new Frame(LARGE);
    frame.length = length;
    return frame;
  }

  /** A frame of `length` bytes that has room for its headers only. */
  takeHollow(length: number): Frame {
    this.live++;
    const frame = this.#hollow.pop() ?? new Frame(HOLLOW);
    frame.length = length;
    return frame;
  }

  copy(frame: Frame): Frame {
    const hollow = frame.bytes.length === HOLLOW;
    const twin = hollow ? this.takeHollow(frame.length) : this.take(frame.length);
    twin.bytes.set(frame.bytes.subarray(0, Math.min(frame.length, twin.bytes.length)));
    twin.vnet.set(frame.vnet);
    return twin;
  }

  give(frame: Frame): void {
    this.live--;
    const size = frame.bytes.length;
    (size === SMALL ? this.#small : size === HOLLOW ? this.#hollow : this.#large).push(frame);
  }
}

/** First in, first out, without an allocation once it has grown to its size. */
export class FrameQueue {
  #frames: (Frame | undefined)[] = new Array<Frame | undefined>(16).fill(undefined);
  #head = 0;
  length = 0;
  bytes = 0;

  push(frame: Frame): void {
    if (this.length === this.#frames.length) this.#grow();
    this.#frames[(this.#head + this.length) & (this.#frames.length - 1)] = frame;
    this.length++;
    this.bytes += frame.length;
  }

  peek(): Frame | undefined {
    return this.length > 0 ? this.#frames[this.#head] : undefined;
  }

  shift(): Frame | undefined {
    if (this.length === 0) return undefined;
    const frame = this.#frames[this.#head] as Frame;
    this.#frames[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#frames.length - 1);
    this.length--;
    this.bytes -= frame.length;
    return frame;
  }

  #grow(): void {
    const size = this.#frames.length;
    const ordered = new Array<Frame | undefined>(size * 2).fill(undefined);
    for (let at = 0; at < size; at++) ordered[at] = this.#frames[(this.#head + at) & (size - 1)];
    this.#frames = ordered;
    this.#head = 0;
  }
}
