/**
 * Addresses as text: parsing and checking CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) for the
 * kernel's end of a device. Used by device.ts, link/tun.ts and the CLI's --addr.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { badArgument } from './errors.js';

/** An address with its prefix, checked. */
export interface Cidr {
  readonly address: string;
  readonly family: 4 | 6;
  /** 0 to 32, or to 128. */
  readonly prefixLength: number;
}

/** The bytes of an address in network order: 4 or 16. Throws a NativeError for anything else. */
export function addressBytes(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) {
    throw badArgument(`'${text}' is no IP address: write one like 10.99.0.1 or fd99::1`);
  }
  // The URL parser writes every IPv6 address the canonical way (RFC 5952), dotted tails included.
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const [left = '', right] = canonical.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => parseInt(group, 16));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const zeros = new Array<number>(8 - head.length - tail.length).fill(0);
  const all = [...head, ...zeros, ...tail];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

/** Parses `10.99.0.1/24` or `fd99::1/64`. Throws a NativeError that says what is wrong. */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIPv4(address) ? 4 : isIPv6(address) && !address.includes('%') ? 6 : 0;
  if (family === 0 || slash < 0) {
    throw badArgument(
      `'${text}' is no address with a prefix: write one like 10.99.0.1/24 or fd99::1/64`,
    );
  }
  const prefix = text.slice(slash + 1);
  const prefixLength = Number(prefix);
  const most = family === 4 ? 32 : 128;
  if (!/^\d{1,3}$/.test(prefix) || prefixLength > most) {
    throw badArgument(`'${text}': the prefix length must be a number from 0 to ${most}`);
  }
  return { address, family, prefixLength };
}
