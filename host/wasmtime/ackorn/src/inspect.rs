//! What an operator wants to know of a stack: `tcp_info`, sockets, counters, pools, settings. Read
//! from what the engine tells; units are those of abi.ts, µs unless the name says ms.

use std::net::{IpAddr, SocketAddr};

use crate::abi::{self, config, congestion, counter, socket_word, state, tcp_info, timer};
use crate::address;
use crate::engine::Engine;
use crate::error::Error;
use crate::inner::Id;
use crate::stack::Stack;

/// Linux's `struct tcp_info` by the names of `abi::tcp_info`.
#[derive(Clone, Debug)]
pub struct TcpInfo {
    words: [u32; tcp_info::WORDS as usize],
}

impl TcpInfo {
    /// From RESULT, after tcpInfo.
    pub(crate) fn read(engine: &Engine) -> TcpInfo {
        let mut words = [0; tcp_info::WORDS as usize];
        for (word, at) in words.iter_mut().zip(0..) {
            *word = engine.result(at);
        }
        TcpInfo { words }
    }

    /// A word of `abi::tcp_info`.
    pub fn word(&self, word: u32) -> u32 {
        self.words.get(word as usize).copied().unwrap_or_default()
    }

    /// The state's name: `ESTABLISHED`.
    pub fn state(&self) -> &'static str {
        abi::name_of(state::NAMES, self.word(tcp_info::state)).unwrap_or("CLOSE")
    }

    /// The congestion controller's name.
    pub fn congestion(&self) -> &'static str {
        let number = self.word(tcp_info::congestion);
        abi::name_of(congestion::NAMES, number).unwrap_or("reno")
    }

    /// Every field but state and congestion with its value; 64-bit ones as one number.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let skipped = [tcp_info::state, tcp_info::congestion, tcp_info::WORDS];
        tcp_info::NAMES.iter().filter_map(move |(name, word)| {
            if skipped.contains(word) || name.ends_with("_hi") {
                return None;
            }
            let low = u64::from(self.word(*word));
            Some(match name.strip_suffix("_lo") {
                Some(name) => (name, u64::from(self.word(word + 1)) << 32 | low),
                None => (*name, low),
            })
        })
    }
}

/// One line of `ss`.
#[derive(Clone, Debug)]
pub struct SocketRecord {
    /// `connection`, `listener`, or `none` for half-open, TIME-WAIT and orphaned connections.
    pub kind: &'static str,
    pub index: u32,
    pub generation: u32,
    pub state: &'static str,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Bytes; of a listener, connections that wait for accept.
    pub recv_q: u32,
    /// Bytes; of a listener, its backlog.
    pub send_q: u32,
    pub timer: &'static str,
    pub timer_us: u32,
    pub retransmits: u32,
    pub memory_bytes: u32,
    /// Of a connection.
    pub info: Option<TcpInfo>,
}

impl SocketRecord {
    /// From RESULT, after tcpNext.
    fn read(engine: &Engine) -> SocketRecord {
        let word = |word: u32| engine.result(word);
        let end = |first: u32| {
            let words = [0, 1, 2, 3].map(|at| word(first + at));
            if words == [0; 4] {
                IpAddr::from([0; 16])
            } else {
                address::address(words)
            }
        };
        let port = |at: u32| u16::try_from(word(at)).unwrap_or_default();
        let kinds = ["none", "connection", "listener"];
        SocketRecord {
            kind: kinds
                .get(word(socket_word::kind) as usize)
                .copied()
                .unwrap_or("none"),
            index: word(socket_word::index),
            generation: word(socket_word::generation),
            state: abi::name_of(state::NAMES, word(socket_word::state)).unwrap_or("CLOSE"),
            local: SocketAddr::new(end(socket_word::local0), port(socket_word::localPort)),
            remote: SocketAddr::new(end(socket_word::remote0), port(socket_word::remotePort)),
            recv_q: word(socket_word::recvQ),
            send_q: word(socket_word::sendQ),
            timer: abi::name_of(timer::NAMES, word(socket_word::timer)).unwrap_or("off"),
            timer_us: word(socket_word::timerUs),
            retransmits: word(socket_word::retransmits),
            memory_bytes: word(socket_word::memoryBytes),
            info: None,
        }
    }
}

/// Names of the engine's pools, in the order of poolUse.
pub const POOLS: [&str; 8] = [
    "connections",
    "halfOpen",
    "timeWait",
    "listeners",
    "extras",
    "segments",
    "arena",
    "held",
];

/// `arena` and `held` (waiting for the host to return descriptors) in bytes, others in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRecord {
    pub name: &'static str,
    pub used: u32,
    pub capacity: u32,
    pub high_water: u32,
    pub refused: u32,
}

impl Stack {
    /// One record for each connection, half-open one, TIME-WAIT and listener.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn sockets(&self) -> Result<Vec<SocketRecord>, Error> {
        let mut inner = self.handle.shared.lock();
        let mut records = Vec::new();
        let mut cursor = 0;
        loop {
            // A cursor, not an errno: any number but 0.
            let next = inner.number(|engine| engine.tcp_next(cursor))?;
            cursor = next.cast_unsigned();
            if cursor == 0 {
                break;
            }
            records.push(SocketRecord::read(&inner.engine));
        }
        for record in records
            .iter_mut()
            .filter(|record| record.kind == "connection")
        {
            let Id { index, generation } = Id {
                index: record.index,
                generation: record.generation,
            };
            let words = inner.number(|engine| engine.tcp_info(index, generation))?;
            record.info = (words > 0).then(|| TcpInfo::read(&inner.engine));
        }
        Ok(records)
    }

    /// All counters by nstat's names, since the stack began.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let inner = self.handle.shared.lock();
        let names = counter::NAMES.iter().filter(|(name, _)| *name != "COUNT");
        names
            .map(|(name, number)| (*name, inner.engine.counter(*number)))
            .collect()
    }

    /// Every pool of the engine.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn pools(&self) -> Result<Vec<PoolRecord>, Error> {
        let mut inner = self.handle.shared.lock();
        let mut records = Vec::with_capacity(POOLS.len());
        for (name, number) in POOLS.iter().zip(0..) {
            let used = inner
                .number(|engine| engine.pool_use(number))?
                .cast_unsigned();
            let [capacity, high_water, refused] = [0, 1, 2].map(|at| inner.engine.result(at));
            // Held bytes have no pool of their own: they are part of the arena's.
            let held = *name == "held";
            records.push(PoolRecord {
                name,
                used,
                capacity: if held { used } else { capacity },
                high_water: if held { used } else { high_water },
                refused: if held { 0 } else { refused },
            });
        }
        Ok(records)
    }

    /// Records in the longest hash chain.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn hash_longest(&self) -> Result<u32, Error> {
        let mut inner = self.handle.shared.lock();
        Ok(inner
            .number(|engine| engine.hash_longest())?
            .cast_unsigned())
    }

    /// Settings from `tcp_rmem_min` on, by Linux's names.
    pub fn sysctls(&self) -> Vec<(&'static str, u32)> {
        let inner = self.handle.shared.lock();
        let names = config::NAMES
            .iter()
            .filter(|(_, word)| *word >= config::tcp_rmem_min);
        let value = |word: u32| {
            inner
                .engine
                .word(abi::CONFIG_AT + 4 * word)
                .unwrap_or_default()
        };
        names.map(|(name, word)| (*name, value(*word))).collect()
    }

    /// Changes a setting while the stack runs.
    ///
    /// # Errors
    /// `Error::Setup`: no such name; `Error::Refused`: EINVAL, not this value or not while running.
    pub fn set_sysctl(&self, name: &str, value: u32) -> Result<(), Error> {
        let word = abi::number_of(config::NAMES, name);
        let Some(word) = word.filter(|word| *word >= config::tcp_rmem_min) else {
            return Err(Error::Setup(format!("unknown sysctl: {name}")));
        };
        let mut inner = self.handle.shared.lock();
        inner.call("sysctl", |engine| engine.sysctl_set(word, value))?;
        inner.request();
        Ok(())
    }

    /// Bytes of the engine's memory.
    pub fn memory_bytes(&self) -> usize {
        self.handle.shared.lock().engine.memory().len()
    }
}
