/**
 * HTTP files, `--http 80=DIR` and `DIR:rw`: Node's own HTTP/1.1 server (RFC 9112) fed with the
 * transport's Duplex sockets, `send` for GET, HEAD, Range and the conditional requests (RFC 9110),
 * http-put.ts for PUT, a listing for directories. Called by `ackorn up`. May not let anything
 * outside DIR be read or written (http-path.ts), and no request may end the process.
 */

import { constants, type Dirent, type Stats } from 'node:fs';
import { access, readdir, realpath, stat } from 'node:fs/promises';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import send from 'send';
import {
  encodePath, HttpRefusal, isHidden, parseTarget, resolveInside, type TargetPath,
} from './http-path.js';
import { entityTag, put } from './http-put.js';
import { serve, type Service, type ServiceOptions, type Transport } from './seam.js';

/** A connection that moves no byte for so long is closed, in milliseconds. */
const IDLE_MS = 120_000;
const HEADERS_MS = 30_000;
const INDEX = 'index.html';

export interface HttpOptions extends ServiceOptions {
  directory: string;
  /** PUT is allowed. */
  writable?: boolean;
  /** How long the headers of a request may take to arrive, in milliseconds. */
  headersTimeoutMs?: number;
  /** One line per answered request: method, target, status, bytes sent. */
  log?: (line: string) => void;
}

type Answer = (
  request: IncomingMessage, response: ServerResponse, proceed: () => void,
) => void;

/**
 * Takes `80=DIR` or `80=DIR:rw` apart, as `ackorn up --http` has it.
 * @throws Error with one clear line
 */
export function parseHttpArgument(argument: string): HttpOptions {
  const match = /^(\d{1,5})=(.+?)(:rw|:ro)?$/.exec(argument);
  const port = Number(match?.[1]);
  if (!match || !(port >= 1 && port <= 65_535)) {
    throw new Error(`--http ${argument}: expected PORT=DIRECTORY or PORT=DIRECTORY:rw`);
  }
  return { port, directory: match[2]!, writable: match[3] === ':rw' };
}

/**
 * Starts the service.
 * @throws Error when the directory is missing, not readable, or (writable) not writable; or the
 *   transport's error when the port cannot be bound
 */
export async function httpServer(transport: Transport, options: HttpOptions): Promise<Service> {
  const root = await usableDirectory(options.directory, options.writable ?? false);
  const answer: Answer = (request, response, proceed) => {
    response.on('finish', () => logRequest(options, request, response));
    respond(root, options.writable ?? false, request, response, proceed)
      .catch((error: unknown) => refuse(request, response, error));
  };
  // An upload may take its time: what is bounded is silence, not length.
  const headersTimeout = options.headersTimeoutMs ?? HEADERS_MS;
  const server = http.createServer({
    requestTimeout: 0, headersTimeout, connectionsCheckingInterval: headersTimeout / 10,
  });
  server.setTimeout(IDLE_MS);
  // A client may end its side after its request (`nc -N`) and still wants the answer. Node knows
  // how, but only by this property that its documentation leaves out.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('request', (request, response) => answer(request, response, () => undefined));
  server.on('checkContinue', (request, response) => {
    answer(request, response, () => response.writeContinue());
  });
  const service = await serve(transport, options, (socket) => server.emit('connection', socket));
  // Without it Node does not watch for headers that never end: it never listens itself.
  server.emit('listening');
  return {
    port: service.port,
    async close() {
      await service.close();
      server.close();
    },
  };
}

async function usableDirectory(directory: string, writable: boolean): Promise<string> {
  const mode = constants.R_OK | constants.X_OK | (writable ? constants.W_OK : 0);
  try {
    const root = await realpath(directory);
    if (!(await stat(root)).isDirectory()) throw new Error('it is not a directory');
    await access(root, mode);
    return root;
  } catch (error) {
    throw new Error(`cannot serve ${directory}: ${(error as Error).message}`);
  }
}

async function respond(
  root: string,
  writable: boolean,
  request: IncomingMessage,
  response: ServerResponse,
  proceed: () => void,
): Promise<void> {
  const target = parseTarget(request.url ?? '/');
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      proceed();
      return get(root, target, request, response);
    case 'PUT':
      if (writable) {
        response.statusCode = await put(root, target, request, proceed);
        if (response.statusCode === 201) {
          response.setHeader('Location', encodePath(target.segments, false));
          response.setHeader('Content-Length', 0);
        }
        response.end();
        return;
      }
  }
  response.setHeader('Allow', writable ? 'GET, HEAD, PUT' : 'GET, HEAD');
  throw new HttpRefusal(405, 'This method is not allowed here.');
}

async function get(
  root: string,
  target: TargetPath,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const file = await resolveInside(root, target.segments);
  const found = await stat(file);
  if (found.isDirectory()) {
    if (!target.trailingSlash) {
      response.setHeader('Location', encodePath(target.segments, true));
      throw new HttpRefusal(301, 'It is a directory.');
    }
    const index = await resolveInside(root, [...target.segments, INDEX]).catch(() => undefined);
    if (index && (await stat(index)).isFile()) return sendFile(index, request, response);
    return sendListing(root, target, file, response);
  }
  // A FIFO or a device would block or never end.
  if (!found.isFile() || target.trailingSlash) throw new HttpRefusal(404, 'There is no such file.');
  return sendFile(file, request, response);
}

function sendFile(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const root = path.dirname(file);
    const name = encodeURIComponent(path.basename(file));
    // The real path may lead through hidden names above the directory served: those are not ours.
    const stream = send(request, `/${name}`, {
      root, index: false, dotfiles: 'allow', cacheControl: false,
    });
    stream.on('headers', (reply: ServerResponse, _path: string, stats: Stats) => {
      reply.setHeader('ETag', entityTag(stats));
      reply.setHeader('X-Content-Type-Options', 'nosniff');
    });
    stream.on('error', (error: Error & { status?: number; headers?: http.OutgoingHttpHeaders }) => {
      for (const [header, value] of Object.entries(error.headers ?? {})) {
        if (value !== undefined) response.setHeader(header, value);
      }
      reject(new HttpRefusal(error.status ?? 500, error.message));
    });
    stream.on('end', resolve);
    response.on('close', resolve);
    stream.pipe(response);
  });
}

async function sendListing(
  root: string,
  target: TargetPath,
  directory: string,
  response: ServerResponse,
): Promise<void> {
  const names: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const name = await listedName(root, directory, entry);
    if (name !== undefined) names.push(name);
  }
  const title = escapeHtml(`Index of /${target.segments.join('/')}`);
  const up = target.segments.length > 0 ? ['..'] : [];
  const items = [...up, ...names.sort()].map((name) => {
    const directoryMark = name.endsWith('/') || name === '..' ? '/' : '';
    const href = `./${encodeURIComponent(name.replace(/\/$/, ''))}${directoryMark}`;
    return `<li><a href="${href}">${escapeHtml(name)}</a></li>`;
  });
  const page = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    + `<title>${title}</title></head>\n<body><h1>${title}</h1>\n`
    + `<ul>\n${items.join('\n')}\n</ul></body></html>\n`;
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(page));
  response.setHeader('Content-Security-Policy', "default-src 'none'");
  response.end(page); // Node drops the body of a HEAD
}

/** The entry as shown, a directory with its slash; undefined for what a GET would refuse. */
async function listedName(
  root: string,
  directory: string,
  entry: Dirent,
): Promise<string | undefined> {
  if (isHidden(entry.name)) return undefined;
  if (entry.isFile()) return entry.name;
  if (entry.isDirectory()) return `${entry.name}/`;
  if (!entry.isSymbolicLink()) return undefined;
  const below = path.relative(root, directory).split(path.sep).filter((name) => name !== '');
  const real = await resolveInside(root, [...below, entry.name]).catch(() => undefined);
  const found = real === undefined ? undefined : await stat(real).catch(() => undefined);
  if (found?.isDirectory()) return `${entry.name}/`;
  return found?.isFile() ? entry.name : undefined;
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || request.socket.destroyed) {
    response.destroy(); // the answer, or the request, broke off half-way
    return;
  }
  const refusal = error instanceof HttpRefusal ? error : new HttpRefusal(500, 'It did not work.');
  const text = `${refusal.status} ${http.STATUS_CODES[refusal.status] ?? ''}: ${refusal.message}\n`;
  response.statusCode = refusal.status;
  // The client waits for our leave to send a body that nobody wants: on this connection one could
  // not tell its next bytes from a request. A body already on its way is read to its end by Node.
  if (request.headers.expect !== undefined && !request.complete) {
    response.setHeader('Connection', 'close');
  }
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}

function logRequest(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const bytes = response.getHeader('Content-Length') ?? '-';
  options.log?.(`${request.method} ${request.url} ${response.statusCode} ${bytes}`);
}

function escapeHtml(text: string): string {
  const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => named[character]!);
}
