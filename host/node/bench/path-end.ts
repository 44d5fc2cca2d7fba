/**
 * Entry of one measurement of a path, in a network namespace of its own: a TUN device of that
 * namespace, the link emulator before it (link/impaired.ts, as `up --impair` has it), and behind
 * the emulator either our stack or a TUN device in a second namespace. The real iperf3 measures
 * from here. Started by paths.ts, told a PathRun as JSON, answers PathFigures. A process for each
 * run: no route's metrics, no queue and no warm cache is handed on to the next.
 */

import { openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative, type Native } from '../addon/index.js';
import { makeBoard } from '../board/board.js';
import { parseImpair } from '../board/impair.js';
import { CommandError } from '../cli/errors.js';
import { ImpairedLink } from '../link/impaired.js';
import { TunLink } from '../link/tun.js';
import { bringUp, openDevice } from '../runtime/running.js';
import { Bridge } from './bridge.js';
import { result, runEntry } from './end-entry.js';
import { report } from './iperf3-run.js';
import { untilListening } from './listening.js';
import { IPERF3_CLASS, type EndSettings, type PathFigures, type PathRun } from './path-run.js';
import { IPERF3_PORT } from './ports.js';
import { tethered } from './tether.js';

const NEAR = '10.99.0.1/24';
const FAR = '10.99.0.2';
/** A lossy path may take so long for the last words of iperf3's control connection, ms. */
const GRACE_MS = 20_000;
const NAMESPACE_STEP_MS = 5;
const NAMESPACE_STEPS = 1000;
/** Waits with its namespace until we have furnished it. */
const FAR_SERVER = `read go && exec "$@" iperf3 -s -p ${IPERF3_PORT}`;

interface Far {
  settings: EndSettings;
  link: ImpairedLink;
  bridge?: Bridge;
}

const sysctlFile = (name: string): string => `/proc/sys/net/ipv4/${name}`;

/** Sets what may be set in the namespace that this thread is in, and reads back what is. */
function kernelSettings(run: PathRun): EndSettings {
  const wanted = { tcp_rmem: run.rmem, tcp_wmem: run.wmem, tcp_no_metrics_save: '1' };
  for (const [name, value] of Object.entries(wanted)) {
    try {
      writeFileSync(sysctlFile(name), value);
    } catch {
      // Read back below: the figures say what it really was.
    }
  }
  const read = (name: string): string =>
    readFileSync(sysctlFile(name), 'utf8').trim().replace(/\s+/g, ' ');
  return { rmem: read('tcp_rmem'), wmem: read('tcp_wmem') };
}

/** What iperf3 is started by. */
const classOf = (run: PathRun): readonly string[] => (run.realTime ? IPERF3_CLASS : []);

async function untilMoved(pid: number): Promise<string> {
  const file = `/proc/${pid}/ns/net`;
  const own = readlinkSync('/proc/self/ns/net');
  for (let step = 0; step < NAMESPACE_STEPS; step++) {
    if (readlinkSync(file) !== own) return file;
    await sleep(NAMESPACE_STEP_MS);
  }
  throw new CommandError('the second namespace was not made in 5 s');
}

/** The kernel behind the emulator, in a namespace that iperf3's server holds. */
async function kernelFar(run: PathRun, native: Native, near: ImpairedLink): Promise<Far> {
  const args = ['--net', '--', 'sh', '-c', FAR_SERVER, 'sh', ...classOf(run)];
  const child = tethered('unshare', args, ['pipe', 'ignore', 'ignore']);
  const pid = child.pid ?? 0;
  child.once('exit', () => process.exit(1));
  const namespace = await untilMoved(pid);
  const home = openSync('/proc/self/ns/net', 'r');
  native.joinNetworkNamespace(namespace);
  const settings = kernelSettings(run);
  const far = TunLink.open({ name: 'far0', offload: false, addresses: [`${FAR}/24`] });
  native.joinNetworkNamespace(`/proc/self/fd/${home}`);
  const bridge = new Bridge(near, far);
  child.stdin?.write('go\n');
  await untilListening(IPERF3_PORT, String(pid));
  return { settings, link: near, bridge };
}

/** Our stack behind the emulator, as `up --impair` brings it up. */
async function stackFar(run: PathRun): Promise<Far> {
  const board = makeBoard({
    link: 'tun:near0', addr: [`${FAR}/24`], netns: 'host', offload: false, impair: run.impair,
    iperf3: String(IPERF3_PORT),
    sysctl: [`tcp_congestion_control=${run.congestion}`, `tcp_rmem=${run.rmem}`,
      `tcp_wmem=${run.wmem}`],
  });
  const { stack, link, failed } = await bringUp(board, openDevice(board), () => undefined);
  failed.catch(() => process.exit(1));
  const { engine } = stack;
  const triple = (name: 'tcp_rmem' | 'tcp_wmem'): string => (['min', 'default', 'max'] as const)
    .map((part) => engine.sysctlGet(`${name}_${part}`)).join(' ');
  return {
    settings: { rmem: triple('tcp_rmem'), wmem: triple('tcp_wmem') }, link: link as ImpairedLink,
  };
}

/**
 * Both kernels' ends are told their controller by the socket option: the sysctl refuses, outside
 * the machine's own namespace, what tcp_allowed_congestion_control does not list.
 */
async function measure(run: PathRun, near: EndSettings, far: Far): Promise<PathFigures> {
  const before = process.cpuUsage();
  const began = performance.now();
  const { end } = await report([
    '-c', FAR, '-p', String(IPERF3_PORT), '-t', String(run.seconds), '-J', '-C', run.congestion,
    ...(run.direction === 'out' ? ['-R'] : []),
  ], run.seconds, { graceMs: GRACE_MS, prefix: classOf(run) });
  const used = process.cpuUsage(before);
  const tookUs = (performance.now() - began) * 1000;
  return {
    goodputBps: end.sum_received.bits_per_second,
    retransmits: end.sum_sent.retransmits ?? 0,
    sender: end.sender_tcp_congestion ?? 'unknown',
    receiver: end.receiver_tcp_congestion ?? 'unknown',
    near, far: far.settings,
    linkCpu: (used.user + used.system) / tookUs,
    clientCpu: end.cpu_utilization_percent.host_total / 100,
    serverCpu: run.who === 'kernel' ? end.cpu_utilization_percent.remote_total / 100 : 0,
    punctuality: far.link.punctuality, dropped: far.bridge?.dropped ?? 0,
  };
}

runEntry(async ([text = '']) => {
  const run = JSON.parse(text) as PathRun;
  const native = loadNative();
  if (native === undefined) throw new CommandError('bench needs the addon or koffi');
  native.linkUp('lo', true);
  const near = kernelSettings(run);
  const far = run.who === 'ackorn' ? await stackFar(run)
    : await kernelFar(run, native, new ImpairedLink(
      TunLink.open({ name: 'near0', offload: false, addresses: [NEAR] }), parseImpair(run.impair),
    ));
  result(await measure(run, near, far));
});
