//! The contract between the loop and a device. A link moves frames between the device and the rings
//! in the engine's memory and says when there is something to move; it never looks into a frame.
//! Implemented by wire.rs, tun.rs and packet.rs; called by driver.rs.

use std::io;
use std::task::{Context, Poll};

use crate::ethernet::Ethernet;
use crate::ring::Ring;

/// What the loop needs of a device. A full ring is nobody's error: frames wait in the device, or in
/// the engine's transmit ring.
pub trait Link: Send {
    /// The interface's name, for messages.
    fn name(&self) -> &str;

    /// Bytes of an IP packet that the link carries; super-segments may be longer.
    fn mtu(&self) -> u32;

    /// `abi::LINK_*`, for the engine.
    fn flags(&self) -> u32;

    /// Of a link with `abi::LINK_ETHERNET`.
    fn ethernet(&self) -> Option<Ethernet> {
        None
    }

    /// Called once, within the runtime that will wait for the device.
    ///
    /// # Errors
    /// The device cannot be waited for.
    fn attach(&mut self) -> io::Result<()>;

    /// Moves up to `max` frames that arrived into the receive ring. Returns how many.
    ///
    /// # Errors
    /// The device is gone, or the ring corrupt: the stack ends.
    fn read_batch(&mut self, ring: &mut Ring<'_>, max: u32) -> io::Result<u32>;

    /// Sends what is in the transmit ring. Returns the entries given back to the engine.
    ///
    /// # Errors
    /// The device is gone, or the ring corrupt: the stack ends.
    fn write_batch(&mut self, ring: &mut Ring<'_>) -> io::Result<u32>;

    /// Ready when frames may have arrived or, with `want_write`, when sending may go on. Pending:
    /// the task is woken then.
    fn poll_ready(&mut self, context: &mut Context<'_>, want_write: bool) -> Poll<()>;
}
