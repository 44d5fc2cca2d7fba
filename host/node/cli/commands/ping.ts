/**
 * `ackorn ping`: echo requests sent by the running stack, printed as iputils' ping prints them.
 * Ends with 0 when something answered, 1 when nothing did, as ping does.
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Command } from 'commander';
import { findSocket, lines, open } from '../../control/client.js';
import type { PingLine } from '../../control/ping.js';
import { PingFormatter } from '../../format/ping.js';
import { CommandError, UsageError } from '../errors.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

interface PingFlags extends ChoiceOptions {
  count?: string;
  interval?: string;
  size?: string;
  timeout?: string;
}

/** Without -c, ping goes on until it is stopped. */
const ENDLESS = 1_000_000;

function amount(flag: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (value >= 0 && text !== '') return value;
  throw new UsageError(`${flag} ${text}: a number is wanted`);
}

async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch {
    throw new CommandError(`${host}: no such name`);
  }
}

function print(formatter: PingFormatter, line: PingLine): void {
  switch (line.type) {
    case 'sent': formatter.sent(); return;
    case 'reply': process.stdout.write(`${formatter.reply(line)}\n`); return;
    case 'error': {
      const { from, sequence, icmpType, icmpCode } = line;
      process.stdout.write(`${formatter.error(from, sequence, icmpType, icmpCode)}\n`);
      return;
    }
    case 'failed': process.stdout.write(`ackorn: ${line.message}\n`); return;
    case 'end':
  }
}

async function ping(host: string, flags: PingFlags): Promise<number> {
  const body = {
    address: await addressOf(host),
    count: amount('-c', flags.count, ENDLESS),
    intervalMs: Math.round(amount('-i', flags.interval, 1) * 1000),
    size: amount('-s', flags.size, 56),
    timeoutMs: Math.round(amount('-W', flags.timeout, 1) * 1000),
  };
  const path = await findSocket(flags);
  const response = await open(path, { method: 'POST', path: '/v1/ping', body });
  const formatter = new PingFormatter(host, body.address);
  process.stdout.write(`${formatter.header(body.size)}\n`);
  const began = performance.now();
  const stop = (): void => void response.destroy();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let elapsedUs: number | undefined;
  for await (const line of lines<PingLine>(response)) {
    if (line.type === 'end') elapsedUs = line.elapsedUs;
    print(formatter, line);
  }
  process.stdout.write(formatter.summary(elapsedUs ?? (performance.now() - began) * 1000));
  return formatter.exitCode;
}

/** Adds the command. */
export function registerPing(program: Command, run: Run): void {
  withChoice(program.command('ping'))
    .description('echo requests from the running stack')
    .argument('<host>')
    .option('-c, --count <n>', 'how many (until stopped)')
    .option('-i, --interval <seconds>', 'between two (1)')
    .option('-s, --size <bytes>', 'of data (56)')
    .option('-W, --timeout <seconds>', 'for the last answer (1)')
    .action((host: string, flags: PingFlags) => run(() => ping(host, flags)));
}
