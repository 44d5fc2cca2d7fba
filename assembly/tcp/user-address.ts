/**
 * A local address goes away: what still uses it ends. Called by index.ts (addressRemove).
 */
import { Errno, State } from "../abi";
import { PoolId, pool } from "../core/pool";
import { synRequestEnd } from "./listen";
import { Endpoint, RecordKind, SynRequest, Tcb, TimeWait } from "./records";
import { abortConnection } from "./reset";
import { timeWaitEnd } from "./time-wait";

/** Connections get ENETUNREACH, half-open and TIME-WAIT records are forgotten. */
export function connectionsOnAddressAbort(localAddress: u32): void {
  for (let id: u32 = PoolId.Tcb; id <= <u32>PoolId.TimeWait; id++) {
    const p = pool(<PoolId>id);
    for (let i: u32 = 0; i < p.fresh; i++) {
      const record = <usize>p.base + i * p.stride;
      const e = changetype<Endpoint>(record);
      if (e.kind == RecordKind.Free || e.localAddress != localAddress) continue;
      if (id == <u32>PoolId.SynRequest) synRequestEnd(changetype<SynRequest>(record));
      else if (id == <u32>PoolId.TimeWait) timeWaitEnd(changetype<TimeWait>(record));
      else if (e.state != State.CLOSE) abortConnection(changetype<Tcb>(record), Errno.ENETUNREACH);
    }
  }
}
