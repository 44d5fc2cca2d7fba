/**
 * What the command line says to words that make no sense and to a machine that refuses: one line,
 * what is wrong and what to do, the exit code, and nothing left behind.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';
import { describe, test, type TestContext } from 'node:test';
import { CLI, isRoot, makePlace, needsRoot, needsTun, NOBODY, type Place } from './fixtures/cli.js';

/** Words, and what the line must say. All are usage: exit code 2. */
const USAGE: readonly [words: string, says: RegExp][] = [
  ['up --frobnicate', /unknown option '--frobnicate'/],
  ['frobnicate', /unknown command 'frobnicate'/],
  ['up --addr 10.0.0.300/24', /--addr 10\.0\.0\.300\/24: an address with its prefix length/],
  ['up --addr 10.0.0.1', /such as 10\.99\.0\.2\/24/],
  ['up --addr 10.0.0.1/33', /--addr 10\.0\.0\.1\/33/],
  ['up --addr 10.0.0.1/32', /no room for the kernel's end; say --peer-addr/],
  ['up --peer-addr fd99::1', /--peer-addr fd99::1/],
  ['up --link eth0', /--link eth0: tun:NAME or tap:NAME is wanted/],
  ['up --addr dhcp', /--addr dhcp: only a tap: link has that/],
  ['up --mac 02:00:00:00:00:01', /--mac: only a tap: link has that/],
  ['up --link tap:t0 --mac 03:00:00:00:00:01', /--mac 03:00:00:00:00:01: six bytes/],
  ['up --link tap:t0 --vlan 4095', /--vlan 4095: a number from 1 to 4094 is wanted/],
  ['up --link tap:t0 --gateway here', /--gateway here: an address is wanted/],
  ['up --link tap:t0 --route 10.0.0.0=10.0.0.1', /--route .*: CIDR=GATEWAY is wanted/],
  ['up --link tun:averyveryverylongname', /at most 15 characters/],
  ['up --netns a/b', /--netns a\/b: new, host, or the name/],
  ['up --mtu 67', /--mtu 67: a number from 68 to 65535/],
  ['up --http 80', /PORT=DIRECTORY/],
  ['up --echo 0', /--echo 0: a port from 1 to 65535/],
  ['up --echo 7 --discard 7', /port 7 is wanted by/],
  ['up --sysctl tcp_frobnicate=1', /unknown sysctl: tcp_frobnicate/],
  ['up --sysctl tcp_sack', /name=value is wanted/],
  ['up --sysctl tcp_sack=yes', /tcp_sack=yes: a whole number/],
  ['up --sysctl tcp_rmem=1', /3 numbers are wanted/],
  ['up --limit frobnicate=1', /unknown limit: frobnicate/],
  ['up --impair los=1%', /unknown word 'los'/],
  ['up --impair loss=101%', /loss=101%: a share/],
  ['up --impair rate=10', /rate=10: a rate such as 10mbit/],
  ['up --impair rate=10mbit,queue=1k', /queue=1k: bytes are wanted/],
  ['up --impair queue=9000', /queue= is the queue of a rate/],
  ['bench paths --cells 1%:60', /--cells 1%:60: LOSS:RTT or LOSS:RTT:DIRECTION/],
  ['bench paths --cc vegas', /--cc vegas: the engine has reno, cubic, bbr/],
  ['bench paths --queue 0', /--queue 0: bandwidth-delay products/],
  ['up --board /nonexistent/board.toml', /--board \/nonexistent\/board\.toml/],
  ['up --name a/b', /--name a\/b/],
  ['exec', /missing required argument/],
  ['dump -c none', /-c none: a number of packets/],
  ['dump -s 3', /-s 3: bytes of each packet, 16 to/],
  ['dump frobnicate', /filter: unknown word 'frobnicate'/],
  ['dump port http', /port http: a number/],
  ['nc 10.0.0.1', /nc HOST PORT is wanted/],
  ['iperf3 -u -c 10.0.0.1', /TCP only/],
];

/** One line on stderr that matches, the code, and no process. */
async function refused(
  place: Place, args: readonly string[], code: number, says: RegExp,
  prefix: readonly string[] = [],
): Promise<void> {
  const ran = await place.ackorn(args, { prefix });
  assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stderr}`);
  assert.match(ran.stderr, says);
  assert.match(ran.stderr, /^ackorn: [^\n]+\n$/);
  await place.nothingLeft();
}

describe('cli · words that make no sense · one line, exit code 2', () => {
  for (const [words, says] of USAGE) {
    test(words, (t) => refused(makePlace(t), words.split(' '), 2, says));
  }
});

const BOARDS: readonly [text: string, says: RegExp][] = [
  ['frobnicate = 1\n', /unknown word 'frobnicate'/],
  ['addr = "10.0.0.1"\n', /an address with its prefix length/],
  ['offload = "no"\n', /offload is true or false/],
  ['sysctl = 3\n', /sysctl is a table/],
  ['addr = [\n', /board\.toml: Invalid TOML/],
  ['[sysctl]\ntcp_frobnicate = 1\n', /unknown sysctl: tcp_frobnicate/],
];

describe('cli · a board file that makes no sense · one line, exit code 2', () => {
  for (const [text, says] of BOARDS) {
    test(JSON.stringify(text), async (t) => {
      const place = makePlace(t);
      const file = path.join(place.folder, 'board.toml');
      writeFileSync(file, text);
      await refused(place, ['up', '--board', file], 2, says);
    });
  }
});

describe('cli · no stack is running · one line, exit code 1', () => {
  for (const words of ['ss', 'nstat', 'dump', 'trace', 'ping 10.0.0.1', 'nc 10.0.0.1 7',
    'exec true', 'iperf3 -c 10.0.0.1']) {
    test(words, (t) => refused(makePlace(t), words.split(' '), 1, /no stack is running/));
  }
  test('ss --name other', (t) =>
    refused(makePlace(t), ['ss', '--name', 'other'], 1, /named 'other' is not running/));
});

describe('cli · what the machine refuses · one line, exit code 1, nothing left', () => {
  const cases: readonly [args: string[], says: RegExp][] = [
    [['--http', '80=/nonexistent/folder'], /http on port 80: cannot serve \/nonexistent\/folder/],
    [['--pcap', '/nonexistent/file'], /--pcap \/nonexistent\/file/],
    [['--control', '/nonexistent/socket'], /the control socket cannot be made/],
    [['--limit', 'arenaBlockShift=31'], /refuses the configuration: arenaBlockShift/],
  ];
  for (const [args, says] of cases) {
    test(args.join(' '), async (t) => {
      if (needsTun(t)) await refused(makePlace(t), ['up', ...args], 1, says);
    });
  }
  test('a name that a running stack has', async (t) => {
    if (!needsTun(t)) return;
    const place = makePlace(t);
    const first = await place.up(['--name', 'one']);
    const ran = await place.ackorn(['up', '--name', 'one']);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /^ackorn: a stack named 'one' is running: choose another --name\n$/);
    first.child.kill('SIGTERM');
    assert.equal((await first.ended).code, 0);
    await place.nothingLeft();
  });
  test('a device that another program has', (t) => busyDevice(t));
  test('a user who may not open /dev/net/tun', async (t) => {
    if (!needsRoot(t)) return;
    const place = makePlace(t);
    await refused(place, ['up'], 1, /user may not open \/dev\/net\/tun.*chmod 0666/, NOBODY);
  });
  test('a named namespace without root', async (t) => {
    const place = makePlace(t);
    await refused(place, ['up', '--netns', 'ackorn-test'], 1, /only root can use a named/,
      isRoot ? NOBODY : []);
  });
});

/** Two stacks with one device's name, in one namespace that the test made. */
async function busyDevice(t: TestContext): Promise<void> {
  if (!needsTun(t)) return;
  const place = makePlace(t);
  const kind = isRoot ? ['--net'] : ['--user', '--map-root-user', '--net'];
  const words = ['up', '--netns', 'host', '--link', 'tun:busy0'];
  const script = '"$@" & first=$!; n=0; '
    + 'while [ ! -S "$ACKORN_RUNTIME_DIR/ackorn0.sock" ] && [ $n -lt 200 ]; do '
    + 'sleep 0.05; n=$((n+1)); done; '
    + 'timeout 10 "$@"; echo "code $?"; kill $first; wait $first; echo "first $?"';
  const both = place.start(['unshare', ...kind, 'sh', '-c', script, 'sh', execPath, CLI, ...words]);
  const ran = await both.ended;
  assert.match(ran.stderr, /^ackorn: busy0: another program has this device open.*\(EBUSY\)\n$/);
  assert.match(ran.stdout, /code 1\nfirst 0\n$/);
  await place.nothingLeft();
}
