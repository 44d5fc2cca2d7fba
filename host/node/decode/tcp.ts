/**
 * TCP segments and all their options, read without ever failing. RFC 9293 §3.1–3.2, RFC 7323,
 * RFC 2018, RFC 7413, RFC 6994, RFC 2385, RFC 5482, RFC 5925, RFC 8684, RFC 9768.
 * Called by packet.ts. Reports what is malformed in the packet's issues; judges nothing else.
 */
import { u16, u32, u8 } from './bytes.js';
import type { Checksum, Issue, TcpOption, TcpOptionName, TcpSegment } from './types.js';

export const TCP_HEADER_BYTES = 20;

const NAMES = new Map<number, TcpOptionName>([
  [0, 'eol'], [1, 'nop'], [2, 'mss'], [3, 'wscale'], [4, 'sackOK'], [5, 'sack'], [6, 'echo'],
  [7, 'echoreply'], [8, 'TS'], [19, 'md5'], [28, 'uto'], [29, 'tcp-ao'], [30, 'mptcp'],
  [34, 'tfo'], [172, 'accecn0'], [174, 'accecn1'], [254, 'exp'], [253, 'exp'],
]);

/** Lengths that an option must have, kind and length included; others may vary. */
const FIXED = new Map<number, number>([[2, 4], [3, 3], [4, 2], [6, 6], [7, 6], [8, 10], [19, 18],
  [28, 4]]);
const EXID_FAST_OPEN = 0xf989;

/** Fills the fields that a known kind has; false when the option is too short for them. */
function readFields(option: TcpOption): boolean {
  const { data } = option;
  const fixed = FIXED.get(option.kind);
  if (fixed !== undefined && data.length < fixed - 2) return false;
  switch (option.kind) {
    case 2: option.mss = u16(data, 0); return true;
    case 3: option.shift = u8(data, 0); return true;
    case 5: {
      if (data.length % 8 !== 0) return true; // kept, without blocks: "invalid sack"
      option.blocks = [];
      for (let at = 0; at < data.length; at += 8) {
        option.blocks.push([u32(data, at), u32(data, at + 4)]);
      }
      return true;
    }
    case 8: option.tsVal = u32(data, 0); option.tsEcr = u32(data, 4); return true;
    case 28: {
      const word = u16(data, 0);
      option.uto = { minutes: (word & 0x8000) !== 0, value: word & 0x7fff };
      return true;
    }
    case 34: option.cookie = data; return true;
    case 253:
    case 254:
      if (data.length < 2) return false;
      option.exId = u16(data, 0);
      if (option.exId === EXID_FAST_OPEN) option.cookie = data.subarray(2);
      return true;
    default: return true;
  }
}

export interface TcpOptions {
  options: TcpOption[];
  problem: 'bad-option' | 'truncated' | undefined;
  /** Where reading stopped, a frame offset. */
  stopped: number;
}

/**
 * Reads options in bytes[from, to). Stops at EOL (which is listed), at the end, or at the first
 * option that does not fit, which is listed only if its kind and length could be read.
 * The bytes may end before `to`: then the problem is 'truncated'.
 */
export function decodeTcpOptions(bytes: Uint8Array, from: number, to: number): TcpOptions {
  const options: TcpOption[] = [];
  const end = Math.min(to, bytes.length);
  let at = from;
  while (at < to) {
    if (at >= end) return { options, problem: 'truncated', stopped: at };
    const kind = u8(bytes, at);
    const name = NAMES.get(kind) ?? 'unknown';
    if (kind <= 1) {
      options.push({ kind, length: 1, name, offset: at, data: bytes.subarray(at, at) });
      at += 1;
      if (kind === 0) break;
      continue;
    }
    if (at + 1 >= end) {
      return { options, problem: at + 1 >= to ? 'bad-option' : 'truncated', stopped: at };
    }
    const length = u8(bytes, at + 1);
    if (length < 2 || at + length > to) return { options, problem: 'bad-option', stopped: at };
    const data = bytes.subarray(at + 2, Math.min(at + length, end));
    const option: TcpOption = { kind, length, name, offset: at, data };
    options.push(option);
    if (at + length > end) return { options, problem: 'truncated', stopped: at };
    if (!readFields(option)) return { options, problem: 'bad-option', stopped: at };
    at += length;
  }
  return { options, problem: undefined, stopped: at };
}

/**
 * Reads the segment at bytes[offset, offset + length), of which some may be missing at the end.
 * undefined when not even the fixed header is there (the issue says so).
 */
export function decodeTcp(
  bytes: Uint8Array, offset: number, length: number, checksum: () => Checksum, issues: Issue[],
): TcpSegment | undefined {
  const here = Math.min(bytes.length, offset + length) - offset;
  if (here < TCP_HEADER_BYTES) {
    issues.push({ layer: 'tcp', problem: 'truncated', detail: TCP_HEADER_BYTES - here });
    return undefined;
  }
  const headerLength = (u8(bytes, offset + 12) >> 4) * 4;
  const segment: TcpSegment = {
    kind: 'tcp', offset, headerLength,
    sourcePort: u16(bytes, offset), destinationPort: u16(bytes, offset + 2),
    seq: u32(bytes, offset + 4), ack: u32(bytes, offset + 8),
    flags: u16(bytes, offset + 12) & 0x1ff,
    window: u16(bytes, offset + 14), checksum: checksum(), urgent: u16(bytes, offset + 18),
    options: [], optionsProblem: undefined,
    payloadOffset: offset + headerLength, payloadLength: Math.max(0, length - headerLength),
  };
  if (headerLength < TCP_HEADER_BYTES || headerLength > length) {
    issues.push({ layer: 'tcp', problem: 'bad-header-length', detail: headerLength });
    return segment;
  }
  const read = decodeTcpOptions(bytes, offset + TCP_HEADER_BYTES, offset + headerLength);
  segment.options = read.options;
  segment.optionsProblem = read.problem;
  if (read.problem === 'bad-option') {
    issues.push({ layer: 'tcp', problem: 'bad-option', detail: read.stopped - offset });
  } else if (headerLength > here) {
    issues.push({ layer: 'tcp', problem: 'truncated', detail: headerLength - here });
  }
  return segment;
}
