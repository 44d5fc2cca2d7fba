/**
 * What can go wrong between a host and the engine, as three things that are never mixed: a call
 * that the engine refuses (EngineError, with Linux's errno), an engine that stopped because an
 * invariant broke (EngineFault), and a module or configuration that cannot be used
 * (EngineSetupError). Thrown by core/engine.ts; portable.
 */

import { Errno, Fault } from '../../assembly/abi.js';

const ERRNO_NAMES = new Map<number, string>();
for (const [name, value] of Object.entries(Errno)) {
  if (typeof value === 'number') ERRNO_NAMES.set(value, name);
}

export type ErrnoName = keyof typeof Errno;

const MESSAGES: Partial<Record<ErrnoName, string>> = {
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'address not available',
  EBADF: 'the handle is closed',
  ECONNABORTED: 'connection aborted',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EHOSTUNREACH: 'no route to host',
  EINVAL: 'invalid argument',
  EISCONN: 'already connected',
  ENETDOWN: 'network is down',
  ENETUNREACH: 'network is unreachable',
  ENFILE: 'no free connection record',
  ENOBUFS: 'no buffer space available',
  ENOMEM: 'out of arena memory',
  ENOPROTOOPT: 'unknown option',
  ENOTCONN: 'not connected',
  EOPNOTSUPP: 'operation not supported',
  EPIPE: 'broken pipe',
  ETIMEDOUT: 'connection timed out',
};

/** Name of an Errno of the engine; `E123` for a number it does not define. */
export function errnoName(errno: number): ErrnoName {
  return (ERRNO_NAMES.get(errno) ?? `E${errno}`) as ErrnoName;
}

export function errnoMessage(code: ErrnoName): string {
  return MESSAGES[code] ?? code;
}

/** The engine refused a call. `errno` is negative, as in Node's own system errors. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: ErrnoName;
  readonly errno: number;
  readonly syscall: string;

  /** @param result the negative result of the call */
  constructor(result: number, syscall: string) {
    const code = errnoName(-result);
    super(`${syscall} ${code}: ${errnoMessage(code)}`);
    this.code = code;
    this.errno = result;
    this.syscall = syscall;
  }
}

/** The engine trapped: its memory is not to be trusted any more, only to be looked at. */
export class EngineFault extends Error {
  override readonly name = 'EngineFault';
  /** Name of Fault in abi.ts: the part whose invariant broke; None for a trap without a code. */
  readonly fault: keyof typeof Fault;
  readonly detail: number;

  constructor(code: number, detail: number, cause: unknown) {
    const fault = (Fault[code] ?? 'None') as keyof typeof Fault;
    const trap = cause instanceof Error ? cause.message : String(cause);
    super(`the engine stopped: ${fault} (code ${code}, detail ${detail}): ${trap}`, { cause });
    this.fault = fault;
    this.detail = detail;
  }
}

/** The module or its configuration cannot be used; the message says what to do. */
export class EngineSetupError extends Error {
  override readonly name = 'EngineSetupError';
}
