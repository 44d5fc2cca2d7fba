//! A network card of the kernel as a link (packet(7)): frames with a virtio_net_hdr are read
//! straight into the engine's memory and written from it, super-segments whole. The kernel keeps
//! the card; the stack is one more host on its Ethernet, with a MAC of its own or the card's. Knows
//! sockets and readiness only.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll};

use crate::abi::{self, link_word};
use crate::device::{Device, Got};
use crate::error::Error;
use crate::ethernet::{Ethernet, Mac};
use crate::link::Link;
use crate::ring::Ring;
use crate::sys::{self, Interface, Received};

/// Bytes that may wait in the socket, each way: 1,000 frames of 1,500 bytes with the kernel's own
/// records of them.
const QUEUE_BYTES: u32 = 4 * 1024 * 1024;

/// Whose MAC the stack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketMac {
    /// One that follows from machine and card. The card is made promiscuous.
    Own,
    /// The card's own, for a medium that lets no other pass (Wi-Fi). The kernel must not have the
    /// stack's addresses, and must not forward.
    Card,
    /// This one; the card is made promiscuous unless it is the card's.
    Given(Mac),
}

/// How a card is used.
#[derive(Clone, Debug)]
pub struct PacketOptions {
    /// The card.
    pub interface: String,
    /// The card or the kernel segments and completes checksums of what the stack sends. What
    /// arrives may be merged and unfinished either way.
    pub offload: bool,
    /// Bytes; none: the card's.
    pub mtu: Option<u32>,
    pub mac: PacketMac,
    /// The VLAN id of all frames; 0: no tags.
    pub vlan: u16,
    /// `abi::AUTO_*`.
    pub auto: u32,
}

/// A card; it is as before when this is dropped.
pub struct Packet {
    name: String,
    mtu: u32,
    flags: u32,
    ethernet: Ethernet,
    device: Device,
}

impl Packet {
    /// Opens a card and sets it up if it is down. Needs `CAP_NET_RAW` in this network namespace.
    ///
    /// # Errors
    /// `Error::Io` that says which step failed; nothing is left behind.
    pub fn open(options: &PacketOptions) -> Result<Packet, Error> {
        let name = &options.interface;
        let step = |what: &'static str| {
            move |error: io::Error| Error::Io {
                what: format!("{name}: {what}"),
                error,
            }
        };
        let interface = Interface::new(name).map_err(step("socket"))?;
        let index = interface.index().map_err(step("the card"))?;
        let card = interface.hardware_address().map_err(step("its MAC"))?;
        let card = card.ok_or_else(|| Error::Setup(format!("{name}: is no Ethernet card")))?;
        let most = interface.mtu().map_err(step("its MTU"))?;
        let mtu = options.mtu.unwrap_or(most);
        if mtu > most {
            let why = format!("{name}: an MTU of {mtu} is more than the card's {most}");
            return Err(Error::Setup(why));
        }
        if !interface.is_up().map_err(step("its flags"))? {
            interface.set_up().map_err(step("up"))?;
        }
        let mac = match options.mac {
            PacketMac::Own => Mac::of_device(name),
            PacketMac::Card => Mac(card),
            PacketMac::Given(mac) => mac,
        };
        let file =
            sys::open_packet(index, mac.0 != card, QUEUE_BYTES).map_err(step("a packet socket"))?;
        let offloads = abi::LINK_CSUM | abi::LINK_TSO4 | abi::LINK_TSO6;
        Ok(Packet {
            name: name.clone(),
            mtu,
            flags: abi::LINK_UP
                | abi::LINK_ETHERNET
                | abi::LINK_VNET_HDR
                | if options.offload { offloads } else { 0 },
            ethernet: Ethernet {
                mac,
                vlan: options.vlan,
                auto: options.auto,
            },
            device: Device::Opened(file),
        })
    }
}

/// Reads one frame into the next entry.
fn read_frame(file: &File, ring: &mut Ring<'_>, name: &str) -> io::Result<Got> {
    let entry = ring.rx_next()?;
    let room = ring.rx_room(entry, abi::VNET_HDR_BYTES)?;
    let header = abi::VNET_HDR_BYTES as usize;
    let received = match sys::receive(file, &mut [IoSliceMut::new(room)]) {
        Ok(received) => received,
        // A frame that no virtio_net_hdr can describe (a tunnel's super-segment): it is lost.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            ring.add(link_word::rxMissed, 1)?;
            return Ok(Got::Nothing);
        }
        // The card went down, and may come up again; or it is gone for good.
        Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
            Interface::new(name)?.index()?;
            return Ok(Got::Nothing);
        }
        Err(error) => return Err(error),
    };
    let Received { length, cut, vlan } = received;
    let Some(length) = length.checked_sub(header) else {
        return Ok(Got::Nothing);
    };
    let tag = match vlan {
        None => 0,
        Some((sys::TPID_8021Q, tag)) => abi::RX_VLAN | u32::from(tag) << abi::RX_VLAN_SHIFT,
        // Another kind of tag than ours: of a network that is not ours.
        Some(_) => return Ok(Got::Nothing),
    };
    let taken = u32::try_from(length)
        .unwrap_or(u32::MAX)
        .min(entry.capacity);
    ring.rx_publish(entry, taken, tag | if cut { abi::RX_TRUNCATED } else { 0 })?;
    Ok(Got::Frame(length))
}

impl Link for Packet {
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
        Some(self.ethernet)
    }

    fn attach(&mut self) -> io::Result<()> {
        self.device.attach()
    }

    fn read_batch(&mut self, ring: &mut Ring<'_>, max: u32) -> io::Result<u32> {
        let name = &self.name;
        let read = |file: &File, ring: &mut Ring<'_>| read_frame(file, ring, name);
        let batch = self.device.read_batch(ring, max, read)?;
        // Only a queue that was long may have overflown: a question to the kernel is a system call.
        if batch.more
            && let Device::Attached(socket) = &self.device
        {
            ring.add(link_word::rxMissed, sys::packet_drops(socket.get_ref())?)?;
        }
        Ok(batch.moved)
    }

    fn write_batch(&mut self, ring: &mut Ring<'_>) -> io::Result<u32> {
        self.device.write_batch(ring, abi::VNET_HDR_BYTES)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>, want_write: bool) -> Poll<()> {
        self.device.poll_ready(context, want_write)
    }
}
