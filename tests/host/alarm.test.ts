/**
 * The alarm of links that hold packets back, over each native layer and over none: never early,
 * set again, silent when closed, and no descriptor stays.
 */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { chooseNative } from '../../host/node/addon/index.js';
import { makeAlarm, type Alarm } from '../../host/node/link/alarm.js';
import { buildAddon } from '../../tools/build-addon.js';

const INDEX = new URL('../../host/node/addon/index.js', import.meta.url).href;

/** Open timers of this process. */
function timers(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('timerfd');
    } catch {
      return false; // the one of readdir itself
    }
  }).length;
}

buildAddon();
for (const kind of ['addon', 'koffi', 'none']) {
  const { native } = chooseNative(kind);

  test(`${kind} · rings once each time, never early`, async () => {
    assert.equal(native === undefined, kind === 'none');
    const before = timers();
    const early: number[] = [];
    let rung = 0;
    let setAt = 0;
    await new Promise<void>((resolve) => {
      const ring = (): void => {
        rung++;
        early.push(setAt + 0.7 - performance.now());
        if (rung === 20) {
          alarm.close();
          resolve();
          return;
        }
        setAt = performance.now();
        alarm.set(700);
      };
      const alarm: Alarm = makeAlarm(native, ring);
      setAt = performance.now();
      alarm.set(700);
      setTimeout(() => resolve(), 5000); // an alarm keeps no process alive, and the test waits
    });
    assert.equal(rung, 20);
    // Node rounds setTimeout to whole milliseconds, either way.
    const most = Math.max(...early);
    assert.ok(most < (native === undefined ? 1 : 0.02), `${most} ms early`);
    assert.equal(timers(), before);
  });

  test(`${kind} · set again replaces, close silences`, async () => {
    const rings: number[] = [];
    const began = performance.now();
    const alarm = makeAlarm(native, () => rings.push(performance.now() - began));
    alarm.set(1000);
    alarm.set(30_000);
    await delay(60);
    assert.equal(rings.length, 1);
    assert.ok(rings[0]! >= 29, `${rings[0]} ms`);
    alarm.set(1000);
    alarm.close();
    alarm.close();
    await delay(20);
    assert.equal(rings.length, 1, 'neither twice nor after the close');
  });
}

test('addon · a worker that forgets its timer · it is closed with the worker', async () => {
  const before = timers();
  const worker = new Worker(`
    import { chooseNative } from '${INDEX}';
    import { parentPort } from 'node:worker_threads';
    const { native } = chooseNative('addon');
    const fd = native.openTimer();
    native.startPoll(fd, true, false, () => undefined);
    parentPort.postMessage(native.setTimer(fd, 1e6));
    setInterval(() => undefined, 1000);
  `, { eval: true });
  const [set] = await new Promise<[number]>((resolve, reject) => {
    worker.once('message', (value: number) => resolve([value]));
    worker.once('error', reject);
  });
  assert.equal(set, 0);
  assert.equal(timers(), before + 1);
  await worker.terminate();
  assert.equal(timers(), before);
});
