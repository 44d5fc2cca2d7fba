/**
 * GET /v1/tcp with `Upgrade: ackorn-tcp`: one connection of the running stack as a stream of bytes,
 * for `nc`. `?connect=ADDRESS:PORT` opens, `?listen=PORT` waits for one peer. After 101 the bytes
 * are the connection's, both half closes included. Called by server.ts.
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { oneLine } from '../cli/errors.js';
import type { StackSocket } from '../socket.js';
import type { Stack } from '../stack.js';

export const UPGRADE = 'ackorn-tcp';

const STATUS = new Map([[400, 'Bad Request'], [404, 'Not Found'], [502, 'Bad Gateway']]);

function refuse(client: Duplex, status: number, error: unknown): void {
  const code = (error as { code?: string }).code ?? 'EINVAL';
  const body = `${JSON.stringify({ error: { code, message: oneLine(error) } })}\n`;
  client.end(`HTTP/1.1 ${status} ${STATUS.get(status) ?? ''}\r\nConnection: close\r\n`
    + 'Content-Type: application/json\r\n'
    + `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function named(address: string | undefined, port: number | undefined): string {
  return address?.includes(':') === true ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Ties both streams together. An error of either ends the other: RST where data may be lost. */
function join(client: Duplex, socket: StackSocket, head: Buffer): void {
  client.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n'
    + `Upgrade: ${UPGRADE}\r\n`
    + `Ackorn-Local: ${named(socket.localAddress, socket.localPort)}\r\n`
    + `Ackorn-Remote: ${named(socket.remoteAddress, socket.remotePort)}\r\n\r\n`);
  if (head.length > 0) socket.write(head);
  socket.on('error', () => client.destroy());
  client.on('close', () => {
    if (!socket.writableEnded || !socket.readableEnded) socket.destroy();
  });
  client.pipe(socket);
  socket.pipe(client);
}

/** `1.2.3.4:80` or `[::1]:80`. */
function endpointOf(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null) throw new Error(`connect=${text}: ADDRESS:PORT is wanted`);
  return { address: match[1] ?? match[2] ?? '', port: Number(match[3]) };
}

function connect(stack: Stack, client: Duplex, head: Buffer, where: string): void {
  const socket = stack.connect({ ...endpointOf(where), allowHalfOpen: true });
  const failed = (error: Error): void => refuse(client, 502, error);
  const gone = (): void => void socket.destroy();
  client.once('close', gone);
  socket.once('error', failed);
  socket.once('connect', () => {
    socket.off('error', failed);
    client.off('close', gone);
    join(client, socket, head);
  });
}

function listen(stack: Stack, client: Duplex, head: Buffer, where: string): void {
  const port = Number(where);
  const server = stack.listen({ port, allowHalfOpen: true, maxConnections: 1 });
  const gone = (): void => void server.close();
  client.once('close', gone);
  server.once('connection', (socket) => {
    client.off('close', gone);
    if (server.listening) server.close();
    join(client, socket, head);
  });
}

/** The upgrade's handler; the client's socket is ours from here on. */
export function connectThrough(
  stack: Stack, request: IncomingMessage, client: Duplex, head: Buffer,
): void {
  client.on('error', () => client.destroy());
  try {
    const url = new URL(request.url ?? '/', 'http://stack');
    const to = url.searchParams.get('connect');
    const on = url.searchParams.get('listen');
    if (url.pathname !== '/v1/tcp' || request.headers.upgrade !== UPGRADE) {
      refuse(client, 404, new Error(`only /v1/tcp can be upgraded, to ${UPGRADE}`));
    } else if (to !== null) connect(stack, client, head, to);
    else if (on !== null) listen(stack, client, head, on);
    else throw new Error('connect=ADDRESS:PORT or listen=PORT is wanted');
  } catch (error) {
    refuse(client, 400, error);
  }
}
