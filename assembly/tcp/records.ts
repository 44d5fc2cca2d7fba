/**
 * The records that stand in the hash table, byte by byte: Tcb, SynRequest (half-open), TimeWait and
 * Listener share their first 40 bytes (Endpoint), so that one hash table and one timer wheel hold
 * them all. Plain data: no decisions here. The byte tables with their reasons are in
 * docs/decisions/0001; the asserts below hold them to it. Addresses are four u32 as they stand in
 * a packet (network order, not swapped), IPv4 as ::ffff:a.b.c.d; ports are numbers.
 */

export const enum RecordKind {
  Free = 0,
  Connection = 1,
  SynRequest = 2,
  TimeWait = 3,
  Listener = 4,
}

/** The interned local address of "any": a listener's, or of a socket not yet bound. */
export const LOCAL_ANY: u32 = 0xffff;

/** The first 40 bytes of every record. */
@unmanaged
export class Endpoint {
  /** Next in the hash chain; of a free record, next free one. Address of a record or 0. */
  next: u32;
  /** Next in the wheel's slot. */
  wheelNext: u32;
  /** Address of the word that holds our address (slot or a neighbour's wheelNext); 0: not armed. */
  wheelLink: u32;
  /** When the wheel looks at the record, ticks of 64 µs; never later than what it waits for. */
  wheelDeadline: u32;
  remote0: u32;
  remote1: u32;
  remote2: u32;
  remote3: u32;
  remotePort: u16;
  localPort: u16;
  /** Index in the table of local addresses (ip/route.ts), or LOCAL_ANY. */
  localAddress: u16;
  kind: u8;
  /** State of abi.ts. */
  state: u8;
}

/** A connection: 152 bytes, everything that a quiet one must know. */
@unmanaged
export class Tcb {
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
  remote0: u32;
  remote1: u32;
  remote2: u32;
  remote3: u32;
  remotePort: u16;
  localPort: u16;
  localAddress: u16;
  kind: u8;
  state: u8;
  // -- user
  /** Counts the lives of this record; a handle of an earlier life is stale. Never 0. */
  generation: u32;
  /** Next in the list of connections that want tcp/output; see TF_OUTPUT_LISTED. */
  outputNext: u32;
  /** Next in the list of handles with events, or in a listener's accept queue. */
  eventNext: u32;
  eventMask: u16;
  /** Pending Errno for SO_ERROR. */
  error: u8;
  /** How often the retransmission or probe time-out was doubled. */
  backoff: u8;
  // -- send (RFC 9293 §3.3.1)
  sndUna: u32;
  sndNxt: u32;
  //= rfc9293 REC-1
  /** Bytes, scaled. */
  sndWnd: u32;
  sndWl1: u32;
  sndWl2: u32;
  // -- receive
  rcvNxt: u32;
  /** Bytes that the peer may send from rcvWup on: the right edge we promised. */
  rcvWnd: u32;
  /** rcvNxt as the last ACK told it (RFC 7323's Last.ACK.sent). */
  rcvWup: u32;
  // -- timestamps (RFC 7323)
  tsRecent: u32;
  /** When tsRecent was taken, seconds. */
  tsRecentAge: u32;
  /** Added to our clock: keyed by the addresses. */
  tsOffset: u32;
  // -- RTT (RFC 6298)
  /** Smoothed RTT, µs × 8; 0: no sample yet. */
  srtt8Us: u32;
  /** RTT variation, µs × 4. */
  rttvar4Us: u32;
  // -- congestion
  /** Bytes. */
  cwnd: u32;
  /** Bytes; 0xffffffff is infinite. */
  ssthresh: u32;
  // -- timers: logical deadlines in ticks; the wheel holds the earliest
  /** Of what timerKind says. */
  timerDeadline: u32;
  /** Valid while TF_DELACK. */
  delackDeadline: u32;
  /** TF_* bits. */
  flags: u32;
  /** Address of the Extra record or 0: what tcp_info counts, user time-outs. */
  extra: u32;
  /** Address of the Busy record or 0: what only a moving connection needs. */
  busy: u32;
  /** Payload bytes of a full segment we send, options taken off. */
  sndMss: u16;
  /** The peer's MSS option (or the default). */
  peerMss: u16;
  pmtu: u16;
  /** Estimate of the peer's segment size (delayed ACK, silly window). */
  rcvMss: u16;
  /** Low nibble: shift of windows we receive (snd), high nibble: of those we send (rcv). */
  wscale: u8;
  timerKind: u8;
  /** Congestion of abi.ts. */
  congestion: u8;
  /** Retransmissions, unanswered probes or keep-alives in a row. */
  retries: u8;
  /** IP_TOS in the upper six bits; in the lower two, which are ECN's on the wire, TOS_* bits. */
  tos: u8;
  ttl: u8;
  /** SO_LINGER's seconds, at most 255, while TF_LINGER. */
  lingerSeconds: u8;
  /** When the last challenge ACK left, units of 64 ms modulo 256; 0: none yet (reset.ts). */
  challengeAt: u8;
}
export const TCB_BYTES: u32 = 152;

/** What a connection that has carried data must still know; 96 bytes. */
@unmanaged
export class Extra {
  bytesAcked: u64;
  bytesReceived: u64;
  bytesSent: u64;
  bytesRetrans: u64;
  segsIn: u32;
  segsOut: u32;
  dataSegsIn: u32;
  dataSegsOut: u32;
  totalRetrans: u32;
  /** Segments delivered (RFC 9293's peer has them), as tcp_info counts. */
  delivered: u32;
  /** µs; 0xffffffff: none. */
  minRttUs: u32;
  lastDataSentMs: u32;
  lastDataRecvMs: u32;
  lastAckRecvMs: u32;
  /** User's SO_RCVBUF, SO_SNDBUF in bytes; 0: auto-tuned. */
  rcvBuf: u32;
  sndBuf: u32;
  /** TCP_USER_TIMEOUT, ms; 0: none. */
  userTimeoutMs: u32;
  keepIdleS: u16;
  keepIntvlS: u16;
  keepCnt: u8;
  synCnt: u8;
  linger2S: u16;
  totalRto: u16;
  dsackDups: u16;
}
export const EXTRA_BYTES: u32 = 96;

/**
 * A half-open connection (RFC 9293 SYN-RECEIVED by a passive open); 60 bytes. Its state is never
 * another, so the byte where the others keep theirs counts retransmissions.
 */
@unmanaged
export class SynRequest {
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
  remote0: u32;
  remote1: u32;
  remote2: u32;
  remote3: u32;
  remotePort: u16;
  localPort: u16;
  localAddress: u16;
  kind: u8;
  /** Of the SYN-ACK. */
  retransmits: u8;
  irs: u32;
  iss: u32;
  tsRecent: u32;
  /** Index of the Listener in its pool. */
  listener: u16;
  peerMss: u16;
  /** Window that our SYN-ACK told, bytes. */
  rcvWnd: u16;
  /** As Tcb.wscale. */
  wscale: u8;
  /** SR_* bits. */
  flags: u8;
}
export const SYN_REQUEST_BYTES: u32 = 60;
export const SR_SACK: u8 = 1;
export const SR_TIMESTAMPS: u8 = 2;
export const SR_WSCALE: u8 = 4;
export const SR_ECN: u8 = 8;
/** The handshake's ACK came while the accept queue was full (Linux: inet_rsk(req)->acked). */
export const SR_ACKED: u8 = 16;
/** The peer repeated its SYN: more than one SYN-ACK is out. */
export const SR_REPEATED: u8 = 32;

/** A connection in TIME-WAIT; 60 bytes. Its timestamp offset is computed anew (isn.ts). */
@unmanaged
export class TimeWait {
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
  remote0: u32;
  remote1: u32;
  remote2: u32;
  remote3: u32;
  remotePort: u16;
  localPort: u16;
  localAddress: u16;
  kind: u8;
  state: u8;
  rcvNxt: u32;
  sndNxt: u32;
  /** The window field as last sent, unscaled. */
  windowField: u16;
  /** TW_* bits; in the upper half when the last ACK to a stray segment left (ackStamp). */
  flags: u16;
  tsRecent: u32;
  tsRecentAge: u32;
}
export const TIME_WAIT_BYTES: u32 = 60;
export const TW_TIMESTAMPS: u16 = 1;

/** A listener; 60 bytes, found by its port. */
@unmanaged
export class Listener {
  next: u32;
  acceptHead: u32;
  acceptTail: u32;
  acceptCount: u16;
  /** Half-open connections of this listener. */
  synCount: u16;
  generation: u32;
  eventNext: u32;
  eventMask: u16;
  backlog: u16;
  /** LF_* bits. */
  flags: u8;
  lingerSeconds: u8;
  maxSegment: u16;
  /** Always 0: a listener has no peer. */
  remotePort: u16;
  localPort: u16;
  localAddress: u16;
  kind: u8;
  state: u8;
  // -- inherited by its connections, as lingerSeconds and maxSegment are
  rcvBuf: u32;
  sndBuf: u32;
  /** TF_* bits that are inherited (TF_INHERITED). */
  tcbFlags: u32;
  userTimeoutMs: u32;
  tos: u8;
  ttl: u8;
  congestion: u8;
  deferAcceptS: u8;
}
export const LISTENER_BYTES: u32 = 60;
/** A request names its listener in 16 bits. */
export const LISTENERS_MAX: u32 = 65535;
export const LF_EVENT_LISTED: u8 = 1;
export const LF_V6ONLY: u8 = 2;
export const LF_REUSEADDR: u8 = 4;
export const LF_V4ONLY: u8 = 8;

// Tcb.flags
export const TF_NODELAY: u32 = 1 << 0;
export const TF_CORK: u32 = 1 << 1;
export const TF_KEEPALIVE: u32 = 1 << 2;
export const TF_REUSEADDR: u32 = 1 << 3;
export const TF_V6ONLY: u32 = 1 << 4;
export const TF_LINGER: u32 = 1 << 5;
export const TF_SACK_OK: u32 = 1 << 6;
export const TF_TS_OK: u32 = 1 << 7;
export const TF_WSCALE_OK: u32 = 1 << 8;
export const TF_ECN_OK: u32 = 1 << 9;
/** The user is done sending; a FIN follows the queued bytes. */
export const TF_FIN_QUEUED: u32 = 1 << 10;
export const TF_FIN_SENT: u32 = 1 << 11;
/** The peer's FIN arrived in order. */
export const TF_FIN_RCVD: u32 = 1 << 12;
/** The user does not read any more (shutdown RD). */
export const TF_RCV_SHUTDOWN: u32 = 1 << 13;
/** The handle is closed; the record frees itself when the connection ends. */
export const TF_ORPHAN: u32 = 1 << 14;
export const TF_ACK_NOW: u32 = 1 << 15;
export const TF_DELACK: u32 = 1 << 16;
export const TF_OUTPUT_LISTED: u32 = 1 << 17;
export const TF_EVENT_LISTED: u32 = 1 << 18;
/** Opened by a peer's SYN (RFC 9293 MUST-11). */
export const TF_PASSIVE: u32 = 1 << 19;
/** In a listener's accept queue: no user has the handle yet. */
export const TF_IN_ACCEPT: u32 = 1 << 20;
/** In the hash table. */
export const TF_HASHED: u32 = 1 << 21;
/** TCP_QUICKACK asked for: no delayed ACK. */
export const TF_QUICKACK: u32 = 1 << 22;
/** Interactive: the application answers, so ACKs ride on its data (Linux's pingpong). */
export const TF_PINGPONG: u32 = 1 << 23;
/** Data of an unacknowledged urgent mark is queued. */
export const TF_URGENT_SEND: u32 = 1 << 24;
/** rcvUp in Busy is valid: an urgent mark is ahead of the reader. */
export const TF_URGENT_RECV: u32 = 1 << 25;
/** The writer ran out of room and waits for EVENT_WRITABLE. */
export const TF_WANT_WRITE: u32 = 1 << 26;
/** The user chose port or address by tcpBind. */
export const TF_BOUND: u32 = 1 << 27;
/** Buffer sizes set by the user: no auto-tuning. */
export const TF_RCVBUF_LOCK: u32 = 1 << 28;
export const TF_SNDBUF_LOCK: u32 = 1 << 29;
export const TF_IPV6: u32 = 1 << 30;
/** tcpSetOption(IP_RECVERR) off: soft errors are not reported (RFC 9293 SHLD-20). */
export const TF_NO_SOFT_ERRORS: u32 = 1 << 31;

export const TF_INHERITED: u32 =
  TF_NODELAY | TF_CORK | TF_KEEPALIVE | TF_LINGER | TF_RCVBUF_LOCK | TF_SNDBUF_LOCK |
  TF_NO_SOFT_ERRORS | TF_QUICKACK;

// Tcb.tos, below IP_TOS (ecn.ts)
export const TOS_ECN: u32 = 3;
/** The peer's data has borne an ECN codepoint. */
export const TOS_ECN_SEEN: u8 = 1;
/** cwnd was reduced and the peer does not know yet. */
export const TOS_CWR_OWED: u8 = 2;

/** Tcb.timerKind: what timerDeadline is for. */
export const enum TimerKind {
  None = 0,
  Retransmit = 1,
  Persist = 2,
  KeepAlive = 3,
  FinWait2 = 4,
  /** Retransmission of SYN or SYN-ACK. */
  Syn = 5,
  /** Tail loss probe and reordering timer (RFC 8985): each stands in for Retransmit. */
  Tlp = 6,
  Reorder = 7,
  /** The Busy record is given back when nothing has moved for a while. */
  Quiet = 8,
  /** TCP_CORK and MSG_MORE hold a partial segment back 200 ms at most. */
  Cork = 9,
  /** A writer waits for memory. */
  Memory = 10,
}

if (offsetof<Endpoint>() != 40) ERROR("Endpoint is 40 bytes");
if (offsetof<Tcb>() != TCB_BYTES) ERROR("Tcb");
if (offsetof<Tcb>("state") != offsetof<Endpoint>("state")) ERROR("Tcb begins as Endpoint");
if (offsetof<Extra>() != EXTRA_BYTES) ERROR("Extra");
if (offsetof<SynRequest>() != SYN_REQUEST_BYTES) ERROR("SynRequest");
if (offsetof<SynRequest>("kind") != offsetof<Endpoint>("kind")) ERROR("SynRequest");
if (offsetof<TimeWait>() != TIME_WAIT_BYTES) ERROR("TimeWait");
if (offsetof<TimeWait>("state") != offsetof<Endpoint>("state")) ERROR("TimeWait");
if (offsetof<Listener>() != LISTENER_BYTES) ERROR("Listener");
if (offsetof<Listener>("state") != offsetof<Endpoint>("state")) ERROR("Listener");
if (offsetof<Listener>("localPort") != offsetof<Endpoint>("localPort")) ERROR("Listener");
