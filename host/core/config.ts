/**
 * What a host writes into CONFIG before boot: the sizes of what the engine lays out, and the
 * sysctls under Linux's names with Linux's default values (Documentation/networking/ip-sysctl.rst).
 * Each number has its reason here, because a default is policy and the engine holds none. Called by
 * core/engine.ts. Profiles: `default` (a server), `test` (small, boots in no time), `mcu` (128
 * KiB).
 */

import { CONFIG_WORDS, Config, Congestion } from '../../assembly/abi.js';

type Seeds = 'seed0' | 'seed1' | 'seed2' | 'seed3';
/** The words of CONFIG that a user may set, by name. */
export type ConfigName = Exclude<keyof typeof Config, Seeds>;
export type ProfileName = 'default' | 'test' | 'mcu';
/** 128 bits. A number is spread over them; none at all is drawn from the system's generator. */
export type Seed = number | Uint32Array;

export type EngineConfig = { profile?: ProfileName; seed?: Seed } & {
  [Name in ConfigName]?: number;
};

const KIB = 1024;
const MIB = 1024 * KIB;
const UNLIMITED = 0xffffffff;

type Values = Record<ConfigName, number>;

/** Sysctls as Linux has them, the same in every profile unless a profile says otherwise. */
const SYSCTLS = {
  tcp_rmem_min: 4 * KIB, // Linux: one page
  tcp_rmem_default: 128 * KIB, // Linux: a 64 KiB window to begin with, half of it overhead
  tcp_rmem_max: 6 * MIB, // Linux: min(RAM share, 6 MiB)
  tcp_wmem_min: 4 * KIB,
  tcp_wmem_default: 16 * KIB, // Linux: grows with the congestion window
  tcp_wmem_max: 4 * MIB,
  tcp_syn_retries: 6, // 127 s with a first RTO of 1 s
  tcp_synack_retries: 5, // 63 s
  tcp_retries1: 3, // RFC 9293 R1: at least 3
  tcp_retries2: 15, // R2: 924.6 s with the shortest RTO; RFC 9293 wants 100 s at least
  tcp_orphan_retries: 0, // Linux: 0 is read as 8
  somaxconn: 4096, // Linux since 5.4
  tcp_abort_on_overflow: 0,
  tcp_fin_timeout: 60, // seconds
  tcp_tw_reuse: 2, // Linux: on loopback only
  //= rfc9293 MUST-28
  tcp_keepalive_time: 7200, // seconds; RFC 9293 MUST-28: two hours or more
  tcp_keepalive_intvl: 75, // seconds
  tcp_keepalive_probes: 9,
  tcp_sack: 1,
  tcp_dsack: 1,
  tcp_timestamps: 1, // with keyed offsets
  tcp_window_scaling: 1,
  tcp_ecn: 2, // answer when asked, do not ask
  tcp_ecn_fallback: 1, // a SYN that is sent again does not ask (RFC 3168 §6.1.1.1)
  tcp_slow_start_after_idle: 1, // RFC 5681 §4.1
  tcp_reordering: 3, // RFC 5681's DupThresh
  tcp_moderate_rcvbuf: 1,
  tcp_min_snd_mss: 48, // CVE-2019-11479
  tcp_rfc1337: 0,
  tcp_challenge_ack_limit: 0x7fffffff, // Linux since 6.x: limited per connection instead
  tcp_invalid_ratelimit: 500, // ms
  tcp_rto_min_us: 200_000,
  tcp_rto_max_ms: 120_000,
  tcp_init_cwnd: 10, // RFC 6928
  tcp_syncookies: 1,
  tcp_fastopen: 1, // client side; Linux's default
  ip_local_port_range_low: 32768,
  ip_local_port_range_high: 60999,
  ip_default_ttl: 64,
  ip_no_pmtu_disc: 0,
  min_pmtu: 552, // Linux: below it the DF bit goes, not the segment
  icmp_ratelimit: 1000, // ms between errors to one target
  icmp_msgs_per_sec: 1000,
  icmp_echo_ignore_all: 0,
  tcp_recovery: 1, // RACK
  tcp_early_retrans: 3, // TLP
  tcp_frto: 2,
  tcp_mtu_probing: 0,
  tcp_pacing_ss_ratio: 200, // per cent of cwnd per RTT
  tcp_pacing_ca_ratio: 120,
  tcp_notsent_lowat: UNLIMITED, // Linux: off
  base_reachable_time_ms: 30_000, // RFC 4861 §10
  retrans_time_ms: 1000,
  delay_first_probe_time: 5, // seconds
  gc_stale_time: 60, // seconds
  gc_thresh1: 128,
  mcast_solicit: 3,
  ucast_solicit: 3,
  unres_qlen: 16, // packets; Linux: 101 of the smallest in 208 KiB, too much for a small arena
  arp_probes: 3, // RFC 5227 §1.1; Linux leaves it to its DHCP client
  dad_transmits: 1, // RFC 4862 §5.1
  addr_gen_mode: 0, // EUI-64
  router_solicitations: 3, // RFC 4861 §10
  tcp_pacing: 0,
  // Linux has 1, which leaves slow start sooner, at 1 to 1.5 BDP, but each of several flows at
  // another window: two from the same start share a path unevenly for a minute (decision 0006).
  tcp_cubic_hystart: 2,
  tcp_congestion_control: Congestion.cubic, // as Linux
} as const;

/** What depends on the sizes, in Linux's proportions. */
function derived(connections: number, timeWait: number, synRequests: number, arena: number) {
  return {
    // Linux gives tcp_mem in the ratio 3 : 4 : 6 (tcp_init_mem), here of the arena and in bytes.
    tcp_mem_low: Math.floor(arena / 2),
    tcp_mem_pressure: Math.floor((arena * 2) / 3),
    tcp_mem_high: arena,
    tcp_max_tw_buckets: timeWait,
    // Linux: half of its hash table's size, which is its number of connections.
    tcp_max_orphans: Math.max(1, connections >> 1),
    tcp_max_syn_backlog: Math.min(4096, synRequests),
  };
}

/** What a profile says; the hash table follows from its pools. */
type Profile = Omit<Values, 'hashBuckets'>;

const PROFILES: Record<ProfileName, Profile> = {
  default: {
    ...SYSCTLS,
    ...derived(16384, 16384, 4096, 128 * MIB),
    connectionsMax: 16384, // more than half of one address pair's ephemeral ports
    synRequestsMax: 4096, // Linux's tcp_max_syn_backlog on a machine of some memory
    timeWaitMax: 16384, // 60 bytes each: under 1 MiB
    listenersMax: 256,
    extrasMax: 16384, // every connection may carry data
    segmentsMax: 65536, // sent super-segments and received ranges of all connections
    arenaBytes: 128 * MIB, // twenty streams of tcp_rmem_max
    arenaBlockShift: 9, // 512 B: the smallest stream
    linksMax: 8,
    addressesMax: 64,
    rxSlots: 64, // a batch: 64 frames between two polls
    rxSlotBytes: 68 * KIB, // a 64 KiB super-segment with headers, rounded to a page
    txSlots: 256,
    eventSlots: 1024, // a batch: what is pending beyond it waits in its records
    traceSlots: 4096,
    neighborsMax: 1024, // Linux's gc_thresh3; 64 KiB
    routesMax: 64,
    neighborQueueMax: 256,
  },
  test: {
    ...SYSCTLS,
    ...derived(128, 128, 64, 8 * MIB),
    connectionsMax: 128,
    synRequestsMax: 64,
    timeWaitMax: 128,
    listenersMax: 16,
    extrasMax: 128,
    segmentsMax: 8192, // a window of 6 MiB with every other segment lost
    arenaBytes: 8 * MIB,
    arenaBlockShift: 9,
    linksMax: 4,
    addressesMax: 16,
    rxSlots: 64,
    rxSlotBytes: 2 * KIB, // wire packets of a usual MTU
    txSlots: 128,
    eventSlots: 128,
    traceSlots: 256,
    neighborsMax: 64,
    routesMax: 16,
    neighborQueueMax: 64,
  },
  mcu: {
    ...SYSCTLS,
    ...derived(8, 8, 4, 32 * KIB),
    tcp_rmem_default: 4 * KIB, // two segments and some
    tcp_rmem_min: 1 * KIB,
    tcp_rmem_max: 8 * KIB,
    tcp_wmem_min: 1 * KIB,
    tcp_wmem_default: 4 * KIB,
    tcp_wmem_max: 8 * KIB,
    connectionsMax: 8,
    synRequestsMax: 4,
    timeWaitMax: 8,
    listenersMax: 4,
    extrasMax: 8,
    segmentsMax: 64,
    arenaBytes: 32 * KIB,
    arenaBlockShift: 7, // 128 B
    linksMax: 1,
    addressesMax: 4,
    rxSlots: 4, // an Ethernet controller's usual ring
    rxSlotBytes: 1664, // 1,500 B with room for a link header
    txSlots: 8,
    eventSlots: 16,
    traceSlots: 0,
    neighborsMax: 8, // a gateway and some of a LAN: half a kilobyte
    routesMax: 8,
    neighborQueueMax: 4,
    unres_qlen: 2,
  },
};

export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

/**
 * Words 0…3 of CONFIG. Equal numbers give equal words: splitmix32, so that seeds 1 and 2 differ.
 */
export function seedWords(seed: Seed | undefined): Uint32Array {
  const words = new Uint32Array(4);
  if (seed === undefined) {
    crypto.getRandomValues(words);
  } else if (typeof seed === 'number') {
    let state = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
    for (let at = 0; at < 4; at++) {
      state = (state + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      words[at] = (mixed ^ (mixed >>> 15)) >>> 0;
    }
  } else {
    words.set(seed.subarray(0, 4));
  }
  return words;
}

/** Names in CONFIG's order, the seeds left out. */
export const CONFIG_NAMES = Object.keys(Config).filter(
  (name) => Number.isNaN(Number(name)) && !name.startsWith('seed'),
) as ConfigName[];

/**
 * Buckets, a power of two, for so many records: at most one each, so that a record's share of the
 * table is 4 bytes or less, and at least one for two, so that chains stay short in full pools.
 */
function hashBucketsFor(records: number): number {
  return 2 ** Math.floor(Math.log2(records));
}

/**
 * The values that a configuration stands for. What follows from a size the user gave (tcp_mem from
 * arenaBytes, hashBuckets from the pools, …) follows unless it is given too.
 * @throws RangeError for an unknown name or a value that is no u32; the engine judges the rest
 */
export function resolveConfig(config: EngineConfig): Values {
  const base = PROFILES[config.profile ?? 'default'];
  if (base === undefined) throw new RangeError(`unknown profile: ${String(config.profile)}`);
  const given: Partial<Values> = {};
  for (const [name, value] of Object.entries(config)) {
    if (name === 'profile' || name === 'seed' || value === undefined) continue;
    if (!CONFIG_NAMES.includes(name as ConfigName)) {
      throw new RangeError(`unknown setting: ${name}`);
    }
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > UNLIMITED) {
      throw new RangeError(`${name}: ${String(value)} is not a number from 0 to 4294967295`);
    }
    given[name as ConfigName] = value as number;
  }
  const sizes = { ...base, ...given };
  const { connectionsMax, timeWaitMax, synRequestsMax, listenersMax, arenaBytes } = sizes;
  const records = connectionsMax + timeWaitMax + synRequestsMax + listenersMax;
  const resized: Partial<Values> = {};
  if (given.arenaBytes ?? given.connectionsMax ?? given.timeWaitMax ?? given.synRequestsMax) {
    Object.assign(resized, derived(connectionsMax, timeWaitMax, synRequestsMax, arenaBytes));
  }
  if (given.connectionsMax !== undefined) resized.extrasMax = connectionsMax;
  return { ...base, hashBuckets: hashBucketsFor(records), ...resized, ...given };
}

/** CONFIG as it stands in memory. */
export function configWords(config: EngineConfig): Uint32Array {
  const words = new Uint32Array(CONFIG_WORDS);
  const values = resolveConfig(config);
  for (const name of CONFIG_NAMES) words[Config[name]] = values[name];
  words.set(seedWords(config.seed));
  return words;
}
