/**
 * Waits until a stack that was brought up on an Ethernet link has its addresses: those that were
 * given are probed for first, those of DHCP and router advertisements come when they come. Called
 * by runtime/running.ts. Looks at the engine's tables; decides nothing.
 */

import { linkEntries, type AddressEntry } from '../../core/tables.js';
import type { Board } from '../board/board.js';
import { CommandError } from '../cli/errors.js';
import type { Stack } from '../stack.js';

/** Between two looks, ms. */
const LOOK_MS = 20;
/** For a DHCP server or a router, ms; after that the stack serves on what it has. */
const PATIENCE_MS = 30_000;

function missing(board: Board, all: readonly AddressEntry[]): string[] {
  const wanted: string[] = [];
  if (all.some(({ state }) => state === 'Tentative')) wanted.push('an address that is ours');
  if (board.dhcp && !all.some(({ origin }) => origin === 'Dhcp')) wanted.push('a DHCP server');
  const advertised = all.some(({ origin }) => origin === 'RouterAdvertisement');
  if (board.slaac && !advertised) wanted.push('a router advertisement');
  return wanted;
}

/**
 * @param log told when the stack serves although something is still missing; it goes on asking
 * @param signal ends the waiting: the stack failed or is being closed
 * @throws CommandError: somebody else has an address of ours
 */
export async function awaitAddresses(
  stack: Stack, board: Board, log: (line: string) => void, signal: AbortSignal,
): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const all = linkEntries(stack.engine).flatMap(({ addresses }) => addresses);
    const taken = all.find(({ state, origin }) => state === 'Duplicate' && origin === 'Manual');
    if (taken !== undefined) {
      throw new CommandError(`${board.device}: another host has ${taken.address}`);
    }
    const wanted = missing(board, all);
    if (wanted.length === 0 || signal.aborted) return;
    if (performance.now() > endMs) {
      log(`ackorn: ${board.device} still waits for ${wanted.join(' and ')}`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
