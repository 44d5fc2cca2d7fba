/** iperf3 over TCP, server and client, as the real one speaks it. The folder's door. */

export { runIperf3Client, Iperf3ClientError, type Iperf3ClientOptions } from './client.js';
export { iperf3Server, type Iperf3Server, type Iperf3ServerOptions } from './server.js';
export {
  iperf3Command, parseIperf3Arguments, type CommandHost, type Iperf3Command,
} from './command.js';
export { Iperf3Error, IperfErrno } from './protocol.js';
export type { Iperf3Report, JsonEnd, JsonFigures, JsonInterval } from './report-json.js';
