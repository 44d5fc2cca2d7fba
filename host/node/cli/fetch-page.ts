/**
 * The kernel's side of `ackorn start`: a process of its own inside the namespace, which fetches one
 * URL with Node's http, hence with the kernel's TCP, and prints one line of JSON. Ends when its
 * parent does. Started by kernel-client.ts.
 */

import { createHash } from 'node:crypto';
import http from 'node:http';

const TIMEOUT_MS = 10_000;

/** What the line of JSON says. */
export interface FetchReport {
  status: number;
  bytes: number;
  sha256: string;
  ms: number;
}

function main(url: string): void {
  process.stdin.on('end', () => process.exit(1)).resume();
  const began = performance.now();
  const fail = (error: Error): void => {
    process.stderr.write(`${error.message}\n`, () => process.exit(1));
  };
  // No keep-alive: the demonstration shows a close.
  const request = http.get(url, { agent: false, timeout: TIMEOUT_MS }, (response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    response.on('error', fail);
    response.on('end', () => {
      const report: FetchReport = {
        status: response.statusCode ?? 0, bytes, sha256: hash.digest('hex'),
        ms: performance.now() - began,
      };
      process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
    });
  });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
  request.on('error', fail);
}

main(process.argv[2] ?? '');
