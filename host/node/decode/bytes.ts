/**
 * Big-endian reads that cannot fail, and addresses as text.
 * A read beyond the end gives zeros: the decoders check lengths first and report truncation, so
 * a zero is never mistaken for a field. Address text: RFC 5952 for IPv6, as inet_ntop writes it.
 * Called by everything in decode/ and by the captures; knows no protocol.
 */

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >>> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value >>> 16);
  putU16(bytes, at + 2, value & 0xffff);
}

/** Lower-case hexadecimal without separators. */
export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** A link-layer address, `02:00:00:00:00:01`; length in bytes. */
export function macText(bytes: Uint8Array, at: number, length = 6): string {
  const parts: string[] = [];
  for (let i = 0; i < length; i++) parts.push(u8(bytes, at + i).toString(16).padStart(2, '0'));
  return parts.join(':');
}

export function ipv4Text(bytes: Uint8Array, at: number): string {
  return `${u8(bytes, at)}.${u8(bytes, at + 1)}.${u8(bytes, at + 2)}.${u8(bytes, at + 3)}`;
}

/** The longest run of at least two zero groups, the first of equals: RFC 5952 §4.2. */
function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: -1, length: 1 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (i < groups.length && groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best.start < 0 ? { start: -1, length: 0 } : best;
}

/** IPv6 address as inet_ntop writes it, with the dotted tail of mapped and compatible addresses. */
export function ipv6Text(bytes: Uint8Array, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(u16(bytes, at + 2 * i));
  const run = longestZeroRun(groups);
  // glibc prints a dotted tail behind ::ffff: and behind six zero groups.
  const mapped = run.start === 0 && run.length === 5 && groups[5] === 0xffff;
  const compatible = run.start === 0 && run.length === 6;
  if (mapped) return `::ffff:${ipv4Text(bytes, at + 12)}`;
  if (compatible) return `::${ipv4Text(bytes, at + 12)}`;
  const words = groups.map((group) => group.toString(16));
  if (run.start < 0) return words.join(':');
  const head = words.slice(0, run.start).join(':');
  return `${head}::${words.slice(run.start + run.length).join(':')}`;
}
