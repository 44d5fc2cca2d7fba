/**
 * The cells of `ackorn bench paths`: which there are, how a user names them, and the words of
 * `--impair` that make one. Used by paths.ts and cli/commands/bench.ts.
 */

import { UsageError } from '../cli/errors.js';
import type { Direction } from './iperf3-run.js';

export interface Cell {
  /** Of packets, each way. */
  lossPercent: number;
  rttMs: number;
  direction: Direction;
}

const LOSSES = [0, 0.1, 1, 3] as const;
const RTTS = [10, 60, 150] as const;
const DIRECTIONS = ['in', 'out'] as const;

function product(
  losses: readonly number[], rtts: readonly number[], directions: readonly Direction[],
): Cell[] {
  return losses.flatMap((lossPercent) => rtts.flatMap((rttMs) => {
    return directions.map((direction) => ({ lossPercent, rttMs, direction }));
  }));
}

export const ALL_CELLS: readonly Cell[] = product(LOSSES, RTTS, DIRECTIONS);

/** A path that is filled and one that loses, both ways. */
export const QUICK_CELLS: readonly Cell[] = [
  ...product([0], [10], DIRECTIONS), ...product([1], [60], DIRECTIONS),
];

export function formatCell({ lossPercent, rttMs, direction }: Cell): string {
  return `${lossPercent} % loss, ${rttMs} ms, ${direction}`;
}

/** Bytes that fit on the way and back at this rate. */
export function bdpBytes(rateBps: number, rttMs: number): number {
  return (rateBps / 8) * (rttMs / 1000);
}

export interface LinkShape {
  rateBps: number;
  queueBdp: number;
}

/** At least one packet waits, or nothing but lone packets would pass. */
const QUEUE_MIN_BYTES = 1500;

/** A cell's link as `--impair` takes it, without a seed: half of the time each way. */
export function linkOf(cell: Cell, shape: LinkShape): { impair: string; queueBytes: number } {
  const whole = Math.round(bdpBytes(shape.rateBps, cell.rttMs) * shape.queueBdp);
  const queueBytes = Math.max(whole, QUEUE_MIN_BYTES);
  const words = [
    `loss=${cell.lossPercent}%`, `rate=${shape.rateBps}bit`, `queue=${queueBytes}`,
    `delay=${cell.rttMs * 500}us`,
  ];
  return { impair: words.join(','), queueBytes };
}

const WANTED = 'LOSS:RTT or LOSS:RTT:DIRECTION is wanted, per cent, ms, in or out, such as 0.1:60';

/** `0.1:60,3:150:out`: loss in per cent, ms of round trip, both directions or one. */
export function parseCells(text: string): Cell[] {
  return text.split(',').flatMap((word) => {
    const match = /^(\d+(?:\.\d+)?):(\d+)(?::(in|out))?$/.exec(word.trim());
    const [, loss, rtt, direction] = match ?? [];
    const [lossPercent, rttMs] = [Number(loss), Number(rtt)];
    if (!(lossPercent <= 50 && rttMs >= 1 && rttMs <= 2000)) {
      throw new UsageError(`--cells ${word}: ${WANTED}`);
    }
    return product([lossPercent], [rttMs],
      direction === undefined ? DIRECTIONS : [direction as Direction]);
  });
}
