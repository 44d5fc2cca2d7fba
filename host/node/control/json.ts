/**
 * JSON in and out of the control socket's server, and its refusals. Bodies are bounded. Used by
 * server.ts and its routes.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';

const BODY_BYTES_MAX = 64 * 1024;

/** An answer that is an error: `{"error":{"code":"ENOENT","message":"…"}}`. */
export class ControlRefusal extends Error {
  constructor(
    readonly status: number, readonly code: string, message: string, readonly allow?: string,
  ) {
    super(message);
  }
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** @throws ControlRefusal for a body that is too long or no JSON object */
export async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw new ControlRefusal(413, 'EMSGSIZE', 'the body is too long');
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString() || '{}');
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Told below, as any other wrong body.
  }
  throw new ControlRefusal(400, 'EINVAL', 'the body is no JSON object');
}

/** A whole number out of a body or query. @throws ControlRefusal */
export function numberIn(
  value: unknown, name: string, low: number, high: number, otherwise: number,
): number {
  if (value === undefined || value === null) return otherwise;
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= low && number <= high) {
    return number;
  }
  throw new ControlRefusal(400, 'EINVAL', `${name}: a whole number from ${low} to ${high}`);
}
