/**
 * Sysctls as a user writes them: Linux's names with or without `net.ipv4.` or `net.core.`, triples
 * such as tcp_rmem in one value, controllers by name. Turned into words of CONFIG. Called by
 * board.ts and by the control socket. Judges names and numbers; the engine judges what they mean.
 */

import { Congestion, Config } from '../../../assembly/abi.js';
import { CONFIG_NAMES, type ConfigName } from '../../core/config.js';
import { UsageError } from '../cli/errors.js';

/** One name on Linux, several words here. */
const SEVERAL: Readonly<Record<string, readonly ConfigName[]>> = {
  tcp_rmem: ['tcp_rmem_min', 'tcp_rmem_default', 'tcp_rmem_max'],
  tcp_wmem: ['tcp_wmem_min', 'tcp_wmem_default', 'tcp_wmem_max'],
  tcp_mem: ['tcp_mem_low', 'tcp_mem_pressure', 'tcp_mem_high'],
  ip_local_port_range: ['ip_local_port_range_low', 'ip_local_port_range_high'],
};
const U32_MAX = 0xffffffff;

/** Words from tcp_rmem_min on are sysctls; those before are sizes, fixed at boot. */
export const SYSCTL_NAMES: readonly ConfigName[] = CONFIG_NAMES.filter(
  (name) => Config[name] >= Config.tcp_rmem_min,
);
export const LIMIT_NAMES: readonly ConfigName[] = CONFIG_NAMES.filter(
  (name) => Config[name] < Config.tcp_rmem_min,
);

export type ConfigValues = Partial<Record<ConfigName, number>>;

function whole(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value <= U32_MAX) return value;
  throw new UsageError(`${name}=${text}: a whole number from 0 to ${U32_MAX} is wanted`);
}

/**
 * One sysctl with its value as text.
 * @throws UsageError for an unknown name, or a value that is none
 */
export function parseSysctl(written: string, text: string): ConfigValues {
  const name = written.replace(/^net[./](ipv4|ipv6|core)[./]/, '').replace(/^net[./]/, '');
  const several = SEVERAL[name];
  const values = text.trim().split(/[\s,]+/);
  if (several !== undefined) {
    if (values.length !== several.length) {
      throw new UsageError(`${written}: ${several.length} numbers are wanted, not '${text}'`);
    }
    return Object.fromEntries(several.map((word, at) => [word, whole(written, values[at] ?? '')]));
  }
  if (!SYSCTL_NAMES.includes(name as ConfigName)) {
    throw new UsageError(
      `unknown sysctl: ${written} (the names are Linux's, such as tcp_rmem or somaxconn)`,
    );
  }
  if (name === 'tcp_congestion_control' && text in Congestion && !/^\d+$/.test(text)) {
    return { [name]: Congestion[text as keyof typeof Congestion] };
  }
  return { [name]: whole(written, text.trim()) };
}

/** One of the sizes that boot lays out, such as connectionsMax. @throws UsageError */
export function parseLimit(name: string, text: string): ConfigValues {
  if (LIMIT_NAMES.includes(name as ConfigName)) return { [name]: whole(name, text.trim()) };
  throw new UsageError(`unknown limit: ${name} (known: ${LIMIT_NAMES.join(', ')})`);
}

/** Takes `name=value` apart. @throws UsageError */
export function splitAssignment(flag: string, text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${flag} ${text}: name=value is wanted`);
}
