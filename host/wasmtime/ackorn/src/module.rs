//! A compiled engine, from a file of ackorn-compile or (feature `compile`) from engine.wasm, and
//! what must be true of it before it may run: it imports nothing and exports every call with its
//! number of parameters.

use std::path::Path;

use wasmtime::{ExternType, Module, ValType};

use crate::abi;
use crate::error::Error;
use crate::settings::settings;

/// Code that stacks are made of; a clone shares it.
#[derive(Clone)]
pub struct EngineModule {
    pub(crate) module: Module,
}

fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl EngineModule {
    /// Loads a file that ackorn-compile made for this target.
    ///
    /// # Errors
    /// `Error::Setup` with the file's name: it cannot be read, is no compiled engine, or was made
    /// for another target, with other settings, by another version or for another ABI.
    ///
    /// # Safety
    /// The file is machine code and runs with all rights of this process: its contents must come
    /// from ackorn-compile, and nobody may change it while it is in use (it is mapped, not copied).
    pub unsafe fn load_file(path: &Path) -> Result<EngineModule, Error> {
        let setup = |why: String| Error::Setup(format!("{}: {why}", path.display()));
        std::fs::File::open(path).map_err(|error| setup(error.to_string()))?;
        // A file that is too short to be one is an error here, and no compiled engine either.
        let kind = wasmtime::Engine::detect_precompiled_file(path);
        if !matches!(kind, Ok(Some(_))) {
            return Err(setup(
                "no compiled engine: ackorn-compile makes one".to_owned(),
            ));
        }
        let engine = wasmtime::Engine::new(&settings(None)?)
            .map_err(|error| Error::Setup(one_line(&error)))?;
        // SAFETY: the caller vouches for the file.
        let module = unsafe { Module::deserialize_file(&engine, path) }
            .map_err(|error| setup(format!("compiled for something else: {}", one_line(&error))))?;
        check(&module).map_err(setup)?;
        Ok(EngineModule { module })
    }

    /// Compiles `engine.wasm`.
    ///
    /// # Errors
    /// `Error::Setup`: the bytes are no WebAssembly, or no engine of this ABI.
    #[cfg(feature = "compile")]
    pub fn compile(wasm: &[u8]) -> Result<EngineModule, Error> {
        let engine = wasmtime::Engine::new(&settings(None)?)
            .map_err(|error| Error::Setup(one_line(&error)))?;
        let module = Module::from_binary(&engine, wasm)
            .map_err(|error| Error::Setup(format!("not wasm: {}", one_line(&error))))?;
        check(&module).map_err(Error::Setup)?;
        Ok(EngineModule { module })
    }

    /// The bytes of a file for `load_file`, on a machine of the target.
    ///
    /// # Errors
    /// `Error::Setup`: no such target in this build, or no engine of this ABI.
    #[cfg(feature = "compile")]
    pub fn precompile(wasm: &[u8], target: &str) -> Result<Vec<u8>, Error> {
        EngineModule::compile(wasm)?;
        let mut config = settings(Some(target))?;
        config.cranelift_opt_level(wasmtime::OptLevel::Speed);
        let engine = wasmtime::Engine::new(&config)
            .map_err(|error| Error::Setup(format!("{target}: {}", one_line(&error))))?;
        engine
            .precompile_module(wasm)
            .map_err(|error| Error::Setup(format!("{target}: {}", one_line(&error))))
    }
}

/// Is every call there, and nothing wanted? The error is one line.
fn check(module: &Module) -> Result<(), String> {
    if let Some(import) = module.imports().next() {
        return Err(format!("not an engine: it imports {}", import.name()));
    }
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err("not an engine: it exports no memory".to_owned());
    }
    for (name, parameters) in abi::CALLS {
        let fits = match module.get_export(name) {
            Some(ExternType::Func(kind)) => {
                let all_i32 = kind
                    .params()
                    .chain(kind.results())
                    .all(|value| matches!(value, ValType::I32));
                all_i32 && kind.params().len() == *parameters && kind.results().len() == 1
            }
            _ => false,
        };
        if !fits {
            let what = format!("it has no {name} with {parameters} parameters");
            return Err(format!("not an engine of ABI {}: {what}", abi::ABI_VERSION));
        }
    }
    Ok(())
}
