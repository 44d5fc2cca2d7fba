/**
 * A random world around one engine: peers that know the sequence numbers of their connections send
 * what no honest peer would, users call whatever there is with whatever arguments, descriptors are
 * nonsense now and then, time jumps. Everything from one seed. Called by frames.test.ts and
 * calls.test.ts; judges nothing but that the engine never traps and gives everything back.
 */
import assert from 'node:assert/strict';
import {
  Config, Errno, LinkWord, Option, RX_ADDRESS, RX_CAPACITY, RX_FLAGS, RX_LENGTH, State,
  VNET_HDR_BYTES,
} from '../../assembly/abi.js';
import type { EngineConfig } from '../../host/core/config.js';
import type { Handle } from '../../host/core/engine.js';
import { CALLS, type EngineCalls } from '../../host/core/exports.js';
import { Random } from '../../host/sim/random.js';
import { Lab, OURS, OURS6, THEIRS, THEIRS6, VNET } from './lab.js';
import {
  ACK, FIN, optionWord, PSH, RST, SYN, sealIp, sealTcp, tcpOptions, writeTcp, type Parsed,
} from './packets.js';

/** What the engine last said on a connection, by the peer's port. */
interface View {
  enginePort: number;
  peerPort: number;
  six: boolean;
  seq: number;
  /** After what the packet carried. */
  end: number;
  ack: number;
  /** What our acknowledgements have said. */
  una: number;
  /** Newest timestamp of the engine; 0: none. */
  ts: number;
  /** Nobody has seen anything of it. */
  fresh: boolean;
}

interface Said {
  flags: number;
  seq: number;
  ack: number;
  window: number;
  options: number[];
  payload: Uint8Array;
}

const ERRNOS = new Set(Object.values(Errno).filter((value) => typeof value === 'number'));
const OPTIONS = Object.values(Option).filter((value) => typeof value === 'number') as number[];
const BYTES = new Uint8Array(70_000).map((_, at) => (at * 7919) >>> 3);

/** A small engine: its pools run dry often. */
export function smallConfig(random: Random): EngineConfig {
  const tiny = random.below(3) === 0;
  return {
    connectionsMax: tiny ? 8 : 40, synRequestsMax: 8, timeWaitMax: random.pick([2, 16]),
    listenersMax: 4, segmentsMax: tiny ? random.pick([16, 64]) : 512, extrasMax: tiny ? 4 : 40,
    arenaBytes: tiny ? random.pick([16_384, 65_536]) : 1 << 20, hashBuckets: 16, eventSlots: 4,
    arenaBlockShift: random.pick([7, 9]),
    rxSlotBytes: 68 * 1024, rxSlots: 8, txSlots: random.pick([4, 64]), traceSlots: 16,
    tcp_sack: random.below(4) === 0 ? 0 : 1, tcp_timestamps: random.below(2),
    tcp_rmem_max: random.pick([131_072, 1 << 22]), tcp_keepalive_time: 5, tcp_retries2: 5,
    tcp_tw_reuse: 1,
  };
}

export class Fuzzer {
  readonly lab: Lab;
  readonly random: Random;
  readonly views: View[] = [];
  readonly connections: Handle[] = [];
  readonly listeners: Handle[] = [];
  /** Calls by name that gave an error, and those that did not: the test looks that both happen. */
  readonly results = new Map<string, [good: number, bad: number]>();
  readonly #frame = new Uint8Array(70_000);
  readonly #vnet = new Uint8Array(VNET_HDR_BYTES);
  #indices = 40;

  constructor(readonly seed: number, config?: EngineConfig) {
    this.random = new Random(seed);
    const chosen = config ?? smallConfig(this.random);
    this.#indices = chosen.connectionsMax ?? 40;
    const mtu = this.random.pick([68, 576, 1500, 9000]);
    this.lab = new Lab({ config: { seed, ...chosen }, flags: VNET, mtu });
    this.lab.onPacket = (packet) => this.#see(packet);
    this.listen(80);
    this.listen(81);
  }

  listen(port: number): void {
    const index = this.lab.engine.calls.tcpListen(0, 0, 0, 0, port, this.random.below(6), 0);
    if (index < 0) return;
    this.listeners.push({ index, generation: this.lab.engine.result[0] as number });
  }

  #see(packet: Parsed): void {
    const six = packet.from[0] !== 0;
    const at = this.views.findIndex((one) => one.peerPort === packet.destinationPort &&
      one.enginePort === packet.sourcePort && one.six === six);
    if ((packet.flags & RST) !== 0) {
      if (at >= 0 && this.random.below(4) !== 0) this.views.splice(at, 1);
      return;
    }
    let view = this.views[at];
    if (view === undefined) {
      view = {
        enginePort: packet.sourcePort, peerPort: packet.destinationPort, six, seq: 0, end: 0,
        ack: 0, una: packet.seq, ts: 0, fresh: false,
      };
      if (this.views.length < 32) this.views.push(view);
      else this.views[this.random.below(32)] = view;
    }
    const length = packet.payload.length + (packet.flags & SYN ? 1 : 0) +
      (packet.flags & FIN ? 1 : 0);
    view.seq = packet.seq;
    const end = (packet.seq + length) >>> 0;
    if (((end - view.end) | 0) > 0 || (packet.flags & SYN) !== 0) view.end = end;
    if ((packet.flags & SYN) !== 0) view.una = packet.seq;
    if ((packet.flags & ACK) !== 0) view.ack = packet.ack;
    else view.ack = this.random.u32();
    view.ts = optionWord(packet.options, 8) ?? 0;
  }

  /** Near zero most often, a window away often, anywhere now and then. */
  #delta(): number {
    const { random } = this;
    switch (random.below(10)) {
      case 0: return random.u32();
      case 1: return random.below(70_000) - 35_000;
      case 2: return random.below(5) - 2;
      case 3: return random.below(3000);
      default: return 0;
    }
  }

  #sack(view: View): [number, number][] {
    const blocks: [number, number][] = [];
    const count = this.random.below(5);
    const flight = (view.end - view.una) >>> 0;
    for (let at = 0; at < count; at++) {
      const wild = flight > 1 << 24 || this.random.below(6) === 0;
      const start = wild ? view.seq + this.#delta() : view.una + this.random.below(flight + 2);
      const length = wild
        ? 1 + this.random.below(3000) + this.#delta()
        : 1 + this.random.below(view.una + flight - start + 3000 >>> 0);
      blocks.push([start >>> 0, (start + length) >>> 0]);
    }
    return blocks;
  }

  #options(view: View): number[] {
    const { random } = this;
    switch (random.below(6)) {
      case 0: return [];
      case 1: return tcpOptions({ sack: this.#sack(view) });
      case 2: return tcpOptions({
        mss: random.pick([0, 1, 48, 536, 1460, 65_535]), sackOk: true, wscale: random.below(20),
      });
      case 3: {
        const now = random.below(4) === 0 ? random.u32() : this.#ms();
        return tcpOptions({ ts: [now, random.u32()] });
      }
      case 4: {
        const ts = [this.#ms(), this.#ms()] as const;
        return tcpOptions({ ts, sack: this.#sack(view).slice(0, 3) });
      }
      default: {
        const bytes = new Array<number>(4 * random.below(11));
        return bytes.fill(0).map(() => random.u32() & 255);
      }
    }
  }

  #ms(): number {
    return Math.floor(this.lab.nowUs / 1000) >>> 0;
  }

  #payload(): Uint8Array {
    const { random } = this;
    const length = random.pick([
      0, 0, 0, 0, 1, 7, 48, 512, 1460, random.below(random.below(8) === 0 ? 60_000 : 3000),
    ]);
    return BYTES.subarray(0, length);
  }

  #flags(): number {
    const { random } = this;
    if (random.below(3) !== 0) return ACK;
    return random.pick([
      ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, FIN, 0, random.below(64),
    ]);
  }

  /** A connection that is there, or a tuple that is not. */
  #view(): View {
    const { random } = this;
    if (this.views.length > 0 && random.below(12) !== 0) return random.pick(this.views);
    return {
      enginePort: random.pick([80, 80, 81, random.below(65_536)]), peerPort: 1 + random.below(40),
      six: random.below(3) === 0, seq: 0, end: 0, ack: random.u32(), una: random.u32(), ts: 0,
      fresh: true,
    };
  }

  /** What an honest peer might say next, which is what carries a connection through its states. */
  #good(view: View): Said {
    const { random } = this;
    const span = (view.end - view.una) >>> 0;
    // Often not all is acknowledged, or nothing new: then there are SACK blocks to invent.
    const some = random.below(3) === 0 && span < 1 << 24 ? random.below(span + 1) : span;
    const ack = random.below(4) === 0 ? view.una : (view.una + some) >>> 0;
    view.una = ack;
    const hole = random.below(5) === 0 ? random.pick([1, 48, 536, 1460, random.below(30_000)]) : 0;
    const sack = random.below(4) === 0 ? this.#sack(view) : [];
    const wanted = view.ts !== 0
      ? { ts: [this.#ms(), view.ts] as const, sack: sack.slice(0, 3) } : { sack };
    return {
      flags: random.below(20) === 0 ? ACK | FIN : ACK, seq: view.ack + hole, ack,
      window: random.pick([65_535, 65_535, 65_535, 0, random.below(65_536)]),
      options: tcpOptions(wanted), payload: this.#payload(),
    };
  }

  #wild(view: View): Said {
    const { random } = this;
    return {
      flags: this.#flags(), seq: view.ack + this.#delta(),
      ack: random.pick([view.end, view.end, view.seq]) + this.#delta(),
      window: random.pick([0, 1, 1000, 65_535, random.below(65_536)]),
      options: this.#options(view), payload: this.#payload(),
    };
  }

  /** A packet for a connection that is there, or a new one; right in form. @returns its length */
  packet(): number {
    const { random } = this;
    const view = this.#view();
    const said = view.fresh || random.below(4) === 0 ? this.#wild(view) : this.#good(view);
    if (view.fresh && random.below(8) !== 0) {
      said.flags = SYN;
      said.options = tcpOptions({
        mss: random.pick([1, 48, 536, 1460, 1460, 65_535]), sackOk: random.below(4) !== 0,
        ...(random.below(2) ? { wscale: random.below(15) } : {}),
        ...(random.below(2) ? { ts: [this.#ms(), 0] as const } : {}),
      });
      if (random.below(4) !== 0) said.payload = BYTES.subarray(0, 0);
    }
    return writeTcp(this.#frame, {
      ...said, from: view.six ? THEIRS6 : THEIRS, to: view.six ? OURS6 : OURS,
      sourcePort: view.peerPort, destinationPort: view.enginePort, seq: said.seq >>> 0,
      ack: said.ack >>> 0, urgent: random.below(8) === 0 ? random.below(65_536) : 0,
    });
  }

  /** Changes some bytes; checksums are mostly right afterwards, so that deeper code sees them. */
  #mutate(length: number): number {
    const { random } = this;
    const bytes = this.#frame;
    const changes = 1 + random.below(4);
    for (let at = 0; at < changes; at++) {
      bytes[random.below(Math.min(length, 100))] = random.u32() & 255;
    }
    if (random.below(4) === 0) return 1 + random.below(length);
    if (random.below(4) !== 0) {
      const header = (bytes[0] as number) >> 4 === 4 ? ((bytes[0] as number) & 15) * 4 : 40;
      sealIp(bytes);
      if (header + 20 <= length) sealTcp(bytes, header, length);
    }
    return length;
  }

  /** An ICMP error about what the engine last sent on some connection. */
  #icmp(): number {
    const { random } = this;
    if (this.views.length === 0) return this.packet();
    const view = random.pick(this.views);
    const inner = new Uint8Array(100);
    writeTcp(inner, {
      from: OURS, to: THEIRS, sourcePort: view.enginePort, destinationPort: view.peerPort,
      seq: (view.seq + this.#delta()) >>> 0, flags: ACK,
    });
    const bytes = this.#frame;
    writeTcp(bytes, {
      from: THEIRS, to: OURS, sourcePort: 0, destinationPort: 0, seq: 0, flags: 0,
      payload: inner.subarray(0, 28),
    });
    bytes[9] = 1;
    const mtu = random.pick([0, 68, 552, 600, 1000, 1400, 65_535]);
    const type = random.pick([3, 3, 4, 11, 12, random.below(20)]);
    const code = random.pick([0, 1, 3, 4, 4, 13]);
    bytes.set([type, code, 0, 0, 0, 0, mtu >> 8, mtu & 255], 20);
    bytes.copyWithin(28, 40, 68);
    let sum = 0;
    for (let at = 20; at < 56; at++) sum += (bytes[at] as number) << (at & 1 ? 0 : 8);
    while (sum > 65_535) sum = (sum & 65_535) + (sum >> 16);
    bytes[22] = (~sum >> 8) & 255;
    bytes[23] = ~sum & 255;
    bytes[2] = 0;
    bytes[3] = 56;
    sealIp(bytes);
    return 56;
  }

  #virtio(): Uint8Array {
    const { random } = this;
    if (random.below(3) !== 0) return this.#vnet.fill(0);
    for (let at = 0; at < VNET_HDR_BYTES; at++) {
      this.#vnet[at] = random.below(3) === 0 ? random.u32() & 255 : random.pick([0, 1, 2, 4]);
    }
    return this.#vnet;
  }

  frame(): void {
    const { random } = this;
    let length: number;
    const kind = random.below(20);
    if (kind < 13) length = this.packet();
    else if (kind < 17) length = this.#mutate(this.packet());
    else if (kind < 19) length = this.#icmp();
    else {
      length = 1 + random.below(200);
      for (let at = 0; at < length; at++) this.#frame[at] = random.u32() & 255;
      this.#frame[0] = random.pick([0x45, 0x60, 0x46, random.below(256)]);
    }
    this.lab.inject(this.#frame, length, this.#virtio());
    if (random.below(3) === 0) this.lab.poll();
  }

  /** Words of the link that only a broken host writes; put right again after one poll. */
  nonsense(): void {
    const { lab, random } = this;
    lab.poll();
    const { words } = lab.engine;
    const block = lab.engine.linkRing(lab.link) >>> 2;
    const entry = ((words[block + LinkWord.rxDescriptors] as number) >>> 2) +
      ((words[block + LinkWord.rxHead] as number) & (words[block + LinkWord.rxMask] as number)) * 4;
    const places = [
      ...[RX_ADDRESS, RX_CAPACITY, RX_LENGTH, RX_FLAGS].map((at) => entry + at / 4),
      ...[
        LinkWord.txTail, LinkWord.rxHead, LinkWord.rxMask, LinkWord.txSlots, LinkWord.flags,
        LinkWord.mtu, LinkWord.id,
      ].map((word) => block + word),
    ];
    lab.inject(this.#frame, this.packet());
    const saved = places.map((at) => words[at] as number);
    for (const at of places) {
      const odd = random.pick([0, 1, 0xffffffff, random.u32(), lab.nowUs]);
      if (random.below(4) === 0) words[at] = odd;
    }
    lab.engine.poll(lab.nowUs, 64);
    for (const [at, place] of places.entries()) words[place] = saved[at] as number;
    lab.poll();
  }

  // ---- Users ---------------------------------------------------------------------------------

  #number(): number {
    const { random } = this;
    return random.pick([
      0, 1, 2, 3, 80, random.below(64), random.below(4096), random.below(70_000), 0x7fffffff,
      0x80000000, 0xffffffff, random.u32(),
    ]);
  }

  #handle(list: readonly Handle[]): [number, number] {
    const { random } = this;
    if (list.length > 0 && random.below(8) !== 0) {
      const { index, generation } = random.pick(list);
      return [index, random.below(12) === 0 ? generation + 1 : generation];
    }
    return [random.below(this.#indices + 2), random.pick([0, 1, 2, 3, this.#number()])];
  }

  #address(): [number, number, number, number] {
    const { random } = this;
    return random.pick([
      [...THEIRS], [...THEIRS], [...THEIRS6], [...OURS], [...OURS6], [0, 0, 0, 0],
      [0, 0, 0xffff, 0], [0, 0, 0xffff, 0xffffffff], [0, 0, 0xffff, 0xe0000001],
      [0, 0, 0xffff, 0x7f000001], [0xff020000, 0, 0, 1],
      [this.#number(), this.#number(), this.#number(), this.#number()],
    ]) as [number, number, number, number];
  }

  #argumentsOf(name: string): number[] {
    const { random } = this;
    const connection = (): [number, number] => this.#handle(this.connections);
    const listener = (): [number, number] => this.#handle(this.listeners);
    switch (name) {
      case 'tcpListen': return [
        ...(random.below(2) ? [0, 0, 0, 0] : this.#address()),
        random.pick([80, 81, 0, this.#number()]),
        this.#number(), random.below(8),
      ];
      case 'listenerSetOption': return [...listener(), this.#option(), this.#number()];
      case 'listenerGetOption': return [...listener(), this.#option()];
      case 'listenerName':
      case 'listenerClose':
      case 'tcpAccept': return listener();
      case 'tcpBind':
      case 'tcpConnect': return [
        ...connection(), ...this.#address(), random.pick([1 + random.below(40), this.#number()]),
      ];
      case 'tcpSetOption': return [...connection(), this.#option(), this.#number()];
      case 'tcpGetOption': return [...connection(), this.#option()];
      case 'tcpSendCommit': return [
        ...connection(), this.#number(), random.pick([0, 0, 1, 0x8000, this.#number()]),
      ];
      case 'tcpRecvConsume':
      case 'tcpSendReserve': return [...connection(), this.#number()];
      case 'tcpRecvPeek': return [...connection(), random.pick([0, 0, this.#number()])];
      case 'tcpShutdown':
      case 'tcpName': return [...connection(), random.below(4)];
      case 'tcpInfo':
      case 'tcpClose':
      case 'tcpAbort': return connection();
      case 'sysctlSet': return [random.below(130), this.#sysctl()];
      case 'poll': return [0, this.#number(), this.#number()];
      case 'addressAdd': return [random.below(2), ...this.#address(), random.below(140)];
      case 'linkEthernet': return [
        random.below(4), random.pick([0x02000000, this.#number()]), this.#number() & 0xffff,
        random.pick([0, this.#number()]), random.below(9),
      ];
      case 'routeAdd': return [
        random.below(3), ...random.pick([[0, 0, 0, 0], this.#address()]), random.below(140),
        ...random.pick([[0, 0, 0, 0], this.#address()]),
      ];
      case 'routeRemove': return [random.below(20)];
      case 'tableNext': return [random.below(5), random.below(70)];
      case 'linkSet': return [random.below(3), random.below(4) === 0 ? 0 : 1];
      case 'icmpEcho': return [
        ...this.#address(), this.#number(), this.#number(), random.pick([0, 56, 70_000, 65_000]),
        random.pick([0, 1, this.#number()]),
      ];
      default: return [this.#number(), this.#number(), this.#number(), this.#number()];
    }
  }

  #option(): number {
    const { random } = this;
    return random.below(8) === 0 ? this.#number() : random.pick(OPTIONS);
  }

  #sysctl(): number {
    const { random } = this;
    return random.pick([0, 1, 2, 48, 552, 1000, 65_535, 65_536, 1 << 20, this.#number()]);
  }

  /** One export with arguments that may be anything. */
  call(skip: ReadonlySet<string> = new Set()): void {
    const { lab, random } = this;
    const [name, parameters] = random.pick(CALLS);
    if (skip.has(name)) return;
    const given = this.#argumentsOf(name).slice(0, parameters);
    const result = (lab.engine.calls as unknown as Record<string, (...values: number[]) => number>)[
      name as keyof EngineCalls]?.(...given) as number;
    this.#judge(name, given, result);
    const generation = lab.engine.result[0] as number;
    if (result >= 0 && (name === 'tcpOpen' || name === 'tcpAccept')) {
      this.connections.push({ index: result, generation });
    }
    if (result >= 0 && name === 'tcpListen') this.listeners.push({ index: result, generation });
    if (result === 0 && (name === 'tcpClose' || name === 'tcpAbort')) {
      this.#forget(this.connections, given);
    }
    if (result === 0 && name === 'listenerClose') this.#forget(this.listeners, given);
    lab.drainOthers();
    if (name === 'poll') lab.nowUs = Math.max(lab.nowUs, given[1] as number);
  }

  #forget(list: Handle[], given: readonly number[]): void {
    const at = list.findIndex(({ index, generation }) =>
      index === given[0] && generation === (given[1] as number) >>> 0);
    assert.ok(at >= 0, `seed ${this.seed}: a handle that nobody has was closed: ${given.join()}`);
    list.splice(at, 1);
  }

  /** Calls whose result is no Errno. */
  static readonly plain = new Set([
    'abiVersion', 'memoryRequired', 'linkRing', 'poll', 'tcpNext', 'poolUse', 'hashLongest',
    'sysctlGet', 'eventsCollect', 'tableNext',
  ]);

  #judge(name: string, given: readonly number[], result: number): void {
    const entry = this.results.get(name) ?? [0, 0];
    this.results.set(name, entry);
    const bad = result < 0 && !Fuzzer.plain.has(name);
    entry[bad ? 1 : 0]++;
    const told = `seed ${this.seed}: ${name}(${given.join()}) = ${result}`;
    if (bad) assert.ok(ERRNOS.has(-result), told);
  }

  /** What a user does that means well: most random calls by themselves get nowhere. */
  use(): void {
    const { lab, random } = this;
    const { calls, result, bytes } = lab.engine;
    if (this.listeners.length > 0 && random.below(3) === 0) {
      const { index, generation } = random.pick(this.listeners);
      const got = calls.tcpAccept(index, generation);
      if (got >= 0) this.connections.push({ index: got, generation: result[0] as number });
    }
    if (this.connections.length === 0) return;
    const handle = random.pick(this.connections);
    const { index, generation } = handle;
    if (random.below(8) === 0) return this.#end(handle);
    if (random.below(2) === 0) {
      const room = calls.tcpSendReserve(index, generation, 1 + random.below(40_000));
      if (room > 0) {
        const at = result[0] as number;
        const length = random.below(room + 1);
        bytes.set(BYTES.subarray(0, length), at);
        if (random.below(6) !== 0) calls.tcpSendCommit(index, generation, length, 0);
      }
    } else {
      const ready = calls.tcpRecvPeek(index, generation, 0);
      if (ready > 0) calls.tcpRecvConsume(index, generation, random.below(ready + 1));
    }
  }

  /** Opens, half closes, closes or aborts; what has ended is closed sooner. */
  #end(handle: Handle): void {
    const { calls, result } = this.lab.engine;
    const { index, generation } = handle;
    const kind = this.random.below(8);
    if (kind < 3) {
      calls.tcpShutdown(index, generation, this.random.below(3));
      return;
    }
    if (kind < 5) {
      const opened = calls.tcpOpen();
      if (opened < 0) return;
      const fresh = { index: opened, generation: result[0] as number };
      this.connections.push(fresh);
      const to = this.random.below(3) === 0 ? THEIRS6 : THEIRS;
      calls.tcpConnect(opened, fresh.generation, ...to, 1 + this.random.below(40));
      return;
    }
    const state = calls.tcpInfo(index, generation) > 0 ? result[0] : 0;
    if (state !== State.CLOSE && this.random.below(3) !== 0) return;
    if (kind === 5) calls.tcpAbort(index, generation);
    else calls.tcpClose(index, generation);
    this.connections.splice(this.connections.indexOf(handle), 1);
  }

  time(): void {
    const { random, lab } = this;
    const us = random.below(8) === 0
      ? random.pick([1_100_000, 10_000_000, 70_000_000])
      : random.pick([1, 1000, 1000, 20_000, 40_000, 210_000]);
    if (random.below(4) === 0) lab.run(us);
    else lab.poll(us);
    if (random.below(2) === 0) lab.drainEvents();
  }

  /** Closes everything and lets time pass: nothing may be left. */
  finish(): void {
    const { lab } = this;
    const { calls } = lab.engine;
    calls.linkSet(0, 1);
    lab.drainEvents();
    for (const { index, generation } of this.listeners) calls.listenerClose(index, generation);
    for (const { index, generation } of this.connections) {
      assert.equal(calls.tcpClose(index, generation), 0, `seed ${this.seed}: a handle was lost`);
    }
    // The peers are silent from now on: retransmissions give up, FIN-WAIT-2 and TIME-WAIT end.
    calls.sysctlSet(Config.tcp_orphan_retries, 3);
    calls.sysctlSet(Config.tcp_fin_timeout, 60);
    lab.onPacket = () => {};
    lab.run(3600e6);
    lab.drainOthers();
    lab.poll(1);
    lab.assertBaseline(`seed ${this.seed}`);
  }
}
