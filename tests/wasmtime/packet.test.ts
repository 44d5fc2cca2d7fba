/**
 * ackornd on Ethernet: on a card (one end of a veth pair in a network namespace of its own, the
 * kernel of another namespace at the other end) and on a TAP device. Everything happens in
 * namespaces that go with their processes. Builds the daemon with cargo.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { after, before, test, type TestContext } from 'node:test';
import { makePlace, type Beside, type Place } from '../host/fixtures/cli.js';
import { namespaceKind, runInNamespaces } from '../host/fixtures/namespace.js';
import { needs } from '../interop/tools.js';
import { cargo, compileEngine, hasCargo, program } from './fixtures/cargo.js';

const DAEMON = program('ackornd');
/** Where the outer run leaves the compiled engine for the inner one. */
const FOLDER = 'ACKORN_TEST_ENGINE';
const MAC = '02:00:00:00:00:0a';
const SERVICES = 'echo = 7\ndiscard = 9\nchargen = 19\n';
/** Addresses are used at once. */
const AT_ONCE = '\n[sysctl]\narp_probes = 0\ndad_transmits = 0\n';
const ADDRESSES = 'addr = ["10.99.0.2/24", "fd99::2/64"]\n';
/** Bytes of a frame of the card's MTU. */
const FRAME_MAX = 1514;
/** No two stretches of it are alike. */
const TEXT = Buffer.from(Array.from({ length: 2 << 20 }, (_, at) => at * 7 + (at >> 8)));

interface Family { host: string }
const FAMILIES: readonly Family[] = [{ host: '10.99.0.2' }, { host: 'fd99::2' }];

function run(...command: string[]): string {
  const [name = '', ...rest] = command;
  const { status, stdout, stderr } = spawnSync(name, rest, { encoding: 'utf8' });
  assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
  return stdout;
}

/** What a service sends until its end, ours being at the end of `text`. */
function talk(host: string, port: number, text: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = net.connect({ host, port, allowHalfOpen: true });
    socket.setTimeout(20_000, () => socket.destroy(new Error(`${host}: silent for 20 s`)));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.end(text);
  });
}

async function echoes(): Promise<void> {
  for (const { host } of FAMILIES) assert.ok((await talk(host, 7, TEXT)).equals(TEXT), host);
}

/** Frames and bytes that arrived at a device of this namespace. */
function arrived(device: string): { frames: number; bytes: number } {
  const line = readFileSync('/proc/self/net/dev', 'utf8').split('\n')
    .find((text) => text.trim().startsWith(`${device}:`)) ?? '';
  const [bytes = 0, frames = 0] = line.slice(line.indexOf(':') + 1).trim().split(/\s+/).map(Number);
  return { frames, bytes };
}

/** A word of /proc/PID/net/snmp: of the kernel in that process's namespace. */
function kernelSaid(pid: number, group: string, word: string): number {
  const lines = readFileSync(`/proc/${pid}/net/snmp`, 'utf8').split('\n');
  const [names = [], values = []] = lines.filter((line) => line.startsWith(`${group}:`))
    .map((line) => line.split(' '));
  const at = names.indexOf(word);
  assert.ok(at > 0, `${group} ${word}`);
  return Number(values[at]);
}

interface LinkDocument {
  name: string; mac: string | null; vlan: number; up: boolean; dhcp: string;
  addresses: { address: string; state: string; origin: string }[];
  routes: { to: string; gateway: string | null }[];
  neighbors: { address: string; mac: string | null; state: string }[];
}

function links(place: Place, name: string): Promise<LinkDocument[]> {
  const socketPath = join(place.folder, 'run', `${name}.sock`);
  return new Promise((resolve, reject) => {
    http.get({ socketPath, path: '/v1/links' }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => { text += String(chunk); });
      answer.on('end', () => resolve((JSON.parse(text) as { links: LinkDocument[] }).links));
    }).on('error', reject);
  });
}

interface Card { place: Place; daemon: Beside; pid: number }

/** A test's folder; the processes of the test end before. */
function placeOf(t: TestContext): Place {
  return makePlace(t);
}

/** ackornd of a board in a namespace of its own, which the veth's end card0 is given to. */
async function onCard(t: TestContext, board: string, place = placeOf(t)): Promise<Card> {
  const file = join(place.folder, 'card.toml');
  writeFileSync(file, `name = "card"\nlink = "packet:card0"\n${board}`);
  const wait = 'echo waiting; until ip link show card0 >/dev/null 2>&1; do sleep 0.02; done';
  const script = `${wait}; exec "$0" run --engine "$1" "$2"`;
  const engine = env[FOLDER] ?? '';
  const daemon = place.start(['unshare', '--net', 'sh', '-c', script, DAEMON, engine, file]);
  await daemon.until(/waiting/);
  const pid = daemon.child.pid as number;
  run('ip', 'link', 'add', 'near0', 'type', 'veth', 'peer', 'name', 'card0');
  t.after(() => spawnSync('ip', ['link', 'del', 'near0']));
  run('ip', 'address', 'add', '10.99.0.1/24', 'dev', 'near0');
  run('ip', 'address', 'add', 'fd99::1/64', 'dev', 'near0', 'nodad');
  run('ip', 'link', 'set', 'near0', 'up');
  run('ip', 'link', 'set', 'card0', 'netns', String(pid));
  return { place, daemon, pid };
}

async function stop({ daemon, place }: { daemon: Beside; place: Place }): Promise<void> {
  daemon.child.kill('SIGTERM');
  assert.equal((await daemon.ended).code, 0, daemon.output());
  await place.nothingLeft();
}

/** Both directions alone, so that the frames of one are those of its data. */
async function bulk(): Promise<{ received: number }> {
  assert.equal((await talk('10.99.0.2', 9, TEXT)).length, 0);
  const start = arrived('near0');
  await echoes();
  const end = arrived('near0');
  return { received: (end.bytes - start.bytes) / (end.frames - start.frames) };
}

function kernelSilent(pid: number): void {
  const words = [
    ['Tcp', 'OutSegs'], ['Tcp', 'OutRsts'], ['Icmp', 'OutMsgs'], ['Ip', 'OutRequests'],
  ];
  for (const [group = '', word = ''] of words) {
    assert.equal(kernelSaid(pid, group, word), 0, `${group} ${word}`);
  }
}

/** How many want the card to take frames of all MACs. */
function promiscuity(pid: number): number {
  const shown = run('nsenter', '-t', String(pid), '-n', 'ip', '-d', '-o', 'link', 'show', 'card0');
  return Number(/ promiscuity (\d+) /.exec(shown)?.[1]);
}

async function ownMac(t: TestContext): Promise<void> {
  const card = await onCard(t, `mac = "${MAC}"\ngateway = "10.99.0.1"\n${ADDRESSES}${SERVICES}`
    + AT_ONCE);
  await card.daemon.until(/ackorn: ready\n/);
  const { received } = await bulk();
  assert.ok(received > FRAME_MAX, `the stack sent frames of ${received} B: no super-segments`);
  assert.match(run('ip', 'neigh', 'show', '10.99.0.2'), new RegExp(`lladdr ${MAC}`));
  const [link] = await links(card.place, 'card');
  assert.deepEqual([link?.name, link?.mac, link?.vlan, link?.up], ['card0', MAC, 0, true]);
  assert.ok(link?.addresses.some(({ address, state }) => {
    return address === '10.99.0.2' && state === 'Preferred';
  }));
  assert.ok(link?.routes.some(({ to, gateway }) => to === '0.0.0.0/0' && gateway === '10.99.0.1'));
  assert.equal(promiscuity(card.pid), 1);
  const near = run('ip', '-o', 'link', 'show', 'near0');
  const kernel = link?.neighbors.find(({ address }) => address === '10.99.0.1');
  assert.ok(kernel?.mac && near.includes(kernel.mac), JSON.stringify(link?.neighbors));
  kernelSilent(card.pid);
  await stop(card);
}

async function cardsMac(t: TestContext): Promise<void> {
  const board = `mac = "card"\noffload = false\n${ADDRESSES}${SERVICES}${AT_ONCE}`;
  const card = await onCard(t, board);
  await card.daemon.until(/ackorn: ready\n/);
  const { received } = await bulk();
  assert.ok(received <= FRAME_MAX, `frames of ${received} B without offload`);
  assert.equal(promiscuity(card.pid), 0);
  const peer = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  peer.listen(4000, '10.99.0.1');
  t.after(() => peer.close());
  const nc = await card.place.ackorn(['nc', '--name', 'card', '10.99.0.1', '4000'], {
    input: 'there and back',
  });
  assert.equal(nc.stdout, 'there and back', nc.stderr);
  kernelSilent(card.pid);
  await stop(card);
}

async function downAndGone(t: TestContext): Promise<void> {
  const { daemon, pid } = await onCard(t, `${ADDRESSES}${SERVICES}${AT_ONCE}`);
  await daemon.until(/ackorn: ready\n/);
  assert.equal((await talk('10.99.0.2', 9, Buffer.alloc(1000))).length, 0);
  for (const state of ['down', 'up']) {
    run('nsenter', '-t', String(pid), '-n', 'ip', 'link', 'set', 'card0', state);
  }
  await echoes();
  run('ip', 'link', 'del', 'near0');
  const ran = await daemon.ended;
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /^ackornd: link card0: .*$/m);
}

async function taken(t: TestContext): Promise<void> {
  const { daemon } = await onCard(t, 'addr = "10.99.0.1/24"\n');
  const ran = await daemon.ended;
  assert.equal(ran.code, 1);
  assert.equal(ran.stderr, 'ackornd: card0: another host has 10.99.0.1\n');
}

/** Two stacks, for this kernel may have no VLAN device. Tags go in frames and come beside them. */
async function tagged(t: TestContext): Promise<void> {
  const place = placeOf(t);
  const card = await onCard(t, `vlan = 7\n${ADDRESSES}${SERVICES}${AT_ONCE}`, place);
  const file = join(place.folder, 'near.toml');
  const text = 'name = "near"\nlink = "packet:near0"\nvlan = 7\naddr = "10.99.0.3/24"\n';
  writeFileSync(file, `${text}${AT_ONCE}`);
  const near = place.start([DAEMON, 'run', '--engine', env[FOLDER] ?? '', file]);
  await Promise.all([card.daemon.until(/ackorn: ready\n/), near.until(/ackorn: ready\n/)]);
  const input = TEXT.subarray(0, 300_000).map((byte) => 32 + (byte % 90));
  const nc = await place.ackorn(['nc', '--name', 'near', '10.99.0.2', '7'], {
    input: Buffer.from(input), timeoutMs: 20_000,
  });
  assert.ok(nc.stdout === Buffer.from(input).toString(), nc.stderr);
  // The kernel sends no tags: the stack is not there for it.
  const socket = net.connect({ host: '10.99.0.2', port: 7 });
  const answered = await new Promise((resolve) => {
    socket.on('error', () => resolve(false)).on('connect', () => resolve(true));
    socket.setTimeout(1000, () => resolve(false));
  });
  socket.destroy();
  assert.equal(answered, false);
  near.child.kill('SIGTERM');
  assert.equal((await near.ended).code, 0);
  await stop(card);
}

/** dnsmasq on the kernel's end: an address by DHCP, a prefix and a router by advertisements. */
async function automatic(t: TestContext): Promise<void> {
  if (!needs(t, 'dnsmasq')) return;
  const card = await onCard(t, `addr = ["dhcp", "slaac"]\n${SERVICES}${AT_ONCE}`);
  const dnsmasq = card.place.start([
    'dnsmasq', '--keep-in-foreground', '--log-facility=-', '--log-dhcp', '--port=0',
    '--conf-file=/dev/null', '--interface=near0', '--bind-interfaces', '--user=root',
    '--group=root', '--pid-file=', '--no-ping',
    `--dhcp-leasefile=${join(card.place.folder, 'leases')}`,
    '--dhcp-range=10.99.0.50,10.99.0.60,2m', '--enable-ra', '--dhcp-range=fd99::,ra-only,64,300',
  ]);
  t.after(() => dnsmasq.child.kill('SIGTERM'));
  await card.daemon.until(/ackorn: ready\n/);
  const [link] = await links(card.place, 'card');
  assert.equal(link?.dhcp, 'Bound');
  const ours = link.addresses.filter(({ origin }) => origin !== 'LinkLocal');
  assert.deepEqual(ours.map(({ origin }) => origin).sort(), ['Dhcp', 'RouterAdvertisement']);
  for (const { address } of ours) {
    assert.match(address, /^(10\.99\.0\.5\d|10\.99\.0\.60|fd99::.*)$/);
    assert.ok((await talk(address, 7, TEXT)).equals(TEXT), address);
  }
  assert.ok(link.routes.some(({ to, gateway }) => to === '0.0.0.0/0' && gateway === '10.99.0.1'));
  kernelSilent(card.pid);
  card.daemon.child.kill('SIGTERM');
  assert.equal((await card.daemon.ended).code, 0);
  dnsmasq.child.kill('SIGTERM');
  await dnsmasq.ended;
  await card.place.nothingLeft();
}

async function onTap(t: TestContext, offload: boolean): Promise<void> {
  const place = placeOf(t);
  const file = join(place.folder, 'tap.toml');
  writeFileSync(file, `name = "tap"\nlink = "tap:ackt0"\nmac = "${MAC}"\noffload = ${offload}\n`
    + `${ADDRESSES}${SERVICES}${AT_ONCE}`);
  const daemon = place.start([DAEMON, 'run', '--engine', env[FOLDER] ?? '', file]);
  await daemon.until(/ackorn: ready\n/);
  await echoes();
  assert.match(run('ip', 'neigh', 'show', '10.99.0.2'), new RegExp(`lladdr ${MAC}`));
  const [link] = await links(place, 'tap');
  assert.deepEqual([link?.name, link?.mac], ['ackt0', MAC]);
  await stop({ daemon, place });
  assert.doesNotMatch(readFileSync('/proc/self/net/dev', 'utf8'), /ackt0/);
}

function inside(): void {
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  test('card · own MAC, offload · bytes come back, the kernel beside says nothing', ownMac);
  test('card · its own MAC, no offload · bytes come back, frames as long as the MTU', cardsMac);
  test('card · down and up · serves again; deleted · exit code 1 and one line', downAndGone);
  test('card · the kernel has our address · exit code 1 and one line', taken);
  test('card · vlan = 7 at both ends · bytes come back, none without the tag', tagged);
  // It gives up groups, which a plain user's namespace has not.
  if (namespaceKind === 'root') {
    test('card · addr dhcp and slaac, dnsmasq · both addresses serve, a default route', automatic);
  }
  for (const offload of [true, false]) {
    test(`tap · offload ${offload} · bytes come back over both families`,
      (t) => onTap(t, offload));
  }
}

function outside(): void {
  const folder = mkdtempSync(join(tmpdir(), 'ackorn-packet-'));
  after(() => rmSync(folder, { recursive: true }));
  before(async () => {
    await cargo('build', '--locked', '-p', 'ackorn-compile');
    await cargo('build', '--locked', '-p', 'ackornd');
    const engine = join(folder, 'engine.cwasm');
    compileEngine(engine);
    env[FOLDER] = engine;
  });
  runInNamespaces(import.meta.url);
}

if (namespaceKind !== undefined) inside();
else if (hasCargo()) outside();
else {
  const reason = 'cargo is not installed: nothing on wasmtime can be tested';
  const skip = env['CI'] === 'true' ? false : reason;
  test('ackornd on Ethernet', { skip }, () => assert.fail(reason));
}
