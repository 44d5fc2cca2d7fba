/**
 * `ackorn nc`: a TCP connection of the running stack on standard input and output, opened or
 * awaited. The end of the input is our FIN; the command ends when the peer has ended too.
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { finished, pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { findSocket, upgrade } from '../../control/client.js';
import { CommandError, UsageError } from '../errors.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

interface NcFlags extends ChoiceOptions {
  listen?: boolean;
  verbose?: boolean;
  zero?: boolean;
}

function portOf(text: string | undefined): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text ?? '') && port >= 1 && port <= 65_535) return port;
  throw new UsageError(`nc: a port from 1 to 65535 is wanted, not '${text ?? ''}'`);
}

async function queryOf(words: readonly string[], flags: NcFlags): Promise<string> {
  if (flags.listen === true) {
    if (words.length !== 1) throw new UsageError('nc -l PORT is wanted');
    return `listen=${portOf(words[0])}`;
  }
  const [host = '', port] = words;
  if (words.length !== 2) throw new UsageError('nc HOST PORT is wanted, or nc -l PORT');
  const number = portOf(port);
  const address = isIP(host) !== 0 ? host : await lookup(host).then(
    (found) => found.address, () => { throw new CommandError(`${host}: no such name`); },
  );
  const endpoint = address.includes(':') ? `[${address}]:${number}` : `${address}:${number}`;
  return `connect=${encodeURIComponent(endpoint)}`;
}

async function nc(words: string[], flags: NcFlags): Promise<number> {
  const query = await queryOf(words, flags);
  const path = await findSocket(flags);
  const { stream, local, remote } = await upgrade(path, query);
  if (flags.verbose === true) process.stderr.write(`${local} connected with ${remote}\n`);
  if (flags.zero === true) {
    stream.destroy();
    return 0;
  }
  let broken: Error | undefined;
  stream.on('error', (error) => { broken = error; });
  const sending = pipeline(process.stdin, stream, { end: true }).catch(() => undefined);
  // Not `for await`, which would end our side with the peer's.
  stream.pipe(process.stdout, { end: false });
  await finished(stream, { writable: false }).catch(() => undefined);
  // The peer is done; what we still send, it may want.
  if (!process.stdin.isTTY) await sending;
  if (broken !== undefined) throw new CommandError(`the connection broke: ${broken.message}`);
  return 0;
}

/** Adds the command. */
export function registerNc(program: Command, run: Run): void {
  withChoice(program.command('nc'))
    .description('connect to HOST PORT, or listen: nc -l PORT')
    .argument('<words...>')
    .option('-l, --listen', 'wait for one peer on PORT')
    .option('-v, --verbose', 'say who is connected')
    .option('-z, --zero', 'only connect')
    .action((words: string[], flags: NcFlags) => run(() => nc(words, flags)));
}
