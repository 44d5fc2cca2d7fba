/**
 * What the services of `ackorn up` ask of a TCP: sockets that are Duplex streams, and a transport
 * that listens and connects. Our own stack gives both; `kernelTransport` gives them on node:net,
 * for tests and for the kernel's side of a link. Services import nothing else of a stack.
 * May not know which stack is below, and holds no protocol logic.
 */

import net from 'node:net';
import type { Duplex } from 'node:stream';

/** What a sender can say of its connection; the names and units of Linux's tcp_info. */
export interface SocketInfo {
  /** Segments retransmitted since the connection began (tcpi_total_retrans). */
  retransmits: number;
  /** Congestion window in bytes (tcpi_snd_cwnd times tcpi_snd_mss). */
  snd_cwnd_bytes: number;
  /** Window that the peer advertises, in bytes. */
  snd_wnd: number;
  /** Smoothed round-trip time and its variance, in microseconds. */
  rtt_us: number;
  rttvar_us: number;
  /** Path MTU in bytes. */
  pmtu: number;
  /** Largest segment in bytes, for the report only. */
  snd_mss?: number;
  /** Name of the congestion controller. */
  congestion?: string;
}

/** Options that some services set where the transport can; names as in Linux's setsockopt. */
export interface SocketOptions {
  TCP_CONGESTION?: string;
  /** Bytes; must be known before the handshake to be of use. */
  TCP_MAXSEG?: number;
  /** Bytes, for SO_SNDBUF and SO_RCVBUF alike. */
  SO_BUF?: number;
  IP_TOS?: number;
}

/**
 * One connection. end() sends FIN and leaves the peer's side open; destroy() without an error is
 * RFC 9293 CLOSE: what write() took is still delivered. The optional members are used where they
 * exist and are never required.
 */
export interface ServiceSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  setNoDelay?(on?: boolean): this;
  setKeepAlive?(on?: boolean, ms?: number): this;
  setTimeout?(ms: number, callback?: () => void): this;
  ref?(): this;
  unref?(): this;
  destroySoon?(): void;
  /** RFC 9293 ABORT: a RST instead of a FIN. */
  resetAndDestroy?(): this;
  info?(): SocketInfo | undefined;
  /** Throws an Error with a `code` where the stack refuses the value. */
  setOptions?(options: SocketOptions): void;
  /**
   * Fast way to receive and forget: from now on every byte is dropped in the stack and only
   * counted. 'end', 'error' and 'close' still come; 'data' does not. Bytes that wait in the Duplex
   * count too.
   */
  discardAll?(onBytes: (bytes: number) => void): void;
  /**
   * Fast way to send: `chunk` again and again, as the window allows, until stop(). `onBytes` says
   * how many the send stream took; bytes taken before stop() are still delivered. Starts at offset
   * 0.
   */
  sendPattern?(chunk: Uint8Array, onBytes: (bytes: number) => void): { stop(): void };
}

export interface Listener {
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  /** Stops listening; resolves when no connection can come any more. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  host: string;
  port: number;
  /** Set before the SYN where the transport can; ignored where it has none of them. */
  options?: SocketOptions;
}

export interface Transport {
  /** True when connect() heeds `options`, and its sockets have setOptions. */
  readonly setsOptions?: boolean;
  /** Sockets are handed over with half close allowed: the service ends its own side. */
  listen(
    port: number,
    onConnection: (socket: ServiceSocket) => void,
    options?: { address?: string },
  ): Promise<Listener>;
  /** Resolves when established; rejects with an Error that has a `code` (ECONNREFUSED, …). */
  connect(options: ConnectOptions): Promise<ServiceSocket>;
}

/** What every service is told. */
export interface ServiceOptions {
  /** 0 lets the transport choose. */
  port: number;
  /** Local address; all of them by default. */
  address?: string;
}

/** A running service. */
export type Service = Listener;

/**
 * Listens and remembers the open sockets, so that close() ends them too.
 * A reset by the peer is the peer's affair: the error is taken here so that no service dies of it.
 * @param handler called once for each connection; a throw in it destroys that socket alone
 */
export async function serve(
  transport: Transport,
  options: ServiceOptions,
  handler: (socket: ServiceSocket) => void,
): Promise<Service> {
  const open = new Set<ServiceSocket>();
  const accept = (socket: ServiceSocket): void => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    try {
      handler(socket);
    } catch {
      socket.destroy();
    }
  };
  const where = options.address === undefined ? {} : { address: options.address };
  const listener = await transport.listen(options.port, accept, where);
  return {
    port: listener.port,
    async close() {
      const closed = listener.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** The kernel's TCP by node:net. It has no setOptions and no info: Node does not offer them. */
export const kernelTransport: Transport = {
  listen(port, onConnection, options = {}) {
    return new Promise((resolve, reject) => {
      const server = net.createServer({ allowHalfOpen: true }, onConnection);
      server.once('error', reject);
      server.listen({ port, host: options.address }, () => {
        server.off('error', reject);
        // Such as EMFILE at accept: node:net goes on listening.
        server.on('error', () => undefined);
        const { port: bound } = server.address() as net.AddressInfo;
        resolve({ port: bound, close: () => new Promise((done) => server.close(() => done())) });
      });
    });
  },
  connect({ host, port }) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, allowHalfOpen: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(socket);
      });
    });
  },
};
