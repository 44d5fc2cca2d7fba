/**
 * Where control sockets lie: $XDG_RUNTIME_DIR/ackorn/NAME.sock, root's in /run/ackorn
 * (docs/control.md). Called by the control server, its clients and the CLI. A user without
 * XDG_RUNTIME_DIR gets a private folder under the temporary one.
 */

import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CommandError } from '../cli/errors.js';

/**
 * Overrides the folder; set for processes in a user namespace, where every user seems to be root.
 */
export const RUNTIME_VARIABLE = 'ACKORN_RUNTIME_DIR';
const SUFFIX = '.sock';

export function runtimeDirectory(): string {
  const given = process.env[RUNTIME_VARIABLE];
  if (given !== undefined && given !== '') return given;
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return '/run/ackorn';
  const user = process.env['XDG_RUNTIME_DIR'];
  if (user !== undefined && user !== '') return path.join(user, 'ackorn');
  return path.join(os.tmpdir(), `ackorn-${uid}`);
}

/** Makes the folder, for its owner alone. @throws CommandError when it is somebody else's */
export function makeRuntimeDirectory(): string {
  const directory = runtimeDirectory();
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid } = statSync(directory);
    if (uid !== (process.getuid?.() ?? uid)) throw new Error('it belongs to another user');
    chmodSync(directory, 0o700);
  } catch (error) {
    throw new CommandError(`control sockets cannot lie in ${directory}: ${
      (error as Error).message}; set ${RUNTIME_VARIABLE}`);
  }
  return directory;
}

export function socketPath(name: string): string {
  return path.join(runtimeDirectory(), name + SUFFIX);
}

/** Names of all sockets there, of live stacks and dead ones, in order. */
export function socketNames(): string[] {
  try {
    return readdirSync(runtimeDirectory())
      .filter((file) => file.endsWith(SUFFIX))
      .map((file) => file.slice(0, -SUFFIX.length)).sort();
  } catch {
    return [];
  }
}
