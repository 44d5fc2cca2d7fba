//! An engine on wasmtime: the module compiled and checked, its memory sized once before boot, its
//! calls by their numbers in a recording, and reads and writes that are checked against the size of
//! the memory. Called by replay.rs; compares nothing.

use wasmtime::{Config, Extern, Func, Instance, Memory, Module, Store, Trap, Val, ValType};

use crate::abi;
use crate::format::PAGE;

pub struct Engine {
    store: Store<()>,
    memory: Memory,
    /// By the number of the call, as in `abi::CALLS`.
    calls: Vec<Func>,
}

/// The number of a call; panics for a name that is not in CALLS, which a test would find.
fn number_of(name: &str) -> usize {
    let found = abi::CALLS.iter().position(|(call, _)| *call == name);
    found.expect("a name of CALLS")
}

/// The export `name`, if it has `parameters` parameters and one result, all of them i32.
fn call(instance: &Instance, store: &mut Store<()>, name: &str, parameters: usize) -> Option<Func> {
    let func = instance.get_func(&mut *store, name)?;
    let kind = func.ty(&*store);
    let all_i32 = kind
        .params()
        .chain(kind.results())
        .all(|value| matches!(value, ValType::I32));
    let fits = all_i32 && kind.params().len() == parameters && kind.results().len() == 1;
    fits.then_some(func)
}

impl Engine {
    /// Compiles a module, instantiates it and gives its memory the size that it keeps.
    /// The error is one line: this is no engine, or the memory is not to be had.
    pub fn load(wasm: &[u8], memory_bytes: u32) -> Result<Engine, String> {
        let engine = wasmtime::Engine::new(&Config::new()).map_err(|error| error.to_string())?;
        let module = Module::new(&engine, wasm).map_err(|error| format!("not wasm: {error}"))?;
        if let Some(import) = module.imports().next() {
            return Err(format!("not an engine: it imports {}", import.name()));
        }
        let mut store = Store::new(&engine, ());
        let instance =
            Instance::new(&mut store, &module, &[]).map_err(|error| error.to_string())?;
        let Some(Extern::Memory(memory)) = instance.get_export(&mut store, "memory") else {
            return Err("not an engine: it exports no memory".to_owned());
        };
        let mut calls = Vec::with_capacity(abi::CALLS.len());
        for (name, parameters) in abi::CALLS {
            let Some(func) = call(&instance, &mut store, name, *parameters) else {
                let what = format!("it has no {name} with {parameters} parameters");
                return Err(format!("not an engine of ABI {}: {what}", abi::ABI_VERSION));
            };
            calls.push(func);
        }
        let pages = u64::from(memory_bytes / PAGE);
        let present = memory.size(&store);
        let more = pages.checked_sub(present);
        if more.is_none_or(|more| memory.grow(&mut store, more).is_err()) {
            return Err(format!(
                "a memory of {pages} pages is not to be had ({present} at first)"
            ));
        }
        Ok(Engine {
            store,
            memory,
            calls,
        })
    }

    /// Calls by number. The error is a trap, with what the engine left at FAULT.
    pub fn call(&mut self, number: usize, parameters: &[Val]) -> Result<i32, String> {
        let mut results = [Val::I32(0)];
        let done = self.calls[number].call(&mut self.store, parameters, &mut results);
        if let Err(error) = done {
            let why = error
                .downcast_ref::<Trap>()
                .map_or_else(String::new, Trap::to_string);
            let code = self.word(abi::FAULT_AT).unwrap_or_default();
            let detail = self.word(abi::FAULT_AT + 4).unwrap_or_default();
            return Err(format!("{why}; FAULT {code}, {detail}"));
        }
        Ok(results[0].unwrap_i32())
    }

    /// Where a link's ring is: a call that changes nothing and need not be recorded.
    pub fn link_ring(&mut self, link: i32) -> Result<u32, String> {
        let ring = self.call(number_of("linkRing"), &[Val::I32(link)])?;
        Ok(ring.cast_unsigned())
    }

    pub fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// Bytes of the memory, if they are in it.
    pub fn bytes(&self, address: u32, length: usize) -> Option<&[u8]> {
        self.memory().get(address as usize..)?.get(..length)
    }

    /// The word at an address, if it is in the memory.
    pub fn word(&self, address: u32) -> Option<u32> {
        let bytes = self.bytes(address, 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Copies bytes in; false if they do not fit.
    pub fn write(&mut self, address: u32, from: &[u8]) -> bool {
        self.memory
            .write(&mut self.store, address as usize, from)
            .is_ok()
    }
}
