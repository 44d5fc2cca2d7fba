//! A TUN (or TAP) device of this network namespace as a link: frames are read straight into the
//! engine's memory and written from it, whole super-segments with offload. The kernel's end gets
//! the addresses; the engine is the other end. Knows descriptors and readiness only.

use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read, Write};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::abi::{self, link_word};
use crate::address::Cidr;
use crate::error::Error;
use crate::link::Link;
use crate::ring::Ring;
use crate::sys::{self, Interface};

/// Packets that may wait for us (txqueuelen), as host/node/link/tun.ts has it, where it was
/// measured: with Linux's 500 one sender overruns it.
const QUEUE_PACKETS: u32 = 5000;

/// A batch ends here, full or not: what is read should still be in the processor's cache when the
/// engine copies it out.
const BATCH_BYTES: usize = 256 * 1024;

/// How a device is made.
#[derive(Clone, Debug)]
pub struct TunOptions {
    /// Empty: the kernel chooses `tunN`.
    pub name: String,
    /// Ethernet frames instead of IP packets.
    pub tap: bool,
    /// Segmentation and checksum offload, both ways.
    pub offload: bool,
    /// Bytes.
    pub mtu: u32,
    /// Addresses of the kernel's end.
    pub addresses: Vec<Cidr>,
}

impl Default for TunOptions {
    fn default() -> TunOptions {
        TunOptions {
            name: String::new(),
            tap: false,
            offload: true,
            mtu: 1500,
            addresses: Vec::new(),
        }
    }
}

enum Device {
    Opened(File),
    Attached(AsyncFd<File>),
    Gone,
}

/// A device; it goes with its descriptor.
pub struct Tun {
    name: String,
    mtu: u32,
    flags: u32,
    device: Device,
}

/// The kernel shall not speak IPv6 on its own here: no link-local address, no solicitations.
fn quiet_ipv6(name: &str) {
    for (word, value) in [("addr_gen_mode", "1"), ("router_solicitations", "0")] {
        // A kernel without IPv6 has no such file, and then nothing is to be said.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{word}"), value);
    }
}

impl Tun {
    /// Makes a device: offload, MTU, addresses, up. Needs `CAP_NET_ADMIN` in this network
    /// namespace.
    ///
    /// # Errors
    /// `Error::Io` that says which step failed; nothing is left behind.
    pub fn open(options: &TunOptions) -> Result<Tun, Error> {
        let TunOptions { name, mtu, .. } = options;
        let step = |what: &str, error: io::Error| Error::Io {
            what: format!("{name}: {what}"),
            error,
        };
        let (file, name) = sys::open_tun(name, options.tap, options.offload)
            .map_err(|error| step("the device cannot be opened", error))?;
        if options.offload {
            sys::set_offload(&file).map_err(|error| step("TUNSETOFFLOAD", error))?;
        }
        quiet_ipv6(&name);
        let mut interface = Interface::new(&name).map_err(|error| step("socket", error))?;
        interface
            .set_mtu(*mtu)
            .map_err(|error| step("its MTU", error))?;
        interface
            .set_queue_length(QUEUE_PACKETS)
            .map_err(|error| step("its queue", error))?;
        for cidr in &options.addresses {
            interface
                .add_address(*cidr)
                .map_err(|error| step(&format!("address {cidr}"), error))?;
        }
        interface.set_up().map_err(|error| step("up", error))?;
        let offloads = abi::LINK_VNET_HDR | abi::LINK_CSUM | abi::LINK_TSO4 | abi::LINK_TSO6;
        let flags = abi::LINK_UP
            | if options.offload { offloads } else { 0 }
            | if options.tap { abi::LINK_ETHERNET } else { 0 };
        Ok(Tun {
            name,
            mtu: *mtu,
            flags,
            device: Device::Opened(file),
        })
    }

    fn lead(&self) -> u32 {
        if self.flags & abi::LINK_VNET_HDR == 0 {
            return 0;
        }
        abi::VNET_HDR_BYTES
    }

    fn attached(&self) -> io::Result<&AsyncFd<File>> {
        match &self.device {
            Device::Attached(device) => Ok(device),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }
}

/// Reads one frame into the next entry. Returns its bytes.
fn read_frame(mut file: &File, ring: &mut Ring<'_>, lead: u32) -> io::Result<usize> {
    let entry = ring.rx_next()?;
    let room = ring.rx_room(entry, abi::VNET_HDR_BYTES)?;
    let (header, body) = room.split_at_mut(abi::VNET_HDR_BYTES as usize);
    // One byte more than fits, elsewhere: a frame that was cut is told from one that just fits.
    let mut spare = [0];
    let mut pieces = [
        IoSliceMut::new(&mut header[..lead as usize]),
        IoSliceMut::new(body),
        IoSliceMut::new(&mut spare),
    ];
    let got = file.read_vectored(&mut pieces)?;
    let length = got
        .checked_sub(lead as usize)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    if lead == 0 {
        header.fill(0);
    }
    let taken = u32::try_from(length)
        .unwrap_or(u32::MAX)
        .min(entry.capacity);
    ring.rx_publish(entry, taken, length > taken as usize)?;
    Ok(length)
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl Link for Tun {
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
        self.device = match std::mem::replace(&mut self.device, Device::Gone) {
            Device::Opened(file) => Device::Attached(sys::register(file)?),
            other => other,
        };
        Ok(())
    }

    fn read_batch(&mut self, ring: &mut Ring<'_>, max: u32) -> io::Result<u32> {
        let lead = self.lead();
        let device = self.attached()?;
        let free = ring.rx_free()?;
        let first = ring.get(link_word::rxHead)?;
        let all = free == ring.get(link_word::rxMask)?.wrapping_add(1);
        let swaps = if all { free / 2 } else { 0 };
        let (mut moved, mut bytes) = (0, 0);
        while moved < max.min(free) && bytes < BATCH_BYTES {
            // All entries are free: the buffers used last come first, as far as both are free.
            if moved < swaps {
                ring.rx_swap(first.wrapping_add(moved), first.wrapping_sub(1 + moved))?;
            }
            let got = device.try_io(Interest::READABLE, |file| read_frame(file, ring, lead));
            match got {
                Ok(length) => bytes += length,
                Err(error) if would_block(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            moved += 1;
        }
        Ok(moved)
    }

    fn write_batch(&mut self, ring: &mut Ring<'_>) -> io::Result<u32> {
        let lead = self.lead();
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

    fn poll_ready(&mut self, context: &mut Context<'_>, want_write: bool) -> Poll<()> {
        let Device::Attached(device) = &self.device else {
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

/// The device was deleted or lost its driver.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::EBADFD | libc::ENODEV)
    )
}
