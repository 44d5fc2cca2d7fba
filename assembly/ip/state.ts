/**
 * IP's own variables (there are no mutable globals): identification, the verdict of the last
 * ipBegin, the rate limits of ICMP errors, and endpoints for packets that belong to no record.
 * Lies at IP_STATE_AT; boot zeroes it. Plain data, used inside ip/ alone.
 */
import { IP_STATE_AT } from "../memory";
import { Endpoint } from "../tcp/records";

/** Destinations told apart by the per-host limit of ICMP errors. */
export const RATE_BUCKETS: u32 = 32;

@unmanaged
export class IpState {
  /** IpOut of the last ipBegin. */
  outcome: u32;
  /** Counts datagrams that may be fragmented; what is sent is a keyed function of it. */
  identification: u32;
  // -- all ICMP errors: tokens × 1000, when they were last filled up, and whether that was ever
  rateTokens: u32;
  rateFilledMs: u32;
  rateStarted: u32;
  /** Draws of chance so far. */
  rateDraws: u32;
  /** Of the flow labels (ip/output.ts); 0: not drawn yet. */
  flowKey: u64;
  // -- two of Endpoint, 40 bytes each
  reply0: u64;
  reply1: u64;
  reply2: u64;
  reply3: u64;
  reply4: u64;
  quoted0: u64;
  quoted1: u64;
  quoted2: u64;
  quoted3: u64;
  quoted4: u64;
  // -- of the last routeLookup: the link, and where the next hop's four words stand
  hopLink: u32;
  hopAt: u32;
  // -- two addresses as they stand in a packet, for whoever needs them in memory for a moment
  from0: u32;
  from1: u32;
  from2: u32;
  from3: u32;
  to0: u32;
  to1: u32;
  to2: u32;
  to3: u32;
}
/** Behind it one RateBucket a destination bucket. */
const BUCKETS_AT: usize = 152;

/** How many ms of credit the hosts of one bucket have for errors to them. */
@unmanaged
export class RateBucket {
  creditMs: u32;
  filledMs: u32;
}
if (offsetof<IpState>() != BUCKETS_AT) ERROR("IpState");
if (BUCKETS_AT + RATE_BUCKETS * offsetof<RateBucket>() > 512) ERROR("IpState fits its place");

// @ts-ignore: decorator
@inline
export function ipState(): IpState {
  return changetype<IpState>(IP_STATE_AT);
}

// @ts-ignore: decorator
@inline
export function rateBucket(i: u32): RateBucket {
  return changetype<RateBucket>(IP_STATE_AT + BUCKETS_AT + i * offsetof<RateBucket>());
}

/** Whom an answer goes to that belongs to no record. */
// @ts-ignore: decorator
@inline
export function scratchEndpoint(): Endpoint {
  return changetype<Endpoint>(IP_STATE_AT + offsetof<IpState>("reply0"));
}

/** The connection that the packet quoted in an ICMP error belongs to. */
// @ts-ignore: decorator
@inline
export function quotedEndpoint(): Endpoint {
  return changetype<Endpoint>(IP_STATE_AT + offsetof<IpState>("quoted0"));
}
