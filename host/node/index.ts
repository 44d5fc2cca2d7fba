/**
 * The package's main entry: a Stack for Node and what its users name in types.
 */
export { Stack, type ConnectOptions, type StackOptions } from './stack.js';
export { StackServer, type ListenOptions } from './server.js';
export {
  StackSocket, type OnRead, type SocketSummary, type StackSocketOptions,
} from './socket.js';
export { NodeLoop, systemClock } from './loop.js';
export type { Clock, Driver, Timer } from './clock.js';
export type { OptionName, SocketOptionValues } from './options.js';
export type { SocketError } from './errors.js';
export type { Link } from './link/link.js';
export { TunLink, type TunLinkOptions } from './link/tun.js';
export { createWire, type Wire, type WireOptions } from './link/wire.js';
export {
  Engine, EngineError, EngineFault, EngineSetupError, engineModule,
  type ConfigName, type EngineConfig, type ProfileName,
} from './engine.js';
export type { CounterName, Handle } from '../core/engine.js';
export type { PoolName, PoolRecord, SocketRecord, TcpInfoRecord } from '../core/records.js';
export { describeTrace, type TraceReader, type TraceRecord } from '../core/trace.js';
export { formatAddress, parseAddress, parseCidr } from '../core/address.js';
