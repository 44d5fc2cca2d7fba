export * from "./tcp/segments";
export * from "./tcp/sack";
export * from "./tcp/recovery";
export * from "./tcp/retransmit";
export * from "./tcp/rtt";
export * from "./tcp/delivery-rate";
export * from "./tcp/congestion/controller";
export * from "./tcp/congestion/validation";
