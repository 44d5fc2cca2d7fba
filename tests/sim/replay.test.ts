/**
 * Recordings: a run that is replayed gives the same frames, results, events and memory, byte for
 * byte, and a recording that was changed anywhere is found out.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replay, ReplayMismatch, Random } from '../../host/sim/index.js';
import { RecordingReader, HEADER_BYTES, RecordTag } from '../../host/sim/recording.js';
import { engine, seeds } from './module.js';
import { judge, makeWorld, runWorld } from './worlds.js';

function record(seed: number): Uint8Array[] {
  const world = makeWorld(engine, seed, true);
  runWorld(world);
  judge(world);
  return world.recorders.slice(0, world.hosts.length).map((recorder) => recorder.finish());
}

test('replay · recorded worlds come out the same, byte for byte', () => {
  let frames = 0;
  for (const seed of seeds(25)) {
    for (const recording of record(seed)) {
      const outcome = replay(recording, engine);
      assert.ok(outcome.calls > 10);
      frames += outcome.frames;
    }
  }
  assert.ok(frames > 1000 || process.env['ACKORN_SEED'] !== undefined, `${frames} frames`);
});

test('replay · two recordings of one seed are the same file', () => {
  const [first, second] = [record(3), record(3)];
  assert.equal(first.length, second.length);
  for (const [at, one] of first.entries()) {
    assert.ok(Buffer.from(one).equals(second[at] as Uint8Array));
  }
});

/** Where the records of one kind begin. */
function places(recording: Uint8Array, wanted: RecordTag): number[] {
  const found: number[] = [];
  const reader = new RecordingReader(recording);
  reader.at = HEADER_BYTES;
  while (!reader.done) {
    const at = reader.at;
    const tag = reader.u8() as RecordTag;
    if (tag === wanted) found.push(at);
    if (tag === RecordTag.Write) {
      reader.u32();
      reader.bytes(reader.u32());
    } else if (tag === RecordTag.Call) {
      reader.u8();
      reader.bytes(reader.u8() * 4 + 4);
    } else if (tag === RecordTag.Result) reader.bytes(reader.u8() * 4);
    else if (tag === RecordTag.Frame) {
      reader.u8();
      reader.bytes(reader.u32());
    } else if (tag === RecordTag.Events) reader.bytes(reader.u32() * 16);
    else reader.u32();
  }
  return found;
}

test('replay · a changed frame, result or memory is found', () => {
  const recording = record(2)[0] as Uint8Array;
  assert.ok(replay(recording, engine).frames > 0);
  const random = new Random(9);
  const changes: [RecordTag, number][] = [
    [RecordTag.Frame, 6 + 12], // a byte of the IP header
    [RecordTag.Result, 2],
    [RecordTag.Events, 5 + 12], // the mask of the first event
    [RecordTag.End, 1],
  ];
  for (const [tag, offset] of changes) {
    const at = random.pick(places(recording, tag)) + offset;
    const changed = recording.slice();
    changed[at] = (changed[at] as number) ^ 1;
    assert.throws(() => replay(changed, engine), ReplayMismatch, `${RecordTag[tag]} at ${at}`);
  }
});

test('replay · a frame that is missing or one too many is found', () => {
  const recording = record(2)[0] as Uint8Array;
  const at = places(recording, RecordTag.Frame)[1] as number;
  const length = new DataView(recording.buffer).getUint32(at + 2, true);
  const end = at + 6 + length;
  const without = Buffer.concat([recording.subarray(0, at), recording.subarray(end)]);
  assert.throws(() => replay(without, engine), /a frame too many/);
  const twice = Buffer.concat([recording.subarray(0, end), recording.subarray(at)]);
  assert.throws(() => replay(twice, engine), ReplayMismatch);
});
