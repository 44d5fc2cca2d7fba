/**
 * `npm run soak -- [MINUTES]`: the storms of tests/robust again and again, each round with seeds
 * that no round has tried, until the time (ten minutes) is over or one fails. Says which seeds, so
 * that a failure is found again with FIRST_SEED=n SEEDS=1 on the test that is named.
 */
import { spawnSync } from 'node:child_process';
import { root } from './repository.js';

const STORMS = ['worlds', 'frames', 'calls', 'tx-consumer'];
/** Seeds of one round: a minute or two. */
const ROUND = 400;
/** Far from those that CI tries. */
const FIRST = 1_000_000;

function storm(name: string, firstSeed: number): boolean {
  const env = { ...process.env, FIRST_SEED: String(firstSeed), SEEDS: String(ROUND) };
  const { status } = spawnSync(
    process.execPath, ['--test', `build/js/tests/robust/${name}.test.js`],
    { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  return status === 0;
}

function main(minutes: number): void {
  const endMs = performance.now() + minutes * 60_000;
  let firstSeed = FIRST + Math.floor(Date.now() / 1000) % FIRST * ROUND;
  for (let round = 1; performance.now() < endMs; round++, firstSeed += ROUND) {
    process.stdout.write(`round ${round}: seeds ${firstSeed} to ${firstSeed + ROUND - 1}\n`);
    for (const name of STORMS) {
      if (storm(name, firstSeed)) continue;
      process.stderr.write(`soak: ${name} fails, FIRST_SEED=${firstSeed}\n`);
      process.exitCode = 1;
      return;
    }
  }
}

const minutes = Number(process.argv[2] ?? 10);
if (Number.isFinite(minutes) && minutes > 0) main(minutes);
else {
  process.stderr.write('soak: minutes must be a number above 0\n');
  process.exitCode = 2;
}
