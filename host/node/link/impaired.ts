/**
 * A link made worse, for `--impair`: loss, delay, jitter, reordering, duplicates, flipped bits,
 * congestion marks and a rate, both ways, by the simulator's elements in real time. Works on wire
 * packets: super-segments are cut to the MSS, checksums completed, and nothing is delivered with
 * NEEDS_CSUM, or the receiver would trust what was corrupted. Made by runtime/; stands between the
 * loop and a device.
 */

import {
  LinkWord, RX_ADDRESS, RX_CAPACITY, RX_TRUNCATED, TX_PIECES, TX_PIECE_COUNT, TX_SLOT_BYTES,
  TX_TOTAL, VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import {
  corrupt, delay, duplicate, jitter, loss, mark, rate, reorder, tailDrop,
} from '../../sim/elements/index.js';
import type { Element, ElementFactory } from '../../sim/element.js';
import { FramePool, FrameQueue, type Frame } from '../../sim/frame.js';
import { makePath, type Path } from '../../sim/path.js';
import { Random } from '../../sim/random.js';
import { Schedule } from '../../sim/schedule.js';
import type { ImpairSpec } from '../board/impair.js';
import { networkOffset } from '../capture/index.js';
import { NO_OFFLOAD, readVnetHeader, segmentGso, type VnetHeader } from '../offload.js';
import { systemAlarmClock, type Alarm, type AlarmClock } from './alarm.js';
import { DeviceRing } from './device-ring.js';
import type { EthernetSettings, Link } from './link.js';
import { Ring, type EngineMemory } from './ring.js';

/** Reordered packets come this much later when the link has no delay to go by, µs. */
const REORDER_US = 1000;
/**
 * Alarms this close together ring as one, µs: at 100 Mbit/s a packet is due every 120 µs in each
 * element, and waking for every one of them took twice the CPU.
 */
const GRAIN_US = 200;
/** Ethernet's header with tags, if the device has one. */
const LINK_HEADER_BYTES = 32;

/** Told of every wire packet as it enters the link; the bytes are valid during the call. */
export type Observe = (
  direction: 'in' | 'out', packet: Uint8Array, fate: string | undefined,
) => void;

/** How punctual the link was: packets that crossed, and how late in all and at worst, µs. */
export interface Punctuality {
  packets: number;
  /** More than half a millisecond after their time. */
  late: number;
  sumUs: number;
  worstUs: number;
}

/** What counts as late, µs. */
const LATE_US = 500;

/** One direction: the elements, and what they let through and nobody has taken yet. */
class Direction {
  readonly arrived = new FrameQueue();
  readonly #path: Path;

  constructor(
    spec: ImpairSpec, readonly pool: FramePool, schedule: Schedule, random: Random,
    onArrival: (dueUs: number) => void,
  ) {
    const back = { accept: (frame: Frame): void => pool.give(frame) };
    this.#path = makePath(this.#elements(spec), { schedule, pool, random, back }, {
      accept: (frame, dueUs) => {
        this.arrived.push(frame);
        onArrival(dueUs);
      },
    });
  }

  /**
   * First what decides a packet's fate at once, so that the capture can tell it; then what waits.
   */
  #elements(spec: ImpairSpec): ElementFactory[] {
    const list: ElementFactory[] = [];
    if (spec.corrupt !== undefined) list.push(corrupt(spec.corrupt));
    if (spec.loss !== undefined) list.push(loss(spec.loss));
    if (spec.mark !== undefined) list.push(mark(spec.mark));
    if (spec.duplicate !== undefined) list.push(duplicate(spec.duplicate));
    if (spec.rate !== undefined) {
      const { queueBytes: bytes } = spec;
      list.push(rate(spec.rate, bytes === undefined ? undefined : tailDrop({ bytes })));
    }
    if (spec.delayUs !== undefined) list.push(delay(spec.delayUs));
    if (spec.jitterUs !== undefined) list.push(jitter(spec.jitterUs));
    if (spec.reorder !== undefined) {
      list.push(reorder(spec.reorder, spec.delayUs ?? REORDER_US));
    }
    return list;
  }

  #element(name: string): Element | undefined {
    return this.#path.elements.find((element) => element.name === name);
  }

  #corrupted(): number {
    return (this.#element('corrupt') as { corrupted?: number } | undefined)?.corrupted ?? 0;
  }

  #dropped(name: string): number {
    return this.#element(name)?.dropped ?? 0;
  }

  /** Lets a packet enter. @returns what will become of it, undefined for nothing special */
  enter(packet: Uint8Array, nowUs: number): string | undefined {
    const before = {
      lost: this.#dropped('loss'), full: this.#dropped('rate'),
      corrupted: this.#corrupted(), live: this.pool.live,
    };
    const frame = this.pool.take(packet.length);
    frame.bytes.set(packet);
    this.#path.first.accept(frame, nowUs);
    if (this.#dropped('loss') > before.lost) return 'dropped: loss';
    const alive = this.pool.live - before.live;
    if (this.#dropped('rate') > before.full && alive === 0) return 'dropped: queue full';
    const fate: string[] = [];
    if (this.#corrupted() > before.corrupted) fate.push('corrupted');
    if (alive > 1) fate.push('duplicated');
    return fate.length === 0 ? undefined : fate.join(', ');
  }
}

export class ImpairedLink implements Link {
  readonly #inner: Link;
  readonly #observe: Observe;
  readonly #schedule = new Schedule();
  readonly #pool = new FramePool();
  readonly #device: DeviceRing;
  readonly #in: Direction;
  readonly #out: Direction;
  #ring: Ring | undefined;
  #wake: () => void = () => undefined;
  readonly #clock: AlarmClock;
  #alarm: Alarm | undefined;
  #alarmUs = Infinity;
  /** As far as time has passed for the packets inside, µs. */
  #nowUs = 0;
  #closed = false;
  readonly punctuality: Punctuality = { packets: 0, late: 0, sumUs: 0, worstUs: 0 };

  constructor(
    inner: Link, spec: ImpairSpec, observe: Observe = () => undefined,
    clock: AlarmClock = systemAlarmClock,
  ) {
    this.#inner = inner;
    this.#observe = observe;
    this.#clock = clock;
    this.#device = new DeviceRing(inner.flags, inner.mtu, inner.mtu + LINK_HEADER_BYTES);
    const random = new Random(spec.seed ?? Math.floor(Math.random() * 2 ** 32));
    const direction = (): Direction => new Direction(
      spec, this.#pool, this.#schedule, random.fork(), (dueUs) => this.#arrived(dueUs),
    );
    this.#in = direction();
    this.#out = direction();
  }

  get name(): string {
    return this.#inner.name;
  }

  get mtu(): number {
    return this.#inner.mtu;
  }

  get ethernet(): EthernetSettings | undefined {
    return this.#inner.ethernet;
  }

  get flags(): number {
    return this.#inner.flags;
  }

  attach(memory: EngineMemory, ringAddress: number, wake: () => void): void {
    this.#ring = new Ring(memory, ringAddress);
    this.#wake = wake;
    this.#inner.attach(this.#device.memory, this.#device.address, wake);
    this.#alarm = this.#clock.alarm(() => {
      this.#alarmUs = Infinity;
      this.#wake();
    });
  }

  readBatch(max: number): number {
    this.#inner.readBatch(max);
    this.#pass();
    this.#device.received((frame, vnet, truncated) => {
      // What did not fit into 64 KiB is no packet of this link.
      if (!truncated) this.#enter('in', frame, vnet);
    });
    this.#arm();
    return this.#deliver();
  }

  writeBatch(): number {
    const ring = this.#ring as Ring;
    ring.refresh();
    this.#pass();
    let returned = 0;
    for (; ring.txPending() > 0; returned++) {
      this.#sent(ring);
      ring.add(LinkWord.txTail, 1);
    }
    this.#arm();
    this.#flush();
    return returned;
  }

  /** One frame of the engine's: gathered, cut, and on its way. */
  #sent(ring: Ring): void {
    const index = (ring.get(LinkWord.txTail) & ring.get(LinkWord.txMask)) >>> 0;
    const slot = (ring.get(LinkWord.txSlots) + index * TX_SLOT_BYTES) >>> 2;
    const frame = new Uint8Array(ring.words[slot + TX_TOTAL / 4] as number);
    const first = slot + TX_PIECES / 4;
    let length = 0;
    for (let piece = 0; piece < (ring.words[slot + TX_PIECE_COUNT / 4] as number); piece++) {
      const address = ring.words[first + piece * 2] as number;
      const bytes = ring.words[first + piece * 2 + 1] as number;
      frame.set(ring.bytes.subarray(address, address + bytes), length);
      length += bytes;
    }
    const header = (ring.words[first] as number) - VNET_HDR_BYTES;
    this.#enter('out', frame, ring.hasVnetHeader ? readVnetHeader(ring.bytes, header) : NO_OFFLOAD);
  }

  #enter(direction: 'in' | 'out', frame: Uint8Array, vnet: VnetHeader): void {
    const way = direction === 'in' ? this.#in : this.#out;
    const network = networkOffset(frame, this.ethernet === undefined ? 'raw' : 'ethernet');
    for (const packet of segmentGso(frame, vnet, network)) {
      this.#observe(direction, packet, way.enter(packet, this.#nowUs));
    }
  }

  /** What has arrived, into the engine's ring, as far as there is room. */
  #deliver(): number {
    const ring = this.#ring as Ring;
    const { arrived } = this.#in;
    ring.refresh();
    let moved = 0;
    for (; arrived.length > 0 && ring.rxFree() > 0; moved++) {
      const frame = arrived.shift() as Frame;
      const entry = ring.rxEntry();
      const address = ring.words[entry + RX_ADDRESS / 4] as number;
      const length = Math.min(frame.length, ring.words[entry + RX_CAPACITY / 4] as number);
      ring.bytes.set(frame.bytes.subarray(0, length), address);
      ring.bytes.fill(0, address - VNET_HDR_BYTES, address);
      ring.rxPublish(entry, length, length < frame.length ? RX_TRUNCATED : 0);
      this.#pool.give(frame);
    }
    // The engine empties its ring in the poll that follows: then there is room again.
    if (arrived.length > 0) setImmediate(() => this.#closed || this.#wake());
    return moved;
  }

  /** What has crossed, to the device; the rest goes when it says that it has room again. */
  #flush(): void {
    const { arrived } = this.#out;
    let given = 0;
    do {
      for (let frame = arrived.peek(); frame !== undefined; frame = arrived.peek()) {
        if (!this.#device.send(frame.bytes, frame.length)) break;
        arrived.shift();
        this.#pool.give(frame);
      }
      given = this.#inner.writeBatch();
    } while (arrived.length > 0 && given > 0);
  }

  #arrived(dueUs: number): void {
    const lateUs = this.#nowUs - dueUs;
    const { punctuality } = this;
    punctuality.packets++;
    punctuality.sumUs += lateUs;
    if (lateUs > LATE_US) punctuality.late++;
    if (lateUs > punctuality.worstUs) punctuality.worstUs = lateUs;
  }

  /**
   * Lets everything happen that is due, each at its own time and not at ours: a packet that leaves
   * one element late would be late twice behind the next. Before anything enters, or it would find
   * a queue longer than it is.
   */
  #pass(): void {
    this.#nowUs = this.#clock.nowUs();
    for (let dueUs = this.#schedule.nextUs; dueUs <= this.#nowUs; dueUs = this.#schedule.nextUs) {
      this.#schedule.take()?.fire(dueUs);
    }
  }

  /** Sees to it that what comes next happens in its time. */
  #arm(): void {
    const nextUs = this.#schedule.nextUs;
    if (nextUs === Infinity || nextUs >= this.#alarmUs || this.#closed) return;
    const waitUs = Math.max(nextUs - this.#nowUs, GRAIN_US);
    if (this.#nowUs + waitUs >= this.#alarmUs) return;
    this.#alarmUs = this.#nowUs + waitUs;
    this.#alarm?.set(waitUs);
  }

  ref(): void {
    this.#inner.ref();
  }

  unref(): void {
    this.#inner.unref();
  }

  close(): void {
    this.#closed = true;
    this.#alarm?.close();
    this.#inner.close();
  }
}
