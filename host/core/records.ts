/**
 * Plain records of what the engine tells: tcp_info, sockets, pools, trace entries, by the names of
 * abi.ts. Read from RESULT and the trace ring by core/engine.ts and core/trace.ts; printed by ss,
 * nstat and trace. Units are those of abi.ts: µs unless the name says ms. Portable, no decisions.
 */

import { Congestion, SocketWord, State, TcpInfo, Timer } from '../../assembly/abi.js';
import { formatAddress, type AddressWords } from './address.js';

export type StateName = keyof typeof State;
export type TimerName = keyof typeof Timer;
export type CongestionName = keyof typeof Congestion;

type WordNames = Exclude<keyof typeof TcpInfo, 'WORDS'>;
type Low<Name> = Name extends `${infer Base}_lo` ? Base : never;
type Wide = Low<WordNames>;
type Narrow = Exclude<WordNames, `${Wide}_lo` | `${Wide}_hi` | 'state' | 'congestion'>;

/** Linux's struct tcp_info without the `tcpi_` prefix; 64-bit fields are one number. */
export type TcpInfoRecord = { [Name in Narrow | Wide]: number } & {
  state: StateName;
  congestion: CongestionName;
};

const INFO_NAMES = Object.keys(TcpInfo).filter(
  (name) => Number.isNaN(Number(name)) && name !== 'WORDS',
) as WordNames[];

/** @param words RESULT after tcpInfo */
export function readTcpInfo(words: Uint32Array): TcpInfoRecord {
  const record: Record<string, number | string> = {};
  for (const name of INFO_NAMES) {
    const value = words[TcpInfo[name]] as number;
    if (name.endsWith('_hi')) continue;
    if (name.endsWith('_lo')) {
      const high = words[TcpInfo[name] + 1] as number;
      record[name.slice(0, -3)] = value + high * 2 ** 32;
    } else {
      record[name] = value;
    }
  }
  record['state'] = State[record['state'] as number] ?? 'CLOSE';
  record['congestion'] = Congestion[record['congestion'] as number] ?? 'reno';
  return record as TcpInfoRecord;
}

/** One end of a connection. */
export interface EndpointRecord {
  readonly words: AddressWords;
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

/** Reads four address words and a port that stand together. */
export function readEndpoint(words: Uint32Array, at: number): EndpointRecord {
  const address: AddressWords = [
    words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number,
  ];
  const text = formatAddress(address);
  return {
    words: address,
    address: text,
    family: text.includes(':') ? 'IPv6' : 'IPv4',
    port: words[at + 4] as number,
  };
}

/** One line of `ss`. */
export interface SocketRecord {
  /** What the handle is; 'none' for half-open, TIME-WAIT and orphaned connections. */
  readonly kind: 'none' | 'connection' | 'listener';
  readonly index: number;
  readonly generation: number;
  readonly state: StateName;
  readonly local: EndpointRecord;
  readonly remote: EndpointRecord;
  /** Bytes; of a listener, connections that wait for accept. */
  readonly recvQ: number;
  /** Bytes; of a listener, its backlog. */
  readonly sendQ: number;
  readonly timer: TimerName;
  readonly timerUs: number;
  readonly retransmits: number;
  readonly memoryBytes: number;
}

const HANDLE_KINDS = ['none', 'connection', 'listener'] as const;

/** @param words RESULT after tcpNext */
export function readSocket(words: Uint32Array): SocketRecord {
  const word = (at: SocketWord): number => words[at] as number;
  return {
    kind: HANDLE_KINDS[word(SocketWord.kind)] ?? 'none',
    index: word(SocketWord.index),
    generation: word(SocketWord.generation),
    state: (State[word(SocketWord.state)] ?? 'CLOSE') as StateName,
    local: readEndpoint(words, SocketWord.local0),
    remote: readEndpoint(words, SocketWord.remote0),
    recvQ: word(SocketWord.recvQ),
    sendQ: word(SocketWord.sendQ),
    timer: (Timer[word(SocketWord.timer)] ?? 'off') as TimerName,
    timerUs: word(SocketWord.timerUs),
    retransmits: word(SocketWord.retransmits),
    memoryBytes: word(SocketWord.memoryBytes),
  };
}

/** Names of the pools of poolUse, in its order. */
export const POOL_NAMES = [
  'connections', 'halfOpen', 'timeWait', 'listeners', 'extras', 'segments', 'arena', 'held',
] as const;
export type PoolName = (typeof POOL_NAMES)[number];

/**
 * `arena` and `held` (waiting for the host to return descriptors) are bytes, the others records.
 */
export interface PoolRecord {
  readonly used: number;
  readonly capacity: number;
  readonly highWater: number;
  readonly refused: number;
}
