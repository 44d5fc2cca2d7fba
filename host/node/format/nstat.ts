/**
 * Counters as `nstat` of iproute2 prints them: text with its 32-wide names, or --json.
 * Called by `ackorn nstat`, the control socket and tests. Names are assembly/abi.ts's, which are
 * Linux's; patterns are the shell's, without regard to case, as nstat hands them to fnmatch.
 */
import { Counter } from '../../../assembly/abi.js';

export interface CounterRow {
  name: string;
  value: bigint | number;
  /** Per second, averaged; nstat's third column. Default 0. */
  rate?: number;
}

export interface NstatOptions {
  /** -z: zeros too. */
  zeros?: boolean;
  json?: boolean;
  /** -p: indented JSON. */
  pretty?: boolean;
  /** Shell patterns; none means all names. */
  patterns?: string[];
  /** Without -a: values at the last call, to print what was added since. */
  since?: ReadonlyMap<string, bigint | number>;
}

/** Counters by name from COUNTERS, pairs of u32 words, low word first. Exact beyond 2⁵³. */
export function countersFromWords(words: Uint32Array): CounterRow[] {
  const rows: CounterRow[] = [];
  for (let i = 0; i < Counter.COUNT; i++) {
    const value = (BigInt(words[2 * i + 1] ?? 0) << 32n) | BigInt(words[2 * i] ?? 0);
    rows.push({ name: Counter[i] ?? `Counter${i}`, value });
  }
  return rows;
}

/** True if a `[...]` set, which begins at pattern[at], holds the character; and where it ends. */
function inSet(pattern: string, at: number, character: string): { hit: boolean; end: number } {
  const negated = pattern[at + 1] === '!' || pattern[at + 1] === '^';
  const from = at + (negated ? 2 : 1);
  const end = pattern.indexOf(']', from + 1); // a "]" right at the start is a member
  if (end < 0) return { hit: character === '[', end: at };
  let hit = false;
  for (let i = from; i < end; i++) {
    const low = pattern[i] ?? '';
    if (pattern[i + 1] === '-' && i + 2 < end) {
      hit ||= character >= low && character <= (pattern[i + 2] ?? '');
      i += 2;
    } else hit ||= character === low;
  }
  return { hit: hit !== negated, end };
}

/**
 * Shell pattern against a whole name: `*`, `?`, `[a-z]`, `[!a]`, `\x`; case does not matter.
 * Goes back to the last star only, so its time is at most the product of both lengths.
 */
export function matchesGlob(pattern: string, name: string): boolean {
  const glob = pattern.toLowerCase();
  const text = name.toLowerCase();
  let [p, t] = [0, 0];
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const want = glob[p];
    let next = -1;
    if (want === '*') {
      star = p++;
      resume = t;
      continue;
    }
    if (want === '?') next = p + 1;
    else if (want === '[') {
      const { hit, end } = inSet(glob, p, text[t] ?? '');
      if (hit) next = end + 1;
    } else if (want === '\\' && p + 1 < glob.length) {
      if (glob[p + 1] === text[t]) next = p + 2;
    } else if (want !== undefined && want === text[t]) next = p + 1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (glob[p] === '*') p++;
  return p === glob.length;
}

/** A 64-bit number as JSON has it, without losing digits. */
function jsonText(rows: { name: string; value: bigint }[], pretty: boolean): string {
  const [line, blank] = pretty ? ['\n', ' '] : ['', ''];
  const indent = (depth: number) => (pretty ? '    '.repeat(depth) : '');
  const fields = rows.map(({ name, value }) => (
    `${line}${indent(2)}${JSON.stringify(name)}:${blank}${value}`
  ));
  const inner = fields.length === 0 ? '{}' : `{${fields.join(',')}${line}${indent(1)}}`;
  return `{${line}${indent(1)}"kernel":${blank}${inner}${line}}\n`;
}

/** The whole output. */
export function formatNstat(counters: Iterable<CounterRow>, options: NstatOptions = {}): string {
  const { patterns = [], since } = options;
  const rows: { name: string; value: bigint; rate: number }[] = [];
  for (const { name, value, rate = 0 } of counters) {
    const before = since?.get(name);
    const now = BigInt(value);
    // A counter that went back was reset with its stack: all of it is new.
    const added = before === undefined || BigInt(before) > now ? now : now - BigInt(before);
    if (options.zeros !== true && added === 0n && rate === 0) continue;
    if (patterns.length > 0 && !patterns.some((pattern) => matchesGlob(pattern, name))) continue;
    rows.push({ name, value: added, rate });
  }
  if (options.json === true) return jsonText(rows, options.pretty === true);
  const lines = rows.map(({ name, value, rate }) => (
    `${name.padEnd(32)}${String(value).padEnd(16)}${rate.toFixed(1).padStart(6)}\n`
  ));
  return `#kernel\n${lines.join('')}`;
}
