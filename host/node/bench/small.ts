/**
 * What small messages cost: one-byte round trips on one connection, and connections opened and
 * closed a second, against an echo server. The client is node:net on the kernel's TCP, the same for
 * every end, so that what differs is the end. Called by tun.ts.
 */

import { once } from 'node:events';
import net from 'node:net';
import { CommandError } from '../cli/errors.js';
import { ECHO_PORT } from './ports.js';

export interface RoundTrips {
  p50: number;
  p99: number;
  count: number;
}

const byNumber = (a: number, b: number): number => a - b;

/** @returns µs */
export async function roundTrips(address: string, seconds: number): Promise<RoundTrips> {
  const socket = net.connect(ECHO_PORT, address);
  await once(socket, 'connect');
  socket.setNoDelay(true);
  const taken: number[] = [];
  const until = performance.now() + seconds * 1000;
  let sent = 0;
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new CommandError(`echo at ${address}: closed`)));
    socket.on('data', () => {
      const now = performance.now();
      taken.push((now - sent) * 1000);
      if (now >= until) return resolve();
      sent = performance.now();
      socket.write('x');
    });
    sent = performance.now();
    socket.write('x');
  });
  socket.removeAllListeners('close').destroy();
  taken.sort(byNumber);
  const at = (part: number): number => taken[Math.floor((taken.length - 1) * part)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), count: taken.length };
}

/** Opens a connection and closes it in order: seven packets, and TIME-WAIT at our end. */
function openAndClose(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(ECHO_PORT, address, () => socket.end());
    socket.once('error', reject);
    socket.once('close', (failed) => {
      if (!failed) resolve();
    });
    socket.resume();
  });
}

/** @returns connections a second, `parallel` of them at any time */
export async function connectionRate(
  address: string, parallel: number, seconds: number,
): Promise<number> {
  const began = performance.now();
  const until = began + seconds * 1000;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await openAndClose(address);
      done++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return done / ((performance.now() - began) / 1000);
}
