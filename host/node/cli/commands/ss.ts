/**
 * `ackorn ss`: the running stack's sockets as `ss -tinlm` prints them. Documents of the control
 * socket become the records of format/ here.
 */

import type { Command } from 'commander';
import { Congestion, State, Timer } from '../../../../assembly/abi.js';
import { ask, findSocket } from '../../control/client.js';
import type { SocketDocument } from '../../control/queries.js';
import type { SocketRecord, TcpInfoRecord } from '../../format/socket-record.js';
import { formatSs, type SsOptions } from '../../format/ss.js';
import { SsFilterError } from '../../format/ss-filter.js';
import { UsageError } from '../errors.js';
import { withChoice, type ChoiceOptions, type Run } from './choice.js';

interface SsFlags extends ChoiceOptions {
  listening?: boolean;
  all?: boolean;
  info?: boolean;
  memory?: boolean;
  options?: boolean;
  oneline?: boolean;
  header?: boolean;
  numeric?: boolean;
  ipv4?: boolean;
  ipv6?: boolean;
  json?: boolean;
}

/** A socket of the control socket as ss's formatter has it. */
export function recordOf(socket: SocketDocument): SocketRecord {
  const { kind, index, generation, local, remote, info } = socket;
  const record: SocketRecord = {
    handle: kind === 'none' ? undefined : { kind, index, generation },
    state: State[socket.state],
    family: local.address.includes(':') ? 6 : 4,
    localAddress: local.address, localPort: local.port,
    remoteAddress: remote.address, remotePort: remote.port,
    recvQ: socket.recvQ, sendQ: socket.sendQ,
    timer: Timer[socket.timer], timerMs: Math.round(socket.timerUs / 1000),
    retransmits: socket.retransmits, memoryBytes: socket.memoryBytes,
  };
  if (info === undefined) return record;
  const numbers: TcpInfoRecord = {
    ...info, state: State[info.state], congestion: Congestion[info.congestion],
  };
  return { ...record, info: numbers };
}

/** `state NAME` and `exclude` stand before the expression, as in ss. */
function splitWords(words: readonly string[]): { states: string[]; filter: string[] } {
  const states: string[] = [];
  let at = 0;
  for (; words[at] === 'state' || words[at] === 'states'; at += 2) {
    const name = words[at + 1];
    if (name === undefined) throw new UsageError('state: a name is wanted (see ackorn ss --help)');
    states.push(name);
  }
  return { states, filter: words.slice(at) };
}

async function ss(words: string[], flags: SsFlags): Promise<number> {
  const path = await findSocket(flags);
  const document = await ask<{ sockets: SocketDocument[] }>(path, { path: '/v1/sockets' });
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(document)}\n`);
    return 0;
  }
  const options: SsOptions = {
    listening: flags.listening === true, all: flags.all === true, info: flags.info === true,
    memory: flags.memory === true, timers: flags.options === true,
    oneline: flags.oneline === true, noHeader: flags.header === false,
    numeric: flags.numeric === true, ...splitWords(words),
    ...(flags.ipv4 === flags.ipv6 ? {} : { family: flags.ipv4 === true ? 4 : 6 }),
  };
  try {
    process.stdout.write(formatSs(document.sockets.map(recordOf), options));
  } catch (error) {
    if (error instanceof SsFilterError) throw new UsageError(error.message);
    throw error;
  }
  return 0;
}

/** Adds the command. */
export function registerSs(program: Command, run: Run): void {
  withChoice(program.command('ss'))
    .description("the stack's sockets, as ss(8) shows them: [state NAME] [sport = :80 …]")
    .argument('[filter...]')
    .option('-t, --tcp', 'TCP: all there is')
    .option('-l, --listening', 'only listening sockets')
    .option('-a, --all', 'listening ones too')
    .option('-i, --info', 'tcp_info')
    .option('-m, --memory', 'memory')
    .option('-o, --options', 'timers')
    .option('-n, --numeric', 'numbers as they are')
    .option('-O, --oneline', 'each socket on one line')
    .option('-H, --no-header', 'no first line')
    .option('-4, --ipv4', 'only IPv4')
    .option('-6, --ipv6', 'only IPv6')
    .option('-J, --json', "the control socket's document")
    .action((words: string[], flags: SsFlags) => run(() => ss(words, flags)));
}
