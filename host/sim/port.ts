/**
 * Where a link meets an engine: frames out of the transmit ring into a path, frames of a path into
 * the receive ring. Two ports without elements between them copy from ring to ring. A full receive
 * ring first makes its engine work; frames are lost (rxMissed) only when that does not help.
 */

import { LINK_VNET_HDR, VNET_HDR_BYTES } from '../../assembly/abi.js';
import { LinkRing } from '../core/ring.js';
import type { Sink } from './element.js';
import type { Frame, FramePool } from './frame.js';
import { Actor } from './schedule.js';
import type { SimHost } from './sim-host.js';

export interface PortOptions {
  mtu: number;
  /** LINK_* bits for linkAdd. */
  flags: number;
  /** Keep descriptors for this long before the frames are read and returned; 0: not at all. */
  txHoldUs: number;
  /** Frames are carried without their payload. */
  hollow?: boolean;
}

/** Wakes a port whose descriptors were held. */
class Release extends Actor {
  constructor(readonly port: Port) {
    super();
  }

  fire(nowUs: number): void {
    this.port.drain(nowUs, true);
  }
}

export class Port implements Sink {
  readonly ring: LinkRing;
  readonly linkId: number;
  readonly mtu: number;
  /** Frames and bytes that left and that arrived. */
  framesOut = 0;
  bytesOut = 0;
  framesIn = 0;
  missed = 0;
  #path: Sink | undefined;
  #peer: Port | undefined;
  #latencyUs = 0;
  readonly #vnet: boolean;
  readonly #hollow: boolean;
  readonly #release: Release | undefined;
  readonly #holdUs: number;

  constructor(readonly host: SimHost, readonly pool: FramePool, options: PortOptions) {
    const { engine } = host;
    this.linkId = engine.linkAdd(options.flags, options.mtu);
    this.ring = new LinkRing(engine.bytes, engine.words, engine.linkRing(this.linkId));
    this.mtu = options.mtu;
    this.#vnet = (options.flags & LINK_VNET_HDR) !== 0;
    this.#holdUs = options.txHoldUs;
    this.#hollow = options.hollow === true;
    this.#release = options.txHoldUs > 0 ? new Release(this) : undefined;
    host.ports.push(this);
  }

  /** Frames go through elements. */
  connectPath(path: Sink): void {
    this.#path = path;
  }

  /** Frames go straight into the other ring and are seen there latencyUs later. */
  connectDirect(peer: Port, latencyUs: number): void {
    this.#peer = peer;
    this.#latencyUs = latencyUs;
  }

  /** Takes out what the engine published. @param held the holding time is over */
  drain(nowUs: number, held = false): void {
    if (this.ring.txReady() === 0) return;
    if (this.#release !== undefined && !held) {
      this.host.schedule.setEarlier(this.#release, nowUs + this.#holdUs);
      return;
    }
    const full = this.ring.txFull();
    if (this.#peer !== undefined) this.#drainDirect(this.#peer, nowUs);
    else this.#drainPath(nowUs);
    if (held || (full && !this.ring.txFull())) this.host.wake();
  }

  #drainPath(nowUs: number): void {
    const { ring } = this;
    while (ring.txReady() > 0) {
      const length = ring.txLength();
      const frame = this.#hollow ? this.pool.takeHollow(length) : this.pool.take(length);
      if (this.#hollow) ring.txCopyHeader(frame.bytes);
      else ring.txCopy(frame.bytes, 0);
      if (this.#vnet) ring.txVnet(frame.vnet, 0);
      ring.txReturn(1);
      this.framesOut++;
      this.bytesOut += frame.length;
      if (this.#path === undefined) this.pool.give(frame);
      else this.#path.accept(frame, nowUs);
    }
  }

  #drainDirect(peer: Port, nowUs: number): void {
    const from = this.ring;
    const to = peer.ring;
    const count = Math.min(from.txReady(), to.rxFree());
    for (let seen = 0; seen < count; seen++) {
      const length = from.txLength();
      const address = to.rxAddress();
      if (length <= to.rxCapacity()) {
        from.txCopy(to.bytes, address);
        if (this.#vnet) from.txVnet(to.bytes, address - VNET_HDR_BYTES);
        to.rxPublish(length, false);
      } else {
        peer.missed++;
        to.rxMissed();
      }
      from.txReturn(1);
      this.bytesOut += length;
    }
    this.framesOut += count;
    peer.framesIn += count;
    if (count > 0) peer.host.schedule.setEarlier(peer.host, nowUs + this.#latencyUs);
  }

  /** The peer may have made room: what waited in our ring can go on. */
  peerWorked(nowUs: number): void {
    const peer = this.#peer;
    if (peer !== undefined && peer.ring.txReady() > 0) {
      peer.host.schedule.setEarlier(peer.host, nowUs);
    }
  }

  /** A frame arrives. */
  accept(frame: Frame, nowUs: number): void {
    const vnet = this.#vnet ? frame.vnet : undefined;
    if (this.ring.rxFree() === 0) this.host.makeRoom(nowUs);
    if (this.ring.receive(frame.bytes, frame.length, vnet)) {
      this.framesIn++;
    } else {
      this.missed++;
      this.ring.rxMissed();
    }
    this.pool.give(frame);
    this.host.wake();
  }
}
