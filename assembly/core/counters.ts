/**
 * Counters by their nstat names (abi.ts, Counter): u64 each, read by hosts from COUNTERS_AT.
 */
import { Counter, COUNTERS_AT } from "../abi";

export function count(counter: Counter): void {
  countMany(counter, 1);
}

export function countMany(counter: Counter, n: u32): void {
  const at = <usize>COUNTERS_AT + ((<usize>counter) << 3);
  store<u64>(at, load<u64>(at) + n);
}
