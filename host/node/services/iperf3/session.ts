/**
 * What the two roles of an iperf3 test share: numbering the data streams, the block to send, and
 * the options of sockets. Called by client.ts and server.ts.
 */

import { randomBytes } from 'node:crypto';
import type { ServiceSocket, SocketOptions } from '../seam.js';
import { DataStream, SendBudget, type SendPlan } from './data-stream.js';
import type { Parameters } from './parameters.js';

/** A stream without a byte for so long ends the test; iperf3's --rcv-timeout. */
export const IDLE_MS = 120_000;
/** The numbers shown begin where iperf3's descriptors do and leave its gaps. */
const FIRST_SHOWN = 5;
const SHOWN_STEP = 2;

/**
 * Streams in the order in which the client connected them: the client's senders first.
 * iperf3 numbers them 1, 3, 4, 5, … and results are matched by these numbers.
 */
export function numberStreams(
  sockets: readonly ServiceSocket[],
  p: Parameters,
  role: 'client' | 'server',
): DataStream[] {
  return sockets.map((socket, index) => {
    const clientSends = p.bidir ? index < p.parallel : !p.reverse;
    const id = index === 0 ? 1 : index + 2;
    const shown = FIRST_SHOWN + SHOWN_STEP * index;
    return new DataStream(id, shown, clientSends === (role === 'client'), socket);
  });
}

/** How many data connections the test has. */
export function streamCount(p: Parameters): number {
  return p.bidir ? 2 * p.parallel : p.parallel;
}

/** Bytes that end the test, from -n or -k; 0 when time ends it. */
export function goalBytes(p: Parameters): number {
  return p.bytes || p.blocks * p.blockBytes;
}

/** Random, as iperf3's is, so that a link which compresses does not flatter itself. */
export function sendPlan(p: Parameters): SendPlan {
  return {
    block: randomBytes(p.blockBytes), budget: new SendBudget(goalBytes(p)), bitrate: p.bitrate,
  };
}

/** The options a test asks of its data sockets. */
export function socketOptions(p: Parameters): SocketOptions {
  return {
    ...(p.congestion !== '' && { TCP_CONGESTION: p.congestion }),
    ...(p.mss > 0 && { TCP_MAXSEG: p.mss }),
    ...(p.window > 0 && { SO_BUF: p.window }),
    ...(p.tos > 0 && { IP_TOS: p.tos }),
  };
}
