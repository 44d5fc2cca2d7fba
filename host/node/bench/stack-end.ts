/**
 * Entry of a process with a stack of ours on a TUN device in the parent's network namespace,
 * serving iperf3 and echo. Started by ends.ts. Arguments: the device, our address, `on` or `off`
 * (offload), then what `up` takes as --sysctl.
 */

import { makeBoard } from '../board/board.js';
import { bringUp, openDevice } from '../runtime/running.js';
import { ready, runEntry } from './end-entry.js';
import { ECHO_PORT, IPERF3_PORT } from './ports.js';

runEntry(async ([device = '', address = '', offload, ...sysctl]) => {
  const board = makeBoard({
    link: `tun:${device}`, addr: [address], netns: 'host', offload: offload === 'on',
    echo: String(ECHO_PORT), iperf3: String(IPERF3_PORT), sysctl,
  });
  const running = await bringUp(board, openDevice(board), () => undefined);
  running.failed.catch(() => process.exit(1));
  ready();
});
