//! A descriptor that carries one frame a call, as the part that TUN, TAP and packet sockets have
//! in common: batches between it and the rings, and readiness. Called by tun.rs and packet.rs.

use std::fs::File;
use std::io::{self, Write};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::abi::link_word;
use crate::ring::Ring;
use crate::sys;

/// A batch ends here, full or not: what is read should still be in the processor's cache when the
/// engine copies it out.
const BATCH_BYTES: usize = 256 * 1024;

/// What became of one read.
pub(crate) enum Got {
    /// A frame of so many bytes is in the ring.
    Frame(usize),
    /// Nothing for the engine; the next read may have something.
    Nothing,
}

/// What a batch of reads came to.
pub(crate) struct Batch {
    pub moved: u32,
    /// There may be more: the batch ended for want of room or because it was large enough.
    pub more: bool,
}

pub(crate) enum Device {
    Opened(File),
    Attached(AsyncFd<File>),
    Gone,
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// The device was deleted or lost its driver.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::EBADFD | libc::ENODEV | libc::ENXIO)
    )
}

impl Device {
    pub fn attach(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Device::Gone) {
            Device::Opened(file) => Device::Attached(sys::register(file)?),
            other => other,
        };
        Ok(())
    }

    fn attached(&self) -> io::Result<&AsyncFd<File>> {
        match self {
            Device::Attached(device) => Ok(device),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    /// Reads up to `max` frames by `read`, each into the ring's next entry.
    pub fn read_batch(
        &self,
        ring: &mut Ring<'_>,
        max: u32,
        mut read: impl FnMut(&File, &mut Ring<'_>) -> io::Result<Got>,
    ) -> io::Result<Batch> {
        let device = self.attached()?;
        let free = ring.rx_free()?;
        let first = ring.get(link_word::rxHead)?;
        let all = free == ring.get(link_word::rxMask)?.wrapping_add(1);
        let swaps = if all { free / 2 } else { 0 };
        let (mut moved, mut bytes, mut nothing) = (0, 0, 0);
        while moved < max.min(free) && bytes < BATCH_BYTES && nothing < max {
            // All entries are free: the buffers used last come first, as far as both are free.
            if moved < swaps && nothing == 0 {
                ring.rx_swap(first.wrapping_add(moved), first.wrapping_sub(1 + moved))?;
            }
            match device.try_io(Interest::READABLE, |file| read(file, ring)) {
                Ok(Got::Frame(length)) => {
                    bytes += length;
                    moved += 1;
                }
                Ok(Got::Nothing) => nothing += 1,
                Err(error) if would_block(&error) => return Ok(Batch { moved, more: false }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => nothing += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Batch { moved, more: true })
    }

    /// Sends what is in the transmit ring, `lead` bytes before each frame with it.
    pub fn write_batch(&self, ring: &mut Ring<'_>, lead: u32) -> io::Result<u32> {
        let device = self.attached()?;
        let mut moved = 0;
        while ring.tx_ready()? > 0 {
            let (pieces, count) = ring.tx_frame(lead)?;
            let wrote = device.try_io(Interest::WRITABLE, |mut file| {
                file.write_vectored(&pieces[..count])
            });
            match wrote {
                Ok(_) => {}
                Err(error) if would_block(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if gone(&error) => return Err(error),
                // The kernel refuses this frame: it is lost, as on any link.
                Err(_) => ring.add(link_word::txErrors, 1)?,
            }
            ring.tx_return()?;
            moved += 1;
        }
        Ok(moved)
    }

    pub fn poll_ready(&self, context: &mut Context<'_>, want_write: bool) -> Poll<()> {
        let Device::Attached(device) = self else {
            return Poll::Pending;
        };
        if device.poll_read_ready(context).is_ready() {
            return Poll::Ready(());
        }
        if want_write && device.poll_write_ready(context).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
