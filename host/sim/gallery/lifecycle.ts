/**
 * Connections that end badly or never: TIME-WAIT that uses up ports, a server that forgets to
 * close, a close that was meant as half of one (docs/gallery/time-wait.md, close-wait.md,
 * half-close.md). RFC 9293 §3.6, RFC 6191.
 */
import { ADDRESS_ANY } from '../../core/address.js';
import type { ErrnoName } from '../../core/errors.js';
import { EngineError } from '../../core/errors.js';
import { EVENT_CONNECTED, EVENT_ERROR, EVENT_PEER_FIN, EVENT_READABLE } from
  '../../../assembly/abi.js';
import type { Case, Lab, Scenario, Setup } from '../scenario/index.js';

const PORT = 80;
const LINK = { between: ['client', 'server'], rateMbps: 100, delayMs: 5 } as const;

/** Ephemeral ports of the client: the usual 28,232 take longer to use up. */
const PORTS = 200;
const EVERY_SECONDS = 0.02;
const CHURN_SECONDS = 20;

/** A short connection: connect, and close as soon as it stands. Closing first keeps TIME-WAIT. */
function shortConnection(lab: Lab): void {
  const host = lab.host('client');
  const { engine } = host;
  const handle = engine.open();
  try {
    engine.connect(handle, lab.address('server'), PORT);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    engine.close(handle);
    lab.note('refused', lab.noted('refused') + 1);
    if (lab.noted('refused') === 1) lab.say(`connect fails: ${error.message}`);
    return;
  }
  host.dispatcher.attachConnection(handle, {
    onEvents: (mask) => {
      if ((mask & EVENT_CONNECTED) === 0) return;
      lab.note('made', lab.noted('made') + 1);
      host.dispatcher.detachConnection(handle);
      engine.close(handle);
      host.wake();
    },
  });
  host.wake();
}

function timeWaitSetup(reuse: number): Setup {
  return {
    seconds: CHURN_SECONDS + 1,
    hosts: ['client', 'server'],
    links: [LINK],
    hostSysctls: {
      client: {
        ip_local_port_range_low: 40_000, ip_local_port_range_high: 40_000 + PORTS - 1,
        tcp_tw_reuse: reuse, timeWaitMax: 4096, connectionsMax: 512,
      },
      server: { connectionsMax: 512 },
    },
    script: (lab) => {
      lab.note('made', 0);
      lab.note('refused', 0);
      // The server closes as soon as it has read the FIN.
      lab.serve('server', PORT, () => ({ answerAfterFin: true, hasty: true }));
      const next = (): void => {
        shortConnection(lab);
        if (lab.seconds < CHURN_SECONDS) lab.after(EVERY_SECONDS, next);
      };
      next();
    },
    figures: (lab) => ({
      made: lab.noted('made'), refused: lab.noted('refused'),
      timeWaitMost: lab.host('client').engine.pool('timeWait').highWater,
    }),
  };
}

export const timeWait: Scenario = {
  name: 'time-wait',
  title: `fifty short connections a second from ${PORTS} ports: TIME-WAIT holds each for a minute`,
  cases: [0, 1].map((reuse): Case =>
    ({ columns: { tcp_tw_reuse: reuse }, setup: timeWaitSetup(reuse) })),
  shows: ['made', 'refused', 'timeWaitMost'],
  expect: [
    { figure: 'made', row: { tcp_tw_reuse: 0 }, atMost: PORTS },
    { figure: 'refused', row: { tcp_tw_reuse: 0 }, atLeast: 100 },
    { figure: 'refused', row: { tcp_tw_reuse: 1 }, atMost: 0 },
  ],
  golden: [{ figure: 'made', better: 'more', tolerance: 0 }],
};

const LEAKS = 40;

/** Accepts, and forgets what it has accepted: the leak. */
function neverClose(lab: Lab): void {
  const host = lab.host('server');
  const listener = host.engine.listen(ADDRESS_ANY, PORT, 128);
  host.dispatcher.attachListener(listener, {
    onEvents: () => {
      while (host.engine.accept(listener) !== undefined) host.wake();
    },
  });
}

export const closeWait: Scenario = {
  name: 'close-wait',
  title: 'a server that never closes: CLOSE-WAIT stays when the clients are long gone',
  setup: {
    seconds: 200,
    hosts: ['client', 'server'],
    links: [LINK],
    hostSysctls: { server: { connectionsMax: LEAKS - 8 } },
    script: (lab) => {
      lab.note('refused', 0);
      lab.note('made', 0);
      neverClose(lab);
      for (let at = 0; at < LEAKS; at++) lab.at(at * 0.1, () => shortConnection(lab));
      const count = (host: string, state: string): number =>
        [...lab.host(host).engine.sockets()].filter((socket) => socket.state === state).length;
      for (const seconds of [5, 65, 190]) {
        lab.at(seconds, () => {
          const [left, theirs] = [count('server', 'CLOSE_WAIT'), count('client', 'FIN_WAIT2')];
          lab.say(`server: ${left} in CLOSE_WAIT; client: ${theirs} in FIN_WAIT2`);
          lab.note(`closeWaitAt${seconds}`, left);
          lab.note(`finWait2At${seconds}`, theirs);
        });
      }
    },
    figures: (lab) => ({
      closeWait: lab.noted('closeWaitAt190'), finWait2: lab.noted('finWait2At190'),
      turnedAway: lab.counter('server', 'TcpExtListenDrops'),
    }),
  },
  expect: [
    { figure: 'closeWait', atLeast: LEAKS - 8 },
    { figure: 'finWait2', atMost: 0 },
    { figure: 'turnedAway', atLeast: 1 },
  ],
  golden: [{ figure: 'closeWait', better: 'same', tolerance: 0 }],
};

const ANSWER = 500_000;

/** Sends a request, then ends its side: by shutdown, or by a close that was meant as one. */
function halfCloseSetup(ends: 'shutdown' | 'close'): Setup {
  return {
    seconds: 20,
    hosts: ['client', 'server'],
    links: [LINK],
    script: (lab) => {
      const server = lab.serve('server', PORT, () =>
        ({ sendBytes: ANSWER, answerAfterFin: true }));
      const host = lab.host('client');
      const { engine } = host;
      const handle = engine.open();
      let received = 0;
      host.dispatcher.attachConnection(handle, {
        onEvents: (mask) => {
          if ((mask & EVENT_CONNECTED) !== 0) {
            engine.write(handle, new Uint8Array(1000), 0, 1000);
            lab.say(`the client has sent its request and calls ${ends}()`);
            if (ends === 'shutdown') engine.shutdown(handle, 1);
            else {
              host.dispatcher.detachConnection(handle);
              engine.close(handle);
            }
          } else if ((mask & (EVENT_READABLE | EVENT_PEER_FIN | EVENT_ERROR)) !== 0) {
            received += Math.max(0, engine.discard(handle));
          }
          host.wake();
        },
      });
      engine.connect(handle, lab.address('server'), PORT);
      host.wake();
      lab.at(19, () => {
        const error: ErrnoName | undefined = server.ends[0]?.error;
        lab.note('answerBytes', received);
        lab.note('serverFailed', error === undefined ? 0 : 1);
        lab.say(`the client got ${received} of ${ANSWER} bytes; ` +
          `the server ${error === undefined ? 'saw no error' : `got ${error}`}`);
      });
    },
    figures: (lab) => ({
      answerBytes: lab.noted('answerBytes'), serverFailed: lab.noted('serverFailed'),
      resets: lab.total('TcpOutRsts'),
    }),
  };
}

export const halfClose: Scenario = {
  name: 'half-close',
  title: 'close() where shutdown() was meant: the answer meets a RST',
  cases: (['shutdown', 'close'] as const).map((ends): Case =>
    ({ columns: { ends }, setup: halfCloseSetup(ends) })),
  shows: ['answerBytes', 'serverFailed', 'resets'],
  expect: [
    { figure: 'answerBytes', row: { ends: 'shutdown' }, atLeast: ANSWER },
    { figure: 'answerBytes', row: { ends: 'close' }, atMost: 0 },
    { figure: 'serverFailed', row: { ends: 'close' }, atLeast: 1 },
    { figure: 'resets', row: { ends: 'shutdown' }, atMost: 0 },
  ],
  golden: [{ figure: 'answerBytes', better: 'same', tolerance: 0 }],
};
