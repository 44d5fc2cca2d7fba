/**
 * Symbol.asyncDispose for Node 20.0 to 20.4, which lack it. Imported before any class that has such
 * a method and before any `await using`.
 */

const symbols = Symbol as { dispose?: symbol; asyncDispose?: symbol };
symbols.dispose ??= Symbol('Symbol.dispose');
symbols.asyncDispose ??= Symbol('Symbol.asyncDispose');

export {};
