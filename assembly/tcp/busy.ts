/**
 * The Busy record: what only a connection on the move needs, one arena block of 512 bytes (four of
 * 128 in the microcontroller profile), taken when the first byte moves and given back when the
 * connection is quiet again (tcp/tcb.ts). And the pieces that hang on it: Segment, one for each
 * sent super-segment (RFC 6675 scoreboard, RACK's transmit times), and Range, received bytes beyond
 * a hole. Plain data; each group of fields belongs to the file named above it.
 */

import { Stream } from "../core/stream";

@unmanaged
export class Busy {
  // -- user: two streams (core/stream.ts), reached by sendStream() and recvStream()
  send0: u64;
  send1: u64;
  send2: u64;
  send3: u64;
  recv0: u64;
  recv1: u64;
  recv2: u64;
  recv3: u64;
  // -- output.ts
  /** Bytes that sendReserve may fill in all; grows unless TF_SNDBUF_LOCK. */
  sndBuf: u32;
  /** Largest window the peer ever offered (silly-window avoidance). */
  maxSndWnd: u32;
  /** Urgent mark: sequence after the last urgent octet, while TF_URGENT_SEND. */
  sndUp: u32;
  /** Bytes before this were complete writes: PSH when the segment reaches it. */
  pushSeq: u32;
  /** End of the last segment sent that was not full (Minshall's variant of Nagle, as Linux). */
  sndSml: u32;
  // -- text.ts, window.ts, reassembly.ts
  /** Bytes we let the peer have in flight and unread; grows unless TF_RCVBUF_LOCK. */
  rcvBuf: u32;
  /** Urgent mark while TF_URGENT_RECV. */
  rcvUp: u32;
  /** Position up to which the user has read (RFC 9293's copied_seq). */
  consumedSeq: u32;
  /** Treap of received ranges beyond rcvNxt (Segment records). */
  rangeRoot: u32;
  /** Range touched last; rangeOlder links follow by age (SACK's order). */
  rangeRecent: u32;
  rangeCount: u32;
  rangeBytes: u32;
  /** To be told as the first SACK block of the next ACK (RFC 2883); start = end: none. */
  dsackStart: u32;
  dsackEnd: u32;
  /** Receiver's estimate of the RTT, µs × 8 (auto-tuning). */
  rcvRttUs: u32;
  /** When rcvNxt passes this, a window's worth has come. */
  rcvRttSeq: u32;
  rcvRttAtUs: u32;
  /** Most that the user read in one RTT. */
  rcvSpaceBytes: u32;
  /** consumedSeq at the start of this RTT. */
  rcvSpaceSeq: u32;
  rcvSpaceAtUs: u32;
  /** When data last arrived, µs. */
  lastDataAtUs: u32;
  /** Delayed-ACK time-out now in force, µs. */
  atoUs: u32;
  /** ACKs still to be sent at once (quick-ack start). */
  quickAcks: u8;
  /** Duplicate ACKs owed, one for each out-of-order segment, without SACK. */
  pendingDupAcks: u8;
  /** OF_* bits of output.ts. */
  outputFlags: u16;
  // -- segments.ts
  /** Treap of Segment records by seq. */
  segmentRoot: u32;
  /** Lowest and highest record; 0: nothing in flight. */
  segmentFirst: u32;
  segmentLast: u32;
  /** In flight and neither lost nor SACKed, oldest transmission first. */
  flightHead: u32;
  flightTail: u32;
  /** Marked lost and not sent again yet, oldest mark first. */
  lostHead: u32;
  lostTail: u32;
  segmentCount: u32;
  /** Of records with SEG_SACKED. */
  sackedBytes: u32;
  /** Of records with SEG_LOST. */
  lostBytes: u32;
  /** Of records whose retransmission is in flight. */
  retransBytes: u32;
  // -- sack.ts, recovery.ts, retransmit.ts
  /** Highest sequence SACKed (RFC 6675 HighData's mirror). */
  highSack: u32;
  /** Everything before it has been judged by the loss rule. */
  lossCursor: u32;
  /** SACKed bytes before lossCursor. */
  sackedBelowCursor: u32;
  /** Discontiguous SACKed pieces: records with SEG_SACKED, neighbours being merged. */
  sackedBlocks: u32;
  /** Of these, those that begin before lossCursor. */
  sackedBlocksBelowCursor: u32;
  /** RFC 6675 RecoveryPoint / RFC 6582 recover: sndNxt when recovery began. */
  recoveryPoint: u32;
  /** sndUna when recovery began; 0: nothing to undo (RFC 4015). */
  undoMarker: u32;
  /** Retransmitted segments not yet reported as duplicates. */
  undoRetrans: u32;
  priorCwnd: u32;
  priorSsthresh: u32;
  /** First retransmission of this recovery by the option's clock, ms (RFC 3522); 0: none yet. */
  retransStampMs: u32;
  // -- rack.ts, tlp.ts (RFC 8985)
  /** RACK.xmit_ts and RACK.end_seq: of the segment delivered that was sent last. */
  rackTimeUs: u32;
  rackEndSeq: u32;
  /** RACK.rtt; 0: nothing delivered yet. */
  rackRttUs: u32;
  /** RACK.dsack_round, while RF_DSACK_ROUND. */
  rackDsackRound: u32;
  /** TLP.end_seq, while RF_TLP_OUT. */
  tlpEndSeq: u32;
  // -- prr.ts
  /** RFC 9937. */
  prrDelivered: u32;
  prrOut: u32;
  prrRecoverFs: u32;
  /** CaState: open, disorder, CWR, recovery, loss. */
  caState: u8;
  /** Duplicate ACKs in a row, without SACK. */
  dupAcks: u8;
  /** DupThresh now in force. */
  reordering: u8;
  /** RF_* bits. */
  recoveryFlags: u8;
  /** RACK.reo_wnd_mult and RACK.reo_wnd_persist. */
  rackReoWndMult: u8;
  rackReoWndPersist: u8;
  /** FrtoState of frto.ts. */
  frtoState: u8;
  /** How often reordering was seen, saturating. */
  reordSeen: u8;
  // -- delivery-rate.ts
  /** Bytes delivered, and bytes marked lost, modulo 2^32. */
  delivered: u32;
  lost: u32;
  deliveredAtUs: u32;
  firstTxAtUs: u32;
  /** delivered at which the application-limited stretch ends; 0: not limited. */
  appLimited: u32;
  /** Segments delivered by ACKs with ECN-Echo (tcp_info). */
  deliveredCe: u32;
  /** Last sample: bytes over intervalUs. */
  rateDelivered: u32;
  rateIntervalUs: u32;
  /** Chronograph of tcp_info: when sending began; 0: not sending. */
  busySinceMs: u32;
  /** Windowed minimum of RTT: three samples with their times. */
  minRttUs0: u32;
  minRttAt0: u32;
  minRttUs1: u32;
  minRttAt1: u32;
  minRttUs2: u32;
  minRttAt2: u32;
  // -- pacing.ts
  /** Bytes per second; 0: no pacing. */
  pacingRate: u32;
  /** SO_MAX_PACING_RATE, bytes per second; 0: none. */
  maxPacingRate: u32;
  /** When the next burst may leave, 2^-10 µs of the engine's clock. */
  pacingAt: u64;
  /** Bytes of the present burst that may still leave at once. */
  pacingBurst: u32;
  /** Most in flight since cwnd was last validated (RFC 7661's pipeACK). */
  cwndUsedBytes: u32;
  /** sndNxt when this stretch of cwndUsedBytes began (congestion/validation.ts). */
  cwndUsedSeq: u32;
  /** When cwnd was last found fully used, µs. */
  cwndUsedAtUs: u32;
  // -- congestion/: the controller's own
  cc0: u64;
  cc1: u64;
  cc2: u64;
  cc3: u64;
  cc4: u64;
  cc5: u64;
  cc6: u64;
  cc7: u64;
  cc8: u64;
  cc9: u64;
  cc10: u64;
  cc11: u64;
  cc12: u64;
  cc13: u64;
  cc14: u64;
}
export const BUSY_BYTES: u32 = 496;

/** One for each sent super-segment or part of it between MSS boundaries; 56 bytes. */
@unmanaged
export class Segment {
  /** First sequence number; key of the treap. Of a free record, next free one. */
  seq: u32;
  left: u32;
  right: u32;
  parent: u32;
  /** Bytes; SYN and FIN count one each. */
  length: u32;
  /** Last transmission, µs (low word). */
  txTimeUs: u32;
  /** delivery-rate.ts: snapshots at that transmission. */
  delivered: u32;
  deliveredTimeUs: u32;
  firstTxTimeUs: u32;
  /** And what was marked lost and in flight then, itself included, bytes. */
  lost: u32;
  txInFlight: u32;
  /** Neighbours in the list that its state says: in flight by transmit time, or lost by age. */
  listPrev: u32;
  listNext: u32;
  flags: u8;
  /** Transmissions beyond the first, saturating. */
  retransmits: u8;
  /** Bytes of its first MSS that are acknowledged: boundaries stay where the packets had them. */
  cut: u16;
}
export const SEGMENT_BYTES: u32 = 56;

/** Segment.flags. */
export const SEG_SACKED: u8 = 1;
export const SEG_LOST: u8 = 2;
/** Its last transmission was a retransmission and is in flight. */
export const SEG_RETRANS: u8 = 4;
/** Ever retransmitted (Karn). */
export const SEG_EVER_RETRANS: u8 = 8;
export const SEG_FIN: u8 = 16;
export const SEG_SYN: u8 = 32;
/** Sent while the application, not the network, was the limit. */
export const SEG_APP_LIMITED: u8 = 64;
/** Only its first part was sent again, for want of a record to split it. */
export const SEG_PARTIAL: u8 = 128;

/** Received bytes beyond a hole: [seq, end); lives in the pool of segment records. */
@unmanaged
export class Range {
  seq: u32;
  left: u32;
  right: u32;
  parent: u32;
  end: u32;
  /** Neighbours by age of the last arrival, newest first (RFC 2018 §4). */
  newer: u32;
  older: u32;
  /** The peer's FIN is the last octet. */
  fin: u32;
}

/** Busy.caState, with Linux's numbers. */
export const enum CaState {
  Open = 0,
  Disorder = 1,
  Cwr = 2,
  Recovery = 3,
  Loss = 4,
}

/** caState as a number that compares: the field has eight bits, an enum 32. */
// @ts-ignore: decorator
@inline
export function stateOf(busy: Busy): i32 {
  return busy.caState;
}

/** Busy.recoveryFlags. */
export const RF_RESCUE_SENT: u8 = 1;
/** cwnd, not the application, limited what was sent in this stretch (RFC 7661). */
export const RF_CWND_LIMITED: u8 = 2;
/** reo_wnd has grown in the round that ends at rackDsackRound. */
export const RF_DSACK_ROUND: u8 = 4;
/** A loss probe is out, and nothing has told yet whether it was needed. */
export const RF_TLP_OUT: u8 = 8;
/** The probe was a retransmission (TLP.is_retrans). */
export const RF_TLP_RETRANS: u8 = 16;

// @ts-ignore: decorator
@inline
export function sendStream(busy: Busy): Stream {
  return changetype<Stream>(changetype<usize>(busy) + offsetof<Busy>("send0"));
}

// @ts-ignore: decorator
@inline
export function recvStream(busy: Busy): Stream {
  return changetype<Stream>(changetype<usize>(busy) + offsetof<Busy>("recv0"));
}

if (offsetof<Busy>() != BUSY_BYTES) ERROR("Busy");
if (BUSY_BYTES > 512) ERROR("Busy fits one block");
if (offsetof<Segment>() != SEGMENT_BYTES) ERROR("Segment");
if (offsetof<Range>() > SEGMENT_BYTES) ERROR("Range fits a segment record");
