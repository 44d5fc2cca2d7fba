/**
 * Character generator (RFC 864): lines of 72 printable characters, each line beginning one
 * character further on, until the peer ends. Called by `ackorn up --chargen`. Input is thrown away.
 * The lines repeat after 95, so one block of a few cycles is sent over and over, as the window
 * allows.
 */

import {
  serve, type Service, type ServiceOptions, type ServiceSocket, type Transport,
} from './seam.js';

const LINE_CHARACTERS = 72;
const FIRST_PRINTABLE = 0x20;
const PRINTABLES = 95;
/** 9 cycles of 95 lines of 74 bytes: 63,270 bytes, just under one super-segment. */
const CYCLES = 9;

/** The bytes of `cycles` full rotations; the next one continues where the last ended. */
export function chargenPattern(cycles: number = CYCLES): Buffer {
  const lines: string[] = [];
  for (let start = 0; start < PRINTABLES; start++) {
    const codes = Array.from(
      { length: LINE_CHARACTERS },
      (_, i) => FIRST_PRINTABLE + ((start + i) % PRINTABLES),
    );
    lines.push(`${String.fromCharCode(...codes)}\r\n`);
  }
  return Buffer.from(lines.join('').repeat(cycles), 'latin1');
}

/** Starts the service. Rejects when the port cannot be bound. */
export function chargenServer(transport: Transport, options: ServiceOptions): Promise<Service> {
  const pattern = chargenPattern();
  return serve(transport, options, (socket) => generate(socket, pattern));
}

function generate(socket: ServiceSocket, pattern: Buffer): void {
  if (socket.sendPattern) {
    const sending = socket.sendPattern(pattern, () => undefined);
    // A FIN is "the user terminates the connection": going on would fill the window of a peer gone
    // home.
    socket.on('end', () => {
      sending.stop();
      socket.end();
    });
  } else {
    const send = (): void => {
      while (!socket.writableEnded && socket.write(pattern));
    };
    socket.on('drain', send);
    socket.on('end', () => socket.end());
    send();
  }
  socket.resume();
}
