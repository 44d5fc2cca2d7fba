/**
 * How many ICMP errors we send: RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f), by Linux's sysctls
 * icmp_msgs_per_sec (all together) and icmp_ratelimit (ms per message to one host). Called by
 * ip/icmp-send.ts alone. Hosts share 32 buckets by a keyed hash, so that memory is fixed.
 */
import { Config } from "../abi";
import { config } from "../config";
import { siphash24 } from "../core/siphash";
import { system } from "../memory";
import { Packet } from "./packet";
import { ipState, RATE_BUCKETS, rateBucket } from "./state";

/** Linux's icmp_msgs_burst, messages. */
const MSGS_BURST: u32 = 50;
/** Linux's XRLIM_BURST_FACTOR: messages to one host at once. */
const HOST_BURST: u32 = 6;
const TOKEN: u32 = 1000;

/** May an error be sent to the source of `packet` now? Takes the credit if so. */
export function icmpAllowed(packet: Packet): bool {
  const state = ipState();
  const nowMs = system().nowMs;
  if (state.rateStarted == 0) rateStart(nowMs);
  const filled = <u64>(nowMs - state.rateFilledMs) * config(Config.icmp_msgs_per_sec);
  state.rateTokens = <u32>min(<u64>state.rateTokens + filled, <u64>MSGS_BURST * TOKEN);
  state.rateFilledMs = nowMs;
  if (state.rateTokens < TOKEN || !hostAllowed(packet, nowMs)) return false;
  // one on average, but by chance none or two: an exact count would tell a third party whether a
  // forged probe of his was answered (CVE-2020-25705)
  const cost = chance(3) * TOKEN;
  state.rateTokens -= min(cost, state.rateTokens);
  return true;
}

function hostAllowed(packet: Packet, nowMs: u32): bool {
  const intervalMs = min(config(Config.icmp_ratelimit), 0xffffffff / HOST_BURST);
  if (intervalMs == 0) return true;
  const s = system();
  const high = <u64>packet.src0 << 32 | packet.src1;
  const low = <u64>packet.src2 << 32 | packet.src3;
  const hash = siphash24(s.hashKey0, s.hashKey1, high, low, 3);
  const bucket = rateBucket(<u32>hash & (RATE_BUCKETS - 1));
  const credit = <u64>bucket.creditMs + (nowMs - bucket.filledMs);
  bucket.creditMs = <u32>min(credit, <u64>intervalMs * HOST_BURST);
  bucket.filledMs = nowMs;
  if (bucket.creditMs < intervalMs) return false;
  bucket.creditMs -= intervalMs;
  return true;
}

/** The first error ever finds every bucket full. */
function rateStart(nowMs: u32): void {
  const state = ipState();
  state.rateStarted = 1;
  state.rateTokens = MSGS_BURST * TOKEN;
  state.rateFilledMs = nowMs;
  const intervalMs = min(config(Config.icmp_ratelimit), 0xffffffff / HOST_BURST);
  for (let i: u32 = 0; i < RATE_BUCKETS; i++) {
    const bucket = rateBucket(i);
    bucket.creditMs = intervalMs * HOST_BURST;
    bucket.filledMs = nowMs;
  }
}

/** 0 to n - 1, unpredictable. */
function chance(n: u32): u32 {
  const s = system();
  const state = ipState();
  state.rateDraws += 1;
  return <u32>(siphash24(s.isnKey0, s.isnKey1, state.rateDraws, 4, 0) % n);
}
