/**
 * `ackorn start` as its users have it: as root, as a user who may open /dev/net/tun, as one who may
 * not; and how it ends: by each signal, in mid-transfer, leaving no process, hence no namespace and
 * device.
 */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { describe, test, type TestContext } from 'node:test';
import { at } from '../../tools/repository.js';
import { CLI, makePlace, needsRoot, needsTun, NOBODY, type Place } from './fixtures/cli.js';

const ONCE = { ACKORN_START_ONCE: '1' };
/** Flags of a packet's line, in the order in which both sides of a fetch send them. */
const HANDSHAKE = /Flags \[S\],[^]*Flags \[S\.\],[^]*Flags \[\.\],[^]*Flags \[P\.\],/;
const CLOSE = /Flags \[F?P?\.\],[^]*ESTABLISHED -> FIN-WAIT-1[^]*TIME-WAIT/;

function shown(output: string): void {
  assert.match(output, HANDSHAKE);
  assert.match(output, /SYN-RECEIVED -> ESTABLISHED/);
  assert.match(output, CLOSE);
  assert.match(output, /HTTP: GET \/abi\.md HTTP\/1\.1/);
  const { length } = readFileSync(at('docs', 'abi.md'));
  assert.match(output, new RegExp(`200, ${length} bytes in .*the same bytes as docs/abi\\.md`));
  // Times are relative to the first packet and never go back.
  const times = [...output.matchAll(/^ *(\d+\.\d{3}) ms {2}/gm)].map((match) => Number(match[1]));
  assert.equal(times[0], 0);
  assert.deepEqual(times, [...times].sort((a, b) => a - b));
}

async function startOnce(place: Place): Promise<string> {
  const beside = place.start([execPath, CLI, 'start'], ONCE);
  const { code, stdout, stderr } = await beside.ended;
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  shown(stdout);
  await place.nothingLeft();
  return stdout;
}

/** /dev/net/tun with mode 0666, in a mount namespace of the test's own. */
function asNobodyWithTun(folder: string): string[] {
  const script = 'mknod "$0/tun" c 10 200 && chmod 0666 "$0/tun" && '
    + 'mount --bind "$0/tun" /dev/net/tun && exec "$@"';
  return ['unshare', '--mount', 'sh', '-c', script, folder, ...NOBODY];
}

/** A place whose sockets nobody owns, and whose commands begin with a prefix. */
function asNobody(place: Place, prefix: readonly string[]): Place {
  const runtime = path.join(place.folder, 'run');
  mkdirSync(runtime);
  chownSync(runtime, 65_534, 65_534);
  const start: Place['start'] = (command, extra) => place.start([...prefix, ...command], extra);
  return { ...place, start };
}

describe('cli · start · shows handshake, data and close, and ends when told to', () => {
  test('on a TUN device', async (t) => {
    if (!needsTun(t)) return;
    const output = await startOnce(makePlace(t));
    assert.match(output, /the kernel's TCP fetches http:\/\/10\.99\.0\.2\/abi\.md/);
  });
  test('as nobody, who may not open /dev/net/tun: says so, and uses the wire', async (t) => {
    if (!needsRoot(t)) return;
    const place = makePlace(t);
    const output = await startOnce(asNobody(place, NOBODY));
    assert.match(output, /no TUN device here: .*this user may not open \/dev\/net\/tun/);
    assert.match(output, /the second stack fetches/);
  });
  test('as nobody, with /dev/net/tun open to all: in a user namespace', async (t) => {
    if (!needsRoot(t)) return;
    const place = makePlace(t);
    const prefix = asNobodyWithTun(place.folder);
    const output = await startOnce(asNobody(place, prefix));
    assert.match(output, /the kernel's TCP fetches/);
  });
});

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const;

/** Ids of the processes that run the command line, the outermost first. */
function stackProcesses(place: Place): number[] {
  return place.processes().filter((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    return words.includes(CLI) && (words.includes('up') || words.includes('start'));
  }).sort((a, b) => a - b);
}

/** A stack that sends without end to a reader in its namespace. */
async function midTransfer(place: Place): Promise<number[]> {
  await place.up(['--chargen', '19', '--name', 'mid']);
  const reader = place.start([execPath, CLI, 'exec', '--name', 'mid', '--', execPath, '-e',
    'let n = 0; require("node:net").connect(19, "10.99.0.2").on("data", (chunk) => {'
    + ' if (n < 2e6 && (n += chunk.length) >= 2e6) console.log("flowing"); })'
    + '.on("error", () => process.exit(1)); setTimeout(() => process.exit(1), 3000);']);
  await reader.until(/flowing/);
  return stackProcesses(place);
}

async function killed(t: TestContext, signal: NodeJS.Signals, whom: 'outer' | 'inner') {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const pids = await midTransfer(place);
  assert.equal(pids.length, 2, 'one process outside the namespace and one inside');
  process.kill(pids.at(whom === 'outer' ? 0 : -1) as number, signal);
  await place.nothingLeft();
  // Nor a socket that is in the way.
  const again = await place.up(['--chargen', '19', '--name', 'mid']);
  again.child.kill('SIGTERM');
  assert.equal((await again.ended).code, 0);
  await place.nothingLeft();
}

describe('cli · up · a signal in mid-transfer · nothing is left, and it starts again', () => {
  for (const signal of SIGNALS) {
    test(`${signal} to the command`, (t) => killed(t, signal, 'outer'));
    test(`${signal} to the process in the namespace`, (t) => killed(t, signal, 'inner'));
  }
});

/**
 * A checkout whose compiler and build do nothing, with the real tools/setup.mjs: tests that run
 * beside this one must not see their files compiled again.
 */
function emptyCheckout(folder: string): string {
  const files: readonly [name: string, text: string][] = [
    ['package.json', '{"type":"module"}'],
    ['tools/setup.mjs', readFileSync(at('tools', 'setup.mjs'), 'utf8')],
    ['node_modules/typescript/bin/tsc', ''],
    ['build/js/tools/build.js', ''],
    ['build/js/host/node/cli/main.js', `import ${JSON.stringify(CLI)};`],
  ];
  for (const [name, text] of files) {
    mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return path.join(folder, 'tools', 'setup.mjs');
}

describe('npm start · ends with what started it', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    for (const whom of ['tools/setup.mjs', 'npm'] as const) {
      // npm passes the others on itself, or the terminal tells all.
      if (whom === 'npm' && signal !== 'SIGKILL') continue;
      test(`${signal} to ${whom}`, async (t) => {
        if (!needsTun(t)) return;
        const place = makePlace(t);
        const setup = emptyCheckout(place.folder);
        const script = '"$@" & echo "setup $!"; wait';
        const npm = place.start(['sh', '-c', script, 'sh', execPath, setup, 'start']);
        await npm.until(/Ctrl-C ends it and leaves nothing behind/);
        const pid = Number(/setup (\d+)/.exec(npm.output())?.[1]);
        process.kill(whom === 'npm' ? npm.child.pid as number : pid, signal);
        await place.nothingLeft();
      });
    }
  }
});
