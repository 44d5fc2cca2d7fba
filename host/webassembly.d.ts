/**
 * The part of the WebAssembly interface that hosts and tools use, as lib.dom.d.ts declares it.
 * @types/node has none, and the whole of lib.dom would let a Node host use a `window` that is not
 * there. The browser host compiles with lib.dom and without this file.
 */
declare namespace WebAssembly {
  interface ModuleExportDescriptor {
    kind: string;
    name: string;
  }
  interface ModuleImportDescriptor extends ModuleExportDescriptor {
    module: string;
  }
  class Module {
    constructor(bytes: ArrayBuffer | ArrayBufferView);
    static exports(module: Module): ModuleExportDescriptor[];
    static imports(module: Module): ModuleImportDescriptor[];
    static customSections(module: Module, name: string): ArrayBuffer[];
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  type ExportValue = Memory | ((...values: number[]) => number);
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, ExportValue>;
  }
  class RuntimeError extends Error {}
  class CompileError extends Error {}
  function compile(bytes: ArrayBuffer | ArrayBufferView): Promise<Module>;
  function instantiate(
    module: Module,
    imports?: Record<string, Record<string, unknown>>,
  ): Promise<Instance>;
}
