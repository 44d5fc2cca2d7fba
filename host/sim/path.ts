/**
 * One direction of a link: elements strung together, from where frames leave to where they arrive.
 * Made by Simulation.link; an empty path between two engines is not used, their rings copy directly
 * (port.ts).
 */
import type { Element, ElementContext, ElementFactory, Sink } from './element.js';

export interface Path {
  readonly first: Sink;
  readonly elements: readonly Element[];
}

/**
 * @param context what elements are given; each gets a random generator of its own
 * @param end where frames arrive
 */
export function makePath(
  factories: readonly ElementFactory[], context: ElementContext, end: Sink,
): Path {
  const elements = factories.map((make) => make());
  let next: Sink = end;
  // From the end, because each element must know its successor.
  for (const element of [...elements].reverse()) {
    element.attach({ ...context, random: context.random.fork() }, next);
    next = element;
  }
  return { first: next, elements };
}
