/**
 * The ends of a measurement, all reached from this process's network namespace: two stacks of ours
 * on TUN devices and the kernel's TCP behind two veth pairs, one of each with offload and one
 * without. MTU 1500 everywhere. Called by tun.ts, inside a namespace of its own. Nothing has to be
 * removed: devices go with the processes and namespaces that hold them.
 */

import { writeFileSync } from 'node:fs';
import { End, runTool } from './tether.js';
import { raiseVeth } from './veth.js';

export type Who = 'ackorn' | 'kernel';

export interface Path {
  readonly who: Who;
  readonly offload: boolean;
  /** Of the servers. */
  readonly address: string;
}

export const PATHS: readonly Path[] = [
  { who: 'ackorn', offload: true, address: '10.99.0.2' },
  { who: 'ackorn', offload: false, address: '10.99.1.2' },
  { who: 'kernel', offload: true, address: '10.99.2.2' },
  { who: 'kernel', offload: false, address: '10.99.3.2' },
];

const onOff = (on: boolean): string => (on ? 'on' : 'off');

/** Our clients leave a TIME-WAIT a connection: they need all ports, and soon again (RFC 6191). */
function manyPorts(): void {
  writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '1024 65535');
  writeFileSync('/proc/sys/net/ipv4/tcp_tw_reuse', '1');
}

async function startKernel(): Promise<End> {
  const paths = PATHS.filter(({ who }) => who === 'kernel');
  const far = paths.map(({ address, offload }, at) => `far${at}=${address}/24=${onOff(offload)}`);
  const end = End.start('far-end.js', far, ['unshare', '--net', '--']);
  await end.ready();
  for (const [at, { address, offload }] of paths.entries()) {
    runTool('ip', ['link', 'add', `near${at}`, 'type', 'veth',
      'peer', 'name', `far${at}`, 'netns', String(end.pid)]);
    raiseVeth(`near${at}`, address.replace(/2$/, '1/24'), offload);
  }
  end.go();
  await end.ready();
  return end;
}

async function startStack({ address, offload }: Path, sysctl: readonly string[]): Promise<End> {
  const args = [`bench${onOff(offload)}`, `${address}/24`, onOff(offload), ...sysctl];
  const end = End.start('stack-end.js', args);
  await end.ready();
  return end;
}

/**
 * Starts every end.
 * @param sysctl for our stacks, as `NAME=VALUE`
 * @returns what ends them
 * @throws CommandError
 */
export async function startEnds(sysctl: readonly string[]): Promise<() => void> {
  manyPorts();
  const ends: End[] = [];
  const stop = (): void => {
    for (const { child } of ends) child.kill('SIGKILL');
  };
  try {
    for (const path of PATHS.filter(({ who }) => who === 'ackorn')) {
      ends.push(await startStack(path, sysctl));
    }
    ends.push(await startKernel());
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}
