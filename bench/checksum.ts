/**
 * The Internet checksum with SIMD and without, ns and GB/s for messages of four sizes, best of
 * seven runs. Compare the two columns of one run; absolute figures drift.
 *   npx tsc -p . && node build/js/bench/checksum.js
 */
import { compileCore, makeCore } from '../tests/engine/core-engine.js';

const BYTES_A_RUN = 2e7;
const AT = 65536 + 2; // as payload behind headers: not aligned

const variants = [
  ['SIMD', makeCore(compileCore('bench-simd'), 2)],
  ['u64', makeCore(compileCore('bench-u64', '--disable', 'simd'), 2)],
] as const;

for (const [, core] of variants) {
  for (let i = 0; i < 200; i++) core.call('checksumRounds', AT, 100, 10000); // let V8 optimise
}
for (const length of [20, 60, 1500, 65536]) {
  const cells = variants.map(([name, core]) => {
    const rounds = Math.ceil(BYTES_A_RUN / length);
    let best = Infinity;
    for (let run = 0; run < 7; run++) {
      const begun = performance.now();
      core.call('checksumRounds', AT, length, rounds);
      best = Math.min(best, ((performance.now() - begun) * 1e6) / rounds);
    }
    return `${name} ${best.toFixed(1)} ns ${(length / best).toFixed(1)} GB/s`;
  });
  console.log(`${length} bytes: ${cells.join('   ')}`);
}
