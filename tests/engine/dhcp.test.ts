/**
 * The DHCP client (udp/dhcp.ts): RFC 2131's states against a scripted server in virtual time:
 * lease, renewal, rebinding, expiry, refusal, a declined address, messages that cannot be used.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressState, AUTO_DHCP, Dhcp, Origin, Table, TableWord } from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import {
  arp, ARP, BROADCAST, ethernet, EthernetLab, IPV4, MAC, macBytes, macText, PEER_MAC, readArp,
  ROUTER_MAC, type Frame,
} from '../support/ethernet-lab.js';
import {
  be16, be32, concat, internetChecksum, ip4, ipv4Packet, udpDatagram,
} from '../support/frames.js';

const SERVER = '10.5.0.254';
const OURS = '10.5.0.77';
const NOBODY = '0.0.0.0';
const EVERYBODY = '255.255.255.255';
const [DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK] = [1, 2, 3, 4, 5, 6];

/** A client's message. */
interface Asked {
  type: number;
  xid: number;
  broadcast: boolean;
  client: string;
  requested: string | undefined;
  server: string | undefined;
  from: string;
  to: string;
  mac: string;
  timeMs: number;
}

const text = (bytes: Uint8Array): string => [...bytes].join('.');

function optionsOf(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = 240; message[at] !== 255; at += 2 + message[at + 1]!) {
    options.set(message[at]!, message.subarray(at + 2, at + 2 + message[at + 1]!));
  }
  return options;
}

function readAsked(frame: Frame): Asked {
  const ip = frame.payload;
  assert.equal(ip[9], 17);
  const udp = ip.subarray(20, (ip[2]! << 8) | ip[3]!);
  assert.deepEqual([...udp.subarray(0, 4)], [...be16(68), ...be16(67)]);
  const pseudo = concat(ip.subarray(12, 20), [0, 17], be16(udp.length));
  assert.equal(internetChecksum(concat(pseudo, udp)), 0);
  const message = udp.subarray(8);
  assert.ok(message.length >= 300);
  assert.deepEqual([...message.subarray(0, 4)], [1, 1, 6, 0]);
  assert.equal(macText(message.subarray(28, 34)), MAC);
  const options = optionsOf(message);
  assert.deepEqual([...options.get(55)!], [1, 3, 26, 51, 58, 59]);
  const view = new DataView(message.buffer, message.byteOffset);
  const address = (option: number): string | undefined => {
    const value = options.get(option);
    return value === undefined ? undefined : text(value);
  };
  return {
    type: options.get(53)![0]!, xid: view.getUint32(4), broadcast: view.getUint16(10) === 0x8000,
    client: text(message.subarray(12, 16)), requested: address(50), server: address(54),
    from: text(ip.subarray(12, 16)), to: text(ip.subarray(16, 20)), mac: frame.to,
    timeMs: frame.timeMs,
  };
}

interface Answer {
  type: number;
  xid: number;
  your?: string;
  lease?: number;
  mask?: string;
  router?: string;
  mtu?: number;
  renew?: number;
  rebind?: number;
  chaddr?: string;
  to?: string;
  server?: string | null;
  options?: number[];
}

function answer(a: Answer): Uint8Array {
  const option = (code: number, bytes: number[] | undefined): number[] =>
    (bytes === undefined ? [] : [code, bytes.length, ...bytes]);
  const number = (value: number | undefined): number[] | undefined =>
    (value === undefined ? undefined : be32(value));
  const head = new Uint8Array(236);
  head.set([2, 1, 6, 0, ...be32(a.xid)]);
  head.set(ip4(a.your ?? OURS), 16);
  head.set(macBytes(a.chaddr ?? MAC), 28);
  const message = concat(
    head, [99, 130, 83, 99], option(53, [a.type]),
    option(54, a.server === null ? undefined : ip4(a.server ?? SERVER)),
    option(51, a.type === NAK ? undefined : be32(a.lease ?? 3600)),
    option(1, ip4(a.mask ?? '255.255.255.0')), option(3, ip4(a.router ?? SERVER)),
    option(26, a.mtu === undefined ? undefined : be16(a.mtu)),
    option(58, number(a.renew)), option(59, number(a.rebind)), a.options ?? [255],
  );
  const ends = { from: SERVER, to: a.to ?? EVERYBODY };
  const packet = ipv4Packet({ ...ends, protocol: 17 }, udpDatagram(ends, 67, 68, message));
  return ethernet(ROUTER_MAC, ends.to === EVERYBODY ? BROADCAST : MAC, IPV4, packet);
}

class Client extends EthernetLab {
  constructor(config = {}) {
    super({ addresses: [], auto: AUTO_DHCP, config });
  }

  asked(): Asked[] {
    return this.take().filter(({ type, payload }) => type === IPV4 && payload[9] === 17)
      .map(readAsked);
  }

  /** Runs until it asks. */
  next(ms = 5000): Asked {
    const before = this.asked();
    assert.deepEqual(before.map(({ type }) => type), []);
    for (let waited = 0; waited < ms; waited += 100) {
      this.run(100);
      const [asked] = this.asked();
      if (asked !== undefined) return asked;
    }
    assert.fail('it does not ask');
  }

  give(a: Omit<Answer, 'xid'> & { xid?: number }, xid: number): Asked | undefined {
    this.take();
    this.inject(answer({ xid, ...a }));
    this.poll();
    return this.asked()[0];
  }

  /** Discover to acknowledgement. */
  lease(a: Partial<Answer> = {}): Asked {
    const discover = this.next();
    const request = this.give({ type: OFFER, ...a }, discover.xid)!;
    assert.equal(this.give({ type: ACK, ...a }, request.xid), undefined);
    return request;
  }

  state(): number {
    const [row] = [...this.engine.table(Table.Links)];
    return row![TableWord.origin]!;
  }

  ours(): string[] {
    return this.addresses().filter(({ state }) => state === AddressState.Preferred)
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`);
  }
}

test('dhcp · discover, offer, request, ack · an address, its subnet, a router, the MTU', () => {
  const lab = new Client();
  const discover = lab.next();
  assert.deepEqual({ ...discover, xid: 0, timeMs: 0 }, {
    type: DISCOVER, xid: 0, broadcast: true, client: NOBODY, requested: undefined,
    server: undefined, from: NOBODY, to: EVERYBODY, mac: BROADCAST, timeMs: 0,
  });
  const request = lab.give({ type: OFFER, mtu: 1400 }, discover.xid)!;
  assert.deepEqual({ ...request, timeMs: 0 }, {
    ...discover, type: REQUEST, requested: OURS, server: SERVER, timeMs: 0,
  });
  lab.give({ type: ACK, mtu: 1400, mask: '255.255.254.0' }, request.xid);
  assert.equal(lab.state(), Dhcp.Bound);
  assert.deepEqual(lab.ours(), [`${OURS}/23`]);
  assert.deepEqual(lab.routes().map(({ to, gateway, origin }) => [to, gateway, origin]),
    [['0.0.0.0/0', SERVER, Origin.Dhcp]]);
  assert.equal(lab.counter('AckornDhcpInAcks'), 1);
  lab.run(5000);
  lab.take();
  const handle = lab.engine.open();
  lab.engine.connect(handle, parseAddress('192.0.2.1')!, 80);
  lab.poll();
  assert.equal(lab.arps()[0]?.target, SERVER);
  lab.exchange(arp({ op: 2, from: SERVER, fromMac: ROUTER_MAC, to: OURS, destination: MAC }));
  lab.engine.abort(handle);
  lab.run(100);
  lab.assertBaseline();
});

test('dhcp · nobody answers · asks again after 4, 8, 16, 32, 64, 64 s, one more or less', () => {
  const lab = new Client();
  lab.run(260_000);
  const asked = lab.asked();
  assert.ok(asked.every(({ type, xid }) => type === DISCOVER && xid === asked[0]!.xid));
  const gaps = asked.slice(1).map(({ timeMs }, i) => (timeMs - asked[i]!.timeMs) / 1000);
  [4, 8, 16, 32, 64, 64].forEach((seconds, i) => {
    assert.ok(Math.abs(gaps[i]! - seconds) <= 1.01, `${gaps[i]} for ${seconds}`);
  });
  lab.assertBaseline();
});

test('dhcp · transaction id · another for another seed, another for another lease', () => {
  const first = new Client().next().xid;
  assert.equal(first, new Client().next().xid);
  assert.notEqual(first, new Client({ seed: 8 }).next().xid);
});

test('dhcp · offers that cannot be used · left alone', () => {
  const wrong: [string, Partial<Answer> & { type: number }, boolean][] = [
    ['another transaction', { type: OFFER, xid: 1 }, false],
    ['another client', { type: OFFER, chaddr: PEER_MAC }, false],
    ['an ACK too early', { type: ACK }, false],
    ['no server', { type: OFFER, server: null }, true],
    ['0.0.0.0', { type: OFFER, your: NOBODY }, true],
    ['a group', { type: OFFER, your: '224.0.0.9' }, true],
    ['options without an end', { type: OFFER, options: [] }, true],
    ['an option beyond the end', { type: OFFER, options: [12, 200, 1] }, true],
  ];
  for (const [name, fields, error] of wrong) {
    const lab = new Client();
    const { xid } = lab.next();
    assert.equal(lab.give(fields, xid), undefined, name);
    assert.equal(lab.state(), Dhcp.Selecting, name);
    assert.equal(lab.counter('AckornDhcpInErrors'), error ? 1 : 0, name);
    assert.notEqual(lab.give({ type: OFFER }, xid), undefined, `${name}: a good one still counts`);
  }
});

test('dhcp · half of the lease · renewed from the server by unicast, without a gap', () => {
  const lab = new Client();
  lab.lease({ lease: 1000 });
  lab.run(490_000);
  assert.deepEqual(lab.asked(), []);
  lab.run(11_000);
  assert.equal(lab.arps()[0]?.target, SERVER); // its MAC is asked for
  lab.inject(arp({ op: 2, from: SERVER, fromMac: ROUTER_MAC, to: OURS, destination: MAC }));
  lab.run(1000);
  const asked = lab.asked();
  assert.equal(asked.length, 1);
  assert.deepEqual({ ...asked[0]!, xid: 0, timeMs: 0 }, {
    type: REQUEST, xid: 0, broadcast: false, client: OURS, requested: undefined,
    server: undefined, from: OURS, to: SERVER, mac: ROUTER_MAC, timeMs: 0,
  });
  lab.give({ type: ACK, lease: 1000, to: OURS }, asked[0]!.xid);
  assert.equal(lab.state(), Dhcp.Bound);
  lab.run(450_000);
  assert.deepEqual(lab.ours(), [`${OURS}/24`], 'beyond the first lease');
});

test('dhcp · the server is silent · rebinds with everybody, then it is all over', () => {
  const lab = new Client();
  lab.lease({ lease: 1000 });
  lab.engine.listen(parseAddress('0.0.0.0')!, 80, 1);
  const handle = lab.engine.open();
  lab.engine.connect(handle, parseAddress('10.5.0.9')!, 80);
  lab.run(880_000);
  const rebinding = lab.asked().filter(({ to }) => to === EVERYBODY);
  assert.ok(rebinding.length >= 1);
  assert.ok(rebinding.every(({ from, client, type }) =>
    from === OURS && client === OURS && type === REQUEST));
  assert.equal(lab.state(), Dhcp.Rebinding);
  lab.run(125_000);
  assert.deepEqual(lab.ours(), []);
  assert.deepEqual(lab.routes(), []);
  assert.equal(lab.engine.info(handle).state, 'CLOSE');
  const again = lab.asked().filter(({ type }) => type === DISCOVER);
  assert.ok(again.length >= 1, 'from the beginning');
  assert.equal(again[0]?.from, NOBODY);
});

test('dhcp · another server answers the rebinding · it holds the lease from then on', () => {
  const lab = new Client();
  lab.lease({ lease: 1000 });
  lab.run(880_000);
  const [asked] = lab.asked().filter(({ to }) => to === EVERYBODY);
  lab.give({ type: ACK, lease: 1000, server: '10.5.0.253' }, asked!.xid);
  assert.equal(lab.state(), Dhcp.Bound);
  assert.deepEqual(lab.ours(), [`${OURS}/24`]);
});

test('dhcp · renewal refused · the address goes at once, a new search', () => {
  const lab = new Client();
  lab.lease({ lease: 1000 });
  lab.run(505_000);
  lab.exchange(arp({ op: 2, from: SERVER, fromMac: ROUTER_MAC, to: OURS, destination: MAC }));
  lab.run(300_000);
  const [asked] = lab.asked();
  lab.give({ type: NAK, your: NOBODY }, asked!.xid);
  assert.deepEqual(lab.ours(), []);
  assert.equal(lab.counter('AckornDhcpInNaks'), 1);
  assert.equal(lab.next().type, DISCOVER);
});

test('dhcp · request refused · a new search with another transaction', () => {
  const lab = new Client();
  const discover = lab.next();
  const request = lab.give({ type: OFFER }, discover.xid)!;
  lab.give({ type: NAK, your: NOBODY }, request.xid);
  const again = lab.next();
  assert.equal(again.type, DISCOVER);
  assert.notEqual(again.xid, discover.xid);
});

test('dhcp · the offer is withdrawn by silence · requests five times, then discovers again', () => {
  const lab = new Client();
  const { xid } = lab.next();
  lab.give({ type: OFFER }, xid);
  lab.run(200_000);
  const types = lab.asked().map(({ type }) => type);
  assert.deepEqual(types.slice(0, 5), [REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER]);
});

test('dhcp · somebody has the address · probed, declined, another search after ten seconds', () => {
  const lab = new Client({ arp_probes: 3 });
  lab.lease();
  assert.deepEqual(lab.ours(), [], 'not before it was probed for');
  lab.run(1500);
  const probes = lab.take().filter(({ type }) => type === ARP).map(readArp);
  assert.deepEqual(probes.map(({ from, target }) => [from, target])[0], [NOBODY, OURS]);
  lab.inject(arp({ op: 2, from: OURS, fromMac: PEER_MAC, to: NOBODY, destination: MAC }));
  lab.run(9000);
  const [decline, ...more] = lab.asked();
  assert.deepEqual([decline?.type, decline?.requested, decline?.server, decline?.client],
    [DECLINE, OURS, SERVER, NOBODY]);
  assert.equal(more.length, 0);
  assert.deepEqual(lab.addresses(), []);
  assert.deepEqual(lab.routes(), []);
  lab.run(3000);
  assert.equal(lab.asked()[0]?.type, DISCOVER);
});

test('dhcp · probed for and free · ours after that', () => {
  const lab = new Client({ arp_probes: 3 });
  lab.lease();
  lab.run(8000);
  assert.deepEqual(lab.ours(), [`${OURS}/24`]);
});

test('dhcp · link down and up · asks for its lease again', () => {
  const lab = new Client();
  lab.lease();
  lab.engine.linkSet(0, false);
  lab.run(20_000);
  lab.take();
  lab.engine.linkSet(0, true);
  lab.run(2000);
  assert.ok(lab.arps().some(({ target }) => target === SERVER), 'to renew from it');
  assert.equal(lab.state(), Dhcp.Renewing);
});

test('dhcp · lease for ever · never renewed', () => {
  const lab = new Client();
  lab.lease({ lease: 0xffffffff });
  lab.run(10 * 86_400_000);
  assert.deepEqual(lab.asked(), []);
  assert.deepEqual(lab.ours(), [`${OURS}/24`]);
});

test('dhcp · port 68 of a link without a client · port unreachable, as any other', () => {
  const lab = new EthernetLab({ addresses: ['10.5.0.1/24'] });
  lab.exchange(arp({ op: 1, from: SERVER, fromMac: ROUTER_MAC, to: '10.5.0.1' }));
  const frame = answer({ type: OFFER, xid: 1, to: '10.5.0.1' });
  const changed = lab.changed(() => lab.exchange(frame), /^Udp/);
  assert.deepEqual(changed, { UdpNoPorts: 1 });
});
