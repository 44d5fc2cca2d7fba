/**
 * ARP (link/arp.ts, link/arp-send.ts, ip/dad.ts): RFC 826 answers, RFC 5227 probes, announcements
 * and defence, in virtual time against a scripted neighbour.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressState, Errno, NeighborState, Table } from '../../assembly/abi.js';
import { parseAddress } from '../../host/core/address.js';
import {
  arp, BROADCAST, EthernetLab, MAC, PEER, PEER_MAC, readArp, US,
} from '../support/ethernet-lab.js';

const NOBODY = '0.0.0.0';
const OTHER_MAC = '02:00:00:00:00:33';

function request(to: string, from = PEER, fromMac = PEER_MAC): Uint8Array {
  return arp({ op: 1, from, fromMac, to });
}

test('arp · request for our address · answered to the sender alone, who is learned', () => {
  const lab = new EthernetLab();
  const [reply, ...more] = lab.exchange(request(US)).map(readArp);
  assert.equal(more.length, 0);
  assert.deepEqual({ ...reply, timeMs: 0 }, {
    op: 2, from: US, fromMac: MAC, target: PEER, destination: PEER_MAC, timeMs: 0,
  });
  assert.deepEqual(lab.neighbor(PEER), {
    address: PEER, state: NeighborState.Stale, mac: PEER_MAC, queued: 0,
  });
  assert.equal(lab.counter('AckornArpInRequests'), 1);
  assert.equal(lab.counter('AckornArpOutReplies'), 1);
});

test('arp · request for another address, from another subnet · not answered, not learned', () => {
  const lab = new EthernetLab();
  assert.equal(lab.exchange(request('10.1.0.77')).length, 0);
  assert.equal(lab.neighbor(PEER), undefined);
  assert.equal(lab.exchange(request(US, '192.0.2.9')).length, 1); // answered: it may be right
  assert.equal(lab.neighbor('192.0.2.9'), undefined);
});

test('arp · senders that cannot be · counted, not answered', () => {
  const lab = new EthernetLab();
  const broken = request(US);
  broken[15] = 2; // another hardware type
  const strange = [
    request(US, '224.0.0.1'), request(US, '255.255.255.255'), request(US, '10.1.0.255'),
    request(US, '127.0.0.1'), request(US, PEER, '00:00:00:00:00:00'), broken,
  ];
  for (const frame of strange) {
    // the frame itself comes from somebody who can be
    frame.set([2, 0, 0, 0, 0, 2], 6);
    const changed = lab.changed(() => assert.equal(lab.exchange(frame).length, 0));
    assert.deepEqual(changed, { AckornArpInErrors: 1 });
  }
  assert.equal(lab.neighbors().length, 0);
});

test('arp · reply that nobody asked for · makes no entry', () => {
  const lab = new EthernetLab();
  lab.exchange(arp({ op: 2, from: PEER, fromMac: PEER_MAC, to: US, destination: MAC }));
  assert.equal(lab.neighbors().length, 0);
});

test('arp · gratuitous announcement with another MAC · the neighbour is followed', () => {
  const lab = new EthernetLab();
  lab.exchange(request(US));
  lab.exchange(arp({ op: 1, from: PEER, fromMac: OTHER_MAC, to: PEER }));
  assert.equal(lab.neighbor(PEER)?.mac, OTHER_MAC);
  assert.equal(lab.neighbor(PEER)?.state, NeighborState.Stale);
});

test('arp · new address · three probes, used after two seconds of silence, announced twice', () => {
  const lab = new EthernetLab({ config: { arp_probes: 3 } });
  const begun = lab.nowUs / 1000;
  assert.equal(lab.addresses()[0]?.state, AddressState.Tentative);
  assert.equal(lab.exchange(request(US)).length, 0, 'not ours yet');
  lab.run(12_000);
  const seen = lab.arps();
  assert.deepEqual(seen.map(({ from, target, destination }) => [from, target, destination]), [
    ...Array<string[]>(3).fill([NOBODY, US, BROADCAST]),
    ...Array<string[]>(2).fill([US, US, BROADCAST]),
  ]);
  const at = seen.map(({ timeMs }) => timeMs - begun);
  assert.ok(at[0]! <= 1000, 'PROBE_WAIT');
  for (const i of [1, 2]) assert.ok(at[i]! - at[i - 1]! >= 1000 && at[i]! - at[i - 1]! <= 2001);
  assert.ok(at[3]! - at[2]! >= 2000 && at[3]! - at[2]! < 2010, 'ANNOUNCE_WAIT');
  assert.ok(at[4]! - at[3]! >= 2000 && at[4]! - at[3]! < 2010, 'ANNOUNCE_INTERVAL');
  assert.equal(lab.addresses()[0]?.state, AddressState.Preferred);
  assert.equal(lab.exchange(request(US)).length, 1);
});

test('arp · somebody answers a probe, or probes too · the address is not used', () => {
  const conflicts: [string, Uint8Array][] = [
    ['reply', arp({ op: 2, from: US, fromMac: PEER_MAC, to: NOBODY, destination: MAC })],
    ['announcement', request(US, US)],
    ['probe', request(US, NOBODY)],
  ];
  for (const [name, frame] of conflicts) {
    const lab = new EthernetLab({ config: { arp_probes: 3 } });
    lab.run(1100);
    lab.exchange(frame);
    lab.run(20_000);
    assert.equal(lab.addresses()[0]?.state, AddressState.Duplicate, name);
    assert.equal(lab.counter('AckornAddressConflicts'), 1, name);
    assert.equal(lab.exchange(request(US)).length, 0, name);
    const [a0, a1, a2, a3] = parseAddress(PEER)!;
    assert.equal(lab.engine.calls.icmpEcho(a0, a1, a2, a3, 1, 1, 8, 0), -Errno.ENETUNREACH, name);
    lab.engine.addressRemove(0);
    assert.equal([...lab.engine.table(Table.Addresses)].length, 0, name);
  }
});

test('arp · conflict over an address in use · defended once in ten seconds, kept', () => {
  const lab = new EthernetLab();
  lab.run(5000); // announcements
  const claim = request(US, US);
  const defence = lab.exchange(claim).map(readArp);
  assert.deepEqual(defence.map(({ from, target }) => [from, target]), [[US, US]]);
  for (let i = 0; i < 8; i++) {
    lab.run(1000);
    assert.equal(lab.exchange(claim).length, 0);
  }
  lab.run(3000);
  assert.equal(lab.exchange(claim).length, 1);
  assert.equal(lab.counter('AckornAddressConflicts'), 10);
  assert.equal(lab.addresses()[0]?.state, AddressState.Preferred);
  assert.equal(lab.neighbors().length, 0, 'ourselves is no neighbour');
});

test('arp · probe of another for our address in use (arping -D) · answered', () => {
  const lab = new EthernetLab();
  const [reply] = lab.exchange(request(US, NOBODY)).map(readArp);
  assert.deepEqual([reply?.op, reply?.from, reply?.destination], [2, US, PEER_MAC]);
  assert.equal(lab.counter('AckornAddressConflicts'), 0);
});

test('arp · link down and up · silent, then announced again', () => {
  const lab = new EthernetLab();
  lab.exchange(request(US));
  lab.engine.linkSet(0, false);
  assert.equal(lab.neighbors().length, 0);
  assert.equal(lab.exchange(request(US)).length, 0);
  lab.take();
  lab.engine.linkSet(0, true);
  lab.run(5000);
  const again = lab.arps().map(({ from, target }) => [from, target]);
  assert.deepEqual(again, [[US, US], [US, US]]);
  assert.equal(lab.exchange(request(US)).length, 1);
});

test('arp · link down while an address is probed for · the silence proves nothing', () => {
  const lab = new EthernetLab({ config: { arp_probes: 3 } });
  lab.run(1500);
  lab.engine.linkSet(0, false);
  lab.run(60_000);
  assert.equal(lab.addresses()[0]?.state, AddressState.Tentative);
  lab.take();
  lab.engine.linkSet(0, true);
  lab.run(8000);
  assert.equal(lab.arps().filter(({ from }) => from === NOBODY).length, 3, 'from the beginning');
  assert.equal(lab.addresses()[0]?.state, AddressState.Preferred);
});
