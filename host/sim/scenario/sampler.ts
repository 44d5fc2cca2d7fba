/**
 * Time series of a run: every so many ms of virtual time a value for each column. Nothing is
 * changed by looking. Called by run.ts; columns go to CSV, charts and plots.
 */
import { Actor } from '../schedule.js';
import { START_US } from './build.js';
import type { Lab } from './lab.js';
import { median } from './summary.js';
import type { Series } from './types.js';

/** Columns of each flow, with `.NAME` behind when there are several. */
export const FLOW_COLUMNS = [
  'cwndBytes', 'ssthreshBytes', 'inFlightBytes', 'rttMs', 'goodputBps',
] as const;
/** Columns of the network: bytes in the slowest link's queue, packets dropped since the last. */
export const SHARED_COLUMNS = ['queueBytes', 'drops'] as const;

export class Sampler extends Actor {
  readonly #columns = new Map<string, Float64Array>();
  readonly #seconds: Float64Array;
  readonly #received: number[];
  #drops = 0;
  #count = 0;

  constructor(readonly lab: Lab, readonly everyUs: number) {
    super();
    const length = Math.floor((lab.setup.seconds * 1e6) / everyUs);
    this.#seconds = new Float64Array(length);
    this.#received = lab.flows.map(() => 0);
    const names = lab.flows.flatMap((_, at) => FLOW_COLUMNS.map((name) => this.column(name, at)));
    for (const name of [...names, ...SHARED_COLUMNS]) {
      this.#columns.set(name, new Float64Array(length).fill(NaN));
    }
    lab.simulation.schedule.set(this, START_US + everyUs);
  }

  /** A flow's column. */
  column(name: (typeof FLOW_COLUMNS)[number], flow: number): string {
    return this.lab.flows.length === 1 ? name : `${name}.${this.lab.flows[flow]?.name}`;
  }

  #put(name: string, value: number): void {
    (this.#columns.get(name) as Float64Array)[this.#count] = value;
  }

  override fire(nowUs: number): void {
    if (this.#count >= this.#seconds.length) return;
    const { lab } = this;
    this.#seconds[this.#count] = (nowUs - START_US) / 1e6;
    lab.flows.forEach((flow, at) => {
      const sample = flow.sample();
      for (const name of ['cwndBytes', 'ssthreshBytes', 'inFlightBytes', 'rttMs'] as const) {
        this.#put(this.column(name, at), sample[name]);
      }
      const received = flow.received - (this.#received[at] as number);
      this.#put(this.column('goodputBps', at), (received * 8e6) / this.everyUs);
      this.#received[at] = flow.received;
    });
    this.#put('queueBytes', lab.network.bottleneck?.queue.queueBytes ?? 0);
    this.#put('drops', lab.drops - this.#drops);
    this.#drops = lab.drops;
    this.#count++;
    lab.simulation.schedule.set(this, nowUs + this.everyUs);
  }

  series(): Series {
    const columns = new Map([...this.#columns].map(([name, values]) =>
      [name, values.subarray(0, this.#count)]));
    return { seconds: this.#seconds.subarray(0, this.#count), columns };
  }
}

/** Median of the samples in (from, until] of the columns with this name, of any flow. */
export function medianOf(series: Series, name: string, from: number, until: number): number {
  const picked: number[] = [];
  for (const [column, values] of series.columns) {
    if (column !== name && !column.startsWith(`${name}.`)) continue;
    values.forEach((value, at) => {
      const seconds = series.seconds[at] as number;
      if (seconds > from && seconds <= until) picked.push(value);
    });
  }
  return median(Float64Array.from(picked));
}
