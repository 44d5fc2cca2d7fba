/**
 * What a second pass of binaryen's optimiser over asc's output would give: size, and data segments
 * a second of processor time through two engines in the simulator, best of several rounds taken in
 * turn. Prints a table; changes nothing. The decision it serves: docs/decisions/0002-binaryen.md.
 * Usage: node build/js/tools/binaryen-pass.js [ROUNDS]
 */
import { readFileSync } from 'node:fs';
import binaryen from 'binaryen';
import { Option } from '../assembly/abi.js';
import { connect, Server, Simulation } from '../host/sim/index.js';
import { asc, at } from './repository.js';

interface Setting {
  readonly name: string;
  readonly optimizeLevel: number;
  readonly shrinkLevel: number;
  /** How often the pass runs; converging takes two or three. */
  readonly times: number;
}

const SETTINGS: readonly Setting[] = [
  { name: '-O3', optimizeLevel: 3, shrinkLevel: 0, times: 1 },
  { name: '-O3, three times', optimizeLevel: 3, shrinkLevel: 0, times: 3 },
  { name: '-O4', optimizeLevel: 4, shrinkLevel: 0, times: 1 },
  { name: '-Oz', optimizeLevel: 2, shrinkLevel: 2, times: 1 },
];
/** What asconfig.json enables, under binaryen's names. */
const { Features } = binaryen;
const FEATURES = Features.SIMD128 | Features.BulkMemory | Features.BulkMemoryOpt |
  Features.SignExt | Features.MutableGlobals | Features.NontrappingFPToInt;
const WINDOW = 65_536;
const ROUND_S = 0.7;

function optimised(wasm: Uint8Array, setting: Setting): Uint8Array {
  const module = binaryen.readBinary(wasm);
  module.setFeatures(FEATURES);
  binaryen.setOptimizeLevel(setting.optimizeLevel);
  binaryen.setShrinkLevel(setting.shrinkLevel);
  for (let time = 0; time < setting.times; time++) module.optimize();
  const result = module.emitBinary();
  module.dispose();
  return result;
}

/** The engine as asc makes it with another shrinkLevel than asconfig.json's. */
function compiled(shrinkLevel: number): Uint8Array {
  const out = `build/shrink-${shrinkLevel}`;
  asc('assembly/index.ts', 'release', [
    '--shrinkLevel', String(shrinkLevel), '--outFile', `${out}.wasm`, '--textFile', `${out}.wat`,
  ]);
  return new Uint8Array(readFileSync(at(`${out}.wasm`)));
}

/** Data segments a second of this process's processor time, two engines on a wire. */
function speed(module: WebAssembly.Module): number {
  const simulation = new Simulation({ module, seed: 1 });
  const client = simulation.host('client');
  const server = simulation.host('server');
  const link = simulation.link(client, server);
  const sink = new Server(server, 9, () => ({}));
  server.engine.listenerSetOption(sink.handle, Option.SO_RCVBUF, WINDOW);
  const to = link.addresses[1][0];
  if (to === undefined) throw new Error('the link has no address');
  connect(client, to, 9, {
    sendBytes: 2 ** 50, sendSeed: 1, options: [[Option.SO_SNDBUF, WINDOW * 2]],
  });
  simulation.runFor(10_000);
  const before = client.engine.counter('TcpOutSegs');
  const start = process.cpuUsage();
  const spent = (): number => {
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1e6;
  };
  while (spent() < ROUND_S) for (let n = 0; n < 256; n++) simulation.step();
  const seconds = spent();
  return (client.engine.counter('TcpOutSegs') - before) / seconds;
}

function main(rounds: number): void {
  const shipped = new Uint8Array(readFileSync(at('build', 'engine.wasm')));
  const candidates = [
    { name: 'none: as shipped', bytes: shipped },
    ...[0, 2].map((level) => (
      { name: `none: asc --shrinkLevel ${level}`, bytes: compiled(level) }
    )),
    ...SETTINGS.map((each) => ({ name: each.name, bytes: optimised(shipped, each) })),
  ].map((each) => ({
    ...each, best: 0, module: new WebAssembly.Module(new Uint8Array(each.bytes)),
  }));
  for (let round = 0; round < rounds; round++) {
    for (const each of candidates) each.best = Math.max(each.best, speed(each.module));
  }
  process.stdout.write('| pass | bytes | M segments/s |\n|---|--:|--:|\n');
  for (const { name, bytes, best } of candidates) {
    process.stdout.write(`| ${name} | ${bytes.length} | ${(best / 1e6).toFixed(3)} |\n`);
  }
}

main(Number(process.argv[2] ?? 3));
