/**
 * TCP options (assembly/wire/tcp-options.ts): the parser against every way an option can be wrong,
 * and the writers' bytes as Linux orders them. RFC 9293 §3.2, RFC 7323, RFC 2018, RFC 7413.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter } from '../../assembly/abi.js';
import { bare, SCRATCH_AT } from './ip-harness.js';

const MSS = 1;
const WSCALE = 2;
const SACK_OK = 4;
const TS = 8;
const SACK = 16;
const FASTOPEN = 32;
const MD5 = 64;
const MALFORMED = 128;

interface Parsed {
  whole: boolean;
  bad: number;
  present: number;
  tsVal: number;
  tsEcr: number;
  mss: number;
  wscale: number;
  blocks: [number, number][];
  cookie: string;
}

function parse(hex: string, shift = 0): Parsed {
  const e = bare();
  const bytes = Buffer.from(hex.replace(/ /g, ''), 'hex');
  const at = SCRATCH_AT + shift;
  e.memory.fill(0x55, SCRATCH_AT, SCRATCH_AT + 128);
  bytes.copy(e.memory, at);
  const whole = e.call('parseOptions', at, bytes.length) !== 0;
  const o = e.call('optionsRecord');
  const u32 = (offset: number): number => e.view.getUint32(o + offset, true);
  const present = u32(0);
  const blocks: [number, number][] = [];
  for (let i = 0; i < e.memory[o + 15]!; i++) blocks.push([u32(16 + i * 8), u32(20 + i * 8)]);
  const cookie = (present & FASTOPEN) !== 0
    ? e.memory.subarray(u32(48), u32(48) + u32(52)).toString('hex') : '';
  return {
    whole, bad: Number(e.counters[Counter.AckornTcpBadOption]), present, tsVal: u32(4),
    tsEcr: u32(8), mss: e.view.getUint16(o + 12, true), wscale: e.memory[o + 14]!, blocks, cookie,
  };
}

test("options · Linux's SYN · MSS, SACK permitted, timestamps, window scale", () => {
  //= rfc9293 MUST-4
  //= rfc9293 MUST-14
  const o = parse('020405b4 0402080a 00000001 00000002 01030307');
  assert.equal(o.present, MSS | SACK_OK | TS | WSCALE);
  assert.deepEqual([o.whole, o.mss, o.wscale, o.tsVal, o.tsEcr], [true, 1460, 7, 1, 2]);
});

test('options · on any segment, at any alignment, fast path or not', () => {
  //= rfc9293 MUST-5
  //= rfc9293 MUST-64
  for (const shift of [0, 1, 2, 3]) {
    assert.equal(parse('0101080a aabbccdd 11223344', shift).tsVal, 0xaabbccdd);
    const o = parse('01 080a aabbccdd 11223344 050a 00000001 00000002', shift);
    assert.equal(o.present, TS | SACK);
    assert.equal(o.tsEcr, 0x11223344);
    assert.deepEqual(o.blocks, [[1, 2]]);
  }
});

test('options · unknown ones are skipped by their length', () => {
  //= rfc9293 MUST-6
  //= rfc9293 MUST-68
  for (const unknown of ['fe02', 'fd0c0102030405060708090a', '4203aa']) {
    const o = parse(`${unknown} 020405b4`);
    assert.deepEqual([o.whole, o.present, o.mss, o.bad], [true, MSS, 1460, 0]);
  }
});

test('options · a length that cannot be true stops the parser, counted once', () => {
  //= rfc9293 MUST-7
  for (const wrong of ['0300', '0301', '0304', '02', '0801', 'fe00', 'fe01', 'feff', '0505']) {
    const o = parse(`020405b4 ${wrong}`);
    assert.deepEqual([o.whole, o.present, o.mss, o.bad], [false, MSS | MALFORMED, 1460, 1]);
  }
  assert.equal(parse('0300 020405b4').present, MALFORMED, 'what follows is not looked at');
});

test('options · what follows End of Option List is padding', () => {
  //= rfc9293 MUST-69
  const o = parse('020405b4 00 030307 0300');
  assert.deepEqual([o.whole, o.present, o.bad], [true, MSS, 0]);
  assert.equal(parse('').present, 0);
});

test('options · a known option of another length is skipped, as Linux does', () => {
  assert.equal(parse('0203aa 030402aa 0403aa 0809 01020304050607').present, 0);
  assert.equal(parse('02040000').present, 0, 'an MSS of 0 says nothing');
  assert.equal(parse('050c 000000010000000200000003 01010101').present & SACK, 0);
  assert.equal(parse('0502').present, 0);
});

test('options · window scale is capped, SACK holds four blocks', () => {
  assert.equal(parse('0303ff').wscale, 14);
  const blocks = '0522' + Array.from({ length: 8 }, (_, i) => `0000000${i}`).join('');
  assert.deepEqual(parse(blocks).blocks, [[0, 1], [2, 3], [4, 5], [6, 7]]);
});

test('options · Fast Open and MD5', () => {
  assert.deepEqual([parse('2202').present, parse('2202').cookie], [FASTOPEN, '']);
  assert.equal(parse('220a 0102030405060708').cookie, '0102030405060708');
  assert.equal(parse('2205 010203').present, 0);
  assert.equal(parse('2214' + '00'.repeat(18)).present, 0);
  assert.equal(parse('1312' + '00'.repeat(16)).present, MD5);
});

test("options · written in Linux's order", () => {
  const e = bare();
  const syn = (...args: number[]): string => {
    const length = e.call('writeSyn', SCRATCH_AT, ...args);
    return e.memory.subarray(SCRATCH_AT, SCRATCH_AT + length).toString('hex');
  };
  assert.equal(syn(1460, 1, 1, 1, 2, 7), '020405b40402080a000000010000000201030307');
  assert.equal(syn(1460, 0, 1, 1, 2, -1), '020405b40101080a0000000100000002');
  assert.equal(syn(1460, 1, 0, 1, 2, 7), '020405b40101040201030307');
  assert.equal(syn(1460, 0, 0, 1, 2, 20), '020405b40103030e');
  assert.equal(syn(536, 0, 0, 0, 0, -1), '02040218');
  const length = e.call('writeSack', SCRATCH_AT, 2);
  assert.equal(e.memory.subarray(SCRATCH_AT, SCRATCH_AT + length).toString('hex'),
    '0101080a0000000700000008' + '01010512' + '00000000000001f4' + '000003e8000005dc');
  assert.deepEqual([0, 12, 28, 29, 40].map((used) => e.call('optionsSackRoom', used)),
    [4, 3, 1, 0, 0]);
});
