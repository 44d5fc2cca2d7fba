/**
 * A middlebox that does not like some TCP options: it overwrites them with NOPs and corrects the
 * checksum (RFC 1624), as firewalls do (Honda et al., IMC 2011). A damaged packet stays damaged.
 */
import { Element, type ElementFactory } from '../element.js';
import type { Frame } from '../frame.js';
import { replace16, tcpHeaderLength, tcpOffset } from '../packet.js';

class StripOptions extends Element {
  readonly name = 'strip-options';
  /** Options that were overwritten. */
  stripped = 0;

  constructor(readonly kinds: ReadonlySet<number>) {
    super();
  }

  protected process(frame: Frame, nowUs: number): void {
    const at = tcpOffset(frame.bytes, frame.length);
    if (at > 0) this.#strip(frame.bytes, at, at + tcpHeaderLength(frame.bytes, at));
    this.next.accept(frame, nowUs);
  }

  #strip(bytes: Uint8Array, tcp: number, end: number): void {
    let at = tcp + 20;
    while (at < end) {
      const kind = bytes[at] as number;
      if (kind === 0) return;
      const length = kind === 1 ? 1 : at + 1 < end ? (bytes[at + 1] as number) : 0;
      if (length === 0 || (kind !== 1 && length < 2) || at + length > end) return;
      if (kind !== 1 && this.kinds.has(kind)) {
        this.stripped++;
        for (let place = at; place < at + length; place++) this.#nop(bytes, tcp, place);
      }
      at += length;
    }
  }

  #nop(bytes: Uint8Array, tcp: number, place: number): void {
    const word = place - ((place - tcp) & 1);
    const high = word === place ? 1 : (bytes[word] as number);
    const low = word === place ? (bytes[word + 1] as number) : 1;
    replace16(bytes, word, (high << 8) | low, tcp + 16);
  }
}

/** @param kinds option kinds to overwrite: 2 MSS, 3 window scale, 4 and 5 SACK, 8 timestamps, … */
export function stripOptions(...kinds: number[]): ElementFactory {
  return () => new StripOptions(new Set(kinds));
}
