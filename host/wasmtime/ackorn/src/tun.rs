//! A TUN (or TAP) device of this network namespace as a link: frames are read straight into the
//! engine's memory and written from it, whole super-segments with offload. The kernel's end gets
//! the addresses; the engine is the other end. Knows descriptors and readiness only.

use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read};
use std::task::{Context, Poll};

use crate::abi;
use crate::address::Cidr;
use crate::device::{Device, Got};
use crate::error::Error;
use crate::ethernet::{Ethernet, Mac};
use crate::link::Link;
use crate::ring::Ring;
use crate::sys::{self, Interface};

/// Packets that may wait for us (txqueuelen), as host/node/link/tun.ts has it, where it was
/// measured: with Linux's 500 one sender overruns it.
const QUEUE_PACKETS: u32 = 5000;

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
    /// Of a TAP device: the engine's MAC. None: one that follows from machine and device.
    pub mac: Option<Mac>,
    /// Of a TAP device: the VLAN id of all frames; 0: no tags.
    pub vlan: u16,
    /// Of a TAP device: `abi::AUTO_*`.
    pub auto: u32,
}

impl Default for TunOptions {
    fn default() -> TunOptions {
        TunOptions {
            name: String::new(),
            tap: false,
            offload: true,
            mtu: 1500,
            addresses: Vec::new(),
            mac: None,
            vlan: 0,
            auto: 0,
        }
    }
}

/// A device; it goes with its descriptor.
pub struct Tun {
    name: String,
    mtu: u32,
    flags: u32,
    ethernet: Option<Ethernet>,
    device: Device,
}

/// On a TUN device the kernel shall not speak IPv6 on its own: no link-local address, no
/// solicitations. On Ethernet it is a host as any other, but one whose addresses are good at once:
/// nobody else is at this device, and the stack probes for its own.
fn settle_ipv6(name: &str, tap: bool) {
    let words: &[_] = if tap {
        &[("accept_dad", "0")]
    } else {
        &[("addr_gen_mode", "1"), ("router_solicitations", "0")]
    };
    for (word, value) in words {
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
        settle_ipv6(&name, options.tap);
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
        let ethernet = options.tap.then(|| Ethernet {
            mac: options.mac.unwrap_or_else(|| Mac::of_device(&name)),
            vlan: options.vlan,
            auto: options.auto,
        });
        Ok(Tun {
            name,
            mtu: *mtu,
            flags,
            ethernet,
            device: Device::Opened(file),
        })
    }

    fn lead(&self) -> u32 {
        if self.flags & abi::LINK_VNET_HDR == 0 {
            return 0;
        }
        abi::VNET_HDR_BYTES
    }
}

/// Reads one frame into the next entry.
fn read_frame(mut file: &File, ring: &mut Ring<'_>, lead: u32) -> io::Result<Got> {
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
    let cut = length > taken as usize;
    ring.rx_publish(entry, taken, if cut { abi::RX_TRUNCATED } else { 0 })?;
    Ok(Got::Frame(length))
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

    fn ethernet(&self) -> Option<Ethernet> {
        self.ethernet
    }

    fn attach(&mut self) -> io::Result<()> {
        self.device.attach()
    }

    fn read_batch(&mut self, ring: &mut Ring<'_>, max: u32) -> io::Result<u32> {
        let lead = self.lead();
        let read = |file: &File, ring: &mut Ring<'_>| read_frame(file, ring, lead);
        Ok(self.device.read_batch(ring, max, read)?.moved)
    }

    fn write_batch(&mut self, ring: &mut Ring<'_>) -> io::Result<u32> {
        self.device.write_batch(ring, self.lead())
    }

    fn poll_ready(&mut self, context: &mut Context<'_>, want_write: bool) -> Poll<()> {
        self.device.poll_ready(context, want_write)
    }
}
