/**
 * A reporter for as-pect that leaves the counts of tools/counts.ts after each spec file, so that a
 * file that dies later loses none. as-pect.config.js names it; as-pect runs it beside its summary.
 */
import { type Counts, writeCounts } from './counts.js';

/** What as-pect says about one spec file; the part that is used here. */
interface SpecFile {
  readonly testCount: number;
  readonly testPassCount: number;
  readonly rootNode: {
    readonly childGroups: readonly { readonly groupTodos: readonly unknown[] }[];
  };
}

const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
const ignore = (): void => undefined;

export default {
  stdout: null,
  stderr: null,
  onEnter: ignore,
  onExit: ignore,
  onFinish({ testCount, testPassCount, rootNode }: SpecFile): void {
    counts.passed += testPassCount;
    counts.failed += testCount - testPassCount;
    counts.skipped += rootNode.childGroups.flatMap((group) => group.groupTodos).length;
    writeCounts('as-pect', counts);
  },
};
