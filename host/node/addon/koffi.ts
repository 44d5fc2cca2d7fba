/**
 * The system calls through koffi (FFI), for machines without a compiler: libc's readv and writev
 * straight into the engine's memory, readiness by libuv's uv_poll (koffi.node.poll).
 * The same interface and the same checks as the C addon. Chosen by index.ts when there is no
 * addon; koffi is an optional dependency and is loaded only then.
 */
import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import {
  LinkWord,
  RX_ADDRESS,
  RX_CAPACITY,
  RX_TRUNCATED,
  TX_PIECES,
  TX_PIECES_MAX,
  TX_PIECE_COUNT,
  VNET_HDR_BYTES,
} from '../../../assembly/abi.js';
import { Ring } from '../link/ring.js';
import { NativeError } from './errors.js';
import { POLL_READABLE, POLL_WRITABLE } from './native.js';
import type { PollCallback, SystemCalls } from './native.js';

type Koffi = typeof import('koffi');
type Call = (...values: readonly unknown[]) => number;

const EPERM = 1;
const EBADF = 9;
const EAGAIN = 11;
const EINTR = 4;
const EFAULT = 14;
const EINVAL = 22;
const EMSGSIZE = 90;
const EBADFD = 77;
const EIO = 5;
const EEXIST = 17;

const CLONE_NEWNET = 0x40000000;
const IOCTL_ARGUMENT_BYTES = 40;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 0x80002;
const SIOCETHTOOL = 0x8946;
/** ifr_data, behind the name. */
const IFR_DATA_AT = 16;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 0x80003;
const MSG_DONTWAIT_TRUNC = 0x60;

/** struct iovec on 64-bit Linux: two 64-bit words. */
const IOVEC_BYTES = 16;
const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK_CLOEXEC = 0x80800;
/** struct itimerspec: the interval, and the first expiry; seconds and ns of 64 bits each. */
const ITIMERSPEC_BYTES = 32;

/** libc, bound once a thread. Pointers into the memory are passed as plain numbers (< 2⁵³). */
interface Libc {
  readonly readv: Call;
  readonly writev: Call;
  readonly ioctlNumber: Call;
  readonly ioctlBytes: Call;
  readonly socket: Call;
  readonly send: Call;
  readonly connect: Call;
  readonly recv: Call;
  readonly close: Call;
  readonly setns: Call;
  readonly timerfdCreate: Call;
  readonly timerfdSettime: Call;
}

function bindLibc(koffi: Koffi): Libc {
  const lib = koffi.load(null);
  const bind = (prototype: string): Call => lib.func(prototype) as Call;
  return {
    readv: bind('intptr_t readv(int fd, uintptr_t pieces, int count)'),
    writev: bind('intptr_t writev(int fd, uintptr_t pieces, int count)'),
    ioctlNumber: lib.func('ioctl', 'int', ['int', 'ulong', 'ulong']) as Call,
    ioctlBytes: lib.func('ioctl', 'int', ['int', 'ulong', 'void *']) as Call,
    socket: bind('int socket(int domain, int type, int protocol)'),
    send: bind('intptr_t send(int fd, void *bytes, size_t length, int flags)'),
    connect: bind('int connect(int fd, void *address, uint32_t length)'),
    recv: bind('intptr_t recv(int fd, void *bytes, size_t length, int flags)'),
    close: bind('int close(int fd)'),
    setns: bind('int setns(int fd, int kind)'),
    timerfdCreate: bind('int timerfd_create(int clock, int flags)'),
    timerfdSettime: bind('int timerfd_settime(int fd, int flags, void *when, uintptr_t before)'),
  };
}

/** The iovec that every call uses, outside the garbage collector's reach. */
class Pieces {
  readonly address: number;
  readonly #halves: Uint32Array;

  constructor(koffi: Koffi) {
    this.#halves = new Uint32Array(new ArrayBuffer(TX_PIECES_MAX * IOVEC_BYTES));
    this.address = Number(koffi.address(this.#halves));
  }

  set(index: number, address: number, length: number): void {
    const at = index * 4;
    this.#halves[at] = address >>> 0;
    this.#halves[at + 1] = Math.floor(address / 2 ** 32);
    this.#halves[at + 2] = length;
    this.#halves[at + 3] = 0;
  }
}

/** Where a memory lies, and the ring looked at last: found again without allocation. */
interface Place {
  readonly base: number;
  readonly rings: Map<number, Ring>;
}

/** readBatch and writeBatch. */
class Batches {
  readonly #koffi: Koffi;
  readonly #libc: Libc;
  readonly #pieces: Pieces;
  readonly #places = new WeakMap<ArrayBuffer, Place>();
  /** One byte more than an entry holds goes here: a cut frame is told from one that just fits. */
  readonly #spare = new Uint8Array(new ArrayBuffer(64));
  readonly #spareAddress: number;

  constructor(koffi: Koffi, libc: Libc) {
    this.#koffi = koffi;
    this.#libc = libc;
    this.#pieces = new Pieces(koffi);
    this.#spareAddress = Number(koffi.address(this.#spare));
  }

  #place(buffer: ArrayBuffer): Place {
    let place = this.#places.get(buffer);
    if (place === undefined) {
      place = { base: Number(this.#koffi.address(buffer)), rings: new Map() };
      this.#places.set(buffer, place);
    }
    return place;
  }

  #ring(place: Place, buffer: ArrayBuffer, address: number): Ring {
    let ring = place.rings.get(address);
    if (ring === undefined) {
      ring = new Ring({ buffer }, address);
      place.rings.set(address, ring);
    }
    ring.check();
    return ring;
  }

  /** Repeats a call that a signal interrupted. Returns its result or a negative errno. */
  #run(call: Call, fd: number, count: number): number {
    for (;;) {
      const result = call(fd, this.#pieces.address, count);
      if (result >= 0) return result;
      const errno = this.#koffi.errno();
      if (errno !== EINTR) return -errno;
    }
  }

  #readFrame(ring: Ring, base: number, fd: number, vnet: boolean): number {
    const entry = ring.rxEntry();
    const address = ring.words[entry + RX_ADDRESS / 4] as number;
    const capacity = ring.words[entry + RX_CAPACITY / 4] as number;
    const lead = vnet ? VNET_HDR_BYTES : 0;
    this.#pieces.set(0, base + address - lead, capacity + lead);
    this.#pieces.set(1, this.#spareAddress, 1);
    const got = this.#run(this.#libc.readv, fd, 2);
    if (got < 0) return got;
    if (got < lead) return -EIO;
    if (!vnet) ring.bytes.fill(0, address - VNET_HDR_BYTES, address);
    const length = got - lead;
    const cut = length > capacity;
    ring.rxPublish(entry, cut ? capacity : length, cut ? RX_TRUNCATED : 0);
    return length;
  }

  read(fd: number, buffer: ArrayBuffer, ringAddress: number, max: number): number {
    let moved = 0;
    try {
      const place = this.#place(buffer);
      const ring = this.#ring(place, buffer, ringAddress);
      const vnet = ring.hasVnetHeader;
      const room = Math.min(max, ring.rxFree());
      while (moved < room) {
        const result = this.#readFrame(ring, place.base, fd, vnet);
        if (result === -EAGAIN) break;
        if (result < 0) return moved > 0 ? moved : result;
        moved++;
      }
      return moved;
    } catch (error) {
      return moved > 0 ? moved : faultOf(error);
    }
  }

  #writeFrame(ring: Ring, base: number, fd: number, vnet: boolean): number {
    const slot = ring.txSlot();
    const count = ring.words[slot + TX_PIECE_COUNT / 4] as number;
    let at = slot + TX_PIECES / 4;
    for (let index = 0; index < count; index++, at += 2) {
      const lead = vnet && index === 0 ? VNET_HDR_BYTES : 0;
      const address = base + (ring.words[at] as number) - lead;
      this.#pieces.set(index, address, (ring.words[at + 1] as number) + lead);
    }
    return this.#run(this.#libc.writev, fd, count);
  }

  write(fd: number, buffer: ArrayBuffer, ringAddress: number): number {
    let moved = 0;
    try {
      const place = this.#place(buffer);
      const ring = this.#ring(place, buffer, ringAddress);
      const vnet = ring.hasVnetHeader;
      const pending = ring.txPending();
      while (moved < pending) {
        const result = this.#writeFrame(ring, place.base, fd, vnet);
        if (result === -EAGAIN) break;
        if (result === -EBADF || result === -EBADFD) return moved > 0 ? moved : result;
        if (result < 0) ring.add(LinkWord.txErrors, 1);
        ring.add(LinkWord.txTail, 1);
        moved++;
      }
      return moved;
    } catch (error) {
      return moved > 0 ? moved : faultOf(error);
    }
  }
}

/** -EFAULT of a corrupt ring; anything else is a bug of ours and goes on. */
function faultOf(error: unknown): number {
  if (error instanceof NativeError && error.code === 'EFAULT') return -EFAULT;
  throw error;
}

/** A poll of this thread. */
interface Watch {
  readonly fd: number;
  readonly callback: PollCallback;
  readonly handle: import('koffi').node.PollHandle;
}

/** koffi's callback really gets a status before the events; its types forgot it. */
type Ready = (status: number, events: { readable: boolean; writable: boolean }) => void;

/** koffi ends the process when libuv refuses a descriptor: refuse what it would, before. */
function unpollable(fd: number): number {
  try {
    const status = fstatSync(fd);
    return status.isFile() || status.isDirectory() ? -EPERM : 0;
  } catch {
    return -EBADF;
  }
}

/** startPoll and its kin. */
class Polls {
  readonly #koffi: Koffi;
  readonly #watches = new Map<number, Watch>();
  #last = 0;

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
  }

  start(fd: number, readable: boolean, writable: boolean, callback: PollCallback): number {
    for (const watch of this.#watches.values()) if (watch.fd === fd) return -EEXIST;
    const refusal = unpollable(fd);
    if (refusal < 0) return refusal;
    const id = ++this.#last;
    try {
      const ready = this.#ready(id) as unknown as () => void;
      const handle = this.#koffi.node.poll(fd, { readable, writable }, ready);
      this.#watches.set(id, { fd, callback, handle });
    } catch {
      return -EBADF;
    }
    return id;
  }

  /** koffi opens no callback scope: setImmediate does, in the same turn of the loop. */
  #ready(id: number): Ready {
    let waiting = false;
    let status = 0;
    let events = 0;
    const deliver = (): void => {
      waiting = false;
      const seen = events;
      events = 0;
      this.#watches.get(id)?.callback(status, seen);
    };
    return (now, what) => {
      status = now;
      events |= (what.readable ? POLL_READABLE : 0) | (what.writable ? POLL_WRITABLE : 0);
      if (waiting) return;
      waiting = true;
      setImmediate(deliver);
    };
  }

  update(id: number, readable: boolean, writable: boolean): number {
    const watch = this.#watches.get(id);
    if (watch === undefined) return -EBADF;
    if (!readable && !writable) {
      watch.handle.stop();
      return 0;
    }
    watch.handle.start({ readable, writable }, this.#ready(id) as unknown as () => void);
    return 0;
  }

  stop(id: number): void {
    const watch = this.#watches.get(id);
    this.#watches.delete(id);
    watch?.handle.close();
  }

  keep(id: number, keep: boolean): number {
    const handle = this.#watches.get(id)?.handle;
    if (handle === undefined) return -EBADF;
    if (keep) handle.ref();
    else handle.unref();
    return 0;
  }
}

function rtnetlink(koffi: Koffi, libc: Libc, request: Uint8Array, reply: Uint8Array): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0);
  if (fd < 0) return -koffi.errno();
  const kernel = Buffer.alloc(12);
  kernel.writeUInt16LE(AF_NETLINK, 0);
  let done = libc.connect(fd, kernel, kernel.length);
  if (done >= 0) done = libc.send(fd, request, request.length, 0);
  if (done >= 0) done = libc.recv(fd, reply, reply.length, MSG_DONTWAIT_TRUNC);
  const result = done < 0 ? -koffi.errno() : done;
  libc.close(fd);
  return result > reply.length ? -EMSGSIZE : result;
}

function ioctl(
  koffi: Koffi,
  libc: Libc,
  fd: number,
  request: number,
  argument: Uint8Array | number,
): number {
  if (typeof argument !== 'number' && argument.length < IOCTL_ARGUMENT_BYTES) return -EINVAL;
  const call = typeof argument === 'number' ? libc.ioctlNumber : libc.ioctlBytes;
  const result = call(fd, request, argument);
  return result < 0 ? -koffi.errno() : result;
}

/** The struct ethtool_value must lie still: its address goes into ifr_data. */
function ethtool(
  koffi: Koffi, libc: Libc, ifreq: Uint8Array, command: number, value: number,
): number {
  if (ifreq.length < IOCTL_ARGUMENT_BYTES) return -EINVAL;
  const switchValue = new Uint32Array(new ArrayBuffer(64));
  switchValue[0] = command;
  switchValue[1] = value;
  const request = Buffer.from(ifreq);
  request.writeBigUInt64LE(BigInt(koffi.address(switchValue)), IFR_DATA_AT);
  const fd = libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return -koffi.errno();
  const result = ioctl(koffi, libc, fd, SIOCETHTOOL, request);
  libc.close(fd);
  return result;
}

function setTimer(koffi: Koffi, libc: Libc, fd: number, us: number): number {
  const when = Buffer.alloc(ITIMERSPEC_BYTES);
  when.writeBigInt64LE(BigInt(Math.floor(us / 1e6)), 16);
  when.writeBigInt64LE(BigInt((us % 1e6) * 1000), 24);
  return libc.timerfdSettime(fd, 0, when, 0) < 0 ? -koffi.errno() : 0;
}

function openTimer(koffi: Koffi, libc: Libc): number {
  const fd = libc.timerfdCreate(CLOCK_MONOTONIC, TFD_NONBLOCK_CLOEXEC);
  return fd < 0 ? -koffi.errno() : fd;
}

function createCalls(koffi: Koffi): SystemCalls {
  const libc = bindLibc(koffi);
  const batches = new Batches(koffi, libc);
  const polls = new Polls(koffi);
  return {
    kind: 'koffi',
    ioctl: (fd, request, argument) => ioctl(koffi, libc, fd, request, argument),
    rtnetlink: (request, reply) => rtnetlink(koffi, libc, request, reply),
    ethtool: (ifreq, command, value) => ethtool(koffi, libc, ifreq, command, value),
    setns: (fd) => (libc.setns(fd, CLONE_NEWNET) < 0 ? -koffi.errno() : 0),
    readBatch: (fd, memory, ring, max) => batches.read(fd, memory, ring, max),
    writeBatch: (fd, memory, ring) => batches.write(fd, memory, ring),
    startPoll: (fd, read, write, callback) => polls.start(fd, read, write, callback),
    updatePoll: (id, read, write) => polls.update(id, read, write),
    stopPoll: (id) => polls.stop(id),
    refPoll: (id, keep) => polls.keep(id, keep),
    openTimer: () => openTimer(koffi, libc),
    setTimer: (fd, us) => setTimer(koffi, libc, fd, us),
    closeTimer: (fd) => libc.close(fd),
  };
}

let bound: SystemCalls | undefined;

/** koffi's calls, or why it cannot be used, in one line. */
export function loadKoffi(): SystemCalls | string {
  if (bound !== undefined) return bound;
  // Its poll handles do not survive worker.terminate(): of 40 in a row, one crashed Node.
  if (!isMainThread) return 'koffi is used on the main thread only: workers need the addon';
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    return `the optional package koffi: ${(error as Error).message.split('\n')[0]}`;
  }
  if (koffi.sizeof('void *') !== 8) return 'koffi is used on 64-bit machines only';
  bound = createCalls(koffi);
  return bound;
}
