/**
 * The words of `--impair`: loss=1%,delay=20ms,jitter=2ms,reorder=1%,dup=1%,corrupt=0.5%,
 * mark=1%,rate=10mbit,queue=64000,seed=7. Parsing only; link/impaired.ts does it. Called by
 * board.ts.
 */

import { UsageError } from '../cli/errors.js';

/** Shares from 0 to 1, times in µs; every field is for each direction. */
export interface ImpairSpec {
  loss?: number;
  delayUs?: number;
  jitterUs?: number;
  reorder?: number;
  duplicate?: number;
  corrupt?: number;
  /** Of ECN-capable packets: CE instead of a loss. */
  mark?: number;
  /** bit/s */
  rate?: number;
  /** Tail drop before the rate; 1,000 packets when absent. */
  queueBytes?: number;
  seed?: number;
}

function share(word: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
  if (value <= 1) return value;
  throw new UsageError(`--impair ${word}=${text}: a share such as 1% or 0.01 is wanted`);
}

const TIME_UNITS = new Map([['us', 1], ['ms', 1000], ['s', 1e6], ['', 1000]]);

function micros(word: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|)$/.exec(text);
  const value = Math.round(Number(match?.[1]) * (TIME_UNITS.get(match?.[2] ?? '') ?? 1));
  if (match !== null && value <= 60e6) return value;
  throw new UsageError(`--impair ${word}=${text}: a time such as 20ms is wanted, at most 60s`);
}

const RATE_UNITS = new Map([['', 1], ['bit', 1], ['kbit', 1e3], ['mbit', 1e6], ['gbit', 1e9]]);

function bits(word: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(|bit|kbit|mbit|gbit)$/i.exec(text);
  const value = Number(match?.[1]) * (RATE_UNITS.get(match?.[2]?.toLowerCase() ?? '') ?? 1);
  if (value >= 1000) return value;
  throw new UsageError(`--impair ${word}=${text}: a rate such as 10mbit is wanted, 1kbit or more`);
}

function bytes(word: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 1e9) return value;
  throw new UsageError(`--impair ${word}=${text}: bytes are wanted, 1 to 1000000000`);
}

function seed(word: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 0xffffffff) return value;
  throw new UsageError(`--impair ${word}=${text}: a whole number from 0 to 4294967295 is wanted`);
}

type Field = [name: keyof ImpairSpec, read: (word: string, text: string) => number];
const WORDS = new Map<string, Field>([
  ['loss', ['loss', share]], ['delay', ['delayUs', micros]], ['jitter', ['jitterUs', micros]],
  ['reorder', ['reorder', share]], ['dup', ['duplicate', share]],
  ['corrupt', ['corrupt', share]], ['mark', ['mark', share]], ['rate', ['rate', bits]],
  ['queue', ['queueBytes', bytes]], ['seed', ['seed', seed]],
]);

/** @throws UsageError that names the word */
export function parseImpair(text: string): ImpairSpec {
  const spec: ImpairSpec = {};
  for (const part of text.split(',')) {
    const [word = '', value = ''] = part.trim().split('=', 2);
    const field = WORDS.get(word);
    if (field === undefined) {
      const known = [...WORDS.keys()].join(', ');
      throw new UsageError(`--impair: unknown word '${word}' (known: ${known})`);
    }
    const [name, read] = field;
    if (spec[name] !== undefined) throw new UsageError(`--impair: ${word} is there twice`);
    spec[name] = read(word, value);
  }
  if (spec.queueBytes !== undefined && spec.rate === undefined) {
    throw new UsageError('--impair: queue= is the queue of a rate; say rate= too');
  }
  return spec;
}
