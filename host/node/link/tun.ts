/**
 * A TUN or TAP device of this network namespace as a Link: opened, configured and moved through
 * the native layer (addon/). The kernel's end gets the addresses; the engine is the other end.
 * Used by the CLI (`--link tun:NAME`) and the library. Knows descriptors and readiness only.
 */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import {
  LINK_CSUM,
  LINK_ETHERNET,
  LINK_TSO4,
  LINK_TSO6,
  LINK_UP,
  LINK_VNET_HDR,
} from '../../../assembly/abi.js';
import { parseCidr } from '../addon/cidr.js';
import { NativeError, badArgument, callFailed, errnoName } from '../addon/errors.js';
import { loadNative, nativeReasons } from '../addon/index.js';
import { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN } from '../addon/native.js';
import type { Native } from '../addon/native.js';
import type { EthernetSettings, Link } from './link.js';
import { Ring } from './ring.js';
import type { EngineMemory } from './ring.js';

/** How TunLink.open makes its device. */
export interface TunLinkOptions {
  /** Default: the kernel chooses `tunN` (`tapN`). */
  readonly name?: string;
  /** Ethernet frames. Default: IP packets. */
  readonly tap?: boolean;
  /** Segmentation and checksum offload, both ways. Default: true. */
  readonly offload?: boolean;
  /** Bytes. Default: 1500. */
  readonly mtu?: number;
  /** Addresses of the kernel's end, `10.99.0.1/24` or `fd99::1/64`. */
  readonly addresses?: readonly string[];
  /** Set the device up. Default: true. */
  readonly up?: boolean;
  /** The device stays when the link is closed. Default: false. */
  readonly persist?: boolean;
  /** Of a TAP device: the engine's MAC. Default: one that follows from host and device name. */
  readonly mac?: Uint8Array;
  /** Of a TAP device: the VLAN id of all frames. Default: 0, no tags. */
  readonly vlan?: number;
  /** Of a TAP device: AUTO_* of assembly/abi.ts. Default: 0. */
  readonly auto?: number;
}

const OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
const LINK_OFFLOADS = LINK_VNET_HDR | LINK_CSUM | LINK_TSO4 | LINK_TSO6;

/**
 * Packets that may wait for us (txqueuelen): more than tcp_rmem's largest window has, so that one
 * sender overruns it at no time; 10 ms at 6 Gbit/s at worst. Without offload iperf3 in for 3 s sent
 * 755 to 2,065 segments again with Linux's 500 for TUN, 41 to 52 with 2,000 and 0 to 2 with this.
 */
const QUEUE_PACKETS = 5000;

function requireNative(): Native {
  const native = loadNative();
  if (native !== undefined) return native;
  const why = nativeReasons().join('; ');
  throw new NativeError('ENOSYS', 'native', `a TUN device needs the addon or koffi: ${why}`);
}

/** Locally administered, the same for the same device of the same machine at every start. */
export function defaultMac(name: string): Uint8Array {
  const digest = createHash('sha256').update(`${hostname()} ${name}`).digest();
  const mac = Uint8Array.from(digest.subarray(0, 6));
  mac[0] = ((mac[0] as number) & 0xfc) | 2;
  return mac;
}

function configure(native: Native, name: string, options: TunLinkOptions): void {
  // On Ethernet the kernel is a host as any other, with a link-local address of its own.
  if (options.tap !== true) native.quietIpv6(name);
  native.setMtu(name, options.mtu ?? 1500);
  native.setQueueLength(name, QUEUE_PACKETS);
  const addresses = (options.addresses ?? []).map(parseCidr);
  for (const { address, prefixLength } of addresses) {
    native.addAddress(name, address, prefixLength);
  }
  if (options.up === false) return;
  native.linkUp(name, true);
  for (const { address } of addresses) native.awaitAddress(address);
}

/** A device and its descriptor. Made by TunLink.open. */
export class TunLink implements Link {
  readonly name: string;
  readonly mtu: number;
  readonly flags: number;
  readonly ethernet: EthernetSettings | undefined;
  /** Why the device works no longer (deleted, or its descriptor closed), or undefined. */
  failure: NativeError | undefined;

  readonly #native: Native;
  #fd: number;
  #memory: EngineMemory | undefined;
  #ringAddress = 0;
  #ring: Ring | undefined;
  #wake: () => void = () => undefined;
  #poll = 0;
  #readable = true;
  #writable = false;
  #again: NodeJS.Immediate | undefined;

  private constructor(native: Native, fd: number, name: string, options: TunLinkOptions) {
    this.#native = native;
    this.#fd = fd;
    this.name = name;
    this.mtu = options.mtu ?? 1500;
    const offloads = options.offload === false ? 0 : LINK_OFFLOADS;
    this.flags = LINK_UP | offloads | (options.tap === true ? LINK_ETHERNET : 0);
    const { mac = defaultMac(name), vlan = 0, auto = 0 } = options;
    this.ethernet = options.tap === true ? { mac, vlan, auto } : undefined;
  }

  /**
   * Opens a device and configures it: offload, MTU, addresses, up. Needs CAP_NET_ADMIN in this
   * network namespace. Throws a NativeError and leaves nothing behind.
   */
  static open(options: TunLinkOptions = {}, native: Native = requireNative()): TunLink {
    // Refused before a device exists, so that nothing flickers up.
    for (const text of options.addresses ?? []) parseCidr(text);
    const mtu = options.mtu ?? 1500;
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535) {
      throw badArgument(`MTU ${mtu}: it must be a whole number from 68 to 65535`);
    }
    const vnetHdr = options.offload !== false;
    const { fd, name } = native.openTun({
      ...(options.name === undefined ? {} : { name: options.name }),
      tap: options.tap === true,
      persist: options.persist === true,
      vnetHdr,
    });
    try {
      if (vnetHdr) native.setOffload(fd, OFFLOADS);
      configure(native, name, options);
      return new TunLink(native, fd, name, options);
    } catch (error) {
      native.closeTun(fd);
      throw error;
    }
  }

  attach(memory: EngineMemory, ringAddress: number, wake: () => void): void {
    if (this.#fd < 0) throw badArgument(`${this.name} is closed`);
    if (this.#memory !== undefined) throw badArgument(`${this.name} is attached already`);
    this.#ring = new Ring(memory, ringAddress);
    this.#memory = memory;
    this.#ringAddress = ringAddress;
    this.#wake = wake;
    const ready = (status: number): void => this.#onReady(status);
    const poll = this.#native.startPoll(this.#fd, true, false, ready);
    if (poll < 0) throw callFailed(errnoName(poll), 'startPoll', this.name);
    this.#poll = poll;
  }

  readBatch(max: number): number {
    const memory = this.#memory;
    if (memory === undefined || this.#fd < 0) return 0;
    const moved = this.#native.readBatch(this.#fd, memory.buffer, this.#ringAddress, max);
    if (moved < 0) return this.#fail(moved);
    this.#watch(!this.#rxIsFull(), this.#writable);
    return moved;
  }

  writeBatch(): number {
    const memory = this.#memory;
    if (memory === undefined || this.#fd < 0) return 0;
    const moved = this.#native.writeBatch(this.#fd, memory.buffer, this.#ringAddress);
    if (moved < 0) return this.#fail(moved);
    const left = this.#current().txPending() > 0;
    if (left !== this.#writable) this.#watch(this.#readable, left);
    return moved;
  }

  ref(): void {
    if (this.#poll > 0) this.#native.refPoll(this.#poll, true);
  }

  unref(): void {
    if (this.#poll > 0) this.#native.refPoll(this.#poll, false);
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#unwatch();
    const fd = this.#fd;
    this.#fd = -1;
    this.#native.closeTun(fd);
  }

  #current(): Ring {
    const ring = this.#ring as Ring;
    ring.refresh();
    return ring;
  }

  /**
   * A descriptor that stays readable would wake the loop for nothing while the ring is full: the
   * poll is paused, and the loop is woken once more by itself, for after its poll there is room.
   */
  #rxIsFull(): boolean {
    if (this.#current().rxFree() > 0) return false;
    this.#again ??= setImmediate(() => {
      this.#again = undefined;
      if (this.#poll > 0) this.#wake();
    });
    return true;
  }

  #watch(readable: boolean, writable: boolean): void {
    if (readable === this.#readable && writable === this.#writable) return;
    this.#readable = readable;
    this.#writable = writable;
    if (this.#poll > 0) this.#native.updatePoll(this.#poll, readable, writable);
  }

  #unwatch(): void {
    if (this.#poll > 0) this.#native.stopPoll(this.#poll);
    this.#poll = 0;
    if (this.#again !== undefined) clearImmediate(this.#again);
    this.#again = undefined;
  }

  #onReady(status: number): void {
    if (status < 0) this.#fail(status);
    this.#wake();
  }

  /** A corrupt ring throws; a device that is gone is remembered and polled no longer. */
  #fail(negative: number): number {
    const code = errnoName(negative);
    if (code === 'EFAULT') {
      throw new NativeError(code, 'ring', `${this.name}: the ring names bytes outside the memory`);
    }
    const gone = `${this.name}: the device is gone (${code}): it was deleted or lost its driver`;
    this.failure ??= new NativeError(code, 'read', gone);
    this.#unwatch();
    return 0;
  }
}
