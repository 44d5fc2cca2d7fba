/**
 * A Stack as the services want it (services/seam.ts): sockets with half close, names resolved by
 * the host. Used by `up`, by the iperf3 command and by tests. Holds no protocol logic.
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Listener, ServiceSocket, Transport } from './services/seam.js';
import type { Stack } from './stack.js';

/** An address for a name; only families that the stack has an address of. */
async function resolveHost(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host;
}

/** The stack's TCP for services. */
export function stackTransport(stack: Stack): Transport {
  return {
    setsOptions: true,
    listen(port, onConnection, options = {}): Promise<Listener> {
      return new Promise((resolve) => {
        const server = stack.listen({
          port, allowHalfOpen: true,
          ...(options.address === undefined ? {} : { address: options.address }),
        }, (socket) => onConnection(socket));
        resolve({
          port: server.port,
          close: () => {
            if (server.listening) server.close();
            return Promise.resolve();
          },
        });
      });
    },
    async connect({ host, port, options }): Promise<ServiceSocket> {
      return stack.open({
        address: await resolveHost(host), port, allowHalfOpen: true,
        ...(options === undefined ? {} : { options: { ...options } }),
      });
    },
  };
}
