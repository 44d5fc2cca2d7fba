/**
 * The client of `ackorn start`: the kernel's TCP in a second process, or, on a wire, a second stack
 * in this one. Both fetch a page over HTTP and report what came. Called by commands/start.ts.
 */

import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Stack } from '../stack.js';
import { CommandError } from './errors.js';
import type { FetchReport } from './fetch-page.js';

const PROGRAM = fileURLToPath(new URL('fetch-page.js', import.meta.url));

/** Fetches with the kernel's TCP. @throws CommandError with what the process said */
export function fetchWithKernel(url: string): Promise<FetchReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, url], { stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
    child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString(); });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(out) as FetchReport);
      else reject(new CommandError(`the page could not be fetched: ${err.trim()}`));
    });
  });
}

/** Fetches with a stack of ours. */
export async function fetchWithStack(stack: Stack, url: URL): Promise<FetchReport> {
  const began = performance.now();
  const socket = await stack.open({ address: url.hostname, port: Number(url.port || 80) });
  return await new Promise((resolve, reject) => {
    // Without an agent there is no keep-alive: the demonstration shows a close.
    const request = http.get(url, { createConnection: () => socket }, (response) => {
      const hash = createHash('sha256');
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        bytes += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode ?? 0, bytes, sha256: hash.digest('hex'),
        ms: performance.now() - began,
      }));
    });
    request.on('error', reject);
  });
}
