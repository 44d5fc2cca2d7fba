/**
 * What it costs to hold bytes: everything that a sending or a receiving connection has in use for
 * each byte unacknowledged, unread or out of order, at many fill levels from 64 KiB to several MiB,
 * up and down. Called by footprint.ts. Frames are lost by a pattern and ACKs held back, with the
 * clock standing still, so that a level stays while it is measured. Imports nothing of Node.
 */

import { LINK_CSUM, LINK_TSO4, LINK_VNET_HDR, Option } from '../../assembly/abi.js';
import { ADDRESS_ANY, requireCidr } from './address.js';
import type { Handle, ModuleSource } from './engine.js';
import { MemoryMap } from './memory-map.js';
import { Pair } from './pair.js';

/** The worst of a situation: bytes in use for each byte held, and how many were held there. */
export interface HoldingRatio {
  ratio: number;
  atBytes: number;
  /** The largest level measured, bytes. */
  upToBytes: number;
  levels: number;
}

/** Situations of one direction, by name. */
export interface HoldingRatios {
  sending: Record<'unsent' | 'inFlight' | 'inFlightOffloaded' | 'lossTwentieth', HoldingRatio>;
  receiving: Record<'unread' | 'oneHole' | 'lossTwentieth' | 'lossTenth', HoldingRatio>;
  /**
   * Out of order with so much missing that the room kept for the holes counts: a granule that
   * holds one packet of two is half empty until the other comes. Beside the worst of `receiving`.
   */
  sparse: Record<'lossFifth' | 'lossHalf', HoldingRatio>;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Below it a connection's own records outweigh its bytes. */
const LEVEL_MIN = 64 * KIB;
/** Most that is written while it is held. */
const LEVEL_MAX = 6 * MIB;
/** Odd on purpose: levels fall anywhere in a block. */
const PIECE = 10_007;
/** What opens the windows of both ends before anything is measured. */
const WARM_UP = 48 * MIB;
const STEP_US = 1000;
const OFFLOAD = LINK_VNET_HDR | LINK_TSO4 | LINK_CSUM;
/** IPv4 and TCP without options: timestamps are off here. */
const HEADERS = 40;

/** Keeps the worst ratio. */
class Worst implements HoldingRatio {
  ratio = 0;
  atBytes = 0;
  upToBytes = 0;
  levels = 0;

  level(used: number, held: number): void {
    if (held < LEVEL_MIN) return;
    this.levels++;
    this.upToBytes = Math.max(this.upToBytes, held);
    const ratio = used / held;
    if (ratio <= this.ratio) return;
    this.ratio = ratio;
    this.atBytes = held;
  }

  /** The plain record; @throws Error when hardly anything was measured */
  result(situation: string): HoldingRatio {
    const { ratio, atBytes, upToBytes, levels } = this;
    if (levels < 20 || upToBytes < MIB) {
      throw new Error(`${situation}: ${levels} levels up to ${upToBytes} bytes`);
    }
    return { ratio, atBytes, upToBytes, levels };
  }
}

/** A client that writes to a server, and what each has in use for it. */
class Transfer {
  readonly pair: Pair;
  readonly client: Handle;
  readonly server: Handle;
  readonly #maps: readonly [MemoryMap, MemoryMap];
  readonly #before: readonly [number, number];
  readonly #bytes = new Uint8Array(64 * KIB).fill(0x62);

  constructor(module: ModuleSource, flags: number) {
    const offload = (flags & LINK_TSO4) !== 0;
    const slots = offload ? 256 : 8192; // a whole flight leaves in one poll: the window opens
    const config = {
      profile: 'test', seed: 3, arenaBytes: 64 * MIB, segmentsMax: 65536, txSlots: slots,
      rxSlots: slots, rxSlotBytes: offload ? 68 * KIB : 2 * KIB, tcp_timestamps: 0,
      tcp_wmem_max: 16 * MIB, tcp_rmem_max: 16 * MIB,
    } as const;
    const pair = new Pair(module, { config: [config, { ...config, seed: 4 }], flags });
    const { server, client } = pair;
    const listener = server.engine.listen(ADDRESS_ANY, 80, 1);
    server.engine.listenerSetOption(listener, Option.SO_RCVBUF, 8 * MIB);
    this.#maps = [new MemoryMap(client.engine), new MemoryMap(server.engine)];
    this.#before = [this.#maps[0].used(), this.#maps[1].used()];
    const handle = client.engine.open();
    client.engine.setOption(handle, Option.SO_SNDBUF, 8 * MIB);
    client.engine.connect(handle, requireCidr('10.0.0.2/8').words, 80);
    pair.settle();
    const [accepted] = pair.accept(listener);
    if (accepted === undefined) throw new Error('no connection');
    this.pair = pair;
    this.client = handle;
    this.server = accepted;
  }

  write(most: number): number {
    const length = Math.min(most, this.#bytes.length);
    return this.pair.client.engine.write(this.client, this.#bytes, 0, length);
  }

  /** The server reads everything that is there. */
  read(): void {
    this.pair.server.engine.discard(this.server);
  }

  /** Opens the windows: much data, read as it comes, a millisecond a step. */
  warmUp(): this {
    for (let sent = 0; sent < WARM_UP;) {
      for (let room = 1; room > 0 && sent < WARM_UP; sent += room) room = this.write(64 * KIB);
      this.#turn();
    }
    while (this.outq() > 0) this.#turn();
    return this;
  }

  #turn(): void {
    this.pair.step();
    this.read();
    this.pair.discardEvents();
    this.pair.nowUs += STEP_US;
  }

  /** Bytes written and not acknowledged. */
  outq(): number {
    return this.pair.client.engine.getOption(this.client, Option.SIOCOUTQ);
  }

  inq(): number {
    return this.pair.server.engine.getOption(this.server, Option.SIOCINQ);
  }

  clientUsed(): number {
    return this.#maps[0].used() - this.#before[0];
  }

  serverUsed(): number {
    return this.#maps[1].used() - this.#before[1];
  }

  /** Writes piece by piece; after each, what moves without time moves. */
  fill(onLevel: () => void): void {
    for (let written = 0; written < LEVEL_MAX;) {
      const queued = this.write(PIECE);
      written += Math.max(queued, 0);
      this.pair.settle();
      this.pair.discardEvents();
      onLevel();
      if (queued < PIECE) return;
    }
  }

  /** ACKs that were held back come one by one. */
  drain(onLevel: () => void): void {
    const { client, server } = this.pair;
    for (;;) {
      while (server.ring.txReady() > 0) {
        server.carry(client, 1);
        client.engine.poll(this.pair.nowUs, 1);
        client.carry(server);
        onLevel();
      }
      server.engine.poll(this.pair.nowUs, 64);
      if (server.ring.txReady() === 0) return;
    }
  }
}

/** Queued behind a closed window, and on the other side the bytes that nobody reads. */
function closedWindow(module: ModuleSource): { unsent: HoldingRatio; unread: HoldingRatio } {
  const transfer = new Transfer(module, 0);
  const [unsent, unread] = [new Worst(), new Worst()];
  transfer.fill(() => {
    unread.level(transfer.serverUsed(), transfer.inq());
    // What the receiver has taken is acknowledged: the rest waits for its window.
    unsent.level(transfer.clientUsed(), transfer.outq());
  });
  for (let more = 1; more > 0;) {
    more = Math.max(transfer.write(PIECE), 0);
    transfer.pair.settle();
    unsent.level(transfer.clientUsed(), transfer.outq());
  }
  const { engine } = transfer.pair.server;
  const { index, generation } = transfer.server;
  transfer.pair.client.drop = () => true; // what is read makes room: nothing new comes in
  while (transfer.inq() > LEVEL_MIN) {
    engine.calls.tcpRecvConsume(index, generation, PIECE);
    unread.level(transfer.serverUsed(), transfer.inq());
  }
  return { unsent: unsent.result('unsent'), unread: unread.result('unread') };
}

/** Sent and not acknowledged, up to the congestion window and, as ACKs come, down again. */
function inFlight(module: ModuleSource, flags: number): HoldingRatio {
  const transfer = new Transfer(module, flags).warmUp();
  const worst = new Worst();
  const level = (): void => worst.level(transfer.clientUsed(), transfer.outq());
  const { server } = transfer.pair;
  server.held = true;
  transfer.fill(() => {
    transfer.read();
    level();
  });
  transfer.drain(level);
  return worst.result('in flight');
}

/** Every `one`th frame is lost, from the first on; out of order at the receiver, then SACKed. */
function loss(
  module: ModuleSource, one: number,
): { sending: HoldingRatio; receiving: HoldingRatio } {
  const transfer = new Transfer(module, 0).warmUp();
  const [sending, receiving] = [new Worst(), new Worst()];
  const { client, server } = transfer.pair;
  const level = (): void => sending.level(transfer.clientUsed(), transfer.outq());
  let outOfOrder = 0;
  const first = client.frames;
  client.drop = (frame) => {
    const lost = (frame - first) % one === 0;
    if (!lost) outOfOrder += client.ring.txLength() - HEADERS;
    return lost;
  };
  server.held = true; // no ACK comes, so nothing is sent twice
  transfer.fill(() => {
    level();
    receiving.level(transfer.serverUsed(), outOfOrder);
  });
  transfer.drain(level);
  return { sending: sending.result('loss'), receiving: receiving.result('loss') };
}

/** Measures all situations; deterministic. */
export function holdingRatios(module: ModuleSource): HoldingRatios {
  const { unsent, unread } = closedWindow(module);
  const twentieth = loss(module, 20);
  const oneHole = loss(module, Number.MAX_SAFE_INTEGER);
  return {
    sending: {
      unsent,
      inFlight: inFlight(module, 0),
      inFlightOffloaded: inFlight(module, OFFLOAD),
      lossTwentieth: twentieth.sending,
    },
    receiving: {
      unread,
      oneHole: oneHole.receiving,
      lossTwentieth: twentieth.receiving,
      lossTenth: loss(module, 10).receiving,
    },
    sparse: { lossFifth: loss(module, 5).receiving, lossHalf: loss(module, 2).receiving },
  };
}
