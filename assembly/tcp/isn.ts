/**
 * Initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323 §7.1) and random numbers, all
 * from SipHash with secrets that boot drew from the host's seed. Called where connections begin.
 */
import { siphash24 } from "../core/siphash";
import { system } from "../memory";
import { Endpoint } from "./records";

function keyed(e: Endpoint, salt: u32): u32 {
  const s = system();
  const ports = (<u64>e.localPort << 16) | <u64>e.remotePort;
  const word = (<u64>salt << 56) | (<u64>e.localAddress << 32) | ports;
  const low = (<u64>e.remote1 << 32) | <u64>e.remote0;
  const high = (<u64>e.remote3 << 32) | <u64>e.remote2;
  return <u32>siphash24(s.isnKey0, s.isnKey1, low, high, word);
}

//= rfc9293 MUST-8
//= rfc9293 MUST-9
//= rfc9293 SHLD-1
/** ISN = M + F(four-tuple, secret), where M steps once every 4 µs. */
export function isnFor(e: Endpoint): u32 {
  return <u32>(system().nowUs >> 2) + keyed(e, 1);
}

export function tsOffsetFor(e: Endpoint): u32 {
  return keyed(e, 2);
}

/** RFC 6056 §3.3.3: where the search for a port begins, the same for the same destination. */
export function portOffsetFor(e: Endpoint): u32 {
  return keyed(e, 3);
}

/** Pseudo-random, for jitter and IP IDs; not a secret. */
export function random32(): u32 {
  const s = system();
  s.random += 0x9e3779b97f4a7c15;
  return <u32>siphash24(s.isnKey0, s.isnKey1, s.random, 4, 0);
}
