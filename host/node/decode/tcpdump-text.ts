/**
 * Small wordings that several of tcpdump's printers share: names of protocols, checksums, bit
 * names, hexadecimal dumps. Called by tcpdump*.ts; knows no packet.
 */
import { u8 } from './bytes.js';
import type { Checksum } from './types.js';

const PROTOCOL_NAMES = new Map<number, string>([
  [0, 'Options'], [1, 'ICMP'], [2, 'IGMP'], [4, 'IPIP'], [6, 'TCP'], [8, 'EGP'], [9, 'IGRP'],
  [17, 'UDP'], [33, 'DCCP'], [41, 'IPv6'], [43, 'Routing'], [44, 'Fragment'], [46, 'RSVP'],
  [47, 'GRE'], [50, 'ESP'], [51, 'AH'], [55, 'Mobile IP'], [58, 'ICMPv6'],
  [88, 'EIGRP'], [89, 'OSPF'], [103, 'PIM'], [108, 'Compressed IP'], [112, 'VRRP'], [113, 'PGM'],
  [132, 'SCTP'], [135, 'Mobility'], [143, 'Ethernet'],
]);

export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? 'unknown';
}

export function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}

/** `, cksum 0x1c46 (correct)`. */
export function checksumText(checksum: Checksum): string {
  const value = `, cksum 0x${hex4(checksum.value)}`;
  if (checksum.status === 'good') return `${value} (correct)`;
  if (checksum.status === 'partial') return `${value} (not yet computed)`;
  if (checksum.status === 'bad') return `${value} (incorrect -> 0x${hex4(checksum.expected)})`;
  return value;
}

/** Names of the bits set, joined; `none` without any. */
export function bitNames(value: number, names: [number, string][], joint = ', '): string {
  const set = names.filter(([bit]) => (value & bit) !== 0).map(([, name]) => name);
  return set.length === 0 ? 'none' : set.join(joint);
}

/** Sixteen bytes a line, each behind `indent`; with ASCII beside them as `tcpdump -X` has it. */
export function hexDump(bytes: Uint8Array, withAscii: boolean, indent = '\n\t'): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 16) {
    const count = Math.min(16, bytes.length - at);
    let words = '';
    let ascii = '';
    for (let i = 0; i < count; i++) {
      const byte = u8(bytes, at + i);
      if (i % 2 === 0) words += ' ';
      words += byte.toString(16).padStart(2, '0');
      ascii += byte > 32 && byte < 127 ? String.fromCharCode(byte) : '.';
    }
    text += `${indent}0x${hex4(at)}: ${withAscii ? `${words.padEnd(40)}  ${ascii}` : words}`;
  }
  return text;
}
