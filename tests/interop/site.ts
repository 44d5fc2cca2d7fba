/**
 * A stack that `ackorn up` runs on a TUN device, with what the interop tests ask of it: commands of
 * ours, the real programs on the kernel's side in its namespace, and its documents from the control
 * socket. Everything in it is gone when the test ends, however that ends.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { ask } from '../../host/node/control/client.js';
import type { SocketDocument } from '../../host/node/control/queries.js';
import {
  CLI, makePlace, needsTun, type Beside, type Place, type Ran,
} from '../host/fixtures/cli.js';

export const FOUR = '10.99.0.2';
export const SIX = 'fd99::2';
/** The kernel's end. */
export const KERNEL_FOUR = '10.99.0.1';
export const KERNEL_SIX = 'fd99::1';
const NAME = 'site';
/** What the other side does at once is seen by then, on a machine that is busy. */
const WAIT_MS = 5_000;
const STEP_MS = 20;

export interface Pool {
  used: number;
  capacity: number;
  highWater: number;
  refused: number;
}

export interface Site {
  place: Place;
  up: Beside;
  /** `ackorn ARGS` to its end, which must be 0; its output. */
  ackorn(...args: string[]): Promise<string>;
  /** A command on the kernel's side to its end, whatever that is. */
  kernel(command: readonly string[], input?: string | Buffer): Promise<Ran>;
  /** A command on the kernel's side beside the test. */
  kernelBeside(...command: string[]): Beside;
  counters(): Promise<Record<string, number>>;
  pools(): Promise<Record<string, Pool>>;
  sockets(): Promise<SocketDocument[]>;
  /** Waits for a socket that is so. */
  untilSocket(test: (socket: SocketDocument) => boolean): Promise<SocketDocument>;
  /** Ids of processes of this program that the test started. */
  running(program: string): number[];
  /** Asserts that pools hold what they did when the stack was fresh, TIME-WAIT records excepted. */
  baseline(): Promise<void>;
  /** Ends the stack, and asserts that it ends well. */
  down(): Promise<void>;
}

/** Ids of the place's processes that run a program of this name. */
function running(place: Place, program: string): number[] {
  return place.processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === program;
    } catch {
      return false; // it has gone
    }
  });
}

const used = (pools: Record<string, Pool>): Record<string, number> => Object.fromEntries(
  Object.entries(pools).filter(([name]) => name !== 'timeWait')
    .map(([name, pool]) => [name, pool.used]),
);

/** Brings a stack up with `flags`; undefined where there is no TUN device to be had. */
export async function raise(t: TestContext, ...flags: string[]): Promise<Site | undefined> {
  if (!needsTun(t)) return undefined;
  const place = makePlace(t);
  const up = await place.up([
    '--name', NAME, '--addr', `${FOUR}/24`, '--addr', `${SIX}/64`, ...flags,
  ]);
  const socket = path.join(place.folder, 'run', `${NAME}.sock`);
  const document = async <T>(name: string): Promise<T> =>
    (await ask<Record<string, T>>(socket, { path: `/v1/${name}` }))[name] as T;
  const pools = (): Promise<Record<string, Pool>> => document('pools');
  const sockets = (): Promise<SocketDocument[]> => document('sockets');
  const fresh = used(await pools());
  return {
    place, up, pools, sockets,
    async ackorn(...args) {
      const ran = await place.ackorn(args);
      assert.equal(ran.code, 0, `ackorn ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
    kernel: (command, input = '') => place.ackorn(['exec', '--', ...command], { input }),
    kernelBeside: (...command) => place.start([execPath, CLI, 'exec', '--', ...command]),
    counters: () => document('counters'),
    async untilSocket(test) {
      for (let waited = 0; waited < WAIT_MS; waited += STEP_MS) {
        const found = (await sockets()).find(test);
        if (found !== undefined) return found;
        await sleep(STEP_MS);
      }
      return assert.fail(`no such socket: ${JSON.stringify(await sockets())}`);
    },
    running: (program) => running(place, program),
    async baseline() {
      let now = used(await pools());
      for (let waited = 0; waited < WAIT_MS && !isDeepStrictEqual(now, fresh); waited += STEP_MS) {
        await sleep(STEP_MS);
        now = used(await pools());
      }
      assert.deepEqual(now, fresh, 'pools are not at their baseline');
    },
    async down() {
      up.child.kill('SIGTERM');
      assert.equal((await up.ended).code, 0, up.output());
      await place.nothingLeft();
    },
  };
}
