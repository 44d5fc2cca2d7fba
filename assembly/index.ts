/**
 * The ABI: every export of the engine, and nothing else. docs/abi.md is its table; all numbers are
 * u32 or i32, a negative result is an Errno. Each call checks its handle and its numbers: no
 * sequence of calls can trap (law 5).
 */
import {
  ABI_VERSION, CONFIG_WORDS, Config, Errno, Origin, RESULT_AT, SHUT_RDWR,
} from "./abi";
import { bootAll, isBooted, memoryNeeded, sysctlGood } from "./boot";
import { config, setConfig } from "./config";
import { arenaLimboBytes, arenaStats } from "./core/arena";
import { writeU32 } from "./core/bytes";
import { PoolId, pool } from "./core/pool";
import { icmpEcho as echo } from "./ip/echo";
import { addressExpire, autoconfStart, autoconfStop } from "./ip/autoconf";
import { addressBegin } from "./ip/dad";
import { routeAdd as addRoute, routeRemove as removeRoute } from "./ip/route-table";
import { tableNext as nextEntry } from "./ip/tables";
import {
  linkAdd as makeLink, linkAt, linkEthernet as setEthernet, linkIsEthernet, linkRing as ringOf,
  linkSet as setLink,
} from "./link/link";
import { system } from "./memory";
import { pollAll } from "./poll";
import { demuxLongest } from "./tcp/demux";
import { eventsCollect as collect } from "./tcp/events";
import { nameOf, nextRecord, tcpInfoOf } from "./tcp/info";
import { Endpoint, Listener, Tcb } from "./tcp/records";
import {
  listenerOptionGet, listenerOptionSet, optionGet, optionSet,
} from "./tcp/socket-options";
import {
  connectionOf, listenerOf, userAbort, userAccept, userBind, userClose, userConnect, userListen,
  userListenerClose, userOpen, userRecvConsume, userRecvPeek, userSendCommit, userSendReserve,
  userShutdown,
} from "./tcp/user";

// ---- Life

export function abiVersion(): u32 {
  return ABI_VERSION;
}

export function memoryRequired(): u32 {
  return memoryNeeded();
}

export function boot(): i32 {
  return bootAll();
}

export function poll(nowHigh: u32, nowLow: u32, budget: u32): u32 {
  if (!isBooted()) return 0xffffffff;
  return pollAll((<u64>nowHigh << 32) | <u64>nowLow, budget);
}

export function eventsCollect(): u32 {
  return isBooted() ? collect() : 0;
}

// ---- Links, addresses, sysctls

export function linkAdd(flags: u32, mtu: u32): i32 {
  return isBooted() ? makeLink(flags, mtu) : -Errno.EINVAL;
}

export function linkRing(id: u32): u32 {
  return isBooted() ? ringOf(id) : 0;
}

export function linkSet(id: u32, up: u32): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  const set = setLink(id, up != 0);
  if (set == 0 && linkIsEthernet(linkAt(id))) {
    if (up != 0) autoconfStart(id);
    else autoconfStop(id);
  }
  return set;
}

export function linkEthernet(id: u32, high: u32, low: u32, vlan: u32, auto: u32): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  const set = setEthernet(id, high, low, vlan, auto);
  if (set == 0) autoconfStart(id);
  return set;
}

export function addressAdd(
  link: u32, a0: u32, a1: u32, a2: u32, a3: u32, prefixLength: u32,
): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  const w0 = bswap<u32>(a0);
  const w1 = bswap<u32>(a1);
  const w2 = bswap<u32>(a2);
  return addressBegin(w0, w1, w2, bswap<u32>(a3), prefixLength, link, Origin.Manual);
}

/** Connections on the address are aborted: they could not say another word. */
export function addressRemove(index: u32): i32 {
  if (!isBooted() || index >= system().addressCount) return -Errno.EINVAL;
  return addressExpire(index);
}

export function routeAdd(
  link: u32, d0: u32, d1: u32, d2: u32, d3: u32, prefixLength: u32,
  g0: u32, g1: u32, g2: u32, g3: u32,
): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  writeU32(RESULT_AT, bswap<u32>(d0));
  writeU32(RESULT_AT + 4, bswap<u32>(d1));
  writeU32(RESULT_AT + 8, bswap<u32>(d2));
  writeU32(RESULT_AT + 12, bswap<u32>(d3));
  writeU32(RESULT_AT + 16, bswap<u32>(g0));
  writeU32(RESULT_AT + 20, bswap<u32>(g1));
  writeU32(RESULT_AT + 24, bswap<u32>(g2));
  writeU32(RESULT_AT + 28, bswap<u32>(g3));
  return addRoute(RESULT_AT, prefixLength, link);
}

export function routeRemove(index: u32): i32 {
  return isBooted() ? removeRoute(index) : -Errno.EINVAL;
}

export function sysctlSet(word: u32, value: u32): i32 {
  if (!isBooted() || word < <u32>Config.tcp_rmem_min || word >= CONFIG_WORDS) return -Errno.EINVAL;
  if (!sysctlGood(word, value)) return -Errno.EINVAL;
  setConfig(word, value);
  return 0;
}

export function sysctlGet(word: u32): i32 {
  if (word < <u32>Config.tcp_rmem_min || word >= CONFIG_WORDS) return -Errno.EINVAL;
  return config(word);
}

// ---- Listeners

export function tcpListen(
  a0: u32, a1: u32, a2: u32, a3: u32, port: u32, backlog: u32, flags: u32,
): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  const w0 = bswap<u32>(a0);
  return userListen(w0, bswap<u32>(a1), bswap<u32>(a2), bswap<u32>(a3), port, backlog, flags);
}

export function listenerClose(index: u32, generation: u32): i32 {
  const listener = listenerOf(index, generation);
  return listener == 0 ? -Errno.EBADF : userListenerClose(changetype<Listener>(listener));
}

export function tcpAccept(index: u32, generation: u32): i32 {
  const listener = listenerOf(index, generation);
  return listener == 0 ? -Errno.EBADF : userAccept(changetype<Listener>(listener));
}

export function listenerSetOption(index: u32, generation: u32, option: u32, value: u32): i32 {
  const listener = listenerOf(index, generation);
  if (listener == 0) return -Errno.EBADF;
  return listenerOptionSet(changetype<Listener>(listener), option, value);
}

export function listenerGetOption(index: u32, generation: u32, option: u32): i32 {
  const listener = listenerOf(index, generation);
  if (listener == 0) return -Errno.EBADF;
  return listenerOptionGet(changetype<Listener>(listener), option);
}

export function listenerName(index: u32, generation: u32): i32 {
  const listener = listenerOf(index, generation);
  return listener == 0 ? -Errno.EBADF : nameOf(changetype<Endpoint>(listener), 0);
}

// ---- Connections

export function tcpOpen(): i32 {
  return isBooted() ? userOpen() : -Errno.EINVAL;
}

export function tcpBind(
  index: u32, generation: u32, a0: u32, a1: u32, a2: u32, a3: u32, port: u32,
): i32 {
  const tcb = connectionOf(index, generation);
  if (tcb == 0) return -Errno.EBADF;
  const w0 = bswap<u32>(a0);
  return userBind(changetype<Tcb>(tcb), w0, bswap<u32>(a1), bswap<u32>(a2), bswap<u32>(a3), port);
}

export function tcpConnect(
  index: u32, generation: u32, a0: u32, a1: u32, a2: u32, a3: u32, port: u32,
): i32 {
  const tcb = connectionOf(index, generation);
  if (tcb == 0) return -Errno.EBADF;
  const w0 = bswap<u32>(a0);
  const w1 = bswap<u32>(a1);
  return userConnect(changetype<Tcb>(tcb), w0, w1, bswap<u32>(a2), bswap<u32>(a3), port);
}

export function tcpSendReserve(index: u32, generation: u32, want: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userSendReserve(changetype<Tcb>(tcb), want);
}

export function tcpSendCommit(index: u32, generation: u32, length: u32, flags: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userSendCommit(changetype<Tcb>(tcb), length, flags);
}

export function tcpRecvPeek(index: u32, generation: u32, offset: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userRecvPeek(changetype<Tcb>(tcb), offset);
}

export function tcpRecvConsume(index: u32, generation: u32, length: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userRecvConsume(changetype<Tcb>(tcb), length);
}

export function tcpShutdown(index: u32, generation: u32, how: u32): i32 {
  const tcb = connectionOf(index, generation);
  if (tcb == 0) return -Errno.EBADF;
  return how > SHUT_RDWR ? -Errno.EINVAL : userShutdown(changetype<Tcb>(tcb), how);
}

export function tcpClose(index: u32, generation: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userClose(changetype<Tcb>(tcb));
}

export function tcpAbort(index: u32, generation: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : userAbort(changetype<Tcb>(tcb));
}

export function tcpSetOption(index: u32, generation: u32, option: u32, value: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : optionSet(changetype<Tcb>(tcb), option, value);
}

export function tcpGetOption(index: u32, generation: u32, option: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : optionGet(changetype<Tcb>(tcb), option);
}

export function tcpName(index: u32, generation: u32, peer: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : nameOf(changetype<Endpoint>(tcb), peer);
}

export function tcpInfo(index: u32, generation: u32): i32 {
  const tcb = connectionOf(index, generation);
  return tcb == 0 ? -Errno.EBADF : tcpInfoOf(changetype<Tcb>(tcb));
}

// ---- What there is

export function tableNext(table: u32, cursor: u32): u32 {
  return isBooted() ? nextEntry(table, cursor) : 0;
}

export function tcpNext(cursor: u32): u32 {
  return isBooted() ? nextRecord(cursor) : 0;
}

/** 0 to 5: pools of core/pool.ts; 6: arena bytes; 7: arena bytes in limbo. */
export function poolUse(id: u32): u32 {
  if (!isBooted() || id > 7) return 0;
  if (id == 7) return arenaLimboBytes();
  if (id == 6) return arenaStats(RESULT_AT);
  const p = pool(<PoolId>id);
  writeU32(RESULT_AT, p.capacity);
  writeU32(RESULT_AT + 4, p.high);
  writeU32(RESULT_AT + 8, p.failed);
  return p.used;
}

export function hashLongest(): u32 {
  return isBooted() ? demuxLongest() : 0;
}

export function icmpEcho(
  a0: u32, a1: u32, a2: u32, a3: u32, id: u32, sequence: u32, size: u32, ttl: u32,
): i32 {
  if (!isBooted()) return -Errno.EINVAL;
  const w0 = bswap<u32>(a0);
  const w1 = bswap<u32>(a1);
  return echo(w0, w1, bswap<u32>(a2), bswap<u32>(a3), id, sequence, size, ttl);
}
