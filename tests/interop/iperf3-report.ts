/**
 * What must be true of every report of iperf3 -J, its own or ours: figures, as many streams as
 * asked for, and bytes that both sides agree on. Used by the iperf3 tests.
 */

import assert from 'node:assert/strict';
import type { Iperf3Report } from '../../host/node/services/iperf3/index.js';
import type { JsonFigures } from '../../host/node/services/iperf3/report-json.js';

const MIB = 1 << 20;
type StreamEnds = { sender: JsonFigures; receiver: JsonFigures };

/** A connection's send buffer (Linux's tcp_wmem ends at 4 MiB) and receive buffer (6 MiB). */
const BUFFERS_BYTES = 10 * MIB;

/** Most of what one end may count and the other not, in bytes. */
interface Allowed {
  missing: number;
  surplus: number;
}

/**
 * One stream's ends stop at different times, told by a message that overtakes what is in flight.
 */
function allowed({ sender, receiver }: StreamEnds, omit: number): Allowed {
  // The real client's `seconds` of a receiver are the sender's; its `end` is right.
  const apart = Math.abs(sender.end - receiver.end);
  const bytesPerSecond = Math.max(sender.bits_per_second, receiver.bits_per_second) / 8;
  // Twice the mean rate: the rate at the end is not the mean.
  const inFlight = BUFFERS_BYTES + 2 * bytesPerSecond * apart;
  // What was in flight when both began to count is counted by the receiver alone.
  return { missing: inFlight, surplus: omit > 0 ? inFlight : 0 };
}

function agree(sent: JsonFigures, received: JsonFigures, { missing, surplus }: Allowed): void {
  assert.ok(received.bytes > 0 && received.bits_per_second > 0, 'nothing was received');
  assert.ok(sent.bytes > 0 && sent.bits_per_second > 0, 'nothing was sent');
  const difference = sent.bytes - received.bytes;
  assert.ok(-difference <= surplus, `received ${received.bytes} of ${sent.bytes} sent`);
  assert.ok(difference <= missing, `${difference} bytes went missing, ${missing} in flight`);
}

/** @param exact no byte may be missing: the test ended by bytes, not by the clock */
export function checkReport(report: Iperf3Report, streams: number, exact: boolean): void {
  assert.equal(report.error, undefined);
  const { end } = report;
  const { omit } = report.start.test_start as { omit: number };
  assert.equal(end.streams!.length, end.sum_sent_bidir_reverse ? 2 * streams : streams);
  const all: Allowed = { missing: 0, surplus: 0 };
  for (const stream of end.streams!) {
    const most = exact ? { missing: 0, surplus: 0 } : allowed(stream, omit);
    agree(stream.sender, stream.receiver, most);
    all.missing += most.missing;
    all.surplus += most.surplus;
  }
  agree(end.sum_sent!, end.sum_received!, all);
  if (end.sum_sent_bidir_reverse) {
    agree(end.sum_sent_bidir_reverse, end.sum_received_bidir_reverse!, all);
  }
}
