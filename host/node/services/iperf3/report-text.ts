/**
 * The lines that iperf3 prints, its columns as iperf3 3.12 has them, so that scripts which read
 * them go on working. Called by client.ts and server.ts. Formats only.
 */

import type { Interval } from './measurement.js';
import type { EndRow } from './results.js';
import type { DataStream } from './data-stream.js';

const BYTE_UNITS = ['Bytes', 'KBytes', 'MBytes', 'GBytes', 'TBytes'];
const BIT_UNITS = ['bits', 'Kbits', 'Mbits', 'Gbits', 'Tbits'];
const SEPARATOR = '- '.repeat(25).trimEnd();

/** Four significant places and a unit: `1.10 GBytes` (steps of 1024), `9.42 Gbits` (of 1000). */
export function withUnit(amount: number, kind: 'bytes' | 'bits'): string {
  const [step, units] = kind === 'bytes' ? [1024, BYTE_UNITS] : [1000, BIT_UNITS];
  let value = amount;
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  const places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(places).padStart(4)} ${units[unit]}`;
}

export interface TextReportOptions {
  log: (line: string) => void;
  role: 'client' | 'server';
  bidir: boolean;
  /** Streams of one direction. */
  parallel: number;
}

interface Figures {
  label: string;
  sender: boolean;
  start: number;
  end: number;
  bytes: number;
  retransmits: number | undefined;
  cwnd?: number | undefined;
}

/** Writes the lines of one test. */
export class TextReport {
  #o: TextReportOptions;
  #headerShown = false;

  constructor(options: TextReportOptions) {
    this.#o = options;
  }

  connected(stream: DataStream): void {
    const { localAddress, localPort, remoteAddress, remotePort } = stream.socket;
    this.#o.log(`${label(stream.shown)} local ${plain(localAddress)} port ${localPort ?? 0} `
      + `connected to ${plain(remoteAddress)} port ${remotePort ?? 0}`);
  }

  interval({ rows, omitted }: Interval): void {
    const note = omitted ? '(omitted)' : '';
    if (!this.#headerShown) this.#header(rows.some((row) => row.info), true);
    else if (this.#o.parallel > 1) this.#o.log(SEPARATOR);
    this.#headerShown = true;
    for (const sender of this.#directions()) {
      const own = rows.filter((row) => row.stream.sender === sender);
      if (own.length === 0) continue;
      for (const { stream, start, end, bytes, retransmits, info } of own) {
        this.#line({
          label: label(stream.shown), sender, start, end, bytes,
          retransmits: info && retransmits, cwnd: info?.snd_cwnd_bytes,
        }, note);
      }
      if (own.length === 1) continue;
      const counted = own.some((row) => row.info);
      this.#line({
        label: '[SUM]', sender, start: own[0]!.start, end: own[0]!.end, bytes: sum(own, 'bytes'),
        retransmits: counted ? sum(own, 'retransmits') : undefined,
      }, note);
    }
  }

  /**
   * The lines after the test. Before the exchange a side knows its own half only, and prints that.
   * @param halves 'both' on a client that has the server's results
   */
  summary(rows: readonly EndRow[], halves: 'own' | 'both'): void {
    this.#o.log(SEPARATOR);
    this.#header(rows.some((row) => row.retransmits !== undefined), false);
    for (const sender of this.#directions()) {
      const own = rows.filter((row) => row.stream.sender === sender);
      if (own.length === 0) continue;
      for (const row of own) this.#ends(row, label(row.stream.shown), halves);
      if (own.length > 1) this.#ends(sumEnds(own), '[SUM]', halves);
    }
  }

  #ends(row: EndRow, name: string, halves: 'own' | 'both'): void {
    const { sender } = row.stream;
    if (sender || halves === 'both') {
      this.#line({
        label: name, sender, start: 0, end: row.sentSeconds, bytes: row.sentBytes,
        retransmits: row.retransmits,
      }, 'sender');
    }
    if (!sender || halves === 'both') {
      this.#line({
        label: name, sender, start: 0, end: row.receivedSeconds, bytes: row.receivedBytes,
        retransmits: undefined,
      }, 'receiver');
    }
  }

  /** The client's senders come first on both sides. */
  #directions(): boolean[] {
    return this.#o.role === 'client' ? [true, false] : [false, true];
  }

  #header(retransmits: boolean, cwnd: boolean): void {
    const role = this.#o.bidir ? '[Role]' : '';
    const more = retransmits ? `         Retr${cwnd ? '  Cwnd' : ''}` : '';
    this.#o.log(`[ ID]${role} Interval           Transfer     Bitrate${more}`);
  }

  #line(f: Figures, note: string): void {
    const role = this.#o.bidir
      ? `[${f.sender ? 'TX' : 'RX'}-${this.#o.role === 'client' ? 'C' : 'S'}]` : '';
    const times = `${f.start.toFixed(2).padStart(6)}-${f.end.toFixed(2).padEnd(6)} sec`;
    const transfer = withUnit(f.bytes, 'bytes');
    const bitrate = withUnit(bitsPerSecond(f.bytes, f.end - f.start), 'bits');
    const cwnd = f.cwnd === undefined ? '' : `   ${withUnit(f.cwnd, 'bytes')}       `;
    const columns = f.retransmits === undefined ? ''
      : `  ${String(f.retransmits).padStart(3)}${cwnd || ' '.repeat(13)}`;
    const end = `${columns || ' '.repeat(18)}${note}`;
    this.#o.log(`${f.label}${role} ${times}  ${transfer}  ${bitrate}/sec${end}`);
  }
}

/** Zero for an interval of no length. */
export function bitsPerSecond(bytes: number, seconds: number): number {
  return seconds > 0 ? (bytes * 8) / seconds : 0;
}

/** The sum of streams of one direction; retransmits are unknown when any is. */
export function sumEnds(rows: readonly EndRow[]): EndRow {
  const known = rows.every((row) => row.retransmits !== undefined);
  return {
    stream: rows[0]!.stream,
    sentBytes: sum(rows, 'sentBytes'),
    sentSeconds: rows[0]!.sentSeconds,
    retransmits: known ? rows.reduce((total, row) => total + row.retransmits!, 0) : undefined,
    receivedBytes: sum(rows, 'receivedBytes'),
    receivedSeconds: rows[0]!.receivedSeconds,
  };
}

function sum<K extends string>(rows: readonly Record<K, number>[], key: K): number {
  return rows.reduce((total, row) => total + row[key], 0);
}

function label(shown: number): string {
  return `[${String(shown).padStart(3)}]`;
}

/** iperf3 shows an IPv4-mapped address as IPv4. */
export function plain(address: string | undefined): string {
  return (address ?? '?').replace(/^::ffff:(?=\d+\.)/i, '');
}
