/**
 * as-pect: unit tests in AssemblyScript, assembly/__tests__/*.spec.ts, each compiled on its own
 * with as-pect.asconfig.json (whose memoryBase leaves the first 2 MiB to the engine's fixed
 * addresses). tools/run-tests.ts gives the files as arguments. as-pect wants this as JavaScript.
 */
export default {
  entries: [],
  include: ['node_modules/@as-pect/assembly/assembly/index.ts'],
  disclude: [/node_modules/],
  reporter: 'build/js/tools/as-pect-reporter.js',
  async instantiate(memory, createImports, instantiate, binary) {
    return instantiate(binary, createImports({ env: { memory } }));
  },
  outputBinary: false,
};
