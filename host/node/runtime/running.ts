/**
 * A board brought up: the device, the stack on it, its capture, its services and its control
 * socket, in this process and in the network namespace that it is in. Whatever fails, what was
 * opened before is closed again. Called by `up`, `start` and tests. Knows no flags and prints
 * nothing.
 */

import { createWriteStream, openSync } from 'node:fs';
import { AUTO_DHCP, AUTO_IPV6, AUTO_SLAAC } from '../../../assembly/abi.js';
import type { Board } from '../board/board.js';
import { Capture, PcapngSink } from '../capture/index.js';
import { CommandError, oneLine } from '../cli/errors.js';
import { CapturedLink, wallClockUs } from '../link/captured.js';
import { ImpairedLink } from '../link/impaired.js';
import type { Link } from '../link/link.js';
import { TunLink } from '../link/tun.js';
import { Stack } from '../stack.js';
import { awaitAddresses } from './addresses.js';
import { startServices, type RunningService } from './services.js';

/** How often a device that was deleted under us is noticed, ms. */
const DEVICE_CHECK_MS = 500;

export interface Running {
  readonly board: Board;
  readonly stack: Stack;
  /** As the stack sees it, and what it stands on. */
  readonly link: Link;
  readonly device: Link;
  readonly capture: Capture;
  readonly services: readonly RunningService[];
  /** Rejects when the engine stopped or the device is gone. Never resolves. */
  readonly failed: Promise<never>;
  /** Something more to end with it, before all the rest. */
  onClose(step: () => void | Promise<void>): void;
  /** Ends it in the reverse order; again is harmless. */
  close(): Promise<void>;
}

/** Things to close, the last one first. */
export class Closing {
  readonly #steps: (() => void | Promise<void>)[] = [];

  add(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  /** One that fails does not keep the others from being closed. */
  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch {
        // It is being thrown away: there is nobody to tell.
      }
    }
  }
}

/** Opens the board's device, its kernel end addressed and up. @throws NativeError */
export function openDevice(board: Board): TunLink {
  const six = board.slaac || board.addresses.some((text) => text.includes(':'));
  const auto = (six ? AUTO_IPV6 : 0) | (board.slaac ? AUTO_SLAAC : 0)
    | (board.dhcp ? AUTO_DHCP : 0);
  return TunLink.open({
    name: board.device, offload: board.offload, mtu: board.mtu, addresses: board.peerAddresses,
    tap: board.tap, vlan: board.vlan, auto, ...(board.mac === undefined ? {} : { mac: board.mac }),
  });
}

function openPcap(
  file: string, capture: Capture, { device: name, tap }: Board,
): () => Promise<void> {
  let fd: number;
  try {
    fd = openSync(file, 'w');
  } catch (error) {
    throw new CommandError(`--pcap ${file}: ${oneLine(error)}`);
  }
  const stream = createWriteStream(file, { fd });
  const end = capture.add(new PcapngSink(stream, { name, link: tap ? 'ethernet' : 'raw' }));
  return () => new Promise((resolve) => {
    stream.once('close', () => resolve());
    end();
    if (stream.destroyed) resolve();
  });
}

function watchDevice(device: Link, onGone: (error: Error) => void): NodeJS.Timeout {
  const timer = setInterval(() => {
    if (!(device instanceof TunLink) || device.failure === undefined) return;
    clearInterval(timer);
    onGone(new CommandError(device.failure.message));
  }, DEVICE_CHECK_MS);
  return timer.unref();
}

/** The device with its capture beside it: an impaired link tells the capture what it did. */
function capturedLink(board: Board, device: Link, capture: Capture): Link {
  if (board.impair === undefined) return new CapturedLink(device, capture);
  return new ImpairedLink(device, board.impair.spec, (direction, bytes, fate) => {
    if (!capture.active) return;
    capture.packet({
      timeUs: wallClockUs(), direction, bytes, ...(fate === undefined ? {} : { comment: fate }),
    });
  });
}

/**
 * Brings a board up on a device.
 * @param device opened by the caller (openDevice, or a wire's end); closed with the rest
 * @param log lines of the services
 * @param signal ends the waiting for addresses of an Ethernet link
 * @throws CommandError, NativeError, SocketError, EngineSetupError
 */
export async function bringUp(
  board: Board, device: Link, log: (line: string) => void, signal?: AbortSignal,
): Promise<Running> {
  const closing = new Closing();
  closing.add(() => device.close());
  let fail!: (error: Error) => void;
  const failed = new Promise<never>((_, reject) => { fail = reject; });
  failed.catch(() => undefined); // told to whoever awaits it; not an unhandled one until then
  const capture = new Capture({ link: board.tap ? 'ethernet' : 'raw' });
  try {
    const link = capturedLink(board, device, capture);
    if (board.pcap !== undefined) closing.add(openPcap(board.pcap, capture, board));
    const stack = await Stack.create({
      links: [link], addresses: board.addresses, routes: board.routes, config: board.config,
      onError: fail,
    });
    closing.add(() => stack.close());
    const timer = watchDevice(device, fail);
    closing.add(() => clearInterval(timer));
    if (board.tap) {
      const stop = new AbortController();
      closing.add(() => stop.abort());
      signal?.addEventListener('abort', () => stop.abort(), { once: true });
      await Promise.race([awaitAddresses(stack, board, log, stop.signal), failed]);
    }
    const services = await startServices(stack, board, log, closing);
    return {
      board, stack, link, device, capture, services, failed,
      onClose: (step) => closing.add(step), close: () => closing.run(),
    };
  } catch (error) {
    await closing.run();
    throw error;
  }
}
