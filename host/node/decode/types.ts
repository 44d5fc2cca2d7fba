/**
 * What a decoded frame looks like: plain objects, one for each layer, with byte offsets into the
 * frame so that whoever prints or checks can still reach the bytes.
 * Field names follow RFC 791, 8200, 9293, 768, 792, 4443, 826 and IEEE 802.1Q.
 * Filled by the decoders of this folder, read by tcpdump.ts, the captures and tests. Holds no code.
 */

/** Layers that can be cut short or malformed, named as tcpdump names them in `[|tcp]`. */
export type Layer = 'ether' | 'arp' | 'ip' | 'ip6' | 'icmp' | 'icmp6' | 'udp' | 'tcp';

/** Why a layer could not be read to its end. */
export type Problem =
  | 'truncated' // the bytes end before the layer does; detail: bytes missing
  | 'bad-version' // detail: the version found
  | 'bad-header-length' // detail: the header length found, bytes
  | 'bad-length' // a length field contradicts another; detail: its value
  | 'bad-option' // detail: offset of the option within the header
  | 'bad-extension'; // an IPv6 extension header out of place; detail: its type

export interface Issue {
  layer: Layer;
  problem: Problem;
  detail: number;
}

/**
 * `good` and `bad` are verified; `partial` means that offload left the checksum to somebody else
 * (NEEDS_CSUM: not yet computed, so not wrong); `absent` is UDP over IPv4 with 0; `unverified`
 * means that the bytes needed are not all here (truncated, or a fragment).
 */
export interface Checksum {
  value: number;
  status: 'good' | 'bad' | 'partial' | 'absent' | 'unverified';
  /** What it should be; equal to value when good, 0 when nothing could be computed. */
  expected: number;
}

export interface EthernetHeader {
  destination: string;
  source: string;
  /** The final type, behind all 802.1Q tags; at most 1500 it is an 802.3 length. */
  etherType: number;
  tags: VlanTag[];
  headerLength: number;
}

export interface VlanTag {
  tpid: number;
  priority: number;
  dropEligible: boolean;
  vlan: number;
}

export interface ArpPacket {
  kind: 'arp';
  offset: number;
  hardwareType: number;
  protocolType: number;
  hardwareLength: number;
  protocolLength: number;
  operation: number;
  senderHardware: string;
  senderProtocol: string;
  targetHardware: string;
  targetProtocol: string;
  /** Bytes of the ARP packet with what padding follows it. */
  length: number;
}

export interface Ipv4Option {
  kind: number;
  length: number;
  /** Bytes behind kind and length. */
  data: Uint8Array;
}

export interface Ipv4Header {
  version: 4;
  offset: number;
  headerLength: number;
  tos: number;
  totalLength: number;
  id: number;
  reservedFlag: boolean;
  dontFragment: boolean;
  moreFragments: boolean;
  /** In bytes. */
  fragmentOffset: number;
  ttl: number;
  protocol: number;
  checksum: Checksum;
  source: string;
  destination: string;
  options: Ipv4Option[];
  payloadOffset: number;
  /** What the header promises, bytes; the frame may hold less. */
  payloadLength: number;
}

export interface Ipv6Extension {
  /** Protocol number of this header: 0, 43, 44, 51, 60, 135. */
  type: number;
  offset: number;
  length: number;
}

export interface Ipv6Header {
  version: 6;
  offset: number;
  headerLength: number;
  trafficClass: number;
  flowLabel: number;
  /** The field itself. */
  length: number;
  nextHeader: number;
  hopLimit: number;
  source: string;
  destination: string;
  extensions: Ipv6Extension[];
  /** False if the chain of extension headers could not be followed to its end. */
  chainComplete: boolean;
  /** Of the last fragment header, if there is one. */
  fragment: { id: number; offset: number; more: boolean } | undefined;
  /** The upper-layer protocol behind all extension headers. */
  protocol: number;
  payloadOffset: number;
  payloadLength: number;
}

export type IpHeader = Ipv4Header | Ipv6Header;

export interface TcpOption {
  kind: number;
  /** As the option states it; 1 for EOL and NOP. */
  length: number;
  name: TcpOptionName;
  /** Offset of the kind byte within the frame. */
  offset: number;
  mss?: number;
  shift?: number;
  /** SACK blocks, [left edge, right edge). */
  blocks?: [number, number][];
  tsVal?: number;
  tsEcr?: number;
  /** Fast Open cookie (empty: a request), RFC 7413, also within an experimental option. */
  cookie?: Uint8Array;
  /** Experiment identifier, RFC 6994. */
  exId?: number;
  /** User timeout: the granularity bit and the value, RFC 5482. */
  uto?: { minutes: boolean; value: number };
  /** The bytes behind kind and length. */
  data: Uint8Array;
}

export type TcpOptionName =
  | 'eol' | 'nop' | 'mss' | 'wscale' | 'sackOK' | 'sack' | 'echo' | 'echoreply' | 'TS' | 'md5'
  | 'uto' | 'tcp-ao' | 'mptcp' | 'tfo' | 'exp' | 'accecn0' | 'accecn1' | 'unknown';

export interface TcpSegment {
  kind: 'tcp';
  offset: number;
  headerLength: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  /** TCP_FIN … TCP_CWR in the low byte, AE (RFC 9768) as TCP_AE. */
  flags: number;
  window: number;
  checksum: Checksum;
  urgent: number;
  options: TcpOption[];
  /** Where reading the options stopped, and why; undefined when they are in order. */
  optionsProblem: 'bad-option' | 'truncated' | undefined;
  payloadOffset: number;
  /** What the IP header promises, bytes. */
  payloadLength: number;
}

export interface UdpDatagram {
  kind: 'udp';
  offset: number;
  headerLength: number;
  sourcePort: number;
  destinationPort: number;
  length: number;
  checksum: Checksum;
  payloadOffset: number;
  payloadLength: number;
}

export interface IcmpMessage {
  kind: 'icmp' | 'icmp6';
  offset: number;
  type: number;
  code: number;
  checksum: Checksum;
  /** Type, code and checksum included. */
  length: number;
  /** Echo and time stamp messages. */
  id: number;
  sequence: number;
  /** Next-hop MTU of "fragmentation needed" and "packet too big"; 0 when not told. */
  mtu: number;
  /** The octet at fault, of a parameter problem. */
  pointer: number;
  /** Target of a neighbour solicitation or advertisement, gateway of a redirect. */
  target: string | undefined;
  /** An error's quotation of the packet that caused it: one level, never a quote in a quote. */
  quoted: DecodedPacket | undefined;
}

export interface OtherPayload {
  kind: 'other';
  protocol: number;
  offset: number;
  length: number;
}

/** A later fragment: it has no transport header. */
export interface FragmentPayload {
  kind: 'fragment';
  protocol: number;
  offset: number;
  length: number;
}

export type Transport =
  | TcpSegment | UdpDatagram | IcmpMessage | OtherPayload | FragmentPayload;

/** An IP packet and what it carries. */
export interface DecodedPacket {
  ip: IpHeader | undefined;
  transport: Transport | undefined;
  issues: Issue[];
}

export interface DecodedFrame extends DecodedPacket {
  link: LinkType;
  /** The bytes that were decoded (not copied). */
  bytes: Uint8Array;
  /** Length on the wire; more than bytes.length if the capture cut it. */
  wireLength: number;
  ethernet: EthernetHeader | undefined;
  arp: ArpPacket | undefined;
  /** A layer's bytes end early: because of the capture, or because the sender lied. */
  truncated: boolean;
}

export type LinkType = 'raw' | 'ethernet';

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_PSH = 8;
export const TCP_ACK = 16;
export const TCP_URG = 32;
export const TCP_ECE = 64;
export const TCP_CWR = 128;
export const TCP_AE = 256;

export const PROTO_HOPOPTS = 0;
export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ROUTING = 43;
export const PROTO_FRAGMENT = 44;
export const PROTO_AH = 51;
export const PROTO_ICMPV6 = 58;
export const PROTO_NONE = 59;
export const PROTO_DSTOPTS = 60;
