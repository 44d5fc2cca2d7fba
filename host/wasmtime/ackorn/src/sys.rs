//! The system calls that std has no name for: making a TUN or TAP device and giving the kernel's
//! end its addresses, by ioctl; packet sockets. The only unsafe code of this crate beside loading
//! machine code. Called by tun.rs, packet.rs and device.rs.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use tokio::io::unix::AsyncFd;

use crate::address::Cidr;

/// `struct in6_ifreq` of linux/ipv6.h.
#[repr(C)]
struct In6Ifreq {
    address: [u8; 16],
    prefix: u32,
    index: libc::c_int,
}

/// Calls an ioctl that takes a pointer to `argument`.
fn ioctl<T>(file: &impl AsRawFd, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    let pointer: *mut T = argument;
    // SAFETY: every caller gives the structure that the request reads and writes.
    #[allow(clippy::useless_conversion)] // musl's request is an int
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, pointer) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: a structure of numbers and bytes, for which zero is a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    Ok(request)
}

/// Opens a device, non-blocking. An empty name lets the kernel choose. Returns it with its name.
pub(crate) fn open_tun(name: &str, tap: bool, vnet: bool) -> io::Result<(File, String)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = request(name)?;
    let kind = if tap { libc::IFF_TAP } else { libc::IFF_TUN };
    let header = if vnet { libc::IFF_VNET_HDR } else { 0 };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI | header) as libc::c_short;
    ioctl(&file, libc::TUNSETIFF, &mut request)?;
    let bytes: Vec<u8> = request
        .ifr_name
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| byte.to_ne_bytes()[0])
        .collect();
    Ok((file, String::from_utf8_lossy(&bytes).into_owned()))
}

/// What the kernel may leave to us: checksums and segmentation of TCP, with ECN.
pub(crate) fn set_offload(tun: &File) -> io::Result<()> {
    let offloads = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    // SAFETY: this request takes a number, no pointer.
    let result = unsafe {
        libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNSETOFFLOAD as _,
            libc::c_ulong::from(offloads),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A file that the runtime waits for.
pub(crate) fn register(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: a File has one descriptor, its own, and keeps it open as long as it lives.
    Ok(unsafe { AsyncFd::register(file) }?)
}

/// Sends one request. Returns the error of its acknowledgement: 0, or an errno negated.
fn rtnetlink(message: &[u8]) -> io::Result<i32> {
    let socket = socket(libc::AF_NETLINK)?;
    let mut reply = [0_u8; 4096];
    // SAFETY: the bytes live through the calls, and their lengths are told.
    let got = unsafe {
        let to = socket.as_raw_fd();
        if libc::send(to, message.as_ptr().cast(), message.len(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::recv(to, reply.as_mut_ptr().cast(), reply.len(), 0)
    };
    // struct nlmsghdr of 16 bytes, then the error of struct nlmsgerr.
    let error = usize::try_from(got)
        .ok()
        .and_then(|length| reply[..length].get(16..20));
    match error {
        Some(error) => Ok(i32::from_ne_bytes([error[0], error[1], error[2], error[3]])),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A datagram socket; of AF_NETLINK it speaks to rtnetlink, whose number is 0.
fn socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is given; a descriptor that comes back is ours.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was opened above and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: a structure of numbers and bytes, for which zero is a value.
    let mut place: libc::sockaddr = unsafe { zeroed() };
    place.sa_family = libc::AF_INET as libc::sa_family_t;
    for (to, from) in place.sa_data[2..6].iter_mut().zip(address.octets()) {
        *to = from.cast_signed() as libc::c_char;
    }
    place
}

/// The kernel's settings of one interface.
pub(crate) struct Interface {
    name: String,
    socket: OwnedFd,
    /// IPv4 addresses given so far: each further one needs a label of its own.
    labels: u32,
}

impl Interface {
    pub(crate) fn new(name: &str) -> io::Result<Interface> {
        let socket = socket(libc::AF_INET)?;
        Ok(Interface {
            name: name.to_owned(),
            socket,
            labels: 0,
        })
    }

    pub(crate) fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mut request = request(&self.name)?;
        request.ifr_ifru.ifru_mtu = mtu.cast_signed();
        ioctl(&self.socket, libc::SIOCSIFMTU, &mut request)
    }

    /// Packets that may wait for us. By netlink: the ioctl wants privileges outside of a user's
    /// own namespace, too.
    pub(crate) fn set_queue_length(&self, packets: u32) -> io::Result<()> {
        let [family, ok, index] = [libc::AF_UNSPEC, 0, self.index()?];
        // struct nlmsghdr, struct ifinfomsg, and one attribute.
        let mut message = Vec::with_capacity(40);
        message.extend(40_u32.to_ne_bytes());
        message.extend(libc::RTM_NEWLINK.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(family.to_ne_bytes());
        message.extend(index.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(8_u16.to_ne_bytes());
        message.extend(libc::IFLA_TXQLEN.to_ne_bytes());
        message.extend(packets.to_ne_bytes());
        match rtnetlink(&message)? {
            error if error == ok => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    pub(crate) fn index(&self) -> io::Result<libc::c_int> {
        let mut found = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFINDEX, &mut found)?;
        // SAFETY: the request above filled the index.
        Ok(unsafe { found.ifr_ifru.ifru_ifindex })
    }

    /// None: the interface is no Ethernet.
    pub(crate) fn hardware_address(&self) -> io::Result<Option<[u8; 6]>> {
        let mut found = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFHWADDR, &mut found)?;
        // SAFETY: the request above filled the address.
        let address = unsafe { found.ifr_ifru.ifru_hwaddr };
        let [a, b, c, d, e, f, ..] = address.sa_data.map(|byte| byte.to_ne_bytes()[0]);
        Ok((address.sa_family == libc::ARPHRD_ETHER).then_some([a, b, c, d, e, f]))
    }

    pub(crate) fn mtu(&self) -> io::Result<u32> {
        let mut found = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFMTU, &mut found)?;
        // SAFETY: the request above filled the number.
        Ok(unsafe { found.ifr_ifru.ifru_mtu }.unsigned_abs())
    }

    pub(crate) fn is_up(&self) -> io::Result<bool> {
        let mut found = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFFLAGS, &mut found)?;
        // SAFETY: the request above filled the flags.
        let flags = unsafe { found.ifr_ifru.ifru_flags };
        Ok(flags & libc::IFF_UP as libc::c_short != 0)
    }

    pub(crate) fn set_up(&self) -> io::Result<()> {
        let mut request = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the request above filled the flags.
        unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
        ioctl(&self.socket, libc::SIOCSIFFLAGS, &mut request)
    }

    pub(crate) fn add_address(&mut self, cidr: Cidr) -> io::Result<()> {
        match cidr.address {
            IpAddr::V4(address) => self.add_v4(address, cidr.prefix),
            IpAddr::V6(address) => self.add_v6(address, cidr.prefix),
        }
    }

    fn add_v4(&mut self, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let label = match self.labels {
            0 => self.name.clone(),
            number => format!("{}:{number}", self.name),
        };
        self.labels += 1;
        let mut place = request(&label)?;
        place.ifr_ifru.ifru_addr = socket_address(address);
        ioctl(&self.socket, libc::SIOCSIFADDR, &mut place)?;
        let bits = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let mut mask = request(&label)?;
        mask.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::from_bits(bits));
        ioctl(&self.socket, libc::SIOCSIFNETMASK, &mut mask)
    }

    fn add_v6(&self, address: Ipv6Addr, prefix: u8) -> io::Result<()> {
        let index = self.index()?;
        let mut place = In6Ifreq {
            address: address.octets(),
            prefix: u32::from(prefix),
            index,
        };
        ioctl(&socket(libc::AF_INET6)?, libc::SIOCSIFADDR, &mut place)
    }
}

// ---- Packet sockets, packet(7) -----------------------------------------------------------------

/// The tag of IEEE 802.1Q.
pub(crate) const TPID_8021Q: u16 = 0x8100;

/// What one receive gave.
pub(crate) struct Received {
    /// Bytes, at most the room.
    pub length: usize,
    /// The frame did not fit.
    pub cut: bool,
    /// Kind and content of a tag that was taken out of the frame.
    pub vlan: Option<(u16, u16)>,
}

fn set_option<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let pointer: *const T = value;
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value lives through the call, and its length is told.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer.cast(), length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn big_queue(socket: &OwnedFd, bytes: u32) {
    let both = [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ];
    for (force, plain) in both {
        // Without CAP_NET_ADMIN as much as net.core allows; a short queue works too.
        if set_option(socket, libc::SOL_SOCKET, force, &bytes).is_err() {
            let _ = set_option(socket, libc::SOL_SOCKET, plain, &bytes);
        }
    }
}

/// Asks a card for frames to all groups, or to everybody; as long as the socket lives.
fn join(socket: &OwnedFd, index: libc::c_int, kind: libc::c_int) -> io::Result<()> {
    let membership = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: kind as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let option = libc::PACKET_ADD_MEMBERSHIP;
    set_option(socket, libc::SOL_PACKET, option, &membership)
}

/// A socket for all frames of a card but those that this machine sends, with a virtio_net_hdr
/// before each, non-blocking.
pub(crate) fn open_packet(index: libc::c_int, promiscuous: bool, queue: u32) -> io::Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // Protocol 0: nothing arrives before all is set and the card is named.
    // SAFETY: no pointer is given; a descriptor that comes back is ours.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was opened above and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let on: libc::c_int = 1;
    let options = [
        libc::PACKET_VNET_HDR,
        libc::PACKET_AUXDATA,
        libc::PACKET_IGNORE_OUTGOING,
    ];
    for option in options {
        set_option(&socket, libc::SOL_PACKET, option, &on)?;
    }
    big_queue(&socket, queue);
    join(&socket, index, libc::PACKET_MR_ALLMULTI)?;
    if promiscuous {
        join(&socket, index, libc::PACKET_MR_PROMISC)?;
    }
    // SAFETY: a structure of numbers and bytes, for which zero is a value.
    let mut place: libc::sockaddr_ll = unsafe { zeroed() };
    place.sll_family = libc::AF_PACKET as libc::c_ushort;
    place.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    place.sll_ifindex = index;
    let pointer: *const libc::sockaddr_ll = &raw const place;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address lives through the call, and its length is told.
    if unsafe { libc::bind(socket.as_raw_fd(), pointer.cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(File::from(socket))
}

/// The tag that an auxiliary record tells of.
fn tag_of(record: &libc::tpacket_auxdata) -> Option<(u16, u16)> {
    if record.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let told = record.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let kind = if told {
        record.tp_vlan_tpid
    } else {
        TPID_8021Q
    };
    Some((kind, record.tp_vlan_tci))
}

/// Receives one frame, its virtio_net_hdr first.
pub(crate) fn receive(file: &File, room: &mut [IoSliceMut<'_>]) -> io::Result<Received> {
    // Words of 8 bytes: control messages begin where those may stand.
    let mut control = [0_u64; 16];
    // SAFETY: a structure of numbers and pointers, for which zero is a value; an IoSliceMut is an
    // iovec. Room and control bytes live through the call, and their lengths are told.
    let (got, message) = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = room.as_mut_ptr().cast();
        message.msg_iovlen = room.len() as _;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        (
            libc::recvmsg(file.as_raw_fd(), &raw mut message, 0),
            message,
        )
    };
    let Ok(length) = usize::try_from(got) else {
        return Err(io::Error::last_os_error());
    };
    let mut vlan = None;
    // SAFETY: the kernel wrote well-formed control messages into the bytes that the header names;
    // a record is read only where its whole length was written.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&raw const message);
        while !at.is_null() {
            let whole = libc::CMSG_LEN(size_of::<libc::tpacket_auxdata>() as u32) as usize;
            let kind = ((*at).cmsg_level, (*at).cmsg_type);
            let long = (*at).cmsg_len as usize >= whole;
            if kind == (libc::SOL_PACKET, libc::PACKET_AUXDATA) && long {
                let record = libc::CMSG_DATA(at).cast::<libc::tpacket_auxdata>();
                vlan = tag_of(&record.read_unaligned());
            }
            at = libc::CMSG_NXTHDR(&raw const message, at);
        }
    }
    let cut = message.msg_flags & libc::MSG_TRUNC != 0;
    Ok(Received { length, cut, vlan })
}

/// Frames that found the socket's queue full since the last call.
pub(crate) fn packet_drops(file: &File) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    let pointer: *mut libc::tpacket_stats = &raw mut statistics;
    // SAFETY: the structure that this option fills, and its length.
    let result = unsafe {
        libc::getsockopt(
            file.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            pointer.cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(statistics.tp_drops)
}
