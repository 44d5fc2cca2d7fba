/**
 * Reads the engine's record classes out of its sources: names, types, comments, and the offsets
 * that AssemblyScript gives them (each field at the next multiple of its size). Called by
 * tools/records.ts; tests/records.test.ts has the compiler confirm every offset.
 */
import type { TextFile } from './tidy/source.js';

/** One field, or a group of consecutive numbered ones (`cc0 … cc12`). */
export interface Field {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly bytes: number;
  /** Its comment in one line; empty without one. */
  readonly comment: string;
  /** The `// -- group` heading before it, once. */
  readonly group: string;
}

/** A class of plain data. `bytes` is the end of its last field, as offsetof<T>() gives it. */
export interface RecordClass {
  readonly name: string;
  readonly path: string;
  readonly exported: boolean;
  readonly fields: readonly Field[];
  readonly bytes: number;
}

const SIZES: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

/** The text of a comment that ends where `lines` end: without its slashes and stars. */
function commentText(lines: readonly string[]): string {
  const bare = lines.join(' ').replaceAll(/\/\*\*|\*\/|^\s*\*|\s\*\s/g, ' ');
  return bare.replaceAll(/\s+/g, ' ').trim();
}

interface Body {
  readonly line: string;
  readonly index: number;
}

/** Collects the fields of a class body. */
function fieldsOf(path: string, body: readonly Body[]): Field[] {
  const fields: Field[] = [];
  let comment: string[] = [];
  let inComment = false;
  let group = '';
  let end = 0;
  for (const { line, index } of body) {
    if (/^\s*\/\/= /.test(line)) continue; // a citation: which requirement the field is for
    const heading = /^\s*\/\/ -- (.+)$/.exec(line)?.[1];
    const field = /^\s*(\w+): (\w+);(?:\s*\/\/ (.*))?$/.exec(line);
    if (heading !== undefined) {
      group = heading;
    } else if (inComment || line.trimStart().startsWith('/**')) {
      if (!inComment) comment = [];
      comment.push(line);
      inComment = !line.includes('*/');
    } else if (field !== null) {
      const [, name = '', type = '', after = ''] = field;
      const bytes = SIZES[type];
      if (bytes === undefined) throw new Error(`${path}:${index + 1} has a field of type ${type}`);
      const offset = Math.ceil(end / bytes) * bytes;
      fields.push({ name, type, offset, bytes, comment: commentText(comment) || after, group });
      end = offset + bytes;
      comment = [];
      group = '';
    } else if (!/^\s*(\/\/.*)?$/.test(line)) {
      throw new Error(`${path}:${index + 1} is no field: ${line.trim()}`);
    }
  }
  return fields;
}

/** The `@unmanaged` classes of a file that have fields. */
export function recordClasses({ path, text }: TextFile): RecordClass[] {
  const lines = text.split('\n');
  const classes: RecordClass[] = [];
  lines.forEach((line, at) => {
    const head = /^(export )?class (\w+) \{$/.exec(line);
    if (head === null || lines[at - 1]?.trim() !== '@unmanaged') return;
    const end = lines.indexOf('}', at);
    const body = lines.slice(at + 1, end).map((each, n) => ({ line: each, index: at + 1 + n }));
    if (body.some((each) => /^ {2}(?:get |set |@|\w+\()/.test(each.line))) return; // a wire view
    const fields = fieldsOf(path, body);
    const last = fields.at(-1);
    if (last === undefined) return;
    const [, exported, name = ''] = head;
    const bytes = last.offset + last.bytes;
    classes.push({ name, path, exported: exported !== undefined, fields, bytes });
  });
  return classes;
}

/** The text between `/*` and its end of the comment in which `phrase` stands, without the stars. */
export function quotedComment({ path, text }: TextFile, phrase: string): string[] {
  const at = text.indexOf(phrase);
  const begin = text.lastIndexOf('/*', at);
  const end = text.indexOf('*/', at);
  if (at < 0 || begin < 0 || end < 0) throw new Error(`${path} has no comment with "${phrase}"`);
  const lines = text.slice(begin, end).split('\n').slice(1);
  const bare = lines.map((line) => line.replace(/^\s*\*/, '').trimEnd())
    .filter((line) => line !== '');
  const indent = Math.min(...bare.map((line) => /^ */.exec(line)?.[0].length ?? 0));
  return bare.map((line) => line.slice(indent));
}
