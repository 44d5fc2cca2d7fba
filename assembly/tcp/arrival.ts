/**
 * The segment being received, as numbers: RFC 9293's SEG variables. Filled once by tcp/input.ts,
 * handed to every step; text.ts trims it to the window. The parsed options stand beside it
 * (wire/tcp-options.ts). Plain data.
 */
import { ARRIVAL_AT } from "../memory";

@unmanaged
export class Arrival {
  /** SEG.SEQ of the first byte still to be considered. */
  seq: u32;
  /** SEG.ACK, meaningful with the ACK flag. */
  ack: u32;
  /** SEG.WND as it stands in the header, unscaled. */
  window: u32;
  /** Urgent pointer. */
  urgent: u32;
  /** Flags of wire/tcp.ts. */
  flags: u32;
  /** Address and bytes of the payload. */
  data: u32;
  length: u32;
  /** What the host's device merged: bytes of each piece, or 0. */
  gsoSize: u32;
  /** IP TOS byte with the ECN bits. */
  tos: u32;
  isV6: u32;
  ttl: u32;
  /** Pieces of a merged super-segment, at least 1 (tcp_info counts segments). */
  segments: u32;
}

// @ts-ignore: decorator
@inline
export function arrival(): Arrival {
  return changetype<Arrival>(ARRIVAL_AT);
}

/** Where tcp/input.ts puts the four-tuple it looks for, laid out as an Endpoint. */
export const KEY_AT: usize = ARRIVAL_AT + 64;

if (offsetof<Arrival>() > 64) ERROR("Arrival fits its place");
