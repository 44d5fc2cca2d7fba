/**
 * The map of page 0 in abi.ts, seen by AssemblyScript's own compiler.
 */
import {
  CONFIG_AT, CONFIG_WORDS, COUNTERS_AT, COUNTERS_MAX, Counter, DIRECTORY_AT, Directory, FAULT_AT,
  POOLS_AT, RESULT_AT, RESULT_BYTES, SYSTEM_AT, SYSTEM_BYTES,
} from "../abi";

describe("abi · the map of page 0", () => {
  it("has its regions in order, none of them over the next", () => {
    expect<u32>(FAULT_AT + 16).toBeLessThanOrEqual(DIRECTORY_AT);
    expect<u32>(DIRECTORY_AT + 4 * (<u32>Directory.HashBuckets + 1)).toBeLessThanOrEqual(CONFIG_AT);
    expect<u32>(CONFIG_AT + 4 * CONFIG_WORDS).toBeLessThanOrEqual(RESULT_AT);
    expect<u32>(RESULT_AT + RESULT_BYTES).toBeLessThanOrEqual(SYSTEM_AT);
    expect<u32>(SYSTEM_AT + SYSTEM_BYTES).toBeLessThanOrEqual(COUNTERS_AT);
    expect<u32>(COUNTERS_AT + 8 * COUNTERS_MAX).toBeLessThanOrEqual(POOLS_AT);
  });

  it("aligns the counters, which are u64", () => {
    expect<u32>(COUNTERS_AT % 8).toBe(0);
    expect<u32>(<u32>Counter.IpInReceives).toBe(0);
  });
});
