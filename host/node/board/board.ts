/**
 * What a stack is told when it is brought up, checked: from flags, or from one board.toml whose
 * words are the flags' names (docs/board.md), or both, and then a flag wins. Called by `up`,
 * `start` and tests. Opens nothing and needs no privileges; every mistake is a UsageError of one
 * line.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse as parseToml } from 'smol-toml';
import {
  cidrContains, formatAddress, parseAddress, parseCidr, type AddressWords,
} from '../../core/address.js';
import type { EngineConfig } from '../../core/config.js';
import { parseMac } from '../../core/tables.js';
import { oneLine, UsageError } from '../cli/errors.js';
import { parseHttpArgument } from '../services/http.js';
import { parseImpair, type ImpairSpec } from './impair.js';
import { parseLimit, parseSysctl, splitAssignment } from './sysctl.js';

export type Netns = { kind: 'new' } | { kind: 'host' } | { kind: 'named'; name: string };

export interface HttpFiles {
  port: number;
  directory: string;
  writable: boolean;
}

/** The services that are a port and nothing else. */
export const PORT_SERVICES = ['echo', 'discard', 'chargen', 'daytime', 'iperf3'] as const;
export type PortService = (typeof PORT_SERVICES)[number];

export interface Board {
  /** Of the control socket; chosen when absent. */
  name?: string;
  /** The device's name, and whether it is a TAP device: Ethernet frames. */
  device: string;
  tap: boolean;
  /** Of a TAP device: the stack's MAC (undefined: chosen), the VLAN of its frames or 0. */
  mac?: Uint8Array;
  vlan: number;
  /** Addresses by DHCP, by router advertisements. */
  dhcp: boolean;
  slaac: boolean;
  /** Default routes among them. */
  routes: { to: string; gateway?: string }[];
  /** Addresses of the stack, and of the kernel's end. */
  addresses: string[];
  peerAddresses: string[];
  netns: Netns;
  offload: boolean;
  mtu: number;
  http: HttpFiles[];
  ports: Partial<Record<PortService, number>>;
  pcap?: string;
  control?: string;
  impair?: { text: string; spec: ImpairSpec };
  config: EngineConfig;
}

/** Words of the flags; `board` is read by fromFlags. Lists may be given again and again. */
export interface BoardWords {
  board?: string;
  name?: string;
  link?: string;
  addr?: string[];
  'peer-addr'?: string[];
  netns?: string;
  offload?: boolean;
  mtu?: string;
  mac?: string;
  vlan?: string;
  gateway?: string[];
  route?: string[];
  http?: string[];
  echo?: string;
  discard?: string;
  chargen?: string;
  daytime?: string;
  iperf3?: string;
  pcap?: string;
  control?: string;
  impair?: string;
  sysctl?: string[];
  limit?: string[];
}

const LISTS = ['addr', 'peer-addr', 'gateway', 'route', 'http'] as const;
const TABLES = ['sysctl', 'limit'] as const;
const TEXTS = [
  'name', 'link', 'netns', 'mtu', 'mac', 'vlan', 'echo', 'discard', 'chargen', 'daytime', 'iperf3',
  'pcap', 'control', 'impair',
] as const;

export const DEFAULT_ADDRESS = '10.99.0.2/24';

function has<T extends string>(names: readonly T[], name: string): name is T {
  return (names as readonly string[]).includes(name);
}

function textOf(file: string, word: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (Array.isArray(value) && value.length > 0) {
    return value.map((item) => textOf(file, word, item)).join(' ');
  }
  throw new UsageError(`${file}: ${word} is neither a text nor a number`);
}

/** One word of a board file into the words of the flags. */
function readWord(file: string, words: BoardWords, word: string, value: unknown): void {
  if (word === 'offload') {
    if (typeof value !== 'boolean') throw new UsageError(`${file}: offload is true or false`);
    words.offload = value;
  } else if (has(LISTS, word)) {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    words[word] = items.map((item) => textOf(file, word, item));
  } else if (has(TABLES, word)) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new UsageError(`${file}: ${word} is a table: [${word}]`);
    }
    words[word] = Object.entries(value).map(
      ([name, item]) => `${name}=${textOf(file, `${word}.${name}`, item)}`,
    );
  } else if (has(TEXTS, word)) {
    words[word] = textOf(file, word, value);
  } else {
    const known = ['offload', ...TEXTS, ...LISTS, ...TABLES].sort().join(', ');
    throw new UsageError(`${file}: unknown word '${word}' (known: ${known})`);
  }
}

/** Paths in a board file are relative to it. */
function resolvePaths(words: BoardWords, folder: string): void {
  if (words.http !== undefined) {
    words.http = words.http.map((text) => text.replace(/=(.+)$/, (_, rest: string) => {
      return `=${path.resolve(folder, rest)}`;
    }));
  }
  if (words.pcap !== undefined) words.pcap = path.resolve(folder, words.pcap);
  if (words.control !== undefined) words.control = path.resolve(folder, words.control);
}

/** @throws UsageError: no such file, no TOML, an unknown word */
export function readBoardFile(file: string): BoardWords {
  let table: Record<string, unknown>;
  try {
    table = parseToml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`--board ${file}: ${oneLine(error)}`);
  }
  const words: BoardWords = {};
  for (const [word, value] of Object.entries(table)) readWord(file, words, word, value);
  resolvePaths(words, path.dirname(path.resolve(file)));
  return words;
}

function requirePort(word: string, text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new UsageError(`--${word} ${text}: a port from 1 to 65535 is wanted`);
}

/** The network's first address that is not `words` itself; undefined when it has no room. */
function firstOther(cidrText: string): string | undefined {
  const cidr = parseCidr(cidrText);
  if (cidr === undefined) return undefined;
  const bits = cidr.family === 4 ? 32 : 128;
  if (cidr.prefixLength > bits - 1) return undefined;
  const hostBits = BigInt(bits - cidr.prefixLength);
  const value = cidr.words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
  const network = (value >> hostBits) << hostBits;
  // In a /31 or /127 there is no network address to keep free (RFC 3021, RFC 6164).
  let first = network + (hostBits === 1n ? 0n : 1n);
  if (first === value) first += 1n;
  const word = (at: bigint): number => Number((first >> at) & 0xffffffffn);
  const other: AddressWords = [word(96n), word(64n), word(32n), word(0n)];
  if (!cidrContains(cidr, other)) return undefined;
  return `${formatAddress(other)}/${cidr.prefixLength}`;
}

function checkCidr(flag: string, text: string): string {
  if (parseCidr(text) !== undefined && text.includes('/')) return text;
  throw new UsageError(
    `${flag} ${text}: an address with its prefix length is wanted, such as 10.99.0.2/24 or `
    + 'fd99::2/64',
  );
}

/** Words of `addr` that are no address: who gives one. */
const AUTOMATIC = ['dhcp', 'slaac'];

function addressesOf(words: BoardWords): { addresses: string[]; peerAddresses: string[] } {
  const addresses = (words.addr ?? [DEFAULT_ADDRESS]).filter((text) => !AUTOMATIC.includes(text))
    .map((text) => checkCidr('--addr', text));
  const given = words['peer-addr'];
  if (given !== undefined) {
    const peers = given.filter((text) => text !== 'none');
    return { addresses, peerAddresses: peers.map((text) => checkCidr('--peer-addr', text)) };
  }
  const peerAddresses = addresses.map((text) => {
    const other = firstOther(text);
    if (other !== undefined) return other;
    throw new UsageError(`--addr ${text}: no room for the kernel's end; say --peer-addr`);
  });
  return { addresses, peerAddresses: [...new Set(peerAddresses)] };
}

function netnsOf(text = 'new'): Netns {
  if (text === 'new' || text === 'host') return { kind: text };
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(text)) return { kind: 'named', name: text };
  throw new UsageError(`--netns ${text}: new, host, or the name of a namespace is wanted`);
}

function deviceOf(text = 'tun:ackorn0'): { device: string; tap: boolean } {
  const match = /^(tun|tap):([^\s/:%]{1,15})$/.exec(text);
  if (match?.[2] !== undefined) return { device: match[2], tap: match[1] === 'tap' };
  throw new UsageError(
    `--link ${text}: tun:NAME or tap:NAME is wanted, the name of at most 15 characters`,
  );
}

/** What only Ethernet has. */
function ethernetOf(
  words: BoardWords, tap: boolean,
): { mac?: Uint8Array; vlan: number; dhcp: boolean; slaac: boolean } {
  const { mac: text, vlan: tag = '0', addr = [] } = words;
  const dhcp = addr.includes('dhcp');
  const slaac = addr.includes('slaac');
  const word = text !== undefined ? 'mac' : words.vlan !== undefined ? 'vlan'
    : dhcp ? 'addr dhcp' : slaac ? 'addr slaac' : undefined;
  if (!tap && word !== undefined) throw new UsageError(`--${word}: only a tap: link has that`);
  const vlan = Number(tag);
  if (!/^\d{1,4}$/.test(tag) || vlan > 4094) {
    throw new UsageError(`--vlan ${tag}: a number from 1 to 4094 is wanted, or 0 for no tags`);
  }
  const mac = text === undefined ? undefined : parseMac(text);
  if (text !== undefined && mac === undefined) {
    throw new UsageError(`--mac ${text}: six bytes such as 02:00:00:00:00:01 are wanted`);
  }
  return { ...(mac === undefined ? {} : { mac }), vlan, dhcp, slaac };
}

function routesOf(words: BoardWords): { to: string; gateway?: string }[] {
  const defaults = (words.gateway ?? []).map((gateway) => {
    if (parseAddress(gateway) === undefined) {
      throw new UsageError(`--gateway ${gateway}: an address is wanted`);
    }
    return { to: gateway.includes(':') ? '::/0' : '0.0.0.0/0', gateway };
  });
  const others = (words.route ?? []).map((text) => {
    const [to = '', gateway, ...more] = text.split('=');
    const wrong = parseCidr(to) === undefined || !to.includes('/') || more.length > 0
      || (gateway !== undefined && parseAddress(gateway) === undefined);
    if (wrong) {
      throw new UsageError(`--route ${text}: CIDR=GATEWAY is wanted, or CIDR for one on the link`);
    }
    return gateway === undefined ? { to } : { to, gateway };
  });
  return [...others, ...defaults];
}

function mtuOf(text = '1500'): number {
  const mtu = Number(text);
  if (/^\d+$/.test(text) && mtu >= 68 && mtu <= 65_535) return mtu;
  throw new UsageError(`--mtu ${text}: a number from 68 to 65535 is wanted`);
}

function httpOf(words: BoardWords): HttpFiles[] {
  return (words.http ?? []).map((text) => {
    try {
      const { port, directory, writable = false } = parseHttpArgument(text);
      return { port, directory, writable };
    } catch (error) {
      throw new UsageError(oneLine(error));
    }
  });
}

function configOf(words: BoardWords): EngineConfig {
  const config: EngineConfig = {};
  for (const text of words.sysctl ?? []) {
    Object.assign(config, parseSysctl(...splitAssignment('--sysctl', text)));
  }
  for (const text of words.limit ?? []) {
    Object.assign(config, parseLimit(...splitAssignment('--limit', text)));
  }
  return config;
}

function nameOf(text: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(text)) return text;
  throw new UsageError(`--name ${text}: letters, digits, '.', '-' and '_' are wanted`);
}

function checkPortsOnce(board: Board): void {
  const seen = new Map<number, string>();
  const ports: [string, number][] = board.http.map(({ port }) => ['http', port]);
  for (const [name, port] of Object.entries(board.ports)) ports.push([name, port]);
  for (const [name, port] of ports) {
    const other = seen.get(port);
    if (other !== undefined) throw new UsageError(`port ${port} is wanted by ${other} and ${name}`);
    seen.set(port, name);
  }
}

/** @throws UsageError that says which word is wrong and what is wanted */
export function makeBoard(flags: BoardWords): Board {
  const { board: file, ...given } = flags;
  const words: BoardWords = file === undefined ? given : { ...readBoardFile(file), ...given };
  const ports: Partial<Record<PortService, number>> = {};
  for (const service of PORT_SERVICES) {
    const text = words[service];
    if (text !== undefined) ports[service] = requirePort(service, text);
  }
  const { impair, pcap, control, name } = words;
  const { device, tap } = deviceOf(words.link);
  const board: Board = {
    device,
    tap,
    ...ethernetOf(words, tap),
    ...addressesOf(words),
    routes: routesOf(words),
    netns: netnsOf(words.netns),
    offload: words.offload ?? true,
    mtu: mtuOf(words.mtu),
    http: httpOf(words),
    ports,
    config: configOf(words),
    ...(name === undefined ? {} : { name: nameOf(name) }),
    ...(pcap === undefined ? {} : { pcap }),
    ...(control === undefined ? {} : { control }),
    ...(impair === undefined ? {} : { impair: { text: impair, spec: parseImpair(impair) } }),
  };
  checkPortsOnce(board);
  return board;
}
