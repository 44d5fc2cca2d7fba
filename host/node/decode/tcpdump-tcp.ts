/**
 * A TCP segment as `tcpdump -n` words it: flags, relative or absolute sequence numbers, options,
 * and the request or status line of HTTP on its ports.
 * Called by tcpdump.ts alone. Relative numbers need what the flow began with: FlowTracker, bounded
 * in flows so that a live dump can run for ever.
 */
import { hex, u16, u32 } from './bytes.js';
import { checksumText } from './tcpdump-text.js';
import {
  TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG,
  type IpHeader, type TcpOption, type TcpSegment,
} from './types.js';

const FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [TCP_FIN, 'F'], [TCP_SYN, 'S'], [TCP_RST, 'R'], [TCP_PSH, 'P'], [TCP_ACK, '.'], [TCP_URG, 'U'],
  [TCP_ECE, 'E'], [TCP_CWR, 'W'], [TCP_AE, 'e'],
];
const HTTP_PORTS = new Set([80, 8080]);
const HTTP_METHODS = new Set(['GET', 'PUT', 'COPY', 'HEAD', 'LOCK', 'MOVE', 'POLL', 'POST',
  'MKCOL', 'TRACE', 'DELETE', 'SEARCH', 'UNLOCK', 'NOTIFY', 'CONNECT', 'OPTIONS', 'PROPFIND',
  'SUBSCRIBE', 'PROPPATCH', 'UNSUBSCRIBE']);
const MD5_UNCHECKED = "shared secret not supplied with -M, can't check - ";
const RST_TEXT_MAX = 30;
const FLOWS_MAX = 65536;

/** `Flags [S.]`: the letters, or none. */
export function tcpFlagsText(flags: number): string {
  const letters = FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0).map(([, letter]) => letter);
  return letters.length === 0 ? 'none' : letters.join('');
}

/** First sequence numbers of both directions; `reversed`: this segment's source is the second. */
interface Origin {
  seq: number;
  ack: number;
}

/** Remembers where each flow's sequence numbers began; at most FLOWS_MAX, oldest forgotten. */
export class FlowTracker {
  private readonly flows = new Map<string, Origin>();

  /**
   * Numbers to print for a segment with ACK: absolute on the flow's first segment (and on SYN),
   * relative afterwards, as tcpdump does. `base` is what SACK blocks are relative to.
   */
  relative(ip: IpHeader, tcp: TcpSegment): { seq: number; ack: number; base: number } {
    const from = `${ip.source} ${tcp.sourcePort}`;
    const to = `${ip.destination} ${tcp.destinationPort}`;
    const reversed = tcp.sourcePort > tcp.destinationPort
      || (tcp.sourcePort === tcp.destinationPort && ip.source > ip.destination);
    const key = reversed ? `${to} ${from}` : `${from} ${to}`;
    const known = this.flows.get(key);
    if (known === undefined || (tcp.flags & TCP_SYN) !== 0) {
      const other = (tcp.ack - 1) >>> 0;
      const origin = reversed ? { ack: tcp.seq, seq: other } : { seq: tcp.seq, ack: other };
      if (known === undefined && this.flows.size >= FLOWS_MAX) {
        for (const oldest of this.flows.keys()) {
          this.flows.delete(oldest);
          break;
        }
      }
      this.flows.set(key, origin);
      return { seq: tcp.seq, ack: tcp.ack, base: other };
    }
    const own = reversed ? known.ack : known.seq;
    const base = reversed ? known.seq : known.ack;
    return { seq: (tcp.seq - own) >>> 0, ack: (tcp.ack - base) >>> 0, base };
  }
}

function cookieText(cookie: Uint8Array): string {
  if (cookie.length === 0) return ' cookiereq';
  if (cookie.length % 2 !== 0 || cookie.length < 4 || cookie.length > 16) return ' (invalid)';
  return ` cookie ${hex(cookie)}`;
}

function sackText(option: TcpOption, base: number): string {
  if (option.blocks === undefined) return 'sack invalid sack';
  const blocks = option.blocks.map(
    ([left, right]) => `{${(left - base) >>> 0}:${(right - base) >>> 0}}`,
  );
  return `sack ${option.blocks.length} ${blocks.join('')}`;
}

function authenticationText(data: Uint8Array): string {
  if (data.length < 2) return 'tcp-ao (invalid)';
  const mac = data.length > 2 ? ` mac 0x${hex(data.subarray(2))}` : '';
  return `tcp-ao keyid ${data[0]} rnextkeyid ${data[1]}${mac}`;
}

function userTimeoutText(word: number): string {
  // tcpdump takes the lowest bit for RFC 5482's granularity bit; followed, to print the same.
  return `uto 0x${word.toString(16)} ${(word & 1) !== 0 ? (word >> 1) * 60 : word >> 1}`;
}

/** One option; `expected` is the length its kind should have, `[len N]` says if it differs. */
function optionText(option: TcpOption, base: number): string {
  const { data, length } = option;
  const odd = (expected: number) => (length === expected ? '' : `[len ${length}]`);
  switch (option.name) {
    case 'eol':
    case 'nop': return option.name;
    case 'mss': return `mss ${option.mss}${odd(4)}`;
    case 'wscale': return `wscale ${option.shift}${odd(3)}`;
    case 'sackOK': return `sackOK${odd(2)}`;
    case 'sack': return sackText(option, base);
    case 'echo':
    case 'echoreply': return `${option.name} ${u32(data, 0)}${odd(6)}`;
    case 'TS': return `TS val ${option.tsVal} ecr ${option.tsEcr}${odd(10)}`;
    case 'md5': return `md5 ${MD5_UNCHECKED}${hex(data.subarray(0, 16))}${odd(18)}`;
    case 'uto': return `${userTimeoutText(u16(data, 0))}${odd(4)}`;
    case 'tcp-ao': return authenticationText(data);
    case 'tfo': return `tfo ${cookieText(data)}`;
    case 'exp': {
      if (option.kind === 253) return `unknown-253 0x${hex(data)}`;
      if (option.cookie !== undefined) return `exp-tfo${cookieText(option.cookie)}`;
      return `exp-${(option.exId ?? 0).toString(16).padStart(4, '0')}`;
    }
    default: {
      const name = option.name === 'mptcp' ? 'mptcp' : `unknown-${option.kind}`;
      return data.length > 0 ? `${name} 0x${hex(data)}` : name;
    }
  }
}

/** An option that breaks off: its name, and what tcpdump prints before it notices. */
function brokenOptionText(option: TcpOption, base: number, cut: boolean): string {
  const { data, length, kind } = option;
  const unknown = option.name === 'unknown' || option.name.startsWith('accecn') || kind === 253;
  const name = unknown ? `unknown-${kind}` : option.name;
  if (!cut) return name;
  if (unknown) return `${name} 0x${hex(data)}`;
  if (option.name !== 'sack' || (length - 2) % 8 !== 0) return name;
  const blocks: string[] = [];
  for (let at = 0; at + 8 <= data.length; at += 8) {
    blocks.push(`{${(u32(data, at) - base) >>> 0}:${(u32(data, at + 4) - base) >>> 0}}`);
  }
  return `sack ${(length - 2) / 8} ${blocks.join('')}`;
}

/** `, options [...]`; `whole` is false if the rest of the line cannot follow. */
function optionsText(tcp: TcpSegment, base: number): { text: string; whole: boolean } {
  const { options, optionsProblem: problem } = tcp;
  if (problem === undefined) {
    const list = options.map((option) => optionText(option, base)).join(',');
    return { text: `, options [${list}]`, whole: true };
  }
  // The option that stopped the reading is listed when its kind and length could be read.
  const last = options.at(-1);
  const cut = last !== undefined && last.length > 1 && last.data.length < last.length - 2;
  const listed = last !== undefined && (cut || (problem === 'bad-option' && isShort(last)));
  const done = listed ? options.slice(0, -1) : options;
  let text = `, options [${done.map((option) => optionText(option, base)).join(',')}`;
  if (done.length > 0) text += ',';
  if (listed) text += brokenOptionText(last, base, cut);
  if (problem === 'truncated') {
    return { text: `${text} [|tcp]${listed && done.length > 0 ? '>' : ''}`, whole: false };
  }
  return { text: `${text}[bad opt]${done.length > 0 ? ']' : ''}`, whole: false };
}

/** True if a listed option lacks the fields of its kind (decodeTcpOptions stopped at it). */
function isShort(option: TcpOption): boolean {
  const needed: Partial<Record<TcpOption['name'], number>> = {
    mss: 2, wscale: 1, echo: 4, echoreply: 4, TS: 8, md5: 16, uto: 2, exp: 2,
  };
  return option.data.length < (needed[option.name] ?? 0);
}

function printable(byte: number): string {
  let text = '';
  let value = byte;
  if (value > 127) {
    text = 'M-';
    value &= 127;
  }
  if (value < 32 || value === 127) {
    text += '^';
    value ^= 64;
  }
  return text + String.fromCharCode(value);
}

/** Text that a RST carries, RFC 9293 §3.5.3. */
function resetText(payload: Uint8Array, promised: number): string {
  const whole = payload.length >= promised ? '[RST' : '[!RST';
  const more = promised > RST_TEXT_MAX ? '+' : '';
  const shown = [...payload.subarray(0, RST_TEXT_MAX)].map(printable).join('');
  return ` ${whole}${more} ${shown}]`;
}

/** True for a first line that tcpdump takes for a request or a status line. */
function startsHttpMessage(text: string): boolean {
  const [first, second] = (/^[\x21-\x7e]{1,126}[ \t]*[\x21-\x7e]{0,126}/.exec(text)?.[0] ?? '')
    .split(/[ \t]+/);
  if (first === undefined || first === '') return false;
  return HTTP_METHODS.has(first.toUpperCase()) || /^\d{3}$/.test(second ?? '');
}

/** `: HTTP: GET / HTTP/1.1`, or with -v all header lines. */
function httpText(payload: Uint8Array, verbose: number, promised: number): string {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1');
  if (!startsHttpMessage(text)) return ': HTTP';
  let out = verbose > 0 ? `: HTTP, length: ${promised}` : ': HTTP';
  const prefix = verbose > 0 ? '\n\t' : ': ';
  let at = 0;
  while (at < text.length) {
    const line = /^[\x20-\x7e\t]*/.exec(text.slice(at))?.[0] ?? '';
    const rest = text.slice(at + line.length, at + line.length + 2);
    if (rest.startsWith('\n') || rest === '\r\n') {
      out += prefix + line;
      at += line.length + (rest.startsWith('\n') ? 1 : 2);
    } else {
      if (rest === '') out += `${prefix}${line} [|http]`;
      break;
    }
    if (verbose === 0) break;
  }
  return out;
}

export interface TcpTextOptions {
  verbose: number;
  /** undefined: absolute sequence numbers (-S). */
  flows: FlowTracker | undefined;
  fragmented: boolean;
}

/** The segment behind `a.1 > b.2: `. `bytes` is the frame. */
export function tcpText(
  bytes: Uint8Array, ip: IpHeader, tcp: TcpSegment, options: TcpTextOptions,
): string {
  const length = tcp.payloadLength;
  const total = length + tcp.headerLength;
  if (tcp.headerLength < 20) {
    const promised = ip.payloadLength - tcp.headerLength;
    return ` tcp ${promised} [bad hdr length ${tcp.headerLength} - too short, < 20]`;
  }
  let text = `Flags [${tcpFlagsText(tcp.flags)}]`;
  const numbers = options.flows !== undefined && (tcp.flags & TCP_ACK) !== 0
    ? options.flows.relative(ip, tcp) : { seq: tcp.seq, ack: tcp.ack, base: 0 };
  const relativeBase = options.flows === undefined || (tcp.flags & TCP_ACK) === 0
    ? 0 : numbers.base;
  if (tcp.headerLength > ip.payloadLength) {
    const detail = `${tcp.headerLength} - too long, > ${ip.payloadLength}`;
    return `${text} [bad hdr length ${detail}]`;
  }
  const here = tcp.offset + total <= bytes.length;
  if (options.verbose > 0 && !options.fragmented && here) text += checksumText(tcp.checksum);
  if (options.verbose > 1 || length > 0 || (tcp.flags & (TCP_SYN | TCP_FIN | TCP_RST)) !== 0) {
    text += `, seq ${numbers.seq}`;
    if (length > 0) text += `:${(numbers.seq + length) >>> 0}`;
  }
  if ((tcp.flags & TCP_ACK) !== 0) text += `, ack ${numbers.ack}`;
  text += `, win ${tcp.window}`;
  if ((tcp.flags & TCP_URG) !== 0) text += `, urg ${tcp.urgent}`;
  if (tcp.headerLength > 20) {
    const list = optionsText(tcp, relativeBase);
    text += list.text;
    if (!list.whole) return text;
  }
  text += `, length ${length}`;
  if (length === 0) return text;
  if (tcp.payloadOffset > bytes.length) {
    const left = bytes.length - tcp.offset;
    return `${text} [remaining caplen(${left}) < header length(${tcp.headerLength})] [|tcp]`;
  }
  const payload = bytes.subarray(tcp.payloadOffset, tcp.payloadOffset + length);
  if ((tcp.flags & TCP_RST) !== 0 && options.verbose > 0) return text + resetText(payload, length);
  if (HTTP_PORTS.has(tcp.sourcePort) || HTTP_PORTS.has(tcp.destinationPort)) {
    text += httpText(payload, options.verbose, length);
  }
  return text;
}
