/**
 * The content of the simulator's transfers: pieces fit together at any offset, and one wrong byte
 * is found wherever it is.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patternAt, patternDiffers, Random } from '../../host/sim/index.js';

test('pattern · any piece at any offset is right, one changed byte is found at its place', () => {
  const random = new Random(11);
  for (let round = 0; round < 3000; round++) {
    const seed = random.below(5);
    const offset = random.chance(0.5) ? random.below(200) : random.u32() * 7;
    const length = 1 + random.below(random.pick([10, 3000, 70_000]));
    const piece = patternAt(seed, offset, length).slice();
    assert.equal(patternDiffers(seed, offset, piece), -1);
    const at = random.below(piece.length);
    piece[at] = (piece[at] as number) ^ (1 << random.below(8));
    assert.equal(patternDiffers(seed, offset, piece), at);
    if (round % 10 === 0 && piece.length > 64) {
      assert.ok(patternDiffers(seed + 1, offset, piece) >= 0, 'another connection’s');
      assert.ok(patternDiffers(seed, offset + 1, piece) >= 0, 'shifted by one');
    }
  }
});
