/**
 * What the engine and every host agree on: fixed addresses, record layouts that hosts touch,
 * errors, events, options, sysctls and counters by their Linux names. The single source: the
 * TypeScript host imports this file, Rust and C get theirs generated from it (tools/generate-abi).
 * Only numeric constants and enums may stand here, so that both compilers read it alike.
 */

/** Checked by every host when it loads the module; raised when anything below changes meaning. */
export const ABI_VERSION: u32 = 1;

// ---- Fixed addresses (page 0) ----------------------------------------------------------------
/*
 *     0 ┌────────────────────────┐ never used: a null pointer reads as garbage nowhere else
 *  1024 │ FAULT: code, detail     │ why the engine trapped or refused to boot
 *  1040 │ DIRECTORY: u32 × 32     │ where the regions are, written by boot
 *  1280 │ CONFIG: u32 × 128       │ limits and sysctls, written by the host before boot
 *  1792 │ RESULT: 512 bytes       │ what a call returns beside its number
 *  2304 │ engine's own variables  │ private
 *  6144 │ COUNTERS: u64 × 256     │
 *  8192 └────────────────────────┘ pools, rings, arena: laid out by boot
 */
export const FAULT_AT: u32 = 1024;
export const DIRECTORY_AT: u32 = 1040;
export const CONFIG_AT: u32 = 1280;
export const CONFIG_WORDS: u32 = 128;
export const RESULT_AT: u32 = 1792;
export const RESULT_BYTES: u32 = 512;
export const SYSTEM_AT: u32 = 2304;
export const SYSTEM_BYTES: u32 = 3840;
export const COUNTERS_AT: u32 = 6144;
export const COUNTERS_MAX: u32 = 256;
export const POOLS_AT: u32 = 8192;

/** Words of DIRECTORY. Addresses are bytes in the engine's memory. */
export enum Directory {
  AbiVersion,
  MemoryBytes,
  EventRing,
  EventRingMask,
  TraceRing,
  TraceRingMask,
  ArenaBase,
  ArenaBytes,
  TcbPool,
  TcbStride,
  SynRequestPool,
  TimeWaitPool,
  ListenerPool,
  ExtraPool,
  SegmentPool,
  HashTable,
  HashBuckets,
  LinkTable,
}

/** Words of CONFIG: first the sizes of what boot lays out, then the sysctls by Linux's names. */
export enum Config {
  /** 128-bit secret and random seed, four words. */
  seed0,
  seed1,
  seed2,
  seed3,
  connectionsMax,
  synRequestsMax,
  timeWaitMax,
  listenersMax,
  /** Connections that may have carried data at a time (record of tcp_info's counters). */
  extrasMax,
  segmentsMax,
  arenaBytes,
  /** log2 of the smallest arena block: 9 (512 B), or 7 in the microcontroller profile. */
  arenaBlockShift,
  linksMax,
  addressesMax,
  rxSlots,
  rxSlotBytes,
  txSlots,
  /** Entries of the event ring, a power of two. */
  eventSlots,
  /** Records of the trace ring, a power of two; 0 for none. */
  traceSlots,
  hashBuckets,
  /** Neighbours of all Ethernet links (Linux's gc_thresh3); 0: no such link can be made. */
  neighborsMax,
  /** Entries of the route table; prefixes of addresses need none. */
  routesMax,
  /** Packets of all links that may wait for a neighbour. */
  neighborQueueMax,

  tcp_rmem_min = 32,
  tcp_rmem_default,
  tcp_rmem_max,
  tcp_wmem_min,
  tcp_wmem_default,
  tcp_wmem_max,
  /** tcp_mem in bytes of arena, not pages: below low no limit, above pressure growth stops. */
  tcp_mem_low,
  tcp_mem_pressure,
  tcp_mem_high,
  tcp_syn_retries,
  tcp_synack_retries,
  tcp_retries1,
  tcp_retries2,
  tcp_orphan_retries,
  tcp_max_syn_backlog,
  somaxconn,
  tcp_abort_on_overflow,
  tcp_fin_timeout,
  tcp_tw_reuse,
  tcp_max_tw_buckets,
  tcp_max_orphans,
  tcp_keepalive_time,
  tcp_keepalive_intvl,
  tcp_keepalive_probes,
  tcp_sack,
  tcp_dsack,
  tcp_timestamps,
  tcp_window_scaling,
  tcp_ecn,
  tcp_congestion_control,
  tcp_slow_start_after_idle,
  tcp_reordering,
  tcp_moderate_rcvbuf,
  tcp_min_snd_mss,
  tcp_rfc1337,
  tcp_challenge_ack_limit,
  tcp_invalid_ratelimit,
  tcp_rto_min_us,
  tcp_rto_max_ms,
  tcp_init_cwnd,
  tcp_syncookies,
  tcp_fastopen,
  ip_local_port_range_low,
  ip_local_port_range_high,
  ip_default_ttl,
  ip_no_pmtu_disc,
  min_pmtu,
  icmp_ratelimit,
  icmp_msgs_per_sec,
  icmp_echo_ignore_all,
  tcp_recovery,
  tcp_early_retrans,
  tcp_frto,
  tcp_mtu_probing,
  tcp_pacing_ss_ratio,
  tcp_pacing_ca_ratio,
  tcp_notsent_lowat,
  tcp_ecn_fallback,
  /** 1: every connection is paced; 0: those with bbr or SO_MAX_PACING_RATE (Linux: qdisc fq). */
  tcp_pacing,
  /** 0 off, 1 as Linux's cubic, 2 HyStart++ (RFC 9406). */
  tcp_cubic_hystart,

  // Neighbours (Linux's net.ipv4.neigh.*), for ARP and neighbour discovery alike
  base_reachable_time_ms = 96,
  retrans_time_ms,
  /** Seconds. */
  delay_first_probe_time,
  /** Seconds. */
  gc_stale_time,
  /** So many neighbours stay for as long as there is room. */
  gc_thresh1,
  mcast_solicit,
  ucast_solicit,
  /** Packets that may wait for one neighbour. */
  unres_qlen,
  /** RFC 5227's PROBE_NUM: 0, an IPv4 address is used at once. */
  arp_probes,
  /** RFC 4862's DupAddrDetectTransmits. */
  dad_transmits,
  /** 0: EUI-64 of the MAC, 2: stable and private (RFC 7217), keyed by the seed. */
  addr_gen_mode,
  router_solicitations,
}

// ---- Links: rings shared with the host -------------------------------------------------------

/**
 * One a link; the host finds it with linkRing(id). Indices run freely and wrap at 2³²; an entry is
 * index & mask. Receive: the host fills entries from rxHead on and adds to rxHead; the engine gives
 * them back by adding to rxTail. Transmit: the engine publishes at txHead; the host sends entries
 * in order from txTail on and adds to txTail when the bytes they name are no longer needed.
 */
export enum LinkWord {
  rxHead,
  rxTail,
  rxMask,
  rxDescriptors,
  txHead,
  txTail,
  txMask,
  txSlots,
  flags,
  mtu,
  /** Frames the host could not deliver for want of a free receive entry (host counts). */
  rxMissed,
  /** Frames the device refused (host counts). */
  txErrors,
  id,
}
export const LINK_RING_BYTES: u32 = 64;

/** Flags of linkAdd. */
export const LINK_VNET_HDR: u32 = 1; // the virtio_net_hdr before each frame is meaningful
export const LINK_TSO4: u32 = 2; // frames of up to 64 KiB may be sent with a segmentation size
export const LINK_TSO6: u32 = 4;
export const LINK_CSUM: u32 = 8; // the other side completes checksums
export const LINK_ETHERNET: u32 = 16; // frames with a MAC header: linkEthernet says which
export const LINK_UP: u32 = 256;

/** What a link finds out by itself, for linkEthernet. */
export const AUTO_IPV6: u32 = 1; // a link-local address, RFC 4862 §5.3
export const AUTO_SLAAC: u32 = 2; // addresses, prefixes and routers by router advertisements
export const AUTO_DHCP: u32 = 4; // an IPv4 address by DHCP (RFC 2131)

/** A receive entry, 16 bytes: u32 address of the frame, u32 capacity, u32 length, u32 flags. */
export const RX_DESCRIPTOR_BYTES: u32 = 16;
export const RX_ADDRESS: u32 = 0;
export const RX_CAPACITY: u32 = 4;
export const RX_LENGTH: u32 = 8;
export const RX_FLAGS: u32 = 12;
/** The host cut the frame short: it did not fit. */
export const RX_TRUNCATED: u32 = 1;
/** The tag was taken out of the frame (PACKET_AUXDATA): it stands in the upper 16 bits. */
export const RX_VLAN: u32 = 2;
export const RX_VLAN_SHIFT: u32 = 16;

/**
 * A transmit entry: u32 pieces, u32 total bytes (without virtio_net_hdr), u32 flags, u32 reserved,
 * then TX_PIECES_MAX pairs (u32 address, u32 length). Piece 0 is the header; the virtio_net_hdr
 * stands in the ten bytes before it.
 */
export const TX_SLOT_BYTES: u32 = 320;
export const TX_PIECE_COUNT: u32 = 0;
export const TX_TOTAL: u32 = 4;
export const TX_FLAGS: u32 = 8;
export const TX_PIECES: u32 = 16;
export const TX_PIECES_MAX: u32 = 20;
/** Where the IP header of an outgoing frame begins in its entry; link header goes before it. */
export const TX_L3_HEADER: u32 = 212;

/** struct virtio_net_hdr, little endian, right before the frame's first byte. */
export const VNET_HDR_BYTES: u32 = 10;
export const VNET_FLAGS: u32 = 0;
export const VNET_GSO_TYPE: u32 = 1;
export const VNET_HDR_LEN: u32 = 2;
export const VNET_GSO_SIZE: u32 = 4;
export const VNET_CSUM_START: u32 = 6;
export const VNET_CSUM_OFFSET: u32 = 8;
export const VNET_F_NEEDS_CSUM: u32 = 1;
export const VNET_F_DATA_VALID: u32 = 2;
export const VNET_GSO_NONE: u32 = 0;
export const VNET_GSO_TCPV4: u32 = 1;
export const VNET_GSO_TCPV6: u32 = 4;
export const VNET_GSO_ECN: u32 = 0x80;

// ---- Events ----------------------------------------------------------------------------------

/** An event entry, 16 bytes: u32 kind of handle, u32 index, u32 generation, u32 mask. */
export const EVENT_BYTES: u32 = 16;
export enum HandleKind {
  Connection = 1,
  Listener = 2,
}
/** Bits of an event's mask. Coalesced per handle: each is set at most once until drained. */
export const EVENT_CONNECTED: u32 = 1;
export const EVENT_READABLE: u32 = 2;
export const EVENT_WRITABLE: u32 = 4;
/** The peer's FIN is in order behind the readable bytes (RFC 9293 MUST-12: a normal close). */
export const EVENT_PEER_FIN: u32 = 8;
/** The connection ended by RST, time-out or ICMP; tcpGetOption(SO_ERROR) says which. */
export const EVENT_ERROR: u32 = 16;
/** Nothing more will happen on the wire; the handle lives until tcpClose. */
export const EVENT_CLOSED: u32 = 32;
export const EVENT_ACCEPTABLE: u32 = 64;
export const EVENT_URGENT: u32 = 128;
/** Delivery trouble between R1 and R2, or a soft ICMP error (RFC 9293 SHLD-9, MUST-47). */
export const EVENT_SOFT_ERROR: u32 = 256;

// ---- Errors: calls return them negated, with Linux's numbers ---------------------------------
export enum Errno {
  OK = 0,
  EPERM = 1,
  EBADF = 9,
  EAGAIN = 11,
  ENOMEM = 12,
  EACCES = 13,
  EINVAL = 22,
  ENFILE = 23,
  EPIPE = 32,
  EPROTO = 71,
  EMSGSIZE = 90,
  ENOPROTOOPT = 92,
  EOPNOTSUPP = 95,
  EADDRINUSE = 98,
  EADDRNOTAVAIL = 99,
  ENETDOWN = 100,
  ENETUNREACH = 101,
  ECONNABORTED = 103,
  ECONNRESET = 104,
  ENOBUFS = 105,
  EISCONN = 106,
  ENOTCONN = 107,
  ETIMEDOUT = 110,
  ECONNREFUSED = 111,
  EHOSTUNREACH = 113,
  EALREADY = 114,
  EINPROGRESS = 115,
}

/** RFC 9293 §3.3.2, with Linux's numbers (include/net/tcp_states.h). */
export enum State {
  ESTABLISHED = 1,
  SYN_SENT = 2,
  SYN_RECV = 3,
  FIN_WAIT1 = 4,
  FIN_WAIT2 = 5,
  TIME_WAIT = 6,
  CLOSE = 7,
  CLOSE_WAIT = 8,
  LAST_ACK = 9,
  LISTEN = 10,
  CLOSING = 11,
}

/** How of tcpShutdown. */
export const SHUT_RD: u32 = 0;
export const SHUT_WR: u32 = 1;
export const SHUT_RDWR: u32 = 2;

/** Flags of tcpListen. */
export const LISTEN_REUSEADDR: u32 = 1;
export const LISTEN_V6ONLY: u32 = 2;

/** Flags of tcpSendCommit. */
export const MSG_OOB: u32 = 1;
export const MSG_MORE: u32 = 0x8000;

/** Options of tcpSetOption/tcpGetOption and of listeners, whose connections inherit them. */
export enum Option {
  SO_ERROR = 1,
  SO_REUSEADDR,
  SO_KEEPALIVE,
  SO_LINGER, // seconds + 1; 0 = off
  SO_RCVBUF,
  SO_SNDBUF,
  SO_RCVLOWAT,
  SO_MAX_PACING_RATE, // bytes per second; 0xffffffff = no limit
  IP_TOS = 32,
  IP_TTL,
  IP_MTU,
  IP_MTU_DISCOVER,
  IPV6_V6ONLY,
  IP_RECVERR,
  TCP_NODELAY = 64,
  TCP_MAXSEG,
  TCP_CORK,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_KEEPCNT,
  TCP_SYNCNT,
  TCP_LINGER2,
  TCP_DEFER_ACCEPT,
  TCP_WINDOW_CLAMP,
  TCP_QUICKACK,
  TCP_CONGESTION,
  TCP_USER_TIMEOUT,
  TCP_NOTSENT_LOWAT,
  TCP_INQ,
  /** Bytes written but not acknowledged (SIOCOUTQ). */
  SIOCOUTQ = 128,
  /** Bytes readable (SIOCINQ). */
  SIOCINQ,
  /** Bytes until the urgent mark, or -EINVAL when none is pending (SIOCATMARK in numbers). */
  SIOCATMARK,
  /** Room for sendReserve, bytes. */
  SENDROOM,
}

/** Controllers of TCP_CONGESTION and tcp_congestion_control. */
export enum Congestion {
  reno,
  cubic,
  bbr,
}

/** What a connection with bbr is doing (tcp_info's bbr_phase). */
export enum BbrPhase {
  none,
  startup,
  drain,
  probe_bw_down,
  probe_bw_cruise,
  probe_bw_refill,
  probe_bw_up,
  probe_rtt,
}

// ---- tcp_info: written to RESULT by tcpInfo, all u32 unless said -----------------------------
export enum TcpInfo {
  state,
  ca_state,
  retransmits,
  probes,
  backoff,
  options, // Linux's TCPI_OPT bits
  snd_wscale,
  rcv_wscale,
  rto, // µs
  ato, // µs
  snd_mss,
  rcv_mss,
  unacked, // segments
  sacked,
  lost,
  retrans,
  last_data_sent, // ms ago
  last_ack_sent,
  last_data_recv,
  last_ack_recv,
  pmtu,
  rcv_ssthresh,
  rtt, // µs
  rttvar, // µs
  snd_ssthresh, // segments; 0x7fffffff is infinite
  snd_cwnd, // segments
  advmss,
  reordering,
  rcv_rtt, // µs
  rcv_space,
  total_retrans,
  pacing_rate_lo, // bytes per second, u64
  pacing_rate_hi,
  bytes_acked_lo,
  bytes_acked_hi,
  bytes_received_lo,
  bytes_received_hi,
  segs_out,
  segs_in,
  notsent_bytes,
  min_rtt, // µs
  data_segs_in,
  data_segs_out,
  delivery_rate_lo,
  delivery_rate_hi,
  busy_time_ms,
  rwnd_limited_ms,
  sndbuf_limited_ms,
  delivered,
  delivered_ce,
  bytes_sent_lo,
  bytes_sent_hi,
  bytes_retrans_lo,
  bytes_retrans_hi,
  dsack_dups,
  reord_seen,
  rcv_ooopack,
  snd_wnd, // bytes
  rcv_wnd, // bytes
  rehash,
  total_rto,
  congestion, // Congestion
  cwnd_bytes,
  ssthresh_bytes,
  memory_bytes, // arena bytes and records held now
  inq,
  outq,
  max_pacing_rate_lo, // bytes per second, u64; all ones: no limit
  max_pacing_rate_hi,
  bbr_bw_lo, // of bbr alone: bytes per second, u64
  bbr_bw_hi,
  bbr_min_rtt, // µs
  bbr_pacing_gain, // times 256
  bbr_cwnd_gain, // times 256
  bbr_phase, // BbrPhase
  WORDS,
}

// ---- tcpNext: one record of any kind, written to RESULT --------------------------------------
export enum SocketWord {
  kind, // HandleKind, or 0 where there is no handle (half-open, TIME-WAIT, orphan)
  index,
  generation,
  state,
  local0,
  local1,
  local2,
  local3,
  localPort,
  remote0,
  remote1,
  remote2,
  remote3,
  remotePort,
  recvQ, // bytes; of a listener: connections waiting for accept
  sendQ, // bytes; of a listener: its backlog
  timer, // Timer
  timerUs, // until it fires
  retransmits,
  memoryBytes,
  WORDS,
}
export enum Timer {
  off,
  on, // retransmission
  keepalive,
  timewait,
  persist,
  synack,
}

// ---- tableNext: one entry of a table, written to RESULT ----------------------------------------
export enum Table {
  Addresses,
  Routes,
  Neighbors,
  Links,
}
/** Words of an entry; an address is four words, big-endian numbers. */
export enum TableWord {
  index,
  link,
  a0, // the address, or the route's destination
  a1,
  a2,
  a3,
  prefixLength,
  state, // AddressState, NeighborState; of a link its LINK_* flags
  origin, // Origin
  b0, // a route's gateway; b0 and b1: a MAC, four bytes and two
  b1,
  b2,
  b3,
  validS, // seconds left, 0xffffffff: for ever; of a link: its MTU
  preferredS, // of an address; of a neighbour: packets that wait; of a link: its VLAN id
  WORDS,
}
export enum AddressState {
  Tentative = 1, // not yet ours: being probed for
  Preferred,
  Deprecated,
  Duplicate, // somebody else has it
}
/** Linux's NUD_* (include/uapi/linux/neighbour.h). */
export enum NeighborState {
  None = 0,
  Incomplete = 1,
  Reachable = 2,
  Stale = 4,
  Delay = 8,
  Probe = 16,
  Failed = 32,
}
/** Who said so. */
export enum Origin {
  Manual = 1,
  LinkLocal,
  RouterAdvertisement,
  Dhcp,
}
/** Where a link's DHCP client stands (RFC 2131 figure 5). */
export enum Dhcp {
  Off,
  Init,
  Selecting,
  Requesting,
  Bound,
  Renewing,
  Rebinding,
}

// ---- Trace ring ------------------------------------------------------------------------------
/**
 * The ring's region begins with a header: u32 records ever produced (runs freely, wraps at 2³²),
 * three u32 reserved. Record n stands at header + (n & TraceRingMask) * TRACE_BYTES; the last
 * TraceRingMask + 1 are there, older ones are lost.
 */
export const TRACE_HEADER_BYTES: u32 = 16;
/**
 * A trace record, 32 bytes: u32 timeLo, timeHi (µs), kind, index, ports (local<<16|remote), a, b,
 * c.
 */
export const TRACE_BYTES: u32 = 32;
export enum Trace {
  None,
  StateChange, // a old, b new; index: of the record in its own pool, the ports tell connections
  Retransmit, // a seq, b bytes, c why (TraceRetransmit)
  Drop, // a Counter, b bytes
  CongestionState, // a old, b new, c cwnd
  EchoReply, // index id, a sequence, b ttl, c bytes
  EchoError, // index id, a sequence, b icmp type, c icmp code; the record before: EchoErrorFrom
  EchoErrorFrom, // who sent the error: index, a, b, c are the four words of the address
}
export enum TraceRetransmit {
  Fast,
  Timeout,
  Syn,
  Probe,
  Rescue,
  Tlp,
}

// ---- Why the engine stopped: FAULT's first word ----------------------------------------------
export enum Fault {
  None,
  Config,
  Memory,
  Pool,
  Arena,
  Stream,
  Wheel,
  Hash,
  Segment,
  Tcb,
  Sequence,
  Link,
  Event,
  Congestion,
  Rtt,
  Reassembly,
  Listener,
  Treap,
}

// ---- Counters, by nstat's names ----------------------------------------------------------------
/** Index into COUNTERS (u64 each). What has no Linux counterpart starts with Ackorn. */
export enum Counter {
  IpInReceives,
  IpInHdrErrors,
  IpInTruncatedPkts,
  IpInAddrErrors,
  IpInUnknownProtos,
  IpInCsumErrors,
  IpInDelivers,
  IpInDiscards,
  IpOutRequests,
  IpOutDiscards,
  IpOutNoRoutes,
  IpReasmReqds,
  IpReasmFails,
  IpExtInOctets,
  IpExtOutOctets,
  // in the order of the codepoints: ip/input.ts adds one to the other
  IpExtInNoECTPkts,
  IpExtInECT1Pkts,
  IpExtInECT0Pkts,
  IpExtInCEPkts,
  Ip6InReceives,
  Ip6InHdrErrors,
  Ip6InTruncatedPkts,
  Ip6InAddrErrors,
  Ip6InUnknownProtos,
  Ip6InDelivers,
  Ip6InDiscards,
  Ip6OutRequests,
  Ip6OutNoRoutes,
  Ip6ReasmReqds,
  Ip6ReasmFails,
  Ip6InNoECTPkts,
  Ip6InECT1Pkts,
  Ip6InECT0Pkts,
  Ip6InCEPkts,
  IcmpInMsgs,
  IcmpInErrors,
  IcmpInCsumErrors,
  IcmpInDestUnreachs,
  IcmpInTimeExcds,
  IcmpInParmProbs,
  IcmpInSrcQuenchs,
  IcmpInEchos,
  IcmpInEchoReps,
  IcmpOutMsgs,
  IcmpOutDestUnreachs,
  IcmpOutEchos,
  IcmpOutEchoReps,
  IcmpOutRateLimitHost,
  Icmp6InMsgs,
  Icmp6InErrors,
  Icmp6InCsumErrors,
  Icmp6InDestUnreachs,
  Icmp6InPktTooBigs,
  Icmp6InTimeExcds,
  Icmp6InParmProblems,
  Icmp6InEchos,
  Icmp6InEchoReplies,
  Icmp6OutMsgs,
  Icmp6OutDestUnreachs,
  Icmp6OutEchos,
  Icmp6OutEchoReplies,
  UdpInDatagrams,
  UdpNoPorts,
  UdpInErrors,
  UdpInCsumErrors,
  TcpActiveOpens,
  TcpPassiveOpens,
  TcpAttemptFails,
  TcpEstabResets,
  TcpInSegs,
  TcpOutSegs,
  TcpRetransSegs,
  TcpInErrs,
  TcpOutRsts,
  TcpInCsumErrors,
  TcpExtSyncookiesSent,
  TcpExtTW,
  TcpExtTWRecycled,
  TcpExtPAWSActive,
  TcpExtPAWSEstab,
  TcpExtPAWSOldAck,
  TcpExtDelayedACKs,
  TcpExtDelayedACKLocked,
  TcpExtDelayedACKLost,
  TcpExtListenOverflows,
  TcpExtListenDrops,
  TcpExtTCPHPHits,
  TcpExtTCPPureAcks,
  TcpExtTCPSackRecovery,
  TcpExtTCPRenoRecovery,
  TcpExtTCPSACKReneging,
  TcpExtTCPSACKReorder,
  TcpExtTCPLostRetransmit,
  TcpExtTCPFastRetrans,
  TcpExtTCPSlowStartRetrans,
  TcpExtTCPTimeouts,
  TcpExtTCPFullUndo,
  TcpExtTCPPartialUndo,
  TcpExtTCPDSACKUndo,
  TcpExtTCPLossUndo,
  TcpExtTCPLossProbes,
  TcpExtTCPLossProbeRecovery,
  TcpExtTCPSpuriousRTOs,
  TcpExtTCPDSACKOldSent,
  TcpExtTCPDSACKOfoSent,
  TcpExtTCPDSACKRecv,
  TcpExtTCPDSACKOfoRecv,
  TcpExtTCPSACKDiscard,
  TcpExtTCPDSACKIgnoredOld,
  TcpExtTCPDSACKIgnoredNoUndo,
  TcpExtTCPAbortOnData,
  TcpExtTCPAbortOnClose,
  TcpExtTCPAbortOnMemory,
  TcpExtTCPAbortOnTimeout,
  TcpExtTCPAbortOnLinger,
  TcpExtTCPAbortFailed,
  TcpExtTCPMemoryPressures,
  TcpExtTCPRcvCollapsed,
  TcpExtPruneCalled,
  TcpExtRcvPruned,
  TcpExtOfoPruned,
  TcpExtTCPBacklogDrop,
  TcpExtTCPTimeWaitOverflow,
  TcpExtTCPReqQFullDoCookies,
  TcpExtTCPReqQFullDrop,
  TcpExtTCPRcvCoalesce,
  TcpExtTCPOFOQueue,
  TcpExtTCPOFODrop,
  TcpExtTCPOFOMerge,
  TcpExtTCPChallengeACK,
  TcpExtTCPSYNChallenge,
  TcpExtTCPSynRetrans,
  TcpExtTCPAutoCorking,
  TcpExtTCPFromZeroWindowAdv,
  TcpExtTCPToZeroWindowAdv,
  TcpExtTCPWantZeroWindowAdv,
  TcpExtTCPOrigDataSent,
  TcpExtTCPKeepAlive,
  TcpExtTCPACKSkippedSynRecv,
  TcpExtTCPACKSkippedPAWS,
  TcpExtTCPACKSkippedSeq,
  TcpExtTCPACKSkippedFinWait2,
  TcpExtTCPACKSkippedTimeWait,
  TcpExtTCPACKSkippedChallenge,
  TcpExtTCPWinProbe,
  TcpExtTCPMTUPFail,
  TcpExtTCPMTUPSuccess,
  TcpExtTCPDelivered,
  TcpExtTCPDeliveredCE,
  TcpExtTCPRcvQDrop,
  TcpExtTCPTSReorder,
  TcpExtTCPZeroWindowDrop,
  TcpExtOutOfWindowIcmps,
  TcpExtTCPTooManyOrphans, // Linux: TCPAbortOnMemory covers it; kept apart here
  TcpExtTCPMD5Unexpected,
  AckornLinkInErrors,
  AckornLinkInTruncated,
  AckornLinkTxDeferred,
  AckornArenaExhausted,
  AckornSegmentsExhausted,
  AckornExtrasExhausted,
  AckornSynMalformed,
  AckornTcpBadOption,
  AckornTcpBadAddress,
  AckornTcpAckInvalid,
  AckornTcpOutOfWindow,
  AckornRstIgnored,
  AckornShareExceeded,
  AckornTracesLost,
  Ip6OutDiscards,
  Icmp6OutParmProblems,
  AckornLinkInDown,
  AckornLinkInOtherHost, // to a MAC that is not ours
  AckornLinkInVlan, // of another VLAN
  AckornLinkInUnknownType, // an EtherType nobody here speaks
  AckornArpInErrors,
  AckornArpInRequests,
  AckornArpInReplies,
  AckornArpOutRequests,
  AckornArpOutReplies,
  AckornAddressConflicts, // somebody uses an address of ours
  AckornNeighborTableFull,
  AckornNeighborFailed, // resolutions that nobody answered
  AckornNeighborQueueDrops, // packets that waited for a neighbour in vain
  AckornAddressTableFull,
  AckornRouteTableFull,
  UdpOutDatagrams,
  AckornDhcpInErrors,
  AckornDhcpInAcks,
  AckornDhcpInNaks,
  Icmp6InRouterSolicits,
  Icmp6InRouterAdvertisements,
  Icmp6InNeighborSolicits,
  Icmp6InNeighborAdvertisements,
  Icmp6InRedirects,
  Icmp6InGroupMembQueries,
  Icmp6OutRouterSolicits,
  Icmp6OutNeighborSolicits,
  Icmp6OutNeighborAdvertisements,
  Icmp6OutMLDv2Reports,
  COUNT,
}
