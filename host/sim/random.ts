/**
 * The simulator's only source of chance: sfc32 (Chris Doty-Humphrey's PractRand), 128 bits of
 * state, seeded. Each element and application takes its own generator by fork(), so that adding one
 * does not change what the others draw. Not for secrets.
 */

import { seedWords } from '../core/config.js';

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number) {
    const words = seedWords(seed);
    [this.#a, this.#b, this.#c, this.#counter] = words as unknown as [
      number, number, number, number,
    ];
    // The author's advice: twelve rounds until the seed has reached every bit.
    for (let round = 0; round < 12; round++) this.u32();
  }

  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1), 32 bits fine. */
  unit(): number {
    return this.u32() / 2 ** 32;
  }

  /** Uniform integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  /** Uniform integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with the given probability; draws even at 0 and 1, so that plans stay comparable. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  fill(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.u32() & 255;
    return bytes;
  }

  /** An independent generator that depends on this one's state and draws once from it. */
  fork(): Random {
    return new Random(this.u32());
  }
}
