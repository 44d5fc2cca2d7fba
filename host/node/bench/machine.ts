/**
 * The machine that figures are of. Used by tun.ts and paths.ts.
 */

import os from 'node:os';

export interface Machine {
  cpus: number;
  model: string;
  kernel: string;
  node: string;
  /** Load average of the last minute before the first run. */
  load: number;
}

export function machine(): Machine {
  return {
    cpus: os.availableParallelism(), model: os.cpus()[0]?.model ?? 'unknown',
    kernel: `${os.type()} ${os.release()} ${os.machine()}`, node: process.version,
    load: os.loadavg()[0] ?? 0,
  };
}

/** One line for a terminal. */
export function describeMachine(date: string, m: Machine): string {
  return `${date.slice(0, 10)}, ${m.cpus} CPUs (${m.model}), ${m.kernel}, Node ${m.node}, `
    + `load ${m.load.toFixed(1)}`;
}
