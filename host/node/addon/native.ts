/**
 * The one interface through which the Node host touches the operating system: a few system calls
 * (SystemCalls, implemented by the C addon and by koffi.ts) and what is made of them (Native, in
 * device.ts). index.ts chooses an implementation; link/tun.ts and the CLI use it.
 * No protocol logic here: frames are bytes on their way between a device and the engine's rings.
 */

/** Called when a polled descriptor is ready: `status` is 0 or a negative errno. */
export type PollCallback = (status: number, events: number) => void;

/** Bits of `events` in a PollCallback. */
export const POLL_READABLE = 1;
export const POLL_WRITABLE = 2;

/** What an implementation provides. Every number is a result or a negative errno (Linux's). */
export interface SystemCalls {
  readonly kind: 'addon' | 'koffi';

  /** ioctl(2); the argument is an integer, or at least 40 bytes (struct ifreq) in and out. */
  ioctl(fd: number, request: number, argument: Uint8Array | number): number;

  /** One rtnetlink request; the first answer goes into `reply`, its length is returned. */
  rtnetlink(request: Uint8Array, reply: Uint8Array): number;

  /**
   * One switch of ethtool's older commands (SIOCETHTOOL with a struct ethtool_value).
   * @param ifreq 40 bytes that begin with the interface's name
   */
  ethtool(ifreq: Uint8Array, command: number, value: number): number;

  /** setns(2) with CLONE_NEWNET, for the calling thread. */
  setns(fd: number): number;

  /**
   * Moves frames from a device into free receive entries of the ring at `ringAddress`, until the
   * ring is full, the device is empty or `max` frames were moved; or earlier, when a batch is large
   * enough in bytes. May permute the buffers of free entries.
   * @param fd a non-blocking descriptor of a TUN or TAP device (or any that keeps packets apart)
   * @param memory the `buffer` of the engine's WebAssembly.Memory, taken anew after it grew. Passed
   *   with each call rather than attached once: the whole call costs some 100 ns a batch beside
   *   the kernel's 400 (bench/native.ts), and there is no stale pointer to guard against.
   * @returns frames moved, 0 when there was nothing or no room; -EFAULT when the ring names bytes
   *   outside the memory, -EBADFD when the device was deleted. Frames moved before an error are
   *   returned first: the error comes with the next call.
   */
  readBatch(fd: number, memory: ArrayBuffer, ringAddress: number, max: number): number;

  /**
   * Sends the frames between txTail and txHead in order, pieces gathered by writev(2). A frame
   * that the device refuses is counted in txErrors and skipped; a device that is full ends the
   * call with the rest still in the ring.
   * @returns entries given back (refused ones included), or a negative errno as for readBatch
   */
  writeBatch(fd: number, memory: ArrayBuffer, ringAddress: number): number;

  /**
   * Watches a descriptor in this thread's event loop; level-triggered. The callback runs in a
   * scope of its own: promises and nextTick are served before the loop goes on. The loop stays
   * alive while the poll does, unless unref'd.
   * @returns the poll's number, or -EEXIST when the descriptor is watched already, -EBADF, -EPERM
   */
  startPoll(fd: number, readable: boolean, writable: boolean, callback: PollCallback): number;

  /** Changes what is waited for. With neither, nothing is until the next updatePoll. */
  updatePoll(poll: number, readable: boolean, writable: boolean): number;

  /** Ends a poll, at once and for good. Call it before the descriptor is closed. */
  stopPoll(poll: number): void;

  /** Whether the poll keeps the event loop alive (true at first). */
  refPoll(poll: number, keep: boolean): number;

  /** timerfd_create(2), monotonic and non-blocking: a descriptor for startPoll, or negative. */
  openTimer(): number;

  /**
   * Lets a timer of openTimer become readable once, `us` microseconds from now; 0 stops it. Either
   * takes back an expiry that nobody read.
   */
  setTimer(fd: number, us: number): number;

  /** Closes a timer, after its poll was stopped. */
  closeTimer(fd: number): number;
}

/** What openTun is told. */
export interface TunDevice {
  /** Up to 15 bytes; `tun%d` lets the kernel choose the number. Default: `tun%d` or `tap%d`. */
  readonly name?: string;
  /** Each frame carries a virtio_net_hdr of 10 bytes: needed for offload. */
  readonly vnetHdr: boolean;
  /** Ethernet frames (TAP) instead of IP packets (TUN). */
  readonly tap?: boolean;
  /** The device outlives its descriptor (as `ip tuntap add` makes it). */
  readonly persist?: boolean;
}

/** What setOffload is told: what the kernel may hand us unfinished. Bits of TUNSETOFFLOAD. */
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;
export const TUN_F_TSO_ECN = 8;

/** System calls and what is made of them. Every method below throws a NativeError. */
export interface Native extends SystemCalls {
  /** Opens or creates a device; the descriptor is non-blocking and closed on exec. */
  openTun(device: TunDevice): { fd: number; name: string };

  /** Closes what openTun opened; a device that is not persistent disappears. */
  closeTun(fd: number): void;

  /** TUNSETOFFLOAD with bits TUN_F_*. */
  setOffload(fd: number, mask: number): void;

  /** Sets an interface up or down (`lo` too). */
  linkUp(name: string, up: boolean): void;

  /** @param mtu bytes, 68 to 65535 */
  setMtu(name: string, mtu: number): void;

  /**
   * @param packets that wait for the reader of a TUN device before the kernel drops (txqueuelen)
   */
  setQueueLength(name: string, packets: number): void;

  /**
   * Gives the kernel's end an address; again is no error. IPv6 skips duplicate detection, but
   * Linux still takes up the address behind the caller's back: see awaitAddress.
   * @param peer the far end of a point-to-point link, which then is what `prefixLength` is about
   */
  addAddress(name: string, address: string, prefixLength: number, peer?: string): void;

  /**
   * Waits (blocking, mostly under 3 ms) until packets to an address are taken as the kernel's own.
   * Linux adds the local route of an IPv6 address in a work queue once the interface is up, and
   * drops what comes before. Throws ETIMEDOUT after a second.
   */
  awaitAddress(address: string): void;

  /** Whether this network namespace has an interface of that name. */
  interfaceExists(name: string): boolean;

  /** No link-local address, hence no router solicitations: a silent link. Before linkUp. */
  quietIpv6(name: string): void;

  /**
   * Takes every offload from an interface (`ethtool -K NAME tso off gso off ...`): for comparisons.
   */
  withoutOffload(name: string): void;

  /** Moves this thread into a network namespace, e.g. `/proc/PID/ns/net` or `/run/netns/NAME`. */
  joinNetworkNamespace(path: string): void;
}
