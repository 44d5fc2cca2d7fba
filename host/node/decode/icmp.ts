/**
 * ICMP and ICMPv6 messages, without the packet that an error quotes (packet.ts adds it, one level
 * deep, so that nothing here is recursive). RFC 792, RFC 1191 §4, RFC 4443, RFC 4861 §4.
 * Never fails; a message that is cut short is reported in the packet's issues.
 */
import { ipv4Text, ipv6Text, u16, u32, u8 } from './bytes.js';
import type { Checksum, IcmpMessage, Issue } from './types.js';

export const ICMP_HEADER_BYTES = 8;

/** True for the messages that carry the packet they complain about. */
export function isIcmpError(message: IcmpMessage): boolean {
  if (message.kind === 'icmp6') return message.type >= 1 && message.type <= 4;
  return [3, 4, 5, 11, 12].includes(message.type);
}

function hasIdentifier(v6: boolean, type: number): boolean {
  return v6 ? type === 128 || type === 129 : [0, 8, 13, 14, 15, 16, 17, 18].includes(type);
}

function icmp4Fields(bytes: Uint8Array, message: IcmpMessage): void {
  const at = message.offset;
  if (message.type === 3 && message.code === 4) message.mtu = u16(bytes, at + 6);
  if (message.type === 5) message.target = ipv4Text(bytes, at + 4);
  if (message.type === 12) message.pointer = u8(bytes, at + 4);
}

function icmp6Fields(bytes: Uint8Array, message: IcmpMessage): void {
  const at = message.offset;
  if (message.type === 2) message.mtu = u32(bytes, at + 4);
  if (message.type === 4) message.pointer = u32(bytes, at + 4);
  const hasTarget = message.type >= 135 && message.type <= 137;
  if (hasTarget && at + 24 <= bytes.length) message.target = ipv6Text(bytes, at + 8);
}

/** Reads the message at `offset`; `length` is what the IP header promises. */
export function decodeIcmp(
  bytes: Uint8Array, offset: number, length: number, v6: boolean, checksum: () => Checksum,
  issues: Issue[],
): IcmpMessage | undefined {
  const layer = v6 ? 'icmp6' : 'icmp';
  const here = Math.min(bytes.length, offset + length) - offset;
  if (here < ICMP_HEADER_BYTES) {
    issues.push({ layer, problem: 'truncated', detail: ICMP_HEADER_BYTES - here });
    if (here < 4) return undefined; // not even type, code and checksum
  }
  const type = u8(bytes, offset);
  const message: IcmpMessage = {
    kind: layer, offset, type, code: u8(bytes, offset + 1), checksum: checksum(), length,
    id: 0, sequence: 0, mtu: 0, pointer: 0, target: undefined, quoted: undefined,
  };
  if (here < ICMP_HEADER_BYTES) return message;
  if (hasIdentifier(v6, type)) {
    message.id = u16(bytes, offset + 4);
    message.sequence = u16(bytes, offset + 6);
  }
  if (v6) icmp6Fields(bytes, message);
  else icmp4Fields(bytes, message);
  return message;
}
