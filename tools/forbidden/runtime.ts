/**
 * A runtime for AssemblyScript that has no allocator: every function of the language's memory
 * manager is only declared, as an import. The build with it (target "forbidden" of asconfig.json)
 * therefore imports exactly those that the engine can reach, and must import nothing.
 * Used by tools/forbidden-runtime.ts alone. Never shipped: a custom runtime brings a shadow stack.
 */

@global @external("forbidden", "__alloc")
declare function __alloc(size: usize): usize;
@global @external("forbidden", "__realloc")
declare function __realloc(ptr: usize, size: usize): usize;
@global @external("forbidden", "__free")
declare function __free(ptr: usize): void;
@global @external("forbidden", "__new")
declare function __new(size: usize, id: u32): usize;
@global @external("forbidden", "__renew")
declare function __renew(ptr: usize, size: usize): usize;
@global @external("forbidden", "__link")
declare function __link(parentPtr: usize, childPtr: usize, expectMultiple: bool): void;
@global @external("forbidden", "__collect")
declare function __collect(): void;
@global @external("forbidden", "__pin")
declare function __pin(ptr: usize): usize;
@global @external("forbidden", "__unpin")
declare function __unpin(ptr: usize): void;
@global @external("forbidden", "__visit")
declare function __visit(ptr: usize, cookie: u32): void;
