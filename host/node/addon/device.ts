/**
 * What is made of the system calls: opening TUN and TAP devices (tun(4), linux/if_tun.h) and
 * configuring an interface by rtnetlink. One implementation over both the addon and koffi.
 * Called by link/tun.ts and the CLI. Every failure is a NativeError that says what to do.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { addressBytes } from './cidr.js';
import { NativeError, badArgument, callFailed, errnoName } from './errors.js';
import type { Native, SystemCalls, TunDevice } from './native.js';
import * as netlink from './netlink.js';

const TUN_PATH = '/dev/net/tun';
const IFREQ_BYTES = 40;
/** IFNAMSIZ without the terminating zero. */
const NAME_BYTES_MAX = 15;

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TUN = 0x0001;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const VNET_HDR_BYTES = 10;

/** linux/ethtool.h; in this order, because the kernel takes those away that need another. */
const ETHTOOL_SWITCHES: readonly (readonly [name: string, command: number])[] = [
  ['ETHTOOL_STSO', 0x1f], ['ETHTOOL_SGSO', 0x24], ['ETHTOOL_SGRO', 0x2c],
  ['ETHTOOL_SSG', 0x19], ['ETHTOOL_STXCSUM', 0x17], ['ETHTOOL_SRXCSUM', 0x15],
];

/** Throws when no kernel would take the name of an interface (dev_valid_name). */
function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > NAME_BYTES_MAX) {
    throw new NativeError(
      'ENAMETOOLONG',
      'argument',
      `'${name}': an interface name has at most ${NAME_BYTES_MAX} bytes, this one has ${bytes}`,
    );
  }
  if (bytes === 0 || name === '.' || name === '..' || /[\s/:\0]/.test(name)) {
    throw badArgument(`'${name}' is no interface name: no spaces, slashes or colons, not empty`);
  }
}

/** A name that exists already: not a pattern such as `tun%d`. */
function checkInterface(name: string): void {
  checkName(name);
  if (name.includes('%')) throw badArgument(`'${name}' is a pattern, not an interface's name`);
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'EIO';
}

function openDevice(): number {
  try {
    // libuv adds O_CLOEXEC; a worker that ends closes what it opened through fs.
    return openSync(TUN_PATH, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw callFailed(codeOf(error), 'open', TUN_PATH);
  }
}

/** ioctl, or a NativeError. */
function control(
  calls: SystemCalls,
  fd: number,
  request: readonly [name: string, number: number],
  argument: Uint8Array | number,
  subject: string,
): void {
  const result = calls.ioctl(fd, request[1], argument);
  if (result < 0) throw callFailed(errnoName(result), request[0], subject);
}

function configureTun(calls: SystemCalls, fd: number, device: TunDevice): string {
  const wanted = device.name ?? (device.tap === true ? 'tap%d' : 'tun%d');
  const ifreq = Buffer.alloc(IFREQ_BYTES);
  ifreq.write(wanted, 0);
  const kind = device.tap === true ? IFF_TAP : IFF_TUN;
  ifreq.writeUInt16LE(kind | IFF_NO_PI | (device.vnetHdr ? IFF_VNET_HDR : 0), 16);
  control(calls, fd, ['TUNSETIFF', TUNSETIFF], ifreq, wanted);
  const name = ifreq.toString('latin1', 0, ifreq.indexOf(0));
  if (device.vnetHdr) {
    const size = Buffer.alloc(IFREQ_BYTES);
    size.writeInt32LE(VNET_HDR_BYTES);
    control(calls, fd, ['TUNSETVNETHDRSZ', TUNSETVNETHDRSZ], size, name);
  }
  if (device.persist === true) {
    control(calls, fd, ['TUNSETPERSIST', TUNSETPERSIST], 1, name);
  }
  return name;
}

function openTun(calls: SystemCalls, device: TunDevice): { fd: number; name: string } {
  if (device.name !== undefined) checkName(device.name);
  const fd = openDevice();
  try {
    return { fd, name: configureTun(calls, fd, device) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Sends a request; returns the answer when the kernel agreed. */
function ask(calls: SystemCalls, call: string, request: Uint8Array, subject: string): Buffer {
  const reply = Buffer.alloc(netlink.REPLY_BYTES);
  const length = calls.rtnetlink(request, reply);
  if (length < 0) throw callFailed(errnoName(length), call, subject);
  const answer = reply.subarray(0, length);
  const status = netlink.replyStatus(answer);
  if (status < 0) throw callFailed(errnoName(status), call, subject);
  return answer;
}

function interfaceIndex(calls: SystemCalls, name: string): number {
  checkInterface(name);
  return netlink.linkIndex(ask(calls, 'RTM_SETLINK', netlink.getLink(name), name));
}

function interfaceExists(calls: SystemCalls, name: string): boolean {
  try {
    return interfaceIndex(calls, name) > 0;
  } catch (error) {
    if (error instanceof NativeError && error.code === 'ENODEV') return false;
    throw error;
  }
}

function setMtu(calls: SystemCalls, name: string, mtu: number): void {
  checkInterface(name);
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535) {
    throw badArgument(`MTU ${mtu}: it must be a whole number from 68 to 65535`);
  }
  ask(calls, 'RTM_SETLINK', netlink.setLinkMtu(name, mtu), name);
}

function addAddress(
  calls: SystemCalls,
  name: string,
  address: string,
  prefixLength: number,
  peer: string,
): void {
  const local = addressBytes(address);
  const remote = addressBytes(peer);
  const most = local.length * 8;
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > most) {
    throw badArgument(`${address}/${prefixLength}: the prefix length must be 0 to ${most}`);
  }
  if (remote.length !== local.length) {
    throw badArgument(`${address} and ${peer} are of different families`);
  }
  const request = netlink.newAddress(interfaceIndex(calls, name), local, prefixLength, remote);
  ask(calls, 'RTM_NEWADDR', request, `${address}/${prefixLength} on ${name}`);
}

const AWAIT_STEP_MS = 1;
const AWAIT_STEPS = 1000;

function awaitAddress(calls: SystemCalls, address: string): void {
  const request = netlink.getRoute(addressBytes(address));
  const reply = Buffer.alloc(netlink.REPLY_BYTES);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let step = 0; step < AWAIT_STEPS; step++) {
    const length = calls.rtnetlink(request, reply);
    if (length < 0) throw callFailed(errnoName(length), 'RTM_GETROUTE', address);
    if (netlink.isLocalRoute(reply.subarray(0, length))) return;
    Atomics.wait(sleeper, 0, 0, AWAIT_STEP_MS);
  }
  throw new NativeError(
    'ETIMEDOUT',
    'RTM_GETROUTE',
    `${address}: the kernel does not take this address up: is its interface up? (ETIMEDOUT)`,
  );
}

function quietIpv6(calls: SystemCalls, name: string): void {
  checkInterface(name);
  try {
    ask(calls, 'RTM_SETLINK', netlink.setLinkWithoutAutoconf(name), name);
  } catch (error) {
    // A kernel without IPv6 (or with it off for this device) is as quiet as can be.
    const quiet = ['EAFNOSUPPORT', 'EOPNOTSUPP', 'EINVAL'];
    if (!(error instanceof NativeError) || !quiet.includes(error.code)) throw error;
  }
}

function withoutOffload(calls: SystemCalls, name: string): void {
  checkInterface(name);
  const ifreq = Buffer.alloc(IFREQ_BYTES);
  ifreq.write(name, 0);
  for (const [what, command] of ETHTOOL_SWITCHES) {
    const result = calls.ethtool(ifreq, command, 0);
    if (result < 0) throw callFailed(errnoName(result), what, name);
  }
}

function joinNetworkNamespace(calls: SystemCalls, path: string): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (error) {
    throw callFailed(codeOf(error), 'setns', path);
  }
  const result = calls.setns(fd);
  closeSync(fd);
  if (result < 0) throw callFailed(errnoName(result), 'setns', path);
}

/** Makes the whole Native of an implementation's system calls. */
export function createNative(calls: SystemCalls): Native {
  return {
    kind: calls.kind,
    ioctl: calls.ioctl,
    rtnetlink: calls.rtnetlink,
    ethtool: calls.ethtool,
    setns: calls.setns,
    readBatch: calls.readBatch,
    writeBatch: calls.writeBatch,
    startPoll: calls.startPoll,
    updatePoll: calls.updatePoll,
    stopPoll: calls.stopPoll,
    refPoll: calls.refPoll,
    openTimer: calls.openTimer,
    setTimer: calls.setTimer,
    closeTimer: calls.closeTimer,
    openTun: (device) => openTun(calls, device),
    closeTun: (fd) => closeSync(fd),
    setOffload: (fd, mask) =>
      control(calls, fd, ['TUNSETOFFLOAD', TUNSETOFFLOAD], mask, 'offload'),
    linkUp: (name, up) => {
      checkInterface(name);
      ask(calls, 'RTM_SETLINK', netlink.setLinkUp(name, up), name);
    },
    setMtu: (name, mtu) => setMtu(calls, name, mtu),
    setQueueLength: (name, packets) => {
      checkInterface(name);
      ask(calls, 'RTM_SETLINK', netlink.setLinkQueue(name, packets), name);
    },
    addAddress: (name, address, prefixLength, peer = address) =>
      addAddress(calls, name, address, prefixLength, peer),
    awaitAddress: (address) => awaitAddress(calls, address),
    interfaceExists: (name) => interfaceExists(calls, name),
    quietIpv6: (name) => quietIpv6(calls, name),
    withoutOffload: (name) => withoutOffload(calls, name),
    joinNetworkNamespace: (path) => joinNetworkNamespace(calls, path),
  };
}
