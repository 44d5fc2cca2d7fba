/**
 * The control socket's server: HTTP/1.1 with JSON over a Unix socket of mode 0600, docs/control.md.
 * Routes by method and path; streams and upgrades are in files of their own. Made by attach.ts. May
 * never slow the stack or end its process, whatever a client does.
 */

import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { UsageError, oneLine } from '../cli/errors.js';
import type { Running } from '../runtime/running.js';
import { readJson, sendJson, ControlRefusal } from './json.js';
import { runIperf3 } from './iperf3.js';
import { ping } from './ping.js';
import {
  counters, links, pools, setSysctls, sockets, stack, sysctls, type StackFacts,
} from './queries.js';
import { streamDump, streamTrace } from './streams.js';
import { connectThrough } from './tcp.js';

/** What a route is given. */
export interface Exchange {
  running: Running;
  facts: StackFacts;
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
}

type Route = (exchange: Exchange) => void | Promise<void>;

/** A GET that answers with one document. */
const document = (make: (exchange: Exchange) => unknown): Route => (exchange) => {
  sendJson(exchange.response, 200, make(exchange));
};

const ROUTES = new Map<string, Route>([
  ['GET /v1/stack', document(({ running, facts }) => stack(running, facts))],
  ['GET /v1/links', document(({ running }) => links(running))],
  ['GET /v1/sockets', document(({ running }) => sockets(running.stack))],
  ['GET /v1/counters', document(({ running }) => counters(running.stack))],
  ['GET /v1/pools', document(({ running }) => pools(running.stack))],
  ['GET /v1/sysctl', document(({ running }) => sysctls(running.stack))],
  ['PUT /v1/sysctl', async ({ running, request, response }) => {
    sendJson(response, 200, setSysctls(running.stack, await readJson(request)));
  }],
  ['GET /v1/dump', streamDump],
  ['GET /v1/trace', streamTrace],
  ['POST /v1/ping', ping],
  ['POST /v1/iperf3', runIperf3],
]);
const METHODS = ['GET', 'PUT', 'POST'];

function route(method: string, pathname: string): Route {
  const found = ROUTES.get(`${method} ${pathname}`);
  if (found !== undefined) return found;
  const allowed = METHODS.filter((other) => ROUTES.has(`${other} ${pathname}`));
  if (allowed.length > 0) {
    throw new ControlRefusal(405, 'EMETHOD', `${method} is not allowed here`, allowed.join(', '));
  }
  if (pathname === '/v1/tcp') throw new ControlRefusal(426, 'EUPGRADE', 'send Upgrade: ackorn-tcp');
  throw new ControlRefusal(404, 'ENOENT', `there is no ${pathname}; docs/control.md has the list`);
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const message = oneLine(error);
  if (error instanceof ControlRefusal) {
    if (error.allow !== undefined) response.setHeader('Allow', error.allow);
    sendJson(response, error.status, { error: { code: error.code, message } });
  } else {
    const code = (error as { code?: string }).code ?? 'EINVAL';
    sendJson(response, error instanceof UsageError ? 400 : 500, { error: { code, message } });
  }
}

/** The server, not listening yet. */
export function controlServer(running: Running, facts: StackFacts): http.Server {
  const server = http.createServer((request, response) => {
    response.on('error', () => response.destroy());
    void (async () => {
      try {
        const url = new URL(request.url ?? '/', 'http://stack');
        const chosen = route(request.method ?? '', url.pathname);
        await chosen({ running, facts, request, response, query: url.searchParams });
      } catch (error) {
        refuse(response, error);
      }
    })();
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    connectThrough(running.stack, request, socket, head);
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}
