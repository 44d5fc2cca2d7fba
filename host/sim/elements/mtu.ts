/**
 * A narrower link on the way: what is too large is dropped, and a router answers with ICMP (RFC
 * 1191 §4, RFC 8201 §4) unless it is one of those that say nothing (RFC 2923 §2.1: the black hole).
 */
import { parseAddress, type AddressWords } from '../../core/address.js';
import { Element, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';
import { icmpError, ipVersion } from '../packet.js';

export interface MtuOptions {
  /** Tell the sender; true by default. */
  icmp?: boolean;
  /** The router's addresses, where its errors come from. */
  router4?: string;
  router6?: string;
}

class Mtu extends Element {
  readonly name = 'mtu';
  readonly #router4: AddressWords;
  readonly #router6: AddressWords;

  constructor(readonly bytes: number, readonly options: MtuOptions) {
    super();
    this.#router4 = parseAddress(options.router4 ?? '192.0.2.254') as AddressWords;
    this.#router6 = parseAddress(options.router6 ?? '2001:db8::fe') as AddressWords;
  }

  protected process(frame: Frame, nowUs: number): void {
    if (frame.length <= this.bytes) {
      this.next.accept(frame, nowUs);
      return;
    }
    if (this.options.icmp !== false) this.#complain(frame, nowUs);
    this.drop(frame);
  }

  #complain(frame: Frame, nowUs: number): void {
    const six = ipVersion(frame.bytes, frame.length) === 6;
    const error = this.context.pool.take(1280);
    error.vnet.fill(0);
    error.length = icmpError(error.bytes, frame.bytes, frame.length, {
      from: six ? this.#router6 : this.#router4,
      type: six ? 2 : 3, // packet too big; destination unreachable
      code: six ? 0 : 4, // fragmentation needed and DF set
      rest: this.bytes,
    });
    if (error.length === 0) this.context.pool.give(error);
    else this.context.back.accept(error, nowUs);
  }
}

/** @param bytes largest IP packet that passes */
export function mtu(bytes: number, options: MtuOptions = {}): ElementFactory {
  if (!(bytes >= 68)) throw new RangeError(`mtu: ${bytes} is below 68 (RFC 791)`);
  return () => new Mtu(bytes, options);
}
