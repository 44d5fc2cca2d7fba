/**
 * The typed error of the native layer and its plain-language messages: what went wrong and what
 * to do about it. Used by device.ts, link/ and the choice of an implementation (index.ts).
 */
import { constants } from 'node:os';

/** A failed system call, or an argument that could never work. The message is one line. */
export class NativeError extends Error {
  override readonly name = 'NativeError';

  /**
   * @param code Linux's name of the error (`EPERM`), or `ERR_INVALID_ARG_VALUE`
   * @param syscall what failed: `open`, `TUNSETIFF`, `RTM_NEWADDR`, ... or `argument`
   * @param message what happened and what to do
   */
  constructor(
    readonly code: string,
    readonly syscall: string,
    message: string,
  ) {
    super(message);
  }
}

/** Not in os.constants.errno, for they are no POSIX errors. */
const LINUX_ONLY: Readonly<Record<number, string>> = { 77: 'EBADFD', 132: 'ERFKILL' };

const NAMES = new Map<number, string>(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** The name of a negative errno, e.g. `EPERM` of -1. */
export function errnoName(negative: number): string {
  const errno = -negative;
  // Linux has two names for 11 and for 95; the engine's abi.ts uses these.
  if (errno === constants.errno.EAGAIN) return 'EAGAIN';
  if (errno === constants.errno.EOPNOTSUPP) return 'EOPNOTSUPP';
  return LINUX_ONLY[errno] ?? NAMES.get(errno) ?? `E${errno}`;
}

/** Raised for arguments that no kernel would take. */
export function badArgument(message: string): NativeError {
  return new NativeError('ERR_INVALID_ARG_VALUE', 'argument', message);
}

const NO_ADMIN =
  'needs CAP_NET_ADMIN in this network namespace: run as root, or under ' +
  '`unshare --user --map-root-user --net`';

const OPEN_TUN: Readonly<Record<string, string>> = {
  ENOENT:
    'there is no /dev/net/tun here: load the module (`modprobe tun`), or give the container the ' +
    'device (`--device /dev/net/tun`)',
  ENODEV: 'the kernel has no TUN driver behind /dev/net/tun: load it with `modprobe tun`',
  EACCES:
    'this user may not open /dev/net/tun (its file mode forbids it): run as root, or have an ' +
    'administrator open it (`chmod 0666 /dev/net/tun`)',
  EPERM:
    'the container does not allow /dev/net/tun (device cgroup): start it with ' +
    '`--device /dev/net/tun`',
};

const SET_IFF: Readonly<Record<string, string>> = {
  EPERM: `making a TUN device ${NO_ADMIN}`,
  EBUSY: 'another program has this device open: choose another name, or stop that program',
  EINVAL:
    'an interface of this name exists and is no such device (or is of the other kind, TUN or ' +
    'TAP): choose another name',
};

const NETLINK: Readonly<Record<string, string>> = {
  EPERM: `configuring an interface ${NO_ADMIN}`,
  ENODEV: 'there is no such interface in this network namespace: check its name',
  EINVAL: 'the kernel refused the value: check the address, the prefix length or the MTU',
  EOPNOTSUPP: 'the kernel lacks this address family (IPv6 disabled?): leave the address out',
  EACCES: 'IPv6 is switched off here (sysctl net.ipv6.conf.*.disable_ipv6): leave the address out',
};

const ADVICE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  open: { ...OPEN_TUN, ENXIO: OPEN_TUN['ENODEV'] ?? '' },
  TUNSETIFF: SET_IFF,
  RTM_SETLINK: NETLINK,
  RTM_NEWADDR: NETLINK,
  setns: {
    EPERM: 'joining a network namespace needs CAP_SYS_ADMIN: run as root',
    ENOENT: 'there is no such network namespace: check the path',
    EINVAL: 'the path names no network namespace',
  },
};

/** A NativeError for a system call that failed on `subject` (a path, an interface). */
export function callFailed(code: string, syscall: string, subject: string): NativeError {
  const advice = ADVICE[syscall]?.[code] ?? `${syscall} failed`;
  return new NativeError(code, syscall, `${subject}: ${advice} (${code})`);
}
