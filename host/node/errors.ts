/**
 * Errors of sockets in the shape of Node's own: code, errno, syscall, address, port, and the
 * message that `node:net` would give. Used by socket.ts, server.ts and stack.ts.
 */

import { EngineError, errnoName, type ErrnoName } from '../core/errors.js';

/** As NodeJS.ErrnoException, with what net adds. */
export interface SocketError extends Error {
  code: string;
  /** Negative, as libuv's. */
  errno: number;
  syscall: string;
  address?: string;
  port?: number;
  localAddress?: string;
  localPort?: number;
}

export interface ErrorPlace {
  address?: string | undefined;
  port?: number | undefined;
}

/** @param errno positive or negative number of Errno */
export function socketError(errno: number, syscall: string, place: ErrorPlace = {}): SocketError {
  const code: ErrnoName = errnoName(Math.abs(errno));
  const { address, port } = place;
  const where = address === undefined ? '' : ` ${address}${port === undefined ? '' : `:${port}`}`;
  const error = new Error(`${syscall} ${code}${where}`) as SocketError;
  error.code = code;
  error.errno = -Math.abs(errno);
  error.syscall = syscall;
  if (address !== undefined) error.address = address;
  if (port !== undefined) error.port = port;
  return error;
}

/** Turns what the engine refused into a socket's error; other errors pass as they are. */
export function fromEngine(error: unknown, syscall: string, place: ErrorPlace = {}): Error {
  if (error instanceof EngineError) return socketError(error.errno, syscall, place);
  return error as Error;
}

/** An error with a code of Node's own making (ERR_…). */
export function codedError(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code });
}
