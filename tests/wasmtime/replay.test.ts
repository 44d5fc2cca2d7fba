/**
 * The engine does the same on wasmtime as in Node: simulated runs are recorded here and replayed by
 * host/wasmtime/replay, on the engine of the crate `ackorn`, compiled there and ahead of time; it
 * compares every result, frame and event and at the end the memory. A changed byte in what was
 * recorded must be found, a damaged recording refused. Builds the programs with cargo; without
 * cargo nothing of this can run, which is a failure under CI.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import binaryen from 'binaryen';
import { ABI_VERSION, CONFIG_AT, CONFIG_WORDS, DIRECTORY_AT } from '../../assembly/abi.js';
import type { EngineConfig } from '../../host/core/config.js';
import type { CallFilter } from '../../host/core/engine.js';
import { CALLS } from '../../host/core/exports.js';
import {
  connect, delay, jitter, loss, type Port, Recorder, reorder, Server, type SimHost, Simulation,
  type LinkOptions,
} from '../../host/sim/index.js';
import {
  HEADER_BYTES, RECORDING_MAGIC, RecordingReader, RecordingWriter, RecordTag,
} from '../../host/sim/recording.js';
import { cargo, compileEngine, ENGINE, hasCargo, program } from './fixtures/cargo.js';

const PROGRAM = program('ackorn-replay');

/** Virtual time that a run may take: far more than its transfers and TIME-WAIT need. */
const LIMIT_US = 3600e6;

/** How the program ended, and what it said. */
interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

/** What one engine of a run took in and gave out, counted without the recorder. */
interface Recorded {
  readonly data: Uint8Array;
  readonly polls: number;
  readonly framesIn: number;
  readonly framesOut: number;
}

/** A host with a recorder and a count of its polls. */
interface Station {
  readonly host: SimHost;
  readonly recorder: Recorder;
  readonly polls: () => number;
}

function station(simulation: Simulation, name: string, config: EngineConfig): Station {
  const recorder = new Recorder();
  let polls = 0;
  const filter: CallFilter = (calls, engine) => recorder.filter({
    ...calls,
    poll: (high, low, budget) => {
      polls++;
      return calls.poll(high, low, budget);
    },
  }, engine);
  return { host: simulation.host(name, { config, filter }), recorder, polls: () => polls };
}

/**
 * Two engines, a connection of each family with bytes both ways, closed and waited for until the
 * last TIME-WAIT is over. @returns what either end did
 */
function run(
  module: WebAssembly.Module, seed: number, options: LinkOptions, config: EngineConfig = {},
): Recorded[] {
  const simulation = new Simulation({ module, seed });
  const stations = ['client', 'server'].map((name) => station(simulation, name, config));
  const [client, server] = stations.map(({ host }) => host) as [SimHost, SimHost];
  const link = simulation.link(client, server, options);
  const answer = { sendBytes: 50_000, sendSeed: 2, receiveSeed: 1 };
  const listener = new Server(server, 7, () => answer);
  const addresses = link.addresses[1];
  assert.equal(addresses.length, 2, 'an address of each family');
  const ends = addresses.map((address) =>
    connect(client, address, 7, { sendBytes: 80_000, sendSeed: 1, receiveSeed: 2 }));
  const all = () => [...ends, ...listener.ends];
  assert.ok(simulation.runWhile(() => all().some(({ state }) => state === 'open'), LIMIT_US));
  assert.deepEqual(all().map(({ state }) => state), ['done', 'done', 'done', 'done']);
  const waiting = stations.map(({ host }) => host.engine.pool('timeWait').used);
  assert.ok(Math.max(...waiting) > 0, 'somebody is in TIME-WAIT');
  listener.close();
  assert.ok(simulation.runToIdle(LIMIT_US));
  return stations.map(({ recorder, polls }, side) => {
    const { framesIn, framesOut } = link.ends[side] as Port;
    return { data: recorder.finish(), polls: polls(), framesIn, framesOut };
  });
}

/** A record of a recording: where it begins, and the last byte of what was recorded as output. */
interface Place {
  readonly tag: RecordTag;
  readonly offset: number;
  readonly last: number;
}

/** Where the records of a recording are; bytes of a Write are no output. */
function places(data: Uint8Array): Place[] {
  const reader = new RecordingReader(data);
  const found: Place[] = [];
  reader.at = HEADER_BYTES;
  while (!reader.done) {
    const offset = reader.at;
    const tag: RecordTag = reader.u8();
    if (tag === RecordTag.Write) {
      reader.u32();
      reader.bytes(reader.u32());
    } else if (tag === RecordTag.Call) {
      reader.u8();
      reader.bytes(reader.u8() * 4);
      reader.u32();
    } else if (tag === RecordTag.Result) reader.bytes(reader.u8() * 4);
    else if (tag === RecordTag.Frame) {
      reader.u8();
      reader.bytes(reader.u32());
    } else if (tag === RecordTag.Events) reader.bytes(reader.u32() * 16);
    else reader.u32();
    found.push({ tag, offset, last: reader.at - 1 });
  }
  return found;
}

/** A copy with one bit changed. */
function flipped(data: Uint8Array, place: number): Uint8Array {
  const changed = data.slice();
  changed[place] = (changed[place] as number) ^ 1;
  return changed;
}

/** A module that looks like an engine and traps in poll; or that lacks something. */
function counterfeit(
  { version = ABI_VERSION, without = '', first = '', pages = 1 },
): Uint8Array {
  const bodies: Record<string, string> = {
    abiVersion: `(i32.const ${version})`,
    boot: `(i32.store (i32.const ${DIRECTORY_AT}) (i32.const ${version})) (i32.const 0)`,
    poll: '(unreachable)',
  };
  const functions = CALLS.filter(([name]) => name !== without).map(([name, parameters]) =>
    `(func (export "${name}") ${'(param i32)'.repeat(parameters)} (result i32)
      ${bodies[name] ?? '(i32.const 0)'})`);
  const module = binaryen.parseText(
    `(module ${first} (memory (export "memory") ${pages}) ${functions.join('\n')})`);
  const wasm = module.emitBinary();
  module.dispose();
  return wasm;
}

/** The shortest recording with a poll, of a memory of one page. */
function bootAndPoll(): Uint8Array {
  const out = new RecordingWriter();
  out.bytes(new TextEncoder().encode(RECORDING_MAGIC));
  for (const word of [ABI_VERSION, 65_536]) out.u32(word);
  out.u8(RecordTag.Write);
  for (const word of [CONFIG_AT, CONFIG_WORDS * 4]) out.u32(word);
  out.bytes(new Uint8Array(CONFIG_WORDS * 4));
  for (const name of ['boot', 'poll']) {
    const number = CALLS.findIndex(([call]) => call === name);
    const [, parameters] = CALLS[number] as (typeof CALLS)[number];
    for (const byte of [RecordTag.Call, number, parameters]) out.u8(byte);
    for (let word = 0; word < parameters + 1; word++) out.u32(0);
  }
  out.u8(RecordTag.End);
  out.u32(0);
  return out.finish();
}

const LOSSY: LinkOptions = {
  elements: [loss(0.03), reorder(0.1, 8000), jitter(3000, { reorder: true }), delay(20_000)],
};
const OFFLOAD: LinkOptions = { offload: true, txHoldUs: 300, latencyUs: 50 };
/** Receive entries that a super-segment fits into. */
const LARGE: EngineConfig = { rxSlotBytes: 68 * 1024 };
type Run = readonly [name: string, seed: number, options: LinkOptions, config?: EngineConfig];
const RUNS: readonly Run[] = [
  ...[1, 2, 3, 4].map((seed): Run => [`loss and reordering, seed ${seed}`, seed, LOSSY]),
  ['super-segments, descriptors held', 5, OFFLOAD, LARGE],
];

if (!hasCargo()) {
  const reason = 'cargo is not installed: nothing on wasmtime can be tested';
  const skip = process.env['CI'] === 'true' ? false : reason;
  test('wasmtime · replay', { skip }, () => assert.fail(reason));
} else describe('wasmtime · replay', () => {
  const module = new WebAssembly.Module(readFileSync(ENGINE));
  const folder = mkdtempSync(join(tmpdir(), 'ackorn-replay-'));
  const file = join(folder, 'run.recording');
  const compiled = join(folder, 'engine.cwasm');
  after(() => rmSync(folder, { recursive: true }));
  before(async () => {
    await cargo('build', '--locked', '-p', 'ackorn-replay', '-p', 'ackorn-compile');
    compileEngine(compiled);
  });

  const replayOn = (path: string, data: Uint8Array): Outcome => {
    writeFileSync(file, data);
    const { status, stdout, stderr, error } = spawnSync(PROGRAM, [path, file], {
      encoding: 'utf8',
    });
    if (error !== undefined) throw error;
    return { status, out: stdout, error: stderr };
  };
  const replay = (data: Uint8Array, engine?: Uint8Array): Outcome => {
    if (engine === undefined) return replayOn(ENGINE, data);
    const path = join(folder, 'engine.wasm');
    writeFileSync(path, engine);
    return replayOn(path, data);
  };

  test('the program\'s own tests pass', async () => {
    const output = await cargo('test', '--locked', '-p', 'ackorn-replay');
    assert.match(output, /test result: ok\. [1-9]\d* passed; 0 failed; 0 ignored/);
  });

  for (const [name, seed, options, config] of RUNS) {
    test(`${name} · identical on wasmtime`, () => {
      for (const { data, polls, framesIn, framesOut } of run(module, seed, options, config)) {
        assert.ok(Math.min(polls, framesIn, framesOut) > 10, 'something happens');
        const counts = `${polls} polls, ${framesIn} frames in, ${framesOut} frames out`;
        for (const engine of [ENGINE, compiled]) {
          const expected = { status: 0, out: `${counts}, identical\n`, error: '' };
          assert.deepEqual(replayOn(engine, data), expected, engine);
        }
      }
    });
  }

  test('one bit of a recorded output changed · the difference is found at its place', () => {
    const { data } = run(module, 6, LOSSY)[1] as Recorded;
    const all = places(data);
    for (const tag of [
      RecordTag.Call, RecordTag.Result, RecordTag.Frame, RecordTag.Events, RecordTag.End,
    ]) {
      const alike = all.filter((place) => place.tag === tag);
      for (const place of [alike[0], alike[alike.length >> 1], alike[alike.length - 1]]) {
        assert.ok(place !== undefined, `the run has records of kind ${RecordTag[tag]}`);
        const { status, out, error } = replay(flipped(data, place.last));
        assert.equal(status, 1, `${RecordTag[tag]}: ${out}${error}`);
        assert.match(out, new RegExp(`^different: .* at byte ${place.offset} of .*, not .*\n$`));
      }
    }
  });

  test('one bit of what the host wrote changed · the engine does another thing', () => {
    const { data } = run(module, 7, LOSSY)[1] as Recorded;
    const longest = places(data).reduce((one, other) =>
      other.tag === RecordTag.Write && other.last - other.offset > one.last - one.offset
        ? other : one);
    const { status, out } = replay(flipped(data, longest.last));
    assert.equal(status, 1);
    assert.match(out, /^different: /);
  });

  test('a frame left out or told twice · too many, too few', () => {
    const { data } = run(module, 8, LOSSY)[0] as Recorded;
    const { offset, last } = places(data).findLast(({ tag }) =>
      tag === RecordTag.Frame) as Place;
    const record = data.subarray(offset, last + 1);
    const without = Buffer.concat([data.subarray(0, offset), data.subarray(last + 1)]);
    assert.match(replay(without).out, /^different: .* published a frame too many on link 0\n$/);
    const twice = Buffer.concat([data.subarray(0, offset), record, data.subarray(offset)]);
    assert.match(replay(twice).out, /^different: .* published a frame too few on link 0\n$/);
  });

  test('a trap where a result was recorded · told with what the engine left at FAULT', () => {
    const { status, out } = replay(bootAndPoll(), counterfeit({}));
    assert.equal(status, 1);
    assert.match(out,
      /^different: .*: the engine stopped in poll: None \(code 0, detail 0\): .*unreachable.*\n$/);
  });

  test('a module that is no engine of this ABI · refused with one line', () => {
    const modules: readonly (readonly [Uint8Array, RegExp])[] = [
      [new TextEncoder().encode('(module)'), /not wasm/],
      [counterfeit({ version: ABI_VERSION + 1 }), /the engine speaks ABI/],
      [counterfeit({ without: 'icmpEcho' }), /it has no icmpEcho with \d parameters/],
      [counterfeit({ first: '(import "env" "abort" (func))' }), /it imports abort/],
      [counterfeit({ pages: 2 }), /a memory of 1 pages is not to be had/],
    ];
    for (const [engine, expected] of modules) {
      const { status, error } = replay(bootAndPoll(), engine);
      assert.equal(status, 2, error);
      assert.match(error, expected);
      assert.match(error, /^ackorn-replay: .*\n$/);
    }
  });

  test('no recording, half of one, one of another ABI, no file · refused with one line', () => {
    const { data } = run(module, 9, LOSSY)[0] as Recorded;
    const half = data.subarray(0, data.length >> 1);
    const damaged: readonly (readonly [Uint8Array, RegExp])[] = [
      [new Uint8Array(0), /byte 0: cut short/],
      [new TextEncoder().encode('this is no recording'), /byte 0: it does not begin with ACKORNR1/],
      [half, /malformed recording, byte \d+: cut short/],
      [flipped(data, 8), /recorded with ABI/],
      [flipped(data, 12), /a memory of \d+ bytes is not of whole pages/],
      [Buffer.concat([data, half]), /bytes follow the end/],
    ];
    for (const [bytes, expected] of damaged) {
      const { status, out, error } = replay(bytes);
      assert.equal(status, 2, `${out}${error}`);
      assert.equal(out, '');
      assert.match(error, expected);
      assert.match(error, /^ackorn-replay: .*\n$/);
    }
    const none = spawnSync(PROGRAM, [ENGINE, join(folder, 'none')], { encoding: 'utf8' });
    assert.equal(none.status, 2);
    assert.match(none.stderr, /^ackorn-replay: .*\n$/);
  });
});
