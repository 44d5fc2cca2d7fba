/**
 * PUT (RFC 9110 §9.3.4), atomically: into a hidden temporary file beside the target, fsync, rename,
 * fsync of the directory. A reader sees the old file or the new one, and a broken upload leaves
 * nothing. Called by http.ts once the method is known to be allowed; may not touch anything outside
 * the directory, so the parent is resolved through its links first and a link as target is
 * replaced.
 */

import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, rename, unlink, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import path from 'node:path';
import { HttpRefusal, isHidden, resolveInside, type TargetPath } from './http-path.js';

/** Weak, because a file edited in place twice within a clock tick of the kernel looks the same. */
export function entityTag(file: Stats): string {
  const parts = [file.ino, file.size, Math.floor(file.mtimeMs * 1000)];
  return `W/"${parts.map((part) => part.toString(36)).join('-')}"`;
}

/**
 * Stores the request's body.
 * @param proceed called when the body is wanted: it answers `Expect: 100-continue`
 * @returns 201 when the file is new, 204 when it was replaced
 * @throws HttpRefusal 400, 403, 409, 412, 413, 507; or the stream's error when the upload broke
 */
export async function put(
  root: string,
  target: TargetPath,
  request: IncomingMessage,
  proceed: () => void,
): Promise<201 | 204> {
  const name = target.segments.at(-1);
  if (name === undefined || target.trailingSlash) {
    throw new HttpRefusal(409, 'A directory cannot be written.');
  }
  if (target.segments.some(isHidden)) throw new HttpRefusal(403, 'Hidden names are not written.');
  if (request.headers['content-range'] !== undefined) {
    throw new HttpRefusal(400, 'A part of a file cannot be written.'); // RFC 9110 §14.5
  }
  const parent = await resolveParent(root, target.segments.slice(0, -1));
  const file = path.join(parent, name);
  const before = await lstat(file).catch(() => undefined);
  if (before?.isDirectory()) throw new HttpRefusal(409, 'There is a directory of that name.');
  checkPreconditions(request, before);
  await store(parent, file, request, proceed);
  return before ? 204 : 201;
}

async function resolveParent(root: string, segments: readonly string[]): Promise<string> {
  try {
    const parent = await resolveInside(root, segments);
    if ((await lstat(parent)).isDirectory()) return parent;
  } catch (error) {
    if (!(error instanceof HttpRefusal)) throw error;
  }
  throw new HttpRefusal(409, 'There is no such directory to write into.');
}

/** RFC 9110 §13.2.2 in its order. Our ETags are weak, and If-Match compares strongly (§8.8.3.2). */
function checkPreconditions(request: IncomingMessage, before: Stats | undefined): void {
  const failed = new HttpRefusal(412, 'The file is not as the request requires.');
  const { 'if-match': match, 'if-none-match': noneMatch } = request.headers;
  const unmodified = Date.parse(request.headers['if-unmodified-since'] ?? '');
  if (match !== undefined) {
    if (match.trim() !== '*' || !before) throw failed;
  } else if (before && Math.floor(before.mtimeMs / 1000) * 1000 > unmodified) {
    throw failed;
  }
  if (noneMatch === undefined || !before) return;
  const current = entityTag(before).replace(/^W\//, '');
  const named = noneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (named.includes('*') || named.includes(current)) throw failed;
}

async function store(
  parent: string,
  file: string,
  request: IncomingMessage,
  proceed: () => void,
): Promise<void> {
  const temporary = path.join(parent, `.put-${randomBytes(9).toString('hex')}`);
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const handle = await open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o666)
    .catch(refuseWrite);
  try {
    proceed();
    await writeFile(handle, request); // an upload that breaks off throws here
    await handle.sync();
    await handle.close();
    await rename(temporary, file);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    refuseWrite(error);
  }
  await syncDirectory(parent);
}

/** Without it the rename may be lost with the power. Not every system opens a directory. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY).catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function refuseWrite(error: unknown): never {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      throw new HttpRefusal(403, 'The file system does not allow it.');
    case 'ENAMETOOLONG':
      throw new HttpRefusal(400, 'The name is too long.');
    case 'ENOSPC':
    case 'EDQUOT':
      throw new HttpRefusal(507, 'There is no space left.');
    case 'EFBIG':
      throw new HttpRefusal(413, 'The file is too large.');
    case 'EISDIR':
    case 'ENOTEMPTY':
      throw new HttpRefusal(409, 'There is a directory of that name.');
    default:
      throw error;
  }
}
