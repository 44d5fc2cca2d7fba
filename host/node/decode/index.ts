/**
 * Decoding of frames and their text: the one place to import from.
 * Called by the captures, `dump`, `trace`, `replay` and tests. Holds no code.
 */
export * from './types.js';
export { decodeFrame, decodePacket, type DecodeOptions } from './packet.js';
export { decodeTcpOptions, type TcpOptions } from './tcp.js';
export { TcpdumpPrinter, type TcpdumpOptions } from './tcpdump.js';
export { FlowTracker, tcpFlagsText } from './tcpdump-tcp.js';
export { type TimestampStyle } from './tcpdump-time.js';
export { isIcmpError } from './icmp.js';
export { ipv4Text, ipv6Text, macText } from './bytes.js';
