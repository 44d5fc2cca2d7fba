/**
 * What happens next in virtual time: a binary heap of actors, each in it at most once, so that
 * nothing is allocated while a simulation runs. Equal times fire in the order they were set: a run
 * is a function of its seed. Times are integer µs below 2⁵³ (285 years). Used by everything in
 * sim/.
 */

/** Something that wants to act at a time. */
export abstract class Actor {
  /** Owned by Schedule. */
  dueUs = Infinity;
  order = 0;
  place = -1;

  abstract fire(nowUs: number): void;
}

function before(left: Actor, right: Actor): boolean {
  return left.dueUs < right.dueUs || (left.dueUs === right.dueUs && left.order < right.order);
}

export class Schedule {
  readonly #heap: Actor[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Time of the earliest actor; Infinity when there is none. */
  get nextUs(): number {
    return this.#heap.length > 0 ? (this.#heap[0] as Actor).dueUs : Infinity;
  }

  /** Sets or moves an actor. Infinity cancels. */
  set(actor: Actor, dueUs: number): void {
    if (dueUs === Infinity) {
      this.cancel(actor);
      return;
    }
    actor.dueUs = dueUs;
    actor.order = this.#order++;
    if (actor.place < 0) {
      actor.place = this.#heap.length;
      this.#heap.push(actor);
    }
    this.#up(actor);
    this.#down(actor);
  }

  /** Sets the actor unless it is already set to an earlier or equal time. */
  setEarlier(actor: Actor, dueUs: number): void {
    if (actor.place < 0 || dueUs < actor.dueUs) this.set(actor, dueUs);
  }

  cancel(actor: Actor): void {
    const { place } = actor;
    if (place < 0) return;
    const last = this.#heap.pop() as Actor;
    actor.place = -1;
    actor.dueUs = Infinity;
    if (last === actor) return;
    this.#heap[place] = last;
    last.place = place;
    this.#up(last);
    this.#down(last);
  }

  /** Takes the earliest actor out of the heap. */
  take(): Actor | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.cancel(first);
    return first;
  }

  #up(actor: Actor): void {
    const heap = this.#heap;
    let { place } = actor;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above] as Actor;
      if (!before(actor, parent)) break;
      heap[place] = parent;
      parent.place = place;
      place = above;
    }
    heap[place] = actor;
    actor.place = place;
  }

  #down(actor: Actor): void {
    const heap = this.#heap;
    let { place } = actor;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && before(heap[right] as Actor, heap[child] as Actor)) child = right;
      const smaller = heap[child] as Actor;
      if (!before(smaller, actor)) break;
      heap[place] = smaller;
      smaller.place = place;
      place = child;
    }
    heap[place] = actor;
    actor.place = place;
  }
}
