/**
 * The stall of Nagle's algorithm with delayed acknowledgements, and its cures: a request in two
 * small writes waits for an acknowledgement that the peer holds back (docs/gallery/nagle.md). RFC
 * 9293 §3.7.4, RFC 1122 §4.2.3.2.
 */
import { EVENT_CONNECTED, EVENT_READABLE, MSG_MORE, Option } from '../../../assembly/abi.js';
import type { Handle } from '../../core/engine.js';
import type { SimHost } from '../sim-host.js';
import type { Case, Lab, Scenario, Setup } from '../scenario/index.js';

const PORT = 80;
const ROUNDS = 20;
const HEADER = 100;
const BODY = 200;
const ANSWER = 50;

type Cure = 'none' | 'TCP_NODELAY' | 'one write' | 'TCP_QUICKACK';

interface Client { host: SimHost; handle: Handle; sentAt: number; rounds: number; worst: number }

/** The request: a header and a body, as two writes unless that is the cure. */
function request(lab: Lab, client: Client, cure: Cure): void {
  const { host, handle } = client;
  client.sentAt = lab.seconds;
  const flags = cure === 'one write' ? MSG_MORE : 0;
  host.engine.write(handle, new Uint8Array(HEADER), 0, HEADER, flags);
  // Each write is a system call of its own: the stack may send between them.
  host.wake();
  lab.after(0.00001, () => {
    host.engine.write(handle, new Uint8Array(BODY), 0, BODY);
    host.wake();
  });
}

/** Answers each whole request. */
function serve(lab: Lab, cure: Cure): void {
  const host = lab.host('server');
  const { engine } = host;
  const listener = engine.listen([0, 0, 0, 0], PORT, 4);
  host.dispatcher.attachListener(listener, {
    onEvents: () => {
      const handle = engine.accept(listener);
      if (handle === undefined) return;
      let got = 0;
      const read = (): void => {
        if (cure === 'TCP_QUICKACK') engine.setOption(handle, Option.TCP_QUICKACK, 1);
        const bytes = engine.discard(handle);
        if (bytes > 0) got += bytes;
        if (got >= HEADER + BODY) {
          got -= HEADER + BODY;
          engine.write(handle, new Uint8Array(ANSWER), 0, ANSWER);
        }
        host.wake();
      };
      host.dispatcher.attachConnection(handle, { onEvents: read });
      read();
    },
  });
}

function script(lab: Lab, cure: Cure): void {
  serve(lab, cure);
  const host = lab.host('client');
  const { engine } = host;
  const handle = engine.open();
  if (cure === 'TCP_NODELAY') engine.setOption(handle, Option.TCP_NODELAY, 1);
  const client: Client = { host, handle, sentAt: 0, rounds: 0, worst: 0 };
  lab.note('worstMs', 0);
  lab.note('rounds', 0);
  host.dispatcher.attachConnection(handle, {
    onEvents: (mask) => {
      if ((mask & EVENT_CONNECTED) !== 0) request(lab, client, cure);
      if ((mask & EVENT_READABLE) === 0 || engine.discard(handle) <= 0) return;
      const ms = (lab.seconds - client.sentAt) * 1000;
      client.worst = Math.max(client.worst, ms);
      client.rounds++;
      const after = `answered after ${ms.toFixed(2)} ms`;
      if (client.rounds <= 3) lab.say(`request ${client.rounds} ${after}`);
      lab.note('worstMs', client.worst);
      lab.note('rounds', client.rounds);
      lab.note('lastMs', ms);
      lab.note('totalMs', lab.seconds * 1000);
      if (client.rounds < ROUNDS) request(lab, client, cure);
    },
  });
  engine.connect(handle, lab.address('server'), PORT);
  host.wake();
}

function setup(cure: Cure): Setup {
  return {
    seconds: 10,
    hosts: ['client', 'server'],
    links: [{ between: ['client', 'server'], rateMbps: 100, delayMs: 5 }],
    script: (lab) => script(lab, cure),
    figures: (lab) => ({
      rounds: lab.noted('rounds'), worstMs: lab.noted('worstMs'),
      meanMs: lab.noted('totalMs') / lab.noted('rounds'),
    }),
  };
}

const CURES: readonly Cure[] = ['none', 'TCP_NODELAY', 'one write', 'TCP_QUICKACK'];

export const nagle: Scenario = {
  name: 'nagle',
  title: 'a request in two small writes stalls on Nagle with delayed ACK; three cures',
  cases: CURES.map((cure): Case => ({ columns: { cure }, setup: setup(cure) })),
  shows: ['rounds', 'meanMs', 'worstMs'],
  expect: [
    ...CURES.map((cure) => ({ figure: 'rounds', row: { cure }, atLeast: ROUNDS })),
    { figure: 'worstMs', row: { cure: 'none' }, atLeast: 45 },
    { figure: 'worstMs', row: { cure: 'TCP_NODELAY' }, atMost: 12 },
    { figure: 'worstMs', row: { cure: 'one write' }, atMost: 12 },
    // Nagle still waits for an acknowledgement, but nobody holds it back: two round trips.
    { figure: 'worstMs', row: { cure: 'TCP_QUICKACK' }, atMost: 22 },
  ],
};
