/**
 * Captures and pcapng: the one place to import from.
 * Called by links, `up --pcap`, `dump`, the control socket, `replay` and tests. Holds no code.
 */
export {
  Capture, networkOffset, type CaptureInput, type CaptureOptions, type CaptureSink,
  type WirePacket,
} from './capture.js';
export * from './pcapng.js';
export {
  PcapngReader, readPcapng, type PcapngInterface, type PcapngPacket, type PcapngRecord,
} from './pcapng-reader.js';
export {
  PacketQueue, PcapngSink, QUEUE_BYTES_DEFAULT, QUEUE_PACKETS_DEFAULT, type PcapngSinkOptions,
  type QueuedPacket,
} from './sinks.js';
