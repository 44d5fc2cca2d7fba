/**
 * The neighbour table (link/neighbor.ts): states and their times, packets that wait, who hears of a
 * failure, what a flood can and cannot do. Both families go through the same cases.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_SOFT_ERROR, NeighborState, Option } from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import { TraceReader } from '../../host/core/trace.js';
import {
  arp, ARP, BROADCAST, ethernet, EthernetLab, IPV4, IPV6, MAC, macText, neighborAdvertise,
  neighborSolicit, PEER, PEER_MAC, readArp, readNd, solicitedMac, US, type Frame,
} from '../support/ethernet-lab.js';
import { icmpMessage, ipv4Packet, tcpFrame } from '../support/frames.js';

const US6 = 'fd00::1';
const PEER6 = 'fd00::2';
const OTHER_MAC = '02:00:00:00:00:33';
const { Incomplete, Reachable, Stale, Delay, Probe, Failed } = NeighborState;

/** What differs between the families. */
interface Kind {
  name: string;
  peer: string;
  cidr: string;
  group: string;
  type: number;
  /** Solicitations among frames: where each went. */
  asked(frames: Frame[]): string[];
  answer(mac?: string): Uint8Array;
  packets(frames: Frame[]): Frame[];
}

const KINDS: Kind[] = [
  {
    name: 'arp', peer: PEER, cidr: `${US}/24`, group: BROADCAST, type: IPV4,
    asked: (frames) => frames.filter(({ type }) => type === ARP).map(readArp)
      .filter(({ op, target, from }) => op === 1 && target === PEER && from === US)
      .map(({ destination }) => destination),
    answer: (mac = PEER_MAC) =>
      arp({ op: 2, from: PEER, fromMac: mac, to: US, toMac: MAC, destination: MAC }),
    packets: (frames) => frames.filter(({ type }) => type === IPV4),
  },
  {
    name: 'nd', peer: PEER6, cidr: `${US6}/64`, group: solicitedMac(PEER6), type: IPV6,
    asked: (frames) => frames.filter(({ type, payload }) => type === IPV6 && payload[40] === 135)
      .map(readNd).filter(({ target, from, hopLimit, mac }) =>
        target === PEER6 && from === US6 && hopLimit === 255 && mac === MAC)
      .map(({ destination }) => destination),
    answer: (mac = PEER_MAC) => neighborAdvertise(mac, PEER6, US6, 0x60),
    packets: (frames) => frames.filter(({ type, payload }) => type === IPV6 && payload[40] === 128),
  },
];

for (const kind of KINDS) {
  const make = (config = {}): EthernetLab => {
    const lab = new EthernetLab({ addresses: [kind.cidr], config });
    lab.run(6000); // announcements and reports are over
    lab.take();
    return lab;
  };
  const resolved = (): EthernetLab => {
    const lab = make();
    lab.ping(kind.peer);
    lab.poll();
    lab.exchange(kind.answer());
    return lab;
  };

  test(`${kind.name} · first packet · waits, asks the group, leaves with the answer`, () => {
    const lab = make();
    lab.ping(kind.peer, 1);
    lab.ping(kind.peer, 2);
    lab.poll();
    const out = lab.take();
    assert.deepEqual(kind.asked(out), [kind.group]);
    assert.equal(kind.packets(out).length, 0);
    const row = lab.neighbor(kind.peer);
    assert.deepEqual([row?.state, row?.queued], [Incomplete, 2]);
    const packets = kind.packets(lab.exchange(kind.answer()));
    assert.deepEqual(packets.map(({ to, from }) => [to, from]), [[PEER_MAC, MAC], [PEER_MAC, MAC]]);
    const sequences = packets.map(({ payload }) => payload[kind.type === IPV4 ? 27 : 47]);
    assert.deepEqual(sequences, [1, 2], 'in their order');
    assert.ok(packets.every(({ length }) => length >= 60));
    assert.equal(lab.neighbor(kind.peer)?.state, Reachable);
    lab.assertBaseline();
  });

  test(`${kind.name} · nobody answers · three questions a second apart, the host is told`, () => {
    const lab = make();
    const traces = new TraceReader(lab.engine);
    lab.ping(kind.peer, 7);
    lab.run(2999);
    assert.deepEqual(kind.asked(lab.take()), [kind.group, kind.group, kind.group]);
    assert.equal(lab.neighbor(kind.peer)?.state, Incomplete);
    lab.run(2);
    assert.equal(lab.neighbor(kind.peer)?.state, Failed);
    assert.equal(lab.counter('AckornNeighborFailed'), 1);
    assert.equal(lab.counter('AckornNeighborQueueDrops'), 1);
    const told: number[] = [];
    traces.read((record) => { if (record.kind === 'EchoError') told.push(record.a); });
    assert.deepEqual(told, [7], 'host unreachable, for the ping that waited');
    lab.run(60_000);
    assert.equal(lab.take().length, 0, 'nobody asks any more');
    lab.ping(kind.peer, 8); // and a new packet asks again
    lab.poll();
    assert.deepEqual(kind.asked(lab.take()), [kind.group]);
    lab.run(4000);
    lab.assertBaseline();
  });

  test(`${kind.name} · unused, then used · stale, delay, probe to its MAC, reachable again`, () => {
    const lab = resolved();
    lab.run(46_000);
    assert.equal(lab.neighbor(kind.peer)?.state, Stale);
    lab.take();
    lab.ping(kind.peer, 3);
    lab.poll();
    assert.equal(kind.packets(lab.take()).length, 1, 'does not wait');
    assert.equal(lab.neighbor(kind.peer)?.state, Delay);
    lab.run(4990);
    assert.deepEqual(kind.asked(lab.take()), []);
    lab.run(20);
    assert.deepEqual(kind.asked(lab.take()), [PEER_MAC]);
    assert.equal(lab.neighbor(kind.peer)?.state, Probe);
    lab.exchange(kind.answer());
    assert.equal(lab.neighbor(kind.peer)?.state, Reachable);
  });

  test(`${kind.name} · probes unanswered · failed, the next packet asks the group`, () => {
    const lab = resolved();
    lab.run(46_000);
    lab.ping(kind.peer, 3);
    lab.run(5000 + 3001);
    assert.deepEqual(kind.asked(lab.take()), [PEER_MAC, PEER_MAC, PEER_MAC]);
    assert.equal(lab.neighbor(kind.peer)?.state, Failed);
    lab.ping(kind.peer, 4);
    lab.poll();
    assert.deepEqual(kind.asked(lab.take()), [kind.group]);
    const [packet] = kind.packets(lab.exchange(kind.answer(OTHER_MAC)));
    assert.equal(packet?.to, OTHER_MAC);
    lab.assertBaseline();
  });

  test(`${kind.name} · queue of a neighbour is full · the oldest goes`, () => {
    const lab = make({ unres_qlen: 3 });
    for (let sequence = 1; sequence <= 5; sequence++) lab.ping(kind.peer, sequence);
    lab.poll();
    assert.equal(lab.counter('AckornNeighborQueueDrops'), 2);
    const packets = kind.packets(lab.exchange(kind.answer()));
    const sequences = packets.map(({ payload }) => payload[kind.type === IPV4 ? 27 : 47]);
    assert.deepEqual(sequences, [3, 4, 5]);
    lab.assertBaseline();
  });

  test(`${kind.name} · transmit ring full when the answer comes · nothing is lost`, () => {
    const lab = make({ txSlots: 2 });
    lab.poll();
    lab.ping(kind.peer, 1);
    lab.poll();
    lab.ping(kind.peer, 2);
    lab.ping(kind.peer, 3);
    lab.poll();
    lab.take();
    lab.holdTx = true;
    lab.inject(kind.answer());
    lab.poll();
    assert.equal(lab.neighbor(kind.peer)?.queued, 1);
    lab.holdTx = false;
    lab.run(50);
    assert.equal(kind.packets(lab.take()).length, 3);
    lab.assertBaseline();
  });
}

test('neighbor · connect to a silent host · EHOSTUNREACH is a soft error, the SYN goes on', () => {
  const lab = new EthernetLab();
  const handle = lab.engine.open();
  lab.engine.connect(handle, parseAddress(PEER)!, 80);
  let mask = 0;
  for (let i = 0; i < 35; i++) {
    lab.run(100);
    lab.engine.events((_kind, _index, _generation, bits) => { mask |= bits; });
  }
  assert.ok((mask & EVENT_SOFT_ERROR) !== 0);
  assert.equal(lab.engine.getOption(handle, Option.SO_ERROR), 113);
  lab.take();
  lab.run(10_000);
  lab.exchange(arp({ op: 2, from: PEER, fromMac: PEER_MAC, to: US, toMac: MAC, destination: MAC }));
  lab.run(30_000);
  const syns = lab.take().filter(({ type, payload }) => type === IPV4 && payload[33] === 2);
  assert.ok(syns.length > 0, 'a SYN is sent again');
  lab.engine.abort(handle);
  lab.run(3000);
  lab.assertBaseline();
});

test('neighbor · flood of ARP requests from a whole subnet · bounded, the gateway survives', () => {
  const lab = new EthernetLab({ addresses: ['10.1.0.1/16'], config: { neighborsMax: 16 } });
  lab.route('0.0.0.0/0', PEER);
  lab.ping('192.0.2.1');
  lab.poll();
  lab.exchange(arp({ op: 2, from: PEER, fromMac: PEER_MAC, to: US, toMac: MAC, destination: MAC }));
  assert.equal(lab.neighbor(PEER)?.state, Reachable);
  for (let i = 0; i < 5000; i++) {
    const from = `10.1.${1 + (i >> 8)}.${i & 255}`;
    const fromMac = macText(Uint8Array.from([2, 1, 0, 0, i >> 8, i & 255]));
    lab.inject(arp({ op: 1, from, fromMac, to: US }));
    if (i % 32 === 31) lab.poll();
  }
  lab.poll();
  assert.ok(lab.neighbors().length <= 16);
  assert.deepEqual(lab.neighbor(PEER)?.mac, PEER_MAC);
  lab.take();
  lab.ping('192.0.2.1', 2);
  lab.poll();
  const [packet] = lab.take().filter(({ type }) => type === IPV4);
  assert.equal(packet?.to, PEER_MAC, 'still served');
  lab.assertBaseline();
});

test('neighbor · packets of 64 KiB that would wait · counted, gone; afterwards they pass', () => {
  const lab = new EthernetLab({ mtu: 65_535, config: { rxSlotBytes: 69_632 } });
  for (const size of [65_507, 65_463, 65_462]) lab.ping(PEER, 1, size); // 32 + 14 + 28 beside
  lab.poll();
  assert.equal(lab.counter('AckornNeighborQueueDrops'), 2);
  lab.exchange(arp({ op: 2, from: PEER, fromMac: PEER_MAC, to: US, destination: MAC }));
  lab.ping(PEER, 2, 65_507);
  lab.poll();
  assert.equal(lab.take().filter(({ length }) => length === 65_549).length, 1);
  lab.assertBaseline();
});

test('neighbor · full of hosts that answer · who merely asks finds no room', () => {
  const lab = new EthernetLab({ config: { neighborsMax: 8 } });
  const peer = (i: number): string => `10.1.0.${100 + i}`;
  for (let i = 0; i < 8; i++) {
    lab.ping(peer(i));
    lab.poll();
    lab.exchange(arp({ op: 2, from: peer(i), fromMac: PEER_MAC, to: US, destination: MAC }));
  }
  for (let i = 8; i < 40; i++) {
    lab.exchange(arp({ op: 1, from: peer(i), fromMac: PEER_MAC, to: US }));
  }
  const answering = lab.neighbors().filter(({ state }) => state === Reachable);
  assert.deepEqual(
    answering.map(({ address }) => address).sort(), [0, 1, 2, 3, 4, 5, 6, 7].map(peer),
  );
  assert.equal(lab.counter('AckornNeighborTableFull'), 32);
  lab.ping(peer(50));
  lab.poll();
  assert.equal(lab.neighbor(peer(50))?.state, Incomplete);
});

test('neighbor · SYNs from every address of a subnet · queue and table stay bounded', () => {
  const lab = new EthernetLab({
    addresses: ['10.1.0.1/16'], config: { neighborsMax: 16, neighborQueueMax: 8 },
  });
  lab.engine.listen(parseAddress('0.0.0.0')!, 80, 16);
  for (let i = 0; i < 3000; i++) {
    const from = `10.1.${1 + (i >> 8)}.${i & 255}`;
    const syn = tcpFrame({ from, to: US, sourcePort: 5000, destinationPort: 80, flags: 2, seq: i });
    lab.inject(ethernet(PEER_MAC, MAC, IPV4, syn));
    if (i % 32 === 31) lab.poll(1000);
  }
  lab.poll();
  assert.ok(lab.neighbors().length <= 16);
  const queued = lab.neighbors().reduce((sum, row) => sum + row.queued, 0);
  assert.ok(queued <= 8, `${queued} wait`);
  const requests = lab.counter('AckornArpOutRequests');
  assert.ok(requests <= 4000, `${requests} questions`);
  // somebody real comes through all this
  lab.run(1500);
  lab.exchange(arp({ op: 1, from: PEER, fromMac: PEER_MAC, to: US }));
  const echo = ipv4Packet({ from: PEER, to: US, protocol: 1 }, icmpMessage(8, 0, 9));
  const answers = lab.exchange(ethernet(PEER_MAC, MAC, IPV4, echo));
  assert.equal(answers.filter(({ to }) => to === PEER_MAC).length, 1);
  lab.run(200_000);
  for (const row of lab.neighbors()) assert.equal(row.queued, 0);
  assert.equal(lab.engine.pool('arena').used, 0);
});

test('neighbor · solicitations from every address of a /64 · bounded', () => {
  const lab = new EthernetLab({ addresses: [`${US6}/64`], config: { neighborsMax: 16 } });
  for (let i = 0; i < 3000; i++) {
    const mac = macText(Uint8Array.from([2, 1, 0, 0, i >> 8, i & 255]));
    lab.inject(neighborSolicit(mac, `fd00::1:${i.toString(16)}`, US6, US6));
    if (i % 32 === 31) lab.poll(1000);
  }
  lab.poll();
  assert.ok(lab.neighbors().length <= 16);
  const answer = lab.exchange(neighborSolicit(PEER_MAC, PEER6, US6, US6)).map(readNd);
  assert.deepEqual(answer.map(({ type, to, target }) => [type, to, target]), [[136, PEER6, US6]]);
  lab.assertBaseline();
});
