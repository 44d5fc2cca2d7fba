/**
 * Words of an Ethernet link (host/node/board): from a board.toml and from flags, and what they
 * become. Mistakes are in cli-errors.test.ts.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { formatMac, parseMac } from '../../host/core/tables.js';
import { makeBoard } from '../../host/node/board/board.js';
import { defaultMac } from '../../host/node/link/tun.js';

test('board · every word of a tap: link · becomes what it says', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'ackorn-board-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'board.toml');
  writeFileSync(file, `link = "tap:t0"
addr = ["dhcp", "slaac", "10.1.0.2/24"]
peer-addr = ["none"]
gateway = ["10.1.0.1", "fe80::1"]
route = ["10.9.0.0/16=10.1.0.7", "192.0.2.0/24"]
mac = "02:00:00:00:00:0a"
vlan = 7
`);
  const board = makeBoard({ board: file });
  assert.deepEqual([board.device, board.tap, board.dhcp, board.slaac, board.vlan],
    ['t0', true, true, true, 7]);
  assert.deepEqual([board.addresses, board.peerAddresses], [['10.1.0.2/24'], []]);
  assert.equal(formatMac(board.mac!), '02:00:00:00:00:0a');
  assert.deepEqual(board.routes, [
    { to: '10.9.0.0/16', gateway: '10.1.0.7' }, { to: '192.0.2.0/24' },
    { to: '0.0.0.0/0', gateway: '10.1.0.1' }, { to: '::/0', gateway: 'fe80::1' },
  ]);
});

test('board · --addr dhcp alone · no address of our own, none of the kernel', () => {
  const board = makeBoard({ link: 'tap:t0', addr: ['dhcp'] });
  assert.deepEqual([board.addresses, board.peerAddresses, board.dhcp], [[], [], true]);
});

test('mac · text and default · unicast, locally administered, the same at every start', () => {
  const wrong = ['', '02:00:00:00:00', '03:00:00:00:00:01', '00:00:00:00:00:00', '2-0-0-0-0-1'];
  for (const text of wrong) {
    assert.equal(parseMac(text), undefined, text);
  }
  assert.equal(formatMac(parseMac('A:b:0:1:2:3')!), '0a:0b:00:01:02:03');
  const mac = defaultMac('tap0');
  assert.equal(mac[0]! & 3, 2);
  assert.deepEqual(mac, defaultMac('tap0'));
  assert.notDeepEqual(mac, defaultMac('tap1'));
});
