/**
 * Ethernet against the kernel, over a TAP device in a namespace: curl on both families with offload
 * and without, a neighbour that is forgotten and one that moves, `arping -D`, `ackorn dump`; a
 * lease of dnsmasq and an address by radvd. Everything is gone afterwards.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test, type TestContext } from 'node:test';
import type { LinkEntry } from '../../host/core/tables.js';
import { ask } from '../../host/node/control/client.js';
import { CLI, makePlace, needsRoot, needsTun, type Place } from '../host/fixtures/cli.js';
import { FOUR, KERNEL_FOUR, raise, SIX, type Site } from './site.js';
import { needs } from './tools.js';

const DEVICE = 'tap0';
const BYTES = 8 << 20;
const WAIT_MS = 20_000;
const QUICK = ['--sysctl', 'arp_probes=1'];

async function links(place: Place, name: string): Promise<LinkEntry[]> {
  const socket = path.join(place.folder, 'run', `${name}.sock`);
  return (await ask<{ links: LinkEntry[] }>(socket, { path: '/v1/links' })).links;
}

/** A command on the kernel's side that must end well; what it said. */
async function kernel(site: Site, ...command: string[]): Promise<string> {
  const ran = await site.kernel(command);
  assert.equal(ran.code, 0, `${command.join(' ')}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

interface Served {
  site: Site;
  hash: string;
}

/** A stack on a TAP device that serves one file of random bytes. */
async function serve(t: TestContext, ...flags: string[]): Promise<Served | undefined> {
  if (!needs(t, 'curl')) return undefined;
  const files = makePlace(t).folder;
  mkdirSync(path.join(files, 'www'));
  const bytes = randomBytes(BYTES);
  writeFileSync(path.join(files, 'www', 'file'), bytes);
  const site = await raise(
    t, '--link', `tap:${DEVICE}`, '--http', `80=${path.join(files, 'www')}:rw`, ...QUICK, ...flags,
  );
  const hash = createHash('sha256').update(bytes).digest('hex');
  return site === undefined ? undefined : { site, hash };
}

async function fetched(site: Site, host: string): Promise<string> {
  const said = await kernel(
    site, 'sh', '-c', `curl -sS -g --max-time 20 http://${host}/file | sha256sum`);
  return said.split(' ')[0]!;
}

describe('interop · tap', () => {
  for (const flags of [[], ['--no-offload']]) {
    test(`curl ${flags.join('')} · both families, both ways, the MAC is learned`, async (t) => {
      const served = await serve(t, ...flags);
      if (served === undefined) return;
      const { site, hash } = served;
      assert.equal(await fetched(site, FOUR), hash);
      assert.equal(await fetched(site, `[${SIX}]`), hash);
      for (const host of [FOUR, `[${SIX}]`]) {
        await kernel(site, 'sh', '-c',
          `head -c 3000000 /dev/zero | curl -sS -g -f --max-time 20 -T - http://${host}/up`);
      }
      const [link] = await links(site.place, 'site');
      const mac = link!.mac!;
      const neigh = await kernel(site, 'ip', 'neigh', 'show', 'dev', DEVICE);
      assert.match(neigh, new RegExp(`${FOUR} lladdr ${mac}`));
      assert.match(neigh, new RegExp(`${SIX} lladdr ${mac}`));
      const known = link!.neighbors.find(({ address }) => address === KERNEL_FOUR);
      const shown = await kernel(site, 'ip', '-o', 'link', 'show', DEVICE);
      assert.equal(known?.mac, /link\/ether (\S+)/.exec(shown)?.[1]);
      await site.down();
    });
  }

  test('neighbours · flushed, moved to another MAC · the transfer goes on', async (t) => {
    const served = await serve(t);
    if (served === undefined) return;
    const { site, hash } = served;
    assert.equal(await fetched(site, FOUR), hash);
    await kernel(site, 'ip', 'neigh', 'flush', 'all');
    assert.equal(await fetched(site, FOUR), hash);
    const slow = site.kernel(['sh', '-c',
      `curl -sS --limit-rate 2M --max-time 25 http://${FOUR}/file | sha256sum`]);
    await sleep(1000);
    // the kernel comes back as another card and says so
    await kernel(site, 'ip', 'link', 'set', DEVICE, 'address', '02:aa:bb:cc:dd:ee');
    await kernel(site, 'arping', '-q', '-c', '1', '-U', '-I', DEVICE, KERNEL_FOUR);
    assert.equal((await slow).stdout.split(' ')[0], hash);
    const [link] = await links(site.place, 'site');
    const known = link!.neighbors.find(({ address }) => address === KERNEL_FOUR);
    assert.equal(known?.mac, '02:aa:bb:cc:dd:ee');
    await site.baseline();
    await site.down();
  });

  test('arping -D · sees that the address is taken, and a free one', async (t) => {
    if (!needs(t, 'arping')) return;
    const site = await raise(t, '--link', `tap:${DEVICE}`, ...QUICK);
    if (site === undefined) return;
    const taken = await site.kernel(['arping', '-D', '-c', '2', '-I', DEVICE, FOUR]);
    assert.equal(taken.code, 1, taken.stdout);
    const asked = ['arping', '-D', '-c', '1', '-w', '1', '-I', DEVICE];
    const free = await site.kernel([...asked, '10.99.0.9']);
    assert.equal(free.code, 0, free.stdout);
    await site.down();
  });

  test('an address that another host has · up says so and fails, nothing left', async (t) => {
    if (!needsTun(t)) return;
    const place = makePlace(t);
    const ran = await place.ackorn(['up', '--link', `tap:${DEVICE}`, '--addr', `${FOUR}/24`,
      '--peer-addr', `${FOUR}/24`, ...QUICK]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, new RegExp(`${DEVICE}: another host has ${FOUR}`));
    await place.nothingLeft();
  });

  test('dump · ARP and neighbour discovery in words', async (t) => {
    const site = await raise(t, '--link', `tap:${DEVICE}`, ...QUICK);
    if (site === undefined) return;
    const dump = site.place.start([process.execPath, CLI, 'dump', '-n']);
    await sleep(1500);
    await kernel(site, 'ip', 'neigh', 'flush', 'all');
    await kernel(site, 'ping', '-c', '1', FOUR);
    await kernel(site, 'ping', '-c', '1', SIX);
    await dump.until(new RegExp(`ARP, Request who-has ${FOUR} tell ${KERNEL_FOUR}`));
    await dump.until(new RegExp(`ARP, Reply ${FOUR} is-at`));
    await dump.until(/neighbor solicitation, who has fd99::2/);
    await dump.until(/neighbor advertisement, tgt is fd99::2/);
    dump.child.kill('SIGINT');
    await dump.ended;
    await site.down();
  });
});

// ---- Addresses from others: a namespace of its own, in which the server runs before we ask

async function inNamespace(place: Place, name: string, ...command: string[]): Promise<string> {
  const ran = await place.start(['ip', 'netns', 'exec', name, ...command]).ended;
  assert.equal(ran.code, 0, `${command.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

async function untilDevice(place: Place, name: string): Promise<void> {
  for (let waited = 0; waited < WAIT_MS; waited += 50) {
    const shown = ['ip', '-n', name, 'link', 'show', DEVICE];
    if ((await place.start(shown).ended).code === 0) return;
    await sleep(50);
  }
  assert.fail(`${DEVICE} does not come`);
}

describe('interop · addresses from the network', () => {
  test('dnsmasq and radvd · a lease, an address by advertisement, both serve', async (t) => {
    if (!needsTun(t) || !needsRoot(t)) return;
    if (!needs(t, 'dnsmasq') || !needs(t, 'radvd') || !needs(t, 'nc.openbsd')) return;
    const place = makePlace(t);
    const name = `ackorn-dhcp-${process.pid}`;
    // gone already, if all is well
    t.after(() => place.start(['ip', 'netns', 'delete', name]).ended);
    const up = place.start([process.execPath, CLI, 'up', '--name', 'leased', '--netns', name,
      '--link', `tap:${DEVICE}`, '--addr', 'dhcp', '--addr', 'slaac', '--daytime', '13',
      '--peer-addr', '10.77.0.1/24', '--peer-addr', 'fd77::1/64', ...QUICK]);
    await untilDevice(place, name);
    const radvd = path.join(place.folder, 'radvd.conf');
    writeFileSync(radvd, `interface ${DEVICE} { AdvSendAdvert on; MinRtrAdvInterval 3;
      MaxRtrAdvInterval 4; prefix fd77::/64 { AdvOnLink on; AdvAutonomous on; }; };\n`);
    const dnsmasq = place.start(['ip', 'netns', 'exec', name, 'dnsmasq', '--no-daemon', '--port=0',
      '--conf-file=/dev/null', `--interface=${DEVICE}`, '--bind-interfaces', '--dhcp-authoritative',
      '--dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,10m', '--dhcp-option=26,1400',
      `--dhcp-leasefile=${path.join(place.folder, 'leases')}`, '--user=root', '--log-dhcp']);
    await inNamespace(place, name, 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
    const advertiser = place.start(['ip', 'netns', 'exec', name, 'radvd', '--nodaemon', '-C', radvd,
      '-p', path.join(place.folder, 'radvd.pid'), '-m', 'stderr']);
    await up.until(/ackorn: ready\n/, 40_000);
    const [link] = await links(place, 'leased');
    const leased = link!.addresses.find(({ origin }) => origin === 'Dhcp')!;
    assert.match(leased.address, /^10\.77\.0\.(5\d|60)$/);
    assert.equal(leased.prefixLength, 24);
    assert.equal(link!.dhcp, 'Bound');
    const advertised = link!.addresses.find(({ origin }) => origin === 'RouterAdvertisement')!;
    assert.match(advertised.address, /^fd77::/);
    const routes = link!.routes.map(({ to, origin }) => `${to} ${origin}`);
    assert.ok(routes.includes('0.0.0.0/0 Dhcp') && routes.includes('::/0 RouterAdvertisement'));
    for (const host of [leased.address, advertised.address]) {
      const said = await inNamespace(place, name, 'nc.openbsd', '-d', '-w', '5', host, '13');
      assert.match(said, /\d\d:\d\d:\d\d/);
    }
    assert.match(dnsmasq.output(), /DHCPACK/);
    for (const { child } of [dnsmasq, advertiser, up]) child.kill('SIGTERM');
    assert.equal((await up.ended).code, 0, up.output());
    await Promise.all([dnsmasq.ended, advertiser.ended]);
    await place.nothingLeft();
  });
});
