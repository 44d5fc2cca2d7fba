/**
 * A transform of the AssemblyScript compiler that inlines more than its own limits allow: functions
 * with one caller whatever their size, which makes the engine smaller, and others as far as pays.
 * V8 and wasmtime inline nothing across wasm functions, and a segment crosses some hundred of them.
 * Named by build.ts, with the passes that are to run after each round of optimization.
 */

/*
 * Nodes of the tree; the compiler's own limits at our levels are 6 and 80. Bytes of one engine: 6
 * and 80 66,397; 6 and 1000 65,539; 8 and 1000 65,583; 12 and 1000 some 2 KB more, and 10 % faster.
 */
const ALWAYS_MAX = 6;
const ONE_CALLER_MAX = 1000;
/** Never inlined although they are small: called in many places. 406 bytes. */
const NEVER = ['assembly/core/invariant/fail', 'assembly/core/counters/count'];

/** What is used of binaryen.js and of its modules. */
interface Binaryen {
  setAlwaysInlineMaxSize(size: number): void;
  setOneCallerInlineMaxSize(size: number): void;
  setPassArgument(name: string, value: string | null): void;
}
interface Module {
  runPasses(passes: string[]): void;
}

export default class InlineTransform {
  /** Put here by the compiler. */
  declare readonly binaryen: Binaryen;

  /** Called once, before the compiler optimizes; the passes of asconfig.json come after that. */
  afterCompile(module: Module): void {
    for (const name of NEVER) {
      this.binaryen.setPassArgument('no-inline', name);
      module.runPasses(['no-inline']);
    }
    this.binaryen.setPassArgument('no-inline', null);
    const runPasses = module.runPasses.bind(module);
    module.runPasses = (passes) => {
      this.binaryen.setAlwaysInlineMaxSize(ALWAYS_MAX);
      this.binaryen.setOneCallerInlineMaxSize(ONE_CALLER_MAX);
      runPasses(passes);
    };
  }
}
