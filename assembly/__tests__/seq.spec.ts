/**
 * Sequence numbers (core/seq.ts) at the wrap, where comparing them as plain numbers goes wrong.
 * RFC 9293 §3.4.
 */
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin, seqWithin } from "../core/seq";

const LAST: u32 = 0xffffffff;

describe("seq · order", () => {
  it("holds away from the wrap", () => {
    expect<bool>(seqLt(1, 2)).toBe(true);
    expect<bool>(seqLt(2, 1)).toBe(false);
    expect<bool>(seqGt(2, 1)).toBe(true);
    expect<bool>(seqGt(1, 2)).toBe(false);
  });

  it("holds across the wrap", () => {
    expect<bool>(seqLt(LAST, 0)).toBe(true);
    expect<bool>(seqGt(5, LAST - 5)).toBe(true);
    expect<bool>(seqLe(LAST, 0)).toBe(true);
    expect<bool>(seqGe(LAST, 0)).toBe(false);
    expect<u32>(seqMax(LAST, 3)).toBe(3);
    expect<u32>(seqMin(LAST, 3)).toBe(LAST);
  });

  it("counts an equal number as neither before nor after", () => {
    expect<bool>(seqLt(LAST, LAST)).toBe(false);
    expect<bool>(seqGt(0, 0)).toBe(false);
    expect<bool>(seqLe(0, 0)).toBe(true);
    expect<bool>(seqGe(LAST, LAST)).toBe(true);
  });

  it("reaches half the number space", () => {
    expect<bool>(seqLt(0, 0x7fffffff)).toBe(true);
    expect<bool>(seqGt(0, 0x80000001)).toBe(true);
  });
});

describe("seq · windows", () => {
  it("have their first number and not the one after their last", () => {
    expect<bool>(seqWithin(LAST, LAST, 2)).toBe(true);
    expect<bool>(seqWithin(0, LAST, 2)).toBe(true);
    expect<bool>(seqWithin(1, LAST, 2)).toBe(false);
    expect<bool>(seqWithin(LAST - 1, LAST, 2)).toBe(false);
    expect<bool>(seqWithin(7, 7, 0)).toBe(false);
  });
});
