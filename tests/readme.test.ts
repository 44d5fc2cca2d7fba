/**
 * Runs what the README says: both programs, and every command. `npm` itself is not run here, since
 * it compiles while other tests load what is compiled: its scripts are checked, and .ci/run calls
 * them. The package's commands are run by tests/interop/pack.test.ts.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { after, before, describe, test } from 'node:test';
import { at, root } from '../tools/repository.js';
import { namespaceKind, plainEnvironment, runInNamespaces } from './host/fixtures/namespace.js';
import { block, blocks, blocksOf, commandsOf } from './support/readme.js';

const COMMAND_MS = 60_000;
const LAUNCHER = 'host/node/cli/ackorn.mjs';

/** A folder where `ackorn` is installed, as far as a program can tell. */
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ackorn-readme-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules', 'ackorn'), 'dir');
});
after(() => rmSync(folder, { recursive: true }));

function environment(): NodeJS.ProcessEnv {
  // A folder of its own for the control socket: other tests run stacks too.
  return plainEnvironment({ ACKORN_RUNTIME_DIR: folder, npm_config_cache: join(folder, 'npm') });
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(words: readonly string[], cwd = root): Outcome {
  const [command = '', ...args] = words;
  return spawnSync(command, args, {
    cwd, env: environment(), encoding: 'utf8', timeout: COMMAND_MS,
  });
}

/** Runs a program of the README; gives what it printed. */
function program(name: string): string {
  writeFileSync(join(folder, name), block(name).text);
  const { status, stdout, stderr } = run([execPath, name], folder);
  assert.equal(status, 0, stderr);
  return stdout;
}

/** What the commands that need no running stack must print. */
const ALONE: Readonly<Record<string, RegExp>> = {
  'node build/js/tools/records.js --costs': /connection, fresh \(Tcb\) \| 152 /,
  'node build/js/bench/sim.js': /^wire +\d+\.\d\d M segments\/s/,
  'npx ackorn sim --list': /^slow-start +\S/m,
  'npx ackorn sim nagle': /^as expected: /m,
  'npx ackorn sim slow-start --cc bbr': /^as expected: roundTripsToFill/m,
};
/** npm's scripts: what must stand in package.json. */
const SCRIPTS: Readonly<Record<string, string>> = {
  'npm start': 'start', 'npm test': 'test', 'npm run audit': 'audit',
};
/** What the commands beside a running stack must print. */
const RUNNING: Readonly<Record<string, RegExp>> = {
  'npx ackorn exec -- curl http://10.99.0.2/': /abi\.md/,
  'npx ackorn ss -tl': /^LISTEN .*:80 /m,
  'npx ackorn nstat': /^TcpPassiveOpens +[1-9]/m,
  'npx ackorn ping -c 2 10.99.0.1': /2 packets transmitted, 2 received, 0% packet loss/,
};

/** Resolves with what was printed as soon as `pattern` is in it. */
async function until(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    if (pattern.test(text)) return text;
  }
  throw new Error(`ended without ${pattern}:\n${text}`);
}

/** A command as words; npx would ask a registry where `ackorn` is not installed. */
function wordsOf(command: string): string[] {
  const [first, ...rest] = command.split(' ');
  return first === 'npx' ? [execPath, LAUNCHER, ...rest.slice(1)] : [execPath, ...rest];
}

function commandTests(): void {
  test('every command is known to this test, every block has a use', () => {
    const known = [...Object.keys(ALONE), ...Object.keys(SCRIPTS), ...Object.keys(RUNNING)];
    const shell = blocks.filter(({ language, name }) => language === 'sh' && name !== 'addon');
    assert.deepEqual(shell.flatMap(commandsOf).sort(), known.sort());
    const others = blocks.filter(({ language }) => language !== 'sh').map(({ name }) => name);
    assert.deepEqual(others, ['first.mjs', 'tun.mjs']);
  });
  for (const [command, script] of Object.entries(SCRIPTS)) {
    test(command, () => {
      const { scripts } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
      assert.equal(scripts[script], `node tools/setup.mjs ${script}`);
      assert.ok(readFileSync(at('.ci/run'), 'utf8').includes(command), 'not run by .ci/run');
    });
  }
  for (const [command, pattern] of Object.entries(ALONE)) {
    test(command, () => {
      const { status, stdout, stderr } = run(wordsOf(command));
      assert.equal(status, 0, stderr);
      assert.match(stdout, pattern);
    });
  }
  test('paths that the README links to exist', () => {
    const text = readFileSync(at('README.md'), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) => path);
    assert.ok(links.length > 3);
    assert.deepEqual(links.filter((path) => !existsSync(at(path))), []);
  });
}

function runningTests(): void {
  let child: ChildProcess;
  let said = '';
  before(async () => {
    child = spawn(execPath, [LAUNCHER, 'start'], {
      cwd: root, env: environment(), stdio: ['ignore', 'pipe', 'inherit'],
    });
    said = await until(child, /Ctrl-C ends it/);
  });
  after(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    await ended;
  });
  test('npm start · the page comes as it is', () => assert.match(said, /the same bytes as docs/));
  for (const [command, pattern] of Object.entries(RUNNING)) {
    test(command, (context) => {
      const words = command.split(' ');
      if (words.includes('curl') && run(['curl', '--version']).status !== 0) {
        context.skip('there is no curl');
        return;
      }
      const { status, stdout, stderr } = run(words);
      if (words.includes('exec') && said.includes('no TUN device here')) {
        assert.notEqual(status, 0, 'exec needs a namespace');
        return;
      }
      assert.equal(status, 0, stderr);
      assert.match(stdout, pattern);
    });
  }
}

if (namespaceKind === undefined) {
  runInNamespaces(import.meta.url);
  describe('readme · blocks', () => test('language, name and text are taken apart', () => {
    assert.deepEqual(blocksOf('a\n```sh x\nb\nc\n```\n```js\nd\n```\n'), [
      { language: 'sh', name: 'x', text: 'b\nc\n' }, { language: 'js', name: '', text: 'd\n' },
    ]);
  }));
  describe('readme · commands', commandTests);
  describe('readme · beside npm start', runningTests);
  test('readme · first.mjs', () => {
    assert.match(program('first.mjs'), /^140000 bytes came back, \d+ segments sent again\n$/);
  });
} else {
  test('readme · tun.mjs', () => assert.equal(program('tun.mjs'), 'hello through TUN\n'));
}
