/**
 * The memory map: who lives where. Page 0 below 8 KiB is fixed (abi.ts); everything after it is
 * laid out here from the boot configuration, as one chain of sizes. boot.ts calls it; all others
 * only ask the System record and the pools for addresses.
 */
import { SYSTEM_AT } from "./abi";

/*
 *  SYSTEM_AT ┌──────────────────────┐ 2304
 *            │ System      512 B     │ the engine's own variables
 *      +512  │ Pools       8 × 32 B  │ core/pool.ts
 *      +768  │ Arena       256 B     │ core/arena.ts
 *     +1024  │ Wheel       256 B     │ core/timer-wheel.ts
 *     +1280  │ Packet      256 B     │ the frame being received (link/input.ts)
 *     +1536  │ IP state    512 B     │ ICMP rate limits, echo (ip/)
 *     +2048  │ SACK        256 B     │ parsed options and ACK sample of the segment being received
 *     +2304  │ Arrival      64 B     │ its header (tcp/arrival.ts)
 *     +3072  │ Padding      64 B     │ zeros, to fill short frames (link/ethernet.ts)
 *            └──────────────────────┘ 6144
 */
export const POOL_TABLE_AT: usize = SYSTEM_AT + 512;
export const ARENA_AT: usize = SYSTEM_AT + 768;
export const WHEEL_AT: usize = SYSTEM_AT + 1024;
export const PACKET_AT: usize = SYSTEM_AT + 1280;
export const IP_STATE_AT: usize = SYSTEM_AT + 1536;
export const SEGMENT_AT: usize = SYSTEM_AT + 2048;
export const ARRIVAL_AT: usize = SYSTEM_AT + 2304;
export const PADDING_AT: usize = SYSTEM_AT + 3072;

/** The engine's variables: there are no mutable globals (law 3), so they are fields of this. */
@unmanaged
export class System {
  /** Time of this poll, µs since the host's epoch; never goes back. */
  nowUs: u64;
  /** Low word of nowUs: RTT and transmit times. */
  now32: u32;
  /** nowUs in ticks of 64 µs: deadlines. */
  nowTick: u32;
  /** nowUs in ms, for timestamps and tcp_info. */
  nowMs: u32;
  /** nowUs in seconds: tsRecentAge. */
  nowS: u32;
  // -- secrets (SipHash keys), drawn from the seed at boot
  hashKey0: u64;
  hashKey1: u64;
  isnKey0: u64;
  isnKey1: u64;
  random: u64;
  // -- demux
  hashTable: u32;
  hashMask: u32;
  /** The connection found last. */
  lastTcb: u32;
  // -- lists: connections that want output; handles with events
  outputHead: u32;
  outputTail: u32;
  eventHead: u32;
  eventTail: u32;
  // -- rings
  eventRing: u32;
  eventMask: u32;
  eventProduced: u32;
  traceRing: u32;
  traceMask: u32;
  // -- links, addresses
  links: u32;
  linkCount: u32;
  addresses: u32;
  addressCount: u32;
  // -- bounded populations
  orphanCount: u32;
  timeWaitCount: u32;
  /** 1 while arena use is above tcp_mem_pressure (until below tcp_mem_low). */
  pressure: u32;
  portSearch: u32;
  booted: u32;
  /** Connections that hold a Busy record. */
  busyCount: u32;
  /** Index of the connection that tcp/prune.ts looks at next. */
  pruneHand: u32;
  pollCount: u32;
  fuzz: u32;
  memoryBytes: u32;
  // -- neighbours and routes
  /** Hash buckets of neighbours, u32 each. */
  neighborTable: u32;
  neighborMask: u32;
  /** Index of the neighbour that an eviction looks at first. */
  neighborHand: u32;
  /** Packets that wait for a neighbour. */
  neighborQueued: u32;
  routes: u32;
}

// @ts-ignore: decorator
@inline
export function system(): System {
  return changetype<System>(<usize>SYSTEM_AT);
}

if (offsetof<System>() > 512) ERROR("System fits its place");
