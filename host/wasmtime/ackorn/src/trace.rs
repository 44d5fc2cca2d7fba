//! Reads the engine's trace ring: state changes, retransmissions, drops, answers to echo requests.
//! Each reader has a cursor of its own and learns how many records it was too slow for.

use crate::abi::{self, directory, trace};
use crate::engine::Engine;
use crate::stack::Stack;

/// One record; what `a`, `b` and `c` mean depends on the kind (`Trace` in assembly/abi.ts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// µs of the stack's clock.
    pub time_us: u64,
    pub kind: &'static str,
    pub index: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub a: u32,
    pub b: u32,
    pub c: u32,
}

/// A reader of a stack's trace ring, from the moment it was made.
pub struct TraceReader {
    stack: Stack,
    cursor: u32,
    /// Records that were overwritten before they were read.
    pub lost: u64,
}

/// Records produced since boot; 0 where the engine has no ring.
fn produced(engine: &Engine) -> u32 {
    match engine.directory(directory::TraceRing) {
        0 => 0,
        ring => engine.word(ring).unwrap_or_default(),
    }
}

fn record(engine: &Engine, cursor: u32) -> TraceRecord {
    let ring = engine.directory(directory::TraceRing);
    let slot = cursor & engine.directory(directory::TraceRingMask);
    let at = ring + abi::TRACE_HEADER_BYTES + slot * abi::TRACE_BYTES;
    let word = |place: u32| engine.word(at + 4 * place).unwrap_or_default();
    let [remote_low, remote_high, local_low, local_high] = word(4).to_le_bytes();
    TraceRecord {
        time_us: u64::from(word(1)) << 32 | u64::from(word(0)),
        kind: abi::name_of(trace::NAMES, word(2)).unwrap_or("None"),
        index: word(3),
        local_port: u16::from_le_bytes([local_low, local_high]),
        remote_port: u16::from_le_bytes([remote_low, remote_high]),
        a: word(5),
        b: word(6),
        c: word(7),
    }
}

impl TraceReader {
    /// Everything new, oldest first.
    pub fn read(&mut self) -> Vec<TraceRecord> {
        let inner = self.stack.handle.shared.lock();
        let produced = produced(&inner.engine);
        let mask = inner.engine.directory(directory::TraceRingMask);
        let mut count = produced.wrapping_sub(self.cursor);
        if count > mask.saturating_add(1) {
            self.lost += u64::from(count - mask - 1);
            count = mask + 1;
        }
        self.cursor = produced;
        let first = produced.wrapping_sub(count);
        let cursors = (0..count).map(|at| first.wrapping_add(at));
        cursors
            .map(|cursor| record(&inner.engine, cursor))
            .collect()
    }
}

impl Stack {
    /// A reader of its own over the trace ring, from now on.
    pub fn trace(&self) -> TraceReader {
        let cursor = produced(&self.handle.shared.lock().engine);
        TraceReader {
            stack: self.clone(),
            cursor,
            lost: 0,
        }
    }

    /// µs since the stack began: the clock of the engine and of its records.
    pub fn now_us(&self) -> u64 {
        self.handle.shared.lock().now_us()
    }
}
