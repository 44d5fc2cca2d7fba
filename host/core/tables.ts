/**
 * The engine's tables of links, addresses, routes and neighbours as plain objects (tableNext of
 * docs/abi.md). Used by the control socket, by who waits for an address, and by tests; portable.
 */

import {
  AddressState, Dhcp, LINK_ETHERNET, LINK_UP, NeighborState, Origin, Table, TableWord,
} from '../../assembly/abi.js';
import { formatAddress, isAny, type AddressWords } from './address.js';
import type { Engine } from './engine.js';

/** Seconds that never end. */
export const FOREVER_S = 0xffffffff;

export interface AddressEntry {
  index: number;
  address: string;
  prefixLength: number;
  state: keyof typeof AddressState;
  origin: keyof typeof Origin;
  /** Seconds left; null: for ever. */
  validS: number | null;
  preferredS: number | null;
}

export interface RouteEntry {
  index: number;
  /** A CIDR. */
  to: string;
  /** null: the destination is on the link. */
  gateway: string | null;
  origin: keyof typeof Origin;
  validS: number | null;
}

export interface NeighborEntry {
  address: string;
  /** null: not known yet. */
  mac: string | null;
  state: keyof typeof NeighborState;
  /** Packets that wait for it. */
  queued: number;
}

export interface LinkEntry {
  id: number;
  mtu: number;
  up: boolean;
  /** null: the link has no MAC header. */
  mac: string | null;
  vlan: number;
  dhcp: keyof typeof Dhcp;
  addresses: AddressEntry[];
  routes: RouteEntry[];
  neighbors: NeighborEntry[];
}

const word = (row: Uint32Array, at: TableWord): number => row[at] as number;

function addressOf(row: Uint32Array, at: TableWord): AddressWords {
  return [...row.subarray(at, at + 4)] as unknown as AddressWords;
}

/** Six bytes as text. */
export function formatMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** @returns undefined for what is no unicast MAC */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined;
  const bytes = Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
  const group = ((bytes[0] as number) & 1) !== 0;
  return group || bytes.every((byte) => byte === 0) ? undefined : bytes;
}

function macOf(row: Uint32Array): string | null {
  const bytes = new Uint8Array(6);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, word(row, TableWord.b0));
  view.setUint16(4, word(row, TableWord.b1));
  return bytes.every((byte) => byte === 0) ? null : formatMac(bytes);
}

const seconds = (value: number): number | null => (value === FOREVER_S ? null : value);

function addresses(engine: Engine, link: number): AddressEntry[] {
  return rowsOf(engine, Table.Addresses, link).map((row) => ({
    index: word(row, TableWord.index), address: formatAddress(addressOf(row, TableWord.a0)),
    prefixLength: word(row, TableWord.prefixLength),
    state: AddressState[word(row, TableWord.state)] as keyof typeof AddressState,
    origin: Origin[word(row, TableWord.origin)] as keyof typeof Origin,
    validS: seconds(word(row, TableWord.validS)),
    preferredS: seconds(word(row, TableWord.preferredS)),
  }));
}

function routes(engine: Engine, link: number): RouteEntry[] {
  return rowsOf(engine, Table.Routes, link).map((row) => {
    const gateway = addressOf(row, TableWord.b0);
    const to = formatAddress(addressOf(row, TableWord.a0));
    return {
      index: word(row, TableWord.index), to: `${to}/${word(row, TableWord.prefixLength)}`,
      gateway: isAny(gateway) ? null : formatAddress(gateway),
      origin: Origin[word(row, TableWord.origin)] as keyof typeof Origin,
      validS: seconds(word(row, TableWord.validS)),
    };
  });
}

function neighbors(engine: Engine, link: number): NeighborEntry[] {
  return rowsOf(engine, Table.Neighbors, link).map((row) => ({
    address: formatAddress(addressOf(row, TableWord.a0)), mac: macOf(row),
    state: NeighborState[word(row, TableWord.state)] as keyof typeof NeighborState,
    queued: word(row, TableWord.preferredS),
  }));
}

function rowsOf(engine: Engine, table: Table, link: number): Uint32Array[] {
  return [...engine.table(table)].filter((row) => word(row, TableWord.link) === link);
}

/** Every link with what belongs to it. */
export function linkEntries(engine: Engine): LinkEntry[] {
  return [...engine.table(Table.Links)].map((row) => {
    const id = word(row, TableWord.index);
    const flags = word(row, TableWord.state);
    return {
      id, mtu: word(row, TableWord.validS), up: (flags & LINK_UP) !== 0,
      mac: (flags & LINK_ETHERNET) === 0 ? null : macOf(row),
      vlan: word(row, TableWord.preferredS),
      dhcp: Dhcp[word(row, TableWord.origin)] as keyof typeof Dhcp,
      addresses: addresses(engine, id), routes: routes(engine, id),
      neighbors: neighbors(engine, id),
    };
  });
}
