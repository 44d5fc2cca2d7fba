/**
 * Decoded frames as text, as `tcpdump -n` prints them: one packet, one line (with -v tcpdump
 * itself goes on in a second one). Compared with the real tcpdump in tests/interop/dump.test.ts.
 * Called by `ackorn dump`, by `npm start`, and by tests. Protocols above TCP and UDP are not taken
 * apart, except the first line of HTTP; never throws, whatever was decoded.
 */
import { hex, u8 } from './bytes.js';
import { arpText, icmp6Text, icmpText } from './tcpdump-icmp.js';
import { FlowTracker, tcpText } from './tcpdump-tcp.js';
import { bitNames, hex4, hexDump, protocolName } from './tcpdump-text.js';
import { Timestamps, type TimestampStyle } from './tcpdump-time.js';
import {
  PROTO_DSTOPTS, PROTO_FRAGMENT, PROTO_HOPOPTS, PROTO_NONE, PROTO_ROUTING, PROTO_TCP, PROTO_UDP,
  type DecodedFrame, type DecodedPacket, type Ipv4Header, type Ipv6Header, type Issue, type Layer,
  type UdpDatagram,
} from './types.js';

export interface TcpdumpOptions {
  /** -S: absolute TCP sequence numbers. */
  absoluteSeq?: boolean;
  /** -v: 1, -vv: 2. */
  verbose?: number;
  timestamps?: TimestampStyle;
}

const IP_OPTION_NAMES = new Map([[0, 'EOL'], [1, 'NOP'], [7, 'RR'], [68, 'timestamp'],
  [82, 'traceroute'], [130, 'security'], [131, 'LSRR'], [137, 'SSRR'], [148, 'RA']]);
const EXTENSION_NAMES = new Map([[PROTO_HOPOPTS, 'hbhopt'], [PROTO_DSTOPTS, 'dstopt'],
  [PROTO_ROUTING, 'rt6'], [PROTO_FRAGMENT, 'frag6']]);
const ECN_NAMES = ['', ',ECT(1)', ',ECT(0)', ',CE'];

/** Bytes that a layer lacks on the wire (not merely in the capture). */
function missing(issues: Issue[], layer: Layer): number {
  const found = issues.find((issue) => issue.layer === layer && issue.problem === 'truncated');
  return found?.detail ?? 0;
}

function routeText(data: Uint8Array): string {
  let text = '';
  const pointer = u8(data, 0) - 1;
  for (let at = 1; at + 4 <= data.length; at += 4) {
    text += ` ${data.subarray(at, at + 4).join('.')}${pointer > at + 2 ? ',' : ''}`;
  }
  return text;
}

function ipOptionsText(ip: Ipv4Header): string {
  return ip.options.map((option) => {
    const name = IP_OPTION_NAMES.get(option.kind) ?? `unknown ${option.kind}`;
    if (option.kind > 1 && option.length !== option.data.length + 2) {
      return `${name} [bad length ${option.length}]`;
    }
    if ([7, 131, 137].includes(option.kind)) return name + routeText(option.data);
    if (option.kind === 148 && option.data.length >= 2) {
      const value = u8(option.data, 0) * 256 + u8(option.data, 1);
      return value === 0 ? name : `${name} value ${value}`;
    }
    return name;
  }).join(',');
}

/** The parenthesis of -v, with the line break behind it. */
function ipv4Detail(ip: Ipv4Header): string {
  const flags = (ip.moreFragments ? 1 : 0) | (ip.dontFragment ? 2 : 0) | (ip.reservedFlag ? 4 : 0);
  let text = `(tos 0x${ip.tos.toString(16)}${ECN_NAMES[ip.tos & 3]}`;
  if (ip.ttl >= 1) text += `, ttl ${ip.ttl}`;
  text += `, id ${ip.id}, offset ${ip.fragmentOffset}`;
  text += `, flags [${bitNames(flags, [[1, '+'], [2, 'DF'], [4, 'rsvd']])}]`;
  text += `, proto ${protocolName(ip.protocol)} (${ip.protocol}), length ${ip.totalLength}`;
  if (ip.headerLength > 20) text += `, options (${ipOptionsText(ip)})`;
  const { status, value, expected } = ip.checksum;
  if (status === 'bad') {
    text += `, bad cksum ${value.toString(16)} (->${expected.toString(16)})!`;
  }
  return `${text})\n    `;
}

function ipv6Detail(ip: Ipv6Header): string {
  let text = '(';
  if (ip.trafficClass > 0) text += `class 0x${ip.trafficClass.toString(16).padStart(2, '0')}, `;
  if (ip.flowLabel > 0) text += `flowlabel 0x${ip.flowLabel.toString(16).padStart(5, '0')}, `;
  text += `hlim ${ip.hopLimit}, next-header ${protocolName(ip.nextHeader)} (${ip.nextHeader})`;
  return `${text} payload length: ${ip.length}) `;
}

/** Options of a hop-by-hop or destination header, told with -v. RFC 8200 §4.2. */
function extensionOptionsText(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  let at = from;
  while (at < to) {
    const type = u8(bytes, at);
    const length = u8(bytes, at + 1);
    if (type !== 0 && (at + 2 > to || at + 2 + length > to)) return text;
    if (type === 0) text += '(pad1)';
    else if (type === 1) text += '(padn)';
    else if (type === 5) text += `(rtalert: 0x${hex(bytes.subarray(at + 2, at + 4))}) `;
    else text += `(opt_type 0x${type.toString(16).padStart(2, '0')}: len=${length})`;
    at += type === 0 ? 1 : length + 2;
  }
  return `${text} `;
}

/** `frag (0|1448) `, `HBH `, `DSTOPT `: the extension headers between addresses and transport. */
function extensionsText(bytes: Uint8Array, ip: Ipv6Header, verbose: number): string {
  let text = '';
  for (const extension of ip.extensions) {
    const end = ip.offset + ip.headerLength + ip.length;
    const rest = end - extension.offset - extension.length;
    if (extension.type === PROTO_HOPOPTS || extension.type === PROTO_DSTOPTS) {
      const { offset, length } = extension;
      text += extension.type === PROTO_HOPOPTS ? 'HBH ' : 'DSTOPT ';
      if (verbose > 0) text += extensionOptionsText(bytes, offset + 2, offset + length);
    } else if (extension.type === PROTO_FRAGMENT && ip.fragment !== undefined) {
      const id = hex(bytes.subarray(extension.offset + 4, extension.offset + 8));
      text += `frag (${verbose > 0 ? `0x${id}:` : ''}${ip.fragment.offset}|${rest})`;
      text += ip.fragment.offset === 0 ? ' ' : '';
    } else if (extension.type === PROTO_ROUTING) {
      const at = extension.offset;
      text += `RT6 (len=${u8(bytes, at + 1)}, type=${u8(bytes, at + 2)}, `;
      text += `segleft=${u8(bytes, at + 3)}) `;
    } else text += `AH(${extension.length}): `;
  }
  return text;
}

function udpChecksumText(udp: UdpDatagram, version: number, verbose: number): string {
  const { status, value, expected } = udp.checksum;
  if (verbose === 0 || (version === 4 && verbose < 2)) return '';
  if (status === 'absent') return '[no cksum] ';
  if (status === 'good') return '[udp sum ok] ';
  if (status === 'partial') return '[udp cksum not yet computed] ';
  return status === 'bad' ? `[bad udp cksum 0x${hex4(value)} -> 0x${hex4(expected)}!] ` : '';
}

export class TcpdumpPrinter {
  private readonly flows: FlowTracker | undefined;
  private readonly stamps: Timestamps;
  private readonly verbose: number;

  constructor(options: TcpdumpOptions = {}) {
    this.flows = options.absoluteSeq === true ? undefined : new FlowTracker();
    this.stamps = new Timestamps(options.timestamps ?? 'default');
    this.verbose = options.verbose ?? 0;
  }

  /** The frame's text without a line break at its end; timeUs as in Timestamps. */
  print(frame: DecodedFrame, timeUs: bigint | number): string {
    return this.stamps.text(timeUs) + this.frameText(frame);
  }

  /** The same without the time stamp. */
  frameText(frame: DecodedFrame): string {
    if (frame.bytes.length === 0) return '[Invalid header: caplen==0]';
    const { ethernet } = frame;
    if (frame.link === 'ethernet' && ethernet === undefined) return ' [|ether]';
    if (frame.arp !== undefined) return arpText(frame.arp, this.verbose);
    if (ethernet?.etherType === 0x0806) return ' [|arp]';
    if (ethernet !== undefined && ![0x0800, 0x86dd].includes(ethernet.etherType)) {
      return this.unknownEthernet(frame);
    }
    let text = this.packetText(frame.bytes, frame);
    const { transport } = frame;
    const quoted = transport?.kind === 'icmp' ? transport.quoted : undefined;
    if (this.verbose > 0 && transport?.kind === 'icmp' && quoted !== undefined) {
      const quote = frame.bytes.subarray(0, transport.offset + transport.length);
      text += `\n\t${this.packetText(quote, quoted)}`;
    }
    return text;
  }

  private unknownEthernet(frame: DecodedFrame): string {
    const { ethernet, bytes } = frame;
    if (ethernet === undefined) return '';
    const { source, destination, etherType, headerLength } = ethernet;
    if (etherType <= 1500) return `${source} > ${destination}, 802.3, length ${etherType}`;
    const type = `ethertype Unknown (0x${hex4(etherType)})`;
    const rest = hexDump(bytes.subarray(headerLength), true);
    return `${source} > ${destination}, ${type}, length ${frame.wireLength}: ${rest}`;
  }

  private packetText(bytes: Uint8Array, packet: DecodedPacket): string {
    const { ip } = packet;
    if (ip === undefined) {
      const version = packet.issues.find((issue) => issue.problem === 'bad-version');
      if (version !== undefined) return `unknown ip ${version.detail}`;
      return packet.issues.some((issue) => issue.layer === 'ip6') ? ' [|ip6]' : 'IP  [|ip]';
    }
    return ip.version === 4 ? this.ipv4Text(bytes, packet, ip) : this.ipv6Text(bytes, packet, ip);
  }

  private ipv4Text(bytes: Uint8Array, packet: DecodedPacket, ip: Ipv4Header): string {
    let text = 'IP ';
    if (ip.headerLength < 20) return `${text}bad-hlen ${ip.headerLength}`;
    const lost = missing(packet.issues, 'ip');
    if (lost > 0) text += `truncated-ip - ${lost} bytes missing! `;
    if (ip.totalLength < ip.headerLength) return `${text}bad-len ${ip.totalLength}`;
    if (this.verbose > 0) text += ipv4Detail(ip);
    const ports = ip.protocol === PROTO_TCP || ip.protocol === PROTO_UDP;
    const addresses = `${ip.source} > ${ip.destination}`;
    if (packet.transport?.kind === 'fragment') {
      return `${text}${addresses}: ip-proto-${ip.protocol}`;
    }
    if (!ports) text += `${addresses}: `;
    if (ip.payloadOffset > bytes.length) {
      const left = bytes.length - ip.offset;
      return `${text} [remaining caplen(${left}) < header length(${ip.headerLength})] [|ip]`;
    }
    return text + this.transportText(bytes, packet, ports, ip.moreFragments);
  }

  private ipv6Text(bytes: Uint8Array, packet: DecodedPacket, ip: Ipv6Header): string {
    let text = 'IP6 ';
    const end = ip.offset + ip.headerLength + ip.length;
    const lost = missing(packet.issues, 'ip6');
    if (lost > 0 && end > bytes.length) text += `truncated-ip6 - ${lost} bytes missing!`;
    if (this.verbose > 0) text += ipv6Detail(ip);
    const ports = ip.nextHeader === PROTO_TCP || ip.nextHeader === PROTO_UDP;
    if (!ports) text += `${ip.source} > ${ip.destination}: `;
    text += extensionsText(bytes, ip, this.verbose);
    if (!ip.chainComplete) return `${text} [|${EXTENSION_NAMES.get(ip.protocol) ?? 'ip6'}]`;
    if (packet.transport?.kind === 'fragment') return text;
    return text + this.transportText(bytes, packet, ports, ip.fragment !== undefined);
  }

  /** From the ports on. `withAddresses`: the addresses stand with the ports. */
  private transportText(
    bytes: Uint8Array, packet: DecodedPacket, withAddresses: boolean, fragmented: boolean,
  ): string {
    const { ip, transport } = packet;
    if (ip === undefined) return '';
    const end = ip.version === 4 ? ip.offset + ip.totalLength
      : ip.offset + ip.headerLength + ip.length;
    const inside = bytes.subarray(0, Math.min(bytes.length, end));
    if (transport === undefined) return this.cutTransport(inside, packet, withAddresses);
    switch (transport.kind) {
      case 'tcp': {
        const { sourcePort, destinationPort } = transport;
        const head = this.ends(packet, withAddresses, sourcePort, destinationPort);
        const { flows, verbose } = this;
        return `${head}: ${tcpText(inside, ip, transport, { flows, verbose, fragmented })}`;
      }
      case 'udp': return this.udpText(packet, transport, withAddresses, fragmented);
      case 'icmp': return icmpText(inside, transport, this.verbose) ?? ' [|icmp]';
      case 'icmp6': return icmp6Text(inside, transport, this.verbose);
      default:
        if (transport.protocol === PROTO_NONE) return 'no next header';
        return ` ip-proto-${transport.protocol} ${transport.length}`;
    }
  }

  private ends(packet: DecodedPacket, withAddresses: boolean, from: number, to: number): string {
    const { ip } = packet;
    if (!withAddresses || ip === undefined) return `${from} > ${to}`;
    return `${ip.source}.${from} > ${ip.destination}.${to}`;
  }

  private udpText(
    packet: DecodedPacket, udp: UdpDatagram, withAddresses: boolean, fragmented: boolean,
  ): string {
    const head = this.ends(packet, withAddresses, udp.sourcePort, udp.destinationPort);
    if (udp.length < 8) return `${head}: truncated-udplength ${udp.length}`;
    const version = packet.ip?.version ?? 4;
    const sum = fragmented ? '' : udpChecksumText(udp, version, this.verbose);
    const here = (packet.ip?.payloadLength ?? 8) - 8;
    const odd = udp.length - 8 > here && !fragmented;
    if (odd) return `${head}: ${sum}UDP, bad length ${udp.length - 8} > ${here}`;
    return `${head}: ${sum}UDP, length ${udp.length - 8}`;
  }

  /** A transport header that is cut short: ports if they are there, and `[|tcp]`. */
  private cutTransport(bytes: Uint8Array, packet: DecodedPacket, withAddresses: boolean): string {
    const { ip } = packet;
    if (ip === undefined) return '';
    const names = new Map([[PROTO_TCP, 'tcp'], [PROTO_UDP, 'udp'], [1, 'icmp'], [58, 'icmp6']]);
    const name = names.get(ip.protocol) ?? 'ip';
    const at = ip.payloadOffset;
    if (ip.protocol !== PROTO_TCP && ip.protocol !== PROTO_UDP) return ` [|${name}]`;
    if (at + 4 > bytes.length) {
      const space = name === 'udp' ? ' ' : '';
      return `${ip.source} > ${ip.destination}: ${space}[|${name}]`;
    }
    const from = u8(bytes, at) * 256 + u8(bytes, at + 1);
    const to = u8(bytes, at + 2) * 256 + u8(bytes, at + 3);
    const head = `${this.ends(packet, withAddresses, from, to)}: `;
    if (name === 'udp' && ip.payloadLength < 8) return `${head}truncated-udp ${ip.payloadLength}`;
    return `${head} [|${name}]`;
  }
}
