//! One link's rings in the engine's memory, seen from the host: free receive entries, published
//! transmit entries (LinkWord, RX_* and TX_* of abi.ts). Everything that a ring names is checked
//! against the memory before it is used: whatever stands there, no byte outside is touched. Moves
//! indices and bytes, looks into no packet.

use std::io::IoSlice;

use crate::abi::{self, link_word};

/// The ring names bytes outside the memory, or more entries than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl From<Corrupt> for std::io::Error {
    fn from(_: Corrupt) -> std::io::Error {
        std::io::Error::other("the ring names bytes outside the engine's memory")
    }
}

/// A receive entry: where it stands, and its frame's room.
#[derive(Clone, Copy, Debug)]
pub struct RxEntry {
    at: u32,
    address: u32,
    pub capacity: u32,
}

/// The pieces of one frame, to be written in one go.
pub type Pieces<'a> = [IoSlice<'a>; abi::TX_PIECES_MAX as usize];

/// One link's rings.
pub struct Ring<'a> {
    memory: &'a mut [u8],
    at: u32,
}

impl<'a> Ring<'a> {
    /// `at`: what `linkRing` gave.
    pub fn new(memory: &'a mut [u8], at: u32) -> Ring<'a> {
        Ring { memory, at }
    }

    fn load(&self, address: u32) -> Result<u32, Corrupt> {
        let start = address as usize;
        let bytes = self.memory.get(start..start + 4).ok_or(Corrupt)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Corrupt)?))
    }

    fn store(&mut self, address: u32, value: u32) -> Result<(), Corrupt> {
        let start = address as usize;
        let bytes = self.memory.get_mut(start..start + 4).ok_or(Corrupt)?;
        bytes.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// A word of `abi::link_word`.
    pub fn get(&self, word: u32) -> Result<u32, Corrupt> {
        self.load(self.at.checked_add(4 * word).ok_or(Corrupt)?)
    }

    /// Adds to a word, modulo 2³².
    pub fn add(&mut self, word: u32, value: u32) -> Result<(), Corrupt> {
        let sum = self.get(word)?.wrapping_add(value);
        self.store(self.at + 4 * word, sum)
    }

    /// Do the ten bytes before a frame mean something?
    pub fn has_vnet_header(&self) -> Result<bool, Corrupt> {
        Ok(self.get(link_word::flags)? & abi::LINK_VNET_HDR != 0)
    }

    /// Where the entry of an index stands in a table.
    fn entry(&self, table: u32, mask: u32, index: u32, stride: u32) -> Result<u32, Corrupt> {
        let offset = (index & mask).checked_mul(stride).ok_or(Corrupt)?;
        table.checked_add(offset).ok_or(Corrupt)
    }

    // ---- Receive: host to engine -------------------------------------------------------------

    /// Receive entries that the host may fill.
    pub fn rx_free(&self) -> Result<u32, Corrupt> {
        let head = self.get(link_word::rxHead)?;
        let used = head.wrapping_sub(self.get(link_word::rxTail)?);
        let entries = u64::from(self.get(link_word::rxMask)?) + 1;
        let free = entries.checked_sub(u64::from(used)).ok_or(Corrupt)?;
        u32::try_from(free).map_err(|_| Corrupt)
    }

    fn rx_at(&self, index: u32) -> Result<RxEntry, Corrupt> {
        let table = self.get(link_word::rxDescriptors)?;
        let mask = self.get(link_word::rxMask)?;
        let at = self.entry(table, mask, index, abi::RX_DESCRIPTOR_BYTES)?;
        let address = self.load(at.checked_add(abi::RX_ADDRESS).ok_or(Corrupt)?)?;
        let capacity = self.load(at.checked_add(abi::RX_CAPACITY).ok_or(Corrupt)?)?;
        let end = u64::from(address) + u64::from(capacity);
        if address < abi::VNET_HDR_BYTES || end > self.memory.len() as u64 {
            return Err(Corrupt);
        }
        Ok(RxEntry {
            at,
            address,
            capacity,
        })
    }

    /// The next free entry; call only while `rx_free` says that there is one.
    pub fn rx_next(&self) -> Result<RxEntry, Corrupt> {
        self.rx_at(self.get(link_word::rxHead)?)
    }

    /// The room of an entry: `lead` bytes for the virtio_net_hdr, then the frame.
    pub fn rx_room(&mut self, entry: RxEntry, lead: u32) -> Result<&mut [u8], Corrupt> {
        let start = entry.address.checked_sub(lead).ok_or(Corrupt)? as usize;
        let end = start + (lead + entry.capacity) as usize;
        self.memory.get_mut(start..end).ok_or(Corrupt)
    }

    /// Hands the entry over with its frame of `length` bytes. `flags`: `abi::RX_TRUNCATED`,
    /// `abi::RX_VLAN` with the tag.
    pub fn rx_publish(&mut self, entry: RxEntry, length: u32, flags: u32) -> Result<(), Corrupt> {
        self.store(entry.at + abi::RX_LENGTH, length)?;
        self.store(entry.at + abi::RX_FLAGS, flags)?;
        self.add(link_word::rxHead, 1)
    }

    /// Copies a frame in, `vnet` before it; false when no entry is free.
    pub fn receive(&mut self, frame: &[u8], vnet: &[u8]) -> Result<bool, Corrupt> {
        if self.rx_free()? == 0 {
            return Ok(false);
        }
        let entry = self.rx_next()?;
        let taken = frame.len().min(entry.capacity as usize);
        let room = self.rx_room(entry, abi::VNET_HDR_BYTES)?;
        let (header, body) = room.split_at_mut(abi::VNET_HDR_BYTES as usize);
        header.fill(0);
        header[..vnet.len()].copy_from_slice(vnet);
        body[..taken].copy_from_slice(&frame[..taken]);
        let length = u32::try_from(taken).map_err(|_| Corrupt)?;
        let cut = taken < frame.len();
        self.rx_publish(entry, length, if cut { abi::RX_TRUNCATED } else { 0 })?;
        Ok(true)
    }

    /// Lets the free entries at `from` and `to` exchange their buffers. The host may permute
    /// buffers among entries that are its own: those used last are still in the processor's cache.
    pub fn rx_swap(&mut self, from: u32, to: u32) -> Result<(), Corrupt> {
        let (one, other) = (self.rx_at(from)?, self.rx_at(to)?);
        for (at, entry) in [(one.at, other), (other.at, one)] {
            self.store(at + abi::RX_ADDRESS, entry.address)?;
            self.store(at + abi::RX_CAPACITY, entry.capacity)?;
        }
        Ok(())
    }

    // ---- Transmit: engine to host ------------------------------------------------------------

    /// Entries published and not yet returned.
    pub fn tx_ready(&self) -> Result<u32, Corrupt> {
        let head = self.get(link_word::txHead)?;
        let ready = head.wrapping_sub(self.get(link_word::txTail)?);
        if u64::from(ready) > u64::from(self.get(link_word::txMask)?) + 1 {
            return Err(Corrupt);
        }
        Ok(ready)
    }

    /// The engine may have more to send and no entry for it: poll again after `tx_return`.
    pub fn tx_full(&self) -> Result<bool, Corrupt> {
        let entries = u64::from(self.get(link_word::txMask)?) + 1;
        Ok(u64::from(self.tx_ready()?) == entries)
    }

    /// The pieces of the oldest frame; `lead` bytes before the first belong to it (virtio_net_hdr).
    /// The second number says how many there are.
    pub fn tx_frame(&self, lead: u32) -> Result<(Pieces<'_>, usize), Corrupt> {
        let table = self.get(link_word::txSlots)?;
        let mask = self.get(link_word::txMask)?;
        let tail = self.get(link_word::txTail)?;
        let at = self.entry(table, mask, tail, abi::TX_SLOT_BYTES)?;
        let count = self.load(at.checked_add(abi::TX_PIECE_COUNT).ok_or(Corrupt)?)?;
        if count == 0 || count > abi::TX_PIECES_MAX {
            return Err(Corrupt);
        }
        let mut pieces: Pieces<'_> = [IoSlice::new(&[]); abi::TX_PIECES_MAX as usize];
        for (piece, place) in (0..count).zip(&mut pieces) {
            let pair = at + abi::TX_PIECES + piece * 8;
            let before = if piece == 0 { lead } else { 0 };
            let start = self.load(pair)?.checked_sub(before).ok_or(Corrupt)? as usize;
            let length = self.load(pair + 4)? as usize + before as usize;
            let bytes = self.memory.get(start..).and_then(|rest| rest.get(..length));
            *place = IoSlice::new(bytes.ok_or(Corrupt)?);
        }
        Ok((pieces, count as usize))
    }

    /// Returns the oldest entry: the engine may use again the bytes that it names.
    pub fn tx_return(&mut self) -> Result<(), Corrupt> {
        self.add(link_word::txTail, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RX: u32 = 1024;
    const TX: u32 = 2048;

    /// A memory with one ring: 4 receive entries of 64 bytes, 2 transmit entries.
    fn memory() -> Vec<u8> {
        let mut memory = vec![0; 8192];
        let mut put = |at: u32, value: u32| {
            memory[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
        };
        put(4 * link_word::rxMask, 3);
        put(4 * link_word::rxDescriptors, RX);
        put(4 * link_word::txMask, 1);
        put(4 * link_word::txSlots, TX);
        for entry in 0..4 {
            put(RX + entry * abi::RX_DESCRIPTOR_BYTES, 4096 + entry * 128);
            put(RX + entry * abi::RX_DESCRIPTOR_BYTES + abi::RX_CAPACITY, 64);
        }
        memory
    }

    fn put(memory: &mut [u8], at: u32, value: u32) {
        memory[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn a_frame_is_copied_in_and_one_too_long_is_cut() {
        let mut memory = memory();
        let mut ring = Ring::new(&mut memory, 0);
        assert_eq!(ring.receive(b"frame", &[7; 10]), Ok(true));
        assert_eq!(ring.receive(&[1; 65], &[]), Ok(true));
        assert_eq!(ring.rx_free(), Ok(2));
        assert_eq!(
            &memory[4086..4101],
            b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07frame"
        );
        let flags = (RX + abi::RX_DESCRIPTOR_BYTES + abi::RX_FLAGS) as usize;
        assert_eq!(memory[flags], 1);
        assert_eq!(memory[4224 + 64], 0, "nothing behind the room of an entry");
    }

    #[test]
    fn a_full_ring_takes_no_frame() {
        let mut memory = memory();
        let mut ring = Ring::new(&mut memory, 0);
        for _ in 0..4 {
            assert_eq!(ring.receive(b"x", &[]), Ok(true));
        }
        assert_eq!(ring.receive(b"x", &[]), Ok(false));
    }

    #[test]
    fn pieces_are_given_in_order_with_the_header_before_the_first() {
        let mut memory = memory();
        memory[5000..5010].copy_from_slice(b"virtio_hdr");
        memory[5010..5014].copy_from_slice(b"head");
        memory[6000..6004].copy_from_slice(b"body");
        put(&mut memory, TX, 2);
        for (at, value) in [(0, 5010), (4, 4), (8, 6000), (12, 4)] {
            put(&mut memory, TX + abi::TX_PIECES + at, value);
        }
        put(&mut memory, 4 * link_word::txHead, 1);
        let mut ring = Ring::new(&mut memory, 0);
        assert_eq!(ring.tx_ready(), Ok(1));
        let (pieces, count) = ring.tx_frame(10).unwrap();
        assert_eq!(count, 2);
        assert_eq!(
            (&*pieces[0], &*pieces[1]),
            (&b"virtio_hdrhead"[..], &b"body"[..])
        );
        ring.tx_return().unwrap();
        assert_eq!(ring.tx_ready(), Ok(0));
    }

    #[test]
    fn whatever_names_bytes_outside_is_corrupt() {
        let broken: &[(u32, u32)] = &[
            (4 * link_word::rxDescriptors, 8190),
            (4 * link_word::rxDescriptors, u32::MAX - 3),
            (4 * link_word::rxHead, 5),
            (RX, 5),
            (RX, 8150),
            (RX + abi::RX_CAPACITY, u32::MAX),
        ];
        for (at, value) in broken {
            let mut memory = memory();
            put(&mut memory, *at, *value);
            let got = Ring::new(&mut memory, 0).receive(b"x", &[]);
            assert_eq!(got, Err(Corrupt), "{value} at {at}");
        }
        let pieces = abi::TX_PIECES;
        let broken: &[(u32, u32)] = &[
            (4 * link_word::txSlots, 8190),
            (TX, 0),
            (TX, abi::TX_PIECES_MAX + 1),
            (TX + pieces, 5),
            (TX + pieces, 8190),
            (TX + pieces + 4, u32::MAX),
        ];
        for (at, value) in broken {
            let mut memory = memory();
            for (at, value) in [(TX, 1), (TX + pieces, 5010), (TX + pieces + 4, 4)] {
                put(&mut memory, at, value);
            }
            assert!(Ring::new(&mut memory, 0).tx_frame(10).is_ok());
            put(&mut memory, *at, *value);
            let got = Ring::new(&mut memory, 0).tx_frame(10).map(|_| ());
            assert_eq!(got, Err(Corrupt), "{value} at {at}");
        }
        let mut memory = memory();
        put(&mut memory, 4 * link_word::txHead, 3);
        assert_eq!(Ring::new(&mut memory, 0).tx_ready(), Err(Corrupt));
        assert_eq!(Ring::new(&mut memory, 8192).rx_free(), Err(Corrupt));
    }
}
