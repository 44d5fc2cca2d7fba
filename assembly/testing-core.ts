export * from "./core/pool";
export * from "./core/treap";
export * from "./core/timer-wheel";
export * from "./core/siphash";
export * from "./core/checksum";
export * from "./core/trace";
export * from "./core/arena";
export * from "./core/stream";
