/**
 * What a scenario is: a network, flows through it, the seconds that are measured, what must come
 * out, and, where a behaviour needs more than flows, a script. Plain data but for its functions, so
 * that JSON can say all that is declarative. Read by build.ts and run.ts, judged by check.ts,
 * explained in docs/sim.md.
 */
import type { Congestion, Option } from '../../../assembly/abi.js';
import type { ConfigName } from '../../core/config.js';
import type { Lab } from './lab.js';
import type { Summary } from './summary.js';

export type CcName = keyof typeof Congestion;

/** A number of seconds of virtual time; 0 is when the run begins. */
export type Seconds = number;

/** What a direction of a link does to packets beside rate, queue and delay. */
export interface DirectionSpec {
  /** Share of packets lost at random, 0 to 1. */
  loss?: number;
  /** Share of packets held back, and for how long; uniform from leastMs where that is given. */
  reorder?: { share: number; ms: number; leastMs?: number };
  /** Additional delay of each packet, uniform from 0, order kept. */
  jitterMs?: number;
  duplicate?: number;
  corrupt?: number;
  /** The nth packets with payload are lost, the first is 0. */
  loseData?: readonly number[];
  /** Nothing passes in these times. */
  outages?: readonly { from: Seconds; until?: Seconds }[];
  /** Packets that come in these times take so much longer; order is kept. */
  spikes?: readonly { from: Seconds; until: Seconds; ms: number }[];
  /** A middlebox overwrites these TCP options (3 window scale, 4 SACK permitted, …). */
  stripOptions?: readonly number[];
  /** A narrower hop; silent: it says nothing about what it drops (a black hole). */
  narrowMtu?: { bytes: number; silent?: boolean };
}

/** A link between two nodes, alike in both directions but for what the specs say. */
export interface LinkSpec {
  between: readonly [string, string];
  /** Bits a second, in millions; without it packets take no time to be sent. */
  rateMbps?: number;
  /** One way. */
  delayMs: number;
  /** Tail-drop queue in bandwidth-delay products; 1 unless said. */
  queueBdp?: number;
  /** Round-trip time of that product when the link's own 2 × delayMs is not the path's. */
  queueRttMs?: number;
  mtu?: number;
  /** From the first node to the second. */
  forward?: DirectionSpec;
  backward?: DirectionSpec;
}

/** One connection with one direction of bulk data. */
export interface FlowSpec {
  name?: string;
  from: string;
  to: string;
  /** When it opens; 0 unless said. */
  start?: Seconds;
  /** When its sender stops; the end of the run unless said. */
  end?: Seconds;
  /** Sends so many bytes and closes; without it there is always more. */
  bytes?: number;
  /** With bytes: does not close behind them, as a connection that will be used again. */
  keepOpen?: boolean;
  /** The run's controller unless said. */
  cc?: CcName;
  /** Socket options of the sender and of the receiver's listener, by Linux's names. */
  options?: OptionValues;
  receiverOptions?: OptionValues;
  /** The receiver reads nothing until then. */
  readFrom?: Seconds;
}

export type OptionValues = { [Name in keyof typeof Option]?: number };
export type Sysctls = { [Name in ConfigName]?: number };

/** One network with its flows. */
export interface Setup {
  seconds: Seconds;
  /** Figures are of these seconds; all of them unless said. */
  measure?: readonly [from: Seconds, until: Seconds];
  /** Between two samples of the time series; a thousandth of the run, 1 ms at least. */
  sampleMs?: number;
  hosts: readonly string[];
  routers?: readonly string[];
  links: readonly LinkSpec[];
  flows?: readonly FlowSpec[];
  /** Of all hosts, then of single ones. */
  sysctls?: Sysctls;
  hostSysctls?: Readonly<Record<string, Sysctls>>;
  /** tcp_rmem_max and tcp_wmem_max in BDP; Linux's values, or 4 where that is more, unless said. */
  buffersBdp?: number;
  /** Arranges what flows cannot say; called when the network stands, at second 0. */
  script?: (lab: Lab) => void;
  /** Figures of its own, or corrections; called when time is over. */
  figures?: (lab: Lab, measured: Measured) => Figures;
}

/** What is known of a run before its own figures are. */
export interface Measured {
  series: Series;
  flows: readonly FlowFigures[];
  figures: StandardFigures;
}

export type Figures = Record<string, number>;

/** What one run tells; the first ones are in every run. */
export interface StandardFigures {
  /** Of virtual time that was measured. */
  seconds: number;
  /** Payload that receivers' applications got, bits a second of all flows. */
  goodputBps: number;
  /** goodputBps over what headers leave of the slowest link's rate; 0 without a rate. */
  utilization: number;
  /** Segments sent again, and time-outs, of all senders, in the measured seconds. */
  retransmits: number;
  timeouts: number;
  segments: number;
  drops: number;
  /** Medians over the samples: smoothed RTT of all flows, bytes in the slowest link's queue. */
  rttMsP50: number;
  queueBytesP50: number;
  /** Jain's index over the flows' goodput: 1 is equal. */
  jain: number;
}

/** One row of a table scenario: what it is, and the setup. */
export interface Case {
  columns: Readonly<Record<string, string | number>>;
  setup: Setup;
}

/** An outcome: of a figure, over the seeds, for these controllers (all unless said). */
export interface Expectation {
  figure: string;
  /** Which row of a table, by a column's value. */
  row?: Readonly<Record<string, string | number>>;
  cc?: readonly CcName[];
  atLeast?: number;
  atMost?: number;
  /** What it compares with instead of a constant: another row's figure times a factor. */
  than?: { figure?: string; row?: Readonly<Record<string, string | number>>; times: number };
}

export interface Scenario {
  name: string;
  /** One line for --list. */
  title: string;
  /** Page of the gallery (docs/gallery/PAGE.md) when it is not called as the scenario. */
  page?: string;
  /** Controller unless --cc says otherwise; cubic, as Linux. */
  cc?: CcName;
  /** Seeds that its figures are the mean of, unless --seeds says otherwise; 1. */
  seeds?: number;
  /** Controllers that it is judged with and that the golden file keeps; cc alone unless said. */
  controllers?: readonly CcName[];
  /** What tests run of a long one: fewer seeds, less time. */
  slice?: { seeds?: number; seconds?: Seconds; measure?: readonly [Seconds, Seconds] };
  /** Either one network, or one for each row of a table. */
  setup?: Setup;
  cases?: readonly Case[];
  /** Figures that a row shows; goodputBps, retransmits, timeouts unless said. */
  shows?: readonly string[];
  expect?: readonly Expectation[];
  /** Figures that the golden file keeps, with what is worse and how much worse is too much. */
  golden?: readonly GoldenFigure[];
}

export interface GoldenFigure {
  figure: string;
  better: 'more' | 'less' | 'same';
  /** Share of the kept value that it may be worse, 0.05 is 5 %. */
  tolerance: number;
  /** Differences up to this are none, whatever the share. */
  slack?: number;
}

/** Something that happened, for the story that a run prints. */
export interface StoryLine {
  seconds: Seconds;
  text: string;
}

/** Columns by name, a value a sample; NaN where there was nothing to sample. */
export interface Series {
  seconds: Float64Array;
  columns: Map<string, Float64Array>;
}

export interface Run {
  seed: number;
  cc: CcName;
  figures: StandardFigures & Figures;
  flows: readonly FlowFigures[];
  story: readonly StoryLine[];
  series: Series;
}

export interface FlowFigures {
  name: string;
  cc: CcName;
  goodputBps: number;
  retransmits: number;
  timeouts: number;
  rttMsP50: number;
}

/** All runs of a scenario, or of one of its rows. */
export interface Outcome {
  columns: Readonly<Record<string, string | number>>;
  runs: readonly Run[];
  /** Mean and spread of each figure over the seeds. */
  summary: Readonly<Record<string, Summary>>;
}

export interface Report {
  scenario: Scenario;
  cc: CcName;
  seeds: readonly number[];
  outcomes: readonly Outcome[];
}
