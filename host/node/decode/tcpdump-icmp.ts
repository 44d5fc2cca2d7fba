/**
 * ICMP, ICMPv6 and ARP as `tcpdump -n` words them. The packet that an error quotes is printed by
 * tcpdump.ts, so that nothing here is recursive.
 * Called by tcpdump.ts. A field that is not there gives undefined, and the caller prints `[|icmp]`.
 */
import { ipv4Text, ipv6Text, macText, u16, u32, u8 } from './bytes.js';
import { bitNames, hex4, hexDump } from './tcpdump-text.js';
import { PROTO_TCP, PROTO_UDP, type ArpPacket, type IcmpMessage } from './types.js';

/** `%` stands for the destination of the quoted packet. */
const UNREACHABLE = new Map<number, string>([
  [0, 'net % unreachable'], [1, 'host % unreachable'],
  [5, '% unreachable - source route failed'], [6, 'net % unreachable - unknown'],
  [7, 'host % unreachable - unknown'], [8, '% unreachable - source host isolated'],
  [9, 'net % unreachable - admin prohibited'], [10, 'host % unreachable - admin prohibited'],
  [11, 'net % unreachable - tos prohibited'], [12, 'host % unreachable - tos prohibited'],
  [13, 'host % unreachable - admin prohibited filter'],
  [14, 'host % unreachable - host precedence violation'],
  [15, 'host % unreachable - precedence cutoff'],
]);
const ICMP_NAMES = new Map<number, string>([
  [4, 'source quench'], [10, 'router solicitation'], [15, 'information request'],
  [16, 'information reply'], [17, 'address mask request'],
]);
const ICMP6_NAMES = new Map<number, string>([
  [1, 'destination unreachable'], [2, 'packet too big'], [3, 'time exceeded in-transit'],
  [4, 'parameter problem'], [128, 'echo request'], [129, 'echo reply'],
  [130, 'multicast listener query'], [131, 'multicast listener report'],
  [132, 'multicast listener done'], [133, 'router solicitation'], [134, 'router advertisement'],
  [135, 'neighbor solicitation'], [136, 'neighbor advertisement'], [137, 'redirect'],
  [143, 'multicast listener report v2'],
]);
const REDIRECTS = ['redirect % to net ', 'redirect % to host ', 'redirect-tos % to net ',
  'redirect-tos % to host '];

function portUnreachable(bytes: Uint8Array, quote: number): string | undefined {
  const port = quote + (u8(bytes, quote) & 15) * 4 + 2;
  if (port + 2 > bytes.length) return undefined;
  const destination = ipv4Text(bytes, quote + 16);
  const protocol = u8(bytes, quote + 9);
  if (protocol === PROTO_TCP) return `${destination} tcp port ${u16(bytes, port)} unreachable`;
  if (protocol === PROTO_UDP) return `${destination} udp port ${u16(bytes, port)} unreachable`;
  return `${destination} protocol ${protocol} port ${u16(bytes, port)} unreachable`;
}

function unreachableText(bytes: Uint8Array, message: IcmpMessage): string | undefined {
  const quote = message.offset + 8;
  if (quote + 20 > bytes.length) return undefined;
  const destination = ipv4Text(bytes, quote + 16);
  switch (message.code) {
    case 2: return `${destination} protocol ${u8(bytes, quote + 9)} unreachable`;
    case 3: return portUnreachable(bytes, quote);
    case 4: {
      const mtu = message.mtu > 0 ? ` (mtu ${message.mtu})` : '';
      return `${destination} unreachable - need to frag${mtu}`;
    }
    default: {
      const wording = UNREACHABLE.get(message.code) ?? `% unreachable - #${message.code}`;
      return wording.replace('%', destination);
    }
  }
}

function redirectText(bytes: Uint8Array, message: IcmpMessage): string | undefined {
  const quote = message.offset + 8;
  if (quote + 20 > bytes.length) return undefined;
  const wording = REDIRECTS[message.code] ?? `redirect-#${message.code} % to `;
  return wording.replace('%', ipv4Text(bytes, quote + 16)) + message.target;
}

function exceededText(bytes: Uint8Array, message: IcmpMessage): string | undefined {
  if (message.offset + 28 > bytes.length) return undefined;
  if (message.code === 0) return 'time exceeded in-transit';
  return message.code === 1 ? 'ip reassembly time exceeded' : `time exceeded-#${message.code}`;
}

/** `ICMP echo request, id 1, seq 2, length 64`, behind `a > b: `. */
export function icmpText(
  bytes: Uint8Array, message: IcmpMessage, verbose: number,
): string | undefined {
  let text: string | undefined;
  switch (message.type) {
    case 0: text = `echo reply, id ${message.id}, seq ${message.sequence}`; break;
    case 8: text = `echo request, id ${message.id}, seq ${message.sequence}`; break;
    case 3: text = unreachableText(bytes, message); break;
    case 5: text = redirectText(bytes, message); break;
    case 11: text = exceededText(bytes, message); break;
    case 12:
      text = message.code !== 0 ? `parameter problem - code ${message.code}`
        : `parameter problem - octet ${message.pointer}`;
      break;
    case 13: text = `time stamp query id ${message.id} seq ${message.sequence}`; break;
    default: text = ICMP_NAMES.get(message.type) ?? `type-#${message.type}`;
  }
  if (text === undefined) return undefined;
  text = `ICMP ${text}, length ${message.length}`;
  const { checksum } = message;
  if (verbose > 0 && checksum.status === 'bad') {
    const { value, expected } = checksum;
    text += ` (wrong icmp cksum ${value.toString(16)} (->${expected.toString(16)})!)`;
  }
  if (verbose > 0 && checksum.status === 'partial') text += ' (icmp cksum not yet computed)';
  return text;
}

const UNREACHABLE6 = ['unreachable route', ' unreachable prohibited', 'beyond scope',
  'unreachable address', 'unreachable port'];

function unreachable6Text(bytes: Uint8Array, message: IcmpMessage): string {
  const quote = message.offset + 8;
  const name = UNREACHABLE6[message.code];
  if (name === undefined) return `, unknown unreach code (${message.code})`;
  if (quote + 40 > bytes.length) return `, ${name} [|icmp6]`;
  const destination = ipv6Text(bytes, quote + 24);
  switch (message.code) {
    case 2: return `, ${name} ${destination}, source address ${ipv6Text(bytes, quote + 8)}`;
    case 4: {
      const ip = message.quoted?.ip;
      if (ip === undefined || ip.payloadOffset + 4 > bytes.length) return `, ${name} [|icmp6]`;
      const port = u16(bytes, ip.payloadOffset + 2);
      if (ip.protocol === PROTO_TCP || ip.protocol === PROTO_UDP) {
        const protocol = ip.protocol === PROTO_UDP ? 'udp' : 'tcp';
        return `, unreachable port, ${destination} ${protocol} port ${port}`;
      }
      return `, unreachable port, ${destination} protocol ${ip.protocol} port ${port} unreachable`;
    }
    default: return `, ${name} ${destination}`;
  }
}

function parameter6Text(message: IcmpMessage): string {
  const names = ['erroneous', 'next header', 'option', 'incomplete header chain'];
  const name = names[message.code];
  return name === undefined ? `, code-#${message.code}` : `, ${name} - octet ${message.pointer}`;
}

function exceeded6Text(bytes: Uint8Array, message: IcmpMessage): string | undefined {
  if (message.code === 1) return ' (reassembly)';
  if (message.code > 1) return `, unknown code (${message.code})`;
  const quote = message.offset + 8;
  return quote + 40 > bytes.length ? undefined : ` for ${ipv6Text(bytes, quote + 24)}`;
}

/** Options of neighbour discovery, RFC 4861 §4.6, each on a line of its own. */
function neighborOptions(
  bytes: Uint8Array, from: number, to: number, verbose: number,
): string {
  const names = new Map([[1, 'source link-address'], [2, 'destination link-address'], [5, 'mtu']]);
  let text = '';
  let at = from;
  while (at + 2 <= to) {
    const type = u8(bytes, at);
    const units = u8(bytes, at + 1);
    if (units === 0 || at + units * 8 > to) return `${text} [|icmp6]`;
    const name = names.get(type) ?? 'unknown';
    text += `\n\t  ${name} option (${type}), length ${units * 8} (${units}): `;
    if (type === 1 || type === 2) text += macText(bytes, at + 2, units * 8 - 2);
    else if (type === 5) text += ` ${u32(bytes, at + 4)}`;
    const body = bytes.subarray(at + 2, at + units * 8);
    if (verbose > 1) text += hexDump(body, false, '\n\t    ');
    else if (type !== 1 && type !== 2 && type !== 5) text += hexDump(body, false, '\n\t  ');
    at += units * 8;
  }
  return text;
}

function neighborText(bytes: Uint8Array, message: IcmpMessage, verbose: number) {
  if (message.target === undefined) return undefined;
  const solicitation = message.type === 135;
  let text = solicitation ? `, who has ${message.target}` : `, tgt is ${message.target}`;
  if (verbose === 0) return text;
  if (!solicitation) {
    const flags = u8(bytes, message.offset + 4);
    text += `, Flags [${bitNames(flags, [[128, 'router'], [64, 'solicited'], [32, 'override']])}]`;
  }
  const end = Math.min(bytes.length, message.offset + message.length);
  return text + neighborOptions(bytes, message.offset + 24, end, verbose);
}

/** What follows the name of an ICMPv6 message; undefined where it is cut short. */
function icmp6Detail(bytes: Uint8Array, message: IcmpMessage, verbose: number) {
  switch (message.type) {
    case 1: return unreachable6Text(bytes, message);
    case 2: return `, mtu ${message.mtu}`;
    case 3: return exceeded6Text(bytes, message);
    case 4: return message.offset + 48 > bytes.length ? undefined : parameter6Text(message);
    case 128:
    case 129: return `, id ${message.id}, seq ${message.sequence}`;
    case 135:
    case 136: return neighborText(bytes, message, verbose);
    case 137: {
      if (message.target === undefined || message.offset + 40 > bytes.length) return undefined;
      return `, ${ipv6Text(bytes, message.offset + 24)} to ${message.target}`;
    }
    default: return '';
  }
}

/** `[icmp6 sum ok] ICMP6, echo request, id 1, seq 2, length 64`, behind `a > b: `. */
export function icmp6Text(bytes: Uint8Array, message: IcmpMessage, verbose: number): string {
  const { checksum, type } = message;
  let text = '';
  if (verbose > 0) {
    const { value, expected } = checksum;
    if (checksum.status === 'good') text = '[icmp6 sum ok] ';
    if (checksum.status === 'bad') {
      text = `[bad icmp6 cksum 0x${hex4(value)} -> 0x${hex4(expected)}!] `;
    }
    if (checksum.status === 'partial') text = '[icmp6 cksum not yet computed] ';
  }
  const name = ICMP6_NAMES.get(type);
  text += `ICMP6, ${name ?? `unknown icmp6 type (${type})`}`;
  if (name === undefined) {
    const whole = bytes.subarray(message.offset, message.offset + message.length);
    return `${text}, length ${message.length}${verbose <= 1 ? hexDump(whole, false) : ''}`;
  }
  if (verbose > 0 && type >= 133 && type <= 137) text += `, length ${message.length}`;
  const detail = icmp6Detail(bytes, message, verbose);
  if (detail === undefined) return `${text} [|icmp6]`;
  if (detail.endsWith('[|icmp6]')) return text + detail;
  return verbose > 0 ? text + detail : `${text}${detail}, length ${message.length}`;
}

const ARP_OPERATIONS = new Map([[1, 'Request'], [2, 'Reply'], [3, 'Reverse Request'],
  [4, 'Reverse Reply']]);

/** `ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28`. */
export function arpText(arp: ArpPacket, verbose: number): string {
  let text = 'ARP, ';
  const plain = arp.protocolType === 0x0800 && arp.protocolLength === 4 && arp.hardwareLength > 0;
  if (!plain || verbose > 0) {
    const hardware = arp.hardwareType === 1 ? 'Ethernet' : `Unknown Hardware (${arp.hardwareType})`;
    const protocol = arp.protocolType === 0x0800 ? 'IPv4'
      : `Unknown Protocol (0x${hex4(arp.protocolType)})`;
    text += `${hardware} (len ${arp.hardwareLength}), ${protocol} (len ${arp.protocolLength})`;
    if (verbose === 0) return `${text}, length ${arp.length}`;
    text += ', ';
  }
  text += `${ARP_OPERATIONS.get(arp.operation) ?? `Unknown (${arp.operation})`} `;
  if (arp.operation === 1) {
    const known = /[1-9a-f]/.test(arp.targetHardware) ? ` (${arp.targetHardware})` : '';
    text += `who-has ${arp.targetProtocol}${known} tell ${arp.senderProtocol}`;
  } else if (arp.operation === 2) {
    text += `${arp.senderProtocol} is-at ${arp.senderHardware}`;
  } else if (arp.operation === 3) {
    text += `who-is ${arp.targetHardware} tell ${arp.senderHardware}`;
  } else if (arp.operation === 4) {
    text += `${arp.targetHardware} at ${arp.targetProtocol}`;
  }
  return `${text}, length ${arp.length}`;
}
