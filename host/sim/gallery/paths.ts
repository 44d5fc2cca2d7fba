/**
 * Networks that many scenarios of the gallery share: one connection over one link, and several
 * senders that meet at one link. Called by the scenarios beside it.
 */
import type { DirectionSpec, FlowSpec, LinkSpec, Setup } from '../scenario/index.js';

export interface PathSpec {
  rateMbps: number;
  /** Round-trip time without queues. */
  rttMs: number;
  seconds: number;
  measure?: readonly [number, number];
  queueBdp?: number;
  /** What the way of the data and the way of the ACKs do to packets. */
  data?: DirectionSpec;
  acks?: DirectionSpec;
  mtu?: number;
}

/** The link of a path, from `sender` to `receiver`. */
export function pathLink(path: PathSpec): LinkSpec {
  const { rateMbps, rttMs, queueBdp, data, acks, mtu } = path;
  return {
    between: ['sender', 'receiver'], rateMbps, delayMs: rttMs / 2,
    ...(queueBdp === undefined ? {} : { queueBdp }),
    ...(data === undefined ? {} : { forward: data }),
    ...(acks === undefined ? {} : { backward: acks }),
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** One link between two hosts, with one endless flow unless others are given. */
export function onePath(path: PathSpec, more: Partial<Setup> = {}): Setup {
  return {
    seconds: path.seconds,
    ...(path.measure === undefined ? {} : { measure: path.measure }),
    hosts: ['sender', 'receiver'],
    links: [pathLink(path)],
    flows: [{ from: 'sender', to: 'receiver' }],
    ...more,
  };
}

/** Several flows between the two hosts of one link; they begin at the same time unless they say. */
export function sharedPath(
  path: PathSpec, flows: readonly Partial<FlowSpec>[], more: Partial<Setup> = {},
): Setup {
  const whole = flows.map((flow, at) =>
    ({ name: `flow${at + 1}`, from: 'sender', to: 'receiver', ...flow }));
  return onePath(path, { flows: whole, ...more });
}
