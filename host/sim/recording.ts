/**
 * The file format of recordings (docs/replay.md): a header and records, little endian. The writer
 * and the reader of its bytes; what is written and how it is compared is in recorder.ts and
 * replay.ts.
 */

export const RECORDING_MAGIC = 'ACKORNR1';
export const HEADER_BYTES = 8 + 4 + 4;

/** First byte of a record. */
export enum RecordTag {
  /** Input: the host wrote bytes into the engine's memory. */
  Write = 1,
  /** Input: a call; then what it returned. */
  Call = 2,
  /** Output of the last call: words at RESULT. */
  Result = 3,
  /** Output of the last call: a frame that it published. */
  Frame = 4,
  /** Output of eventsCollect: the entries of the event ring. */
  Events = 5,
  /** The end: hash of the whole memory. */
  End = 6,
}

/** FNV-1a over 32-bit words: an equal hash in any language in five lines. */
export function memoryHash(words: Uint32Array): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < words.length; at++) {
    hash = Math.imul(hash ^ (words[at] as number), 0x01000193);
  }
  return hash >>> 0;
}

/** Bytes that grow by doubling. */
export class RecordingWriter {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #room(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    let size = this.#bytes.length;
    while (size < this.length + count) size *= 2;
    const larger = new Uint8Array(size);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  bytes(from: Uint8Array): void {
    this.#room(from.length);
    this.#bytes.set(from, this.length);
    this.length += from.length;
  }

  /** Makes room and says where it is, for a gather. The view is valid until the next call. */
  space(count: number): Uint8Array {
    this.#room(count);
    this.length += count;
    return this.#bytes.subarray(this.length - count, this.length);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}

/** Reads a recording. @throws RangeError where it is cut short */
export class RecordingReader {
  readonly #view: DataView;
  at = 0;

  constructor(readonly data: Uint8Array) {
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get done(): boolean {
    return this.at >= this.data.length;
  }

  u8(): number {
    return this.#view.getUint8(this.at++);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  bytes(count: number): Uint8Array {
    if (this.at + count > this.data.length) throw new RangeError('the recording is cut short');
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }
}
