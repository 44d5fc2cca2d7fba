/**
 * Judges a scenario that somebody wrote, before anything runs: every key known, every value of its
 * kind, every name a host's, every time within the run. Throws ScenarioError, one line that names
 * the place. Called where scenarios are loaded; the gallery goes through it too, in a test.
 */
import { Congestion, Option } from '../../../assembly/abi.js';
import { CONFIG_NAMES } from '../../core/config.js';
import {
  callable, either, list, number, object, positive, record, text, truth, tuple, word, wrong,
  type Check,
} from './shape.js';
import type { Scenario, Setup } from './types.js';

function enumNames(of: object): string[] {
  return Object.keys(of).filter((name) => Number.isNaN(Number(name)));
}

export const CC_NAMES = enumNames(Congestion);

const cc = word(CC_NAMES);
const seconds = number(0);
const share = number(0, 1);
const u32 = number(0, 0xffffffff);
const whole: Check = (value, place) => {
  if (!Number.isInteger(value) || (value as number) < 0) wrong(place, 'a whole number is wanted');
};
const options = record(enumNames(Option), u32);
const sysctls = record(CONFIG_NAMES, u32);
const label = either('a text or a number', text, number(-Infinity));

const direction = object({
  loss: share,
  reorder: object({ share, ms: number(0), leastMs: number(0) }, ['share', 'ms']),
  jitterMs: number(0),
  duplicate: share,
  corrupt: share,
  loseData: list(whole),
  outages: list(object({ from: seconds, until: seconds }, ['from'])),
  spikes: list(object(
    { from: seconds, until: seconds, ms: number(0) }, ['from', 'until', 'ms'],
  )),
  stripOptions: list(number(2, 255)),
  narrowMtu: object({ bytes: number(68, 65_535), silent: truth }, ['bytes']),
});

const link = object({
  between: tuple(text, text),
  rateMbps: positive,
  delayMs: number(0),
  queueBdp: positive,
  queueRttMs: positive,
  mtu: number(68, 65_535),
  forward: direction,
  backward: direction,
}, ['between', 'delayMs']);

const flow = object({
  name: text, from: text, to: text, start: seconds, end: seconds, bytes: positive, keepOpen: truth, cc,
  options, receiverOptions: options, readFrom: seconds,
}, ['from', 'to']);

const setup = object({
  seconds: positive,
  measure: tuple(seconds, seconds),
  sampleMs: number(0.001),
  hosts: list(text, 2),
  routers: list(text),
  links: list(link, 1),
  flows: list(flow),
  sysctls,
  hostSysctls: record(undefined, sysctls),
  buffersBdp: positive,
  script: callable,
  figures: callable,
}, ['seconds', 'hosts', 'links']);

const row = record(undefined, label);
const expectation = object({
  figure: text, row, cc: list(cc, 1), atLeast: number(-Infinity), atMost: number(-Infinity),
  than: object({ figure: text, row, times: number(0) }, ['times']),
}, ['figure']);

const scenario = object({
  name: text, title: text, page: text, cc, seeds: positive, controllers: list(cc, 1), setup,
  slice: object({ seeds: positive, seconds: positive, measure: tuple(seconds, seconds) }),
  cases: list(object({ columns: row, setup }, ['columns', 'setup']), 1),
  shows: list(text, 1),
  expect: list(expectation),
  golden: list(object({
    figure: text, better: word(['more', 'less', 'same']), tolerance: number(0), slack: number(0),
  }, ['figure', 'better', 'tolerance'])),
}, ['name', 'title']);

/** Names and times within one setup. */
function checkSetup(of: Setup, place: string): void {
  const nodes = [...of.hosts, ...of.routers ?? []];
  const twice = nodes.find((name, at) => nodes.indexOf(name) !== at);
  if (twice !== undefined) wrong(`${place}.hosts`, `${twice} is there twice`);
  of.links.forEach(({ between }, at) => {
    const unknown = between.find((name) => !nodes.includes(name));
    const where = `${place}.links[${at}].between`;
    if (unknown !== undefined) wrong(where, `no host or router is called ${unknown}`);
    if (between[0] === between[1]) wrong(where, 'two different ends are wanted');
  });
  (of.flows ?? []).forEach((each, at) => {
    for (const end of ['from', 'to'] as const) {
      const where = `${place}.flows[${at}].${end}`;
      if (!of.hosts.includes(each[end])) wrong(where, `no host is called ${each[end]}`);
    }
  });
  const names = (of.flows ?? []).map(({ name }) => name).filter((name) => name !== undefined);
  const same = names.find((name, at) => names.indexOf(name) !== at);
  if (same !== undefined) wrong(`${place}.flows`, `two flows are called ${same}`);
  for (const name of Object.keys(of.hostSysctls ?? {})) {
    if (!of.hosts.includes(name)) wrong(`${place}.hostSysctls.${name}`, 'no host is called so');
  }
  const [from, until] = of.measure ?? [0, of.seconds];
  if (!(from < until && until <= of.seconds)) {
    wrong(`${place}.measure`, `two moments of the ${of.seconds} seconds are wanted, in order`);
  }
}

/** @throws ScenarioError that names the place */
export function checkScenario(value: unknown): Scenario {
  scenario(value, '');
  const checked = value as Scenario;
  if ((checked.setup === undefined) === (checked.cases === undefined)) {
    wrong('', 'either setup or cases is wanted');
  }
  if (checked.setup !== undefined) checkSetup(checked.setup, 'setup');
  (checked.cases ?? []).forEach((each, at) => checkSetup(each.setup, `cases[${at}].setup`));
  return checked;
}
