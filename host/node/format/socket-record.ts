/**
 * Sockets and their tcp_info as plain objects, read from the words that the engine writes
 * (SocketWord and TcpInfo of assembly/abi.ts). JSON carries them on the control socket.
 * Called by the stack's socket listing, the control socket, ss.ts and tests. RFC 9293 §3.3.2.
 */
import {
  Congestion, HandleKind, SocketWord, State, TcpInfo, Timer,
} from '../../../assembly/abi.js';
import { ipv4Text, ipv6Text } from '../decode/bytes.js';

/** A field of tcp_info: u32, or u64 as a number (exact to 2⁵³). Units as in assembly/abi.ts. */
type InfoField = Exclude<keyof typeof TcpInfo, 'WORDS'>;
type Whole<Name extends string> = Name extends `${infer Stem}_lo` ? Stem
  : Name extends `${string}_hi` ? never : Name;

/** tcp_info by Linux's names; pairs of words are one number. */
export type TcpInfoRecord = { [Name in Whole<InfoField>]: number };

/** What a socket holds in memory, by the letters of ss's skmem. Bytes. */
export interface SocketMemory {
  /** Unread, received. */
  r: number;
  /** Receive buffer. */
  rb: number;
  /** In flight to the link. */
  t: number;
  /** Send buffer. */
  tb: number;
  /** Held beyond what is used now. */
  f: number;
  /** Written, not acknowledged. */
  w: number;
  /** Options and records. */
  o: number;
  /** Backlog. */
  bl: number;
  /** Drops. */
  d: number;
}

export interface SocketRecord {
  /** Undefined where there is none: half-open, TIME-WAIT, orphan. */
  handle: { kind: 'connection' | 'listener'; index: number; generation: number } | undefined;
  state: State;
  family: 4 | 6;
  /** Text; "::" of a listener means all addresses of both families unless v6only. */
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
  v6only?: boolean;
  /** Bytes; of a listener: connections that wait for accept. */
  recvQ: number;
  /** Bytes; of a listener: its backlog. */
  sendQ: number;
  timer: Timer;
  /** Milliseconds until the timer fires. */
  timerMs: number;
  retransmits: number;
  memoryBytes: number;
  memory?: SocketMemory;
  info?: TcpInfoRecord;
}

/**
 * tcp_info from the TcpInfo.WORDS words that tcpInfo wrote to RESULT. Words that are missing (an
 * older engine) read as zero.
 */
export function tcpInfoFromWords(words: Uint32Array): TcpInfoRecord {
  const info: Record<string, number> = {};
  for (const [name, index] of Object.entries(TcpInfo)) {
    if (typeof index !== 'number' || name === 'WORDS' || name.endsWith('_hi')) continue;
    const word = words[index] ?? 0;
    if (name.endsWith('_lo')) info[name.slice(0, -3)] = (words[index + 1] ?? 0) * 2 ** 32 + word;
    else info[name] = word;
  }
  return info as TcpInfoRecord;
}

/**
 * An address of four words as they lie in the engine's memory: the sixteen bytes in network order,
 * an IPv4 address as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
 */
export function addressFromWords(words: Uint32Array, at: number): { family: 4 | 6; text: string } {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) view.setUint32(4 * i, words[at + i] ?? 0, true);
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0)
    && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return { family: 4, text: ipv4Text(bytes, 12) };
  return { family: 6, text: ipv6Text(bytes, 0) };
}

/** One record of tcpNext, from the SocketWord.WORDS words in RESULT; `info` if it was asked for. */
export function socketFromWords(words: Uint32Array, info?: Uint32Array): SocketRecord {
  const word = (index: SocketWord) => words[index] ?? 0;
  const local = addressFromWords(words, SocketWord.local0);
  const remote = addressFromWords(words, SocketWord.remote0);
  const kind = word(SocketWord.kind);
  const record: SocketRecord = {
    handle: kind === 0 ? undefined : {
      kind: kind === HandleKind.Listener ? 'listener' : 'connection',
      index: word(SocketWord.index), generation: word(SocketWord.generation),
    },
    state: word(SocketWord.state), family: local.family,
    localAddress: local.text, localPort: word(SocketWord.localPort),
    remoteAddress: remote.text, remotePort: word(SocketWord.remotePort),
    recvQ: word(SocketWord.recvQ), sendQ: word(SocketWord.sendQ), timer: word(SocketWord.timer),
    timerMs: Math.round(word(SocketWord.timerUs) / 1000),
    retransmits: word(SocketWord.retransmits), memoryBytes: word(SocketWord.memoryBytes),
  };
  if (info !== undefined) record.info = tcpInfoFromWords(info);
  return record;
}

/** "cubic" and its like. */
export function congestionName(congestion: number): string {
  return Congestion[congestion] ?? '';
}
