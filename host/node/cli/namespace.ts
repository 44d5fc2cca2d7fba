/**
 * Network namespaces for the command line. Anonymous ones are held by processes: the CLI starts
 * itself again under unshare(1), so that not even SIGKILL leaves one. Named ones follow
 * ip-netns(8): a file under /run/netns, made here when it is absent and removed at the end. Called
 * by up and start. Never touches the host's own namespace.
 */

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { NativeError, callFailed } from '../addon/errors.js';
import { loadNative, nativeReasons } from '../addon/index.js';
import { RUNTIME_VARIABLE, runtimeDirectory } from '../control/paths.js';
import { CommandError } from './errors.js';

/** Set for the process inside; holds the kind. */
const INSIDE = 'ACKORN_NAMESPACE';
/** Set for the process inside: its other end is the process outside, and its end is ours. */
const LIFELINE_FD = 3;
const NAMED_FOLDER = '/run/netns';

export type AnonymousKind = 'root' | 'user';

const UNSHARE: Readonly<Record<AnonymousKind, readonly string[]>> = {
  root: ['--net'],
  user: ['--user', '--map-root-user', '--net'],
};

/** The kind of namespace that this process was started in by enterNamespace; read once. */
export const insideNamespace = process.env[INSIDE] as AnonymousKind | undefined;
delete process.env[INSIDE]; // what we start shall not believe that it is inside by our doing

const isRoot = (): boolean => process.getuid?.() === 0;

/** Why /dev/net/tun cannot be used, or undefined. Opening it makes no device. */
function tunObstacle(): string | undefined {
  if (loadNative() === undefined) {
    return `a TUN device needs the addon or koffi: ${nativeReasons().join('; ')}`;
  }
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO';
    return callFailed(code, 'open', '/dev/net/tun').message;
  }
}

/** The first line that a try of unshare complains with, or undefined. */
function unshareObstacle(kind: AnonymousKind): string | undefined {
  const tried = spawnSync('unshare', [...UNSHARE[kind], 'true'], { encoding: 'utf8' });
  if (tried.error !== undefined) {
    return `unshare(1) cannot be started (${tried.error.message}): install util-linux`;
  }
  if (tried.status === 0) return undefined;
  const said = tried.stderr.trim().split('\n', 1)[0] ?? '';
  return said === '' ? `unshare ended with ${String(tried.status)}` : said;
}

function userAdvice(said: string): string {
  const restricted = existsSync('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')
    ? ' (Ubuntu 24.04: sysctl kernel.apparmor_restrict_unprivileged_userns=0 allows it)' : '';
  return `this user may not make user namespaces: ${said}; run as root${restricted}`;
}

/** Which anonymous namespace can be had here, or every reason why none can, one line each. */
export function findNamespace(): { kind: AnonymousKind } | { reasons: string[] } {
  const reasons: string[] = [];
  const tun = tunObstacle();
  if (tun !== undefined) reasons.push(tun);
  const kind: AnonymousKind = isRoot() ? 'root' : 'user';
  const said = unshareObstacle(kind);
  if (said !== undefined) {
    reasons.push(kind === 'user' ? userAdvice(said)
      : `root may not make a network namespace here: ${said}; a container needs --privileged`);
  }
  return reasons.length === 0 ? { kind } : { reasons };
}

/**
 * Starts this command again inside a namespace of its own and ends when that one ends, with its
 * exit code. Signals go on to it; should we be killed, it sees our end of the pipe close.
 */
export async function enterNamespace(kind: AnonymousKind): Promise<number> {
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn('unshare', [...UNSHARE[kind], ...command], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    // Inside, every user is root: where sockets lie is decided out here.
    env: { ...process.env, [INSIDE]: kind, [RUNTIME_VARIABLE]: runtimeDirectory() },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill(signal));
  }
  return await new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new CommandError(`unshare cannot be started: ${error.message}`));
    });
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : os.constants.signals[signal]));
    });
  });
}

/** Inside only: calls back when the process outside is gone. */
export function watchOutside(onGone: () => void): void {
  if (insideNamespace === undefined) return;
  const lifeline = new net.Socket({ fd: LIFELINE_FD, readable: true, writable: false });
  lifeline.on('error', onGone);
  lifeline.on('close', onGone);
  lifeline.resume();
  lifeline.unref();
}

/** Sets up `lo`, which a new namespace has down. */
export function raiseLoopback(): void {
  loadNative()?.linkUp('lo', true);
}

function makeNamed(file: string): void {
  mkdirSync(NAMED_FOLDER, { recursive: true, mode: 0o755 });
  closeSync(openSync(file, 'wx', 0o444));
  const made = spawnSync('unshare', [`--net=${file}`, 'true'], { encoding: 'utf8' });
  if (made.status === 0) return;
  rmSync(file, { force: true });
  const said = made.error?.message ?? made.stderr.trim().split('\n', 1)[0] ?? '';
  throw new CommandError(`the namespace cannot be made: ${said}`);
}

function removeNamed(file: string): void {
  spawnSync('umount', [file]);
  rmSync(file, { force: true });
}

/**
 * Moves this thread into a named namespace, made when it is absent.
 * @returns what removes it again; nothing is removed that was there before
 * @throws CommandError, NativeError
 */
export function joinNamed(name: string): () => void {
  if (!isRoot()) throw new CommandError(`--netns ${name}: only root can use a named namespace`);
  const native = loadNative();
  if (native === undefined) {
    throw new NativeError('ENOSYS', 'native', `a namespace needs the addon or koffi: ${
      nativeReasons().join('; ')}`);
  }
  const file = `${NAMED_FOLDER}/${name}`;
  const made = !existsSync(file);
  if (made) makeNamed(file);
  try {
    native.joinNetworkNamespace(file);
    if (made) native.linkUp('lo', true);
  } catch (error) {
    if (made) removeNamed(file);
    throw error;
  }
  return () => {
    if (made) removeNamed(file);
  };
}
