/**
 * The one door: installs packages when they are missing or do not fit the lock, compiles the
 * TypeScript, then runs the compiled tools. Plain JavaScript because nothing is compiled yet when
 * it starts. Called by every npm script: node tools/setup.mjs build|start|test|… [ARG…].
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const CLI = 'build/js/host/node/cli/main.js';

/** What each command runs after the compiler; the arguments of the command go to the last. */
const COMMANDS = {
  build: [['build/js/tools/build.js']],
  spec: [['build/js/tools/spec.js']],
  audit: [['build/js/tools/build.js'], ['build/js/tools/audit.js']],
  soak: [['build/js/tools/build.js'], ['build/js/tools/soak.js']],
  gallery: [['build/js/tools/build.js'], ['build/js/tools/gallery.js']],
  test: [['build/js/tools/build.js'], ['build/js/tools/run-tests.js']],
  start: [['build/js/tools/build.js'], [CLI, 'start']],
};

function fail(message) {
  console.error(`ackorn: ${message}`);
  process.exit(1);
}

function run(command, args) {
  // Windows starts npm through a .cmd file, which needs a shell.
  const shell = process.platform === 'win32' && command === 'npm';
  const options = { cwd: root, stdio: 'inherit', shell };
  const { status, signal, error } = spawnSync(command, args, options);
  if (error) fail(`cannot start ${command}: ${error.message}`);
  if (signal) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

/**
 * The last step may serve until it is told to end. It runs beside us, so that our signals reach it
 * and it ends when whoever started us (npm) is gone without a word.
 */
function runLast(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
  child.once('error', (error) => fail(`cannot start ${command}: ${error.message}`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill(signal));
  }
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid !== parent) child.kill('SIGTERM');
  }, 300);
  child.once('exit', (status, signal) => {
    clearInterval(watch);
    process.exitCode = status ?? 1;
    if (signal === null) return;
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function packagesOf(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

/** The first package of the lock that is not installed as the lock has it, or undefined. */
function unmetPackage() {
  const installed = packagesOf(`${root}/node_modules/.package-lock.json`);
  const wanted = packagesOf(`${root}/package-lock.json`);
  // Optional packages are for other systems, or the machine refused them.
  const unmet = ([path, entry]) => path !== '' && !entry.optional &&
    installed[path]?.version !== entry.version;
  return Object.entries(wanted).find(unmet)?.[0];
}

function install() {
  const unmet = unmetPackage();
  if (unmet === undefined) return;
  const modules = `${root}/node_modules`;
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    console.error(`ackorn: node_modules is a link and ${unmet} there is not as in the lock`);
    return; // whoever owns the folder behind the link installs into it
  }
  const args = ['ci', '--ignore-scripts'];
  const npm = process.env['npm_execpath'];
  if (npm?.endsWith('npm-cli.js')) run(process.execPath, [npm, ...args]);
  else run('npm', args);
}

const [name = 'build', ...args] = process.argv.slice(2);
const steps = COMMANDS[name];
if (steps === undefined) {
  fail(`unknown command ${name}: ${Object.keys(COMMANDS).join(', ')} are the commands`);
}
if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(`Node 20 or newer is needed; this is ${process.version}`);
}
install();
run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.']);
steps.forEach((step, index) => {
  const last = index === steps.length - 1;
  if (!existsSync(`${root}/${step[0]}`)) fail(`${step[0]} is not in this checkout`);
  if (last) runLast(process.execPath, [...step, ...args]);
  else run(process.execPath, step);
});
