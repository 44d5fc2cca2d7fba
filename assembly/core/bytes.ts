/**
 * Words in memory, in the machine's and in the network's byte order, and copies.
 * With stream.ts, checksum.ts and wire/, the only place where load and store appear.
 */

// @ts-ignore: decorator
@inline
export function readU32(at: usize): u32 {
  return load<u32>(at);
}

// @ts-ignore: decorator
@inline
export function writeU32(at: usize, value: u32): void {
  store<u32>(at, value);
}

// @ts-ignore: decorator
@inline
export function readU8(at: usize): u32 {
  return load<u8>(at);
}

// @ts-ignore: decorator
@inline
export function writeU8(at: usize, value: u32): void {
  store<u8>(at, <u8>value);
}

// @ts-ignore: decorator
@inline
export function readU16(at: usize): u32 {
  return load<u16>(at);
}

// @ts-ignore: decorator
@inline
export function writeU16(at: usize, value: u32): void {
  store<u16>(at, <u16>value);
}

/** Network byte order, 16 bits. */
// @ts-ignore: decorator
@inline
export function readBe16(at: usize): u32 {
  return bswap<u16>(load<u16>(at));
}

/** Network byte order, 32 bits. */
// @ts-ignore: decorator
@inline
export function readBe32(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}

// @ts-ignore: decorator
@inline
export function copyBytes(to: usize, from: usize, length: u32): void {
  memory.copy(to, from, length);
}

// @ts-ignore: decorator
@inline
export function zeroBytes(at: usize, length: u32): void {
  memory.fill(at, 0, length);
}
