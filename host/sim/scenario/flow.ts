/**
 * One flow of a scenario while it runs: its sender and receiver, and what tcp_info says of it at a
 * moment. Made by lab.ts; asked by sampler.ts and run.ts.
 */
import { Congestion, TcpInfo } from '../../../assembly/abi.js';
import { START_US } from './build.js';
import { BulkReceiver, BulkSender } from './bulk.js';
import type { Lab } from './lab.js';
import type { CcName, FlowSpec } from './types.js';

/** What is sampled of a connection. NaN: not known yet, or without limit. */
export interface Sample {
  cwndBytes: number;
  ssthreshBytes: number;
  inFlightBytes: number;
  rttMs: number;
  mss: number;
  retransmits: number;
  timeouts: number;
}

const INFINITE = 0x7fffffff;
const NOTHING: Sample = {
  cwndBytes: NaN, ssthreshBytes: NaN, inFlightBytes: NaN, rttMs: NaN, mss: 0,
  retransmits: 0, timeouts: 0,
};

export class Flow {
  readonly name: string;
  readonly cc: CcName;
  sender: BulkSender | undefined;
  receiver: BulkReceiver | undefined;
  /** The last sample of it while it lived. */
  last: Sample = NOTHING;

  constructor(readonly lab: Lab, readonly spec: FlowSpec, readonly port: number) {
    this.name = spec.name ?? `flow${port % 1000}`;
    this.cc = spec.cc ?? lab.cc;
  }

  /** Puts its beginning and end into the schedule. */
  plan(): void {
    const { lab, spec } = this;
    lab.at(spec.start ?? 0, () => this.#start());
    if (spec.end !== undefined) lab.at(spec.end, () => this.sender?.stop());
    if (spec.readFrom !== undefined) lab.at(spec.readFrom, () => this.receiver?.resume());
  }

  #start(): void {
    const { lab, spec } = this;
    const paused = (spec.readFrom ?? 0) > 0;
    const receiverOptions = spec.receiverOptions ?? {};
    this.receiver = new BulkReceiver(lab.host(spec.to), this.port, receiverOptions, paused);
    const options = { TCP_CONGESTION: Congestion[this.cc], ...spec.options };
    this.sender = new BulkSender(
      lab.host(spec.from), lab.address(spec.to), this.port, spec.bytes ?? Infinity, options,
      spec.keepOpen,
    );
  }

  /** Payload that the receiver's application has read. */
  get received(): number {
    return this.receiver?.received ?? 0;
  }

  /** Second at which the receiver had read all of `bytes`; Infinity before. */
  get finished(): number {
    const { receiver, spec } = this;
    if (receiver === undefined || receiver.received < (spec.bytes ?? Infinity)) return Infinity;
    return (receiver.readUs - START_US) / 1e6;
  }

  /** Asks tcp_info. */
  sample(): Sample {
    const { sender } = this;
    if (sender === undefined || !sender.open) return { ...NOTHING, ...this.#totals() };
    const { engine } = sender.host;
    if (engine.calls.tcpInfo(sender.handle.index, sender.handle.generation) < 0) return NOTHING;
    const word = (at: TcpInfo): number => engine.result[at] as number;
    const mss = word(TcpInfo.snd_mss);
    const ssthresh = word(TcpInfo.snd_ssthresh);
    const segments = word(TcpInfo.unacked) - word(TcpInfo.sacked) - word(TcpInfo.lost) +
      word(TcpInfo.retrans);
    this.last = {
      cwndBytes: word(TcpInfo.cwnd_bytes),
      ssthreshBytes: ssthresh === INFINITE ? NaN : word(TcpInfo.ssthresh_bytes),
      inFlightBytes: Math.max(0, segments) * mss,
      rttMs: word(TcpInfo.rtt) === 0 ? NaN : word(TcpInfo.rtt) / 1000,
      mss,
      retransmits: word(TcpInfo.total_retrans),
      timeouts: word(TcpInfo.total_rto),
    };
    return this.last;
  }

  #totals(): Pick<Sample, 'mss' | 'retransmits' | 'timeouts'> {
    const { mss, retransmits, timeouts } = this.last;
    return { mss, retransmits, timeouts };
  }
}
