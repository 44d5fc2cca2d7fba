/**
 * Segments as tests write and read them: sequence numbers relative to both ISNs, flags as letters
 * (S F R P U E W and a dot for ACK, as packetdrill and tcpdump have them), options as text. Builds
 * with support/frames.ts and reads with host/node/decode, so neither side is the engine's own code.
 * Called by harness.ts.
 */
import assert from 'node:assert/strict';
import { decodeFrame, type TcpOption, type TcpSegment } from '../../host/node/decode/index.js';
import { be16, be32 } from '../support/frames.js';

const FLAG_LETTERS: readonly [string, number][] = [
  ['S', 2], ['F', 1], ['R', 4], ['P', 8], ['U', 32], ['E', 64], ['W', 128], ['.', 16],
];

/** The flags byte of letters in any order. */
export function flagBits(letters: string): number {
  let bits = 0;
  for (const letter of letters) {
    const bit = FLAG_LETTERS.find(([name]) => name === letter)?.[1];
    assert.ok(bit !== undefined, `no such flag: ${letter}`);
    bits |= bit;
  }
  return bits;
}

export function flagText(bits: number): string {
  return FLAG_LETTERS.filter(([, bit]) => bits & bit).map(([letter]) => letter).join('');
}

/** Octet of a stream at `offset`, the same in both directions: what arrives is checked by it. */
export function octet(offset: number): number {
  return (offset * 7 + (offset >>> 8) * 13) & 255;
}

export function pattern(offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => octet(offset + i));
}

/** What a peer may say in its options. */
export interface PeerOptions {
  mss?: number | undefined;
  wscale?: number | undefined;
  sackOk?: boolean | undefined;
  /** [TSval, TSecr]. */
  ts?: readonly [number, number] | undefined;
  /** Absolute blocks. */
  sack?: readonly (readonly [number, number])[];
}

export function optionBytes(o: PeerOptions): number[] {
  const bytes: number[] = [];
  if (o.mss !== undefined) bytes.push(2, 4, ...be16(o.mss));
  if (o.sackOk === true) bytes.push(4, 2);
  if (o.ts !== undefined) bytes.push(8, 10, ...be32(o.ts[0] >>> 0), ...be32(o.ts[1] >>> 0));
  if (o.wscale !== undefined) bytes.push(3, 3, o.wscale);
  if (o.sack !== undefined && o.sack.length > 0) {
    bytes.push(5, 2 + o.sack.length * 8);
    for (const [start, end] of o.sack) bytes.push(...be32(start >>> 0), ...be32(end >>> 0));
  }
  while (bytes.length % 4 !== 0) bytes.push(1);
  return bytes;
}

/** A segment that the engine sent. Numbers are absolute, as on the wire. */
export interface Seen {
  /** Virtual time at which it left, µs. */
  readonly atUs: number;
  readonly from: string;
  readonly to: string;
  readonly tcp: TcpSegment;
  readonly data: Uint8Array;
  readonly tos: number;
  readonly ttl: number;
  readonly ipLength: number;
  /** IPv4 Identification; 0 for IPv6. */
  readonly id: number;
  readonly dontFragment: boolean;
}

/** Reads a frame of the engine's; anything malformed or with a bad checksum fails the test. */
export function seen(frame: Uint8Array, atUs: number): Seen | undefined {
  const packet = decodeFrame(frame);
  assert.deepEqual(packet.issues, [], 'a well-formed packet');
  const { ip, transport } = packet;
  assert.ok(ip !== undefined && transport !== undefined, 'an IP packet with a payload');
  if (transport.kind !== 'tcp') return undefined;
  assert.equal(transport.checksum.status, 'good', 'TCP checksum');
  if (ip.version === 4) assert.equal(ip.checksum.status, 'good', 'IPv4 header checksum');
  const { payloadOffset, payloadLength } = transport;
  return {
    atUs, from: ip.source, to: ip.destination, tcp: transport,
    data: frame.slice(payloadOffset, payloadOffset + payloadLength),
    tos: ip.version === 4 ? ip.tos : ip.trafficClass,
    ttl: ip.version === 4 ? ip.ttl : ip.hopLimit,
    ipLength: frame.length,
    id: ip.version === 4 ? ip.id : 0,
    dontFragment: ip.version === 4 ? ip.dontFragment : true,
  };
}

function optionText(option: TcpOption, base: number): string {
  if (option.name === 'mss') return `mss ${option.mss}`;
  if (option.name === 'wscale') return `wscale ${option.shift}`;
  if (option.name === 'sack') {
    const blocks = option.blocks ?? [];
    return `sack ${blocks.map(([a, b]) => `${(a - base) >> 0}:${(b - base) >> 0}`).join(' ')}`;
  }
  return option.name;
}

/** Options in order, as `mss 1460,sackOK,TS,nop,wscale 7`; SACK blocks relative to `base`. */
export function optionsText(tcp: TcpSegment, base: number): string {
  return tcp.options.map((option) => optionText(option, base)).join(',');
}

export function timestamps(tcp: TcpSegment): readonly [number, number] | undefined {
  const option = tcp.options.find(({ name }) => name === 'TS');
  return option === undefined ? undefined : [option.tsVal as number, option.tsEcr as number];
}

/** One line for messages: relative numbers. */
export function text(s: Seen, ourIsn: number, peerIsn: number): string {
  const { tcp } = s;
  const seq = (tcp.seq - ourIsn) >> 0;
  const ack = tcp.flags & 16 ? ` ack ${(tcp.ack - peerIsn) >> 0}` : '';
  return `[${flagText(tcp.flags)}] seq ${seq}:${seq + s.data.length}${ack} win ${tcp.window} ` +
    `<${optionsText(tcp, peerIsn)}> at ${(s.atUs / 1000).toFixed(3)} ms`;
}
