/**
 * The tables of links, addresses, routes and neighbours for whoever looks from outside: one entry a
 * call, as words at RESULT_AT (TableWord of abi.ts). index.ts calls tableNext. Changes nothing.
 */
import {
  AddressState, Config, RESULT_AT, Table, TableWord,
} from "../abi";
import { config } from "../config";
import { readU32, writeU32 } from "../core/bytes";
import { pool, PoolId } from "../core/pool";
import { linkAt, linkAuto } from "../link/link";
import { Neighbor, neighborAt, neighborState } from "../link/neighbor";
import { system } from "../memory";
import { isMapped } from "./packet";
import {
  ADDRESS_DUPLICATE, ADDRESS_TENTATIVE, ADDRESS_USED, addressDeprecated, addressEntry,
  addressWords, FOREVER_S,
} from "./route";
import { Route, routeEntry } from "./route-table";

// @ts-ignore: decorator
@inline
function put(word: TableWord, value: u32): void {
  writeU32(RESULT_AT + (<u32>word << 2), value);
}

/** Four words at `at` as big-endian numbers. */
function putWords(word: TableWord, at: usize): void {
  for (let i: u32 = 0; i < 4; i++) {
    writeU32(RESULT_AT + (<u32>word + i << 2), bswap<u32>(readU32(at + (i << 2))));
  }
}

function putMac(high: u32, low: u32): void {
  put(TableWord.b0, bswap<u32>(high));
  put(TableWord.b1, bswap<u16>(<u16>low));
}

function secondsLeft(expiryS: u32): u32 {
  const nowS = system().nowS;
  if (expiryS == FOREVER_S) return FOREVER_S;
  return expiryS > nowS ? expiryS - nowS : 0;
}

/** The entry at or behind `cursor` to RESULT; the cursor behind it, or 0: there is none. */
export function tableNext(table: Table, cursor: u32): u32 {
  const most = entries(table);
  for (let i = cursor; i < most; i++) {
    for (let word: u32 = 0; word < <u32>TableWord.WORDS; word++) writeU32(RESULT_AT + word * 4, 0);
    put(TableWord.index, i);
    if (putEntry(table, i)) return i + 1;
  }
  return 0;
}

function entries(table: Table): u32 {
  switch (table) {
    case Table.Addresses: return system().addressCount;
    case Table.Routes: return config(Config.routesMax);
    case Table.Neighbors: return pool(PoolId.Neighbor).fresh;
    case Table.Links: return system().linkCount;
    default: return 0;
  }
}

function putEntry(table: Table, i: u32): bool {
  switch (table) {
    case Table.Addresses: return putAddress(i);
    case Table.Routes: return putRoute(i);
    case Table.Neighbors: return putNeighbor(i);
    default: return putLink(i);
  }
}

function putAddress(i: u32): bool {
  const e = addressEntry(i);
  let state = AddressState.Duplicate;
  if (e.flags == ADDRESS_TENTATIVE) state = AddressState.Tentative;
  else if (e.flags == ADDRESS_USED) {
    state = addressDeprecated(e) ? AddressState.Deprecated : AddressState.Preferred;
  } else if (e.flags != ADDRESS_DUPLICATE) return false;
  put(TableWord.link, e.link);
  putWords(TableWord.a0, addressWords(i));
  put(TableWord.prefixLength, e.prefixLength);
  put(TableWord.state, state);
  put(TableWord.origin, e.origin);
  put(TableWord.validS, secondsLeft(e.validS));
  put(TableWord.preferredS, secondsLeft(e.preferredS));
  return true;
}

function putRoute(i: u32): bool {
  const r = routeEntry(i);
  if (r.origin == 0) return false;
  const at = changetype<usize>(r);
  put(TableWord.link, r.link);
  putWords(TableWord.a0, at);
  putWords(TableWord.b0, at + offsetof<Route>("g0"));
  put(TableWord.prefixLength, isMapped(r.d0, r.d1, r.d2) && r.bits >= 96 ? r.bits - 96 : r.bits);
  put(TableWord.origin, r.origin);
  put(TableWord.validS, secondsLeft(r.expiryS));
  return true;
}

function putNeighbor(i: u32): bool {
  const record = neighborAt(i);
  if (record == 0) return false;
  const n = changetype<Neighbor>(record);
  put(TableWord.link, n.link);
  putWords(TableWord.a0, record + offsetof<Neighbor>("w0"));
  put(TableWord.state, neighborState(n));
  put(TableWord.preferredS, n.queued);
  putMac(n.macHigh, n.macLow);
  return true;
}

function putLink(i: u32): bool {
  const link = linkAt(i);
  put(TableWord.link, i);
  put(TableWord.state, link.features);
  put(TableWord.origin, linkAuto(link).dhcp);
  put(TableWord.validS, link.mtu);
  put(TableWord.preferredS, link.vlan);
  putMac(link.macHigh, link.macLow);
  return true;
}
