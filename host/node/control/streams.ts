/**
 * The two endless answers of the control socket: /v1/dump as pcapng, /v1/trace as lines of JSON. A
 * reader that is slow loses records, is told how many, and never makes the stack wait. Called by
 * server.ts; ends with the client or the server.
 */

import type { TraceRecord } from '../../core/trace.js';
import { PcapngSink, SNAPLEN_MAX, SNAPLEN_MIN } from '../capture/index.js';
import { numberIn } from './json.js';
import type { Exchange } from './server.js';

/** How often the trace ring is looked at, ms: its 4,096 records last far longer. */
const TRACE_POLL_MS = 20;
/** Bytes of trace that may wait for a slow reader. */
const TRACE_QUEUE_BYTES = 1 << 20;

/** Packets from now on. `?snaplen=N` keeps N bytes of each. */
export function streamDump({ running, response, query }: Exchange): void {
  const snaplen = numberIn(query.get('snaplen'), 'snaplen', SNAPLEN_MIN, SNAPLEN_MAX, SNAPLEN_MAX);
  response.writeHead(200, { 'Content-Type': 'application/x-pcapng' });
  response.flushHeaders();
  const { capture, link: { name } } = running;
  const end = capture.add(new PcapngSink(response, { name, snaplen, link: capture.link }));
  response.on('close', end);
}

/** What a trace record is on the wire: the engine's, with the wall clock. */
export interface TraceLine extends TraceRecord {
  /** µs since 1970. */
  wallUs: number;
}

/** Trace records from now on; `{"kind":"Lost","count":N}` where some were overwritten. */
export function streamTrace({ running, response }: Exchange): void {
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  response.flushHeaders();
  const reader = running.stack.trace();
  const originUs = Math.round(performance.timeOrigin * 1000);
  let lostTold = 0;
  let lostHere = 0;
  const timer = setInterval(() => {
    reader.read((record) => {
      if (response.writableLength > TRACE_QUEUE_BYTES) {
        lostHere++;
        return;
      }
      const line: TraceLine = { ...record, wallUs: originUs + record.timeUs };
      response.write(`${JSON.stringify(line)}\n`);
    });
    const lost = reader.lost + lostHere;
    if (lost === lostTold || response.writableLength > TRACE_QUEUE_BYTES) return;
    response.write(`${JSON.stringify({ kind: 'Lost', count: lost - lostTold })}\n`);
    lostTold = lost;
  }, TRACE_POLL_MS);
  response.on('close', () => clearInterval(timer));
}
