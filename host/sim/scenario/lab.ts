/**
 * A running scenario as scripts and figures see it: the network, its flows, the clock in seconds, a
 * story to tell, counters. Made by run.ts; scripts arrange applications (sim/apps.ts) with it.
 */
import { TraceRetransmit } from '../../../assembly/abi.js';
import type { AddressWords } from '../../core/address.js';
import type { CounterName } from '../../core/engine.js';
import { TraceReader, type TraceRecord } from '../../core/trace.js';
import { connect, Server, type End, type EndOptions } from '../apps.js';
import type { SimHost } from '../sim-host.js';
import { START_US, type Network } from './build.js';
import { Flow } from './flow.js';
import type { CcName, Setup, StoryLine } from './types.js';

/** The first flow's port; the others follow. */
const FIRST_PORT = 5001;
/** Retransmissions of one kind that follow closer are told as one. */
const GROUP_SECONDS = 0.1;
/** A story is for people: what is longer is cut, and says so. */
const STORY_LINES = 200;

export class Lab {
  readonly flows: readonly Flow[];
  readonly story: StoryLine[] = [];
  /** What scripts keep between events and figures. */
  readonly notes = new Map<string, number>();
  readonly #startUs = START_US;

  constructor(
    readonly setup: Setup, readonly network: Network, readonly cc: CcName, readonly seed: number,
  ) {
    this.flows = (setup.flows ?? []).map((spec, at) => new Flow(this, spec, FIRST_PORT + at));
  }

  get simulation(): Network['simulation'] {
    return this.network.simulation;
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (this.simulation.nowUs - this.#startUs) / 1e6;
  }

  /** @throws RangeError when the scenario has no such host */
  host(name: string): SimHost {
    const host = this.network.hosts.get(name);
    if (host === undefined) throw new RangeError(`no host is called ${name}`);
    return host;
  }

  address(name: string): AddressWords {
    const address = this.network.addresses.get(name);
    if (address === undefined) throw new RangeError(`${name} has no link`);
    return address;
  }

  /** Calls back at that second, or at once when it is over. */
  at(seconds: number, callback: () => void): void {
    this.simulation.at(this.#startUs + Math.round(seconds * 1e6), callback);
  }

  after(seconds: number, callback: () => void): void {
    this.at(this.seconds + seconds, callback);
  }

  say(text: string): void {
    if (this.story.length < STORY_LINES) this.story.push({ seconds: this.seconds, text });
    else if (this.story.length === STORY_LINES) {
      this.story.push({ seconds: this.seconds, text: '… and more' });
    }
  }

  /** Keeps a number for figures(). */
  note(name: string, value: number): void {
    this.notes.set(name, value);
  }

  /** A number that was noted. @throws RangeError when it was not: the script did not get there */
  noted(name: string): number {
    const value = this.notes.get(name);
    if (value === undefined) throw new RangeError(`nothing was noted as ${name}`);
    return value;
  }

  /** Opens a connection of an application; its bytes are verified (sim/apps.ts). */
  connect(from: string, to: string, port: number, options: EndOptions = {}): End {
    return connect(this.host(from), this.address(to), port, options);
  }

  serve(
    on: string, port: number, options: (index: number) => EndOptions = () => ({}), backlog = 128,
  ): Server {
    return new Server(this.host(on), port, options, backlog);
  }

  counter(host: string, name: CounterName): number {
    return this.host(host).engine.counter(name);
  }

  /** A counter over all hosts. */
  total(name: CounterName): number {
    let total = 0;
    for (const host of this.network.hosts.values()) total += host.engine.counter(name);
    return total;
  }

  /** Tells each new record of a host's trace ring, such as retransmissions, when it is polled. */
  trace(name: string, callback: (record: TraceRecord, seconds: number) => void): void {
    const host = this.host(name);
    const reader = new TraceReader(host.engine);
    host.onPoll = () => {
      reader.read((record) => callback(record, (record.timeUs - this.#startUs) / 1e6));
    };
  }

  /** Tells what a host sends again: a line for each run of retransmissions of one kind. */
  tellRetransmissions(name: string): void {
    let group = { kind: '', from: 0, last: 0, count: 0 };
    const told = (): void => {
      if (group.count === 0) return;
      const { kind, from, last, count } = group;
      const until = count > 1 ? ` until ${last.toFixed(6)} s` : '';
      const line = `${count} segment${count > 1 ? 's' : ''} sent again (${kind})${until}`;
      this.story.push({ seconds: from, text: line });
      this.story.sort((left, right) => left.seconds - right.seconds);
    };
    this.trace(name, (record, seconds) => {
      if (record.kind !== 'Retransmit') return;
      const kind = TraceRetransmit[record.c] ?? 'other';
      if (kind === group.kind && seconds - group.last < GROUP_SECONDS) {
        group.last = seconds;
        group.count++;
        return;
      }
      told();
      group = { kind, from: seconds, last: seconds, count: 1 };
    });
    this.at(this.setup.seconds, told);
  }

  /** Frames that elements of all links dropped. */
  get drops(): number {
    let drops = 0;
    for (const { forward, backward } of this.network.wires) {
      for (const { dropped } of forward) drops += dropped;
      for (const { dropped } of backward) drops += dropped;
    }
    return drops;
  }
}
