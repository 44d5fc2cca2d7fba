/**
 * Helper processes of a measurement. The kernel kills them when the thread that started them is
 * gone (prctl PR_SET_PDEATHSIG, by setpriv(1)), so that not even SIGKILL leaves one, nor the
 * anonymous namespace that it holds. Called by ends.ts, paths.ts and
 * iperf3-run.ts.
 */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { CommandError } from '../cli/errors.js';

/** Debian's packages of what is started. */
const PACKAGES: Readonly<Record<string, string>> = {
  iperf3: 'iperf3', ip: 'iproute2', setpriv: 'util-linux', unshare: 'util-linux',
};
const READY_MS = 10_000;

/** @throws CommandError that names the first missing program */
export function requireTools(): void {
  for (const [program, packageName] of Object.entries(PACKAGES)) {
    const found = spawnSync(program, ['--version'], { stdio: 'ignore' });
    // `ip` has no --version and complains; it is there all the same.
    if (found.error !== undefined) {
      throw new CommandError(
        `${program} is missing and bench needs it: apt-get install ${packageName}`,
      );
    }
  }
}

/** Runs a program to its end. @throws CommandError with the first line of its complaint */
export function runTool(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return;
  const said = error?.message ?? stderr.trim().split('\n', 1)[0] ?? '';
  throw new CommandError(`${program} ${args.join(' ')}: ${said}`);
}

/** Starts a program that dies with this process. */
export function tethered(
  program: string, args: readonly string[], stdio: ('ignore' | 'inherit' | 'pipe' | 'ipc')[],
): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { stdio });
}

/** What an entry (far-end.ts, stack-end.ts, path-end.ts) tells by IPC. */
export type EndMessage = { ready: true } | { result: unknown } | { failed: string };

/** A helper of our own: an entry in this folder, told everything by its arguments. */
export class End {
  private constructor(readonly child: ChildProcess) {}

  /**
   * @param prefix what it is started by, such as unshare and its options
   * @param flags of Node
   */
  static start(
    entry: string, args: readonly string[], prefix: readonly string[] = [],
    flags: readonly string[] = [],
  ): End {
    const file = fileURLToPath(new URL(entry, import.meta.url));
    const words = [...prefix, process.execPath, ...process.execArgv, ...flags, file, ...args];
    const [program = '', ...rest] = words;
    return new End(tethered(program, rest, ['ignore', 'ignore', 'inherit', 'ipc']));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits until it is ready. @throws CommandError when it failed or says nothing */
  async ready(): Promise<void> {
    await this.#told(READY_MS);
  }

  /** Waits for its figures. @throws CommandError likewise */
  async result(timeoutMs: number): Promise<unknown> {
    const message = await this.#told(timeoutMs);
    return 'result' in message ? message.result : undefined;
  }

  async #told(timeoutMs: number): Promise<EndMessage> {
    const signal = AbortSignal.timeout(timeoutMs);
    const told = once(this.child, 'message', { signal }) as Promise<[EndMessage]>;
    const gone = once(this.child, 'exit', { signal }).then((): [EndMessage] => {
      return [{ failed: 'a helper of the bench ended before it was ready' }];
    });
    gone.catch(() => undefined); // told first, and then aborted by nobody
    const [message] = await Promise.race([told, gone]).catch((): [EndMessage] => {
      return [{ failed: `a helper of the bench said nothing for ${timeoutMs / 1000} s` }];
    });
    if ('failed' in message) throw new CommandError(message.failed);
    return message;
  }

  /** Lets it go on from its first message. */
  go(): void {
    this.child.send({ go: true });
  }
}
