/**
 * Entry of a process in a network namespace of its own, the kernel's TCP that is measured against:
 * told the names and addresses of its interfaces, it sets them up, with or without offload, and
 * serves iperf3 (the real one) and echo (node:net). Started by ends.ts.
 * Arguments: NAME=ADDRESS/PREFIX=on|off ...
 */

import net from 'node:net';
import { loadNative } from '../addon/index.js';
import { permission, ready, runEntry } from './end-entry.js';
import { untilListening } from './listening.js';
import { ECHO_PORT, IPERF3_PORT } from './ports.js';
import { raiseVeth } from './veth.js';
import { tethered } from './tether.js';

function serveEcho(): Promise<void> {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: ECHO_PORT, backlog: 4096 }, resolve);
  });
}

async function serveIperf3(): Promise<void> {
  const child = tethered('iperf3', ['-s', '-p', String(IPERF3_PORT)],
    ['ignore', 'ignore', 'ignore']);
  child.once('exit', () => process.exit(1));
  await untilListening(IPERF3_PORT, 'self');
}

runEntry(async (args) => {
  ready(); // the namespace is there: the parent may put interfaces into it
  await permission();
  loadNative()?.linkUp('lo', true);
  for (const text of args) {
    const [name = '', cidr = '', offload] = text.split('=');
    raiseVeth(name, cidr, offload === 'on');
  }
  await serveEcho();
  await serveIperf3();
  ready();
});
