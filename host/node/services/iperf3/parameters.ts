/**
 * The parameters of a test: the client's JSON after PARAM_EXCHANGE, its names as iperf3 3.12 sends
 * them, its bounds as iperf3 has them. Called by client.ts (encode) and server.ts (decode).
 * A value out of bounds is refused with iperf3's own error number and never clamped.
 */

import { Errno, Iperf3Error, IperfErrno } from './protocol.js';

export const DEFAULT_BLOCK_BYTES = 128 * 1024;
const BLOCK_MAX_BYTES = 1 << 20;
const STREAMS_MAX = 128;
const DURATION_MAX_S = 86_400;
const OMIT_MAX_S = 600;
const BUFFER_MAX_BYTES = 512 << 20;
const MSS_MAX_BYTES = 32 * 1024 - 1;
const TITLE_MAX_CHARACTERS = 1024;
const CONGESTION_NAME = /^[a-z0-9_-]{1,15}$/i;

/** What both sides know of a test. Zero means "not asked for". */
export interface Parameters {
  /** Seconds; 0 when the test ends by bytes or blocks. */
  durationS: number;
  omitS: number;
  bytes: number;
  blocks: number;
  parallel: number;
  reverse: boolean;
  bidir: boolean;
  blockBytes: number;
  noDelay: boolean;
  mss: number;
  /** SO_SNDBUF and SO_RCVBUF in bytes. */
  window: number;
  /** Bits per second and stream. */
  bitrate: number;
  tos: number;
  congestion: string;
  title: string;
  getServerOutput: boolean;
}

/** The JSON for the wire. */
export function encodeParameters(p: Parameters): Record<string, unknown> {
  return {
    tcp: true,
    omit: p.omitS,
    time: p.durationS,
    num: p.bytes,
    blockcount: p.blocks,
    ...(p.mss > 0 && { MSS: p.mss }),
    ...(p.noDelay && { nodelay: true }),
    parallel: p.parallel,
    ...(p.reverse && { reverse: true }),
    ...(p.bidir && { bidirectional: true }),
    ...(p.window > 0 && { window: p.window }),
    len: p.blockBytes,
    ...(p.bitrate > 0 && { bandwidth: p.bitrate }),
    pacing_timer: 1000,
    ...(p.tos > 0 && { TOS: p.tos }),
    ...(p.title !== '' && { title: p.title }),
    ...(p.congestion !== '' && { congestion: p.congestion }),
    ...(p.getServerOutput && { get_server_output: 1 }),
    client_version: 'ackorn',
  };
}

/**
 * Checks what a client asks for. Names that we do not know are passed over, as iperf3 does.
 * @throws Iperf3Error IEPROTOCOL for UDP and SCTP, else the number of the bound that is broken
 */
export function decodeParameters(json: unknown): Parameters {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new Iperf3Error(IperfErrno.IERECVPARAMS, 'not an object', Errno.EINVAL);
  }
  const j = json as Record<string, unknown>;
  for (const protocol of ['udp', 'sctp']) {
    if (j[protocol] === true) {
      throw new Iperf3Error(IperfErrno.IEPROTOCOL, `only TCP here, not ${protocol.toUpperCase()}`,
        Errno.EPROTONOSUPPORT);
    }
  }
  const whole = (name: string, low: number, high: number, errno: number, none: number): number =>
    bounded(j[name], name, low, high, errno, none);
  const { IEBLOCKSIZE, IEDURATION, IERECVPARAMS } = IperfErrno;
  const parameters: Parameters = {
    durationS: whole('time', 0, DURATION_MAX_S, IEDURATION, 0),
    omitS: whole('omit', 0, OMIT_MAX_S, IperfErrno.IEOMIT, 0),
    bytes: whole('num', 0, Number.MAX_SAFE_INTEGER, IERECVPARAMS, 0),
    blocks: whole('blockcount', 0, Number.MAX_SAFE_INTEGER, IERECVPARAMS, 0),
    parallel: whole('parallel', 1, STREAMS_MAX, IperfErrno.IENUMSTREAMS, 1),
    reverse: j.reverse === true,
    bidir: j.bidirectional === true,
    blockBytes: whole('len', 0, BLOCK_MAX_BYTES, IEBLOCKSIZE, 0) || DEFAULT_BLOCK_BYTES,
    noDelay: j.nodelay === true,
    mss: whole('MSS', 0, MSS_MAX_BYTES, IperfErrno.IEMSS, 0),
    window: whole('window', 0, BUFFER_MAX_BYTES, IperfErrno.IEBUFSIZE, 0),
    bitrate: whole('bandwidth', 0, Number.MAX_SAFE_INTEGER, IERECVPARAMS, 0),
    tos: whole('TOS', 0, 255, IERECVPARAMS, 0),
    congestion: text(j.congestion, 'congestion', 15),
    title: text(j.title, 'title', TITLE_MAX_CHARACTERS),
    getServerOutput: typeof j.get_server_output === 'number' && j.get_server_output !== 0,
  };
  if (parameters.reverse && parameters.bidir) throw new Iperf3Error(IperfErrno.IEREVERSEBIDIR);
  if (parameters.congestion !== '' && !CONGESTION_NAME.test(parameters.congestion)) {
    throw new Iperf3Error(IperfErrno.IESETCONGESTION, 'no such name', Errno.EINVAL);
  }
  return parameters;
}

function bounded(
  value: unknown,
  name: string,
  low: number,
  high: number,
  errno: number,
  none: number,
): number {
  if (value === undefined) return none;
  if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) {
    return value;
  }
  throw new Iperf3Error(errno, `${name} is not a whole number from ${low} to ${high}`,
    Errno.EINVAL);
}

function text(value: unknown, name: string, maxCharacters: number): string {
  if (value === undefined) return '';
  if (typeof value === 'string' && value.length <= maxCharacters) return value;
  throw new Iperf3Error(IperfErrno.IERECVPARAMS, `${name} is not a short text`, Errno.EINVAL);
}
