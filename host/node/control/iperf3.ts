/**
 * POST /v1/iperf3 with `{"args":["-c","10.99.0.1"]}`: iperf3 inside the running stack, so that its
 * bytes cross no socket but ours. Lines come back as JSON, `{"out":…}`, `{"err":…}`, at the end
 * `{"exit":0}`; a client that leaves ends the test. The Node host's own: others answer 404. Called
 * by server.ts.
 */

import { iperf3Command } from '../services/iperf3/index.js';
import { stackTransport } from '../transport.js';
import { ControlRefusal, readJson } from './json.js';
import type { Exchange } from './server.js';

export type Iperf3Line = { out: string } | { err: string } | { exit: number };

/** The route. */
export async function runIperf3({ running, request, response }: Exchange): Promise<void> {
  const { args } = await readJson(request);
  if (!Array.isArray(args) || !args.every((item) => typeof item === 'string')) {
    throw new ControlRefusal(400, 'EINVAL', 'args: a list of texts is wanted');
  }
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  response.flushHeaders();
  const line = (value: Iperf3Line): void => {
    if (!response.destroyed) response.write(`${JSON.stringify(value)}\n`);
  };
  const controller = new AbortController();
  response.on('close', () => controller.abort());
  const exit = await iperf3Command(args as string[], {
    transport: stackTransport(running.stack), signal: controller.signal,
    out: (text) => line({ out: text }), err: (text) => line({ err: text }),
  });
  line({ exit });
  response.end();
}
