//! The reader on a small recording that holds every kind of record, and on everything that may
//! be wrong with it: cut at every byte, a byte changed to anything, each rule of docs/replay.md
//! broken.

use super::*;

fn number_of(name: &str) -> u8 {
    let found = abi::CALLS.iter().position(|(call, _)| *call == name);
    found.expect("a call of this name") as u8
}

/// Builds recordings, right and wrong ones.
struct Writer(Vec<u8>);

impl Writer {
    fn header(version: u32, memory_bytes: u32) -> Self {
        let mut writer = Writer(MAGIC.to_vec());
        writer.u32(version).u32(memory_bytes);
        writer
    }

    /// Up to and with the call of boot.
    fn booted() -> Self {
        let mut writer = Writer::header(abi::ABI_VERSION, PAGE);
        let config = [7; abi::CONFIG_WORDS as usize * 4];
        writer.write(abi::CONFIG_AT, &config).call("boot", &[], 0);
        writer
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> &mut Self {
        let length = bytes.len() as u32;
        self.u8(1).u32(address).u32(length).bytes(bytes)
    }

    fn call(&mut self, name: &str, parameters: &[u32], result: u32) -> &mut Self {
        self.u8(2).u8(number_of(name)).u8(parameters.len() as u8);
        for value in parameters {
            self.u32(*value);
        }
        self.u32(result)
    }

    fn frame(&mut self, link: u8, bytes: &[u8]) -> &mut Self {
        self.u8(4).u8(link).u32(bytes.len() as u32).bytes(bytes)
    }

    fn end(&mut self, hash: u32) -> &mut Self {
        self.u8(6).u32(hash)
    }
}

/// One record of each kind.
fn small() -> Vec<u8> {
    let mut writer = Writer::booted();
    writer.call("poll", &[1, 2, 3], u32::MAX).frame(2, b"frame");
    writer.call("tcpOpen", &[], 5).u8(3).u8(1).u32(9);
    writer.call("eventsCollect", &[], 1).u8(5).u32(1);
    writer.bytes(&[1; abi::EVENT_BYTES as usize]);
    writer.write(PAGE - 4, b"last").end(0x1234_5678);
    writer.0
}

#[track_caller]
fn refused(writer: &Writer, expected: &str) {
    let refusal = parse(&writer.0).expect_err(expected);
    let text = refusal.to_string();
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains('\n') && refusal.offset <= writer.0.len());
}

#[test]
fn every_kind_of_record_is_read() {
    let data = small();
    let recording = parse(&data).unwrap();
    assert_eq!(recording.memory_bytes, PAGE);
    let kinds: Vec<_> = recording
        .records
        .iter()
        .map(|record| &record.kind)
        .collect();
    let poll = usize::from(number_of("poll"));
    let parameters: &[u8] = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
    assert_eq!(kinds.len(), 10);
    assert_eq!(
        *kinds[2],
        Kind::Call {
            number: poll,
            parameters,
            result: -1
        }
    );
    assert_eq!(
        *kinds[3],
        Kind::Frame {
            link: 2,
            bytes: b"frame"
        }
    );
    assert_eq!(
        *kinds[5],
        Kind::Result {
            words: &[9, 0, 0, 0]
        }
    );
    assert_eq!(*kinds[7], Kind::Events { entries: &[1; 16] });
    assert_eq!(
        *kinds[8],
        Kind::Write {
            address: PAGE - 4,
            bytes: b"last"
        }
    );
    assert_eq!(*kinds[9], Kind::End { hash: 0x1234_5678 });
    assert_eq!(recording.records[0].offset, 16);
}

#[test]
fn cut_at_every_byte_it_is_refused() {
    let data = small();
    for length in 0..data.len() {
        let refusal = parse(&data[..length]).expect_err("a part is no recording");
        assert!(refusal.offset <= length, "{refusal} of {length} bytes");
        assert!(refusal.what.starts_with("cut short"), "{refusal}");
    }
    assert!(parse(&data).is_ok());
}

#[test]
fn no_byte_in_place_of_another_makes_it_panic() {
    let data = small();
    for at in 0..data.len() {
        for value in 0..=255 {
            let mut changed = data.clone();
            changed[at] = value;
            if let Err(refusal) = parse(&changed) {
                assert!(refusal.offset <= changed.len());
            }
        }
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let mut other = Writer(b"ACKORNR2".to_vec());
    refused(other.u32(abi::ABI_VERSION).u32(PAGE), "ACKORNR1");
    refused(&Writer(b"\0asm\x01\0\0\0".to_vec()), "ACKORNR1");
    refused(
        &Writer::header(abi::ABI_VERSION + 1, PAGE),
        "recorded with ABI",
    );
}

#[test]
fn a_memory_that_is_not_of_whole_pages_is_refused() {
    for size in [0, 1, PAGE - 1, PAGE + 1, u32::MAX] {
        refused(&Writer::header(abi::ABI_VERSION, size), "whole pages");
    }
}

#[test]
fn a_record_that_cannot_be_is_refused() {
    for tag in [0, 7, 255] {
        refused(Writer::booted().u8(tag), "unknown tag");
    }
    refused(Writer::booted().u8(2).u8(255), "unknown call 255");
    let calls = abi::CALLS.len() as u8;
    refused(Writer::booted().u8(2).u8(calls), "unknown call");
    refused(
        Writer::booted().call("poll", &[1, 2], 0),
        "poll takes 3 parameters, not 2",
    );
    refused(
        Writer::booted().call("tcpOpen", &[1], 0),
        "tcpOpen takes 0 parameters, not 1",
    );
    let words = (abi::RESULT_BYTES / 4) as u8;
    refused(
        Writer::booted().u8(3).u8(words + 1),
        "do not fit into RESULT",
    );
}

#[test]
fn a_write_outside_of_the_memory_is_refused() {
    refused(
        Writer::booted().write(PAGE - 3, b"last"),
        "not in the memory",
    );
    refused(
        Writer::booted().write(u32::MAX, b"last"),
        "not in the memory",
    );
    refused(
        Writer::booted().u8(1).u32(0).u32(u32::MAX),
        "not in the memory",
    );
}

#[test]
fn a_length_beyond_the_file_is_refused() {
    refused(Writer::booted().u8(4).u8(0).u32(u32::MAX), "cut short");
    refused(Writer::booted().u8(5).u32(u32::MAX), "cut short");
}

#[test]
fn records_out_of_order_are_refused() {
    let mut writer = Writer::header(abi::ABI_VERSION, PAGE);
    refused(writer.call("boot", &[], 0), "first record");
    let mut writer = Writer::header(abi::ABI_VERSION, PAGE);
    refused(writer.write(abi::CONFIG_AT, b"some"), "first record");
    let mut writer = Writer::header(abi::ABI_VERSION, PAGE);
    let config = [0; abi::CONFIG_WORDS as usize * 4];
    writer.write(abi::CONFIG_AT, &config);
    refused(writer.call("poll", &[1, 2, 3], 0), "second record");
    refused(
        Writer::booted().write(0, b"some").frame(0, b"frame"),
        "belongs to no call",
    );
}

#[test]
fn bytes_behind_the_end_are_refused() {
    refused(Writer::booted().end(0).u8(0), "bytes follow the end");
}
