/**
 * Gives a recorded run's inputs to a fresh engine and compares everything that comes out, byte for
 * byte (docs/replay.md). The same in Rust is in host/wasmtime. Portable: the caller reads the file.
 */

import { ABI_VERSION, DIRECTORY_AT, Directory, EVENT_BYTES, RESULT_AT } from
  '../../assembly/abi.js';
import { CALLS, guardCalls, type EngineCalls } from '../core/exports.js';
import { EngineFault, EngineSetupError } from '../core/errors.js';
import type { ModuleSource } from '../core/engine.js';
import { LinkRing } from '../core/ring.js';
import { memoryHash, RECORDING_MAGIC, RecordingReader, RecordTag } from './recording.js';

/** The first difference between the recording and this run. */
export class ReplayMismatch extends Error {
  override readonly name = 'ReplayMismatch';

  /** @param offset of the record in the file */
  constructor(readonly offset: number, readonly calls: number, what: string) {
    super(`after ${calls} calls, at byte ${offset} of the recording: ${what}`);
  }
}

export interface ReplayOutcome {
  readonly calls: number;
  readonly frames: number;
  readonly memoryHash: number;
}

class Replay {
  calls = 0;
  frames = 0;
  #offset = 0;
  #last = '';
  readonly #in: RecordingReader;
  readonly #memory: WebAssembly.Memory;
  readonly #calls: EngineCalls;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #links: (LinkRing | undefined)[] = [];
  /** Frames of each link that were compared and are not returned yet. */
  readonly #compared: number[] = [];

  constructor(data: Uint8Array, module: WebAssembly.Module) {
    this.#in = new RecordingReader(data);
    const magic = new TextDecoder().decode(this.#in.bytes(RECORDING_MAGIC.length));
    if (magic !== RECORDING_MAGIC) throw new EngineSetupError('this is no recording');
    const version = this.#in.u32();
    if (version !== ABI_VERSION) {
      throw new EngineSetupError(`recorded with ABI ${version}, this is ABI ${ABI_VERSION}`);
    }
    const { exports } = new WebAssembly.Instance(module, {});
    this.#memory = exports['memory'] as WebAssembly.Memory;
    const size = this.#in.u32();
    this.#memory.grow(size / 65536 - this.#memory.buffer.byteLength / 65536);
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#calls = guardCalls(exports, (cause) => new EngineFault(0, 0, cause)).calls;
  }

  #differ(what: string): never {
    throw new ReplayMismatch(this.#offset, this.calls, what);
  }

  #same(expected: Uint8Array, address: number, what: string): void {
    for (let at = 0; at < expected.length; at++) {
      if (expected[at] === this.#bytes[address + at]) continue;
      this.#differ(`${what}: byte ${at} is ${this.#bytes[address + at]}, not ${expected[at]}`);
    }
  }

  run(): ReplayOutcome {
    for (;;) {
      this.#offset = this.#in.at;
      const tag = this.#in.u8();
      if (tag === RecordTag.Write) this.#write();
      else if (tag === RecordTag.Call) this.#call();
      else if (tag === RecordTag.Result) this.#result();
      else if (tag === RecordTag.Frame) this.#frame();
      else if (tag === RecordTag.Events) this.#events();
      else if (tag === RecordTag.End) return this.#end();
      else this.#differ(`unknown tag ${tag}`);
    }
  }

  #write(): void {
    this.#allCompared();
    const address = this.#in.u32();
    this.#bytes.set(this.#in.bytes(this.#in.u32()), address);
  }

  #call(): void {
    this.#allCompared();
    const [name] = CALLS[this.#in.u8()] ?? this.#differ('unknown call');
    const count = this.#in.u8();
    const values: number[] = [];
    for (let at = 0; at < count; at++) values.push(this.#in.u32());
    const expected = this.#in.u32() | 0;
    // What the host has returned since is not there to be compared any more.
    for (const [id, ring] of this.#links.entries()) this.#compared[id] = ring?.txReady() ?? 0;
    const result = (this.#calls[name] as (...all: number[]) => number)(...values) | 0;
    this.calls++;
    this.#last = name;
    if (result !== expected) this.#differ(`${name} returned ${result}, not ${expected}`);
    if (name === 'linkAdd' && result >= 0) {
      const ring = this.#calls.linkRing(result) >>> 0;
      this.#links[result] = new LinkRing(this.#bytes, this.#words, ring);
      this.#compared[result] = 0;
    }
  }

  #result(): void {
    this.#same(this.#in.bytes(this.#in.u8() * 4), RESULT_AT, `RESULT of ${this.#last}`);
  }

  #frame(): void {
    const id = this.#in.u8();
    const expected = this.#in.bytes(this.#in.u32());
    const ring = this.#links[id] ?? this.#differ(`a frame on link ${id}`);
    const ahead = this.#compared[id] as number;
    if (ahead >= ring.txReady()) this.#differ(`${this.#last} published a frame too few`);
    const length = ring.txLength(ahead);
    if (length !== expected.length) this.#differ(`a frame of ${length}, not ${expected.length}`);
    const got = new Uint8Array(length);
    ring.txCopy(got, 0, ahead);
    const at = got.findIndex((byte, place) => byte !== expected[place]);
    if (at >= 0) this.#differ(`frame: byte ${at} is ${got[at]}, not ${expected[at]}`);
    this.#compared[id] = ahead + 1;
    this.frames++;
  }

  #events(): void {
    const ring = this.#words[(DIRECTORY_AT >>> 2) + Directory.EventRing] as number;
    this.#same(this.#in.bytes(this.#in.u32() * EVENT_BYTES), ring, 'events');
  }

  #allCompared(): void {
    for (const [id, ring] of this.#links.entries()) {
      // A write may have returned entries; more than were compared can never be there.
      if ((ring?.txReady() ?? 0) > (this.#compared[id] as number)) {
        this.#differ(`${this.#last} published a frame too many`);
      }
    }
  }

  #end(): ReplayOutcome {
    this.#allCompared();
    const expected = this.#in.u32();
    const hash = memoryHash(this.#words);
    if (hash !== expected) this.#differ(`memory hash ${hash}, not ${expected}`);
    return { calls: this.calls, frames: this.frames, memoryHash: hash };
  }
}

/**
 * Replays a recording.
 * @throws ReplayMismatch at the first difference; EngineSetupError for a file of another kind
 */
export function replay(recording: Uint8Array, source: ModuleSource): ReplayOutcome {
  const module = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
  return new Replay(recording, module).run();
}
