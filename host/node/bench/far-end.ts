/**
 * Entry of a process in a network namespace of its own, the kernel's TCP that is measured against:
 * told the names and addresses of its interfaces, it sets them up, with or without offload, and
 * serves iperf3 (the real one) and echo (node:net). Started by ends.ts.
 * Arguments: NAME=ADDRESS/PREFIX=on|off ...
 */

import { existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative } from '../addon/index.js';
import { CommandError } from '../cli/errors.js';
import { permission, ready, runEntry } from './end-entry.js';
import { ECHO_PORT, IPERF3_PORT } from './ports.js';
import { raiseVeth } from './veth.js';
import { tethered } from './tether.js';

/** iperf3 says nothing when it listens; its port is looked for this often, ms. */
const PROBE_MS = 20;
const PROBES = 200;
/** The state in /proc/net/tcp. */
const TCP_LISTEN = '0A';

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

/** Whether this namespace has a listener there; a probe by connect() would disturb iperf3. */
function listens(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].some((file) => {
    return existsSync(file) && readFileSync(file, 'utf8').split('\n').some((line) => {
      const [, at = '', , state] = line.trim().split(/\s+/);
      return at.endsWith(local) && state === TCP_LISTEN;
    });
  });
}

async function serveIperf3(): Promise<void> {
  const child = tethered('iperf3', ['-s', '-p', String(IPERF3_PORT)],
    ['ignore', 'ignore', 'ignore']);
  child.once('exit', () => process.exit(1));
  for (let probe = 0; probe < PROBES; probe++) {
    if (listens(IPERF3_PORT)) return;
    await sleep(PROBE_MS);
  }
  throw new CommandError("iperf3's server does not listen");
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
