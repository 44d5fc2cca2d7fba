/**
 * Byte streams over arena blocks: a window of positions [head, tail) that grows and shrinks by
 * granules and is never copied to grow. Used by tcp/user.ts (send) and tcp/text.ts (receive).
 */
/** A window of positions (sequence numbers) over granules of arena memory; core/stream.ts. */
@unmanaged
export class Stream {
  /** Position of the first byte held. */
  head: u32;
  /** Position after the last byte written in order. */
  tail: u32;
  /** Arena block with the granule table, entries u32 (address or 0); 0: nothing allocated. */
  table: u32;
  /** Entries of the table - 1. */
  tableMask: u32;
  /** log2 of the granule in bytes. */
  shift: u32;
  /** Positions [head & ~granule, end) may have memory. */
  end: u32;
  /** Arena bytes held: granules and table. */
  arenaBytes: u32;
  /** End of the piece lent to the user by sendReserve; = tail when none is. */
  reserved: u32;
}
export const STREAM_BYTES: u32 = 32;

