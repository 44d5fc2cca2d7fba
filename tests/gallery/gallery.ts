/**
 * Tests of the gallery's outcomes: each scenario's slice with each of its controllers, its
 * expectations and its golden figures. ACKORN_GALLERY=full runs whole scenarios; their figures are
 * judged by the expectations alone. Used by the *.test.ts beside it, which share the work out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GALLERY } from '../../host/sim/gallery/index.js';
import {
  compare, controllersOf, judge, runScenario, sliceOf, type CcName, type Scenario,
} from '../../host/sim/scenario/index.js';
import { readGolden } from '../../tools/golden.js';
import { engine } from '../sim/module.js';

/** Which test file has which scenarios; those that take long are alone. */
export const GROUPS = {
  bdp: ['bdp-1g-0.5ms', 'bdp-1g-80ms', 'bdp-10g-100ms'],
  loss: ['sawtooth', 'mathis', 'bbr-loss-1', 'loss-5', 'smoltcp-table', 'cubic-window'],
  sharing: ['fairness-2', 'fairness-10', 'rtt-unfairness', 'bbr-vs-cubic', 'bufferbloat'],
  recovery: [
    'slow-start', 'fast-retransmit', 'sack', 'rto-backoff', 'delay-spike', 'reordering',
  ],
  behaviour: [
    'nagle', 'zero-window', 'window-scale', 'mtu-black-hole', 'framing', 'head-of-line',
    'accept-queue', 'syn-backlog', 'time-wait', 'close-wait', 'half-close',
  ],
} as const;

const full = process.env['ACKORN_GALLERY'] === 'full';
const golden = readGolden();

function outcome(scenario: Scenario, cc: CcName): void {
  const report = runScenario(full ? scenario : sliceOf(scenario), { module: engine, cc });
  const verdicts = judge(report);
  const failed = verdicts.filter(({ holds }) => !holds).map(({ text }) => `not so: ${text}`);
  const findings = full ? [] : compare(report, golden[`${scenario.name}/${cc}`]);
  assert.deepEqual([...failed, ...findings], []);
}

/** Registers the tests of a group. */
export function testGroup(group: keyof typeof GROUPS): void {
  describe(`gallery · ${group}`, () => {
    for (const name of GROUPS[group]) {
      const scenario = GALLERY.find((each) => each.name === name);
      if (scenario === undefined) throw new Error(`no scenario is called ${name}`);
      for (const cc of controllersOf(scenario)) {
        test(`${name} · ${cc} · ${scenario.title}`, () => outcome(scenario, cc));
      }
    }
  });
}
