/**
 * Frames as an offloading link hands them over: super-segments, and packets whose checksum field
 * holds only the pseudo-header's sum. Called by the tests of offload and capture.
 */
import { VNET_F_NEEDS_CSUM, VNET_GSO_TCPV4, VNET_GSO_TCPV6 } from '../../assembly/abi.js';
import type { CaptureInput } from '../../host/node/capture/index.js';
import type { VnetHeader } from '../../host/node/offload.js';
import { be16, be32, concat, internetChecksum, ip4, ip6, Random, tcpFrame } from './frames.js';

export const PORTS = { sourcePort: 40000, destinationPort: 5201 };
const V4 = { from: '10.99.0.1', to: '10.99.0.2' };
const V6 = { from: 'fd00::1', to: 'fd00::2' };
const TIMESTAMPS = [1, 1, 8, 10, ...be32(123), ...be32(456)];

/** Puts the pseudo-header's sum, not inverted, where the checksum belongs, as Linux does. */
function leaveOpen(frame: Uint8Array, version: 4 | 6): void {
  const tcp = version === 4 ? 20 : 40;
  const length = frame.length - tcp;
  const pseudo = version === 4
    ? concat(ip4(V4.from), ip4(V4.to), [0, 6], be16(length & 0xffff))
    : concat(ip6(V6.from), ip6(V6.to), be32(length), [0, 0, 0, 6]);
  frame.set(be16(~internetChecksum(pseudo) & 0xffff), tcp + 16);
}

export interface SuperSegment {
  frame: Uint8Array;
  payload: Uint8Array;
  vnet: VnetHeader;
  seq: number;
  /** SYN and SYN-ACK of the same flow, and then the super-segment, for a capture. */
  frames: Omit<CaptureInput, 'timeUs'>[];
}

/** A super-segment of `total` bytes with CWR, PSH and FIN, to be cut at `mss`. */
export function superSegment(version: 4 | 6, mss: number, total: number): SuperSegment {
  const ends = version === 4 ? V4 : V6;
  const back = { from: ends.to, to: ends.from };
  const payload = new Random(total).bytes(total);
  const seq = 0xfffffff0; // wraps around within the segment
  const ports = { sourcePort: PORTS.destinationPort, destinationPort: PORTS.sourcePort };
  const flags = 0x80 | 0x10 | 0x08 | 0x01;
  const frame = tcpFrame(
    { ...ends, ...PORTS, seq, ack: 7001, flags, options: TIMESTAMPS }, payload, { id: 0xfffe },
  );
  leaveOpen(frame, version);
  const csumStart = version === 4 ? 20 : 40;
  const vnet: VnetHeader = {
    flags: VNET_F_NEEDS_CSUM, gsoType: version === 4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6,
    hdrLen: csumStart + 32, gsoSize: mss, csumStart, csumOffset: 16,
  };
  const head = frame.length - total;
  const frames: SuperSegment['frames'] = [
    { direction: 'out', bytes: tcpFrame({ ...ends, ...PORTS, seq: seq - 1, flags: 2 }) },
    { direction: 'in', bytes: tcpFrame({ ...back, ...ports, seq: 7000, ack: seq, flags: 18 }) },
    {
      direction: 'out', bytes: [frame.subarray(0, head), frame.subarray(head)], gsoSize: mss,
      csumPartial: true, csumStart, csumOffset: 16,
    },
  ];
  return { frame, payload, vnet, seq, frames };
}

/** An ordinary segment with its checksum left open. */
export function openChecksum(): Omit<CaptureInput, 'timeUs'> {
  const bytes = tcpFrame(
    { ...V4, ...PORTS, sourcePort: 40001, seq: 1, flags: 2 }, undefined, { id: 9 },
  );
  leaveOpen(bytes, 4);
  return { direction: 'out', bytes, csumPartial: true, csumStart: 20, csumOffset: 16 };
}
