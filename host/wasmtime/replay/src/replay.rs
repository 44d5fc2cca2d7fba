//! Gives a recording's inputs to an engine and compares everything that comes out, byte for byte
//! (docs/replay.md): results, words at RESULT, frames, events, and at the end the whole memory. The
//! same in TypeScript is host/sim/replay.ts. Called by main.rs with a recording that format.rs has
//! checked.

use std::collections::BTreeMap;
use std::fmt;

use ackorn::abi::{self, directory, link_word};
use ackorn::{Engine, EngineModule};

use crate::format::{Kind, Recording};

/// What a run that was identical consisted of.
#[derive(Debug, Default, PartialEq)]
pub struct Summary {
    pub polls: u64,
    pub frames_in: u64,
    pub frames_out: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            polls,
            frames_in,
            frames_out,
        } = self;
        write!(
            formatter,
            "{polls} polls, {frames_in} frames in, {frames_out} frames out"
        )
    }
}

/// Why a replay ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// Nothing can be compared: the module or its memory is not what the recording needs.
    Refused(String),
    /// The first difference, and where it is.
    Different(String),
}

/// A link's block in the memory, and how far it was compared.
struct Link {
    block: u32,
    /// Index of the next frame to compare, counted as txHead is.
    next: u32,
    /// rxHead at the last call.
    received: u32,
}

struct Replay {
    engine: Engine,
    links: BTreeMap<u8, Link>,
    summary: Summary,
    calls: u64,
    /// The record at hand, in the file.
    offset: usize,
    /// The last call.
    name: &'static str,
}

/// A word of a table that begins at `table`.
fn nth(table: u32, index: u32) -> u32 {
    table.wrapping_add(index.wrapping_mul(4))
}

impl Replay {
    fn differ<T>(&self, what: impl fmt::Display) -> Result<T, Stop> {
        let Replay { calls, offset, .. } = self;
        Err(Stop::Different(format!(
            "after {calls} calls, at byte {offset} of the recording: {what}"
        )))
    }

    fn word(&self, address: u32) -> Result<u32, Stop> {
        match self.engine.word(address) {
            Some(word) => Ok(word),
            None => self.differ(format!("address {address} is not in the memory")),
        }
    }

    fn same(&self, got: &[u8], expected: &[u8], what: &str) -> Result<(), Stop> {
        if got.len() != expected.len() {
            return self.differ(format!(
                "{what} of {} bytes, not {}",
                got.len(),
                expected.len()
            ));
        }
        match got
            .iter()
            .zip(expected)
            .position(|(one, other)| one != other)
        {
            Some(at) => {
                let (got, expected) = (got[at], expected[at]);
                self.differ(format!("{what}: byte {at} is {got}, not {expected}"))
            }
            None => Ok(()),
        }
    }

    fn same_in_memory(&self, address: u32, expected: &[u8], what: &str) -> Result<(), Stop> {
        match self.engine.bytes(address, expected.len()) {
            Some(got) => self.same(got, expected, what),
            None => self.differ(format!("{what}: address {address} is not in the memory")),
        }
    }

    /// Every published frame was compared.
    fn settled(&self) -> Result<(), Stop> {
        for (id, link) in &self.links {
            if self.word(nth(link.block, link_word::txHead))? != link.next {
                let name = self.name;
                return self.differ(format!("{name} published a frame too many on link {id}"));
            }
        }
        Ok(())
    }

    /// Counts what the host has put into receive rings since the last call.
    fn count_received(&mut self) -> Result<(), Stop> {
        let blocks: Vec<_> = self
            .links
            .iter()
            .map(|(id, link)| (*id, link.block))
            .collect();
        for (id, block) in blocks {
            let head = self.word(nth(block, link_word::rxHead))?;
            let link = self
                .links
                .get_mut(&id)
                .expect("a link that was just listed");
            self.summary.frames_in += u64::from(head.wrapping_sub(link.received));
            link.received = head;
        }
        Ok(())
    }

    fn call(&mut self, number: usize, parameters: &[u8], expected: i32) -> Result<(), Stop> {
        self.settled()?;
        self.count_received()?;
        self.name = abi::CALLS[number].0;
        let name = self.name;
        let (words, _) = parameters.as_chunks();
        let values: Vec<_> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let result = match self.engine.call(number, &values) {
            Ok(result) => result,
            Err(fault) => return self.differ(fault),
        };
        self.calls += 1;
        self.summary.polls += u64::from(name == "poll");
        if result != expected {
            return self.differ(format!("{name} returned {result}, not {expected}"));
        }
        match name {
            "boot" => self.check_version(),
            "linkAdd" if result >= 0 => self.add_link(result),
            _ => Ok(()),
        }
    }

    /// What boot wrote is what everything that is read afterwards relies on.
    fn check_version(&self) -> Result<(), Stop> {
        let version = self.word(nth(abi::DIRECTORY_AT, directory::AbiVersion))?;
        if version == abi::ABI_VERSION {
            return Ok(());
        }
        let ours = abi::ABI_VERSION;
        Err(Stop::Refused(format!(
            "the engine speaks ABI {version}, this is ABI {ours}"
        )))
    }

    fn add_link(&mut self, id: i32) -> Result<(), Stop> {
        let block = match self.engine.link_ring(id.cast_unsigned()) {
            Ok(block) => block.cast_unsigned(),
            Err(fault) => return self.differ(fault),
        };
        let Ok(key) = u8::try_from(id) else {
            return self.differ(format!("link {id} has no number in a recording"));
        };
        let received = self.word(nth(block, link_word::rxHead))?;
        self.links.insert(
            key,
            Link {
                block,
                next: 0,
                received,
            },
        );
        Ok(())
    }

    /// The frame at an index of a link's transmit ring, its pieces in a row.
    fn gather(&self, block: u32, index: u32) -> Result<Vec<u8>, Stop> {
        let slot = index & self.word(nth(block, link_word::txMask))?;
        let slots = self.word(nth(block, link_word::txSlots))?;
        let entry = slots.wrapping_add(slot.wrapping_mul(abi::TX_SLOT_BYTES));
        let total = self.word(entry.wrapping_add(abi::TX_TOTAL))?;
        let pieces = self.word(entry.wrapping_add(abi::TX_PIECE_COUNT))?;
        if pieces > abi::TX_PIECES_MAX {
            return self.differ(format!("a frame of {pieces} pieces"));
        }
        let mut frame = Vec::new();
        for piece in 0..pieces {
            let pair = nth(entry.wrapping_add(abi::TX_PIECES), piece * 2);
            let address = self.word(pair)?;
            let length = self.word(nth(pair, 1))?;
            match self.engine.bytes(address, length as usize) {
                Some(bytes) => frame.extend_from_slice(bytes),
                None => return self.differ(format!("piece {piece} is not in the memory")),
            }
        }
        if frame.len() != total as usize {
            return self.differ(format!("pieces of {} bytes, total {total}", frame.len()));
        }
        Ok(frame)
    }

    fn frame(&mut self, id: u8, expected: &[u8]) -> Result<(), Stop> {
        let Some(&Link { block, next, .. }) = self.links.get(&id) else {
            return self.differ(format!("a frame on link {id}, which is not there"));
        };
        let name = self.name;
        if self.word(nth(block, link_word::txHead))? == next {
            return self.differ(format!("{name} published a frame too few on link {id}"));
        }
        let frame = self.gather(block, next)?;
        self.same(&frame, expected, &format!("a frame of {name} on link {id}"))?;
        self.links
            .entry(id)
            .and_modify(|link| link.next = next.wrapping_add(1));
        self.summary.frames_out += 1;
        Ok(())
    }

    fn events(&self, expected: &[u8]) -> Result<(), Stop> {
        let ring = self.word(nth(abi::DIRECTORY_AT, directory::EventRing))?;
        self.same_in_memory(ring, expected, "events")
    }

    fn end(&mut self, expected: u32) -> Result<(), Stop> {
        self.settled()?;
        self.count_received()?;
        let hash = memory_hash(self.engine.memory());
        if hash != expected {
            return self.differ(format!("the memory's hash is {hash:#x}, not {expected:#x}"));
        }
        Ok(())
    }

    fn record(&mut self, kind: &Kind) -> Result<(), Stop> {
        match *kind {
            Kind::Write { address, bytes } => {
                self.settled()?;
                if !self.engine.write(address, bytes) {
                    return self.differ(format!("address {address} is not in the memory"));
                }
                Ok(())
            }
            Kind::Call {
                number,
                parameters,
                result,
            } => self.call(number, parameters, result),
            Kind::Result { words } => {
                self.same_in_memory(abi::RESULT_AT, words, &format!("RESULT of {}", self.name))
            }
            Kind::Frame { link, bytes } => self.frame(link, bytes),
            Kind::Events { entries } => self.events(entries),
            Kind::End { hash } => self.end(hash),
        }
    }
}

/// FNV-1a over 32-bit words.
fn memory_hash(memory: &[u8]) -> u32 {
    let (words, _) = memory.as_chunks();
    words.iter().fold(0x811c_9dc5, |hash: u32, word| {
        (hash ^ u32::from_le_bytes(*word)).wrapping_mul(0x0100_0193)
    })
}

/// Replays a recording on a module: the whole of it, or up to the first difference.
pub fn replay(recording: &Recording, module: &EngineModule) -> Result<Summary, Stop> {
    let refused = |error: ackorn::Error| Stop::Refused(error.to_string());
    let mut engine = Engine::instantiate(module).map_err(refused)?;
    engine.grow_to(recording.memory_bytes).map_err(refused)?;
    let mut replay = Replay {
        engine,
        links: BTreeMap::new(),
        summary: Summary::default(),
        calls: 0,
        offset: 0,
        name: "",
    };
    for record in &recording.records {
        replay.offset = record.offset;
        replay.record(&record.kind)?;
    }
    Ok(replay.summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_format() {
        assert_eq!(memory_hash(&[]), 0x811c_9dc5);
        // One step by hand: (0x811c9dc5 ^ 0x01020304) * 0x01000193 modulo 2^32.
        assert_eq!(
            memory_hash(&[4, 3, 2, 1]),
            0x801e_9ec1_u32.wrapping_mul(0x0100_0193)
        );
    }
}
