/**
 * Echo (RFC 862): what comes in goes out again until the peer ends its side, then we end ours.
 * Called by `ackorn up --echo`. Holds at most what the two stream buffers hold: a peer that does
 * not read stops being read.
 */

import { serve, type Service, type ServiceOptions, type Transport } from './seam.js';

/**
 * Starts the service. Rejects when the port cannot be bound (error with `code`, EADDRINUSE, …).
 */
export function echoServer(transport: Transport, options: ServiceOptions): Promise<Service> {
  return serve(transport, options, (socket) => {
    socket.setNoDelay?.(true); // an echo that waits for an ACK is not an echo
    socket.pipe(socket);
  });
}
