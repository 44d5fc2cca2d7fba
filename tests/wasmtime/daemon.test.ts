/**
 * ackornd on a TUN device, the kernel on the other side: services, the control socket with the
 * commands of the Node host, boards that are refused, the end by a signal. Builds the daemon with
 * cargo and runs itself again in a network namespace of its own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLI, makePlace, type Beside, type Place } from '../host/fixtures/cli.js';
import { namespaceKind, runInNamespaces } from '../host/fixtures/namespace.js';
import { cargo, compileEngine, hasCargo, program } from './fixtures/cargo.js';

const DAEMON = program('ackornd');
/** Where the outer run leaves the compiled engine for the inner one. */
const FOLDER = 'ACKORN_TEST_ENGINE';
const BOARD = `name = "one"
link = "tun:ackd0"
addr = ["10.99.0.2/24", "fd99::2/64"]
echo = 7
discard = 9
chargen = 19
daytime = 13
http = "80=site"

[sysctl]
tcp_fin_timeout = 30
`;

/** No two of its lines are alike. */
const PAGE = Buffer.from(Array.from({ length: 200_000 }, (_, at) => `<p>line ${at}\n`).join(''));

/** What a service sends until its end, ours being at the end of `text`. */
function talk(host: string, port: number, text: Buffer | string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = net.connect({ host, port, allowHalfOpen: true });
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.end(text);
  });
}

/** The first bytes of a service that sends without end. */
function firstBytes(host: string, port: number, wanted: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const socket = net.connect({ host, port });
    socket.on('error', reject).on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length < wanted) return;
      socket.destroy();
      resolve(Buffer.concat(chunks).subarray(0, wanted));
    });
  });
}

/** What runs inside of the namespace. */
interface Running {
  readonly engine: string;
  readonly place: Place;
  readonly daemon: Beside;
  readonly board: string;
}

function services(): void {
  test('echo · 1 MiB comes back, over both families', async () => {
    const text = Buffer.from(Array.from({ length: 1 << 20 }, (_, at) => (at * 7 + (at >> 8))));
    for (const host of ['10.99.0.2', 'fd99::2']) {
      assert.ok((await talk(host, 7, text)).equals(text), host);
    }
  });

  test('discard, daytime, chargen', async () => {
    assert.equal((await talk('10.99.0.2', 9, Buffer.alloc(200_000))).length, 0);
    const line = (await talk('10.99.0.2', 13, '')).toString();
    assert.match(line, /^[A-Z][a-z]+day, [A-Z][a-z]+ \d{1,2}, \d{4} \d\d:\d\d:\d\d-UTC\r\n$/);
    const lines = (await firstBytes('10.99.0.2', 19, 74 * 95 * 3)).toString().split('\r\n');
    assert.equal(lines[0]?.length, 72);
    assert.equal(lines[1]?.[0], '!');
    assert.equal(lines[95], lines[0]);
  });

  test('http · a file of 3 MB, HEAD, what is not there', async () => {
    const got = await fetch('http://10.99.0.2/');
    assert.equal(got.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.ok(Buffer.from(await got.arrayBuffer()).equals(PAGE));
    const head = await fetch('http://[fd99::2]/index.html', { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(PAGE.length));
    assert.equal((await fetch('http://10.99.0.2/none')).status, 404);
    assert.equal((await fetch('http://10.99.0.2/', { method: 'PUT' })).status, 405);
  });

  test('nobody listens · refused', async () => {
    await assert.rejects(talk('10.99.0.2', 8, ''), { code: 'ECONNREFUSED' });
  });
}

/** The commands of the Node host, on the daemon's socket. */
function control(running: () => Running): void {
  test('ackorn ss and nstat work on it', async () => {
    const { place } = running();
    const ss = await place.ackorn(['ss', '-tln', '--name', 'one']);
    assert.equal(ss.code, 0, ss.stderr);
    for (const port of [7, 9, 13, 19]) assert.match(ss.stdout, new RegExp(`LISTEN.*:${port}\\b`));
    const nstat = await place.ackorn(['nstat', '-az', '--name', 'one', '--json']);
    assert.equal(nstat.code, 0, nstat.stderr);
    assert.match(nstat.stdout, /TcpPassiveOpens/);
  });

  test('ackorn nc and trace work on it', async () => {
    const { place } = running();
    const trace = place.start([execPath, CLI, 'trace', '--name', 'one']);
    await sleep(1000);
    const peer = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (chunk) => socket.write(chunk)).on('end', () => socket.end());
    }).listen(4000, '10.99.0.1');
    const nc = await place.ackorn(['nc', '--name', 'one', '10.99.0.1', '4000'], {
      input: 'there and back',
    });
    peer.close();
    assert.equal(nc.stdout, 'there and back', nc.stderr);
    await trace.until(/4000/);
    trace.child.kill('SIGTERM');
    await trace.ended;
  });

  test('the control socket is its owner\'s alone', () => {
    const { place } = running();
    const socket = join(place.folder, 'run', 'one.sock');
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    assert.equal(statSync(join(place.folder, 'run')).mode & 0o777, 0o700);
  });
}

function endings(running: () => Running): void {
  test('a second one of the name · exit code 1 and one line', async () => {
    const { engine, place } = running();
    const other = join(place.folder, 'other.toml');
    writeFileSync(other, 'name = "one"\nlink = "tun:ackd1"\naddr = "10.98.0.2/24"\n');
    const ran = await place.start([DAEMON, 'run', '--engine', engine, other]).ended;
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /^ackornd: control: .*one\.sock: a stack listens there\n$/);
  });

  test('no engine, or a wrong one · exit code 1 and one line', async () => {
    const { board, place } = running();
    const wrong = [['/none', /No such file/], [board, /no compiled engine/]] as const;
    for (const [file, why] of wrong) {
      const ran = await place.start([DAEMON, 'run', '--engine', file, board]).ended;
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, why);
      assert.match(ran.stderr, /^ackornd: [^\n]*\n$/);
    }
  });

  test('SIGTERM · exit code 0, neither socket nor device is left', async () => {
    const { daemon, place } = running();
    daemon.child.kill('SIGTERM');
    assert.equal((await daemon.ended).code, 0);
    assert.ok(!existsSync(join(place.folder, 'run', 'one.sock')));
    assert.ok(!existsSync('/sys/class/net/ackd0'));
    await place.nothingLeft();
  });
}

function inside(engine: string): void {
  describe('ackornd', () => {
    const steps: (() => void)[] = [];
    let started: Running | undefined;
    before(async () => {
      const place = makePlace({ after: (step: () => void) => void steps.push(step) } as never);
      const board = join(place.folder, 'board.toml');
      writeFileSync(board, BOARD);
      mkdirSync(join(place.folder, 'site'));
      writeFileSync(join(place.folder, 'site', 'index.html'), PAGE);
      spawnSync('ip', ['link', 'set', 'lo', 'up']);
      const daemon = place.start([DAEMON, 'run', '--engine', engine, board]);
      started = { engine, place, daemon, board };
      await daemon.until(/ackorn: ready\n/);
    });
    after(() => { for (const step of steps) step(); });
    const running = (): Running => started as Running;
    services();
    control(running);
    endings(running);
  });
}

function outside(): void {
  const folder = mkdtempSync(join(tmpdir(), 'ackorn-daemon-'));
  after(() => rmSync(folder, { recursive: true }));
  before(async () => {
    await cargo('build', '--locked', '-p', 'ackorn-compile');
    await cargo('build', '--locked', '-p', 'ackornd');
    const engine = join(folder, 'engine.cwasm');
    compileEngine(engine);
    env[FOLDER] = engine;
  });

  test('the daemon\'s own tests pass', async () => {
    const output = await cargo('test', '--locked', '-p', 'ackornd');
    assert.match(output, /test result: ok\. [1-9]\d* passed; 0 failed; 0 ignored/);
  });

  test('check · a good board, and a bad one with file, line and reason', () => {
    const file = join(folder, 'board.toml');
    const check = (text: string): { status: number | null; said: string } => {
      writeFileSync(file, text);
      const { status, stdout, stderr } = spawnSync(DAEMON, ['check', file], { encoding: 'utf8' });
      return { status, said: `${stdout}${stderr}` };
    };
    assert.deepEqual(check(BOARD), { status: 0, said: `${file}: good\n` });
    const { status, said } = check('echo = 7\n\n[limit]\nconectionsMax = 1\n');
    assert.equal(status, 2);
    assert.ok(said.startsWith(`ackornd: ${file}:4: unknown limit: conectionsMax (known: `), said);
  });

  runInNamespaces(import.meta.url);
}

if (namespaceKind !== undefined) inside(env[FOLDER] ?? '');
else if (hasCargo()) outside();
else {
  const reason = 'cargo is not installed: nothing on wasmtime can be tested';
  const skip = env['CI'] === 'true' ? false : reason;
  test('ackornd', { skip }, () => assert.fail(reason));
}
