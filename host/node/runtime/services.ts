/**
 * The services that a board names, started on a stack. Called by running.ts.
 */

import type { Board, PortService } from '../board/board.js';
import { CommandError, oneLine } from '../cli/errors.js';
import { chargenServer } from '../services/chargen.js';
import { daytimeServer } from '../services/daytime.js';
import { discardServer } from '../services/discard.js';
import { echoServer } from '../services/echo.js';
import { httpServer } from '../services/http.js';
import { iperf3Server } from '../services/iperf3/index.js';
import type { Service, Transport } from '../services/seam.js';
import type { Stack } from '../stack.js';
import { stackTransport } from '../transport.js';
import type { Closing } from './running.js';

export interface RunningService {
  readonly name: string;
  readonly port: number;
  /** What `http` serves. */
  readonly directory?: string;
}

type Starter = (
  transport: Transport, port: number, log: (line: string) => void,
) => Promise<Service>;

const STARTERS: Readonly<Record<PortService, Starter>> = {
  echo: (transport, port) => echoServer(transport, { port }),
  discard: (transport, port) => discardServer(transport, { port }),
  chargen: (transport, port) => chargenServer(transport, { port }),
  daytime: (transport, port) => daytimeServer(transport, { port }),
  iperf3: (transport, port, log) => iperf3Server(transport, { port, log }),
};

async function start(
  name: string, port: number, closing: Closing, starting: () => Promise<Service>,
): Promise<void> {
  try {
    const service = await starting();
    closing.add(() => service.close());
  } catch (error) {
    throw new CommandError(`${name} on port ${port}: ${oneLine(error)}`);
  }
}

/** @throws CommandError that names the service */
export async function startServices(
  stack: Stack, board: Board, log: (line: string) => void, closing: Closing,
): Promise<RunningService[]> {
  const transport = stackTransport(stack);
  const running: RunningService[] = [];
  for (const { port, directory, writable } of board.http) {
    await start('http', port, closing, () => httpServer(transport, {
      port, directory, writable, log,
    }));
    running.push({ name: 'http', port, directory });
  }
  for (const [name, port] of Object.entries(board.ports) as [PortService, number][]) {
    await start(name, port, closing, () => STARTERS[name](transport, port, log));
    running.push({ name, port });
  }
  return running;
}
