/**
 * Internet addresses as text and as the engine's four words: IPv4 dotted decimal (RFC 6943 §3.1.1:
 * the strict form only), IPv6 (RFC 4291 §2.2 in, RFC 5952 out), CIDR prefixes (RFC 4632, RFC 4291
 * §2.3). IPv4 stands as ::ffff:a.b.c.d, all zero is "any". Used by every host and by the simulator;
 * imports nothing, so that it also runs in a browser page. Knows nothing of names or zones.
 */

/** 16 bytes of an IPv6 address as four big-endian u32. */
export type AddressWords = readonly [number, number, number, number];

export type Family = 4 | 6;

/** What a CIDR text says: an address inside a network, and the network's length. */
export interface Cidr {
  readonly words: AddressWords;
  readonly family: Family;
  /** Bits of this family: 0…32 or 0…128. */
  readonly prefixLength: number;
}

export const ADDRESS_ANY: AddressWords = [0, 0, 0, 0];
/** The top words of an IPv4 address in the engine. */
const MAPPED = 0xffff;

/** Four decimal numbers as one u32; undefined for anything else. */
function ipv4Word(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    // "010" is eight to some readers and ten to others, so it is refused (RFC 6943 §3.1.1).
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    word = word * 256 + octet;
  }
  return word;
}

/** The groups between colons as 16-bit numbers, an embedded IPv4 as two; undefined when wrong. */
function ipv6Groups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [at, part] of parts.entries()) {
    if (part.includes('.')) {
      const word = at === parts.length - 1 ? ipv4Word(part) : undefined;
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(parseInt(part, 16));
    }
  }
  return groups;
}

function parseIPv6(text: string): AddressWords | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0] as string);
  const tail = halves.length === 2 ? ipv6Groups(halves[1] as string) : [];
  if (head === undefined || tail === undefined) return undefined;
  // An IPv4 tail may only end the whole address, not the half before "::".
  if (halves.length === 2 && (halves[0] as string).includes('.')) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group (RFC 5952 §4.2.2 forbids it to write one, not to read it).
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (at: number): number =>
    (((all[at] as number) << 16) | (all[at + 1] as number)) >>> 0;
  return [word(0), word(2), word(4), word(6)];
}

/** Family of an address in the engine's form; "any" counts as IPv6. */
export function familyOf(words: AddressWords): Family {
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED ? 4 : 6;
}

export function isAny(words: AddressWords): boolean {
  return (words[0] | words[1] | words[2] | words[3]) === 0;
}

/**
 * Reads an address of either family.
 * @returns the engine's words, IPv4 as ::ffff:a.b.c.d; undefined when the text is no address.
 *   `0.0.0.0` gives ::ffff:0.0.0.0; `::` gives the engine's "any".
 */
export function parseAddress(text: string): AddressWords | undefined {
  if (text.includes(':')) return parseIPv6(text);
  const word = ipv4Word(text);
  return word === undefined ? undefined : [0, 0, MAPPED, word];
}

/**
 * As parseAddress, for text that must be right.
 * @throws TypeError with a code ERR_INVALID_IP_ADDRESS, as Node's net has it
 */
export function requireAddress(text: string): AddressWords {
  const words = parseAddress(text);
  if (words === undefined) {
    throw Object.assign(new TypeError(`Invalid IP address: ${text}`), {
      code: 'ERR_INVALID_IP_ADDRESS',
    });
  }
  return words;
}

function formatIPv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Start and length of the longest run of zero groups; the first one wins (RFC 5952 §4.2.3). */
function longestZeros(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let start = 0;
  for (let at = 0; at <= groups.length; at++) {
    if (at < groups.length && groups[at] === 0) continue;
    if (at - start > best[1]) best = [start, at - start];
    start = at + 1;
  }
  return best;
}

/**
 * Writes an address: dotted decimal for IPv4, RFC 5952 for IPv6.
 * @param mapped write IPv4 as ::ffff:a.b.c.d, as sockets of a dual-stack listener show it
 */
export function formatAddress(words: AddressWords, mapped = false): string {
  if (familyOf(words) === 4) return (mapped ? '::ffff:' : '') + formatIPv4(words[3]);
  const groups: number[] = [];
  for (const word of words) groups.push(word >>> 16, word & 0xffff);
  const hex = (part: readonly number[]): string => part.map((g) => g.toString(16)).join(':');
  const [start, length] = longestZeros(groups);
  if (length < 2) return hex(groups); // RFC 5952 §4.2.2: one group is not shortened
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/**
 * Reads `ADDRESS/LENGTH`; without a length the address stands for itself (32 or 128).
 * @returns undefined when the text is no CIDR. Host bits may be set: 10.0.0.2/24 is meant so.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const words = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (words === undefined) return undefined;
  const family: Family = text.includes(':') ? 6 : 4;
  const bits = family === 4 ? 32 : 128;
  if (slash < 0) return { words, family, prefixLength: bits };
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bits) return undefined;
  return { words, family, prefixLength: Number(length) };
}

/** @throws TypeError with a code ERR_INVALID_IP_ADDRESS */
export function requireCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) {
    throw Object.assign(new TypeError(`Invalid CIDR (want 10.0.0.1/24 or fd00::1/64): ${text}`), {
      code: 'ERR_INVALID_IP_ADDRESS',
    });
  }
  return cidr;
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.words)}/${cidr.prefixLength}`;
}

/** Bits of the engine's 128 that the prefix covers. */
function engineBits(cidr: Cidr): number {
  return cidr.family === 4 ? cidr.prefixLength + 96 : cidr.prefixLength;
}

/** True when the address lies in the network; IPv4 never lies in an IPv6 network. */
export function cidrContains(cidr: Cidr, words: AddressWords): boolean {
  if (familyOf(words) !== cidr.family) return false;
  const bits = engineBits(cidr);
  for (let at = 0; at < 4; at++) {
    const covered = Math.min(32, Math.max(0, bits - at * 32));
    const mask = covered === 0 ? 0 : (0xffffffff << (32 - covered)) >>> 0;
    if ((((words[at] as number) ^ (cidr.words[at] as number)) & mask) !== 0) return false;
  }
  return true;
}
