/** The integer types of AssemblyScript, as TypeScript sees them in assembly/abi.ts. */
declare type u32 = number;
declare type i32 = number;
