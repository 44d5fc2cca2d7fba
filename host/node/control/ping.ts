/**
 * POST /v1/ping: echo requests from the running stack, RFC 792 and RFC 4443, each answer a line of
 * JSON. The engine sends and recognises, its trace ring tells; here is only the timing. Called by
 * server.ts.
 */

import { formatAddress, requireAddress } from '../../core/address.js';
import { EngineError } from '../../core/errors.js';
import type { TraceRecord } from '../../core/trace.js';
import { systemClock } from '../loop.js';
import { ControlRefusal, numberIn, readJson } from './json.js';
import type { Exchange } from './server.js';

/** How often the trace ring is read while an answer is awaited, ms. */
const POLL_MS = 1;
/** ICMP's header before the data. */
const HEADER_BYTES = 8;
let lastId = process.pid & 0xffff;

/** One line of the answer. Times in µs, bytes with the ICMP header. */
export type PingLine =
  | { type: 'sent'; sequence: number }
  | { type: 'reply'; from: string; sequence: number; bytes: number; ttl: number; rttUs: number }
  | { type: 'error'; from: string; sequence: number; icmpType: number; icmpCode: number }
  | { type: 'failed'; sequence: number; message: string }
  | { type: 'end'; elapsedUs: number };

interface PingRequest {
  address: string;
  count: number;
  intervalMs: number;
  timeoutMs: number;
  size: number;
}

function readRequest(body: Record<string, unknown>): PingRequest {
  const { address } = body;
  if (typeof address !== 'string') {
    throw new ControlRefusal(400, 'EINVAL', 'address: an IP address is wanted');
  }
  try {
    requireAddress(address);
  } catch (error) {
    throw new ControlRefusal(400, 'EINVAL', (error as Error).message);
  }
  return {
    address,
    count: numberIn(body['count'], 'count', 1, 1_000_000, 4),
    intervalMs: numberIn(body['intervalMs'], 'intervalMs', 2, 3_600_000, 1000),
    timeoutMs: numberIn(body['timeoutMs'], 'timeoutMs', 1, 3_600_000, 1000),
    size: numberIn(body['size'], 'size', 0, 65_000, 56),
  };
}

/** One run: sends in its interval, hears what the trace tells, ends after the last answer. */
class Pinging {
  readonly #id = lastId = (lastId + 1) & 0xffff;
  readonly #sentUs = new Map<number, number>();
  readonly #beganUs = systemClock.nowUs();
  #next = 1;
  #dueUs = this.#beganUs;
  #lastSentUs = 0;
  /** Who sent the error that the next record tells of. */
  #from = '';

  constructor(
    readonly request: PingRequest, readonly exchange: Exchange,
    readonly line: (line: PingLine) => void,
  ) {}

  /** @returns false when it is over */
  turn(nowUs: number): boolean {
    const { count, intervalMs, timeoutMs } = this.request;
    if (this.#next <= count && nowUs >= this.#dueUs) {
      this.#send(nowUs);
      this.#dueUs += intervalMs * 1000;
    }
    if (this.#next <= count) return true;
    if (this.#sentUs.size > 0 && nowUs < this.#lastSentUs + timeoutMs * 1000) return true;
    this.line({ type: 'end', elapsedUs: nowUs - this.#beganUs });
    return false;
  }

  #send(nowUs: number): void {
    const { stack } = this.exchange.running;
    const sequence = this.#next++;
    try {
      stack.engine.echo(requireAddress(this.request.address), this.#id, sequence & 0xffff,
        this.request.size);
      this.#sentUs.set(sequence & 0xffff, nowUs);
      this.#lastSentUs = nowUs;
      this.line({ type: 'sent', sequence });
      stack.driver.request();
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.line({ type: 'failed', sequence, message: error.message });
    }
  }

  hear(record: TraceRecord): void {
    if (record.kind === 'EchoErrorFrom') {
      this.#from = formatAddress([record.index, record.a, record.b, record.c]);
    }
    if (record.kind !== 'EchoReply' && record.kind !== 'EchoError') return;
    const sentUs = this.#sentUs.get(record.a);
    if (record.index !== this.#id || sentUs === undefined) return;
    if (record.kind === 'EchoError') {
      this.line({
        type: 'error', from: this.#from, sequence: record.a, icmpType: record.b,
        icmpCode: record.c,
      });
    } else {
      this.line({
        type: 'reply', from: this.request.address, sequence: record.a,
        bytes: record.c + HEADER_BYTES, ttl: record.b, rttUs: Math.max(0, record.timeUs - sentUs),
      });
    }
    this.#sentUs.delete(record.a);
  }
}

/** The route. */
export async function ping(exchange: Exchange): Promise<void> {
  const { request, response, running } = exchange;
  const wanted = readRequest(await readJson(request));
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  const line = (value: PingLine): void => {
    response.write(`${JSON.stringify(value)}\n`);
  };
  const reader = running.stack.trace();
  const pinging = new Pinging(wanted, exchange, line);
  const timer = setInterval(() => {
    reader.read((record) => pinging.hear(record));
    if (pinging.turn(systemClock.nowUs())) return;
    clearInterval(timer);
    response.end();
  }, POLL_MS);
  response.on('close', () => clearInterval(timer));
}
