/**
 * Entry of the module that tests/engine/ip.test.ts drives: links, IP, ICMP and UDP, with probes in
 * TCP's place, booted with nothing else. Compiled by that test; never part of the engine.
 */
import { Config, POOLS_AT, SYSTEM_AT, SYSTEM_BYTES, TRACE_BYTES, TRACE_HEADER_BYTES } from "./abi";
import { config } from "./config";
import {
  arena, arenaAlloc, arenaFree, arenaInit, arenaLimboBytes, arenaMetaBytes,
} from "./core/arena";
import { zeroBytes } from "./core/bytes";
import { linkInput } from "./link/input";
import { linkAt, linksBytes, linksInit } from "./link/link";
import { linkPoll, txPiece, txRoom } from "./link/output";
import { system } from "./memory";
import { ipBegin, ipFinish, ipL4, ipOutcome } from "./ip/output";
import { addressesBytes, addressesInit, addressFind } from "./ip/route";
import { scratchEndpoint } from "./ip/state";
import { tcpWrite } from "./wire/tcp";
import {
  optionsParse, optionsWriteSackBlock, optionsWriteSackHead, optionsWriteSyn,
  optionsWriteTimestamps, segmentOptions,
} from "./wire/tcp-options";

export { linkAdd, linkRing, linkSet, linksConfigured } from "./link/link";
export { addressAdd, addressRemove, addressFind, isBroadcast, sourceFor } from "./ip/route";
export { icmpEcho } from "./ip/echo";
export { pathMtuV4, pathMtuV6 } from "./ip/path-mtu";
export { ethernetCheck } from "./wire/ethernet";
export { optionsSackRoom } from "./wire/tcp-options";

/** Lays out what IP needs from POOLS_AT on; returns bytes used. The memory is large enough. */
export function boot(): u32 {
  zeroBytes(SYSTEM_AT, SYSTEM_BYTES);
  const s = system();
  s.hashKey0 = 0x0123456789abcdef;
  s.hashKey1 = config(Config.seed0);
  s.isnKey0 = 0xfedcba9876543210;
  s.isnKey1 = config(Config.seed1);
  let at: usize = POOLS_AT;
  linksInit(at);
  at += linksBytes();
  addressesInit(at);
  at += (addressesBytes() + 63) & ~63;
  s.traceRing = <u32>at;
  s.traceMask = config(Config.traceSlots) - 1;
  at += TRACE_HEADER_BYTES + config(Config.traceSlots) * TRACE_BYTES;
  const meta = at;
  const shift = config(Config.arenaBlockShift);
  at += arenaMetaBytes(config(Config.arenaBytes), shift);
  at = (at + 4095) & ~4095;
  arenaInit(at, config(Config.arenaBytes), shift, meta);
  return <u32>at + config(Config.arenaBytes);
}

export function setNowMs(now: u32): void {
  system().nowMs = now;
  system().nowUs = <u64>now * 1000;
}

export function input(link: u32, budget: u32): u32 {
  return linkInput(linkAt(link), budget);
}

export function poll(link: u32): void {
  linkPoll(linkAt(link));
}

export function room(link: u32): u32 {
  return txRoom(linkAt(link));
}

export function traceRing(): u32 {
  return system().traceRing;
}

export function arenaUsed(): u32 {
  return arena().used;
}

export function arenaLimbo(): u32 {
  return arenaLimboBytes();
}

export function outstanding(): u32 {
  return arena().outstanding;
}

/** An arena block, freed at once: what the ownership promise is about. */
export function lend(shift: u32): u32 {
  const block = arenaAlloc(shift);
  if (block != 0) arenaFree(block, shift);
  return <u32>block;
}

/**
 * Sends a TCP segment as segment-build does: payload in up to three pieces at `at`, lengths n0 to
 * n2. 0, or the negated IpOut.
 */
export function sendTcp(
  local: u32, r0: u32, r1: u32, r2: u32, r3: u32, at: u32, n0: u32, n1: u32, n2: u32, gso: u32,
): i32 {
  const e = scratchEndpoint();
  e.remote0 = r0;
  e.remote1 = r1;
  e.remote2 = r2;
  e.remote3 = r3;
  e.localAddress = <u16>local;
  e.localPort = 80;
  e.remotePort = 40000;
  const isV6 = r2 != 0xffff0000;
  const slot = ipBegin(local, isV6);
  if (slot == 0) return -(<i32>ipOutcome());
  const l4 = ipL4(slot, isV6);
  const header = 20 + optionsWriteTimestamps(l4 + 20, 1, 2);
  tcpWrite(l4, 80, 40000, 0x01020304, 0x05060708, header, 0x18, 0xabcd, 0);
  if (n0 != 0) txPiece(slot, at, n0);
  if (n1 != 0) txPiece(slot, at + n0, n1);
  if (n2 != 0) txPiece(slot, at + n0 + n1, n2);
  ipFinish(slot, e, 6, 0x28, 0, header, n0 + n1 + n2, gso, true);
  return 0;
}

export function fillPieces(local: u32, r3: u32): u32 {
  const slot = ipBegin(local, false);
  let pieces: u32 = 0;
  while (slot != 0 && txPiece(slot, 1024, 1)) pieces++;
  return pieces;
}

export function parseOptions(at: u32, length: u32): bool {
  return optionsParse(segmentOptions(), at, length);
}

export function optionsRecord(): u32 {
  return <u32>changetype<usize>(segmentOptions());
}

export function writeSyn(
  at: u32, mss: u32, sack: u32, ts: u32, tsVal: u32, tsEcr: u32, wscale: i32,
): u32 {
  return optionsWriteSyn(at, mss, sack != 0, ts != 0, tsVal, tsEcr, wscale);
}

export function writeSack(at: u32, blocks: u32): u32 {
  let bytes = optionsWriteTimestamps(at, 7, 8);
  bytes += optionsWriteSackHead(at + bytes, blocks);
  for (let i: u32 = 0; i < blocks; i++) {
    bytes += optionsWriteSackBlock(at + bytes, 1000 * i, 1000 * i + 500);
  }
  return bytes;
}

export function localOf(w3: u32): i32 {
  return addressFind(0, 0, 0xffff0000, w3);
}
