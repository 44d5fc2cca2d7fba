/**
 * What a device with checksum and segmentation offload does, in software: cut a super-segment
 * into wire packets and complete the checksums that were left open. RFC 9293 §3.7, RFC 3168
 * §6.1.2 (CWR), RFC 6864 (IPv4 id), RFC 1071; virtio 1.2 §5.1.6 for the header before a frame.
 * Called by the captures and by the link impairment. Total: a frame whose fields contradict each
 * other comes back whole and unchanged. Never writes into the frame it is given.
 */
import {
  VNET_CSUM_OFFSET, VNET_CSUM_START, VNET_FLAGS, VNET_F_NEEDS_CSUM, VNET_GSO_ECN, VNET_GSO_NONE,
  VNET_GSO_SIZE, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_TYPE, VNET_HDR_BYTES, VNET_HDR_LEN,
} from '../../assembly/abi.js';
import { putU16, putU32, u16, u32, u8 } from './decode/bytes.js';
import { fold, pseudoHeaderSum, sumBytes } from './decode/checksum.js';
import { TCP_CWR, TCP_FIN, TCP_PSH, TCP_URG } from './decode/types.js';

/** struct virtio_net_hdr; offsets count from the frame's first byte, its link header included. */
export interface VnetHeader {
  /** VNET_F_NEEDS_CSUM, VNET_F_DATA_VALID. */
  flags: number;
  /** VNET_GSO_NONE, VNET_GSO_TCPV4 or VNET_GSO_TCPV6, with VNET_GSO_ECN or not. */
  gsoType: number;
  /** Length of all headers, a hint. */
  hdrLen: number;
  /** Payload bytes of each wire packet. */
  gsoSize: number;
  /** Where the transport header begins. */
  csumStart: number;
  /** Where its checksum stands, from csumStart. */
  csumOffset: number;
}

export const NO_OFFLOAD: Readonly<VnetHeader> = Object.freeze({
  flags: 0, gsoType: VNET_GSO_NONE, hdrLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0,
});

/** Reads the ten little-endian bytes at `at`; zeros beyond the end. */
export function readVnetHeader(bytes: Uint8Array, at = 0): VnetHeader {
  const word = (offset: number) => u8(bytes, at + offset) | (u8(bytes, at + offset + 1) << 8);
  return {
    flags: u8(bytes, at + VNET_FLAGS), gsoType: u8(bytes, at + VNET_GSO_TYPE),
    hdrLen: word(VNET_HDR_LEN), gsoSize: word(VNET_GSO_SIZE),
    csumStart: word(VNET_CSUM_START), csumOffset: word(VNET_CSUM_OFFSET),
  };
}

/** Writes VNET_HDR_BYTES bytes at `at`. */
export function writeVnetHeader(bytes: Uint8Array, header: VnetHeader, at = 0): void {
  const word = (offset: number, value: number) => {
    bytes[at + offset] = value & 0xff;
    bytes[at + offset + 1] = (value >>> 8) & 0xff;
  };
  bytes.fill(0, at, at + VNET_HDR_BYTES);
  bytes[at + VNET_FLAGS] = header.flags;
  bytes[at + VNET_GSO_TYPE] = header.gsoType;
  word(VNET_HDR_LEN, header.hdrLen);
  word(VNET_GSO_SIZE, header.gsoSize);
  word(VNET_CSUM_START, header.csumStart);
  word(VNET_CSUM_OFFSET, header.csumOffset);
}

/**
 * Completes a checksum left open, in place: the field holds the pseudo-header's sum, and the sum
 * over everything from csumStart is inverted into it (virtio 1.2 §5.1.6.2). False, and nothing
 * written, if the field is not inside the frame.
 */
export function completeChecksum(
  frame: Uint8Array, csumStart: number, csumOffset: number,
): boolean {
  const at = csumStart + csumOffset;
  if (csumStart < 0 || csumOffset < 0 || at + 2 > frame.length) return false;
  const sum = ~fold(sumBytes(frame, csumStart, frame.length)) & 0xffff;
  // UDP's zero means "no checksum", so all ones stand for it; for TCP both are the same sum.
  putU16(frame, at, sum === 0 ? 0xffff : sum);
  return true;
}

interface Layout {
  version: 4 | 6;
  ip: number;
  tcp: number;
  payload: number;
}

/** Where the headers of a TCP super-segment stand; undefined if they make no sense. */
function layoutOf(frame: Uint8Array, vnet: VnetHeader, ip: number): Layout | undefined {
  const version = u8(frame, ip) >> 4;
  const kind = vnet.gsoType & ~VNET_GSO_ECN;
  const agrees = (kind === VNET_GSO_TCPV4 && version === 4)
    || (kind === VNET_GSO_TCPV6 && version === 6);
  if (!agrees) return undefined;
  const ipHeader = version === 4 ? (u8(frame, ip) & 15) * 4 : 40;
  const tcp = vnet.csumStart > 0 ? vnet.csumStart : ip + ipHeader;
  if (ipHeader < 20 || tcp < ip + ipHeader || tcp + 20 > frame.length) return undefined;
  const tcpHeader = (u8(frame, tcp + 12) >> 4) * 4;
  const payload = tcp + tcpHeader;
  if (tcpHeader < 20 || payload > frame.length) return undefined;
  return { version: version === 4 ? 4 : 6, ip, tcp, payload };
}

/** Lengths, IPv4 id and both checksums of packet number `index`, whose bytes are in place. */
function finishPacket(packet: Uint8Array, at: Layout, index: number): void {
  const tcpLength = packet.length - at.tcp;
  if (at.version === 4) {
    putU16(packet, at.ip + 2, packet.length - at.ip);
    putU16(packet, at.ip + 4, (u16(packet, at.ip + 4) + index) & 0xffff);
    putU16(packet, at.ip + 10, 0);
    const end = at.ip + (u8(packet, at.ip) & 15) * 4;
    putU16(packet, at.ip + 10, ~fold(sumBytes(packet, at.ip, end)) & 0xffff);
  } else {
    putU16(packet, at.ip + 4, packet.length - at.ip - 40);
  }
  const [addresses, size] = at.version === 4 ? [at.ip + 12, 4] : [at.ip + 8, 16];
  putU16(packet, at.tcp + 16, 0);
  const pseudo = pseudoHeaderSum(packet, addresses, size, 6, tcpLength);
  const sum = fold(pseudo + sumBytes(packet, at.tcp, packet.length));
  putU16(packet, at.tcp + 16, ~sum & 0xffff);
}

/** Sequence number, flags and urgent pointer of the packet that begins `done` bytes in. */
function adjustTcp(packet: Uint8Array, tcp: number, done: number, last: boolean): void {
  putU32(packet, tcp + 4, (u32(packet, tcp + 4) + done) >>> 0);
  let flags = u8(packet, tcp + 13);
  if (!last) flags &= ~(TCP_FIN | TCP_PSH);
  if (done > 0) flags &= ~TCP_CWR;
  if ((flags & TCP_URG) !== 0 && done > 0) {
    // The pointer counts from this packet's own sequence number (RFC 9293 §3.8.5).
    const urgent = u16(packet, tcp + 18) - done;
    if (urgent <= 0) flags &= ~TCP_URG;
    putU16(packet, tcp + 18, Math.max(0, urgent));
  }
  packet[tcp + 13] = flags;
}

/**
 * The wire packets of a frame, in order, as copies: a TCP super-segment cut at gsoSize with
 * lengths, sequence numbers, IPv4 ids (counting up), FIN and PSH only on the last, CWR only on the
 * first, and all checksums completed; any other frame as one packet, its open checksum completed.
 * `networkOffset` is where the IP header begins (14 or more on Ethernet).
 */
export function segmentGso(
  frame: Uint8Array, vnet: VnetHeader, networkOffset = 0,
): Uint8Array[] {
  const whole = () => {
    const copy = new Uint8Array(frame); // not slice(): a Buffer's would share the memory
    if ((vnet.flags & VNET_F_NEEDS_CSUM) !== 0) {
      completeChecksum(copy, vnet.csumStart, vnet.csumOffset);
    }
    return [copy];
  };
  if (vnet.gsoSize === 0 || (vnet.gsoType & ~VNET_GSO_ECN) === VNET_GSO_NONE) return whole();
  const layout = layoutOf(frame, vnet, networkOffset);
  if (layout === undefined) return whole();
  const total = frame.length - layout.payload;
  const packets: Uint8Array[] = [];
  let done = 0;
  do {
    const size = Math.min(vnet.gsoSize, total - done);
    const packet = new Uint8Array(layout.payload + size);
    packet.set(frame.subarray(0, layout.payload));
    const from = layout.payload + done;
    packet.set(frame.subarray(from, from + size), layout.payload);
    adjustTcp(packet, layout.tcp, done, done + size >= total);
    finishPacket(packet, layout, packets.length);
    packets.push(packet);
    done += size;
  } while (done < total);
  return packets;
}
