/**
 * A million random and mutated frames through the engine's links and IP: no trap, at most one drop
 * counter a frame, nothing leaked. The seed is fixed; ACKORN_FUZZ_SEED and ACKORN_FUZZ_FRAMES
 * change what is run, and the seed is printed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Config, Counter, LINK_CSUM, LINK_UP, LINK_VNET_HDR, LinkWord,
} from '../../assembly/abi.js';
import {
  bare, checksum, DROPS, type Engine, icmp, icmp6, ipv4, ipv6, pattern, PEER, PEER6, pseudo,
  RX_SLOT_BYTES, RX_SLOTS, tcp, udp, US, US6, words,
} from './ip-harness.js';

const SEED = Number(process.env['ACKORN_FUZZ_SEED'] ?? 9293);
const FRAMES = Number(process.env['ACKORN_FUZZ_FRAMES'] ?? 1_000_000);
/** xorshift32: the same frames for the same seed. */
class Chance {
  constructor(private state: number) {}
  next(below: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % below;
  }
}

function templates(): Buffer[] {
  const data = pattern(24);
  const ours = ipv4(US, PEER, 6, tcp(US, PEER, data));
  const ours6 = ipv6(US6, PEER6, 6, tcp(US6, PEER6, data));
  const options = Buffer.from('020405b40402080a000000010000000201030307', 'hex');
  const extended = Buffer.concat([
    Buffer.from('3c00010400000000', 'hex'), Buffer.from('2b00010400000000', 'hex'),
    Buffer.from('2c00000000000000', 'hex'), Buffer.from('0600000000000000', 'hex'),
    tcp(PEER6, US6, data),
  ]);
  return [
    ipv4(PEER, US, 6, tcp(PEER, US, data, options)),
    ipv4(PEER, US, 1, icmp(8, 0, 1, data)),
    ipv4(PEER, US, 1, icmp(3, 1, 0, ours)),
    ipv4(PEER, US, 1, icmp(3, 4, 1400, ours)),
    ipv4(PEER, US, 17, udp(PEER, US, data)),
    ipv4(PEER, US, 6, tcp(PEER, US, data), { options: Buffer.from('0703040001010100', 'hex') }),
    ipv6(PEER6, US6, 6, tcp(PEER6, US6, data, options)),
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 128, 0, 1, data)),
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 1, 4, 0, ours6)),
    ipv6(PEER6, US6, 58, icmp6(PEER6, US6, 2, 0, 1300, ours6)),
    ipv6(PEER6, US6, 17, udp(PEER6, US6, data)),
    ipv6(PEER6, US6, 0, extended),
  ];
}

/** Makes checksums right again, so that mutations get past them. */
function repair(frame: Buffer): void {
  if (frame.length < 20) return;
  const v4 = frame[0]! >> 4 === 4;
  const l3 = v4 ? (frame[0]! & 15) * 4 : 40;
  if (v4 && l3 <= frame.length) {
    frame.writeUInt16BE(0, 10);
    frame.writeUInt16BE(checksum(frame.subarray(0, l3)), 10);
  }
  const l4 = frame.subarray(l3);
  const protocol = v4 ? frame[9]! : frame[6]!;
  const field = { 1: 2, 58: 2, 6: 16, 17: 6 }[protocol];
  if (field === undefined || l4.length < field + 2) return;
  l4.writeUInt16BE(0, field);
  const before = pseudo(v4 ? PEER : PEER6, v4 ? US : US6, protocol, l4.length);
  l4.writeUInt16BE(checksum(protocol === 1 ? Buffer.alloc(0) : before, l4), field);
}

function mutate(chance: Chance, base: Buffer): Buffer {
  const frame = Buffer.from(base);
  const changes = 1 + chance.next(4);
  for (let i = 0; i < changes; i++) frame[chance.next(frame.length)] = chance.next(256);
  const cut = chance.next(8) === 0 ? chance.next(frame.length) + 1 : frame.length;
  const out = frame.subarray(0, cut);
  if (chance.next(4) !== 0) repair(out);
  return out;
}

function noise(chance: Chance): Buffer {
  const frame = Buffer.alloc(1 + chance.next(100));
  for (let i = 0; i < frame.length; i++) frame[i] = chance.next(256);
  frame[0] = chance.next(2) === 0 ? 0x40 | chance.next(16) : 0x60;
  return frame;
}

function dropped(e: Engine): number {
  return DROPS.reduce((sum, i) => sum + Number(e.counters[i]), 0);
}

test(`fuzz · ${FRAMES} frames, seed ${SEED} · no trap, one counter each, no leak`, () => {
  const chance = new Chance(SEED);
  const e = bare({ [Config.icmp_ratelimit]: 0, [Config.icmp_msgs_per_sec]: 1e9 });
  e.call('linkAdd', LINK_UP | LINK_VNET_HDR | LINK_CSUM, 1500);
  e.call('addressAdd', ...words(US), 24, 0);
  e.call('addressAdd', ...words(US6), 64, 0);
  const bases = templates();
  let now = 100_000;
  for (let sent = 0; sent < FRAMES; sent += RX_SLOTS) {
    const before = dropped(e);
    for (let i = 0; i < RX_SLOTS; i++) {
      const base = bases[chance.next(bases.length)]!;
      const frame = chance.next(10) === 0 ? noise(chance) : mutate(chance, base);
      e.push(frame, Buffer.from([chance.next(3), chance.next(2), 0, 0, 1, 2, 3, 4, 5, 6]));
    }
    e.call('setNowMs', now++);
    assert.equal(e.run(), RX_SLOTS);
    assert.ok(dropped(e) - before <= RX_SLOTS, 'a frame was dropped twice');
    e.setWord(0, LinkWord.txTail, e.word(0, LinkWord.txHead));
    e.call('poll', 0);
  }
  assert.equal(e.call('arenaUsed'), 0);
  assert.equal(e.call('outstanding'), 0);
  const reached = ['IcmpInEchos', 'Icmp6InEchos', 'IcmpInDestUnreachs', 'UdpNoPorts',
    'Icmp6InPktTooBigs', 'AckornTcpBadOption', 'Ip6ReasmFails', 'IpReasmFails', 'TcpInErrs',
    'Ip6InUnknownProtos', 'IcmpOutEchoReps', 'Icmp6OutEchoReplies', 'Icmp6OutParmProblems'];
  for (const name of reached) {
    const counter = Counter[name as keyof typeof Counter];
    assert.ok(Number(e.counters[counter]) > 0, `${name} was never reached`);
  }
});

test('fuzz · descriptors and indices of a mad host · no trap, nothing read outside', () => {
  const chance = new Chance(SEED);
  const e = bare();
  e.call('linkAdd', LINK_UP | LINK_VNET_HDR, 1500);
  e.call('addressAdd', ...words(US), 24, 0);
  const ring = e.word(0, LinkWord.rxDescriptors);
  const area = ring + RX_SLOTS * 16;
  const size = RX_SLOTS * RX_SLOT_BYTES;
  const near = [0, area, area + size, 0xffffffff, 0x7fffffff, area + 10, RX_SLOT_BYTES];
  const some = (): number => (near[chance.next(near.length)]! + chance.next(64) - 32) >>> 0;
  for (let turn = 0; turn < 200_000; turn++) {
    const at = ring + chance.next(RX_SLOTS * 4) * 4;
    e.view.setUint32(at, some(), true);
    const word = chance.next(16);
    if (chance.next(4) === 0) e.setWord(0, word, some());
    else e.setWord(0, LinkWord.rxHead, (e.word(0, LinkWord.rxTail) + chance.next(80)) >>> 0);
    e.run();
    e.call('poll', 0);
  }
  assert.equal(e.call('outstanding'), 0);
  assert.ok(Number(e.counters[Counter.AckornLinkInErrors]) > 10_000);
});
