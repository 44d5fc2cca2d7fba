/**
 * Gives a running stack its control socket: chooses its name, replaces what a dead stack left, and
 * refuses to take a live one's place. Called by up and start.
 */

import { existsSync, rmSync } from 'node:fs';
import net from 'node:net';
import { insideNamespace } from '../cli/namespace.js';
import { CommandError } from '../cli/errors.js';
import type { Running } from '../runtime/running.js';
import { TunLink } from '../link/tun.js';
import { makeRuntimeDirectory, socketPath } from './paths.js';
import type { StackFacts } from './queries.js';
import { controlServer } from './server.js';

const NAME = 'ackorn';
const NAMES_MAX = 1000;

export interface Control {
  readonly name: string;
  readonly path: string;
  close(): Promise<void>;
}

/** True when somebody listens on a Unix socket. */
export function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // A queue that is full is somebody's; refused and absent are nobody's.
      resolve(error.code === 'EAGAIN' || error.code === 'EACCES');
    });
  });
}

async function chooseName(wanted: string | undefined): Promise<string> {
  if (wanted !== undefined) {
    if (!await isAlive(socketPath(wanted))) return wanted;
    throw new CommandError(`a stack named '${wanted}' is running: choose another --name`);
  }
  for (let number = 0; number < NAMES_MAX; number++) {
    const name = `${NAME}${number}`;
    if (!await isAlive(socketPath(name))) return name;
  }
  throw new CommandError(`${NAMES_MAX} stacks are running: say --name`);
}

function netnsOf(running: Running): StackFacts['netns'] {
  const { netns } = running.board;
  if (!(running.device instanceof TunLink)) return { kind: 'none' };
  if (netns.kind === 'named') return { kind: 'named', name: netns.name };
  return { kind: insideNamespace ?? 'host' };
}

function listening(server: net.Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new CommandError(`the control socket cannot be made: ${error.message}`));
    });
    // bind(2) happens within listen(): nobody sees the file with another mode.
    const umask = process.umask(0o177);
    try {
      server.listen({ path }, () => resolve());
    } finally {
      process.umask(umask);
    }
  });
}

/**
 * Opens the socket. @throws CommandError when the name or path is a live stack's, or no place for
 * it
 */
export async function serveControl(running: Running): Promise<Control> {
  const { board } = running;
  let path = board.control;
  if (path === undefined) makeRuntimeDirectory();
  const name = await chooseName(board.name ?? (path === undefined ? undefined : board.device));
  path ??= socketPath(name);
  if (existsSync(path)) {
    if (await isAlive(path)) {
      throw new CommandError(`${path} is a running stack's: choose another --control`);
    }
    rmSync(path);
  }
  const server = controlServer(running, {
    name, startedAt: Date.now(), netns: netnsOf(running),
  });
  await listening(server, path);
  server.unref();
  return {
    name, path,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}
