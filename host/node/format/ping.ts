/**
 * The lines of iputils' `ping` and the summary at its end, with the same rounding.
 * Called by `ackorn ping` and tests; sends nothing. RFC 792, RFC 4443 for the names of errors.
 */
import { formatG } from './c-number.js';

export interface PingReply {
  /** Who answered. */
  from: string;
  /** ICMP bytes: header and data. */
  bytes: number;
  sequence: number;
  /** TTL or hop limit of the reply; left out if unknown. */
  ttl?: number;
  /** Round-trip time, µs. */
  rttUs: number;
}

/** Milliseconds with as many digits as ping gives a time of this size. */
export function pingTime(us: number): string {
  const whole = Math.max(0, Math.round(us));
  if (whole >= 100_000 - 50) return String(Math.floor((whole + 500) / 1000));
  if (whole >= 10_000 - 5) {
    const tenths = Math.floor((whole + 50) / 100);
    return `${Math.floor(tenths / 10)}.${tenths % 10}`;
  }
  if (whole >= 1000) {
    const hundredths = Math.floor((whole + 5) / 10);
    return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}`;
  }
  return `0.${String(whole).padStart(3, '0')}`;
}

function millis(us: number): string {
  const whole = Math.floor(us);
  return `${Math.floor(whole / 1000)}.${String(whole % 1000).padStart(3, '0')}`;
}

const UNREACHABLE = ['Destination Net Unreachable', 'Destination Host Unreachable',
  'Destination Protocol Unreachable', 'Destination Port Unreachable', '', 'Source Route Failed',
  'Destination Net Unknown', 'Destination Host Unknown', 'Source Host Isolated',
  'Destination Net Prohibited', 'Destination Host Prohibited',
  'Destination Net Unreachable for Type of Service',
  'Destination Host Unreachable for Type of Service', 'Packet filtered', 'Precedence Violation',
  'Precedence Cutoff'];
const UNREACHABLE6 = ['No route', 'Administratively prohibited', 'Beyond scope of source address',
  'Address unreachable', 'Port unreachable'];

/** What ping calls an ICMP error; `info` is the MTU or the pointer. */
export function icmpErrorName(type: number, code: number, info: number): string {
  if (type === 3 && code === 4) return `Frag needed and DF set (mtu = ${info})`;
  if (type === 3) return UNREACHABLE[code] ?? `Dest Unreachable, Bad Code: ${code}`;
  if (type === 11 && code === 0) return 'Time to live exceeded';
  if (type === 11 && code === 1) return 'Frag reassembly time exceeded';
  if (type === 11) return `Time exceeded, Bad Code: ${code}`;
  return type === 12 ? `Parameter problem: pointer = ${info}` : `Bad ICMP type: ${type}`;
}

/** The same for ICMPv6. */
export function icmp6ErrorName(type: number, code: number, info: number): string {
  if (type === 1) {
    return `Destination unreachable: ${UNREACHABLE6[code] ?? `Unknown code ${code}`}`;
  }
  if (type === 2) return `Packet too big: mtu=${info}`;
  if (type === 3 && code <= 1) {
    return `Time exceeded: ${code === 0 ? 'Hop limit' : 'Defragmentation failure'}`;
  }
  if (type === 3) return `Time exceeded: code ${code}`;
  return type === 4 ? `Parameter problem: code ${code}, at pointer ${info}`
    : `Unknown icmp type ${type}`;
}

/** Whole square root by Newton's steps, as ping takes it. */
function integerRoot(value: bigint): bigint {
  if (value <= 0n) return 0n;
  let previous = value + 1n;
  let root = value;
  while (root < previous) {
    previous = root;
    root = (root + value / root) / 2n;
  }
  return root; // one too many for some values: ping's own result
}

/** Words one run of ping; keeps what the summary needs. */
export class PingFormatter {
  private transmitted = 0;
  private received = 0;
  private duplicates = 0;
  private corrupted = 0;
  private errors = 0;
  private sum = 0n;
  private sumSquares = 0n;
  private least = Number.MAX_SAFE_INTEGER;
  private most = 0;
  private readonly seen = new Set<number>();

  /** `host` as the user typed it, `address` as it was resolved. */
  constructor(private readonly host: string, private readonly address: string) {}

  /** `PING host (address) 56(84) bytes of data.`; dataBytes without any header. */
  header(dataBytes = 56): string {
    const v6 = this.address.includes(':');
    if (v6) return `PING ${this.host}(${this.address}) ${dataBytes} data bytes`;
    return `PING ${this.host} (${this.address}) ${dataBytes}(${dataBytes + 28}) bytes of data.`;
  }

  sent(): void {
    this.transmitted++;
  }

  /** `64 bytes from 10.99.0.2: icmp_seq=1 ttl=64 time=0.042 ms`. */
  reply(reply: PingReply): string {
    const us = Math.max(0, Math.round(reply.rttUs));
    this.sum += BigInt(us);
    this.sumSquares += BigInt(us) * BigInt(us);
    this.least = Math.min(this.least, us);
    this.most = Math.max(this.most, us);
    const again = this.seen.has(reply.sequence);
    if (again) this.duplicates++;
    else this.received++;
    this.seen.add(reply.sequence);
    const ttl = reply.ttl === undefined ? '' : ` ttl=${reply.ttl}`;
    const dup = again ? ' (DUP!)' : '';
    return `${reply.bytes} bytes from ${reply.from}: icmp_seq=${reply.sequence}${ttl}`
      + ` time=${pingTime(us)} ms${dup}`;
  }

  /** A reply whose data is not what was sent: counted as corrupted, not as received. */
  damaged(reply: PingReply): string {
    this.corrupted++;
    const ttl = reply.ttl === undefined ? '' : ` ttl=${reply.ttl}`;
    return `${reply.bytes} bytes from ${reply.from}: icmp_seq=${reply.sequence}${ttl}`
      + ` time=${pingTime(reply.rttUs)} ms (BAD CHECKSUM!)`;
  }

  /** `From 10.99.0.9 icmp_seq=1 Destination Host Unreachable`. */
  error(from: string, sequence: number, type: number, code: number, info = 0): string {
    this.errors++;
    const v6 = this.address.includes(':');
    const name = v6 ? icmp6ErrorName(type, code, info) : icmpErrorName(type, code, info);
    return `From ${from} icmp_seq=${sequence} ${name}`;
  }

  /** The lines of the end, from the blank one on; elapsedUs since the first packet. */
  summary(elapsedUs: number): string {
    let text = `\n--- ${this.host} ping statistics ---\n`;
    text += `${this.transmitted} packets transmitted, ${this.received} received`;
    if (this.duplicates > 0) text += `, +${this.duplicates} duplicates`;
    if (this.corrupted > 0) text += `, +${this.corrupted} corrupted`;
    if (this.errors > 0) text += `, +${this.errors} errors`;
    if (this.transmitted > 0) {
      const lost = ((this.transmitted - this.received) * 100) / this.transmitted;
      // ping computes it in a float
      text += `, ${formatG(Math.fround(lost))}% packet loss`;
      text += `, time ${Math.round(elapsedUs / 1000)}ms`;
    }
    return `${text}\n${this.times()}`;
  }

  /** 0 if something was received, 1 if nothing was: ping's exit code. */
  get exitCode(): number {
    return this.received > 0 ? 0 : 1;
  }

  private times(): string {
    if (this.received === 0) return '\n';
    const total = BigInt(this.received + this.duplicates);
    const average = this.sum / total;
    const variance = (this.sumSquares - (this.sum * this.sum) / total) / total;
    const deviation = integerRoot(variance);
    const parts = [this.least, Number(average), this.most, Number(deviation)].map(millis);
    return `rtt min/avg/max/mdev = ${parts.join('/')} ms\n`;
  }
}
