/**
 * One end of a veth pair in this process's network namespace. Used by far-end.ts and ends.ts.
 */

import { parseCidr } from '../addon/cidr.js';
import { loadNative } from '../addon/index.js';
import { CommandError } from '../cli/errors.js';

/**
 * Addresses an interface, sets it up, and takes its offloads away where there shall be none.
 * @throws NativeError, CommandError
 */
export function raiseVeth(name: string, cidr: string, offload: boolean): void {
  const native = loadNative();
  if (native === undefined) throw new CommandError('bench needs the addon or koffi');
  native.quietIpv6(name);
  if (!offload) native.withoutOffload(name);
  const { address, prefixLength } = parseCidr(cidr);
  native.addAddress(name, address, prefixLength);
  native.linkUp(name, true);
}
