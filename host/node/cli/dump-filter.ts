/**
 * The filter of `ackorn dump`: tcpdump's words that are asked for daily. `tcp`, `udp`, `icmp`,
 * `icmp6`, `ip`, `ip6`, `[src|dst] host A`, `[src|dst] port N`, joined by and, or, not; `and` binds
 * tighter than `or`; there are no parentheses. Called by commands/dump.ts.
 */

import { isIP } from 'node:net';
import { formatAddress, parseAddress } from '../../core/address.js';
import type { DecodedFrame } from '../decode/types.js';
import { UsageError } from './errors.js';

export type PacketTest = (frame: DecodedFrame) => boolean;

const PROTOCOLS: Readonly<Record<string, PacketTest>> = {
  tcp: ({ transport }) => transport?.kind === 'tcp',
  udp: ({ transport }) => transport?.kind === 'udp',
  icmp: ({ transport }) => transport?.kind === 'icmp',
  icmp6: ({ transport }) => transport?.kind === 'icmp6',
  ip: ({ ip }) => ip?.version === 4,
  ip6: ({ ip }) => ip?.version === 6,
};

interface Cursor {
  readonly words: readonly string[];
  at: number;
}

function hostTest(text: string, ends: readonly string[]): PacketTest {
  const words = parseAddress(text);
  if (isIP(text) === 0 || words === undefined) {
    throw new UsageError(`filter: host ${text}: an IP address is wanted`);
  }
  const address = formatAddress(words);
  return ({ ip }) => ip !== undefined && (
    (ends.includes('src') && ip.source === address)
    || (ends.includes('dst') && ip.destination === address));
}

function portTest(text: string, ends: readonly string[]): PacketTest {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new UsageError(`filter: port ${text}: a number to 65535 is wanted`);
  }
  return ({ transport }) => (transport?.kind === 'tcp' || transport?.kind === 'udp') && (
    (ends.includes('src') && transport.sourcePort === port)
    || (ends.includes('dst') && transport.destinationPort === port));
}

function take(cursor: Cursor): string {
  const word = cursor.words[cursor.at++];
  if (word === undefined) throw new UsageError('filter: it ends too early');
  return word;
}

function primitive(cursor: Cursor): PacketTest {
  let word = take(cursor);
  const protocol = PROTOCOLS[word];
  if (protocol !== undefined) return protocol;
  let ends = ['src', 'dst'];
  if (ends.includes(word)) {
    ends = [word];
    word = take(cursor);
  }
  if (word === 'host') return hostTest(take(cursor), ends);
  if (word === 'port') return portTest(take(cursor), ends);
  throw new UsageError(`filter: unknown word '${word}' (tcp, udp, icmp, icmp6, ip, ip6, host, `
    + 'port, '
    + 'src, dst, and, or, not)');
}

/** No words let everything pass. @throws UsageError that names the word */
export function parseDumpFilter(given: readonly string[]): PacketTest {
  const words = given.join(' ').split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) return () => true;
  const cursor: Cursor = { words, at: 0 };
  const alternatives: PacketTest[][] = [[]];
  for (;;) {
    let negated = false;
    while (words[cursor.at] === 'not' || words[cursor.at] === '!') {
      negated = !negated;
      cursor.at++;
    }
    const test = primitive(cursor);
    alternatives.at(-1)?.push(negated ? (frame) => !test(frame) : test);
    if (cursor.at === words.length) break;
    const joint = take(cursor);
    if (joint === 'or' || joint === '||') alternatives.push([]);
    // `tcp port 80`: two words side by side mean "and".
    else if (joint !== 'and' && joint !== '&&') cursor.at--;
  }
  return (frame) => alternatives.some((all) => all.every((test) => test(frame)));
}
