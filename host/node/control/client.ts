/**
 * The other end of the control socket, for commands: finds the stack that is meant, asks, and
 * follows streams. Every failure is a CommandError of one line. Used by ss, nstat, dump, trace,
 * ping, nc, exec and iperf3.
 */

import http, { type IncomingMessage } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { CommandError, UsageError } from '../cli/errors.js';
import { isAlive } from './attach.js';
import { runtimeDirectory, socketNames, socketPath } from './paths.js';
import { UPGRADE } from './tcp.js';

/** Which stack a command is for. */
export interface StackChoice {
  name?: string;
  control?: string;
}

/** @throws CommandError when none runs or the named one does not; UsageError when several do */
export async function findSocket({ name, control }: StackChoice): Promise<string> {
  const wanted = control ?? (name === undefined ? undefined : socketPath(name));
  if (wanted !== undefined) {
    if (await isAlive(wanted)) return wanted;
    const what = control ?? `a stack named '${name}'`;
    throw new CommandError(`${what} is not running (ackorn up starts one)`);
  }
  const live: string[] = [];
  for (const candidate of socketNames()) {
    if (await isAlive(socketPath(candidate))) live.push(candidate);
  }
  const [only] = live;
  if (only === undefined) {
    throw new CommandError(`no stack is running (no live socket in ${runtimeDirectory()}): `
      + 'start one with ackorn up, or npm start');
  }
  if (live.length > 1) {
    throw new UsageError(`several stacks are running: ${live.join(', ')}; choose one with --name`);
  }
  return socketPath(only);
}

interface Ask {
  method?: string;
  path: string;
  body?: unknown;
  upgrade?: boolean;
}

function send(socketPathname: string, ask: Ask): http.ClientRequest {
  const body = ask.body === undefined ? undefined : JSON.stringify(ask.body);
  const request = http.request({
    path: ask.path, method: ask.method ?? 'GET',
    // Half open, for `nc`: a peer that has ended may still want to hear.
    createConnection: () => net.connect({ path: socketPathname, allowHalfOpen: true }),
    headers: {
      Host: 'stack', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(ask.upgrade === true ? { Connection: 'Upgrade', Upgrade: UPGRADE } : {}),
    },
  });
  request.end(body);
  return request;
}

async function wholeText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text;
}

async function refusal(response: IncomingMessage): Promise<CommandError> {
  const text = await wholeText(response);
  try {
    const { error } = JSON.parse(text) as { error: { message: string } };
    return new CommandError(error.message);
  } catch {
    return new CommandError(`the stack answers ${response.statusCode}`);
  }
}

/** The answer to come, its status 200; follow it or read it whole. */
export function open(path: string, ask: Ask): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = send(path, ask);
    request.once('error', (error) => {
      reject(new CommandError(`the stack does not answer: ${error.message}`));
    });
    request.once('response', (response) => {
      if (response.statusCode === 200) resolve(response);
      else refusal(response).then(reject, reject);
    });
  });
}

/** One document. */
export async function ask<T>(path: string, what: Ask): Promise<T> {
  return JSON.parse(await wholeText(await open(path, what))) as T;
}

/** Lines of JSON as they come. Ends quietly when the stack ends. */
export async function* lines<T>(response: IncomingMessage): AsyncGenerator<T, void, undefined> {
  let rest = '';
  try {
    for await (const chunk of response) {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) yield JSON.parse(part) as T;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
}

/** A connection of the stack as a stream, with what its headers say. */
export function upgrade(
  path: string, query: string,
): Promise<{ stream: Duplex; local: string; remote: string }> {
  return new Promise((resolve, reject) => {
    const request = send(path, { path: `/v1/tcp?${query}`, upgrade: true });
    request.once('error', (error) => {
      reject(new CommandError(`the stack does not answer: ${error.message}`));
    });
    request.once('response', (response) => {
      refusal(response).then(reject, reject);
    });
    request.once('upgrade', (response: IncomingMessage, stream: Duplex, head: Buffer) => {
      if (head.length > 0) stream.unshift(head);
      const header = (name: string): string => String(response.headers[name] ?? '');
      resolve({ stream, local: header('ackorn-local'), remote: header('ackorn-remote') });
    });
  });
}
