/**
 * The documents of the control socket: the stack, its sockets, counters, pools and sysctls, as
 * plain objects for JSON (docs/control.md). Called by server.ts; read by the CLI through client.ts.
 */

import { ABI_VERSION } from '../../../assembly/abi.js';
import type { ConfigName } from '../../core/config.js';
import type { LinkEntry } from '../../core/tables.js';
import type { EndpointRecord, SocketRecord, TcpInfoRecord } from '../../core/records.js';
import { parseSysctl, SYSCTL_NAMES } from '../board/sysctl.js';
import type { Running } from '../runtime/running.js';
import type { Stack } from '../stack.js';
import { ControlRefusal } from './json.js';

/** What a process says of itself. */
export interface StackFacts {
  name: string;
  /** Wall clock, ms. */
  startedAt: number;
  netns: { kind: 'root' | 'user' | 'named' | 'host' | 'none'; name?: string };
}

export interface StackDocument extends StackFacts {
  host: 'node';
  abi: number;
  pid: number;
  link: { name: string; mtu: number; flags: number };
  addresses: string[];
  peerAddresses: string[];
  services: { name: string; port: number; directory?: string }[];
  impair: string | null;
}

export interface EndpointDocument {
  address: string;
  port: number;
}

export interface SocketDocument extends Omit<SocketRecord, 'local' | 'remote'> {
  local: EndpointDocument;
  remote: EndpointDocument;
  /** Connections only. */
  info?: TcpInfoRecord;
}

export function stack(running: Running, facts: StackFacts): StackDocument {
  const { board, link, services } = running;
  return {
    ...facts, host: 'node', abi: ABI_VERSION, pid: process.pid,
    link: { name: link.name, mtu: link.mtu, flags: link.flags },
    addresses: board.addresses, peerAddresses: board.peerAddresses,
    services: [...services], impair: board.impair?.text ?? null,
  };
}

const endpoint = ({ address, port }: EndpointRecord): EndpointDocument => ({ address, port });

/** Links with their addresses, routes and neighbours; the board's one has a name. */
export function links(running: Running): { links: (LinkEntry & { name: string })[] } {
  const { link, stack: of } = running;
  return { links: of.links().map((entry) => ({ name: link.name, ...entry })) };
}

/** One record for each socket, with tcp_info where there is one. */
export function sockets(of: Stack): { sockets: SocketDocument[] } {
  const { engine } = of;
  return {
    // All records before any tcpInfo: both use RESULT.
    sockets: of.sockets().map((record): SocketDocument => {
      const { local, remote, ...rest } = record;
      const plain = { ...rest, local: endpoint(local), remote: endpoint(remote) };
      const known = record.kind === 'connection'
        && engine.calls.tcpInfo(record.index, record.generation) >= 0;
      return known ? { ...plain, info: engine.info(record) } : plain;
    }),
  };
}

export function counters(of: Stack): { counters: Record<string, number> } {
  return { counters: of.counters() };
}

export function pools(of: Stack): unknown {
  return { pools: of.pools(), hashLongest: of.engine.hashLongest() };
}

export function sysctls(of: Stack): { sysctl: Record<string, number> } {
  const values = SYSCTL_NAMES.map((name) => [name, of.engine.sysctlGet(name)] as const);
  return { sysctl: Object.fromEntries(values) };
}

/**
 * Sets what a body names; all names are judged before any is set.
 * @throws UsageError for an unknown name; ControlRefusal for a value that the engine refuses
 */
export function setSysctls(
  of: Stack, body: Record<string, unknown>,
): { sysctl: Record<string, number> } {
  const wanted: Partial<Record<ConfigName, number>> = {};
  for (const [name, value] of Object.entries(body)) {
    const text = Array.isArray(value) ? value.join(' ') : String(value);
    Object.assign(wanted, parseSysctl(name, text));
  }
  for (const [name, value] of Object.entries(wanted)) {
    try {
      of.engine.sysctlSet(name as ConfigName, value);
    } catch (error) {
      const why = (error as Error).message;
      throw new ControlRefusal(409, 'EINVAL', `${name} cannot be ${value}: ${why}`);
    }
  }
  of.driver.request();
  return sysctls(of);
}
