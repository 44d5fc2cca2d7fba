/**
 * Scenarios: what they are, how they are run and judged. The one place to import from; the gallery
 * is in ../gallery/.
 */
export { bdpBytes } from './build.js';
export { CC_NAMES, checkScenario } from './check.js';
export { judge, shortNumber, type Verdict } from './expect.js';
export type { Flow } from './flow.js';
export { compare, controllersOf, keep, type GoldenFile, type Kept } from './golden.js';
export type { Lab } from './lab.js';
export { casesOf, DEFAULT_CC, runScenario, runSetup, sliceOf, type RunOptions } from './run.js';
export { FLOW_COLUMNS, medianOf, SHARED_COLUMNS } from './sampler.js';
export { ScenarioError } from './shape.js';
export { jain, median, summarize, type Summary } from './summary.js';
export { csvLines, describeReport, jsonReport, listLine, storyLines, withUnit } from './text.js';
export type * from './types.js';
