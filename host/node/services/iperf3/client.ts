/**
 * The iperf3 client: one TCP test against our server or the real one. Called by `ackorn iperf3 -c`
 * and the benchmarks. Follows the states of the control connection in their order and refuses any
 * other; all text goes to `log`, all figures into the report.
 */

import type { ServiceSocket, SocketOptions, Transport } from '../seam.js';
import type { DataStream } from './data-stream.js';
import { Measurement } from './measurement.js';
import { decodeParameters, encodeParameters, type Parameters } from './parameters.js';
import {
  ControlChannel, Iperf3Error, IperfErrno, makeCookie, SERVER_RESULTS_MAX_BYTES, State,
} from './protocol.js';
import {
  describeEnd, describeInterval, describeStart, emptyReport, type Iperf3Report,
} from './report-json.js';
import { TextReport } from './report-text.js';
import { decodeResults, encodeResults, endRows, type PeerResults } from './results.js';
import {
  goalBytes, IDLE_MS, numberStreams, sendPlan, socketOptions, streamCount,
} from './session.js';

const DEFAULT_PORT = 5201;
const DEFAULT_DURATION_S = 10;
/** Without an answer to a state of ours for so long, the server is gone. */
const ANSWER_MS = 30_000;
const INTERVAL_MIN_S = 0.1;
const INTERVAL_MAX_S = 60;

/** Names in brackets are iperf3's options. */
export interface Iperf3ClientOptions {
  host: string;
  port?: number;
  /** Seconds [-t]; 10 unless bytes or blocks say otherwise. */
  time?: number;
  /** Ends when one direction moved so many bytes [-n]. */
  bytes?: number;
  /** Ends when one direction moved so many blocks [-k]. */
  blocks?: number;
  /** Block length in bytes [-l]. */
  length?: number;
  parallel?: number;
  reverse?: boolean;
  bidir?: boolean;
  /** Seconds at the start that do not count [-O]. */
  omit?: number;
  /** Seconds between reports [-i]; 0 for one at the end. */
  interval?: number;
  title?: string;
  /** Congestion controller, on both sides [-C]. */
  congestion?: string;
  /** Bytes [-M]. */
  mss?: number;
  noDelay?: boolean;
  /** Socket buffers in bytes [-w]. */
  window?: number;
  /** Bits per second and stream [-b]. */
  bitrate?: number;
  tos?: number;
  getServerOutput?: boolean;
  /** Lines as `iperf3 -c` prints them. */
  log?: (line: string) => void;
  /** Ends the test early: the server reads CLIENT_TERMINATE. */
  signal?: AbortSignal;
  /** Silence on all data streams that ends the test, in milliseconds. */
  idleMs?: number;
}

/** The error of a failed test; `report` has what was measured until then, and the error. */
export class Iperf3ClientError extends Iperf3Error {
  constructor(error: Iperf3Error, readonly report: Iperf3Report) {
    super(error.iperfErrno, '', error.errno);
    this.message = error.message;
    report.error = error.message;
  }
}

/**
 * Runs one test to its end.
 * @throws Iperf3ClientError with iperf3's number: a bad option, no server, a busy one
 *   (IEACCESSDENIED), a server's refusal, a broken connection
 */
export async function runIperf3Client(
  transport: Transport,
  options: Iperf3ClientOptions,
): Promise<Iperf3Report> {
  const report = emptyReport(options.title ?? '');
  try {
    const client = new Client(transport, options, clientParameters(options), report);
    await client.run();
    return report;
  } catch (thrown) {
    const error = thrown instanceof Iperf3Error ? thrown
      : new Iperf3Error(IperfErrno.IERECVMESSAGE, String(thrown));
    throw new Iperf3ClientError(error, report);
  }
}

/** Checked by the same bounds that a server has. */
function clientParameters(o: Iperf3ClientOptions): Parameters {
  const ends = [o.time, o.bytes, o.blocks].filter((end) => end !== undefined);
  if (ends.length > 1) throw new Iperf3Error(IperfErrno.IEENDCONDITIONS);
  const interval = o.interval ?? 1;
  const usable = interval === 0 || (interval >= INTERVAL_MIN_S && interval <= INTERVAL_MAX_S);
  if (!usable) throw new Iperf3Error(IperfErrno.IEINTERVAL);
  const wanted: Record<string, unknown> = {
    time: o.time ?? (ends.length > 0 ? 0 : DEFAULT_DURATION_S), num: o.bytes, omit: o.omit,
    blockcount: o.blocks, len: o.length, parallel: o.parallel, reverse: o.reverse,
    bidirectional: o.bidir, nodelay: o.noDelay, MSS: o.mss, window: o.window,
    bandwidth: o.bitrate, TOS: o.tos, congestion: o.congestion, title: o.title,
    get_server_output: o.getServerOutput ? 1 : undefined,
  };
  if (o.length === 0) throw new Iperf3Error(IperfErrno.IEBLOCKSIZE);
  const parameters = decodeParameters(wanted);
  // -t 0 is iperf3's "until interrupted"; -n 0 and -k 0 would be the same by accident.
  if (ends.length > 0 && o.time === undefined && goalBytes(parameters) === 0) {
    throw new Iperf3Error(IperfErrno.IEENDCONDITIONS);
  }
  return parameters;
}

class Client {
  #cookie = makeCookie();
  #control!: ControlChannel;
  #streams: DataStream[] = [];
  #text: TextReport;
  #measurement!: Measurement;
  #ended!: () => void;
  #end = new Promise<void>((resolve) => { this.#ended = resolve; });

  constructor(
    readonly transport: Transport,
    readonly options: Iperf3ClientOptions,
    readonly parameters: Parameters,
    readonly report: Iperf3Report,
  ) {
    const { bidir, parallel } = parameters;
    const log = (line: string): void => this.#log(line);
    this.#text = new TextReport({ log, role: 'client', bidir, parallel });
  }

  async run(): Promise<void> {
    const { host, port = DEFAULT_PORT, signal } = this.options;
    this.#log(`Connecting to host ${host}, port ${port}`);
    this.#control = new ControlChannel(await this.#connect(host, port, IperfErrno.IECONNECT));
    const interrupt = (): void => this.#interrupt();
    signal?.addEventListener('abort', interrupt);
    if (signal?.aborted) interrupt();
    try {
      await this.#test(host, port);
    } catch (error) {
      this.#finishEarly();
      throw error;
    } finally {
      signal?.removeEventListener('abort', interrupt);
      for (const stream of this.#streams) stream.close();
      this.#control.close();
    }
  }

  async #test(host: string, port: number): Promise<void> {
    const control = this.#control;
    control.socket.setNoDelay?.(true);
    control.socket.write(this.#cookie);
    await this.#expect(State.PARAM_EXCHANGE);
    control.sendJson(encodeParameters(this.parameters));
    await this.#expect(State.CREATE_STREAMS);
    if (this.parameters.reverse) this.#log(`Reverse mode, remote host ${host} is sending`);
    await this.#createStreams(host, port);
    const cookie = this.#cookie.toString('latin1', 0, this.#cookie.length - 1);
    describeStart(
      this.report, { host, port, cookie }, this.parameters, control.socket, this.#streams,
    );
    this.#measurement = this.#measure();
    await this.#expect(State.TEST_START);
    await this.#expect(State.TEST_RUNNING);
    this.#measurement.start();
    const next = this.#expect(State.EXCHANGE_RESULTS, false);
    await Promise.race([this.#end, next.then(() => this.#unexpected())]);
    this.#measurement.finish();
    control.sendState(State.TEST_END);
    await this.#answered(next);
    control.sendJson(encodeResults(this.#streams, this.#measurement));
    const results = control.readJson(SERVER_RESULTS_MAX_BYTES, IperfErrno.IERECVRESULTS);
    const peer = decodeResults(await this.#answered(results), this.#streams);
    // A real server goes on sending it once somebody asked.
    if (!this.parameters.getServerOutput) peer.serverOutputText = peer.serverOutputJson = undefined;
    await this.#expect(State.DISPLAY_RESULTS);
    this.#display(peer);
    control.sendState(State.IPERF_DONE);
  }

  async #connect(
    host: string,
    port: number,
    failure: number,
    options?: SocketOptions,
  ): Promise<ServiceSocket> {
    try {
      return await this.transport.connect({ host, port, ...(options && { options }) });
    } catch (error) {
      throw new Iperf3Error(failure, (error as Error).message);
    }
  }

  async #createStreams(host: string, port: number): Promise<void> {
    const { parameters } = this;
    const options = socketOptions(parameters);
    const sockets: ServiceSocket[] = [];
    const asked = Object.keys(options);
    if (asked.length > 0 && !this.transport.setsOptions) {
      this.#log(`warning: ${asked.join(', ')} cannot be set on this side`);
    }
    try {
      for (let i = 0; i < streamCount(parameters); i++) {
        const socket = await this.#connect(host, port, IperfErrno.IESTREAMCONNECT, options);
        sockets.push(socket);
        socket.on('error', () => undefined); // DataStream has its own ear for it while it runs
        if (parameters.noDelay) socket.setNoDelay?.(true);
        socket.write(this.#cookie);
      }
    } finally {
      this.#streams = numberStreams(sockets, parameters, 'client');
    }
    for (const stream of this.#streams) this.#text.connected(stream);
  }

  #measure(): Measurement {
    const control = this.#control;
    const { parameters } = this;
    return new Measurement({
      streams: this.#streams,
      plan: sendPlan(parameters),
      omitS: parameters.omitS,
      durationS: parameters.durationS,
      goalBytes: goalBytes(parameters),
      intervalS: this.options.interval ?? 1,
      idleMs: this.options.idleMs ?? IDLE_MS,
      onInterval: (interval) => {
        this.#text.interval(interval);
        this.report.intervals.push(describeInterval(interval));
      },
      onOmitted: () => undefined,
      onEnd: () => this.#ended(),
      onIdle: () => control.fail(new Iperf3Error(IperfErrno.IENOMSG)),
      onStreamError: (stream, error) => {
        const number = stream.sender ? IperfErrno.IESTREAMWRITE : IperfErrno.IESTREAMREAD;
        control.failSoon(new Iperf3Error(number, error.message));
      },
    });
  }

  /** The next state must be this one. Refusals and ends become the errors that iperf3 has. */
  async #expect(state: number, timed = true): Promise<void> {
    const control = this.#control;
    const got = await (timed ? this.#answered(control.readState()) : control.readState());
    switch (got) {
      case state:
        return;
      case State.ACCESS_DENIED:
        throw new Iperf3Error(IperfErrno.IEACCESSDENIED);
      case State.SERVER_ERROR: {
        const numbers = await this.#answered(control.read(8));
        throw new Iperf3Error(numbers.readUInt32BE(0), '', numbers.readUInt32BE(4));
      }
      case State.SERVER_TERMINATE:
        throw new Iperf3Error(IperfErrno.IESERVERTERM);
      default:
        throw new Iperf3Error(IperfErrno.IEMESSAGE, `state ${got}`);
    }
  }

  async #answered<T>(answer: Promise<T>): Promise<T> {
    const silent = new Iperf3Error(IperfErrno.IERECVMESSAGE, `nothing for ${ANSWER_MS} ms`);
    const timer = setTimeout(() => this.#control.fail(silent), ANSWER_MS);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  #unexpected(): never {
    throw new Iperf3Error(IperfErrno.IEMESSAGE, 'results before the end');
  }

  #display(peer: PeerResults | undefined): void {
    const measurement = this.#measurement;
    describeEnd(this.report, this.#streams, measurement, peer);
    this.#text.summary(endRows(this.#streams, measurement, peer), 'both');
    if (peer?.serverOutputText !== undefined) {
      this.#log('');
      this.#log('Server output:');
      for (const line of peer.serverOutputText.replace(/\n$/, '').split('\n')) this.#log(line);
    }
    if (!peer) return;
    this.#log('');
    this.#log('iperf Done.');
  }

  /** A test that broke off still shows what was measured, as iperf3 does when interrupted. */
  #finishEarly(): void {
    if (!(this.#measurement as Measurement | undefined)?.started) return;
    this.#measurement.finish();
    this.#display(undefined);
  }

  #interrupt(): void {
    this.#control.sendState(State.CLIENT_TERMINATE);
    this.#control.fail(new Iperf3Error(IperfErrno.IECLIENTTERM));
  }

  #log(line: string): void {
    const { title, log } = this.options;
    log?.(title ? `${title}:  ${line}` : line);
  }
}
