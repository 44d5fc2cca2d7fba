/**
 * Daytime (RFC 867): one line with date and time, then close. Called by `ackorn up --daytime`.
 * Input is read and thrown away, because closing over unread bytes would answer with a RST
 * (RFC 9293 §3.6.1) and the line could be lost.
 */

import { serve, type Service, type ServiceOptions, type Transport } from './seam.js';

/** How long a peer may keep its side open after our line, in milliseconds. */
const LINGER_MS = 10_000;

/** The form that RFC 867 shows first: `Tuesday, February 22, 1982 17:37:43-UTC`. */
export function daytimeLine(now: Date): string {
  const date = now.toLocaleDateString('en-US', {
    weekday: 'long', month: 'long', day: 'numeric', year: 'numeric', timeZone: 'UTC',
  });
  return `${date} ${now.toISOString().slice(11, 19)}-UTC\r\n`;
}

/**
 * Starts the service. Rejects when the port cannot be bound.
 * @param clock for tests; the host's time by default
 */
export function daytimeServer(
  transport: Transport,
  options: ServiceOptions,
  clock: () => Date = () => new Date(),
): Promise<Service> {
  return serve(transport, options, (socket) => {
    socket.resume();
    socket.end(daytimeLine(clock()));
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(linger));
  });
}
