/**
 * From a request target (RFC 9112 §3.2) to a file below one directory, and never outside it: dot
 * segments, encoded slashes, NUL, bad percent-encoding and links that lead out are refused.
 * Called by http.ts. Names that begin with a dot are hidden, so that unfinished uploads are too.
 */

import { realpath } from 'node:fs/promises';
import path from 'node:path';

/** A refusal: the status to answer and one line for the reader. */
export class HttpRefusal extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export interface TargetPath {
  /** Decoded names below the directory; empty for the directory itself. */
  segments: string[];
  /** The target ended in a slash: a directory is meant. */
  trailingSlash: boolean;
}

/**
 * Takes a request target apart. Origin form and absolute form; the query is dropped.
 * @throws HttpRefusal 400 (not decodable, NUL, encoded slash) or 403 (dot segments)
 */
export function parseTarget(target: string): TargetPath {
  const originForm = target.replace(/^https?:\/\/[^/?#]*/i, '') || '/';
  const raw = originForm.split(/[?#]/, 1)[0]!;
  if (!raw.startsWith('/')) throw new HttpRefusal(400, 'The target is not a path.');
  const segments: string[] = [];
  for (const part of raw.split('/')) {
    const name = decodeSegment(part);
    if (name === '.' || name === '..') throw new HttpRefusal(403, 'Dot segments are not served.');
    if (name !== '') segments.push(name);
  }
  return { segments, trailingSlash: raw.endsWith('/') };
}

function decodeSegment(part: string): string {
  let name: string;
  try {
    name = decodeURIComponent(part);
  } catch {
    throw new HttpRefusal(400, 'The percent-encoding is broken.');
  }
  if (name.includes('\0')) throw new HttpRefusal(400, 'The path has a NUL in it.');
  if (name.includes('/') || name.includes(path.sep)) {
    throw new HttpRefusal(400, 'The path has an encoded slash in it.');
  }
  return name;
}

/** True for a name that is neither served, listed nor written. */
export function isHidden(name: string): boolean {
  return name.startsWith('.');
}

/** True when `file` is `root` or below it. Both must come from realpath. */
export function isInside(root: string, file: string): boolean {
  return file === root || file.startsWith(root.endsWith(path.sep) ? root : root + path.sep);
}

/**
 * The real path of what the segments name, every link followed.
 * @param root from realpath
 * @throws HttpRefusal 404 when there is none, or it is hidden, or a link leads out of `root`: one
 *   answer for all, so that nobody learns what exists outside
 */
export async function resolveInside(root: string, segments: readonly string[]): Promise<string> {
  const missing = new HttpRefusal(404, 'There is no such file.');
  if (segments.some(isHidden)) throw missing;
  let real: string;
  try {
    real = await realpath(path.join(root, ...segments));
  } catch {
    throw missing; // ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES
  }
  if (!isInside(root, real)) throw missing;
  return real;
}

/** The path to show and to redirect to, encoded again from its decoded names. */
export function encodePath(segments: readonly string[], directory: boolean): string {
  const joined = `/${segments.map(encodeURIComponent).join('/')}`;
  return directory && segments.length > 0 ? `${joined}/` : joined;
}
