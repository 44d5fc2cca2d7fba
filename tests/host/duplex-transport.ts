/**
 * A transport of bare Duplex pairs inside the process: none of the seam's optional members, so that
 * tests see the services stand on the Duplex contract alone. Half close and reset work as on TCP.
 */

import { Duplex } from 'node:stream';
import type { ServiceSocket, Transport } from '../../host/node/services/seam.js';

class Half extends Duplex {
  peer!: Half;
  #blocked: (() => void) | undefined;
  readonly remoteAddress = '192.0.2.1';
  readonly localAddress = '192.0.2.2';

  constructor(readonly localPort: number, readonly remotePort: number) {
    super({ allowHalfOpen: true, decodeStrings: true });
  }

  override _read(): void {
    const go = this.peer.#blocked;
    this.peer.#blocked = undefined;
    go?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    setImmediate(() => {
      if (this.peer.destroyed || this.peer.push(Buffer.from(chunk))) done();
      else this.#blocked = done;
    });
  }

  override _final(done: () => void): void {
    this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    if (!this.peer.destroyed) {
      if (this.writableFinished) this.peer.resume();
      else setImmediate(() => this.peer.destroy(reset));
    }
    done(error);
  }
}

/** Ports are the transport's own; connect to one that nobody listens on is ECONNREFUSED. */
export function duplexTransport(): Transport {
  const listeners = new Map<number, (socket: ServiceSocket) => void>();
  let next = 40_000;
  return {
    listen(port, onConnection) {
      const bound = port || next++;
      listeners.set(bound, onConnection);
      return Promise.resolve({
        port: bound,
        close: () => Promise.resolve(void listeners.delete(bound)),
      });
    },
    connect({ port }) {
      const accept = listeners.get(port);
      if (!accept) {
        return Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
      }
      const ephemeral = next++;
      const client = new Half(ephemeral, port);
      const server = new Half(port, ephemeral);
      client.peer = server;
      server.peer = client;
      setImmediate(() => accept(server));
      return Promise.resolve(client);
    },
  };
}
