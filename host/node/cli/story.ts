/**
 * What crossed a link, told in its order: packets as `tcpdump -S` prints them with times relative
 * to the first, and between them the state changes and retransmissions of the engine's trace ring.
 * Collects while it listens, prints at the end. Used by commands/start.ts.
 */

import { describeTrace, type TraceRecord, type TraceReader } from '../../core/trace.js';
import { State } from '../../../assembly/abi.js';
import type { Capture, CaptureSink, WirePacket } from '../capture/index.js';
import { decodeFrame, TcpdumpPrinter } from '../decode/index.js';
import type { Stack } from '../stack.js';

/** Packets and records kept; a demonstration has some tens. */
const ENTRIES_MAX = 10_000;
const POLL_MS = 5;

interface Entry {
  /** µs since 1970. */
  timeUs: number;
  order: number;
  text: string;
}

/** The engine's words for a state change, as RFC 9293 writes the states. */
function stateText(record: TraceRecord): string {
  if (record.kind !== 'StateChange') return describeTrace(record);
  const name = (state: number): string => (State[state] ?? 'CLOSED').replace('_', '-')
    .replace('CLOSE', 'CLOSED').replace('CLOSED-WAIT', 'CLOSE-WAIT')
    .replace('SYN-RECV', 'SYN-RECEIVED').replace(/WAIT([12])/, 'WAIT-$1');
  return `${name(record.a)} -> ${name(record.b)}`;
}

/** Listens from its making to end(). */
export class Story implements CaptureSink {
  readonly #entries: Entry[] = [];
  readonly #printer = new TcpdumpPrinter({ absoluteSeq: true, timestamps: 'none' });
  readonly #trace: TraceReader;
  readonly #timer: NodeJS.Timeout;
  readonly #remove: () => void;
  /** States that connections came to, in order. */
  readonly states: number[] = [];

  constructor(capture: Capture, stack: Stack) {
    this.#trace = stack.trace();
    this.#remove = capture.add(this);
    this.#timer = setInterval(() => this.#read(), POLL_MS);
  }

  deliver(packet: WirePacket): void {
    const frame = decodeFrame(packet.bytes);
    if (frame.transport?.kind !== 'tcp') return;
    const note = packet.comment === undefined ? '' : `  [${packet.comment}]`;
    this.#add(Number(packet.timeUs), this.#printer.frameText(frame) + note);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #add(timeUs: number, text: string): void {
    if (this.#entries.length >= ENTRIES_MAX) return;
    this.#entries.push({ timeUs, order: this.#entries.length, text });
  }

  #read(): void {
    const originUs = performance.timeOrigin * 1000;
    this.#trace.read((record) => {
      if (record.kind === 'StateChange') this.states.push(record.b);
      this.#add(record.timeUs + originUs, `    ${stateText(record)}`);
    });
  }

  /** Stops listening. @returns the lines */
  end(): string[] {
    this.#read();
    this.#remove();
    // A packet that came in is older than the poll that it caused, what it caused to go out
    // younger.
    this.#entries.sort((a, b) => a.timeUs - b.timeUs || a.order - b.order);
    const first = this.#entries[0]?.timeUs ?? 0;
    return this.#entries.map(({ timeUs, text }) => {
      return `${((timeUs - first) / 1000).toFixed(3).padStart(9)} ms  ${text}`;
    });
  }
}
