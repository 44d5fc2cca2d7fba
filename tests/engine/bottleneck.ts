/**
 * Flows through one bottleneck in the simulator: a rate, a queue in bytes, a delay and random loss,
 * and what tcp_info says of them every 10 ms. For the tests of congestion control.
 */
import { Congestion, Option } from '../../assembly/abi.js';
import type { EngineConfig } from '../../host/core/config.js';
import type { TcpInfoRecord } from '../../host/core/records.js';
import {
  connect, delay, loss, rate, Server, Simulation, tailDrop, type End, type SimHost,
} from '../../host/sim/index.js';
import { engine as module } from '../sim/module.js';

export interface Bottleneck {
  mbps: number;
  rttMs: number;
  /** Queue in BDPs; 1 by default. */
  queue?: number;
  lossShare?: number;
  seed?: number;
  config?: EngineConfig;
  options?: readonly (readonly [Option, number])[];
}

const STEP_US = 10_000;

/** One bulk sender over a path; `samples` grows as it runs. */
export class Flow {
  readonly simulation: Simulation;
  readonly client: SimHost;
  readonly samples: TcpInfoRecord[] = [];
  readonly end: End;
  readonly #begunUs: number;

  constructor(controller: Congestion, readonly path: Bottleneck) {
    const { mbps, rttMs, queue = 1, lossShare = 0, seed = 1, options = [] } = path;
    const bdp = (mbps * 1e6 * rttMs) / 8000;
    const most = Math.max(4 * bdp, 262_144);
    const config: EngineConfig = {
      arenaBytes: 2 ** Math.ceil(Math.log2(2 * most)), segmentsMax: 16_384, tcp_rmem_max: most,
      tcp_wmem_max: most, rxSlots: 256, txSlots: 256, ...path.config,
    };
    this.simulation = new Simulation({ module, seed });
    const server = this.simulation.host('server', { config });
    this.client = this.simulation.host('client', {
      config: { ...config, tcp_congestion_control: controller },
    });
    const half = (rttMs * 1000) / 2;
    const forward = [rate(mbps * 1e6, tailDrop({ bytes: queue * bdp })), delay(half)];
    if (lossShare > 0) forward.push(loss(lossShare));
    const link = this.simulation.link(this.client, server, { forward, backward: [delay(half)] });
    new Server(server, 9, () => ({}));
    const [to] = link.addresses[1];
    if (to === undefined) throw new Error('the link has no address');
    this.#begunUs = this.simulation.nowUs;
    this.end = connect(this.client, to, 9, { sendBytes: 2 ** 50, options });
  }

  get info(): TcpInfoRecord {
    return this.client.engine.info(this.end.handle);
  }

  /** Runs to `seconds` after the beginning, with a sample every 10 ms. */
  to(seconds: number): this {
    const untilUs = this.#begunUs + seconds * 1e6;
    while (this.simulation.nowUs < untilUs) {
      this.simulation.runFor(STEP_US);
      this.samples.push(this.info);
    }
    return this;
  }

  /** Samples between two times, in seconds. */
  between(from: number, to: number): TcpInfoRecord[] {
    return this.samples.slice(...[from, to].map((s) => Math.round((s * 1e6) / STEP_US)));
  }

  /** Share of the rate that headers leave, which was acknowledged between two times, in seconds. */
  utilization(from: number, to: number): number {
    const [first, last] = [from, to].map((s) => {
      const sample = this.samples[Math.round((s * 1e6) / STEP_US) - 1];
      if (sample === undefined) throw new Error(`no sample at ${s} s`);
      return sample.bytes_acked;
    }) as [number, number];
    const bytes = last - first;
    return (bytes * 8) / (to - from) / (this.path.mbps * 1e6 * (1448 / 1500));
  }
}

export function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}
