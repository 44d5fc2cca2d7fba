/**
 * The engine's exports as docs/abi.md has them, and the guard that turns a WebAssembly trap into an
 * EngineFault. A call here is a plain function of numbers, so that a recorder (sim/recorder.ts) can
 * stand between the engine and its host. Used by core/engine.ts; portable.
 */

export interface EngineCalls {
  abiVersion(): number;
  memoryRequired(): number;
  boot(): number;
  linkAdd(flags: number, mtu: number): number;
  linkRing(id: number): number;
  linkSet(id: number, up: number): number;
  addressAdd(
    link: number, a0: number, a1: number, a2: number, a3: number, prefixLength: number,
  ): number;
  addressRemove(index: number): number;
  sysctlSet(word: number, value: number): number;
  sysctlGet(word: number): number;
  poll(nowHigh: number, nowLow: number, budget: number): number;
  eventsCollect(): number;
  tcpListen(
    a0: number, a1: number, a2: number, a3: number, port: number, backlog: number, flags: number,
  ): number;
  listenerSetOption(index: number, generation: number, option: number, value: number): number;
  listenerGetOption(index: number, generation: number, option: number): number;
  listenerName(index: number, generation: number): number;
  listenerClose(index: number, generation: number): number;
  tcpAccept(index: number, generation: number): number;
  tcpOpen(): number;
  tcpBind(
    index: number, generation: number,
    a0: number, a1: number, a2: number, a3: number, port: number,
  ): number;
  tcpConnect(
    index: number, generation: number,
    a0: number, a1: number, a2: number, a3: number, port: number,
  ): number;
  tcpSendReserve(index: number, generation: number, want: number): number;
  tcpSendCommit(index: number, generation: number, length: number, flags: number): number;
  tcpRecvPeek(index: number, generation: number, offset: number): number;
  tcpRecvConsume(index: number, generation: number, length: number): number;
  tcpShutdown(index: number, generation: number, how: number): number;
  tcpClose(index: number, generation: number): number;
  tcpAbort(index: number, generation: number): number;
  tcpSetOption(index: number, generation: number, option: number, value: number): number;
  tcpGetOption(index: number, generation: number, option: number): number;
  tcpName(index: number, generation: number, peer: number): number;
  tcpInfo(index: number, generation: number): number;
  tcpNext(cursor: number): number;
  poolUse(pool: number): number;
  hashLongest(): number;
  icmpEcho(
    a0: number, a1: number, a2: number, a3: number,
    id: number, sequence: number, size: number, ttl: number,
  ): number;
  linkEthernet(id: number, high: number, low: number, vlan: number, auto: number): number;
  routeAdd(
    link: number, d0: number, d1: number, d2: number, d3: number, prefixLength: number,
    g0: number, g1: number, g2: number, g3: number,
  ): number;
  routeRemove(index: number): number;
  tableNext(table: number, cursor: number): number;
}

export type CallName = keyof EngineCalls;

/**
 * Every call with its number of parameters, in the order that gives it its number in a recording
 * (docs/replay.md): append, never reorder.
 */
export const CALLS: readonly (readonly [CallName, number])[] = [
  ['abiVersion', 0], ['memoryRequired', 0], ['boot', 0], ['linkAdd', 2], ['linkRing', 1],
  ['linkSet', 2], ['addressAdd', 6], ['addressRemove', 1], ['sysctlSet', 2], ['sysctlGet', 1],
  ['poll', 3], ['eventsCollect', 0], ['tcpListen', 7], ['listenerSetOption', 4],
  ['listenerGetOption', 3], ['listenerName', 2], ['listenerClose', 2], ['tcpAccept', 2],
  ['tcpOpen', 0], ['tcpBind', 7], ['tcpConnect', 7], ['tcpSendReserve', 3],
  ['tcpSendCommit', 4], ['tcpRecvPeek', 3], ['tcpRecvConsume', 3], ['tcpShutdown', 3],
  ['tcpClose', 2], ['tcpAbort', 2], ['tcpSetOption', 4], ['tcpGetOption', 3], ['tcpName', 3],
  ['tcpInfo', 2], ['tcpNext', 1], ['poolUse', 1], ['hashLongest', 0], ['icmpEcho', 8],
  ['linkEthernet', 5], ['routeAdd', 10], ['routeRemove', 1], ['tableNext', 2],
];

/** The part of Function's type that the guard needs. */
type Call = (...values: number[]) => number;
/** Makes the error to throw of whatever a call threw. */
export type Trapped = (cause: unknown) => Error;

/*
 * A function for each number of parameters, not one with rest parameters: those make an array for
 * each call, and there are several calls for each piece of data.
 */
function guard0(call: Call, trapped: Trapped): Call {
  return () => {
    try {
      return call();
    } catch (cause) {
      throw trapped(cause);
    }
  };
}

function guard3(call: Call, trapped: Trapped): Call {
  return (a, b, c) => {
    try {
      return call(a as number, b as number, c as number);
    } catch (cause) {
      throw trapped(cause);
    }
  };
}

function guard4(call: Call, trapped: Trapped): Call {
  return (a, b, c, d) => {
    try {
      return call(a as number, b as number, c as number, d as number);
    } catch (cause) {
      throw trapped(cause);
    }
  };
}

function guardMany(call: Call, trapped: Trapped): Call {
  return (...values) => {
    try {
      return call(...values);
    } catch (cause) {
      throw trapped(cause);
    }
  };
}

/**
 * Wraps each export so that a trap becomes the error that `trapped` makes.
 * @returns the calls, and the names that the module lacks
 */
export function guardCalls(
  exports: Record<string, unknown>,
  trapped: Trapped,
): { calls: EngineCalls; missing: string[] } {
  const calls: Record<string, Call> = {};
  const missing: string[] = [];
  for (const [name, parameters] of CALLS) {
    const call = exports[name] as Call | undefined;
    if (typeof call !== 'function') missing.push(name);
    else if (parameters === 0) calls[name] = guard0(call, trapped);
    else if (parameters === 3) calls[name] = guard3(call, trapped);
    else if (parameters === 4) calls[name] = guard4(call, trapped);
    else calls[name] = guardMany(call, trapped);
  }
  return { calls: calls as unknown as EngineCalls, missing };
}
