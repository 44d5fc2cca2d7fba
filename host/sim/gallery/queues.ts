/**
 * Listeners that overflow: an accept queue that nobody empties, and half-open connections whose
 * handshake never ends (docs/gallery/accept-queue.md, syn-backlog.md). listen(2), RFC 4987.
 */
import type { End } from '../apps.js';
import type { Case, Lab, Scenario, Setup } from '../scenario/index.js';

const PORT = 80;
const BACKLOG = 4;
const CLIENTS = 12;
const FIRST = 3;
/** When the application begins to accept. */
const ACCEPTS_FROM = 5;

const LINK = { between: ['client', 'server'], rateMbps: 100, delayMs: 10 } as const;

function acceptSetup(abort: boolean): Setup {
  return {
    seconds: 70,
    hosts: ['client', 'server'],
    links: [LINK],
    sysctls: { tcp_abort_on_overflow: abort ? 1 : 0 },
    script: (lab) => {
      const server = lab.serve('server', PORT, () => ({}), BACKLOG);
      server.paused = true;
      const ends: End[] = [];
      const call = (): void => {
        ends.push(lab.connect('client', 'server', PORT, { sendBytes: 100 }));
      };
      // A few are in the queue already when the others come, at once.
      for (let at = 0; at < CLIENTS; at++) lab.at(at < FIRST ? 0 : 0.1, call);
      lab.at(1, () => {
        const connected = ends.filter((end) => end.connected).length;
        lab.note('connectedAtOnce', connected);
        lab.say(`${connected} of ${CLIENTS} clients believe that they are connected`);
      });
      lab.at(ACCEPTS_FROM, () => {
        lab.note('overflows', lab.counter('server', 'TcpExtListenOverflows'));
        lab.note('accepted', server.ends.length);
        lab.say('the application accepts');
        server.paused = false;
        server.onEvents();
      });
      lab.at(69, () => {
        lab.note('served', server.ends.filter(({ received }) => received === 100).length);
        lab.note('reset', ends.filter(({ error }) => error === 'ECONNRESET').length);
        lab.say(`${lab.noted('served')} served, ${lab.noted('reset')} reset`);
      });
    },
    figures: (lab) => ({
      connectedAtOnce: lab.noted('connectedAtOnce'), overflows: lab.noted('overflows'),
      served: lab.noted('served'), reset: lab.noted('reset'),
    }),
  };
}

export const acceptQueue: Scenario = {
  name: 'accept-queue',
  title: 'an application too slow to accept: clients that are connected to nobody',
  cases: [
    { columns: { tcp_abort_on_overflow: 0 }, setup: acceptSetup(false) },
    { columns: { tcp_abort_on_overflow: 1 }, setup: acceptSetup(true) },
  ],
  shows: ['connectedAtOnce', 'overflows', 'served', 'reset'],
  expect: [
    { figure: 'overflows', row: { tcp_abort_on_overflow: 0 }, atLeast: 1 },
    // More believe that they are connected than the queue holds.
    { figure: 'connectedAtOnce', row: { tcp_abort_on_overflow: 0 }, atLeast: BACKLOG + 2 },
    { figure: 'reset', row: { tcp_abort_on_overflow: 0 }, atMost: 0 },
    { figure: 'reset', row: { tcp_abort_on_overflow: 1 }, atLeast: 1 },
  ],
  golden: [{ figure: 'served', better: 'more', tolerance: 0 }],
};

const FLOOD = 64;

function backlogCase(backlog: number): Case {
  return { columns: { tcp_max_syn_backlog: backlog }, setup: backlogSetup(backlog) };
}

/** Answers to these SYNs never arrive, as if their sources were forged. */
function flood(lab: Lab): void {
  const host = lab.host('flooder');
  for (let at = 0; at < FLOOD; at++) {
    const handle = host.engine.open();
    host.engine.connect(handle, lab.address('server'), PORT);
  }
  host.wake();
}

function backlogSetup(backlog: number): Setup {
  return {
    seconds: 100,
    hosts: ['flooder', 'client', 'server'],
    routers: ['router'],
    links: [
      {
        between: ['flooder', 'router'], delayMs: 5,
        backward: { outages: [{ from: 0 }] },
      },
      { between: ['client', 'router'], delayMs: 5 },
      { between: ['router', 'server'], rateMbps: 100, delayMs: 5 },
    ],
    sysctls: { tcp_max_syn_backlog: backlog, tcp_syncookies: 0 },
    hostSysctls: { server: { synRequestsMax: 512 }, flooder: { tcp_syn_retries: 1 } },
    script: (lab) => {
      lab.serve('server', PORT, () => ({}), 512);
      flood(lab);
      lab.at(0.5, () => {
        lab.say(`${lab.host('server').engine.pool('halfOpen').used} half-open connections`);
        const { engine, dispatcher } = lab.host('client');
        const handle = engine.open();
        dispatcher.attachConnection(handle, {
          onEvents: () => {
            if (lab.notes.has('connectSeconds')) return;
            lab.note('connectSeconds', lab.seconds - 0.5);
            lab.say(`an honest client is connected after ${(lab.seconds - 0.5).toFixed(3)} s`);
          },
        });
        engine.connect(handle, lab.address('server'), PORT);
        lab.host('client').wake();
      });
    },
    figures: (lab) => ({
      connectSeconds: lab.noted('connectSeconds'),
      halfOpenMost: lab.host('server').engine.pool('halfOpen').highWater,
      dropped: lab.counter('server', 'TcpExtTCPReqQFullDrop'),
    }),
  };
}

export const synBacklog: Scenario = {
  name: 'syn-backlog',
  title: 'half-open connections fill the SYN backlog: an honest client waits',
  cases: [backlogCase(16), backlogCase(256)],
  shows: ['connectSeconds', 'halfOpenMost', 'dropped'],
  expect: [
    { figure: 'dropped', row: { tcp_max_syn_backlog: 16 }, atLeast: 1 },
    { figure: 'connectSeconds', row: { tcp_max_syn_backlog: 16 }, atLeast: 0.9 },
    { figure: 'connectSeconds', row: { tcp_max_syn_backlog: 256 }, atMost: 0.1 },
  ],
  golden: [{ figure: 'connectSeconds', better: 'less', tolerance: 0.1 }],
};

