/**
 * One engine on a bench: frames go into its receive ring as bytes, what it sends is read back, and
 * the clock is the test's. A Peer is a scripted end of one connection: it keeps sequence numbers
 * and does nothing by itself, so that a test can be as hostile as it likes. Called by tests/robust.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { LINK_UP, LINK_VNET_HDR } from '../../assembly/abi.js';
import { requireCidr, type AddressWords } from '../../host/core/address.js';
import type { EngineConfig } from '../../host/core/config.js';
import { Engine, type CounterName, type Handle } from '../../host/core/engine.js';
import { POOL_NAMES } from '../../host/core/records.js';
import { LinkRing } from '../../host/core/ring.js';
import {
  ACK, FIN, optionWord, readTcp, RST, SYN, tcpOptions, writeTcp, type Parsed,
} from './packets.js';

export const module = new WebAssembly.Module(
  readFileSync(new URL('../../../../build/engine.wasm', import.meta.url)),
);

export const OURS: AddressWords = requireCidr('10.0.0.1/24').words;
export const THEIRS: AddressWords = requireCidr('10.0.0.2/24').words;
export const OURS6: AddressWords = requireCidr('fd00::1/64').words;
export const THEIRS6: AddressWords = requireCidr('fd00::2/64').words;
const NEVER = 0xffffffff;

export interface LabOptions {
  config?: EngineConfig;
  mtu?: number;
  flags?: number;
  startUs?: number;
  addresses?: readonly string[];
}

export class Lab {
  readonly engine: Engine;
  readonly ring: LinkRing;
  readonly link: number;
  nowUs: number;
  /** µs that the last poll asked for; 0xffffffff: nothing is due. */
  waitUs = NEVER;
  /** Told of each packet that the engine sends; the views last until the next one. */
  onPacket: (packet: Parsed) => void = () => {};
  /** Frames stay in the transmit ring while true. */
  holdTx = false;
  readonly #in = new Uint8Array(66_000);
  readonly #out = new Uint8Array(66_000);

  constructor(options: LabOptions = {}) {
    this.engine = Engine.load(module, { profile: 'test', seed: 7, ...options.config });
    this.link = this.engine.linkAdd(options.flags ?? LINK_UP, options.mtu ?? 1500);
    const { bytes, words } = this.engine;
    this.ring = new LinkRing(bytes, words, this.engine.linkRing(this.link));
    this.nowUs = options.startUs ?? 1_000_000;
    for (const cidr of options.addresses ?? ['10.0.0.1/24', 'fd00::1/64']) {
      this.engine.addressAdd(this.link, requireCidr(cidr));
    }
    this.poll();
  }

  /** Bytes of the packet go to the engine at the next poll. */
  inject(bytes: Uint8Array, length = bytes.length, vnet?: Uint8Array): void {
    if (this.ring.rxFree() === 0) this.poll();
    assert.ok(this.ring.receive(bytes, length, vnet), 'the receive ring does not empty');
  }

  send(packet: Parameters<typeof writeTcp>[1]): void {
    this.inject(this.#in, writeTcp(this.#in, packet));
  }

  /** Lets time pass and the engine work until it has nothing more to do now. */
  poll(us = 0, budget = 256): void {
    this.nowUs += us;
    for (let round = 0; round < 5000; round++) {
      this.waitUs = this.engine.poll(this.nowUs, budget);
      this.#drain();
      if (this.waitUs > 0) return;
      if (this.holdTx) return;
    }
    assert.fail('the engine never comes to rest');
  }

  /** Lets time pass timer by timer. */
  run(us: number): void {
    const endUs = this.nowUs + us;
    this.poll();
    while (this.waitUs !== NEVER && this.nowUs + this.waitUs <= endUs) this.poll(this.waitUs);
    this.nowUs = Math.max(this.nowUs, endUs);
    this.poll();
  }

  /** Returns what leaves by links that a test has added: nobody listens there. */
  drainOthers(): void {
    const { engine } = this;
    for (let id = this.link + 1; engine.linkRing(id) !== 0; id++) {
      const ring = new LinkRing(engine.bytes, engine.words, engine.linkRing(id));
      ring.txReturn(ring.txReady());
    }
  }

  #drain(): void {
    if (this.holdTx) return;
    while (this.ring.txReady() > 0) {
      const length = this.ring.txCopy(this.#out, 0);
      this.ring.txReturn(1);
      const parsed = readTcp(this.#out, length);
      if (parsed !== undefined) this.onPacket(parsed);
    }
  }

  /** Throws unless every pool is empty. */
  assertBaseline(story: string): void {
    for (const name of POOL_NAMES) {
      assert.equal(this.engine.pool(name).used, 0, `${name} is not back: ${story}`);
    }
  }

  counter(name: CounterName): number {
    return this.engine.counter(name);
  }

  /** Events are taken and thrown away. */
  drainEvents(): number {
    return this.engine.events(() => {});
  }
}

export interface PeerOptions {
  port: number;
  /** Port of the engine's listener. */
  to: number;
  iss?: number;
  mss?: number;
  wscale?: number;
  sackOk?: boolean;
  timestamps?: boolean;
  window?: number;
  six?: boolean;
  from?: AddressWords;
}

/** The scripted far end of one connection. */
export class Peer {
  sndNxt: number;
  rcvNxt = 0;
  /** Last packet that came for us. */
  last: Parsed | undefined;
  received = 0;
  /** Window field of what we send. */
  window: number;
  lastTsVal = 0;
  handle: Handle = { index: 0, generation: 0 };

  constructor(readonly lab: Lab, readonly options: PeerOptions) {
    this.sndNxt = options.iss ?? 1000;
    this.window = options.window ?? 65535;
  }

  get from(): AddressWords {
    return this.options.from ?? (this.options.six === true ? THEIRS6 : THEIRS);
  }

  get to(): AddressWords {
    return this.options.six === true ? OURS6 : OURS;
  }

  /** A packet of ours; seq and ack as they stand unless given. */
  send(flags: number, fields: {
    seq?: number; ack?: number; payload?: Uint8Array; sack?: [number, number][]; window?: number;
    plain?: boolean;
  } = {}): void {
    const { seq = this.sndNxt, ack = this.rcvNxt, payload, sack, window = this.window } = fields;
    const ts: readonly [number, number] = [this.#clock(), this.lastTsVal];
    const wanted = this.options.timestamps === true && fields.plain !== true ? { ts } : {};
    this.lab.send({
      from: this.from, to: this.to, sourcePort: this.options.port, window,
      destinationPort: this.options.to, seq: seq >>> 0, ack: ack >>> 0, flags,
      options: tcpOptions({ ...wanted, ...(sack === undefined ? {} : { sack }) }),
      ...(payload === undefined ? {} : { payload }),
    });
  }

  #clock(): number {
    return Math.floor(this.lab.nowUs / 1000) >>> 0;
  }

  /** Notes what the engine sent to us. */
  see(packet: Parsed): void {
    this.last = packet;
    if ((packet.flags & SYN) !== 0) this.rcvNxt = (packet.seq + 1) >>> 0;
    const length = packet.payload.length + ((packet.flags & FIN) !== 0 ? 1 : 0);
    if (packet.seq === this.rcvNxt && length > 0) {
      this.rcvNxt = (this.rcvNxt + length) >>> 0;
      this.received += packet.payload.length;
    }
    const tsVal = optionWord(packet.options, 8);
    if (tsVal !== undefined) this.lastTsVal = tsVal;
  }

  syn(): void {
    const { mss = 1460, wscale, sackOk = true, timestamps } = this.options;
    this.lab.send({
      from: this.from, to: this.to, sourcePort: this.options.port,
      destinationPort: this.options.to, seq: this.sndNxt, flags: SYN, window: 65535,
      options: tcpOptions({
        mss, sackOk, ...(wscale === undefined ? {} : { wscale }),
        ...(timestamps === true ? { ts: [this.#clock(), 0] as const } : {}),
      }),
    });
  }

  /** Three-way handshake with a listener; the connection is accepted. Needs a Net to hear. */
  open(listener: Handle): this {
    this.syn();
    this.lab.poll();
    assert.ok(this.last !== undefined && (this.last.flags & (SYN | ACK)) === (SYN | ACK),
      'no SYN-ACK came');
    this.sndNxt = (this.sndNxt + 1) >>> 0;
    this.send(ACK);
    this.lab.poll();
    const handle = this.lab.engine.accept(listener);
    assert.ok(handle !== undefined, 'nothing to accept');
    this.handle = handle;
    return this;
  }

  data(payload: Uint8Array): void {
    this.send(ACK, { payload });
    this.sndNxt = (this.sndNxt + payload.length) >>> 0;
  }

  reset(): void {
    this.send(RST);
  }
}

/** Hands each packet of the engine to the peer that it is for. */
export class Net {
  readonly peers = new Map<string, Peer>();

  constructor(readonly lab: Lab) {
    lab.onPacket = (packet) =>
      this.peers.get(this.#key(packet.to, packet.destinationPort))?.see(packet);
  }

  #key(address: AddressWords, port: number): string {
    return `${address.join()}:${port}`;
  }

  peer(options: PeerOptions): Peer {
    const peer = new Peer(this.lab, options);
    this.peers.set(this.#key(peer.from, options.port), peer);
    return peer;
  }
}

export const VNET = LINK_UP | LINK_VNET_HDR;
/** Seeds that a test tries: `usual` of them, or SEEDS=n, from FIRST_SEED=n on. */
export function seeds(usual: number): number[] {
  const first = Number(process.env['FIRST_SEED'] ?? 1);
  const wanted = Number(process.env['SEEDS'] ?? usual);
  return Array.from({ length: wanted }, (_, at) => first + at);
}
