/**
 * Boot: checks the configuration, lays out every pool, ring and table in the memory that the host
 * has sized, and publishes the directory. Called once through index.ts, nothing is laid out later.
 */
import {
  ABI_VERSION, CONFIG_AT, CONFIG_WORDS, COUNTERS_AT, COUNTERS_MAX, Config, DIRECTORY_AT, Directory,
  EVENT_BYTES, Errno, FAULT_AT, Fault, POOLS_AT, SYSTEM_AT, SYSTEM_BYTES, TRACE_BYTES,
  TRACE_HEADER_BYTES,
} from "./abi";
import { config } from "./config";
import { arenaInit, arenaMetaBytes } from "./core/arena";
import { readU32, writeU32, zeroBytes } from "./core/bytes";
import { PoolId, poolInit } from "./core/pool";
import { siphash24 } from "./core/siphash";
import { WHEEL_SLOTS_BYTES, wheelInit } from "./core/timer-wheel";
import { addressesBytes, addressesInit } from "./ip/route";
import { routesBytes, routesInit } from "./ip/route-table";
import { linksBytes, linksConfigured, linksInit } from "./link/link";
import { neighborsBytes, neighborsInit } from "./link/neighbor";
import { system } from "./memory";
import { SEGMENT_BYTES } from "./tcp/busy";
import {
  EXTRA_BYTES, LISTENERS_MAX, LISTENER_BYTES, SYN_REQUEST_BYTES, TCB_BYTES, TIME_WAIT_BYTES,
} from "./tcp/records";

/** Regions in the order in which they lie behind POOLS_AT; each begins at a multiple of 64. */
const enum Region {
  Hash,
  Wheel,
  Addresses,
  Routes,
  Neighbors,
  Links,
  Tcb,
  SynRequest,
  TimeWait,
  Listener,
  Extra,
  Segment,
  Events,
  Traces,
  ArenaMeta,
  Arena,
  End,
}

function regionBytes(region: Region): u64 {
  switch (region) {
    case Region.Hash: return <u64>config(Config.hashBuckets) << 2;
    case Region.Wheel: return WHEEL_SLOTS_BYTES;
    case Region.Addresses: return addressesBytes();
    case Region.Routes: return routesBytes();
    case Region.Neighbors: return neighborsBytes();
    case Region.Links: return linksBytes();
    case Region.Tcb: return <u64>config(Config.connectionsMax) * TCB_BYTES;
    case Region.SynRequest: return <u64>config(Config.synRequestsMax) * SYN_REQUEST_BYTES;
    case Region.TimeWait: return <u64>config(Config.timeWaitMax) * TIME_WAIT_BYTES;
    case Region.Listener: return <u64>config(Config.listenersMax) * LISTENER_BYTES;
    case Region.Extra: return <u64>config(Config.extrasMax) * EXTRA_BYTES;
    case Region.Segment: return <u64>config(Config.segmentsMax) * SEGMENT_BYTES;
    case Region.Events: return <u64>config(Config.eventSlots) * EVENT_BYTES;
    case Region.Traces: return traceBytes();
    case Region.ArenaMeta: return metaBytes();
    case Region.Arena: return config(Config.arenaBytes);
    default: return 0;
  }
}

function traceBytes(): u64 {
  const slots = <u64>config(Config.traceSlots);
  return slots == 0 ? 0 : slots * TRACE_BYTES + TRACE_HEADER_BYTES;
}

function metaBytes(): u32 {
  return arenaMetaBytes(config(Config.arenaBytes), config(Config.arenaBlockShift));
}

/** Address of a region, or with Region.End the bytes of everything. */
function regionAt(region: Region): u64 {
  let at: u64 = POOLS_AT;
  for (let i: u32 = 0; i < <u32>region; i++) {
    at = (at + regionBytes(i) + 63) & ~63;
  }
  return at;
}

// @ts-ignore: decorator
@inline
function at(region: Region): u32 {
  return <u32>regionAt(region);
}

/** Index of the first CONFIG word that can not be, or -1. */
function wrongWord(): i32 {
  if (!powerOfTwo(config(Config.hashBuckets))) return Config.hashBuckets;
  if (!powerOfTwo(config(Config.eventSlots))) return Config.eventSlots;
  const traces = config(Config.traceSlots);
  if (traces != 0 && !powerOfTwo(traces)) return Config.traceSlots;
  for (let word: u32 = Config.connectionsMax; word <= <u32>Config.segmentsMax; word++) {
    if (config(word) == 0 || config(word) > 1 << 24) return word;
  }
  if (config(Config.listenersMax) > LISTENERS_MAX) return Config.listenersMax;
  const shift = config(Config.arenaBlockShift);
  if (shift != 7 && shift != 9) return Config.arenaBlockShift;
  const arena = config(Config.arenaBytes);
  if (arena < 8192 || (arena & 4095) != 0) return Config.arenaBytes;
  if (config(Config.linksMax) == 0 || !linksConfigured()) return Config.linksMax;
  const addresses = config(Config.addressesMax);
  if (addresses == 0 || addresses > 65534) return Config.addressesMax;
  if (config(Config.neighborsMax) > 65536) return Config.neighborsMax;
  if (config(Config.routesMax) > 65536) return Config.routesMax;
  return wrongSysctl();
}

function wrongSysctl(): i32 {
  for (let word: u32 = Config.tcp_rmem_min; word < CONFIG_WORDS; word++) {
    if (!sysctlGood(word, config(word))) return word;
  }
  return -1;
}

/** Bounds of each sysctl; those that stand together are compared with each other. */
export function sysctlGood(word: Config, value: u32): bool {
  switch (word) {
    case Config.tcp_rmem_min: return within(value, 256, config(Config.tcp_rmem_default));
    case Config.tcp_wmem_min: return within(value, 256, config(Config.tcp_wmem_default));
    case Config.tcp_rmem_default: return between(Config.tcp_rmem_min, value, Config.tcp_rmem_max);
    case Config.tcp_rmem_max: return within(value, config(Config.tcp_rmem_default), 0x3fffffff);
    case Config.tcp_wmem_default: return between(Config.tcp_wmem_min, value, Config.tcp_wmem_max);
    case Config.tcp_wmem_max: return within(value, config(Config.tcp_wmem_default), 0x3fffffff);
    case Config.tcp_mem_low: return value <= config(Config.tcp_mem_pressure);
    case Config.tcp_mem_pressure: return between(Config.tcp_mem_low, value, Config.tcp_mem_high);
    case Config.tcp_mem_high: return value >= config(Config.tcp_mem_pressure);
    case Config.tcp_syn_retries: return within(value, 1, 127);
    case Config.tcp_synack_retries:
    case Config.tcp_retries1:
    case Config.tcp_retries2:
    case Config.tcp_orphan_retries:
    case Config.tcp_keepalive_probes: return value <= 255; // counted in eight bits, as on Linux
    case Config.ip_local_port_range_low: {
      return within(value, 1, config(Config.ip_local_port_range_high));
    }
    case Config.ip_local_port_range_high: {
      return within(value, config(Config.ip_local_port_range_low), 65535);
    }
    case Config.ip_default_ttl: return within(value, 1, 255);
    case Config.tcp_min_snd_mss: return within(value, 48, 32767);
    case Config.tcp_rto_max_ms: return within(value, 1000, 120_000);
    case Config.tcp_rto_min_us: return within(value, 1000, 1_000_000);
    case Config.tcp_init_cwnd: return within(value, 1, 1000);
    case Config.tcp_reordering: return within(value, 1, 255);
    case Config.min_pmtu: return within(value, 68, 65535);
    case Config.tcp_keepalive_time:
    case Config.tcp_keepalive_intvl:
    case Config.tcp_fin_timeout: return within(value, 1, 32767);
    case Config.tcp_ecn:
    case Config.tcp_tw_reuse: return value <= 2;
    case Config.tcp_cubic_hystart:
    case Config.addr_gen_mode:
    case Config.tcp_congestion_control: return value <= 2;
    case Config.base_reachable_time_ms:
    case Config.retrans_time_ms: return value <= 3_600_000;
    case Config.delay_first_probe_time:
    case Config.gc_stale_time: return value <= 36_000;
    case Config.arp_probes:
    case Config.dad_transmits:
    case Config.mcast_solicit:
    case Config.ucast_solicit:
    case Config.router_solicitations: return value <= 255;
    default: return true;
  }
}

function between(low: Config, value: u32, high: Config): bool {
  return within(value, config(low), config(high));
}

function within(value: u32, low: u32, high: u32): bool {
  return value >= low && value <= high;
}

function powerOfTwo(n: u32): bool {
  return popcnt<u32>(n) == 1;
}

/**
 * Bytes of memory that the configuration needs; 0: it is wrong, the word is named at FAULT_AT+4.
 */
export function memoryNeeded(): u32 {
  const wrong = wrongWord();
  if (wrong >= 0) {
    writeU32(FAULT_AT, Fault.Config);
    writeU32(FAULT_AT + 4, wrong);
    return 0;
  }
  const bytes = regionAt(Region.End);
  if (bytes <= 0xffff0000) return <u32>bytes;
  writeU32(FAULT_AT, Fault.Memory);
  writeU32(FAULT_AT + 4, Config.arenaBytes);
  return 0;
}

export function bootAll(): i32 {
  if (system().booted != 0) return -Errno.EALREADY;
  const bytes = memoryNeeded();
  if (bytes == 0) return -Errno.EINVAL;
  if (<u64>memory.size() << 16 < <u64>bytes) return -Errno.ENOMEM;
  zeroBytes(SYSTEM_AT, SYSTEM_BYTES);
  zeroBytes(COUNTERS_AT, COUNTERS_MAX * 8);
  const s = system();
  s.memoryBytes = bytes;
  secrets();
  s.hashTable = at(Region.Hash);
  s.hashMask = config(Config.hashBuckets) - 1;
  s.eventRing = at(Region.Events);
  s.eventMask = config(Config.eventSlots) - 1;
  s.traceRing = config(Config.traceSlots) == 0 ? 0 : at(Region.Traces);
  s.traceMask = config(Config.traceSlots) - 1;
  wheelInit(at(Region.Wheel), 0);
  poolInit(PoolId.Tcb, at(Region.Tcb), TCB_BYTES, config(Config.connectionsMax));
  const requests = config(Config.synRequestsMax);
  poolInit(PoolId.SynRequest, at(Region.SynRequest), SYN_REQUEST_BYTES, requests);
  poolInit(PoolId.TimeWait, at(Region.TimeWait), TIME_WAIT_BYTES, config(Config.timeWaitMax));
  poolInit(PoolId.Listener, at(Region.Listener), LISTENER_BYTES, config(Config.listenersMax));
  poolInit(PoolId.Extra, at(Region.Extra), EXTRA_BYTES, config(Config.extrasMax));
  poolInit(PoolId.Segment, at(Region.Segment), SEGMENT_BYTES, config(Config.segmentsMax));
  addressesInit(at(Region.Addresses));
  routesInit(at(Region.Routes));
  neighborsInit(at(Region.Neighbors));
  linksInit(at(Region.Links));
  const shift = config(Config.arenaBlockShift);
  arenaInit(at(Region.Arena), config(Config.arenaBytes), shift, at(Region.ArenaMeta));
  directory();
  s.booted = 1;
  return 0;
}

/** Three keys and a start from the host's 128-bit seed; the seed itself is wiped. */
function secrets(): void {
  const s = system();
  const seed0 = (<u64>config(Config.seed1) << 32) | <u64>config(Config.seed0);
  const seed1 = (<u64>config(Config.seed3) << 32) | <u64>config(Config.seed2);
  s.hashKey0 = siphash24(seed0, seed1, 1, 0, 0);
  s.hashKey1 = siphash24(seed0, seed1, 2, 0, 0);
  s.isnKey0 = siphash24(seed0, seed1, 3, 0, 0);
  s.isnKey1 = siphash24(seed0, seed1, 4, 0, 0);
  s.random = siphash24(seed0, seed1, 5, 0, 0);
  zeroBytes(CONFIG_AT + (<u32>Config.seed0 << 2), 16);
}

// @ts-ignore: decorator
@inline
function publish(word: Directory, value: u32): void {
  writeU32(DIRECTORY_AT + (<u32>word << 2), value);
}

function directory(): void {
  const s = system();
  publish(Directory.AbiVersion, ABI_VERSION);
  publish(Directory.MemoryBytes, s.memoryBytes);
  publish(Directory.EventRing, s.eventRing);
  publish(Directory.EventRingMask, s.eventMask);
  publish(Directory.TraceRing, s.traceRing);
  publish(Directory.TraceRingMask, s.traceMask);
  publish(Directory.ArenaBase, at(Region.Arena));
  publish(Directory.ArenaBytes, config(Config.arenaBytes));
  publish(Directory.TcbPool, at(Region.Tcb));
  publish(Directory.TcbStride, TCB_BYTES);
  publish(Directory.SynRequestPool, at(Region.SynRequest));
  publish(Directory.TimeWaitPool, at(Region.TimeWait));
  publish(Directory.ListenerPool, at(Region.Listener));
  publish(Directory.ExtraPool, at(Region.Extra));
  publish(Directory.SegmentPool, at(Region.Segment));
  publish(Directory.HashTable, s.hashTable);
  publish(Directory.HashBuckets, config(Config.hashBuckets));
  publish(Directory.LinkTable, at(Region.Links));
}

/** False until boot succeeded: calls before it are answered, not trapped. */
export function isBooted(): bool {
  return readU32(DIRECTORY_AT + (<u32>Directory.AbiVersion << 2)) == ABI_VERSION;
}
