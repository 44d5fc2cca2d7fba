/**
 * Kinds of trace record that the probes of assembly/testing write, beyond those of abi.ts.
 */
import { Trace } from "../abi";

export const PROBE_TCP: Trace = 100;
export const PROBE_ICMP_ERROR: Trace = 101;
export const PROBE_PATH_MTU: Trace = 102;
