/**
 * A scripted peer, in the manner of packetdrill: it says exactly what a test writes and checks what
 * the engine answers, with sequence numbers relative to both ISNs. It has no state machine: it only
 * remembers what would be the natural next numbers, so that scripts stay short. Made by harness.ts.
 */
import assert from 'node:assert/strict';
import { be16, be32, concat, icmp6Message, icmpMessage, ipv4Packet, ipv6Packet, tcpFrame }
  from '../support/frames.js';
import type { Bench } from './harness.js';
import {
  flagBits, flagText, octet, optionBytes, optionsText, pattern, type Seen, text, timestamps,
} from './segment.js';

/** What the peer's SYN offers; a test's established connection begins with it. */
export interface PeerSetup {
  /** 1000 by default; null: no MSS option. */
  mss?: number | null;
  wscale?: number;
  sack?: boolean;
  /** First TSval; without it no timestamps. */
  ts?: number;
  /** The window field of every segment, 65535 by default. */
  win?: number;
}

/** A segment of the peer's. */
export interface Says {
  flags: string;
  /** Relative to the peer's ISN; what follows its last segment by default. */
  seq?: number;
  /** Relative to the engine's ISN; everything that was expected so far by default. */
  ack?: number;
  win?: number;
  /** Bytes of payload, taken from the pattern. */
  len?: number;
  urgent?: number;
  mss?: number;
  wscale?: number;
  sackOk?: boolean;
  /** TSval; null: no timestamps although they are in use. */
  ts?: number | null;
  /** TSecr as it stands; the newest TSval of the engine by default. */
  ecr?: number;
  /** Blocks relative to the engine's ISN. */
  sack?: readonly (readonly [number, number])[];
  /** Option bytes as they stand, instead of those above. */
  raw?: number[];
  tos?: number;
}

/** What the engine shall send. Only `flags` must be given; the payload is empty unless `len` is. */
export interface Wanted {
  flags: string;
  seq?: number;
  ack?: number;
  win?: number;
  len?: number;
  urgent?: number;
  /** All options in order; by default what a segment of this connection carries. */
  options?: string;
  /** SACK blocks relative to the peer's ISN. */
  sack?: readonly (readonly [number, number])[];
  ecr?: number;
  tos?: number;
  ttl?: number;
  /** ms after the last thing that happened in the script; 0 by default: at once. */
  after?: number;
  /** ms that `after` may be missed by, 1 by default. */
  within?: number;
}

/** Types and codes of ICMP errors by name, IPv4 and IPv6. */
export const ICMP_ERRORS = {
  net: [3, 0, 1, 0], host: [3, 1, 1, 3], protocol: [3, 2, 4, 1], port: [3, 3, 1, 4],
  admin: [3, 13, 1, 1], ttl: [11, 0, 3, 0], parameter: [12, 0, 4, 0], tooBig: [3, 4, 2, 0],
  sourceRoute: [3, 5, 1, 5], quench: [4, 0, 4, 0],
} as const;
export type IcmpName = keyof typeof ICMP_ERRORS;

export class Peer {
  readonly queue: Seen[] = [];
  /** ISNs: the peer's is chosen high so that its numbers wrap in the middle of most tests. */
  isn = 0xffffff00;
  engineIsn: number | undefined;
  enginePort: number;
  /** Next natural numbers, relative. */
  next = 0;
  expected = 0;
  /** Are timestamps in use (the engine's SYN or SYN-ACK had them)? */
  ts = false;
  tsBase: number | undefined;
  lastTsVal = 0;
  /** The engine's first TSval and when: later ones must count milliseconds from it. */
  #clock: { value: number; atUs: number } | undefined;
  readonly setup: PeerSetup;

  constructor(
    readonly bench: Bench, readonly address: string, readonly port: number, enginePort: number,
    setup: PeerSetup = {},
  ) {
    this.setup = setup;
    this.enginePort = enginePort;
    this.tsBase = setup.ts;
  }

  /** Called for each segment to this peer, in order. */
  arrived(s: Seen): void {
    this.enginePort = s.tcp.sourcePort;
    const isSyn = (s.tcp.flags & 2) !== 0;
    if (this.engineIsn === undefined && isSyn) this.engineIsn = s.tcp.seq;
    const stamps = timestamps(s.tcp);
    if (stamps !== undefined) {
      this.lastTsVal = stamps[0];
      this.#clock ??= { value: stamps[0], atUs: s.atUs };
      const elapsed = (stamps[0] - this.#clock.value) >>> 0;
      const due = ((s.atUs - this.#clock.atUs) / 1000) % 2 ** 32;
      assert.ok(Math.abs(elapsed - due) <= 1, `TSval counts ms: ${elapsed} after ${due}`);
    }
    this.queue.push(s);
  }

  /** TSval for now. */
  tsNow(): number {
    return ((this.tsBase ?? 0) + Math.floor(this.bench.sinceStartMs())) >>> 0;
  }

  #options(says: Says): number[] {
    if (says.raw !== undefined) return says.raw;
    const isSyn = says.flags.includes('S');
    const wantsTs = says.ts !== null && (says.ts !== undefined || this.ts
      || (isSyn && this.setup.ts !== undefined));
    const base = this.engineIsn ?? 0;
    const mss = this.setup.mss === null ? undefined : (this.setup.mss ?? 1000);
    return optionBytes({
      mss: isSyn ? (says.mss ?? mss) : says.mss,
      wscale: isSyn ? (says.wscale ?? this.setup.wscale) : says.wscale,
      sackOk: isSyn ? (says.sackOk ?? this.setup.sack) : says.sackOk,
      ts: wantsTs ? [says.ts ?? this.tsNow(), says.ecr ?? this.lastTsVal] : undefined,
      sack: (says.sack ?? []).map(([a, b]) => [base + a, base + b] as const),
    });
  }

  /** The frame of a segment, not sent. */
  frame(says: Says): Uint8Array {
    const seq = says.seq ?? this.next;
    const hasAck = says.flags.includes('.');
    const ack = says.ack ?? this.expected;
    const syn = says.flags.includes('S') ? 1 : 0;
    const len = says.len ?? 0;
    const end = seq + len + syn + (says.flags.includes('F') ? 1 : 0);
    if (end > this.next && !says.flags.includes('R')) this.next = end;
    return tcpFrame({
      from: this.address, to: this.bench.address, sourcePort: this.port,
      destinationPort: this.enginePort, seq: (this.isn + seq) >>> 0,
      ack: hasAck ? ((this.engineIsn ?? 0) + ack) >>> 0 : 0, flags: flagBits(says.flags),
      window: says.win ?? this.setup.win ?? 65535, urgent: says.urgent ?? 0,
      options: this.#options(says),
    }, pattern(seq - 1 + syn, len), says.tos === undefined ? {} : { tos: says.tos });
  }

  /** A segment arrives at the engine, now. */
  sends(says: Says): void {
    this.bench.deliver(this.frame(says));
  }

  /** Several segments in one batch: the engine sees them all before it may answer. */
  sendsTogether(...all: Says[]): void {
    this.bench.deliver(...all.map((says) => this.frame(says)));
  }

  /** The engine's next segment to this peer, which must look like this and come at its time. */
  expect(wanted: Wanted): Seen {
    const { bench } = this;
    const after = wanted.after ?? 0;
    const within = wanted.within ?? 1;
    const from = bench.markUs;
    if (this.queue.length === 0) {
      bench.runUntil(from + (after + within) * 1000, () => this.queue.length > 0);
    }
    const s = this.queue.shift();
    assert.ok(s !== undefined, `expected [${wanted.flags}] after ${after} ms, nothing came`);
    const line = text(s, this.engineIsn ?? 0, this.isn);
    const took = (s.atUs - from) / 1000;
    assert.ok(Math.abs(took - after) <= within, `after ${after} ms, not ${took}: ${line}`);
    bench.markUs = Math.max(bench.markUs, s.atUs);
    this.#compare(s, wanted, line);
    const { tcp } = s;
    const end = ((tcp.seq - (this.engineIsn ?? 0)) >> 0) + s.data.length
      + (tcp.flags & 2 ? 1 : 0) + (tcp.flags & 1 ? 1 : 0);
    if (end > this.expected && (tcp.flags & 4) === 0) this.expected = end;
    return s;
  }

  #compare(s: Seen, wanted: Wanted, line: string): void {
    const { tcp } = s;
    const seq = (tcp.seq - (this.engineIsn ?? 0)) >> 0;
    assert.equal(flagText(tcp.flags), flagText(flagBits(wanted.flags)), `flags of ${line}`);
    if (wanted.seq !== undefined) assert.equal(seq, wanted.seq, `seq of ${line}`);
    if (wanted.ack !== undefined) {
      assert.equal((tcp.ack - this.isn) >> 0, wanted.ack, `ack of ${line}`);
    }
    if ((tcp.flags & 16) === 0) assert.equal(tcp.ack, 0, `no ACK, no ack number: ${line}`);
    if (wanted.win !== undefined) assert.equal(tcp.window, wanted.win, `window of ${line}`);
    assert.equal(s.data.length, wanted.len ?? 0, `length of ${line}`);
    const offset = seq - 1;
    s.data.forEach((byte, i) => {
      if (byte !== octet(offset + i)) assert.fail(`octet ${i} of ${line}`);
    });
    assert.equal(tcp.urgent, wanted.urgent ?? 0, `urgent pointer of ${line}`);
    if (wanted.tos !== undefined) assert.equal(s.tos, wanted.tos, `TOS of ${line}`);
    if (wanted.ttl !== undefined) assert.equal(s.ttl, wanted.ttl, `TTL of ${line}`);
    if (wanted.ecr !== undefined) {
      assert.equal(timestamps(tcp)?.[1], wanted.ecr, `TSecr of ${line}`);
    }
    this.#compareOptions(s, wanted, line);
  }

  #compareOptions(s: Seen, wanted: Wanted, line: string): void {
    const got = optionsText(s.tcp, this.isn);
    if (wanted.options !== undefined) {
      assert.equal(got, wanted.options, `options of ${line}`);
      return;
    }
    if (s.tcp.flags & 6) return; // a SYN's and a RST's are checked where a test is about them
    const parts = this.ts ? ['nop,nop,TS'] : [];
    const blocks = (wanted.sack ?? []).map(([a, b]) => `${a}:${b}`).join(' ');
    if (blocks !== '') parts.push(`nop,nop,sack ${blocks}`);
    assert.equal(got, parts.join(','), `options of ${line}`);
  }

  /** Nothing comes for `ms`. */
  quiet(ms = 0): void {
    this.bench.run(ms);
    const lines = this.queue.map((s) => text(s, this.engineIsn ?? 0, this.isn));
    assert.deepEqual(lines, [], 'nothing more is sent');
  }

  /** Forgets what came: for passages that the test is not about. @returns what it was */
  drain(): Seen[] {
    const all = this.queue.splice(0);
    for (const s of all) {
      const end = ((s.tcp.seq - (this.engineIsn ?? 0)) >> 0) + s.data.length
        + (s.tcp.flags & 3 ? 1 : 0);
      if (end > this.expected && (s.tcp.flags & 4) === 0) this.expected = end;
    }
    return all;
  }

  /**
   * An ICMP error about a segment that the engine sent with this seq (relative).
   * @param word the four bytes behind the checksum: the MTU of `tooBig`
   */
  icmp(name: IcmpName, seq: number, word = 0): void {
    const { bench, address } = this;
    const [type4, code4, type6, code6] = ICMP_ERRORS[name];
    const absolute = ((this.engineIsn ?? 0) + seq) >>> 0;
    const ports = [...be16(this.enginePort), ...be16(this.port)];
    const tcp = concat(ports, be32(absolute), be32(0), [0x50, 16], be16(1000), [0, 0, 0, 0]);
    const ends = { from: address, to: bench.address };
    if (bench.family === 4) {
      const quoted = ipv4Packet({ from: bench.address, to: address, protocol: 6 }, tcp);
      const message = icmpMessage(type4, code4, word, quoted);
      bench.deliver(ipv4Packet({ ...ends, protocol: 1 }, message));
    } else {
      const quoted = ipv6Packet({ from: bench.address, to: address, nextHeader: 6 }, tcp);
      const message = icmp6Message(ends, type6, code6, word, quoted);
      bench.deliver(ipv6Packet({ ...ends, nextHeader: 58 }, message));
    }
  }
}
