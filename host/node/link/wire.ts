/**
 * The in-process wire: two ends, each the Link of one engine. What one engine transmits is copied
 * into the other's RX ring, virtio_net_hdr preserved, so super-segments cross whole and unfinished
 * checksums stay unfinished (the receiver trusts the copy, as Linux does between veth ends).
 * Used by `ackorn/testing`, the simulator (driven by hand) and stacks without privileges.
 * It never drops: with a full RX ring, frames wait in the sender's TX ring.
 */
import {
  LINK_CSUM,
  LINK_TSO4,
  LINK_TSO6,
  LINK_UP,
  LINK_VNET_HDR,
  LinkWord,
  RX_ADDRESS,
  RX_CAPACITY,
  RX_TRUNCATED,
  TX_PIECES,
  TX_PIECE_COUNT,
  VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import { badArgument } from '../addon/errors.js';
import type { Link } from './link.js';
import { Ring } from './ring.js';
import type { EngineMemory } from './ring.js';

/** How createWire makes a wire. */
export interface WireOptions {
  /** Names of the two ends. Default: `wire0`, `wire1`. */
  readonly names?: readonly [string, string];
  /** Bytes. Default: 1500. */
  readonly mtu?: number;
  /** Segmentation and checksum offload. Default: true. */
  readonly offload?: boolean;
  /**
   * `event-loop` wakes the other end by setImmediate, once a turn for all that was sent;
   * `manual` wakes nobody: a simulator calls readBatch itself. Default: `event-loop`.
   */
  readonly drive?: 'event-loop' | 'manual';
}

/** The two ends. */
export interface Wire {
  readonly a: WireEnd;
  readonly b: WireEnd;
}

/** Copies one frame: the pieces of a TX slot, one behind the other, into an RX entry. */
function copyFrame(from: Ring, slot: number, to: Ring, entry: number): void {
  const address = to.words[entry + RX_ADDRESS / 4] as number;
  const capacity = to.words[entry + RX_CAPACITY / 4] as number;
  const first = slot + TX_PIECES / 4;
  const last = first + 2 * (from.words[slot + TX_PIECE_COUNT / 4] as number);
  const header = address - VNET_HDR_BYTES;
  if (from.hasVnetHeader) {
    const source = from.words[first] as number;
    to.bytes.set(from.bytes.subarray(source - VNET_HDR_BYTES, source), header);
  } else {
    to.bytes.fill(0, header, address);
  }
  let length = 0;
  for (let piece = first; piece < last; piece += 2) {
    const source = from.words[piece] as number;
    const wanted = from.words[piece + 1] as number;
    const taken = Math.min(wanted, capacity - length);
    to.bytes.set(from.bytes.subarray(source, source + taken), address + length);
    length += taken;
    if (taken < wanted) return to.rxPublish(entry, length, RX_TRUNCATED);
  }
  to.rxPublish(entry, length, 0);
}

/**
 * Moves frames from one engine's TX ring into another's RX ring, in order, until one is empty,
 * the other full, or `max` were moved. Returns how many. A corrupt ring throws a NativeError
 * (EFAULT) and no byte outside either memory is touched.
 */
export function moveFrames(from: Ring, to: Ring, max: number): number {
  from.refresh();
  to.refresh();
  from.check();
  to.check();
  const most = Math.min(max, from.txPending(), to.rxFree());
  for (let moved = 0; moved < most; moved++) {
    copyFrame(from, from.txSlot(), to, to.rxEntry());
    from.add(LinkWord.txTail, 1);
  }
  return most;
}

/** One end of a wire. Made by createWire. */
export class WireEnd implements Link {
  readonly mtu: number;
  readonly flags: number;
  /** The rings this end is attached to. */
  ring: Ring | undefined;

  readonly #manual: boolean;
  #other: WireEnd | undefined;
  #wake: () => void = () => undefined;
  #soon: NodeJS.Immediate | undefined;
  #keepAlive = true;
  /** Frames that the other end put into our ring since our last readBatch. */
  #arrived = 0;

  constructor(
    readonly name: string,
    options: WireOptions,
  ) {
    this.mtu = options.mtu ?? 1500;
    this.#manual = options.drive === 'manual';
    const offloads = LINK_VNET_HDR | LINK_CSUM | LINK_TSO4 | LINK_TSO6;
    this.flags = LINK_UP | (options.offload === false ? 0 : offloads);
  }

  /** Ties two ends together; createWire does. */
  static tie(a: WireEnd, b: WireEnd): void {
    a.#other = b;
    b.#other = a;
  }

  attach(memory: EngineMemory, ringAddress: number, wake: () => void): void {
    if (this.#other === undefined) throw badArgument(`${this.name} is closed`);
    if (this.ring !== undefined) throw badArgument(`${this.name} is attached already`);
    this.ring = new Ring(memory, ringAddress);
    this.#wake = wake;
    // What the other end sent before we were there waits in its ring.
    this.#wakeSoon();
  }

  readBatch(max: number): number {
    const arrived = this.#arrived;
    this.#arrived = 0;
    const other = this.#other;
    if (this.ring === undefined || other?.ring === undefined) return arrived;
    const pulled = moveFrames(other.ring, this.ring, Math.max(0, max - arrived));
    if (pulled > 0) other.#wakeSoon(); // its engine may have waited for a free TX entry
    if (other.ring.txPending() > 0) this.#wakeSoon();
    return arrived + pulled;
  }

  writeBatch(): number {
    const other = this.#other;
    if (this.ring === undefined || other?.ring === undefined) return 0;
    const moved = moveFrames(this.ring, other.ring, Infinity);
    other.#arrived += moved;
    // Frames that found no room are news too: the other end fetches them after its next poll.
    if (moved > 0 || this.ring.txPending() > 0) other.#wakeSoon();
    return moved;
  }

  ref(): void {
    this.#keepAlive = true;
    this.#soon?.ref();
  }

  unref(): void {
    this.#keepAlive = false;
    this.#soon?.unref();
  }

  /** Cuts the wire: neither end moves anything after. */
  close(): void {
    const other = this.#other;
    this.#other = undefined;
    if (this.#soon !== undefined) clearImmediate(this.#soon);
    this.#soon = undefined;
    if (other !== undefined) other.close();
  }

  #wakeSoon(): void {
    if (this.#manual || this.ring === undefined || this.#soon !== undefined) return;
    this.#soon = setImmediate(() => {
      this.#soon = undefined;
      this.#wake();
    });
    if (!this.#keepAlive) this.#soon.unref();
  }
}

/** A wire of two ends that know each other. Attach each to an engine of its own. */
export function createWire(options: WireOptions = {}): Wire {
  const [first, second] = options.names ?? ['wire0', 'wire1'];
  const wire = { a: new WireEnd(first, options), b: new WireEnd(second, options) };
  WireEnd.tie(wire.a, wire.b);
  return wire;
}
