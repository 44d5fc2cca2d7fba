//! One engine on wasmtime: an instance with its memory, sized once, and its calls with their types
//! (docs/abi.md). Calls return the engine's number, negative for an errno, or the fault of an
//! engine that trapped. No clock, no input or output, no protocol logic. Used by stack.rs, and
//! alone by whoever drives an engine by hand (ackorn-replay).

use wasmtime::{Extern, Func, Instance, Memory, Store, Trap, TypedFunc, Val};

use crate::abi::{self, ConfigWords, config, directory};
use crate::config::EngineConfig;
use crate::error::{Errno, Error, Fault};
use crate::module::EngineModule;

/// A page of WebAssembly memory, bytes.
pub const PAGE: u32 = 65_536;

/// `u32` for each parameter.
macro_rules! word {
    ($parameter:ident) => {
        u32
    };
}

/// The calls with their types: a call through a `TypedFunc` costs a sixth of one through a `Func`.
macro_rules! calls {
    ($($(#[$about:meta])* $call:ident $name:literal ($($parameter:ident),*);)*) => {
        struct Calls {
            $($call: TypedFunc<($(word!($parameter),)*), i32>,)*
        }

        impl Calls {
            fn new(instance: &Instance, store: &mut Store<()>) -> wasmtime::Result<Calls> {
                Ok(Calls { $($call: instance.get_typed_func(&mut *store, $name)?,)* })
            }
        }

        /// The calls of docs/abi.md, under its names.
        #[allow(clippy::too_many_arguments)]
        impl Engine {
            $(
                $(#[$about])*
                pub fn $call(&mut self, $($parameter: u32),*) -> Result<i32, Fault> {
                    let result = self.calls.$call.call(&mut self.store, ($($parameter,)*));
                    result.map_err(|error| self.fault($name, &error))
                }
            )*
        }
    };
}

calls! {
    abi_version "abiVersion" ();
    memory_required "memoryRequired" ();
    boot "boot" ();
    link_add "linkAdd" (flags, mtu);
    link_ring "linkRing" (id);
    link_set "linkSet" (id, up);
    link_ethernet "linkEthernet" (id, high, low, vlan, auto);
    address_add "addressAdd" (link, a0, a1, a2, a3, prefix_length);
    address_remove "addressRemove" (index);
    route_add "routeAdd" (link, d0, d1, d2, d3, prefix_length, g0, g1, g2, g3);
    route_remove "routeRemove" (index);
    table_next "tableNext" (table, cursor);
    sysctl_set "sysctlSet" (word, value);
    poll_at "poll" (now_high, now_low, budget);
    events_collect "eventsCollect" ();
    tcp_listen "tcpListen" (a0, a1, a2, a3, port, backlog, flags);
    listener_set_option "listenerSetOption" (index, generation, option, value);
    listener_get_option "listenerGetOption" (index, generation, option);
    listener_name "listenerName" (index, generation);
    listener_close "listenerClose" (index, generation);
    tcp_accept "tcpAccept" (index, generation);
    tcp_open "tcpOpen" ();
    tcp_bind "tcpBind" (index, generation, a0, a1, a2, a3, port);
    tcp_connect "tcpConnect" (index, generation, a0, a1, a2, a3, port);
    tcp_send_reserve "tcpSendReserve" (index, generation, want);
    tcp_send_commit "tcpSendCommit" (index, generation, length, flags);
    tcp_recv_peek "tcpRecvPeek" (index, generation, offset);
    tcp_recv_consume "tcpRecvConsume" (index, generation, length);
    tcp_shutdown "tcpShutdown" (index, generation, how);
    tcp_close "tcpClose" (index, generation);
    tcp_abort "tcpAbort" (index, generation);
    tcp_set_option "tcpSetOption" (index, generation, option, value);
    tcp_get_option "tcpGetOption" (index, generation, option);
    tcp_name "tcpName" (index, generation, peer);
    tcp_info "tcpInfo" (index, generation);
    tcp_next "tcpNext" (cursor);
    pool_use "poolUse" (pool);
    hash_longest "hashLongest" ();
    icmp_echo "icmpEcho" (a0, a1, a2, a3, id, sequence, size, ttl);
}

/// An instance of the engine with its memory.
pub struct Engine {
    store: Store<()>,
    memory: Memory,
    calls: Calls,
    /// By the number of the call, as in `abi::CALLS`; for `call`.
    numbered: Vec<Func>,
}

impl Engine {
    /// An engine whose memory has its first page only: to be sized with `grow_to` and booted.
    ///
    /// # Errors
    /// `Error::Setup`: the module cannot be instantiated, or speaks another ABI.
    pub fn instantiate(module: &EngineModule) -> Result<Engine, Error> {
        let setup = |error: wasmtime::Error| Error::Setup(format!("not an engine: {error}"));
        let mut store = Store::new(module.module.engine(), ());
        let instance = Instance::new(&mut store, &module.module, &[]).map_err(setup)?;
        let Some(Extern::Memory(memory)) = instance.get_export(&mut store, "memory") else {
            return Err(Error::Setup(
                "not an engine: it exports no memory".to_owned(),
            ));
        };
        let calls = Calls::new(&instance, &mut store).map_err(setup)?;
        let numbered = abi::CALLS
            .iter()
            .filter_map(|(name, _)| instance.get_func(&mut store, name))
            .collect();
        let mut engine = Engine {
            store,
            memory,
            calls,
            numbered,
        };
        let (theirs, ours) = (engine.abi_version()?, abi::ABI_VERSION);
        if theirs.cast_unsigned() != ours {
            let why = format!("the engine speaks ABI {theirs}, this host {ours}: build both again");
            return Err(Error::Setup(why));
        }
        Ok(engine)
    }

    /// Configures, sizes and boots an engine; the configuration's memory is taken here, once.
    ///
    /// # Errors
    /// `Error::Setup`: the engine refuses the configuration (the text names the word), or the
    /// memory is not to be had.
    pub fn new(module: &EngineModule, settings: &EngineConfig) -> Result<Engine, Error> {
        let mut engine = Engine::instantiate(module)?;
        engine.write_config(&settings.words()?);
        let required = engine.memory_required()?.cast_unsigned();
        if required == 0 {
            let word = engine.word(abi::FAULT_AT + 4).unwrap_or_default();
            let name = abi::name_of(config::NAMES, word).unwrap_or("?");
            return Err(Error::Setup(format!(
                "the engine refuses the configuration: {name}"
            )));
        }
        engine.grow_to(required)?;
        let booted = engine.boot()?;
        if booted < 0 {
            let errno = Errno(booted.unsigned_abs());
            return Err(Error::Refused {
                call: "boot",
                errno,
            });
        }
        Ok(engine)
    }

    fn write_config(&mut self, words: &ConfigWords) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(abi::CONFIG_AT, &bytes);
    }

    /// Gives the memory the size that it keeps, rounded up to whole pages. Once, before boot.
    ///
    /// # Errors
    /// `Error::Setup`: the memory is larger already, or so much is not to be had.
    pub fn grow_to(&mut self, bytes: u32) -> Result<(), Error> {
        let pages = u64::from(bytes).div_ceil(u64::from(PAGE));
        let present = self.memory.size(&self.store);
        let more = pages.checked_sub(present);
        match more.map(|more| self.memory.grow(&mut self.store, more)) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Error::Setup(format!(
                "a memory of {pages} pages is not to be had ({present} at first)"
            ))),
        }
    }

    fn fault(&mut self, call: &'static str, error: &wasmtime::Error) -> Fault {
        Fault {
            call,
            code: self.word(abi::FAULT_AT).unwrap_or_default(),
            detail: self.word(abi::FAULT_AT + 4).unwrap_or_default(),
            trap: error.downcast_ref::<Trap>().copied(),
        }
    }

    /// Lets the engine work: frames in, timers, frames out.
    ///
    /// `now_us`: µs of the host's monotonic clock. `budget`: most frames and sends before it
    /// returns. Returns the µs until the next call is wanted; 0: at once; `u32::MAX`: when
    /// something arrives.
    pub fn poll(&mut self, now_us: u64, budget: u32) -> Result<u32, Fault> {
        #[allow(clippy::cast_possible_truncation)]
        let (high, low) = ((now_us >> 32) as u32, now_us as u32);
        Ok(self.poll_at(high, low, budget)?.cast_unsigned())
    }

    /// Any call by its number in `abi::CALLS` (docs/replay.md), slower than by its name.
    ///
    /// # Panics
    /// When there is no such call or it has another number of parameters.
    pub fn call(&mut self, number: usize, parameters: &[u32]) -> Result<i32, Fault> {
        let values: Vec<Val> = parameters
            .iter()
            .map(|word| Val::I32(word.cast_signed()))
            .collect();
        let mut results = [Val::I32(0)];
        let done = self.numbered[number].call(&mut self.store, &values, &mut results);
        match done {
            Ok(()) => Ok(results[0].unwrap_i32()),
            Err(error) => Err(self.fault(abi::CALLS[number].0, &error)),
        }
    }

    // ---- Memory ------------------------------------------------------------------------------

    /// The whole memory.
    pub fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// The whole memory, to receive and to send from.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    /// Bytes of the memory, if they are in it.
    pub fn bytes(&self, address: u32, length: usize) -> Option<&[u8]> {
        self.memory().get(address as usize..)?.get(..length)
    }

    /// The same, to be written.
    pub fn bytes_mut(&mut self, address: u32, length: usize) -> Option<&mut [u8]> {
        self.memory_mut()
            .get_mut(address as usize..)?
            .get_mut(..length)
    }

    /// The word at an address, if it is in the memory.
    pub fn word(&self, address: u32) -> Option<u32> {
        let bytes = self.bytes(address, 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Copies bytes in; false if they do not fit.
    pub fn write(&mut self, address: u32, from: &[u8]) -> bool {
        match self.bytes_mut(address, from.len()) {
            Some(to) => {
                to.copy_from_slice(from);
                true
            }
            None => false,
        }
    }

    /// A word that the last call left at RESULT.
    pub fn result(&self, index: u32) -> u32 {
        self.word(abi::RESULT_AT + 4 * index).unwrap_or_default()
    }

    /// Where a region of the memory is; `abi::directory` names the words.
    pub fn directory(&self, word: u32) -> u32 {
        self.word(abi::DIRECTORY_AT + 4 * word).unwrap_or_default()
    }

    /// An event that `events_collect` put into the ring.
    pub(crate) fn event(&self, index: u32) -> [u32; 4] {
        let at = self.directory(directory::EventRing) + index * abi::EVENT_BYTES;
        let mut words = [0; 4];
        if let Some(bytes) = self.bytes(at, abi::EVENT_BYTES as usize) {
            let (chunks, _) = bytes.as_chunks();
            for (word, chunk) in words.iter_mut().zip(chunks) {
                *word = u32::from_le_bytes(*chunk);
            }
        }
        words
    }

    /// A counter of `abi::counter`, since boot.
    pub fn counter(&self, counter: u32) -> u64 {
        let at = abi::COUNTERS_AT + 8 * counter;
        let low = self.word(at).unwrap_or_default();
        let high = self.word(at + 4).unwrap_or_default();
        u64::from(high) << 32 | u64::from(low)
    }
}
