/**
 * The contract between the host's loop and a device. A link moves frames between the device and
 * the rings at a ringAddress in the engine's memory (assembly/abi.ts, "Links") and says when there
 * is something to move; it never looks into a frame. Implemented by tun.ts and wire.ts; called by
 * the Node host's loop and the simulator.
 */
import type { EngineMemory } from './ring.js';

/** What an Ethernet link is to the engine. */
export interface EthernetSettings {
  /** The engine's own, six bytes: not the device's, which is the kernel's end. */
  readonly mac: Uint8Array;
  /** VLAN id of all frames; 0: they bear no tag. */
  readonly vlan: number;
  /** AUTO_* of assembly/abi.ts: what the link finds out by itself. */
  readonly auto: number;
}

/**
 * What the loop needs of a device. In the loop: `readBatch`, the engine's `poll`, `writeBatch`.
 * A full ring is nobody's error: frames wait in the device, or in the sender's TX ring, and the
 * link wakes the loop again when it may go on.
 */
export interface Link {
  /** The interface's name, for messages and captures. */
  readonly name: string;
  /** Bytes of an IP packet that the link carries; super-segments may be longer. */
  readonly mtu: number;
  /** LINK_* of assembly/abi.ts, for the engine's linkAdd. */
  readonly flags: number;
  /** Of a link with LINK_ETHERNET, for the engine's linkEthernet. */
  readonly ethernet?: EthernetSettings | undefined;

  /**
   * Connects the device to the rings of one engine. Once; before anything is moved.
   * @param ringAddress what the engine's linkRing(id) returned, bytes
   * @param wake called, never from within a method of the link, when the device became readable
   *   or writable; the loop then runs a turn
   */
  attach(memory: EngineMemory, ringAddress: number, wake: () => void): void;

  /**
   * Moves up to `max` frames that arrived into the RX ring. Returns how many are new there.
   * A ring that is corrupt throws a NativeError (EFAULT).
   */
  readBatch(max: number): number;

  /** Sends what is in the TX ring. Returns the entries given back to the engine. */
  writeBatch(): number;

  /**
   * Whether the link keeps the event loop alive. A device does after attach; a wire, which hears
   * from this process only, while frames are on their way.
   */
  ref(): void;
  unref(): void;

  /** Gives the device back. Harmless when called again; moves nothing and wakes nobody after. */
  close(): void;
}
