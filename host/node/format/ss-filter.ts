/**
 * Which sockets `ss` shows: its state names and its expressions, `sport = :80 and dst 10.0.0.0/8`.
 * Called by ss.ts and the CLI. Expressions are turned into postfix order by precedence (not before
 * and before or) with an explicit stack, so nothing is recursive and depth costs no stack.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { State } from '../../../assembly/abi.js';
import type { SocketRecord } from './socket-record.js';

/** What the user typed cannot be understood; the message says which word. */
export class SsFilterError extends Error {}

const bit = (state: State) => 1 << state;
const ALL = Object.values(State).reduce<number>(
  (set, state) => (typeof state === 'number' ? set | bit(state) : set), 0,
);
const IDLE = bit(State.LISTEN) | bit(State.CLOSE);
const BUCKET = bit(State.SYN_RECV) | bit(State.TIME_WAIT);
/** What ss shows by default. */
export const STATES_DEFAULT = ALL & ~(IDLE | BUCKET);
export const STATES_LISTENING = IDLE;
export const STATES_ALL = ALL;

const STATE_SETS = new Map<string, number>([
  ['established', bit(State.ESTABLISHED)], ['syn-sent', bit(State.SYN_SENT)],
  ['syn-recv', bit(State.SYN_RECV)], ['syn-rcv', bit(State.SYN_RECV)],
  ['fin-wait-1', bit(State.FIN_WAIT1)], ['fin-wait-2', bit(State.FIN_WAIT2)],
  ['time-wait', bit(State.TIME_WAIT)], ['unconnected', bit(State.CLOSE)],
  ['close', bit(State.CLOSE)], ['closed', bit(State.CLOSE)],
  ['close-wait', bit(State.CLOSE_WAIT)], ['last-ack', bit(State.LAST_ACK)],
  ['listening', bit(State.LISTEN)], ['listen', bit(State.LISTEN)],
  ['closing', bit(State.CLOSING)], ['all', ALL], ['connected', ALL & ~IDLE],
  ['synchronized', ALL & ~IDLE & ~bit(State.SYN_SENT)], ['bucket', BUCKET],
  ['big', ALL & ~BUCKET],
]);

/** The set of states (bits by State) that a name of `ss state NAME` means. */
export function statesOf(name: string): number {
  const set = STATE_SETS.get(name.toLowerCase());
  if (set === undefined) throw new SsFilterError(`wrong state name: ${name}`);
  return set;
}

export type SocketTest = (socket: SocketRecord) => boolean;
type Compare = (a: number, b: number) => boolean;

const COMPARE = new Map<string, Compare>([
  ['=', (a, b) => a === b], ['==', (a, b) => a === b], ['eq', (a, b) => a === b],
  ['!=', (a, b) => a !== b], ['ne', (a, b) => a !== b], ['neq', (a, b) => a !== b],
  ['<', (a, b) => a < b], ['lt', (a, b) => a < b], ['>', (a, b) => a > b],
  ['gt', (a, b) => a > b], ['<=', (a, b) => a <= b], ['le', (a, b) => a <= b],
  ['leq', (a, b) => a <= b], ['>=', (a, b) => a >= b], ['ge', (a, b) => a >= b],
  ['geq', (a, b) => a >= b],
]);

function portOf(text: string): number {
  const digits = text.startsWith(':') ? text.slice(1) : text;
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port > 65535) throw new SsFilterError(`bad port: ${text}`);
  return port;
}

/** The bits of an address, as a number of 32 or 128 bits. */
function addressBits(address: string): bigint {
  if (isIPv4(address)) {
    return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  }
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  let text = address;
  if (dotted !== null) {
    const low = addressBits4(dotted[2] ?? '');
    text = `${dotted[1]}${(low >> 16).toString(16)}:${(low & 0xffff).toString(16)}`;
  }
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right].reduce(
    (sum, group) => sum * 65536n + BigInt(Number.parseInt(group, 16)), 0n,
  );
}

function addressBits4(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** 1 bracketed, 2 any, 3 IPv4, 4 IPv6; 5 prefix length; 6 port. */
const HOST = new RegExp('^(?:\\[([^\\]]+)\\]|(\\*)|(\\d+\\.\\d+\\.\\d+\\.\\d+)|([0-9a-fA-F:.]+))?'
  + '(?:/(\\d+))?(?::(\\d+))?$');

/** `10.0.0.0/8`, `10.0.0.1:80`, `[fd00::1]:80`, `fd00::/64`, `*:80`. */
function hostTest(text: string, field: 'src' | 'dst'): SocketTest {
  const parts = HOST.exec(text);
  const address = parts?.[1] ?? parts?.[3] ?? parts?.[4];
  const family = address === undefined ? 0 : isIPv4(address) ? 4 : isIPv6(address) ? 6 : -1;
  if (parts === null || family < 0) throw new SsFilterError(`bad address: ${text}`);
  const size = family === 6 ? 128 : 32;
  const prefix = parts[5] === undefined ? size : Number(parts[5]);
  if (prefix > size) throw new SsFilterError(`bad prefix: ${text}`);
  const port = parts[6] === undefined ? undefined : portOf(parts[6]);
  const shift = BigInt(size - prefix);
  const wanted = address === undefined ? 0n : addressBits(address) >> shift;
  return (socket) => {
    const own = field === 'src' ? socket.localAddress : socket.remoteAddress;
    const ownPort = field === 'src' ? socket.localPort : socket.remotePort;
    if (port !== undefined && ownPort !== port) return false;
    if (address === undefined) return true;
    return (isIPv4(own) ? 4 : 6) === family && addressBits(own) >> shift === wanted;
  };
}

interface Cursor {
  words: string[];
  at: number;
}

function take(cursor: Cursor, what: string): string {
  const word = cursor.words[cursor.at++];
  if (word === undefined) throw new SsFilterError(`${what} expected at the end of the filter`);
  return word;
}

/** One condition: `sport = :80`, `dport >= 1024`, `src 10.0.0.1`, `dst = [::1]:80`. */
function condition(cursor: Cursor): SocketTest {
  const field = take(cursor, 'a condition');
  if (field === 'sport' || field === 'dport') {
    let word = take(cursor, 'an operator or a port');
    // Without an operator, "=" is meant, as in ss: `sport :80`.
    const operator = COMPARE.get(word) ?? COMPARE.get('=')!;
    if (COMPARE.has(word)) word = take(cursor, 'a port');
    const port = portOf(word);
    if (field === 'sport') return (socket) => operator(socket.localPort, port);
    return (socket) => operator(socket.remotePort, port);
  }
  if (field === 'src' || field === 'dst') {
    let word = take(cursor, 'an address');
    const negated = word === '!=' || word === 'ne';
    if (negated || ['=', '==', 'eq'].includes(word)) word = take(cursor, 'an address');
    const test = hostTest(word, field);
    return negated ? (socket) => !test(socket) : test;
  }
  throw new SsFilterError(`unknown word in the filter: ${field}`);
}

const PRECEDENCE = new Map([['or', 1], ['and', 2], ['not', 3]]);
const SPELLINGS = new Map([['|', 'or'], ['||', 'or'], ['&', 'and'], ['&&', 'and'], ['!', 'not']]);

/** Applies the operators on top of the stack that bind at least as tightly as `level`. */
function reduce(operators: string[], values: SocketTest[], level: number): void {
  while (operators.length > 0) {
    const top = operators.at(-1) ?? '(';
    if (top === '(' || (PRECEDENCE.get(top) ?? 0) < level) return;
    operators.pop();
    const right = values.pop();
    const left = top === 'not' ? right : values.pop();
    if (left === undefined || right === undefined) {
      throw new SsFilterError(`nothing to apply "${top}" to`);
    }
    if (top === 'not') values.push((socket) => !right(socket));
    else if (top === 'and') values.push((socket) => left(socket) && right(socket));
    else values.push((socket) => left(socket) || right(socket));
  }
}

/**
 * A filter expression as a test. `words` is the command line's rest; words may hold blanks, and
 * parentheses need none around them. An empty filter lets everything pass.
 * Throws SsFilterError with the word that is not understood.
 */
export function parseFilter(words: string[]): SocketTest {
  const list = words.join(' ').replace(/([()])/g, ' $1 ').split(/\s+/).filter((w) => w !== '');
  if (list.length === 0) return () => true;
  const cursor: Cursor = { words: list, at: 0 };
  const values: SocketTest[] = [];
  const operators: string[] = [];
  let wantsValue = true;
  while (cursor.at < list.length) {
    const raw = list[cursor.at] ?? '';
    const word = SPELLINGS.get(raw) ?? raw;
    if (wantsValue && (word === 'not' || word === '(')) {
      operators.push(word);
      cursor.at++;
    } else if (wantsValue) {
      values.push(condition(cursor));
      wantsValue = false;
    } else if (word === ')') {
      reduce(operators, values, 0);
      if (operators.pop() !== '(') throw new SsFilterError('")" without "("');
      cursor.at++;
    } else {
      // Two conditions side by side mean "and", as in ss.
      const operator = word === 'or' || word === 'and' ? word : 'and';
      reduce(operators, values, PRECEDENCE.get(operator) ?? 0);
      operators.push(operator);
      if (word === operator) cursor.at++;
      wantsValue = true;
    }
  }
  if (wantsValue) throw new SsFilterError('the filter ends too early');
  reduce(operators, values, 0);
  const [test] = values;
  if (operators.length > 0 || values.length !== 1 || test === undefined) {
    throw new SsFilterError('the filter ends too early');
  }
  return test;
}
