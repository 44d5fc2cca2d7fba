//! The in-process wire: two ends, each the link of one stack. What one engine transmits arrives at
//! the other, virtio_net_hdr and all: super-segments cross whole, unfinished checksums stay
//! unfinished. It never drops: with a full queue frames wait in the sender's transmit ring. For
//! tests, examples and stacks without privileges.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::abi;
use crate::link::Link;
use crate::ring::Ring;

/// Frames on their way in one direction; 16 MiB of super-segments at most.
const QUEUE_MAX: usize = 256;

/// One direction: frames with their virtio_net_hdr in front, and who waits for them or for room.
#[derive(Default)]
struct Direction {
    frames: VecDeque<Vec<u8>>,
    /// Buffers of frames that have arrived, to be used again.
    spare: Vec<Vec<u8>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a wire.
pub struct WireEnd {
    name: String,
    mtu: u32,
    flags: u32,
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
}

fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wire of two ends for packets of up to `mtu` bytes; with `offload` whole super-segments cross
/// and no checksum is computed.
pub fn wire(mtu: u32, offload: bool) -> (WireEnd, WireEnd) {
    let there = Arc::new(Mutex::new(Direction::default()));
    let back = Arc::new(Mutex::new(Direction::default()));
    let offloads = abi::LINK_VNET_HDR | abi::LINK_CSUM | abi::LINK_TSO4 | abi::LINK_TSO6;
    let flags = abi::LINK_UP | if offload { offloads } else { 0 };
    let end =
        |name: &str, incoming: &Arc<Mutex<Direction>>, outgoing: &Arc<Mutex<Direction>>| WireEnd {
            name: name.to_owned(),
            mtu,
            flags,
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
        };
    (end("wire0", &back, &there), end("wire1", &there, &back))
}

impl Link for WireEnd {
    fn name(&self) -> &str {
        &self.name
    }

    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn flags(&self) -> u32 {
        self.flags
    }

    fn attach(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn read_batch(&mut self, ring: &mut Ring<'_>, max: u32) -> io::Result<u32> {
        let mut incoming = lock(&self.incoming);
        let mut moved = 0;
        while moved < max && ring.rx_free()? > 0 {
            let Some(frame) = incoming.frames.pop_front() else {
                break;
            };
            let (vnet, bytes) = frame.split_at(abi::VNET_HDR_BYTES as usize);
            ring.receive(bytes, vnet)?;
            incoming.spare.push(frame);
            moved += 1;
        }
        let waiting = if moved > 0 {
            incoming.writer.take()
        } else {
            None
        };
        drop(incoming);
        if let Some(waker) = waiting {
            waker.wake();
        }
        Ok(moved)
    }

    fn write_batch(&mut self, ring: &mut Ring<'_>) -> io::Result<u32> {
        let header = abi::VNET_HDR_BYTES;
        let lead = if ring.has_vnet_header()? { header } else { 0 };
        let mut outgoing = lock(&self.outgoing);
        let mut moved = 0;
        while ring.tx_ready()? > 0 && outgoing.frames.len() < QUEUE_MAX {
            let mut frame = outgoing.spare.pop().unwrap_or_default();
            frame.clear();
            frame.resize((header - lead) as usize, 0);
            let (pieces, count) = ring.tx_frame(lead)?;
            for piece in &pieces[..count] {
                frame.extend_from_slice(piece);
            }
            outgoing.frames.push_back(frame);
            ring.tx_return()?;
            moved += 1;
        }
        let waiting = if moved > 0 {
            outgoing.reader.take()
        } else {
            None
        };
        drop(outgoing);
        if let Some(waker) = waiting {
            waker.wake();
        }
        Ok(moved)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>, want_write: bool) -> Poll<()> {
        let mut incoming = lock(&self.incoming);
        if !incoming.frames.is_empty() {
            return Poll::Ready(());
        }
        incoming.reader = Some(context.waker().clone());
        drop(incoming);
        if want_write {
            let mut outgoing = lock(&self.outgoing);
            if outgoing.frames.len() < QUEUE_MAX {
                return Poll::Ready(());
            }
            outgoing.writer = Some(context.waker().clone());
        }
        Poll::Pending
    }
}
