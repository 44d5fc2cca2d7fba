/**
 * Writes the constants of assembly/abi.ts for C (abi.h) and Rust (abi.rs), so that no host copies a
 * number; for Rust also the list that numbers the calls of a recording (host/core/exports.ts) and
 * the profiles of host/core/config.ts, with examples of what its rules make of a configuration.
 * Members of enums keep the names they have in abi.ts, which are the field's own: only the enum's
 * name is turned into a prefix (C) or a module (Rust). Called by tools/build.ts.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as abi from '../assembly/abi.js';
import {
  CONFIG_NAMES, configWords, PROFILE_NAMES, type EngineConfig, type ProfileName,
} from '../host/core/config.js';
import { CALLS } from '../host/core/exports.js';

const ORIGIN = 'Generated from assembly/abi.ts by tools/generate-abi.ts: change that file.';

/** An enum of abi.ts: its members in their order. */
export interface AbiEnum {
  readonly name: string;
  readonly members: readonly (readonly [string, number])[];
}

/** Everything that abi.ts exports. */
export interface AbiNames {
  readonly constants: readonly (readonly [string, number])[];
  readonly enums: readonly AbiEnum[];
}

function checked(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32) {
    return value;
  }
  throw new Error(`assembly/abi.ts: ${name} is ${String(value)}, not an unsigned 32-bit integer`);
}

/** Sorts a module's exports into constants and enums. Throws on anything that is not a u32. */
export function namesOf(module: Readonly<Record<string, unknown>>): AbiNames {
  const constants: [string, number][] = [];
  const enums: AbiEnum[] = [];
  for (const [name, value] of Object.entries(module)) {
    if (typeof value !== 'object' || value === null) {
      constants.push([name, checked(name, value)]);
      continue;
    }
    // A compiled enum also maps numbers back to names: those keys are left out.
    const members = Object.entries(value).filter(([key]) => !/^\d+$/.test(key));
    enums.push({
      name,
      members: members.map(([key, number]) => [key, checked(`${name}.${key}`, number)]),
    });
  }
  return { constants, enums };
}

/** `TcpInfo` to `tcp_info`. */
export function snake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
}

/** The text of abi.h. */
export function toC({ constants, enums }: AbiNames): string {
  const lines = [`/* ${ORIGIN} */`, '#ifndef ACKORN_ABI_H', '#define ACKORN_ABI_H', ''];
  for (const [name, value] of constants) lines.push(`#define ACKORN_${name} ${value}u`);
  for (const { name, members } of enums) {
    const prefix = `ACKORN_${snake(name).toUpperCase()}_`;
    const body = members.map(([member, value]) => `  ${prefix}${member} = ${value},`);
    lines.push('', `enum ackorn_${snake(name)} {`, ...body, '};');
  }
  return [...lines, '', '#endif', ''].join('\n');
}

/** The text of abi.rs. */
export function toRust({ constants, enums }: AbiNames): string {
  const lines = [`// ${ORIGIN}`, ''];
  for (const [name, value] of constants) lines.push(`pub const ${name}: u32 = ${value};`);
  for (const { name, members } of enums) {
    const body = members.map(([member, value]) => `    pub const ${member}: u32 = ${value};`);
    const open = ['#[allow(non_upper_case_globals)]', `pub mod ${snake(name)} {`];
    const names = members.map(([member]) => `        ("${member}", ${member}),`);
    const table = ['    pub const NAMES: &[(&str, u32)] = &[', ...names, '    ];'];
    lines.push('', ...open, ...body, ...table, '}');
  }
  return [...lines, ''].join('\n');
}

/**
 * The text about calls in abi.rs: name and number of parameters, in the order of docs/replay.md.
 */
export function callsToRust(calls: typeof CALLS): string {
  const body = calls.map(([name, parameters]) => `    ("${name}", ${parameters}),`);
  return ['', 'pub const CALLS: &[(&str, usize)] = &[', ...body, '];', ''].join('\n');
}

/** Configurations whose words Rust must make alike: each rule of host/core/config.ts once. */
const CASES: readonly EngineConfig[] = [
  { profile: 'default' },
  { profile: 'test', connectionsMax: 100_000 },
  { profile: 'mcu', arenaBytes: 65_536, tcp_sack: 0 },
  { profile: 'test', timeWaitMax: 1000, tcp_max_tw_buckets: 7 },
  { profile: 'test', synRequestsMax: 9000, hashBuckets: 512 },
  { profile: 'test', listenersMax: 5000 },
];

function wordsOf(config: EngineConfig): string {
  return [...configWords({ ...config, seed: new Uint32Array(4) })].join(', ');
}

/** The text about profiles in abi.rs: CONFIG as it stands in memory, the seed left zero. */
export function profilesToRust(): string {
  const profiles = PROFILE_NAMES.map((profile) => `    ("${profile}", [${wordsOf({ profile })}]),`);
  const cases = CASES.map((config) => {
    const given = CONFIG_NAMES.filter((name) => config[name] !== undefined)
      .map((name) => `("${name}", ${config[name]})`);
    const profile: ProfileName = config.profile ?? 'default';
    return `    ("${profile}", &[${given.join(', ')}], [${wordsOf(config)}]),`;
  });
  return [
    '', 'pub type ConfigWords = [u32; CONFIG_WORDS as usize];',
    'pub const PROFILES: &[(&str, ConfigWords)] = &[', ...profiles, '];', '#[cfg(test)]',
    "pub type ConfigCase = (&'static str, &'static [(&'static str, u32)], ConfigWords);",
    '#[cfg(test)]', 'pub const CONFIG_CASES: &[ConfigCase] = &[', ...cases, '];', '',
  ].join('\n');
}

/** Writes abi.h and abi.rs into `folder`. */
export function generateAbi(folder: string): void {
  const names = namesOf(abi);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'abi.h'), toC(names));
  writeFileSync(join(folder, 'abi.rs'), toRust(names) + callsToRust(CALLS) + profilesToRust());
}
