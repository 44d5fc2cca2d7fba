/**
 * `ackorn iperf3`: iperf3's own options turned into those of client.ts and server.ts, the text or
 * JSON printed, the exit code given. Called by the command line, which brings the transport.
 * An option that we do not have is refused and never passed over.
 */

import { parseArgs } from 'node:util';
import type { Transport } from '../seam.js';
import { Iperf3ClientError, runIperf3Client, type Iperf3ClientOptions } from './client.js';
import { Iperf3Error } from './protocol.js';
import { iperf3Server, type Iperf3ServerOptions } from './server.js';

const OPTIONS = {
  server: { type: 'boolean', short: 's' },
  client: { type: 'string', short: 'c' },
  port: { type: 'string', short: 'p' },
  bind: { type: 'string', short: 'B' },
  'one-off': { type: 'boolean', short: '1' },
  time: { type: 'string', short: 't' },
  bytes: { type: 'string', short: 'n' },
  blockcount: { type: 'string', short: 'k' },
  length: { type: 'string', short: 'l' },
  parallel: { type: 'string', short: 'P' },
  reverse: { type: 'boolean', short: 'R' },
  bidir: { type: 'boolean' },
  omit: { type: 'string', short: 'O' },
  interval: { type: 'string', short: 'i' },
  title: { type: 'string', short: 'T' },
  congestion: { type: 'string', short: 'C' },
  'set-mss': { type: 'string', short: 'M' },
  'no-delay': { type: 'boolean', short: 'N' },
  window: { type: 'string', short: 'w' },
  bitrate: { type: 'string', short: 'b' },
  tos: { type: 'string', short: 'S' },
  json: { type: 'boolean', short: 'J' },
  'get-server-output': { type: 'boolean' },
  udp: { type: 'boolean', short: 'u' },
} as const;

const CLIENT_ONLY = [
  'time', 'bytes', 'blockcount', 'length', 'parallel', 'reverse', 'bidir', 'omit', 'interval',
  'title', 'congestion', 'set-mss', 'no-delay', 'window', 'bitrate', 'tos', 'json',
  'get-server-output',
] as const;

/** What the arguments ask for. */
export type Iperf3Command =
  | { role: 'server'; options: Omit<Iperf3ServerOptions, 'log'> }
  | { role: 'client'; options: Iperf3ClientOptions; json: boolean };

/** Where a command reads its end and writes its lines. */
export interface CommandHost {
  transport: Transport;
  out: (line: string) => void;
  err: (line: string) => void;
  signal?: AbortSignal;
}

/**
 * Takes iperf3's arguments apart.
 * @throws Error with one clear line
 */
export function parseIperf3Arguments(args: readonly string[]): Iperf3Command {
  const { values: v } = parseArgs({ args: [...args], options: OPTIONS, strict: true });
  if (v.udp) throw new Error('-u: there is TCP only here');
  if ((v.server === true) === (v.client !== undefined)) {
    throw new Error('must either be a client (-c HOST) or a server (-s)');
  }
  const port = amount('-p', v.port ?? '5201', 1, 1, 65_535);
  if (v.server) {
    const wrong = CLIENT_ONLY.find((name) => v[name] !== undefined);
    if (wrong) throw new Error(`--${wrong} is an option of the client`);
    const address = v.bind === undefined ? {} : { address: v.bind };
    return { role: 'server', options: { port, oneOff: v['one-off'] ?? false, ...address } };
  }
  if (v['one-off'] || v.bind !== undefined) {
    throw new Error(`${v.bind === undefined ? '-1' : '-B'} is an option of the server`);
  }
  const options: Record<string, unknown> = {
    host: v.client, port,
    time: optional('-t', v.time, 1), bytes: optional('-n', v.bytes, 1024),
    blocks: optional('-k', v.blockcount, 1024), length: optional('-l', v.length, 1024),
    parallel: optional('-P', v.parallel, 1), omit: optional('-O', v.omit, 1),
    interval: optional('-i', v.interval, 1, true), mss: optional('-M', v['set-mss'], 1),
    window: optional('-w', v.window, 1024), bitrate: optional('-b', v.bitrate, 1000),
    tos: optional('-S', v.tos, 1), title: v.title, congestion: v.congestion,
    reverse: v.reverse, bidir: v.bidir, noDelay: v['no-delay'],
    getServerOutput: v['get-server-output'],
  };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) delete options[name];
  }
  return { role: 'client', options: options as unknown as Iperf3ClientOptions, json: !!v.json };
}

/**
 * Runs the command to its end. Never rejects.
 * @returns the exit code: 0, or 1 after one line that says why
 */
export async function iperf3Command(args: readonly string[], host: CommandHost): Promise<number> {
  try {
    const command = parseIperf3Arguments(args);
    return await (command.role === 'server' ? runServer(command.options, host)
      : runClient(command.options, command.json, host));
  } catch (error) {
    host.err(`iperf3: error - ${(error as Error).message}`);
    return 1;
  }
}

async function runServer(
  options: Omit<Iperf3ServerOptions, 'log'>,
  { transport, out, signal }: CommandHost,
): Promise<number> {
  const server = await iperf3Server(transport, { ...options, log: out });
  const stop = (): void => void server.close();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  await server.done;
  signal?.removeEventListener('abort', stop);
  return 0;
}

async function runClient(
  options: Iperf3ClientOptions,
  json: boolean,
  { transport, out, err, signal }: CommandHost,
): Promise<number> {
  const print = (report: unknown): void => out(JSON.stringify(report, null, '\t'));
  try {
    const report = await runIperf3Client(transport, {
      ...options, ...(!json && { log: out }), ...(signal && { signal }),
    });
    if (json) print(report);
    return 0;
  } catch (error) {
    if (!(error instanceof Iperf3Error)) throw error;
    if (json && error instanceof Iperf3ClientError) print(error.report);
    else err(`iperf3: error - ${error.message}`);
    return 1;
  }
}

function optional(
  name: string,
  text: string | undefined,
  step: 1 | 1000 | 1024,
  fraction = false,
): number | undefined {
  if (text === undefined) return undefined;
  return amount(name, text, step, 0, Number.MAX_SAFE_INTEGER, fraction);
}

/** `64`, `8K`, `1.5M`, `2G`: K, M, G and T where the option has a step. */
function amount(
  name: string,
  text: string,
  step: 1 | 1000 | 1024,
  low: number,
  high: number,
  fraction = false,
): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)$/i.exec(text);
  const power = ' kmgt'.indexOf(match?.[2]?.toLowerCase() || ' ');
  const value = Number(match?.[1]) * step ** power;
  const right = (step > 1 || power === 0) && (fraction || Number.isInteger(value));
  if (match && right && value >= low && value <= high) return value;
  throw new Error(`${name} ${text}: not a number that this option takes`);
}
