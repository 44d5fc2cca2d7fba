//! The link of a board: opened, waited for until the stack has its addresses (those that were given
//! are probed for first, those of DHCP and router advertisements come when they come), and shown
//! to an operator. Called by main.rs and control.rs. Decides nothing about addresses.

use std::time::{Duration, Instant};

use ackorn::{
    AddressRecord, Error, Link, LinkRecord, NeighborRecord, Packet, PacketMac, PacketOptions,
    RouteRecord, Stack, Tun, TunOptions, abi,
};
use serde_json::{Value, json};

use crate::board::{Board, BoardMac, LinkKind};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For a DHCP server or a router; after that the stack serves on what it has.
const PATIENCE: Duration = Duration::from_secs(30);

fn auto_of(board: &Board) -> u32 {
    let six = board.slaac || board.addresses.iter().any(|cidr| cidr.address.is_ipv6());
    [
        (six, abi::AUTO_IPV6),
        (board.slaac, abi::AUTO_SLAAC),
        (board.dhcp, abi::AUTO_DHCP),
    ]
    .iter()
    .filter(|(wanted, _)| *wanted)
    .fold(0, |all, (_, bit)| all | bit)
}

/// Opens the board's device or card.
pub fn open(board: &Board) -> Result<Box<dyn Link>, Error> {
    let auto = auto_of(board);
    if board.kind == LinkKind::Packet {
        let mac = match board.mac {
            BoardMac::Default => PacketMac::Own,
            BoardMac::Card => PacketMac::Card,
            BoardMac::Given(mac) => PacketMac::Given(mac),
        };
        return Ok(Box::new(Packet::open(&PacketOptions {
            interface: board.device.clone(),
            offload: board.offload,
            mtu: board.mtu,
            mac,
            vlan: board.vlan,
            auto,
        })?));
    }
    let mac = match board.mac {
        BoardMac::Given(mac) => Some(mac),
        BoardMac::Default | BoardMac::Card => None,
    };
    Ok(Box::new(Tun::open(&TunOptions {
        name: board.device.clone(),
        tap: board.kind == LinkKind::Tap,
        offload: board.offload,
        mtu: board.mtu.unwrap_or(1500),
        addresses: board.peer_addresses.clone(),
        mac,
        vlan: board.vlan,
        auto,
    })?))
}

/// What the board wants and the stack has not got.
fn missing(board: &Board, all: &[AddressRecord]) -> Vec<&'static str> {
    let has = |origin: &str| all.iter().any(|record| record.origin == origin);
    let tentative = all.iter().any(|record| record.state == "Tentative");
    [
        (tentative, "an address that is ours"),
        (board.dhcp && !has("Dhcp"), "a DHCP server"),
        (
            board.slaac && !has("RouterAdvertisement"),
            "a router advertisement",
        ),
    ]
    .iter()
    .filter_map(|(wanted, what)| wanted.then_some(*what))
    .collect()
}

/// Waits until the stack has its addresses; without a server or a router not for ever.
///
/// # Errors
/// Another host has an address that the board gives; the stack has ended.
pub async fn await_addresses(stack: &Stack, board: &Board) -> Result<(), Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        let links = stack.links()?;
        let all: Vec<_> = links.into_iter().flat_map(|link| link.addresses).collect();
        let taken =
            |record: &&AddressRecord| record.state == "Duplicate" && record.origin == "Manual";
        if let Some(record) = all.iter().find(taken) {
            let why = format!("{}: another host has {}", board.device, record.address);
            return Err(Error::Setup(why));
        }
        let wanted = missing(board, &all);
        if wanted.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            tracing::warn!("{} still waits for {}", board.device, wanted.join(" and "));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn address(record: &AddressRecord) -> Value {
    json!({
        "index": record.index,
        "address": record.address,
        "prefixLength": record.prefix,
        "state": record.state,
        "origin": record.origin,
        "validS": record.valid_s,
        "preferredS": record.preferred_s,
    })
}

fn route(record: &RouteRecord) -> Value {
    json!({
        "index": record.index,
        "to": format!("{}/{}", record.to, record.prefix),
        "gateway": record.gateway,
        "origin": record.origin,
        "validS": record.valid_s,
    })
}

fn neighbor(record: &NeighborRecord) -> Value {
    json!({
        "address": record.address,
        "mac": record.mac.map(|mac| mac.to_string()),
        "state": record.state,
        "queued": record.queued,
    })
}

fn link(name: &str, record: &LinkRecord) -> Value {
    json!({
        "name": name,
        "id": record.id,
        "mtu": record.mtu,
        "up": record.up,
        "mac": record.mac.map(|mac| mac.to_string()),
        "vlan": record.vlan,
        "dhcp": record.dhcp,
        "addresses": record.addresses.iter().map(address).collect::<Vec<_>>(),
        "routes": record.routes.iter().map(route).collect::<Vec<_>>(),
        "neighbors": record.neighbors.iter().map(neighbor).collect::<Vec<_>>(),
    })
}

/// `GET /v1/links` of docs/control.md.
///
/// # Errors
/// The stack has ended.
pub fn document(stack: &Stack, name: &str) -> Result<Value, Error> {
    let links = stack.links()?;
    let documents: Vec<_> = links.iter().map(|record| link(name, record)).collect();
    Ok(json!({ "links": documents }))
}
