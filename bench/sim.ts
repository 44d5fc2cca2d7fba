/**
 * How fast the simulator is: data segments a second of processor time through two engines on a
 * wire, with 64 KiB windows. Prints one line for each case; `--json` prints them as JSON. Usage:
 * node build/js/bench/sim.js [--json] [--seconds N] [--only CASE]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Option } from '../assembly/abi.js';
import {
  connect, delay, rate, Server, Simulation, type EndOptions, type LinkOptions,
} from '../host/sim/index.js';

interface Case {
  name: string;
  link: LinkOptions;
  verified: boolean;
  config?: { rxSlotBytes: number };
}

interface Figure {
  name: string;
  segments: number;
  seconds: number;
  segmentsPerSecond: number;
  gigabitsPerSecond: number;
  steps: number;
}

const WINDOW = 65_536;
const CASES: Case[] = [
  { name: 'wire', link: {}, verified: false },
  { name: 'wire, every byte checked', link: {}, verified: true },
  {
    name: '10 Gbit/s and 20 µs each way', verified: false,
    link: { elements: [rate(10e9), delay(20)] },
  },
  {
    name: 'wire with offload', link: { offload: true }, verified: false,
    config: { rxSlotBytes: 69_632 },
  },
];

function measure(module: WebAssembly.Module, what: Case, forMs: number): Figure {
  const simulation = new Simulation({ module, seed: 1 });
  const config = what.config ?? {};
  const client = simulation.host('client', { config });
  const server = simulation.host('server', { config });
  const link = simulation.link(client, server, what.link);
  const receive: EndOptions = what.verified ? { receiveSeed: 1 } : {};
  const sink = new Server(server, 9, () => receive);
  server.engine.listenerSetOption(sink.handle, Option.SO_RCVBUF, WINDOW);
  const to = link.addresses[1][0];
  if (to === undefined) throw new Error('the link has no address');
  connect(client, to, 9, {
    sendBytes: 2 ** 50, sendSeed: 1, options: [[Option.SO_SNDBUF, WINDOW * 2]],
  });
  simulation.runFor(10_000); // handshake and slow start
  const before = client.engine.counter('TcpOutSegs');
  const steps = simulation.steps;
  const bytes = sink.ends[0]?.received ?? 0;
  const start = performance.now();
  const cpu = process.cpuUsage();
  while (performance.now() - start < forMs) for (let at = 0; at < 256; at++) simulation.step();
  // Of the processor, not of the clock: on a busy machine others have their share.
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (user + system) / 1e6;
  const segments = client.engine.counter('TcpOutSegs') - before;
  const moved = (sink.ends[0]?.received ?? 0) - bytes;
  if (sink.ends[0]?.wrongAt !== -1) throw new Error(`${what.name}: a byte is wrong`);
  return {
    name: what.name, segments, seconds, segmentsPerSecond: segments / seconds,
    gigabitsPerSecond: (moved * 8) / seconds / 1e9, steps: simulation.steps - steps,
  };
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' }, only: { type: 'string' },
    seconds: { type: 'string', default: '2' },
  },
});
const module = new WebAssembly.Module(readFileSync(new URL('../../engine.wasm', import.meta.url)));
const chosen = CASES.filter(({ name }) => name === (values.only ?? name));
const figures = chosen.map((what) => measure(module, what, Number(values.seconds) * 1000));
if (values.json === true) {
  console.log(JSON.stringify(figures));
} else {
  for (const figure of figures) {
    const million = (figure.segmentsPerSecond / 1e6).toFixed(2);
    const gigabits = figure.gigabitsPerSecond.toFixed(2);
    console.log(`${figure.name.padEnd(34)} ${million} M segments/s  ${gigabits} Gbit/s`);
  }
}
