/**
 * Windows that close or never open: a receiver that does not read and the probes that find out when
 * it does, and a middlebox that overwrites the window scale option (docs/gallery/zero-window.md,
 * window-scale.md). RFC 9293 §3.8.6.1, RFC 7323 §2.
 */
import type { Case, Scenario } from '../scenario/index.js';
import { onePath } from './paths.js';

const READS_FROM = 20;

function zeroWindowCase(update: 'arrives' | 'is lost'): Case {
  const acks = update === 'arrives' ? {}
    : { acks: { outages: [{ from: READS_FROM - 0.001, until: READS_FROM + 0.2 }] } };
  return {
    columns: { windowUpdate: update },
    setup: onePath({ rateMbps: 10, rttMs: 50, seconds: 60, ...acks }, {
      sampleMs: 50,
      flows: [{ from: 'sender', to: 'receiver', readFrom: READS_FROM }],
      // A window of 64 KiB fills at once.
      sysctls: { tcp_rmem_default: 65_536, tcp_rmem_max: 65_536 },
      script: (lab) => {
        let probes = 0;
        lab.host('sender').onPoll = () => {
          const now = lab.counter('sender', 'TcpExtTCPWinProbe');
          if (now > probes) lab.say(`probe ${now}`);
          probes = now;
        };
        lab.at(READS_FROM, () => {
          lab.note('received', lab.flows[0]?.received ?? 0);
          lab.say('the receiver reads');
        });
        const watch = (): void => {
          const flow = lab.flows[0];
          // The first bytes read were in the buffer; one more buffer came over the path.
          if ((flow?.received ?? 0) > 100_000) {
            lab.note('resumedSeconds', lab.seconds - READS_FROM);
            lab.say('data flows again');
          } else lab.after(0.01, watch);
        };
        lab.at(READS_FROM, watch);
      },
      figures: (lab) => ({
        probes: lab.counter('sender', 'TcpExtTCPWinProbe'),
        resumedSeconds: lab.noted('resumedSeconds'),
      }),
    }),
  };
}

export const zeroWindow: Scenario = {
  name: 'zero-window',
  title: 'a receiver that does not read for 20 s: probes, and what if the update is lost',
  cases: [zeroWindowCase('arrives'), zeroWindowCase('is lost')],
  shows: ['probes', 'resumedSeconds', 'timeouts'],
  expect: [
    { figure: 'probes', row: { windowUpdate: 'arrives' }, atLeast: 5 },
    { figure: 'resumedSeconds', row: { windowUpdate: 'arrives' }, atMost: 0.3 },
    // Only the next probe tells; without probes it would be never.
    { figure: 'resumedSeconds', row: { windowUpdate: 'is lost' }, atLeast: 0.3, atMost: 30 },
  ],
  golden: [{ figure: 'resumedSeconds', better: 'less', tolerance: 0.1 }],
};

const SCALE_OPTION = 3;
const RTT_MS = 80;

function scaleCase(middlebox: 'none' | 'strips window scale'): Case {
  const data = middlebox === 'none' ? {} : { data: { stripOptions: [SCALE_OPTION] } };
  return {
    columns: { middlebox },
    setup: onePath({ rateMbps: 100, rttMs: RTT_MS, seconds: 15, measure: [5, 15], ...data }),
  };
}

export const windowScale: Scenario = {
  name: 'window-scale',
  title: 'a middlebox that overwrites the window scale option: 64 KiB a round trip, for ever',
  cases: [scaleCase('none'), scaleCase('strips window scale')],
  shows: ['goodputBps', 'utilization', 'rttMsP50'],
  expect: [
    { figure: 'utilization', row: { middlebox: 'none' }, atLeast: 0.9 },
    {
      figure: 'goodputBps', row: { middlebox: 'strips window scale' },
      atMost: (65_535 * 8) / (RTT_MS / 1000), atLeast: (0.8 * 65_535 * 8) / (RTT_MS / 1000),
    },
  ],
  golden: [{ figure: 'goodputBps', better: 'more', tolerance: 0.03 }],
};
