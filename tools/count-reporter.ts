/**
 * A reporter for node:test whose output is the JSON of tools/counts.ts: every test counts, suites
 * do not. Given to `node --test` by tools/run-tests.ts, beside the reporter that people read.
 */
import type { Counts } from './counts.js';

interface TestEvent {
  readonly type: string;
  readonly data?: {
    readonly details?: { readonly type?: string };
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
  };
}

/** Consumes node:test's events and yields one line of JSON at their end. */
export default async function* countReporter(
  source: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data?.details?.type === 'suite') continue; // the exit code tells when a hook of it threw
    const left = [data?.skip, data?.todo].some((mark) => mark !== undefined && mark !== false);
    if (type === 'test:fail') counts.failed += 1;
    else if (left) counts.skipped += 1;
    else counts.passed += 1;
  }
  yield JSON.stringify(counts);
}
