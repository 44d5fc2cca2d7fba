/**
 * `ackorn start`, which `npm start` runs: a stack on a TUN device in a namespace of its own serves
 * docs/ over HTTP, the kernel's TCP fetches a page from it, and what crossed the wire is printed;
 * then it goes on serving. Where there is no TUN device, a second stack on an in-process wire is
 * the client. ACKORN_START_ONCE=1 ends it after the demonstration.
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { State } from '../../../../assembly/abi.js';
import { makeBoard, type Board } from '../../board/board.js';
import { serveControl } from '../../control/attach.js';
import { createWire } from '../../link/wire.js';
import { bringUp, openDevice, type Running } from '../../runtime/running.js';
import { Stack } from '../../stack.js';
import { fetchWithKernel, fetchWithStack } from '../demo-client.js';
import { CommandError } from '../errors.js';
import type { FetchReport } from '../fetch-page.js';
import { Lifetime } from '../lifetime.js';
import {
  enterNamespace, findNamespace, insideNamespace, raiseLoopback,
} from '../namespace.js';
import { Story } from '../story.js';

const PAGE = 'abi.md';
const STACK = '10.99.0.2';
const CLIENT = '10.99.0.1';
/** After the page is there: until both sides have closed. */
const CLOSE_MS = 3000;
/** How often we look whether whoever started us is still there, ms. */
const PARENT_CHECK_MS = 300;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function documents(): string {
  const folder = fileURLToPath(new URL('../../../../../../docs', import.meta.url));
  if (existsSync(`${folder}/${PAGE}`)) return folder;
  throw new CommandError(`${folder} is missing: start runs from the repository; use ackorn up`);
}

function boardOf(directory: string): Board {
  return makeBoard({ addr: [`${STACK}/24`, 'fd99::2/64'], http: [`80=${directory}`] });
}

/** Waits for the last ACK: the connection that served the page ends in TIME-WAIT or CLOSED. */
async function untilClosed(story: Story): Promise<void> {
  for (let waited = 0; waited < CLOSE_MS; waited += 10) {
    if (story.states.some((state) => state === State.TIME_WAIT || state === State.CLOSE)) break;
    await sleep(10);
  }
  await sleep(60); // an ACK that is still on its way belongs to the picture
}

async function demonstrate(
  running: Running, client: string, fetch: (url: URL) => Promise<FetchReport>,
): Promise<void> {
  const url = new URL(`http://${STACK}/${PAGE}`);
  say(`\n${client} fetches ${url.href}; its packets, and our states between them:\n`);
  const story = new Story(running.capture, running.stack);
  let report: FetchReport;
  try {
    report = await fetch(url);
    await untilClosed(story);
  } finally {
    for (const line of story.end()) say(line);
  }
  const http = running.services.find(({ name }) => name === 'http');
  const wanted = createHash('sha256').update(readFileSync(`${http?.directory}/${PAGE}`));
  const same = report.sha256 === wanted.digest('hex');
  say(`\n${report.status}, ${report.bytes} bytes in ${report.ms.toFixed(1)} ms, `
    + `${same ? 'the same bytes as' : 'NOT the bytes of'} docs/${PAGE}`);
  if (report.status !== 200 || !same) throw new CommandError('the page did not come as it is');
}

/** Whoever started us (npm) may die without a word: then we end as if we had been told to. */
function watchParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, PARENT_CHECK_MS);
  timer.unref();
}

async function serve(
  running: Running, lifetime: Lifetime, demonstration: () => Promise<void>, hint: string[],
): Promise<void> {
  try {
    const end = Promise.race([lifetime.ended, running.failed]);
    end.catch(() => undefined);
    await Promise.race([demonstration(), end]);
    if (process.env['ACKORN_START_ONCE'] === '1' || lifetime.signal.aborted) return;
    for (const line of hint) say(line);
    await end;
  } finally {
    await lifetime.close(() => running.close());
  }
}

/** On a TUN device, inside the namespace. */
async function startOnTun(directory: string): Promise<void> {
  const lifetime = new Lifetime();
  raiseLoopback();
  const board = boardOf(directory);
  const running = await bringUp(board, openDevice(board), () => undefined);
  const control = await serveControl(running);
  running.onClose(() => control.close());
  say(`ackorn: ${STACK} and fd99::2 are our TCP, ${CLIENT} and fd99::1 the kernel's, `
    + `on ${board.device} in a network namespace of its own`);
  const kernel = "the kernel's TCP";
  await serve(running, lifetime, () => demonstrate(
    running, kernel, (url) => fetchWithKernel(url.href),
  ), [
    `\nserving docs/ as the stack '${control.name}'; in another terminal:`,
    `  npx ackorn exec -- curl http://${STACK}/`,
    '  npx ackorn ss -ti     npx ackorn nstat     npx ackorn dump -S',
    'Ctrl-C ends it and leaves nothing behind',
  ]);
}

/** Without privileges: two stacks of ours on a wire. */
async function startOnWire(directory: string, reasons: readonly string[]): Promise<void> {
  for (const reason of reasons) say(`ackorn: no TUN device here: ${reason}`);
  say('ackorn: two stacks of ours on a wire inside this process instead');
  const lifetime = new Lifetime();
  const wire = createWire({ names: ['wire0', 'wire1'] });
  const board = { ...boardOf(directory), device: 'wire0' };
  const running = await bringUp(board, wire.a, () => undefined);
  const control = await serveControl(running);
  running.onClose(() => control.close());
  const client = await Stack.create({ links: [wire.b], addresses: [`${CLIENT}/24`] });
  running.onClose(() => client.close());
  await serve(running, lifetime, () => demonstrate(
    running, 'the second stack', (url) => fetchWithStack(client, url),
  ), [
    `\nserving docs/ on the wire as the stack '${control.name}'; in another terminal:`,
    '  npx ackorn ss -tl     npx ackorn nstat     npx ackorn dump -S',
    'Ctrl-C ends it and leaves nothing behind',
  ]);
}

async function start(): Promise<number> {
  const directory = documents();
  if (insideNamespace !== undefined) {
    await startOnTun(directory);
    return 0;
  }
  watchParent();
  const found = findNamespace();
  if ('kind' in found) return await enterNamespace(found.kind);
  await startOnWire(directory, found.reasons);
  return 0;
}

/** Adds the command. */
export function registerStart(
  program: Command, run: (action: () => Promise<number>) => void,
): void {
  program.command('start')
    .description('a stack on TUN serving docs/, and the kernel fetching a page from it')
    .action(() => run(start));
}
