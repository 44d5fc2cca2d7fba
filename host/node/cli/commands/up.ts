/**
 * `ackorn up`: brings a stack up on a TUN device, from flags or a board file, and serves until a
 * signal comes. Unless told otherwise it does so in a network namespace of its own, by starting
 * itself again inside one (namespace.ts).
 */

import type { Command } from 'commander';
import { makeBoard, type Board, type BoardWords } from '../../board/board.js';
import { serveControl } from '../../control/attach.js';
import { bringUp, openDevice, type Running } from '../../runtime/running.js';
import { CommandError } from '../errors.js';
import { Lifetime } from '../lifetime.js';
import {
  enterNamespace, findNamespace, insideNamespace, joinNamed, raiseLoopback,
} from '../namespace.js';

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** commander writes words its own way: --peer-addr is peerAddr, --no-offload is offload: false. */
function wordsOf(options: Record<string, unknown>): BoardWords {
  const { peerAddr, offload, ...rest } = options;
  return {
    ...(rest as BoardWords),
    ...(peerAddr === undefined ? {} : { 'peer-addr': peerAddr as string[] }),
    // commander sets offload to true by itself; a board file's false must survive that.
    ...(offload === false ? { offload: false } : {}),
  };
}

function tell(running: Running, name: string): void {
  const { board, services, stack } = running;
  // with what DHCP and routers gave
  const addresses = board.tap ? stack.links().flatMap((link) => link.addresses)
    .map(({ address, prefixLength }) => `${address}/${prefixLength}`) : board.addresses;
  const kernel = board.peerAddresses.length === 0 ? ''
    : ` (the kernel's end: ${board.peerAddresses.join(', ')})`;
  const where = board.netns.kind === 'new' ? 'a network namespace of its own'
    : board.netns.kind === 'host' ? "the host's network namespace"
      : `the network namespace ${board.netns.name}`;
  say(`ackorn: '${name}' is up on ${board.device} in ${where}: ${addresses.join(', ')}${kernel}`);
  for (const service of services) {
    const of = service.directory === undefined ? '' : ` ${service.directory}`;
    say(`ackorn: ${service.name} on port ${service.port}${of}`);
  }
  if (board.impair !== undefined) say(`ackorn: the link is impaired: ${board.impair.text}`);
  say('ackorn: ready');
}

async function serve(board: Board): Promise<number> {
  const lifetime = new Lifetime();
  const leave = board.netns.kind === 'named' ? joinNamed(board.netns.name) : () => undefined;
  try {
    if (board.netns.kind === 'new') raiseLoopback();
    const running = await bringUp(board, openDevice(board), say, lifetime.signal);
    try {
      const control = await serveControl(running);
      running.onClose(() => control.close());
      tell(running, control.name);
      await Promise.race([lifetime.ended, running.failed]);
      return 0;
    } finally {
      await lifetime.close(() => running.close());
    }
  } finally {
    leave();
  }
}

async function up(options: Record<string, unknown>): Promise<number> {
  const board = makeBoard(wordsOf(options));
  if (board.netns.kind !== 'new' || insideNamespace !== undefined) return await serve(board);
  const found = findNamespace();
  if ('kind' in found) return await enterNamespace(found.kind);
  throw new CommandError(found.reasons.join('; '));
}

const list = (value: string, before: string[] | undefined): string[] => [...before ?? [], value];

/** Adds the command. */
export function registerUp(program: Command, run: (action: () => Promise<number>) => void): void {
  program.command('up')
    .description('bring a stack up on a link and serve')
    .option('--board <file>', 'read these words from a board.toml; flags win')
    .option('--name <name>', 'of the stack, for other commands')
    .option('--link <tun|tap:NAME>', 'the device (tun:ackorn0); tap: Ethernet frames')
    .option('--addr <cidr>', "the stack's own address, again for more (10.99.0.2/24); of a tap: "
      + 'also dhcp, slaac', list)
    .option('--peer-addr <cidr>', "the kernel's end (the subnet's first other address), or none",
      list)
    .option('--gateway <address>', 'a default route, again for more', list)
    .option('--route <cidr=gateway>', 'another route, again for more', list)
    .option('--mac <mac>', "the stack's own, of a tap: link")
    .option('--vlan <id>', 'of all frames of a tap: link (0: no tags)')
    .option('--netns <where>', 'new, NAME, or host (new)')
    .option('--no-offload', 'no segmentation and checksum offload')
    .option('--mtu <bytes>', 'of the link (1500)')
    .option('--http <port=dir>', 'serve files; DIR:rw takes PUT', list)
    .option('--echo <port>', 'RFC 862')
    .option('--discard <port>', 'RFC 863')
    .option('--chargen <port>', 'RFC 864')
    .option('--daytime <port>', 'RFC 867')
    .option('--iperf3 <port>', 'an iperf3 server')
    .option('--pcap <file>', 'write what crosses the link, as pcapng')
    .option('--control <socket>', 'where the control socket lies')
    .option('--impair <spec>', 'loss=1%,delay=20ms,jitter=2ms,reorder=1%,dup=1%,corrupt=0.5%,'
      + 'mark=1%,rate=10mbit,queue=64000,seed=N, each way')
    .option('--sysctl <name=value>', "by Linux's names, again for more", list)
    .option('--limit <name=value>', 'sizes fixed at boot, such as connectionsMax=1000', list)
    .action((options: Record<string, unknown>) => run(() => up(options)));
}
