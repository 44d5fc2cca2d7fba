//! Reads a recording (docs/replay.md) out of its bytes: the whole file is checked before anything
//! is replayed, so that a replay can only end as identical or different. Whatever the bytes are,
//! the answer is a list of records or one line about what is wrong with them. Called by main.rs;
//! knows nothing of wasm.

use std::fmt;

use ackorn::{PAGE, abi};

pub const MAGIC: &[u8; 8] = b"ACKORNR1";

const BOOT: &str = "boot";

/// One record. Words (`parameters`, `words`, `entries`) are little endian, as in the file.
#[derive(Debug, PartialEq)]
pub enum Kind<'a> {
    /// Input: the host wrote into the memory.
    Write { address: u32, bytes: &'a [u8] },
    /// Input: a call; and what it returned.
    Call {
        number: usize,
        parameters: &'a [u8],
        result: i32,
    },
    /// Output of the last call: words at RESULT.
    Result { words: &'a [u8] },
    /// Output of the last call: a frame that it published.
    Frame { link: u8, bytes: &'a [u8] },
    /// Output of the last call: entries of the event ring from its start.
    Events { entries: &'a [u8] },
    /// The end: hash of the whole memory.
    End { hash: u32 },
}

#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    /// Where it begins in the file.
    pub offset: usize,
    pub kind: Kind<'a>,
}

#[derive(Debug, PartialEq)]
pub struct Recording<'a> {
    /// Size of the engine's memory, a multiple of `PAGE`.
    pub memory_bytes: u32,
    /// In order; the last one is the only `End`.
    pub records: Vec<Record<'a>>,
}

/// Why the bytes are no recording.
#[derive(Debug, PartialEq)]
pub struct Malformed {
    pub offset: usize,
    pub what: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { offset, what } = self;
        write!(formatter, "malformed recording, byte {offset}: {what}")
    }
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed {
            offset: self.at,
            what: what.into(),
        })
    }

    /// The next `count` bytes; u64, so that no product of lengths from the file can wrap.
    fn bytes(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let left = &self.data[self.at..];
        let Some(taken) = usize::try_from(count).ok().and_then(|end| left.get(..end)) else {
            return self.fail(format!("cut short: {} bytes left of {count}", left.len()));
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N as u64)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Magic, version and memory size. @returns the memory size
    fn header(&mut self) -> Result<u32, Malformed> {
        if self.array()? != *MAGIC {
            self.at = 0;
            return self.fail("it does not begin with ACKORNR1");
        }
        let version = self.u32()?;
        if version != abi::ABI_VERSION {
            let ours = abi::ABI_VERSION;
            return self.fail(format!("recorded with ABI {version}, this is ABI {ours}"));
        }
        let memory_bytes = self.u32()?;
        if memory_bytes == 0 || memory_bytes % PAGE != 0 {
            return self.fail(format!(
                "a memory of {memory_bytes} bytes is not of whole pages"
            ));
        }
        Ok(memory_bytes)
    }

    fn record(&mut self, memory_bytes: u32) -> Result<Kind<'a>, Malformed> {
        match self.u8()? {
            1 => self.write(memory_bytes),
            2 => self.call(),
            3 => {
                let count = u64::from(self.u8()?);
                if count * 4 > u64::from(abi::RESULT_BYTES) {
                    return self.fail(format!("{count} words do not fit into RESULT"));
                }
                let words = self.bytes(count * 4)?;
                Ok(Kind::Result { words })
            }
            4 => {
                let link = self.u8()?;
                let length = self.u32()?;
                let bytes = self.bytes(length.into())?;
                Ok(Kind::Frame { link, bytes })
            }
            5 => {
                let count = u64::from(self.u32()?);
                let entries = self.bytes(count * u64::from(abi::EVENT_BYTES))?;
                Ok(Kind::Events { entries })
            }
            6 => Ok(Kind::End { hash: self.u32()? }),
            tag => self.fail(format!("unknown tag {tag}")),
        }
    }

    fn write(&mut self, memory_bytes: u32) -> Result<Kind<'a>, Malformed> {
        let address = self.u32()?;
        let length = self.u32()?;
        if u64::from(address) + u64::from(length) > memory_bytes.into() {
            return self.fail(format!("{length} bytes at {address} are not in the memory"));
        }
        let bytes = self.bytes(length.into())?;
        Ok(Kind::Write { address, bytes })
    }

    fn call(&mut self) -> Result<Kind<'a>, Malformed> {
        let number = usize::from(self.u8()?);
        let Some((name, count)) = abi::CALLS.get(number) else {
            return self.fail(format!("unknown call {number}"));
        };
        let recorded = usize::from(self.u8()?);
        if recorded != *count {
            return self.fail(format!("{name} takes {count} parameters, not {recorded}"));
        }
        let parameters = self.bytes(*count as u64 * 4)?;
        let result = self.u32()?.cast_signed();
        Ok(Kind::Call {
            number,
            parameters,
            result,
        })
    }
}

/// What the format says about the order of records: CONFIG, boot, then outputs only behind calls.
fn in_order(before: &[Record], kind: &Kind) -> Result<(), &'static str> {
    match (before, kind) {
        ([], Kind::Write { address, bytes })
            if *address == abi::CONFIG_AT && bytes.len() == abi::CONFIG_WORDS as usize * 4 =>
        {
            Ok(())
        }
        ([], _) => Err("the first record does not write CONFIG"),
        ([_], Kind::Call { number, .. }) if abi::CALLS[*number].0 == BOOT => Ok(()),
        ([_], _) => Err("the second record does not call boot"),
        ([.., last], Kind::Result { .. } | Kind::Frame { .. } | Kind::Events { .. })
            if matches!(last.kind, Kind::Write { .. }) =>
        {
            Err("an output that belongs to no call")
        }
        _ => Ok(()),
    }
}

/// Reads a whole recording.
pub fn parse(data: &[u8]) -> Result<Recording<'_>, Malformed> {
    let mut reader = Reader { data, at: 0 };
    let memory_bytes = reader.header()?;
    let mut records = Vec::new();
    loop {
        let offset = reader.at;
        let kind = reader.record(memory_bytes)?;
        if let Err(what) = in_order(&records, &kind) {
            let what = what.to_owned();
            return Err(Malformed { offset, what });
        }
        let ended = matches!(kind, Kind::End { .. });
        records.push(Record { offset, kind });
        if !ended {
            continue;
        }
        if reader.at < data.len() {
            return reader.fail("bytes follow the end");
        }
        return Ok(Recording {
            memory_bytes,
            records,
        });
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
