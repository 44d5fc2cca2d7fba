/**
 * The boot configuration and the sysctls: CONFIG is an array of u32 words, abi.ts names them. Here
 * are the accessors and the bounds that boot checks; the defaults that a host writes, with their
 * reasons, are in host/node/config.ts, because a default is policy.
 */
import { CONFIG_AT, Config } from "./abi";

// @ts-ignore: decorator
@inline
export function config(word: Config): u32 {
  return load<u32>(<usize>CONFIG_AT + ((<usize>word) << 2));
}

// @ts-ignore: decorator
@inline
export function setConfig(word: Config, value: u32): void {
  store<u32>(<usize>CONFIG_AT + ((<usize>word) << 2), value);
}
