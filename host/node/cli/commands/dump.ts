/**
 * `ackorn dump`: what crosses the running stack's link, as tcpdump prints it, or into a pcapng
 * file, or read from one. What an impaired link did to a packet stands at the end of its line.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { Command } from 'commander';
import { findSocket, open } from '../../control/client.js';
import {
  enhancedPacket, interfaceDescription, LINKTYPE_ETHERNET, LINKTYPE_RAW, PcapngReader,
  sectionHeader, SNAPLEN_MAX, SNAPLEN_MIN, type PcapngPacket, type PcapngRecord,
} from '../../capture/index.js';
import { decodeFrame, TcpdumpPrinter } from '../../decode/index.js';
import type { TimestampStyle } from '../../decode/tcpdump-time.js';
import { parseDumpFilter, type PacketTest } from '../dump-filter.js';
import { CommandError, UsageError } from '../errors.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

interface DumpFlags extends ChoiceOptions {
  absolute?: boolean;
  verbose?: number;
  stamps?: number;
  count?: string;
  write?: string;
  read?: string;
  interface?: string;
  snaplen?: string;
}

const STAMPS: readonly TimestampStyle[] = [
  'default', 'none', 'unix', 'delta', 'date', 'relative',
];

/** Takes packets until it has enough. */
interface Output {
  packet(packet: PcapngPacket, text: () => string): void;
  end(): Promise<void>;
}

function textOutput(): Output {
  return {
    packet: (_packet, text) => void process.stdout.write(`${text()}\n`),
    end: () => Promise.resolve(),
  };
}

function fileOutput(file: string): Output {
  const stream: Writable = file === '-' ? process.stdout : createWriteStream(file);
  const failed = new Promise<never>((_, reject) => {
    stream.once('error', (error) => reject(new CommandError(`-w ${file}: ${error.message}`)));
  });
  failed.catch(() => process.exitCode = 1);
  let begun = false;
  const begin = (linkType: number): void => {
    begun = true;
    stream.write(sectionHeader('ackorn dump'));
    stream.write(interfaceDescription({ linkType, name: 'ackorn' }));
  };
  return {
    packet(packet) {
      if (!begun) begin(packet.linkType);
      const { timeUs, data, wireLength, comment } = packet;
      stream.write(enhancedPacket({
        timeUs, direction: packet.direction ?? 'in', data, wireLength, comment,
        lostBefore: packet.lostBefore,
        ...(packet.packetId === undefined ? {} : { packetId: packet.packetId }),
      }));
    },
    async end() {
      if (!begun) begin(LINKTYPE_RAW);
      if (stream !== process.stdout) {
        await Promise.race([failed, new Promise<void>((resolve) => stream.end(() => resolve()))]);
      }
    },
  };
}

/** From records to lines; counts what it let pass and what was lost before it. */
class Dump {
  captured = 0;
  lost = 0n;
  readonly #printer: TcpdumpPrinter;

  constructor(
    flags: DumpFlags, readonly test: PacketTest, readonly output: Output, readonly most: number,
  ) {
    this.#printer = new TcpdumpPrinter({
      absoluteSeq: flags.absolute === true, verbose: flags.verbose ?? 0,
      timestamps: STAMPS[flags.stamps ?? 0] ?? 'default',
    });
  }

  /** @returns false when it has enough */
  take(records: readonly PcapngRecord[]): boolean {
    for (const record of records) {
      if (record.type === 'malformed') throw new CommandError(`no pcapng: ${record.reason}`);
      if (record.type !== 'packet') continue;
      this.lost += record.lostBefore;
      const frame = decodeFrame(record.data, {
        link: record.linkType === LINKTYPE_ETHERNET ? 'ethernet' : 'raw',
        wireLength: record.wireLength,
      });
      if (!this.test(frame)) continue;
      const note = record.comment === undefined ? '' : `  [${record.comment}]`;
      this.output.packet(record, () => this.#printer.print(frame, record.timeUs) + note);
      if (++this.captured >= this.most) return false;
    }
    return true;
  }
}

async function follow(source: Readable, dump: Dump): Promise<void> {
  const reader = new PcapngReader();
  for await (const chunk of source) {
    if (!dump.take(reader.push(chunk as Buffer))) return;
  }
  dump.take(reader.end());
}

function countOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`-c ${text}: a number of packets is wanted`);
}

/** The live stream's address; the stack cuts, so that less is carried. */
function livePath(snaplen: string | undefined): string {
  if (snaplen === undefined || snaplen === '0') return '/v1/dump';
  const bytes = /^\d+$/.test(snaplen) ? Number(snaplen) : 0;
  if (bytes >= SNAPLEN_MIN && bytes <= SNAPLEN_MAX) return `/v1/dump?snaplen=${bytes}`;
  throw new UsageError(`-s ${snaplen}: bytes of each packet, ${SNAPLEN_MIN} to ${SNAPLEN_MAX}, ` +
    'or 0 for all');
}

async function sourceOf(flags: DumpFlags): Promise<Readable> {
  const path = livePath(flags.snaplen);
  if (flags.read === undefined) return await open(await findSocket(flags), { path });
  return flags.read === '-' ? process.stdin : createReadStream(flags.read);
}

async function dumpPackets(words: string[], flags: DumpFlags): Promise<number> {
  const most = countOf(flags.count);
  const test = parseDumpFilter(words);
  const source = await sourceOf(flags);
  const output = flags.write === undefined ? textOutput() : fileOutput(flags.write);
  const dump = new Dump(flags, test, output, most);
  if (flags.read === undefined) process.stderr.write('listening; Ctrl-C ends\n');
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    source.destroy();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await follow(source, dump);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // The stack has ended, or we were told to.
    if (!stopped && !['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(code)) throw error;
  }
  source.destroy();
  await output.end();
  const packets = dump.captured === 1 ? 'packet' : 'packets';
  process.stderr.write(`${dump.captured} ${packets} captured\n`);
  if (dump.lost > 0n) process.stderr.write(`${dump.lost} packets lost: this reader was slow\n`);
  return 0;
}

const more = (_value: unknown, before: number | undefined): number => (before ?? 0) + 1;

/** Adds the command. */
export function registerDump(program: Command, run: Run): void {
  withChoice(program.command('dump'))
    .description('what crosses the link, as tcpdump shows it: [tcp] [port 80] [and host …]')
    .argument('[filter...]')
    .option('-n', 'numbers, not names: as it always is here')
    .option('-i, --interface <name>', 'any: a stack has one link')
    .option('-S, --absolute', 'absolute sequence numbers')
    .option('-v, --verbose', 'more; again for more', more)
    .option('-t, --stamps', 'no times; -tt since 1970; -ttt since the last; -tttt with the day; '
      + '-ttttt since the first', more)
    .option('-c, --count <n>', 'end after so many')
    .option('-s, --snaplen <bytes>', 'keep so many of each packet of a running stack (all)')
    .option('-w, --write <file>', 'write pcapng instead')
    .option('-r, --read <file>', 'read pcapng instead of a running stack')
    .action((words: string[], flags: DumpFlags) => run(() => dumpPackets(words, flags)));
}
