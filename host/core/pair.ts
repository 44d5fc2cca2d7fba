/**
 * Two engines joined ring to ring, with a clock that moves only when told: the bench on which
 * footprint.ts and the tests of scale make real connections. No elements and no schedule (host/sim
 * has those): what one engine publishes the other finds at its next poll, a filter may drop frames,
 * and either way can be held. Holds no protocol logic and looks into no packet.
 */

import { LINK_UP, LINK_VNET_HDR, VNET_HDR_BYTES } from '../../assembly/abi.js';
import { requireCidr } from './address.js';
import type { EngineConfig } from './config.js';
import { Engine, type Handle, type ModuleSource } from './engine.js';
import { LinkRing } from './ring.js';

/** Frames and sends a poll: the largest ring, so that a round is one poll of each engine. */
const BUDGET = 4096;
/** Rounds without the clock moving before it is called a livelock. */
const ROUNDS_MAX = 1_000_000;
const NEVER = 0xffffffff;

export interface PairOptions {
  /** For each engine. */
  config: readonly [EngineConfig, EngineConfig];
  /** LINK_* bits beside LINK_UP. */
  flags?: number;
  mtu?: number;
  /** CIDR texts of each engine. */
  addresses?: readonly [readonly string[], readonly string[]];
}

/** One end: an engine and its link. */
export class PairEnd {
  readonly engine: Engine;
  readonly ring: LinkRing;
  /** Frames of this end are dropped where it says so; counted from 0. */
  drop: ((frame: number) => boolean) | undefined;
  /** Frames stay in the transmit ring while true. */
  held = false;
  /** Frames that left, dropped ones too. */
  frames = 0;
  readonly #vnet: boolean;

  constructor(
    module: ModuleSource, config: EngineConfig, addresses: readonly string[], mtu: number,
    flags: number,
  ) {
    this.engine = Engine.load(module, config);
    const link = this.engine.linkAdd(flags | LINK_UP, mtu);
    const { bytes, words } = this.engine;
    this.ring = new LinkRing(bytes, words, this.engine.linkRing(link));
    this.#vnet = (flags & LINK_VNET_HDR) !== 0;
    for (const address of addresses) this.engine.addressAdd(link, requireCidr(address));
  }

  /** Carries frames to the other end, as many as it has room for. @returns how many left */
  carry(to: PairEnd, most = Number.MAX_SAFE_INTEGER): number {
    const { ring } = this;
    let count = 0;
    while (count < most && ring.txReady() > 0) {
      const lost = this.drop?.(this.frames) === true;
      if (!lost) {
        if (to.ring.rxFree() === 0) break;
        const address = to.ring.rxAddress();
        const length = ring.txCopy(to.ring.bytes, address);
        if (this.#vnet) ring.txVnet(to.ring.bytes, address - VNET_HDR_BYTES);
        to.ring.rxPublish(length, false);
      }
      ring.txReturn(1);
      this.frames++;
      count++;
    }
    return count;
  }
}

export class Pair {
  readonly client: PairEnd;
  readonly server: PairEnd;
  nowUs = 1_000_000;

  constructor(module: ModuleSource, options: PairOptions) {
    const { config, flags = 0, mtu = 1500 } = options;
    const [ours, theirs] = options.addresses ?? [['10.0.0.1/8'], ['10.0.0.2/8']];
    this.client = new PairEnd(module, config[0], ours, mtu, flags);
    this.server = new PairEnd(module, config[1], theirs, mtu, flags);
    this.settle();
  }

  /** One poll of each engine and what they publish carried over. @returns µs that both can wait */
  step(): number {
    const { client, server } = this;
    const clientUs = client.engine.poll(this.nowUs, BUDGET);
    let moved = client.held ? 0 : client.carry(server);
    const serverUs = server.engine.poll(this.nowUs, BUDGET);
    moved += server.held ? 0 : server.carry(client);
    return moved > 0 ? 0 : Math.min(clientUs, serverUs);
  }

  /** Steps until nothing moves without time, with each engine's events thrown away unless taken. */
  settle(onEvents?: () => void): number {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const waitUs = this.step();
      onEvents?.();
      if (waitUs > 0) return waitUs;
      if (this.client.held || this.server.held) return 0;
    }
    throw new Error('the engines never come to rest');
  }

  /** Lets time pass from timer to timer. */
  run(us: number, onEvents?: () => void): void {
    const endUs = this.nowUs + us;
    let waitUs = this.settle(onEvents);
    while (waitUs !== NEVER && this.nowUs + waitUs <= endUs) {
      this.nowUs += Math.max(1, waitUs);
      waitUs = this.settle(onEvents);
    }
    this.nowUs = endUs;
    this.settle(onEvents);
  }

  /** Events of both engines are taken and thrown away. */
  discardEvents(): void {
    this.client.engine.events(() => {});
    this.server.engine.events(() => {});
  }

  /** Accepts all that wait. */
  accept(listener: Handle): Handle[] {
    const accepted: Handle[] = [];
    for (;;) {
      const handle = this.server.engine.accept(listener);
      if (handle === undefined) return accepted;
      accepted.push(handle);
    }
  }
}
