/**
 * TCP is a stream: one send is not one receive, and streams that share a connection wait for each
 * other's losses (docs/gallery/framing.md, head-of-line.md). RFC 9293 §3.9.1, RFC 9000 §2.
 */
import { EVENT_CONNECTED, EVENT_READABLE, Option } from '../../../assembly/abi.js';
import { ADDRESS_ANY } from '../../core/address.js';
import type { Handle } from '../../core/engine.js';
import type { SimHost } from '../sim-host.js';
import { summarize, type Case, type Lab, type Scenario, type Setup } from '../scenario/index.js';

const PORT = 80;
const SCRATCH = new Uint8Array(262_144);

/** Accepts connections; each readable event is one read of all that is there. */
function acceptReads(
  lab: Lab, port: number, onRead: (connection: number, bytes: number) => void,
): void {
  const host = lab.host('receiver');
  const { engine } = host;
  const listener = engine.listen(ADDRESS_ANY, port, 16);
  let connections = 0;
  host.dispatcher.attachListener(listener, {
    onEvents: () => {
      for (;;) {
        const handle = engine.accept(listener);
        if (handle === undefined) return;
        const connection = connections++;
        const read = (): void => {
          const bytes = engine.read(handle, SCRATCH, 0, SCRATCH.length);
          if (bytes > 0) onRead(connection, bytes);
          host.wake();
        };
        host.dispatcher.attachConnection(handle, { onEvents: read });
        read();
      }
    },
  });
}

/** Connects and calls back when it stands. */
function dial(lab: Lab, port: number, onConnected: (host: SimHost, handle: Handle) => void): void {
  const host = lab.host('sender');
  const handle = host.engine.open();
  host.dispatcher.attachConnection(handle, {
    onEvents: (mask) => {
      if ((mask & EVENT_CONNECTED) !== 0) onConnected(host, handle);
      if ((mask & EVENT_READABLE) !== 0) host.engine.discard(handle);
    },
  });
  host.engine.connect(handle, lab.address('receiver'), port);
  host.wake();
}

function write(host: SimHost, handle: Handle, bytes: number): number {
  const queued = host.engine.write(handle, SCRATCH, 0, bytes);
  host.wake();
  return queued;
}

function framingCase(writes: number, size: number): Case {
  return {
    columns: { writes, bytesEach: size },
    setup: {
      seconds: 5,
      hosts: ['sender', 'receiver'],
      links: [{ between: ['sender', 'receiver'], rateMbps: 100, delayMs: 10 }],
      script: (lab) => {
        const reads: number[] = [];
        acceptReads(lab, PORT, (_, bytes) => {
          reads.push(bytes);
          lab.note('reads', reads.length);
          lab.note('bytes', (lab.notes.get('bytes') ?? 0) + bytes);
          if (reads.length <= 10) lab.say(`one read: ${bytes} bytes`);
        });
        dial(lab, PORT, (host, handle) => {
          for (let at = 0; at < writes; at++) write(host, handle, size);
          lab.say(`${writes} writes of ${size} bytes`);
        });
      },
      figures: (lab) => ({ reads: lab.noted('reads'), bytes: lab.noted('bytes') }),
    },
  };
}

export const framing: Scenario = {
  name: 'framing',
  title: 'one send is not one receive: ten small writes in few reads, one large write in many',
  cases: [framingCase(10, 100), framingCase(1, 16_000)],
  shows: ['reads', 'bytes'],
  expect: [
    { figure: 'bytes', row: { writes: 10 }, atLeast: 1000, atMost: 1000 },
    { figure: 'reads', row: { writes: 10 }, atMost: 5 },
    { figure: 'bytes', row: { writes: 1 }, atLeast: 16_000, atMost: 16_000 },
    { figure: 'reads', row: { writes: 1 }, atLeast: 5 },
  ],
  golden: [{ figure: 'reads', better: 'same', tolerance: 0 }],
};

const STREAMS = 3;
const MESSAGE = 1000;
const MESSAGES = 200;
const EVERY = 0.01;
/** Of stream 0 in the case of three connections, of all streams in the case of one. */
const LOST = 60;

/** Times at which messages were sent and arrived whole, per stream. */
class Delays {
  readonly #sent: number[][] = Array.from({ length: STREAMS }, () => []);
  readonly delays: number[][] = Array.from({ length: STREAMS }, () => []);

  send(stream: number, seconds: number): void {
    (this.#sent[stream] as number[]).push(seconds);
  }

  arrive(stream: number, seconds: number): void {
    const at = (this.delays[stream] as number[]).length;
    const sent = (this.#sent[stream] as number[])[at] as number;
    (this.delays[stream] as number[]).push((seconds - sent) * 1000);
  }
}

/** Messages of all streams in turn: over one connection, or each over its own. */
function streams(lab: Lab, shared: boolean): Delays {
  const delays = new Delays();
  const pending = Array.from({ length: STREAMS }, () => 0);
  let order = 0;
  acceptReads(lab, PORT, (connection, bytes) => {
    const own = shared ? 0 : connection;
    pending[own] = (pending[own] as number) + bytes;
    while ((pending[own] as number) >= MESSAGE) {
      pending[own] = (pending[own] as number) - MESSAGE;
      delays.arrive(shared ? order++ % STREAMS : own, lab.seconds);
    }
  });
  const open: [SimHost, Handle][] = [];
  for (let at = 0; at < (shared ? 1 : STREAMS); at++) {
    // One after the other, so that connections are accepted in the order of the streams.
    lab.at(at * 0.1, () => dial(lab, PORT, (host, handle) => {
      host.engine.setOption(handle, Option.TCP_NODELAY, 1);
      open.push([host, handle]);
    }));
  }
  for (let at = 0; at < MESSAGES; at++) {
    lab.at(1 + at * EVERY, () => {
      for (let stream = 0; stream < STREAMS; stream++) {
        const [host, handle] = open[shared ? 0 : stream] as [SimHost, Handle];
        delays.send(stream, lab.seconds);
        write(host, handle, MESSAGE);
      }
    });
  }
  return delays;
}

function headOfLineSetup(shared: boolean): Setup {
  let delays: Delays | undefined;
  return {
    seconds: 6,
    hosts: ['sender', 'receiver'],
    links: [{
      between: ['sender', 'receiver'], rateMbps: 100, delayMs: 25, forward: { loseData: [LOST] },
    }],
    script: (lab) => {
      delays = streams(lab, shared);
    },
    figures: () => {
      const worst = (delays?.delays ?? []).map((each) => Math.max(...each)).sort((a, b) => a - b);
      const late = (delays?.delays ?? []).map((each) => each.filter((ms) => ms > 40).length);
      return {
        streamsHeldUp: late.filter((count) => count > 0).length,
        messagesHeldUp: late.reduce((sum, count) => sum + count, 0),
        worstMs: worst.at(-1) ?? 0,
        meanMs: summarize((delays?.delays ?? []).flat()).mean,
      };
    },
  };
}

export const headOfLine: Scenario = {
  name: 'head-of-line',
  title: 'one lost packet: three streams in one connection against three connections',
  cases: [
    { columns: { connections: 1 }, setup: headOfLineSetup(true) },
    { columns: { connections: STREAMS }, setup: headOfLineSetup(false) },
  ],
  shows: ['streamsHeldUp', 'messagesHeldUp', 'worstMs', 'meanMs'],
  expect: [
    { figure: 'streamsHeldUp', row: { connections: 1 }, atLeast: STREAMS },
    { figure: 'streamsHeldUp', row: { connections: STREAMS }, atMost: 1, atLeast: 1 },
    {
      figure: 'messagesHeldUp', row: { connections: 1 }, atLeast: 1.5,
      than: { row: { connections: STREAMS }, times: 1 },
    },
  ],
  golden: [{ figure: 'messagesHeldUp', better: 'less', tolerance: 0.1 }],
};
