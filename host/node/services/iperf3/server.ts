/**
 * The iperf3 server: one TCP test at a time, as `iperf3 -s` speaks it. Called by `ackorn up
 * --iperf3` and `ackorn iperf3 -s`. Every connection begins with its 37-byte cookie, read under a
 * time limit; it is then the control connection of a new test, a data stream of the running one, or
 * turned away.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { serve, type ServiceOptions, type ServiceSocket, type Transport } from '../seam.js';
import type { DataStream } from './data-stream.js';
import { Measurement } from './measurement.js';
import { decodeParameters, type Parameters } from './parameters.js';
import {
  CLIENT_RESULTS_MAX_BYTES, ControlChannel, COOKIE_BYTES, Errno, Iperf3Error, IperfErrno,
  PARAMETERS_MAX_BYTES, State,
} from './protocol.js';
import { plain, TextReport } from './report-text.js';
import { decodeResults, encodeResults, endRows } from './results.js';
import {
  goalBytes, IDLE_MS, numberStreams, sendPlan, socketOptions, streamCount,
} from './session.js';

/** Time for a cookie, for parameters, for the data streams, for results. */
const SETUP_MS = 10_000;
/** Connections that may be at their cookie; more are turned away unread. */
const PENDING_MAX = 256;
/** After the asked duration; iperf3 gives ten state changes four seconds each. */
const GRACE_MS = 40_000;
const DELIVERY_MS = 500;
const DELIVERY_STEP_MS = 10;
/** What is kept for --get-server-output. */
const OUTPUT_MAX_CHARACTERS = 4 << 20;
/** A test by bytes waits for those under way, in steps, while some still come. */
const SETTLE_STEP_MS = 20;
const SETTLE_STEPS_MAX = 50;

export interface Iperf3ServerOptions extends ServiceOptions {
  /** `-1`: one test, then close. */
  oneOff?: boolean;
  /** Lines as `iperf3 -s` prints them. */
  log: (line: string) => void;
  /** Silence on all data streams that ends a test, in milliseconds. */
  idleMs?: number;
  /** Time limit for each step of the set-up, in milliseconds. */
  setupMs?: number;
}

export interface Iperf3Server {
  readonly port: number;
  /** Resolves when the server has closed: after the one test of `oneOff`, or after close(). */
  readonly done: Promise<void>;
  /** Ends a running test (its client reads SERVER_TERMINATE) and stops listening. */
  close(): Promise<void>;
}

/** Starts the server. Rejects when the port cannot be bound. */
export async function iperf3Server(
  transport: Transport,
  options: Iperf3ServerOptions,
): Promise<Iperf3Server> {
  const server = new Server(options);
  const service = await serve(transport, options, (socket) => void server.accept(socket));
  let closed!: () => void;
  const done = new Promise<void>((resolve) => { closed = resolve; });
  const close = async (): Promise<void> => {
    await server.terminate();
    await service.close();
    closed();
  };
  server.banner(service.port);
  server.onTestOver = () => {
    if (options.oneOff) void close();
    else server.banner(service.port);
  };
  return { port: service.port, done, close };
}

class Server {
  onTestOver: () => void = () => undefined;
  #o: Iperf3ServerOptions;
  #test: ServerTest | undefined;
  #tests = 0;
  #pending = 0;
  #accepted = 0;
  #closing = false;

  constructor(options: Iperf3ServerOptions) {
    this.#o = options;
  }

  banner(port: number): void {
    this.#tests++;
    const rule = '-'.repeat(59);
    this.#o.log(rule);
    this.#o.log(`Server listening on ${port} (test #${this.#tests})`);
    this.#o.log(rule);
  }

  /** One connection, from its cookie on. Never rejects. */
  async accept(socket: ServiceSocket): Promise<void> {
    const order = this.#accepted++;
    if (this.#closing || this.#pending >= PENDING_MAX) {
      socket.destroy();
      return;
    }
    this.#pending++;
    const channel = new ControlChannel(socket);
    const cookie = await within(channel, this.#o.setupMs ?? SETUP_MS, () =>
      channel.read(COOKIE_BYTES)).catch(() => undefined);
    this.#pending--;
    if (!cookie || this.#closing) {
      socket.destroy();
    } else if (this.#test) {
      if (this.#test.offer(channel, cookie, order)) return;
      channel.sendState(State.ACCESS_DENIED);
      channel.close();
    } else {
      await this.#run(channel, cookie);
    }
  }

  async terminate(): Promise<void> {
    this.#closing = true;
    await this.#test?.terminate();
  }

  async #run(channel: ControlChannel, cookie: Buffer): Promise<void> {
    const test = new ServerTest(this.#o, channel, cookie);
    this.#test = test;
    await test.run();
    this.#test = undefined;
    if (this.#o.oneOff) await test.delivered();
    if (!this.#closing) this.onTestOver();
  }
}

/** One test, from parameters to results. */
class ServerTest {
  #o: Iperf3ServerOptions;
  #control: ControlChannel;
  #cookie: Buffer;
  #offered: { channel: ControlChannel; order: number }[] = [];
  #wanted = 0;
  #allOffered: () => void = () => undefined;
  #streams: DataStream[] = [];
  #measurement: Measurement | undefined;
  #output: string[] = [];
  #outputCharacters = 0;
  #guard: NodeJS.Timeout | undefined;
  #terminating = false;
  #over!: () => void;
  #isOver = new Promise<void>((resolve) => { this.#over = resolve; });

  constructor(options: Iperf3ServerOptions, control: ControlChannel, cookie: Buffer) {
    this.#o = options;
    this.#control = control;
    this.#cookie = cookie;
  }

  /** Takes a connection as data stream if it is one of this test and still missing. */
  offer(channel: ControlChannel, cookie: Buffer, order: number): boolean {
    if (this.#offered.length >= this.#wanted || !cookie.equals(this.#cookie)) return false;
    channel.release();
    this.#offered.push({ channel, order });
    if (this.#offered.length === this.#wanted) this.#allOffered();
    return true;
  }

  /** Never rejects: what goes wrong is told to the client and the log. */
  async run(): Promise<void> {
    try {
      await this.#runChecked();
    } catch (thrown) {
      const error = this.#terminating ? new Iperf3Error(IperfErrno.IESERVERTERM)
        : thrown instanceof Iperf3Error ? thrown
        : new Iperf3Error(IperfErrno.IERECVMESSAGE, String(thrown));
      this.#measurement?.finish();
      this.#report(error);
    } finally {
      clearTimeout(this.#guard);
      for (const stream of this.#streams) stream.close();
      for (const { channel } of this.#offered) channel.socket.destroy();
      this.#control.close();
      this.#over();
    }
  }

  /**
   * The client is told, and has time to go before its streams are closed: over unread bytes that is
   * a RST, which it may see before the message.
   */
  async terminate(): Promise<void> {
    this.#terminating = true;
    this.#control.sendState(State.SERVER_TERMINATE);
    await Promise.race([this.#isOver, sleep(DELIVERY_MS, undefined, { ref: false })]);
    this.#control.fail(new Iperf3Error(IperfErrno.IESERVERTERM));
    await this.#isOver;
    await this.delivered();
  }

  /** Leaves a last message the time to be read before the socket is destroyed. */
  async delivered(): Promise<void> {
    const { socket } = this.#control;
    for (let ms = 0; ms < DELIVERY_MS && !socket.closed; ms += DELIVERY_STEP_MS) {
      await sleep(DELIVERY_STEP_MS);
    }
  }

  async #runChecked(): Promise<void> {
    const control = this.#control;
    const setupMs = this.#o.setupMs ?? SETUP_MS;
    control.socket.setNoDelay?.(true);
    const { remoteAddress, remotePort } = control.socket;
    this.#log(`Accepted connection from ${plain(remoteAddress)}, port ${remotePort ?? 0}`);
    control.sendState(State.PARAM_EXCHANGE);
    const parameters = decodeParameters(await within(control, setupMs, () =>
      control.readJson(PARAMETERS_MAX_BYTES, IperfErrno.IERECVPARAMS)));
    await this.#collectStreams(parameters, setupMs);
    const text = new TextReport({
      log: (line) => this.#log(line), role: 'server', bidir: parameters.bidir,
      parallel: parameters.parallel,
    });
    for (const stream of this.#streams) text.connected(stream);
    const measurement = this.#measure(parameters, text);
    control.sendState(State.TEST_START);
    control.sendState(State.TEST_RUNNING);
    measurement.start();
    await this.#untilTestEnd();
    await this.#settle(measurement, goalBytes(parameters));
    measurement.finish();
    for (const stream of this.#streams) stream.close();
    text.summary(endRows(this.#streams, measurement, undefined), 'own');
    control.sendState(State.EXCHANGE_RESULTS);
    decodeResults(await within(control, setupMs, () =>
      control.readJson(CLIENT_RESULTS_MAX_BYTES, IperfErrno.IERECVRESULTS)), this.#streams);
    const output = parameters.getServerOutput ? `${this.#output.join('\n')}\n` : undefined;
    control.sendJson(encodeResults(this.#streams, measurement, output));
    control.sendState(State.DISPLAY_RESULTS);
    await within(control, setupMs, () => control.readState()).catch(() => undefined);
  }

  async #collectStreams(p: Parameters, setupMs: number): Promise<void> {
    this.#wanted = streamCount(p);
    const all = new Promise<void>((resolve) => { this.#allOffered = resolve; });
    this.#control.sendState(State.CREATE_STREAMS);
    await within(this.#control, setupMs, () => all);
    const inOrder = this.#offered.sort((a, b) => a.order - b.order);
    const sockets = inOrder.map(({ channel }) => channel.socket);
    this.#offered = [];
    this.#streams = numberStreams(sockets, p, 'server');
    this.#applyOptions(sockets, p);
  }

  /** As iperf3 does, a server that cannot set an option says so and goes on. */
  #applyOptions(sockets: readonly ServiceSocket[], p: Parameters): void {
    const options = socketOptions(p);
    const asked = Object.keys(options);
    const refused = new Set<string>();
    for (const socket of sockets) {
      if (p.noDelay) socket.setNoDelay?.(true);
      if (asked.length === 0) continue;
      try {
        if (socket.setOptions) socket.setOptions(options);
        else refused.add(`${asked.join(', ')} cannot be set on this side`);
      } catch (error) {
        refused.add((error as Error).message);
      }
    }
    for (const reason of refused) this.#log(`warning: ${reason}`);
  }

  #measure(p: Parameters, text: TextReport): Measurement {
    const control = this.#control;
    this.#measurement = new Measurement({
      streams: this.#streams,
      plan: sendPlan(p),
      omitS: p.omitS,
      durationS: 0, // the client's clock ends the test
      goalBytes: 0,
      intervalS: 1,
      idleMs: this.#o.idleMs ?? IDLE_MS,
      onInterval: (interval) => text.interval(interval),
      onOmitted: () => undefined,
      onEnd: () => undefined,
      onIdle: () => control.fail(new Iperf3Error(IperfErrno.IENOMSG, '', Errno.ETIMEDOUT)),
      onStreamError: (stream, error) => {
        const number = stream.sender ? IperfErrno.IESTREAMWRITE : IperfErrno.IESTREAMREAD;
        control.failSoon(new Iperf3Error(number, error.message));
      },
    });
    if (p.durationS > 0) {
      this.#guard = setTimeout(
        () => control.fail(new Iperf3Error(IperfErrno.IESERVERTESTDURATIONEXPIRED)),
        (p.durationS + p.omitS) * 1000 + GRACE_MS,
      );
    }
    return this.#measurement;
  }

  async #untilTestEnd(): Promise<void> {
    const state = await this.#control.readState();
    if (state === State.TEST_END) return;
    if (state === State.CLIENT_TERMINATE) throw new Iperf3Error(IperfErrno.IECLIENTTERM);
    throw new Iperf3Error(IperfErrno.IEMESSAGE, `state ${state}`, Errno.EINVAL);
  }

  /** What the kernel below or the wire still holds belongs to the test: TEST_END overtook it. */
  async #settle(measurement: Measurement, goal: number): Promise<void> {
    await nextTurn();
    const receiving = this.#streams.some((stream) => !stream.sender);
    let before = -1;
    for (let step = 0; receiving && goal > 0 && step < SETTLE_STEPS_MAX; step++) {
      const bytes = measurement.total(false);
      if (bytes >= goal || bytes === before) return;
      before = bytes;
      await sleep(SETTLE_STEP_MS);
    }
  }

  /** To the client, where it still listens, and to the log. */
  #report(error: Iperf3Error): void {
    switch (error.iperfErrno) {
      case IperfErrno.IECTRLCLOSE:
      case IperfErrno.IERECVMESSAGE:
        this.#log('iperf3: the client has unexpectedly closed the connection');
        return;
      case IperfErrno.IECLIENTTERM:
      case IperfErrno.IESERVERTERM:
        this.#log(`iperf3: ${error.message}`);
        return;
      default:
        this.#control.sendError(error);
        this.#log(`iperf3: error - ${error.message}`);
    }
  }

  #log(line: string): void {
    this.#o.log(line);
    this.#outputCharacters += line.length;
    if (this.#outputCharacters <= OUTPUT_MAX_CHARACTERS) this.#output.push(line);
  }
}

/** Fails the channel when the step takes too long; rejects when the channel fails first. */
async function within<T>(
  channel: ControlChannel,
  ms: number,
  step: () => Promise<T>,
): Promise<T> {
  const late = new Iperf3Error(IperfErrno.IENOMSG, `nothing for ${ms} ms`, Errno.ETIMEDOUT);
  const timer = setTimeout(() => channel.fail(late), ms);
  try {
    const failed = channel.closed.then((error) => Promise.reject(error));
    return await Promise.race([step(), failed]);
  } finally {
    clearTimeout(timer);
  }
}
