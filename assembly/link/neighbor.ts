/**
 * Neighbours of Ethernet links, of both families: who has which MAC, RFC 826 and RFC 4861 §7.3 with
 * Linux's states and limits. ip/output.ts hands packets to neighborSend; link/arp.ts and ip/nd.ts
 * tell what they heard (neighborLearn); poll.ts calls neighborTimer. Packets wait here, copied into
 * arena blocks, while nobody has answered. A flood of addresses meets a full table: what we never
 * sent to goes first, and what answered lately never goes for what merely spoke.
 */
import {
  Config, Counter, Errno, Fault, NeighborState, TX_PIECE_COUNT, TX_PIECES, TX_TOTAL,
  VNET_GSO_NONE, VNET_GSO_TYPE, VNET_HDR_BYTES, TX_L3_HEADER,
} from "../abi";
import { config } from "../config";
import { ARENA_MAX_SHIFT, arenaAlloc, arenaFree } from "../core/arena";
import { copyBytes, readU32, readU8, writeU32 } from "../core/bytes";
import { count } from "../core/counters";
import { invariant } from "../core/invariant";
import { pool, PoolId, poolAt, poolGive, poolIndex, poolTake } from "../core/pool";
import { siphash13 } from "../core/siphash";
import { wheelArm, wheelCancel } from "../core/timer-wheel";
import { IcmpKind, icmpQuoteSteer } from "../ip/icmp-quote";
import { ndSolicit } from "../ip/nd-send";
import { isMapped } from "../ip/packet";
import { system } from "../memory";
import { EthernetHeader } from "../wire/ethernet";
import { ICMP_DEST_UNREACH, ICMP_HOST_UNREACH } from "../wire/icmpv4";
import { ICMPV6_ADDR_UNREACH, ICMPV6_DEST_UNREACH } from "../wire/icmpv6";
import { arpSolicit } from "./arp-send";
import { ethernetFill, ethernetPad, ethernetTransmit } from "./ethernet";
import {
  Link, linkAt, linkAuto, linkHeaderBytes, NEIGHBOR_KIND,
} from "./link";
import { txHeader, txPublish, txReserve } from "./output";

/** Begins as the wheel's records do; the address stands where Endpoint has its remote one. */
@unmanaged
export class Neighbor {
  /** Next in the hash chain. */
  next: u32;
  wheelNext: u32;
  wheelLink: u32;
  wheelDeadline: u32;
  w0: u32;
  w1: u32;
  w2: u32;
  w3: u32;
  link: u16;
  /** NF_* bits. */
  flags: u16;
  /** Solicitations sent in this state. */
  probes: u8;
  queued: u8;
  kind: u8;
  /** NeighborState. */
  state: u8;
  macHigh: u32;
  macLow: u32;
  /** Blocks that wait, oldest first. */
  queueHead: u32;
  queueTail: u32;
  /** Seconds: until when the last confirmation is good, when a packet was last for it. */
  reachableUntilS: u32;
  usedS: u32;
}
export const NEIGHBOR_BYTES: u32 = 64;
if (offsetof<Neighbor>() != NEIGHBOR_BYTES) ERROR("Neighbor");
if (offsetof<Neighbor>("kind") != 38) ERROR("Neighbor.kind stands where Endpoint.kind does");

/** A route of ours leads through it: as many as there are routes at most. */
export const NF_ROUTER: u16 = 1;
/** A packet of ours was for it. */
const NF_USED: u16 = 2;

/** What neighborLearn is told. */
export const LEARN_CREATE: u32 = 1; // worth an entry of its own: it asked for us
export const LEARN_SOLICITED: u32 = 2; // the answer to a question of ours
export const LEARN_OVERRIDE: u32 = 4; // a MAC that we hold may be replaced

/** A waiting packet: next block, bytes, log2 of the block; the frame from here on. */
const WAIT_BYTES: u32 = 4;
const WAIT_SHIFT: u32 = 8;
const WAIT_FRAME: u32 = 32;
/** Records that one search for room looks at: a flood costs that much for each packet. */
const SCAN: u32 = 32;

// ---- The table

function buckets(): u32 {
  const n = config(Config.neighborsMax);
  return n <= 1 ? 1 : 1 << (32 - clz<u32>(n - 1));
}

/** Bytes that boot must set aside. */
export function neighborsBytes(): u32 {
  return buckets() * 4 + config(Config.neighborsMax) * NEIGHBOR_BYTES;
}

/** `at`: neighborsBytes() zeroed bytes. */
export function neighborsInit(at: usize): void {
  const s = system();
  s.neighborTable = <u32>at;
  s.neighborMask = buckets() - 1;
  poolInitNeighbors(at + buckets() * 4);
}

function poolInitNeighbors(at: usize): void {
  const p = pool(PoolId.Neighbor);
  p.base = <u32>at;
  p.stride = NEIGHBOR_BYTES;
  p.capacity = config(Config.neighborsMax);
}

function bucketOf(link: u32, at: usize): usize {
  const s = system();
  const high = <u64>readU32(at) << 32 | readU32(at + 4);
  const low = <u64>readU32(at + 8) << 32 | readU32(at + 12);
  const hash = <u32>siphash13(s.hashKey0, s.hashKey1, high, low, link);
  return <usize>s.neighborTable + ((hash & s.neighborMask) << 2);
}

/** The Neighbor with the four words at `at`, or 0. */
export function neighborFind(link: u32, at: usize): usize {
  let record: usize = readU32(bucketOf(link, at));
  while (record != 0) { // at most neighborsMax
    const n = changetype<Neighbor>(record);
    if (n.w3 == readU32(at + 12) && n.w2 == readU32(at + 8) && n.w1 == readU32(at + 4) &&
      n.w0 == readU32(at) && n.link == <u16>link) return record;
    record = n.next;
  }
  return 0;
}

/** A new record, or 0: the table is full of better ones. `passive`: it merely spoke to us. */
function neighborMake(link: u32, at: usize, passive: bool): usize {
  const p = pool(PoolId.Neighbor);
  if (p.used >= min(p.capacity, config(Config.gc_thresh1))) evict(p.used == p.capacity, passive);
  const record = poolTake(PoolId.Neighbor);
  if (record == 0) {
    count(Counter.AckornNeighborTableFull);
    return 0;
  }
  const n = changetype<Neighbor>(record);
  n.wheelLink = 0;
  copyBytes(record + offsetof<Neighbor>("w0"), at, 16);
  n.link = <u16>link;
  n.flags = 0;
  n.probes = 0;
  n.queued = 0;
  n.kind = NEIGHBOR_KIND;
  n.state = <u8>NeighborState.None;
  n.macHigh = 0;
  n.macLow = 0;
  n.queueHead = 0;
  n.queueTail = 0;
  n.reachableUntilS = 0;
  n.usedS = system().nowS;
  const bucket = bucketOf(link, at);
  n.next = readU32(bucket);
  writeU32(bucket, <u32>record);
  return record;
}

/** The lowest goes first. */
const enum Worth {
  Failed,
  Unused,
  /** Asked for more than once, and silent. */
  Silent,
  Old,
  Incomplete,
  Stale,
  Answering,
  Router,
}

function worth(n: Neighbor): Worth {
  if (n.state == <u8>NeighborState.Failed) return Worth.Failed;
  if (n.flags & NF_ROUTER) return Worth.Router;
  if (n.state == <u8>NeighborState.Incomplete) {
    return n.probes > 1 ? Worth.Silent : Worth.Incomplete;
  }
  if ((n.flags & NF_USED) == 0) return Worth.Unused;
  const s = system();
  if (s.nowS - n.usedS >= config(Config.gc_stale_time)) return Worth.Old;
  const stale = n.state == <u8>NeighborState.Stale || s.nowS >= n.reachableUntilS;
  return stale && n.state <= <u8>NeighborState.Stale ? Worth.Stale : Worth.Answering;
}

/** Makes room for one, if something is not worth more; among equals the longest unused goes. */
function evict(full: bool, passive: bool): void {
  const s = system();
  const p = pool(PoolId.Neighbor);
  let victim: usize = 0;
  let least = <u32>(full && !passive ? Worth.Answering : Worth.Old);
  const steps = min(p.fresh, SCAN);
  for (let i: u32 = 0; i < steps; i++) {
    s.neighborHand = s.neighborHand + 1 >= p.fresh ? 0 : s.neighborHand + 1;
    const n = changetype<Neighbor>(poolAt(PoolId.Neighbor, s.neighborHand));
    if (n.kind != NEIGHBOR_KIND) continue;
    const idle = s.nowS - n.usedS;
    if (!full && idle < config(Config.gc_stale_time)) continue;
    const value = <u32>worth(n);
    if (value > least) continue;
    const older = victim == 0 || idle > s.nowS - changetype<Neighbor>(victim).usedS;
    if (value == least && !older) continue;
    least = value;
    victim = changetype<usize>(n);
  }
  if (victim != 0) neighborFree(changetype<Neighbor>(victim));
}

function neighborFree(n: Neighbor): void {
  queueDrop(n);
  wheelCancel(changetype<usize>(n));
  let at = bucketOf(n.link, changetype<usize>(n) + offsetof<Neighbor>("w0"));
  while (readU32(at) != <u32>changetype<usize>(n)) { // at most neighborsMax
    at = readU32(at);
    invariant(at != 0, Fault.Hash);
  }
  writeU32(at, n.next);
  n.kind = 0;
  n.state = 0;
  poolGive(PoolId.Neighbor, changetype<usize>(n));
  neighborPathsForget();
}

/** What links remember of their last packet's way is true no more. */
export function neighborPathsForget(): void {
  const links = system().linkCount;
  for (let i: u32 = 0; i < links; i++) linkAt(i).lastNeighbor = 0;
}

/** The link went down, or has another MAC: whoever was there may be gone. */
export function neighborsForget(link: u32): void {
  const p = pool(PoolId.Neighbor);
  for (let i: u32 = 0; i < p.fresh; i++) {
    const n = changetype<Neighbor>(poolAt(PoolId.Neighbor, i));
    if (n.kind == NEIGHBOR_KIND && n.link == <u16>link) neighborFree(n);
  }
}

/** Neighbor i of the pool, or 0 where there is none: for tableNext. */
export function neighborAt(i: u32): usize {
  const record = poolAt(PoolId.Neighbor, i);
  return changetype<Neighbor>(record).kind == NEIGHBOR_KIND ? record : 0;
}

export function neighborIndex(n: Neighbor): u32 {
  return poolIndex(PoolId.Neighbor, changetype<usize>(n));
}

/** The state as it is now: what was reachable is stale when its time is over. */
export function neighborState(n: Neighbor): u32 {
  const over = n.state == <u8>NeighborState.Reachable && system().nowS >= n.reachableUntilS;
  return over ? NeighborState.Stale : n.state;
}

// ---- States

/** The record for the four words at `at`, made when there is none; 0: no room. */
export function neighborFor(link: u32, at: usize): usize {
  const found = neighborFind(link, at);
  return found != 0 ? found : neighborMake(link, at, false);
}

function armIn(n: Neighbor, ms: u32): void {
  wheelCancel(changetype<usize>(n));
  const ticks = max<u32>(<u32>min<u64>((<u64>ms * 1000) >> 6, 0x7fff0000), 1);
  wheelArm(changetype<usize>(n), system().nowTick + ticks);
}

function retransMs(link: Link): u32 {
  const told = linkAuto(link).retransMs;
  return told != 0 ? told : config(Config.retrans_time_ms);
}

function solicit(n: Neighbor, unicast: bool): void {
  const link = linkAt(n.link);
  n.probes += 1;
  armIn(n, retransMs(link));
  const at = changetype<usize>(n) + offsetof<Neighbor>("w0");
  const high = unicast ? n.macHigh : 0;
  const low = unicast ? n.macLow : 0;
  if (isMapped(n.w0, n.w1, n.w2)) arpSolicit(link, n.w3, high, low);
  else ndSolicit(link, at, high, low);
}

/** May a frame leave for it now? Its state moves as a packet's does it (RFC 4861 §7.3.3). */
function ready(n: Neighbor): bool {
  const s = system();
  n.usedS = s.nowS;
  n.flags |= NF_USED;
  switch (<u32>n.state) {
    case NeighborState.Reachable: {
      if (s.nowS < n.reachableUntilS) return true;
      n.state = <u8>NeighborState.Stale;
    }
    case NeighborState.Stale: {
      n.state = <u8>NeighborState.Delay;
      armIn(n, config(Config.delay_first_probe_time) * 1000);
      return true;
    }
    case NeighborState.Delay:
    case NeighborState.Probe: return true;
    default: return false;
  }
}

/** The wheel looked at it. */
export function neighborTimer(n: Neighbor): void {
  if (n.state == <u8>NeighborState.Delay) {
    n.state = <u8>NeighborState.Probe;
    n.probes = 0;
    return solicit(n, true);
  }
  const probing = n.state == <u8>NeighborState.Probe;
  // what else was armed: the ring was full when the answer came
  if (!probing && n.state != <u8>NeighborState.Incomplete) return queueFlush(n);
  const most = config(probing ? Config.ucast_solicit : Config.mcast_solicit);
  if (<u32>n.probes < most) return solicit(n, probing);
  count(Counter.AckornNeighborFailed);
  n.state = <u8>NeighborState.Failed;
  neighborPathsForget(); // another router may do
  queueRefuse(n);
}

/** Something proves that our packets arrive there. */
function reachable(n: Neighbor): void {
  const s = system();
  const told = linkAuto(linkAt(n.link)).reachableMs;
  const base = (told != 0 ? told : config(Config.base_reachable_time_ms)) / 1000;
  // RFC 4861 §6.3.2: between half and one and a half, or all hosts of a link ask at once
  s.random += 0x9e3779b97f4a7c15;
  const part = 512 + ((<u32>(s.random >> 32)) & 1023);
  n.reachableUntilS = s.nowS + max<u32>((base * part) >> 10, 1);
  n.state = <u8>NeighborState.Reachable;
  wheelCancel(changetype<usize>(n));
}

/**
 * The address at `at` was heard to have this MAC; `flags`: LEARN_*. RFC 4861 §7.2.5, and RFC 826
 * with an answer for a solicited one and every broadcast for one that may replace what we hold.
 */
export function neighborLearn(link: Link, at: usize, high: u32, low: u32, flags: u32): void {
  let record = neighborFind(link.id, at);
  if (record == 0 && flags & LEARN_CREATE) record = neighborMake(link.id, at, true);
  if (record == 0) return;
  const n = changetype<Neighbor>(record);
  const known = n.state != <u8>NeighborState.None && n.state != <u8>NeighborState.Incomplete &&
    n.state != <u8>NeighborState.Failed;
  const other = n.macHigh != high || n.macLow != low;
  if (known && other && (flags & LEARN_OVERRIDE) == 0) {
    if (n.state == <u8>NeighborState.Reachable) n.state = <u8>NeighborState.Stale;
    return;
  }
  n.macHigh = high;
  n.macLow = low;
  if (flags & LEARN_SOLICITED) reachable(n);
  else if (!known || other) {
    n.state = <u8>NeighborState.Stale;
    wheelCancel(record);
  }
  queueFlush(n);
}

/** No route leads through it any more. */
export function neighborNoRouter(link: u32, at: usize): void {
  const record = neighborFind(link, at);
  if (record != 0) changetype<Neighbor>(record).flags &= ~NF_ROUTER;
}

// ---- Packets

/**
 * Sends the frame of an entry, or lets it wait. Its network header begins at TX_L3_HEADER, and
 * `headerLength` bytes stand there; the virtio_net_hdr is before the link header's place.
 */
export function neighborSend(
  link: Link, n: Neighbor, slot: usize, type: u32, headerLength: u32,
): void {
  if (ready(n)) return ethernetTransmit(link, slot, type, n.macHigh, n.macLow, headerLength);
  queueAdd(link, n, slot, type, headerLength);
  if (n.state == <u8>NeighborState.Incomplete) return;
  // after the packet is copied: the question takes the entry that it stood in
  n.state = <u8>NeighborState.Incomplete;
  n.probes = 0;
  solicit(n, false);
}

function queueAdd(link: Link, n: Neighbor, slot: usize, type: u32, headerLength: u32): void {
  const s = system();
  const l2 = linkHeaderBytes(link);
  const header = slot + TX_L3_HEADER - l2;
  ethernetFill(link, slot, type, 0, 0);
  txHeader(slot, header, l2 + headerLength);
  const vnet = header - VNET_HDR_BYTES;
  const bytes = readU32(slot + TX_TOTAL);
  const super_ = readU8(vnet + VNET_GSO_TYPE) != VNET_GSO_NONE;
  const most = min<u32>(config(Config.unres_qlen), 255);
  if (n.queued != 0 && (<u32>n.queued >= most || full())) queueDropOldest(n);
  const least = config(Config.arenaBlockShift);
  const shift = max<u32>(32 - clz<u32>(bytes + WAIT_FRAME - 1), least);
  const small = shift <= ARENA_MAX_SHIFT && bytes <= link.mtu + l2;
  const wanted = most != 0 && !full() && !super_ && small;
  const block = wanted ? arenaAlloc(shift) : 0;
  if (block == 0) return count(Counter.AckornNeighborQueueDrops);
  writeU32(block, 0);
  writeU32(block + WAIT_BYTES, bytes);
  writeU32(block + WAIT_SHIFT, shift);
  copyBytes(block + WAIT_FRAME - VNET_HDR_BYTES, vnet, VNET_HDR_BYTES);
  let to = block + WAIT_FRAME;
  const pieces = readU32(slot + TX_PIECE_COUNT);
  for (let i: u32 = 0; i < pieces; i++) { // at most TX_PIECES_MAX
    const piece = slot + TX_PIECES + (i << 3);
    copyBytes(to, readU32(piece), readU32(piece + 4));
    to += readU32(piece + 4);
  }
  if (n.queueTail != 0) writeU32(n.queueTail, <u32>block);
  else n.queueHead = <u32>block;
  n.queueTail = <u32>block;
  n.queued += 1;
  s.neighborQueued += 1;
}

function full(): bool {
  return system().neighborQueued >= config(Config.neighborQueueMax);
}

/** Takes the oldest packet out. Its bytes stay until the next arenaAlloc. */
function queueTake(n: Neighbor): usize {
  const block: usize = n.queueHead;
  n.queueHead = readU32(block);
  if (n.queueHead == 0) n.queueTail = 0;
  n.queued -= 1;
  system().neighborQueued -= 1;
  return block;
}

function queueFlush(n: Neighbor): void {
  const link = linkAt(n.link);
  while (n.queueHead != 0) { // at most unres_qlen
    const slot = txReserve(link);
    if (slot == 0) return armIn(n, 1); // TX ring full: soon again
    const block = queueTake(n);
    const frame = changetype<EthernetHeader>(block + WAIT_FRAME);
    frame.destinationHigh = n.macHigh;
    frame.destinationLow = n.macLow;
    txHeader(slot, block + WAIT_FRAME, readU32(block + WAIT_BYTES));
    ethernetPad(slot);
    txPublish(link, slot);
    arenaFree(block, readU32(block + WAIT_SHIFT));
  }
}

function queueDropOldest(n: Neighbor): void {
  const block = queueTake(n);
  count(Counter.AckornNeighborQueueDrops);
  arenaFree(block, readU32(block + WAIT_SHIFT));
}

function queueDrop(n: Neighbor): void {
  while (n.queueHead != 0) queueDropOldest(n); // at most unres_qlen
}

/** Who sent what waits hears that the host cannot be reached, as from a router next to it. */
function queueRefuse(n: Neighbor): void {
  const isV6 = !isMapped(n.w0, n.w1, n.w2);
  const type = isV6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH;
  const code = isV6 ? ICMPV6_ADDR_UNREACH : ICMP_HOST_UNREACH;
  const l2 = linkHeaderBytes(linkAt(n.link));
  let block: usize = n.queueHead;
  while (block != 0) { // at most unres_qlen
    const length = readU32(block + WAIT_BYTES) - l2;
    const at = block + WAIT_FRAME + l2;
    icmpQuoteSteer(isV6, at, length, type, code, Errno.EHOSTUNREACH, IcmpKind.Soft);
    block = readU32(block);
  }
  queueDrop(n);
}
