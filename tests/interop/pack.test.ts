/**
 * The packed package in an empty folder, installed and used by a plain user: the README's programs
 * with the addon, with koffi, and with neither; the command; the addon compiled by the README's own
 * words. As root the user is nobody (65534), who gets a TUN node of mode 0666 in a mount namespace.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from
  'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath, getuid } from 'node:process';
import { after, before, describe, test } from 'node:test';
import { at, root } from '../../tools/repository.js';
import { plainEnvironment } from '../host/fixtures/namespace.js';
import { block, commandsOf } from '../support/readme.js';

const NOBODY = 65534;
const INSTALL_MS = 180_000;
const isRoot = getuid?.() === 0;
const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
const asUser = isRoot ? asNobody : [];
const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { version: string };

let folder = '';
let app = '';
let environment: NodeJS.ProcessEnv = {};

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(words: readonly string[], cwd: string): Outcome {
  const [command = '', ...args] = words;
  const options = { cwd, env: environment, encoding: 'utf8', timeout: INSTALL_MS } as const;
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

/** What the user's command printed; it must succeed. */
function user(words: readonly string[], cwd = app): string {
  const { status, stdout, stderr } = run([...asUser, ...words], cwd);
  assert.equal(status, 0, `${words.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/** Runs a program as the user in a user and network namespace of its own. */
function inNamespace(words: readonly string[]): Outcome {
  const plain = [...asUser, 'unshare', '--user', '--map-root-user', '--net', ...words];
  if (!isRoot) return run(plain, app);
  // A tmpfs for the node: /tmp may forbid devices. The mounts end with their namespace.
  const script = 'mount -t tmpfs -o mode=755 none "$0" && mknod -m 666 "$0/tun" c 10 200 && '
    + 'mount --bind "$0/tun" /dev/net/tun && exec "$@"';
  return run(['unshare', '--mount', 'sh', '-c', script, join(folder, 'dev'), ...plain], app);
}

const installed = (...path: string[]): string => join(app, 'node_modules', ...path);
const npmConfig = (key: string): string =>
  spawnSync('npm', ['config', 'get', key], { cwd: root, encoding: 'utf8' }).stdout.trim();

/** A folder that belongs to the user. */
function makeFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  if (isRoot) chownSync(path, NOBODY, NOBODY);
  return path;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ackorn-pack-'));
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  app = makeFolder('app');
  makeFolder('dev');
  environment = plainEnvironment(); // npm pack is ours: it must not leave files in the user's cache
  const pack = run(['npm', 'pack', '--pack-destination', folder], root);
  assert.equal(pack.status, 0, pack.stderr);
  environment = plainEnvironment({
    HOME: makeFolder('home'),
    ACKORN_RUNTIME_DIR: join(folder, 'home'),
    npm_config_cache: join(folder, 'home', 'npm'),
    npm_config_registry: npmConfig('registry'),
    npm_config_update_notifier: 'false',
  });
  user(['npm', 'init', '-y']);
  const tarball = join('..', `ackorn-${version}.tgz`);
  user(['npm', 'install', '--no-audit', '--no-fund', tarball]);
  for (const name of ['first.mjs', 'tun.mjs']) writeFileSync(join(app, name), block(name).text);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Which way to the operating system the installed package takes. */
function way(): string {
  const index = './node_modules/ackorn/build/js/host/node/addon/index.js';
  const script = `import('${index}').then((m) => console.log(m.loadNative()?.kind ?? 'none'))`;
  return user([execPath, '-e', script]).trim();
}

function firstProgram(): void {
  test('first.mjs', () => assert.match(user([execPath, 'first.mjs']), /^140000 bytes came back/));
}

function tunProgram(): void {
  test('tun.mjs', () => {
    const { status, stdout, stderr } = inNamespace([execPath, 'tun.mjs']);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'hello through TUN\n');
  });
}

describe('pack · what is installed', () => {
  test('the engine and the README, no source map, no test', () => {
    assert.ok(existsSync(installed('ackorn', 'README.md')));
    assert.ok(existsSync(installed('ackorn', 'build', 'engine.wasm')));
    assert.ok(!existsSync(installed('ackorn', 'build', 'js', 'tests')));
    assert.ok(!existsSync(installed('ackorn', 'build', 'js', 'host', 'node', 'index.js.map')));
  });
  test('npx ackorn --version', () => {
    assert.equal(user(['npx', 'ackorn', '--version']), `${version}\n`);
  });
  test('no install script', () => {
    const { packages } = JSON.parse(readFileSync(join(app, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    assert.equal(packages['node_modules/ackorn']?.hasInstallScript, undefined);
  });
});

describe('pack · with the addon', () => {
  test('it is what is used', () => assert.equal(way(), 'addon'));
  firstProgram();
  tunProgram();
});

describe('pack · without the addon, with koffi', () => {
  before(() => rmSync(installed('ackorn', 'build', 'ackorn.node')));
  test('it is what is used', () => assert.equal(way(), 'koffi'));
  firstProgram();
  tunProgram();
});

describe('pack · with neither', () => {
  before(() => rmSync(installed('koffi'), { recursive: true }));
  test('nothing is used', () => assert.equal(way(), 'none'));
  firstProgram();
  test('tun.mjs says what is missing', () => {
    const { status, stderr } = inNamespace([execPath, 'tun.mjs']);
    assert.equal(status, 1);
    assert.match(stderr, /NativeError: a TUN device needs the addon or koffi: addon: /);
  });
});

describe('pack · the addon compiled by hand', () => {
  test('as the README says', () => {
    for (const command of commandsOf(block('addon'))) {
      user(['sh', '-c', command], installed('ackorn'));
    }
    assert.equal(way(), 'addon');
  });
  tunProgram();
});
