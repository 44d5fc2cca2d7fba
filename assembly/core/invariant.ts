/**
 * Invariants: what must hold inside the engine whatever arrives from outside. A broken one leaves
 * its code where the host finds it (FAULT_AT) and traps. Never used on a peer's or a host's input:
 * that is checked and counted, or answered by an error (style rule 18).
 */
import { FAULT_AT, Fault } from "../abi";

// @ts-ignore: decorator
@inline
export function invariant(holds: bool, code: Fault): void {
  if (!holds) fail(code);
}

/** Kept out of line, so that a check costs a compare and a branch. */
export function fail(code: Fault): void {
  store<u32>(FAULT_AT, code);
  unreachable();
}
