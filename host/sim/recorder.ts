/**
 * Records everything that goes into an engine and comes out of it, so that another host can give
 * the same inputs and compare the outputs byte for byte (docs/replay.md). It stands between the
 * engine and its calls: what the host wrote into rings and streams is read off before the next
 * call, what the engine published is read off after it. Works for any host, simulated or real.
 */

import {
  ABI_VERSION, CONFIG_AT, CONFIG_WORDS, DIRECTORY_AT, Directory, EVENT_BYTES, LINK_VNET_HDR,
  LinkWord, RESULT_AT, RX_DESCRIPTOR_BYTES, RX_LENGTH, SocketWord, TcpInfo, VNET_HDR_BYTES,
} from '../../assembly/abi.js';
import type { CallFilter } from '../core/engine.js';
import { CALLS, type CallName, type EngineCalls } from '../core/exports.js';
import { LinkRing } from '../core/ring.js';
import { memoryHash, RECORDING_MAGIC, RecordingWriter, RecordTag } from './recording.js';

/** Words that a successful call leaves at RESULT. */
export const RESULT_WORDS: Partial<Record<CallName, number>> = {
  tcpListen: 2, listenerName: 5, tcpAccept: 1, tcpOpen: 1, tcpSendReserve: 1, tcpRecvPeek: 1,
  tcpName: 5, tcpInfo: TcpInfo.WORDS, tcpNext: SocketWord.WORDS, poolUse: 3,
};

/** What the host may write in a LinkWord block. */
const HOST_WORDS = [LinkWord.rxHead, LinkWord.txTail, LinkWord.rxMissed, LinkWord.txErrors];

/** What is known of a link's rings at the last look. */
class LinkState {
  readonly ring: LinkRing;
  readonly seen = new Uint32Array(16);

  constructor(
    readonly id: number, readonly address: number, readonly words: Uint32Array, bytes: Uint8Array,
  ) {
    this.ring = new LinkRing(bytes, words, address);
    this.look();
  }

  now(word: LinkWord): number {
    return this.words[(this.address >>> 2) + word] as number;
  }

  look(): void {
    for (let word = 0; word < this.seen.length; word++) this.seen[word] = this.now(word);
  }
}

export class Recorder {
  readonly #out = new RecordingWriter();
  readonly #links: LinkState[] = [];
  #bytes = new Uint8Array(0);
  #words = new Uint32Array(0);
  #calls!: EngineCalls;
  #reserved = 0;
  #finished: Uint8Array | undefined;

  /** Give this to Engine.load or Simulation.host; a recorder serves one engine. */
  readonly filter: CallFilter = (calls, engine) => {
    this.#calls = calls;
    this.#bytes = new Uint8Array(engine.buffer);
    this.#words = new Uint32Array(engine.buffer);
    const out = this.#out;
    out.bytes(new TextEncoder().encode(RECORDING_MAGIC));
    out.u32(ABI_VERSION);
    out.u32(this.#bytes.length);
    this.#write(CONFIG_AT, CONFIG_WORDS * 4);
    const recorded: Record<string, (...values: number[]) => number> = {};
    for (const [number, [name]] of CALLS.entries()) {
      recorded[name] = (...values) => this.#call(number, name, values);
    }
    return recorded as unknown as EngineCalls;
  };

  #write(address: number, length: number): void {
    this.#out.u8(RecordTag.Write);
    this.#out.u32(address);
    this.#out.u32(length);
    this.#out.bytes(this.#bytes.subarray(address, address + length));
  }

  #call(number: number, name: CallName, values: number[]): number {
    const call = this.#calls[name] as (...all: number[]) => number;
    if (this.#finished !== undefined) return call(...values);
    this.#inputs(name, values);
    const out = this.#out;
    out.u8(RecordTag.Call);
    out.u8(number);
    out.u8(values.length);
    for (const value of values) out.u32(value);
    const result = call(...values);
    out.u32(result);
    this.#outputs(name, result);
    return result;
  }

  /** What the host wrote since the last call. */
  #inputs(name: CallName, values: number[]): void {
    for (const link of this.#links) {
      this.#frames(link);
      for (const word of HOST_WORDS) {
        if (link.now(word) !== link.seen[word]) this.#write(link.address + word * 4, 4);
      }
      link.look();
    }
    const length = values[2] as number;
    if (name === 'tcpSendCommit' && length > 0) this.#write(this.#reserved, length);
  }

  #frames(link: LinkState): void {
    const before = (link.now(LinkWord.flags) & LINK_VNET_HDR) !== 0 ? VNET_HDR_BYTES : 0;
    const last = link.now(LinkWord.rxHead);
    for (let head = link.seen[LinkWord.rxHead] as number; head !== last; head = (head + 1) >>> 0) {
      const slot = head & link.now(LinkWord.rxMask);
      const entry = link.now(LinkWord.rxDescriptors) + slot * RX_DESCRIPTOR_BYTES;
      const address = this.#words[entry >>> 2] as number;
      const length = this.#words[(entry + RX_LENGTH) >>> 2] as number;
      this.#write(address - before, length + before);
      this.#write(entry + RX_LENGTH, 8);
    }
  }

  /** What the engine made of the call. */
  #outputs(name: CallName, result: number): void {
    const out = this.#out;
    const words = RESULT_WORDS[name];
    if (words !== undefined && result >= 0) {
      out.u8(RecordTag.Result);
      out.u8(words);
      out.bytes(this.#bytes.subarray(RESULT_AT, RESULT_AT + words * 4));
    }
    if (name === 'tcpSendReserve') this.#reserved = this.#words[RESULT_AT >>> 2] as number;
    if (name === 'linkAdd' && result >= 0) {
      const address = this.#calls.linkRing(result) >>> 0;
      this.#links.push(new LinkState(result, address, this.#words, this.#bytes));
    }
    if (name === 'eventsCollect' && result > 0) {
      const ring = this.#words[(DIRECTORY_AT >>> 2) + Directory.EventRing] as number;
      out.u8(RecordTag.Events);
      out.u32(result);
      out.bytes(this.#bytes.subarray(ring, ring + result * EVENT_BYTES));
    }
    for (const link of this.#links) this.#published(link);
  }

  #published(link: LinkState): void {
    const count = (link.now(LinkWord.txHead) - (link.seen[LinkWord.txHead] as number)) >>> 0;
    const first = link.ring.txReady() - count;
    for (let ahead = first; ahead < first + count; ahead++) {
      const length = link.ring.txLength(ahead);
      this.#out.u8(RecordTag.Frame);
      this.#out.u8(link.id);
      this.#out.u32(length);
      link.ring.txCopy(this.#out.space(length), 0, ahead);
    }
    link.look();
  }

  /** Ends the recording; later calls pass through unrecorded. */
  finish(): Uint8Array {
    if (this.#finished === undefined) {
      this.#inputs('poll', []);
      this.#out.u8(RecordTag.End);
      this.#out.u32(memoryHash(this.#words));
      this.#finished = this.#out.finish();
    }
    return this.#finished;
  }
}
