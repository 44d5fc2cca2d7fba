/**
 * Who may take one more record of the pool that sent segments and received ranges share. As long as
 * half of it is free nobody is refused; then a connection may hold an eighth of what is free
 * (Choudhury and Hahne's dynamic threshold), so that however many hostile peers make holes, the
 * pool never runs dry for those that hold little. Called by segments.ts and reassembly.ts.
 */
import { PoolId, pool } from "../core/pool";
import { Busy } from "./busy";

/** Once the pool is half used, nobody may hold more than this part of what is free: 1/8. */
const SHARE_SHIFT: u32 = 3;
/** New data and ranges leave 1/16 of the pool to splits, which recovery needs. */
const RESERVE_SHIFT: u32 = 4;

/**
 * May this connection take one more record? `spare`: it is for new data or a new range, which leave
 * the reserve alone, unless the connection holds nothing: then only an empty pool refuses it.
 */
export function recordMayTake(busy: Busy, spare: bool): bool {
  const p = pool(PoolId.Segment);
  const free = p.capacity - p.used;
  const held = busy.segmentCount + busy.rangeCount;
  if (free < p.capacity >> 1 && held >= max<u32>(free >> SHARE_SHIFT, 1)) return false;
  if (!spare || held == 0) return true;
  return free > p.capacity >> RESERVE_SHIFT;
}
