/**
 * The hash table of all records: connections, half-open and TIME-WAIT ones by their four-tuple,
 * listeners and bound sockets by their local port. Keyed with SipHash, so that a peer can not aim
 * at one chain. Called by tcp/input.ts for each segment and by whoever makes or ends a record.
 */
import { Fault } from "../abi";
import { readU32, writeU32 } from "../core/bytes";
import { invariant } from "../core/invariant";
import { siphash13 } from "../core/siphash";
import { system } from "../memory";
import { Endpoint, LF_V4ONLY, LF_V6ONLY, LOCAL_ANY, Listener, RecordKind } from "./records";

/** No chain can be longer than the records there are; a longer walk is a broken chain. */
const CHAIN_MAX: u32 = 1 << 24;

function bucket(a: u64, b: u64, c: u64): usize {
  const s = system();
  const hash = <u32>siphash13(s.hashKey0, s.hashKey1, a, b, c);
  return <usize>(s.hashTable + ((hash & s.hashMask) << 2));
}

// @ts-ignore: decorator
@inline
function tuple(localAddress: u32, localPort: u32, remotePort: u32): u64 {
  return (<u64>localAddress << 32) | (<u64>localPort << 16) | <u64>remotePort;
}

function tupleBucket(e: Endpoint): usize {
  return bucket(
    (<u64>e.remote1 << 32) | <u64>e.remote0,
    (<u64>e.remote3 << 32) | <u64>e.remote2,
    tuple(e.localAddress, e.localPort, e.remotePort),
  );
}

/** Listeners and bound sockets: all of one port in one chain, whatever their address. */
function portBucket(port: u32): usize {
  return bucket(0, 0, tuple(LOCAL_ANY, port, 0));
}

// @ts-ignore: decorator
@inline
function bucketOf(e: Endpoint): usize {
  return e.remotePort == 0 ? portBucket(e.localPort) : tupleBucket(e);
}

/** Puts a record into the table; a remotePort of 0 means by its local port. */
export function demuxInsert(e: Endpoint): void {
  const at = bucketOf(e);
  invariant(<usize>readU32(at) != changetype<usize>(e), Fault.Hash);
  e.next = readU32(at);
  writeU32(at, <u32>changetype<usize>(e));
}

export function demuxRemove(e: Endpoint): void {
  const s = system();
  const self = <u32>changetype<usize>(e);
  if (s.lastTcb == self) s.lastTcb = 0;
  let at = bucketOf(e);
  for (let i: u32 = 0; i < CHAIN_MAX; i++) {
    const record = readU32(at);
    invariant(record != 0, Fault.Hash);
    if (record == self) break;
    at = record; // next is the first word
  }
  writeU32(at, e.next);
  e.next = 0;
}

// @ts-ignore: decorator
@inline
function sameTuple(e: Endpoint, key: Endpoint): bool {
  return (
    e.remote3 == key.remote3 &&
    e.remotePort == key.remotePort &&
    e.localPort == key.localPort &&
    e.localAddress == key.localAddress &&
    e.remote0 == key.remote0 &&
    e.remote1 == key.remote1 &&
    e.remote2 == key.remote2
  );
}

/** The record of a four-tuple; key is any Endpoint with the tuple's fields set. 0: none. */
export function demuxFind(key: Endpoint): usize {
  const s = system();
  if (s.lastTcb != 0 && sameTuple(changetype<Endpoint>(<usize>s.lastTcb), key)) {
    return <usize>s.lastTcb;
  }
  let record = <usize>readU32(tupleBucket(key));
  for (let i: u32 = 0; record != 0 && i < CHAIN_MAX; i++) {
    const e = changetype<Endpoint>(record);
    if (sameTuple(e, key)) {
      s.lastTcb = <u32>record;
      return record;
    }
    record = <usize>e.next;
  }
  return 0;
}

/**
 * The listener for a SYN to localAddress:port: one bound to the address before one for any; a
 * listener for any IPv4 address (flag on its address words) is not asked for IPv6.
 */
export function demuxListener(localAddress: u32, port: u32, isV6: bool): usize {
  let record = <usize>readU32(portBucket(port));
  let best: usize = 0;
  for (let i: u32 = 0; record != 0 && i < CHAIN_MAX; i++) {
    const e = changetype<Endpoint>(record);
    if (e.kind == RecordKind.Listener && e.localPort == port) {
      if (e.localAddress == localAddress) return record;
      if (e.localAddress == LOCAL_ANY && listensTo(changetype<Listener>(record), isV6)) {
        best = record;
      }
    }
    record = <usize>e.next;
  }
  return best;
}

// @ts-ignore: decorator
@inline
function listensTo(l: Listener, isV6: bool): bool {
  return isV6 ? (l.flags & LF_V4ONLY) == 0 : (l.flags & LF_V6ONLY) == 0;
}

/** First listener or bound socket of a port (walk on with demuxNextOnPort); 0: none. */
export function demuxFirstOnPort(port: u32): usize {
  return onPort(<usize>readU32(portBucket(port)), port);
}

export function demuxNextOnPort(e: Endpoint): usize {
  return onPort(<usize>e.next, e.localPort);
}

function onPort(from: usize, port: u32): usize {
  let record = from;
  for (let i: u32 = 0; record != 0 && i < CHAIN_MAX; i++) {
    const e = changetype<Endpoint>(record);
    if (e.remotePort == 0 && e.localPort == port) return record;
    record = <usize>e.next;
  }
  return 0;
}

/**
 * Has a connection, half-open or in TIME-WAIT too, this local port at this address (LOCAL_ANY: at
 * any)? Walks the whole table: connections are not found by their port alone.
 */
export function demuxPortTaken(localAddress: u32, port: u32): bool {
  const s = system();
  for (let b: u32 = 0; b <= s.hashMask; b++) {
    let record = <usize>readU32(<usize>(s.hashTable + (b << 2)));
    for (let i: u32 = 0; record != 0 && i < CHAIN_MAX; i++) {
      const e = changetype<Endpoint>(record);
      const here = localAddress == LOCAL_ANY || e.localAddress == localAddress;
      if (e.localPort == port && e.remotePort != 0 && here) return true;
      record = <usize>e.next;
    }
  }
  return false;
}

/** Records in the longest chain: what the keyed hash is for. */
export function demuxLongest(): u32 {
  const s = system();
  let longest: u32 = 0;
  for (let b: u32 = 0; b <= s.hashMask; b++) {
    let length: u32 = 0;
    let record = readU32(<usize>(s.hashTable + (b << 2)));
    for (; record != 0 && length < CHAIN_MAX; length++) record = readU32(record);
    if (length > longest) longest = length;
  }
  return longest;
}
