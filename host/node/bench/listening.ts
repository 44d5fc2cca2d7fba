/**
 * Waits for a server that says nothing when it listens: iperf3. Used by far-end.ts and path-end.ts.
 */

import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from '../cli/errors.js';

/** How often its port is looked for, ms. */
const PROBE_MS = 20;
const PROBES = 200;
/** The state in /proc/net/tcp. */
const TCP_LISTEN = '0A';

/** Whether a process' namespace has a listener there; a probe by connect() would disturb iperf3. */
function listens(port: number, pid: string): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return [`/proc/${pid}/net/tcp`, `/proc/${pid}/net/tcp6`].some((file) => {
    return existsSync(file) && readFileSync(file, 'utf8').split('\n').some((line) => {
      const [, at = '', , state] = line.trim().split(/\s+/);
      return at.endsWith(local) && state === TCP_LISTEN;
    });
  });
}

/**
 * @param pid of a process in the namespace, or `self`
 * @throws CommandError after four seconds
 */
export async function untilListening(port: number, pid: string): Promise<void> {
  for (let probe = 0; probe < PROBES; probe++) {
    if (listens(port, pid)) return;
    await sleep(PROBE_MS);
  }
  throw new CommandError("iperf3's server does not listen");
}
