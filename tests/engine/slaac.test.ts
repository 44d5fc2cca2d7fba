/**
 * Neighbour discovery of addresses, routers and groups (ip/nd.ts, ip/dad.ts, ip/autoconf.ts):
 * RFC 4861, RFC 4862, RFC 7217, RFC 3810, in virtual time against scripted neighbours and routers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AddressState, AUTO_IPV6, AUTO_SLAAC, NeighborState, Origin,
} from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import {
  EthernetLab, IPV6, MAC, macOption, nd, neighborAdvertise, neighborSolicit, PEER_MAC, readNd,
  ROUTER_MAC, solicitedGroup, solicitedMac, v6Text, type EthernetLabOptions, type Frame, type Nd,
} from '../support/ethernet-lab.js';
import { be16, be32, concat, internetChecksum, ip6 } from '../support/frames.js';

const LINK_LOCAL = 'fe80::ff:fe00:1'; // EUI-64 of 02:00:00:00:00:01
const ROUTER = 'fe80::fe';
const GLOBAL = '2001:db8:1:2:0:ff:fe00:1';
const ALL_NODES = 'ff02::1';
const ALL_ROUTERS = 'ff02::2';
const DAY = 86_400;

interface Prefix {
  prefix: string;
  bits?: number;
  /** L 0x80, A 0x40. */
  flags?: number;
  valid?: number;
  preferred?: number;
}

interface Advertisement {
  lifetime?: number;
  prefixes?: Prefix[];
  mtu?: number;
  reachable?: number;
  retrans?: number;
  from?: string;
  hopLimit?: number;
  extra?: number[];
}

function prefixOption(p: Prefix): Uint8Array {
  return concat(
    [3, 4, p.bits ?? 64, p.flags ?? 0xc0], be32(p.valid ?? DAY), be32(p.preferred ?? DAY / 2),
    be32(0), ip6(p.prefix),
  );
}

function advertise(a: Advertisement = {}): Uint8Array {
  const rest = concat(
    be32(a.reachable ?? 0), be32(a.retrans ?? 0), macOption(1, ROUTER_MAC),
    a.mtu === undefined ? [] : concat([5, 1, 0, 0], be32(a.mtu)),
    ...(a.prefixes ?? [{ prefix: '2001:db8:1:2::' }]).map(prefixOption), a.extra ?? [],
  );
  const word = (64 << 24) | (a.lifetime ?? 1800);
  return nd(ROUTER_MAC, a.from ?? ROUTER, ALL_NODES, 134, word >>> 0, rest, {
    ...(a.hopLimit === undefined ? {} : { hopLimit: a.hopLimit }),
  });
}

function slaac(options: EthernetLabOptions = {}): EthernetLab {
  return new EthernetLab({ addresses: [], auto: AUTO_IPV6 | AUTO_SLAAC, ...options });
}

function messages(frames: Frame[], type: number): Nd[] {
  return frames.filter((frame) => frame.type === IPV6 && frame.payload[6] === 58)
    .map(readNd).filter((message) => message.type === type);
}

const stateOf = (lab: EthernetLab, address: string): number | undefined =>
  lab.addresses().find((row) => row.address === address)?.state;

test('slaac · link comes up · probes for the link-local address, then asks for routers', () => {
  const lab = slaac({ config: { dad_transmits: 1 } });
  const begun = lab.nowUs / 1000;
  assert.equal(stateOf(lab, LINK_LOCAL), AddressState.Tentative);
  lab.run(15_000);
  assert.equal(stateOf(lab, LINK_LOCAL), AddressState.Preferred);
  const frames = lab.take();
  const probes = messages(frames, 135);
  assert.deepEqual(probes.map(({ from, to, target, mac, hopLimit, destination }) =>
    [from, to, target, mac, hopLimit, destination]), [
    ['::', solicitedGroup(LINK_LOCAL), LINK_LOCAL, undefined, 255, solicitedMac(LINK_LOCAL)],
  ]);
  const asked = messages(frames, 133);
  assert.deepEqual(asked.map(({ from, to, mac, hopLimit }) => [from, to, mac, hopLimit]),
    Array<unknown[]>(3).fill([LINK_LOCAL, ALL_ROUTERS, MAC, 255]));
  assert.ok(asked[0]!.timeMs - begun >= 1000, 'not before the address is ours');
  for (const i of [1, 2]) assert.ok(asked[i]!.timeMs - asked[i - 1]!.timeMs >= 3999);
});

test('slaac · advertisement · address, route of its prefix, default router, MTU', () => {
  const lab = slaac();
  lab.run(100);
  lab.exchange(advertise({ mtu: 1400 }));
  lab.run(100);
  assert.equal(stateOf(lab, GLOBAL), AddressState.Preferred);
  const row = lab.addresses().find(({ address }) => address === GLOBAL)!;
  assert.deepEqual([row.origin, row.prefixLength], [Origin.RouterAdvertisement, 64]);
  assert.ok(row.validS > DAY - 10 && row.preferredS <= DAY / 2);
  assert.deepEqual(lab.routes().map(({ to, gateway, origin }) => [to, gateway, origin]), [
    ['::/0', ROUTER, Origin.RouterAdvertisement],
    ['2001:db8:1:2::/64', '::', Origin.RouterAdvertisement],
  ]);
  assert.equal(lab.neighbor(ROUTER)?.mac, ROUTER_MAC);
  lab.take();
  lab.run(20_000);
  assert.deepEqual(messages(lab.take(), 133), [], 'no router is asked for any more');
  // beyond the prefix: to the router, from the global address; a SYN's MSS follows the MTU
  const handle = lab.engine.open();
  lab.engine.connect(handle, parseAddress('2001:db8:99::1')!, 80);
  lab.poll();
  const syn = lab.take().find(({ payload }) => payload[6] === 6)!;
  assert.equal(syn.to, ROUTER_MAC);
  assert.equal(v6Text(syn.payload.subarray(8, 24)), GLOBAL);
  assert.deepEqual([...syn.payload.subarray(60, 64)], [2, 4, ...be16(1400 - 60)]);
  // within it: the neighbour itself
  lab.ping('2001:db8:1:2::77');
  lab.poll();
  const [question] = messages(lab.take(), 135);
  assert.equal(question?.target, '2001:db8:1:2::77');
});

test('slaac · advertisements that cannot be believed · counted, nothing changes', () => {
  const cases: [string, Uint8Array][] = [
    ['hop limit 254', advertise({ hopLimit: 254 })],
    ['from a global address', advertise({ from: '2001:db8::1' })],
    ['an option of length 0', advertise({ extra: [1, 0, 0, 0, 0, 0, 0, 0] })],
    ['an option cut short', advertise({ extra: [3, 4, 64, 0xc0, 0, 0, 0, 0] })],
  ];
  for (const [name, frame] of cases) {
    const lab = slaac();
    lab.run(100);
    const changed = lab.changed(() => lab.exchange(frame), /Errors/);
    assert.deepEqual(changed, { Icmp6InErrors: 1 }, name);
    assert.equal(lab.routes().length, 0, name);
  }
});

test('slaac · prefixes that are no addresses · only routes, or nothing', () => {
  const lab = slaac();
  lab.run(100);
  lab.exchange(advertise({
    lifetime: 0,
    prefixes: [
      { prefix: 'fe80::' }, { prefix: 'ff05::' }, { prefix: '2001:db8:7::', bits: 48 },
      { prefix: '2001:db8:8::', flags: 0x40, valid: 100, preferred: 200 },
      { prefix: '2001:db8:9::', flags: 0x40, valid: 0, preferred: 0 },
    ],
  }));
  lab.run(100);
  assert.deepEqual(lab.addresses().map(({ address }) => address), [LINK_LOCAL]);
  assert.deepEqual(lab.routes().map(({ to }) => to), ['2001:db8:7::/48']);
});

test('slaac · lifetimes run out · deprecated, then gone, with its connections', () => {
  const lab = slaac();
  lab.run(100);
  const prefix = { prefix: '2001:db8:1:2::', valid: 600, preferred: 300 };
  lab.exchange(advertise({ lifetime: 400, prefixes: [prefix] }));
  lab.run(100);
  lab.engine.listen(parseAddress('::')!, 80, 5);
  lab.run(301_000);
  assert.equal(stateOf(lab, GLOBAL), AddressState.Deprecated);
  assert.equal(lab.routes().length, 2);
  lab.run(100_000);
  assert.deepEqual(lab.routes().map(({ to }) => to), ['2001:db8:1:2::/64'], 'the router is gone');
  const handle = lab.engine.open();
  lab.engine.connect(handle, parseAddress('2001:db8:1:2::5')!, 80);
  lab.run(200_000);
  assert.equal(stateOf(lab, GLOBAL), undefined);
  assert.deepEqual(lab.routes(), []);
  assert.equal(lab.engine.info(handle).state, 'CLOSE');
});

test('slaac · a forged short lifetime · two hours at least; a router that resigns goes', () => {
  const lab = slaac();
  lab.run(100);
  lab.exchange(advertise());
  lab.exchange(advertise({
    lifetime: 0, prefixes: [{ prefix: '2001:db8:1:2::', valid: 1, preferred: 0, flags: 0x40 }],
  }));
  const row = lab.addresses().find(({ address }) => address === GLOBAL)!;
  assert.equal(row.validS, 7200);
  assert.equal(row.state, AddressState.Deprecated);
  assert.deepEqual(lab.routes().map(({ to }) => to), ['2001:db8:1:2::/64']);
});

test('slaac · flood of advertisements · half of the tables at most, the host can still add', () => {
  const lab = slaac({ config: { addressesMax: 8, routesMax: 8 } });
  lab.run(100);
  for (let i = 0; i < 500; i++) {
    lab.inject(advertise({
      from: `fe80::${(i + 1).toString(16)}`,
      prefixes: [{ prefix: `2001:db8:${i.toString(16)}:1::` }],
    }));
    if (i % 16 === 15) lab.poll(1000);
  }
  lab.run(2000);
  assert.ok(lab.routes().length <= 4);
  assert.ok(lab.addresses().length <= 5);
  assert.ok(lab.counter('AckornRouteTableFull') > 0);
  assert.ok(lab.counter('AckornAddressTableFull') > 0);
  lab.address('fd00::1/64');
  lab.route('fd01::/64', 'fd00::fe');
  assert.ok(lab.neighbors().length <= 64);
});

test('slaac · flood of routers · a neighbour still finds room, the router in use stays', () => {
  const lab = slaac({ addresses: ['fd00::1/64'], config: { neighborsMax: 8, routesMax: 32 } });
  lab.run(100);
  lab.exchange(advertise());
  lab.run(100);
  lab.ping('2001:db8:99::1');
  lab.poll();
  for (let i = 0; i < 300; i++) {
    lab.inject(advertise({ from: `fe80::${(i + 999).toString(16)}`, prefixes: [] }));
    if (i % 16 === 15) lab.poll(1000);
  }
  lab.poll();
  assert.equal(lab.neighbor(ROUTER)?.mac, ROUTER_MAC);
  lab.exchange(neighborSolicit(PEER_MAC, 'fd00::2', solicitedGroup('fd00::1'), 'fd00::1'));
  assert.equal(lab.neighbor('fd00::2')?.mac, PEER_MAC);
});

test('slaac · duplicate link-local address · EUI-64 gives up, stable privacy takes another', () => {
  for (const mode of [0, 2]) {
    const lab = slaac({ config: { dad_transmits: 1, addr_gen_mode: mode } });
    lab.run(900);
    const first = lab.addresses()[0]!.address;
    lab.exchange(neighborAdvertise(PEER_MAC, first, ALL_NODES, 0x20));
    lab.run(10_000);
    if (mode === 0) {
      assert.equal(stateOf(lab, first), AddressState.Duplicate);
      assert.equal(messages(lab.take(), 133).length, 0, 'IPv6 stays off');
    } else {
      const [second] = lab.addresses();
      assert.equal(lab.addresses().length, 1);
      assert.notEqual(second?.address, first);
      assert.equal(second?.state, AddressState.Preferred);
    }
    assert.equal(lab.counter('AckornAddressConflicts'), 1);
  }
});

test('slaac · duplicate advertised address · another one, with the lifetimes of the first', () => {
  const lab = slaac({ config: { dad_transmits: 1, addr_gen_mode: 2 } });
  lab.run(3000);
  lab.exchange(advertise());
  const first = lab.addresses()[1]!;
  lab.exchange(neighborAdvertise(PEER_MAC, first.address, ALL_NODES, 0x20));
  lab.run(5000);
  const [, second, ...more] = lab.addresses();
  assert.equal(more.length, 0);
  assert.notEqual(second?.address, first.address);
  assert.deepEqual([second?.state, second?.origin],
    [AddressState.Preferred, Origin.RouterAdvertisement]);
  assert.ok(second!.validS > DAY - 20 && second!.validS <= DAY);
});

test('slaac · stable privacy · the same for one prefix and seed, another for another', () => {
  const address = (seed: number, prefix: string): string => {
    const lab = slaac({ config: { addr_gen_mode: 2, seed } });
    lab.run(100);
    lab.exchange(advertise({ prefixes: [{ prefix }] }));
    return lab.addresses()[1]!.address.split(':').slice(4).join(':');
  };
  assert.equal(address(1, '2001:db8:1:2::'), address(1, '2001:db8:1:2::'));
  assert.notEqual(address(1, '2001:db8:1:2::'), address(1, '2001:db8:1:3::'));
  assert.notEqual(address(1, '2001:db8:1:2::'), address(2, '2001:db8:1:2::'));
});

test('nd · solicitation · answered with S and O; from nobody, to all nodes', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64'] });
  lab.run(3000);
  const group = solicitedGroup('fd00::1');
  const asked = (from: string, hopLimit = 255): Frame[] =>
    lab.exchange(neighborSolicit(PEER_MAC, from, group, 'fd00::1', { hopLimit }));
  const [answer] = messages(asked('fd00::2'), 136);
  assert.deepEqual({ ...answer, timeMs: 0 }, {
    type: 136, from: 'fd00::1', to: 'fd00::2', hopLimit: 255, flags: 0x60, target: 'fd00::1',
    mac: MAC, destination: PEER_MAC, timeMs: 0,
  });
  assert.equal(lab.neighbor('fd00::2')?.state, NeighborState.Stale);
  const [probe] = messages(asked('::'), 136);
  assert.deepEqual([probe?.to, probe?.flags, probe?.destination],
    [ALL_NODES, 0x20, '33:33:00:00:00:01']);
  const changed = lab.changed(() => assert.equal(asked('fd00::3', 64).length, 0), /Errors/);
  assert.deepEqual(changed, { Icmp6InErrors: 1 });
  assert.equal(lab.neighbor('fd00::3'), undefined);
});

test('nd · two hosts probe for one address at once · neither takes it', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64'], config: { dad_transmits: 1 } });
  lab.exchange(neighborSolicit(PEER_MAC, '::', solicitedGroup('fd00::1'), 'fd00::1'));
  lab.run(5000);
  assert.equal(stateOf(lab, 'fd00::1'), AddressState.Duplicate);
});

test('nd · advertisement without O and another MAC · not believed, the entry is doubted', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64'] });
  lab.ping('fd00::2');
  lab.poll();
  lab.exchange(neighborAdvertise(PEER_MAC, 'fd00::2', 'fd00::1', 0x60));
  const thief = '02:00:00:00:00:66';
  lab.exchange(neighborAdvertise(thief, 'fd00::2', ALL_NODES, 0));
  assert.deepEqual([lab.neighbor('fd00::2')?.mac, lab.neighbor('fd00::2')?.state],
    [PEER_MAC, NeighborState.Stale]);
  lab.exchange(neighborAdvertise(thief, 'fd00::2', ALL_NODES, 0x20));
  assert.equal(lab.neighbor('fd00::2')?.mac, thief, 'with O it moved');
});

test('nd · redirect · ignored and counted', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64'] });
  const rest = concat(ip6('fe80::66'), ip6('2001:db8::1'));
  assert.equal(lab.exchange(nd(ROUTER_MAC, ROUTER, 'fd00::1', 137, 0, rest)).length, 0);
  assert.equal(lab.counter('Icmp6InRedirects'), 1);
  assert.equal(lab.routes().length, 0);
});

test('mld · an address · its group is reported twice, and when a querier asks', () => {
  const lab = new EthernetLab({ addresses: ['fd00::1/64'] });
  lab.run(5000);
  const reports = (): Frame[] => lab.take().filter(({ type, payload }) =>
    type === IPV6 && payload[6] === 0 && payload[48] === 143);
  const joined = reports();
  assert.equal(joined.length, 2);
  const { payload, to } = joined[0]!;
  assert.equal(to, '33:33:00:00:00:16');
  assert.equal(payload[7], 1, 'hop limit');
  assert.deepEqual([...payload.subarray(40, 48)], [58, 0, 5, 2, 0, 0, 1, 0], 'router alert');
  assert.equal(v6Text(payload.subarray(24, 40)), 'ff02::16');
  const message = payload.subarray(48, 40 + 8 + 28);
  assert.deepEqual([...message.subarray(4, 12)], [0, 0, 0, 1, 4, 0, 0, 0], 'CHANGE_TO_EXCLUDE');
  assert.equal(v6Text(message.subarray(12, 28)), solicitedGroup('fd00::1'));
  const pseudo = concat(payload.subarray(8, 40), be32(28), be32(58));
  assert.equal(internetChecksum(concat(pseudo, message)), 0);
  const query = nd(ROUTER_MAC, ROUTER, ALL_NODES, 130, 1000 << 16, new Uint8Array(20), {
    hopLimit: 1,
  });
  lab.exchange(query);
  lab.run(1100);
  const [answer] = reports();
  assert.equal(answer?.payload[56], 2, 'MODE_IS_EXCLUDE');
});
