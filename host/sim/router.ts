/**
 * A router between links: forwards IP packets by longest prefix, lowers TTL or hop limit and
 * answers with ICMP when it runs out or no route is known (RFC 1812 §4.3.3, §5.3.1; RFC 4443 §3.1,
 * §3.3). So that topologies can be more than one wire. It has no engine and no queues: links have
 * those.
 */

import { cidrContains, type AddressWords, type Cidr } from '../core/address.js';
import type { Sink } from './element.js';
import type { Frame, FramePool } from './frame.js';
import { icmpError, ipAddress, ipVersion, replace16 } from './packet.js';

/** One of the router's ends. */
export class RouterInterface implements Sink {
  #path: Sink | undefined;

  constructor(readonly router: Router, readonly address4: AddressWords) {}

  connectPath(path: Sink): void {
    this.#path = path;
  }

  accept(frame: Frame, nowUs: number): void {
    this.router.forward(frame, this, nowUs);
  }

  send(frame: Frame, nowUs: number): void {
    if (this.#path === undefined) this.router.pool.give(frame);
    else this.#path.accept(frame, nowUs);
  }
}

export class Router {
  readonly #routes: { cidr: Cidr; to: RouterInterface }[] = [];
  /** Frames that could not be forwarded. */
  dropped = 0;

  constructor(
    readonly name: string, readonly pool: FramePool,
    readonly address4: AddressWords, readonly address6: AddressWords,
  ) {}

  interface(): RouterInterface {
    return new RouterInterface(this, this.address4);
  }

  /** Packets for these addresses go this way; the longest prefix wins. */
  route(cidr: Cidr, to: RouterInterface): void {
    this.#routes.push({ cidr, to });
    this.#routes.sort((left, right) => right.cidr.prefixLength - left.cidr.prefixLength);
  }

  /** Called by its interfaces. */
  forward(frame: Frame, from: RouterInterface, nowUs: number): void {
    const version = ipVersion(frame.bytes, frame.length);
    const destination = ipAddress(frame.bytes, frame.length, 'destination');
    if (version === 0 || destination === undefined) {
      this.#drop(frame);
      return;
    }
    if (!this.#age(frame, version)) {
      this.#complain(frame, from, nowUs, version === 4 ? 11 : 3, 0);
      return;
    }
    const route = this.#routes.find(({ cidr }) => cidrContains(cidr, destination));
    if (route !== undefined) route.to.send(frame, nowUs);
    else this.#complain(frame, from, nowUs, version === 4 ? 3 : 1, 0);
  }

  /** Lowers the TTL. @returns false when it is used up */
  #age(frame: Frame, version: 4 | 6): boolean {
    const { bytes } = frame;
    const at = version === 4 ? 8 : 7;
    const left = bytes[at] as number;
    if (left <= 1) return false;
    if (version === 6) bytes[at] = left - 1;
    else replace16(bytes, 8, ((left - 1) << 8) | (bytes[9] as number), 10);
    return true;
  }

  #drop(frame: Frame): void {
    this.dropped++;
    this.pool.give(frame);
  }

  #complain(
    frame: Frame, to: RouterInterface, nowUs: number, type: number, code: number,
  ): void {
    const six = ipVersion(frame.bytes, frame.length) === 6;
    const error = this.pool.take(1280);
    error.vnet.fill(0);
    const from = six ? this.address6 : this.address4;
    error.length = icmpError(error.bytes, frame.bytes, frame.length, {
      from, type, code, rest: 0,
    });
    this.#drop(frame);
    if (error.length === 0) this.pool.give(error);
    else to.send(error, nowUs);
  }
}
