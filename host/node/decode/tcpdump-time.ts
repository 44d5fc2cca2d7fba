/**
 * Time stamps as tcpdump prints them: `-t` to `-ttttt`.
 * Called by tcpdump.ts. Times are microseconds since 1970 (or since a virtual start), number or
 * bigint; delta and relative ones are remembered from packet to packet.
 */

/** default: `12:00:00.000001`; none -t; unix -tt; delta -ttt; date -tttt; relative -ttttt. */
export type TimestampStyle = 'default' | 'none' | 'unix' | 'delta' | 'date' | 'relative';

const two = (value: number) => String(value).padStart(2, '0');

function clockText(seconds: number, micros: number, local: boolean): string {
  const date = new Date(seconds * 1000);
  const [h, m, s] = local ? [date.getHours(), date.getMinutes(), date.getSeconds()]
    : [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  return `${two(h)}:${two(m)}:${two(s)}.${String(micros).padStart(6, '0')}`;
}

function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export class Timestamps {
  private reference: bigint | undefined;

  constructor(private readonly style: TimestampStyle) {}

  /** The stamp with the space behind it; '' for 'none'. Delta is to the packet before. */
  text(timeUs: bigint | number): string {
    const time = typeof timeUs === 'bigint' ? timeUs : BigInt(Math.round(timeUs));
    const seconds = Number(time / 1_000_000n);
    const micros = Number(time % 1_000_000n);
    switch (this.style) {
      case 'none': return '';
      case 'unix': return `${seconds}.${String(micros).padStart(6, '0')} `;
      case 'date': return `${dateText(seconds)} ${clockText(seconds, micros, true)} `;
      case 'delta':
      case 'relative': return this.since(time);
      default: return `${clockText(seconds, micros, true)} `;
    }
  }

  private since(time: bigint): string {
    const reference = this.reference ?? time;
    if (this.reference === undefined || this.style === 'delta') this.reference = time;
    const distance = time < reference ? reference - time : time - reference;
    const sign = time < reference ? '-' : ' ';
    const seconds = Number(distance / 1_000_000n);
    return `${sign}${clockText(seconds, Number(distance % 1_000_000n), false)} `;
  }
}
