/**
 * The simulator: virtual time, seeded, engines and routers on links of elements. See README.md.
 */
export { connect, End, Server, type EndOptions, type EndState } from './apps.js';
export { Element, Line, Scatter, type ElementContext, type ElementFactory, type Sink } from
  './element.js';
export * from './elements/index.js';
export { Frame, FramePool, FrameQueue } from './frame.js';
export { makePath, type Path } from './path.js';
export { patternAt, patternDiffers } from './pattern.js';
export { Port } from './port.js';
export { Random } from './random.js';
export { Recorder } from './recorder.js';
export { replay, ReplayMismatch, type ReplayOutcome } from './replay.js';
export { Router, type RouterInterface } from './router.js';
export { Actor, Schedule } from './schedule.js';
export { SimHost } from './sim-host.js';
export {
  Simulation, type HostOptions, type Link, type LinkOptions, type SimulationOptions,
} from './simulation.js';
export { GALLERY } from './gallery/index.js';
export * from './scenario/index.js';
