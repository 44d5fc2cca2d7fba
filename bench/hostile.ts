/**
 * What hostile peers cost a neighbour: CPU time for its echoed megabyte before and under attack,
 * and the ratio of its rates. The attackers' packets are made beforehand and their own cost is told
 * apart: a rate is messages echoed in the time that the engine had left for anyone. Run: node
 * build/js/bench/hostile.js [connections]. Figures differ from machine to machine.
 */
import {
  everySecondByte, feed, MESSAGE, sackPieces, Scene, sweep,
} from '../tests/robust/hostile.js';

const ECHOES = 2000;
const count = Number(process.argv[2] ?? 500);

/** Milliseconds of CPU for ECHOES messages there and back. */
function echoes(scene: Scene): number {
  const begun = process.cpuUsage();
  for (let at = 0; at < ECHOES; at++) scene.echo();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
}

/** Best of three: what the machine does beside it is not what is measured. */
function best(scene: Scene): number {
  return Math.min(echoes(scene), echoes(scene), echoes(scene));
}

function report(name: string, before: number, under: number, packets: number, ms: number): void {
  const megabytes = (ECHOES * MESSAGE.length) / 1e6;
  const each = ((ms * 1000) / packets).toFixed(2);
  process.stdout.write(
    `${name.padEnd(28)} ${(before / megabytes).toFixed(2)} ms/MB before, ` +
    `${(under / megabytes).toFixed(2)} under attack, ratio ${(before / under).toFixed(2)}; ` +
    `${packets} hostile packets at ${each} µs\n`,
  );
}

function measured(work: () => number): [packets: number, ms: number] {
  const begun = performance.now();
  const packets = work();
  return [packets, performance.now() - begun];
}

function everySecond(): void {
  const scene = new Scene({ segmentsMax: 65_536, arenaBytes: 64 << 20 });
  echoes(scene);
  const before = best(scene);
  scene.attack(count, 1460);
  const [packets, ms] = measured(() => {
    for (let round = 0; round < 400; round++) everySecondByte(scene, round);
    return count * 400;
  });
  report('every second byte', before, best(scene), packets, ms);
}

function sacks(): void {
  const scene = new Scene({ segmentsMax: 65_536, arenaBytes: 128 << 20, tcp_init_cwnd: 1000 });
  echoes(scene);
  const before = best(scene);
  scene.attack(count, 48);
  feed(scene, 48_000);
  const [packets, ms] = measured(() => {
    for (let round = 0; round < 60; round++) sackPieces(scene, round, 48);
    return count * 60;
  });
  report('SACK pieces at MSS 48', before, best(scene), packets, ms);
}

function sweeps(): void {
  const scene = new Scene();
  echoes(scene);
  const before = best(scene);
  const window = 65_536;
  const [packets, ms] = measured(() => sweep(scene, 'data', window, 12_345, () => {}));
  report('blind sweep', before, best(scene), packets, ms);
}

everySecond();
sacks();
sweeps();
