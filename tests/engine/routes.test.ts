/**
 * Routes (ip/route-table.ts) and the source that follows from them (ip/route.ts): longest prefix,
 * several links at once, gateways that do not answer, what the table refuses.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno, LINK_UP, NeighborState, Origin } from '../../assembly/abi.js';
import { parseAddress, requireCidr } from '../../host/core/address.js';
import {
  arp, ARP, ethernet, EthernetLab, IPV4, MAC, macBytes, PEER_MAC, readArp, US,
} from '../support/ethernet-lab.js';
import { icmpMessage, ipv4Packet } from '../support/frames.js';

const ROUTER = '10.1.0.254';
const OTHER_ROUTER = '10.1.0.253';

/** Whom a packet there makes the engine ask for; undefined: it has no way. */
function asks(lab: EthernetLab, to: string): string | undefined {
  lab.take();
  try {
    lab.ping(to);
  } catch {
    return undefined;
  }
  lab.poll();
  return lab.arps()[0]?.target;
}

test('routes · longest prefix wins · host, subnet, default', () => {
  const lab = new EthernetLab();
  lab.run(3000);
  assert.equal(asks(lab, '192.0.2.1'), undefined, 'no route: ENETUNREACH');
  lab.route('0.0.0.0/0', '10.1.0.10');
  lab.route('192.0.2.0/24', '10.1.0.11');
  lab.route('192.0.2.128/25', '10.1.0.12');
  const host = lab.route('192.0.2.200/32', '10.1.0.13');
  lab.route('198.51.100.0/24'); // on the link
  for (const [to, gateway] of [
    ['203.0.113.1', '10.1.0.10'], ['192.0.2.1', '10.1.0.11'], ['192.0.2.129', '10.1.0.12'],
    ['192.0.2.200', '10.1.0.13'], ['198.51.100.9', '198.51.100.9'], ['10.1.0.77', '10.1.0.77'],
  ] as const) assert.equal(asks(lab, to), gateway, to);
  lab.engine.routeRemove(host);
  lab.run(5000); // the gateways have failed to answer
  assert.equal(asks(lab, '192.0.2.200'), '10.1.0.12');
  assert.equal(lab.routes().length, 4);
});

test('routes · an IPv6 default route · is none for IPv4', () => {
  const lab = new EthernetLab({ addresses: [`${US}/24`, 'fd00::1/64'] });
  lab.route('::/0', 'fd00::fe');
  assert.equal(asks(lab, '192.0.2.1'), undefined);
});

test('routes · two default gateways, the first silent · the second is taken', () => {
  const lab = new EthernetLab();
  lab.run(3000);
  lab.route('0.0.0.0/0', ROUTER);
  lab.route('0.0.0.0/0', OTHER_ROUTER);
  assert.equal(asks(lab, '192.0.2.1'), ROUTER);
  lab.run(4000);
  assert.equal(lab.neighbor(ROUTER)?.state, NeighborState.Failed);
  assert.equal(asks(lab, '192.0.2.1'), OTHER_ROUTER);
});

test('routes · what cannot be · refused; full · ENFILE, counted', () => {
  const lab = new EthernetLab({ config: { routesMax: 4 } });
  const add = (cidr: string, gateway: string, link = 0): number => {
    const { words: [d0, d1, d2, d3], prefixLength } = requireCidr(cidr);
    const [g0, g1, g2, g3] = parseAddress(gateway)!;
    return lab.engine.calls.routeAdd(link, d0, d1, d2, d3, prefixLength, g0, g1, g2, g3);
  };
  assert.equal(add('192.0.2.1/24', ROUTER), -Errno.EINVAL); // bits beyond the prefix
  assert.equal(add('192.0.2.0/24', 'fd00::1'), -Errno.EINVAL);
  assert.equal(add('fd00::/64', ROUTER), -Errno.EINVAL);
  assert.equal(add('192.0.2.0/24', '224.0.0.1'), -Errno.EINVAL);
  assert.equal(add('192.0.2.0/24', ROUTER, 1), -Errno.EINVAL);
  assert.equal(lab.engine.calls.routeRemove(0), -Errno.EINVAL);
  assert.equal(lab.engine.calls.routeRemove(99), -Errno.EINVAL);
  for (let i = 0; i < 4; i++) assert.equal(add(`192.0.${i}.0/24`, ROUTER), i);
  assert.equal(add('192.0.2.0/24', ROUTER), 2, 'the same again is the same');
  assert.equal(add('192.0.9.0/24', ROUTER), -Errno.ENFILE);
  assert.equal(lab.counter('AckornRouteTableFull'), 1);
  assert.deepEqual(lab.routes()[2], {
    to: '192.0.2.0/24', gateway: ROUTER, link: 0, origin: Origin.Manual, validS: 0xffffffff,
  });
});

test('routes · two links · a packet leaves by the one of its route, from its address', () => {
  const lab = new EthernetLab();
  const second = lab.addLink();
  const mac = '02:00:00:00:01:01';
  lab.engine.linkEthernet(second, Uint8Array.from(macBytes(mac)), 0, 0);
  lab.address('10.2.0.1/24', second);
  lab.route('0.0.0.0/0', '10.2.0.254', second);
  lab.route('192.0.2.0/24', ROUTER);
  lab.run(3000);
  lab.seenOthers[second] = [];
  for (const [to, link, source, asked] of [
    ['203.0.113.1', 1, '10.2.0.1', '10.2.0.254'], ['192.0.2.9', 0, US, ROUTER],
    ['10.2.0.9', 1, '10.2.0.1', '10.2.0.9'], ['10.1.0.9', 0, US, '10.1.0.9'],
  ] as const) {
    lab.seenOthers.forEach((list) => { list.length = 0; });
    lab.ping(to);
    lab.poll();
    const questions = lab.seenOthers
      .map((list) => list.filter(({ type }) => type === ARP).map(readArp));
    const seen = questions[link]?.map(({ from, target }) => [from, target]);
    assert.deepEqual(seen, [[source, asked]], to);
    assert.equal(questions[1 - link]?.length, 0, to);
  }
});

test('routes · a link without neighbours beside Ethernet · takes what no route knows', () => {
  const lab = new EthernetLab();
  const tun = lab.addLink(LINK_UP);
  lab.address('10.9.0.1/24', tun);
  lab.run(3000);
  lab.seenOthers.forEach((list) => { list.length = 0; });
  lab.ping('203.0.113.1');
  lab.ping('10.1.0.9');
  lab.poll();
  assert.equal(lab.seenOthers[tun]?.length, 1);
  assert.equal(lab.seenOthers[0]?.filter(({ type }) => type === ARP).length, 1);
});

test('routes · an answer off the link without a gateway · counted, gone', () => {
  const lab = new EthernetLab();
  lab.exchange(arp({ op: 1, from: '10.1.0.2', fromMac: PEER_MAC, to: US }));
  const echo = ipv4Packet({ from: '192.0.2.1', to: US, protocol: 1 }, icmpMessage(8, 0, 1));
  const frame = ethernet(PEER_MAC, MAC, IPV4, echo);
  const changed = lab.changed(() => assert.equal(lab.exchange(frame).length, 0), /NoRoutes/);
  assert.deepEqual(changed, { IpOutNoRoutes: 1 });
  lab.route('0.0.0.0/0', '10.1.0.2');
  const [answer] = lab.exchange(frame);
  assert.equal(answer?.to, PEER_MAC);
});

test('source · link-local, unique-local and global addresses · RFC 6724 rules 2, 6, 8', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64', '2001:db8::1/64', 'fe80::1/64'] });
  lab.route('::/0', 'fe80::fe');
  const source = (to: string): string => {
    const handle = lab.engine.open();
    lab.engine.connect(handle, parseAddress(to)!, 80);
    const { address } = lab.engine.name(handle, 'local');
    lab.engine.abort(handle);
    return address;
  };
  assert.equal(source('2001:db8:5::1'), '2001:db8::1');
  assert.equal(source('fd00:0:0:7::1'), 'fd00::1');
  assert.equal(source('fe80::9'), 'fe80::1');
  assert.equal(source('fd00::9'), 'fd00::1');
});
