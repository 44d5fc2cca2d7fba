/**
 * Where both ends of a measurement serve. Used by the entries and by ends.ts.
 */

export const ECHO_PORT = 7;
export const IPERF3_PORT = 5201;
