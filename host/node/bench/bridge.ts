/**
 * Two links joined frame by frame: what one receives the other sends. With a TUN device in each of
 * two network namespaces, and an ImpairedLink before one of them, two kernels meet over the very
 * link that our stack has. Used by path-end.ts. Frames must be whole packets: no offload.
 */

import { DeviceRing } from '../link/device-ring.js';
import type { Link } from '../link/link.js';

/** Frames between two looks at the other side; a ring's length. */
const BATCH = 64;
/** Turns before Node's own loop gets its own. */
const TURNS_MAX = 16;

export class Bridge {
  readonly #left: Link;
  readonly #right: Link;
  readonly #leftRing: DeviceRing;
  readonly #rightRing: DeviceRing;
  #again: NodeJS.Immediate | undefined;
  #closed = false;
  /** Frames that a device had no room for. */
  dropped = 0;

  constructor(left: Link, right: Link) {
    this.#left = left;
    this.#right = right;
    this.#leftRing = new DeviceRing(left.flags, left.mtu, left.mtu);
    this.#rightRing = new DeviceRing(right.flags, right.mtu, right.mtu);
    const turn = (): void => this.#run();
    left.attach(this.#leftRing.memory, this.#leftRing.address, turn);
    right.attach(this.#rightRing.memory, this.#rightRing.address, turn);
  }

  #run(): void {
    if (this.#closed) return;
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const leftMoved = this.#left.readBatch(BATCH);
      this.#cross(this.#leftRing, this.#rightRing, this.#right);
      const rightMoved = this.#right.readBatch(BATCH);
      this.#cross(this.#rightRing, this.#leftRing, this.#left);
      if (leftMoved + rightMoved === 0) return;
    }
    this.#again ??= setImmediate(() => {
      this.#again = undefined;
      this.#run();
    });
  }

  #cross(from: DeviceRing, to: DeviceRing, link: Link): void {
    from.received((frame, _vnet, truncated) => {
      if (truncated || to.send(frame, frame.length)) return;
      link.writeBatch();
      if (!to.send(frame, frame.length)) this.dropped++;
    });
    link.writeBatch();
  }

  close(): void {
    this.#closed = true;
    if (this.#again !== undefined) clearImmediate(this.#again);
    this.#left.close();
    this.#right.close();
  }
}
