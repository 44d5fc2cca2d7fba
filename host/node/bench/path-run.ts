/**
 * What one measurement of a path is told and what it answers; goes from paths.ts to path-end.ts and
 * back as JSON.
 */

import type { Punctuality } from '../link/impaired.js';
import type { Who } from './ends.js';
import type { Direction } from './iperf3-run.js';

/**
 * The emulator shall keep its times on a busy machine too: beside eight other processes on two CPUs
 * every tenth packet was more than 0.5 ms late, nice or not, and in the real-time class one of a
 * hundred. iperf3 has a lower one: in the same it span in its select() and nothing else moved.
 * Only root may.
 */
export const EMULATOR_CLASS = ['chrt', '--fifo', '2'];
export const IPERF3_CLASS = ['chrt', '--rr', '1'];
/**
 * V8's main thread waits for the threads of its collector by asking again and again: in the
 * real-time class, with every CPU asked away, they never got to run.
 */
export const EMULATOR_FLAGS = ['--single-threaded-gc'];

export interface PathRun {
  /** Who is at the far end: our stack, or a second kernel namespace. */
  who: Who;
  /** in: the near end, always the kernel, sends; out: the far end sends. */
  direction: Direction;
  /** Words of --impair. */
  impair: string;
  /** Of both ends, by Linux's name. */
  congestion: string;
  /** tcp_rmem and tcp_wmem of both ends, as Linux writes them. */
  rmem: string;
  wmem: string;
  seconds: number;
  /** Run in the classes above. */
  realTime: boolean;
}

/** As read back from an end: not every kernel lets every namespace choose. */
export interface EndSettings {
  rmem: string;
  wmem: string;
}

export interface PathFigures {
  /** Payload at the receiver, from the beginning to the end of the run. */
  goodputBps: number;
  retransmits: number;
  /** The controller that the connection had at each end. */
  sender: string;
  receiver: string;
  near: EndSettings;
  far: EndSettings;
  /** Of one CPU: the emulator (with our stack in it, when that is the far end), and each iperf3. */
  linkCpu: number;
  clientCpu: number;
  serverCpu: number;
  /** How well the emulator kept its times. */
  punctuality: Punctuality;
  /** Frames that the device behind the emulator had no room for: a loss that nobody asked for. */
  dropped: number;
}
