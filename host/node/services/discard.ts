/**
 * Discard (RFC 863): every byte is read and thrown away; our side ends when the peer's does.
 * Called by `ackorn up --discard`. Sends nothing.
 */

import { serve, type Service, type ServiceOptions, type Transport } from './seam.js';

/**
 * Starts the service. Rejects when the port cannot be bound.
 * @param onBytes told of each batch thrown away, for counters
 */
export function discardServer(
  transport: Transport,
  options: ServiceOptions,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<Service> {
  return serve(transport, options, (socket) => {
    socket.on('end', () => socket.end());
    if (socket.discardAll) socket.discardAll(onBytes);
    else socket.on('data', (chunk: Uint8Array) => onBytes(chunk.length));
  });
}
