/**
 * A hop whose MTU is smaller, and a firewall that drops the ICMP message which says so: the
 * handshake and small requests pass, bulk data never does (docs/gallery/mtu-black-hole.md). RFC
 * 1191, RFC 2923 §2.1.
 */
import type { Case, Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

const NARROW = 1400;
const SMALL = 1000;
const LARGE = 100_000;

function holeCase(icmp: 'arrives' | 'is dropped', bytes: number): Case {
  const narrowMtu = { bytes: NARROW, silent: icmp === 'is dropped' };
  return {
    columns: { icmp, bytes },
    setup: onePath({ rateMbps: 100, rttMs: 40, seconds: 60, data: { narrowMtu } }, {
      flows: [{ from: 'sender', to: 'receiver', bytes }],
      figures: (lab) => ({ receivedBytes: lab.flows[0]?.received ?? 0 }),
    }),
  };
}

export const mtuBlackHole: Scenario = {
  name: 'mtu-black-hole',
  title: 'a hop of 1,400 bytes that says nothing: small transfers pass, large ones stall for ever',
  cases: [
    holeCase('arrives', LARGE), holeCase('is dropped', SMALL), holeCase('is dropped', LARGE),
  ],
  shows: ['receivedBytes', 'retransmits', 'timeouts'],
  expect: [
    { figure: 'receivedBytes', row: { icmp: 'arrives' }, atLeast: LARGE },
    { figure: 'receivedBytes', row: { icmp: 'is dropped', bytes: SMALL }, atLeast: SMALL },
    { figure: 'receivedBytes', row: { icmp: 'is dropped', bytes: LARGE }, atMost: 0 },
    { figure: 'timeouts', row: { icmp: 'is dropped', bytes: LARGE }, atLeast: 3 },
  ],
  golden: [{ figure: 'receivedBytes', better: 'more', tolerance: 0 }],
};
