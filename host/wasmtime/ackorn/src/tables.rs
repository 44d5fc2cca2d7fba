//! The engine's tables of links, addresses, routes and neighbours (tableNext of docs/abi.md), as
//! host/core/tables.ts reads them. Looks only. Called through `Stack::links`.

use std::net::IpAddr;

use crate::abi::{
    self, address_state, dhcp, neighbor_state, origin, table, table_word as word, table_word::WORDS,
};
use crate::address;
use crate::error::Error;
use crate::ethernet::Mac;
use crate::inner::Inner;
use crate::stack::Stack;

/// Seconds that never end.
const FOREVER_S: u32 = u32::MAX;

type Row = [u32; WORDS as usize];

/// States and origins are names of abi.ts; of seconds none means for ever.
#[derive(Clone, Debug)]
pub struct AddressRecord {
    pub index: u32,
    pub address: IpAddr,
    pub prefix: u32,
    pub state: &'static str,
    pub origin: &'static str,
    pub valid_s: Option<u32>,
    pub preferred_s: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct RouteRecord {
    pub index: u32,
    pub to: IpAddr,
    pub prefix: u32,
    /// None: the destination is on the link.
    pub gateway: Option<IpAddr>,
    pub origin: &'static str,
    pub valid_s: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct NeighborRecord {
    pub address: IpAddr,
    /// None: not known yet.
    pub mac: Option<Mac>,
    pub state: &'static str,
    /// Packets that wait for it.
    pub queued: u32,
}

#[derive(Clone, Debug)]
pub struct LinkRecord {
    pub id: u32,
    pub mtu: u32,
    pub up: bool,
    /// None: frames have no MAC header.
    pub mac: Option<Mac>,
    pub vlan: u32,
    /// Where its DHCP client stands.
    pub dhcp: &'static str,
    pub addresses: Vec<AddressRecord>,
    pub routes: Vec<RouteRecord>,
    pub neighbors: Vec<NeighborRecord>,
}

fn at(row: &Row, word: u32) -> u32 {
    row[word as usize]
}

fn name(names: &'static [(&'static str, u32)], number: u32) -> &'static str {
    abi::name_of(names, number).unwrap_or("?")
}

fn address_at(row: &Row, first: u32) -> IpAddr {
    address::address([0, 1, 2, 3].map(|offset| at(row, first + offset)))
}

fn seconds(row: &Row, word: u32) -> Option<u32> {
    Some(at(row, word)).filter(|seconds| *seconds != FOREVER_S)
}

fn mac_of(row: &Row) -> Option<Mac> {
    Mac::from_words(at(row, word::b0), at(row, word::b1))
}

fn rows(inner: &mut Inner, table: u32) -> Result<Vec<Row>, Error> {
    let (mut rows, mut cursor) = (Vec::new(), 0);
    loop {
        // A cursor, not an errno: any number but 0.
        let next = inner.number(|engine| engine.table_next(table, cursor))?;
        cursor = next.cast_unsigned();
        if cursor == 0 {
            return Ok(rows);
        }
        let mut row = [0; WORDS as usize];
        for (word, at) in row.iter_mut().zip(0..) {
            *word = inner.engine.result(at);
        }
        rows.push(row);
    }
}

fn address_record(row: &Row) -> AddressRecord {
    AddressRecord {
        index: at(row, word::index),
        address: address_at(row, word::a0),
        prefix: at(row, word::prefixLength),
        state: name(address_state::NAMES, at(row, word::state)),
        origin: name(origin::NAMES, at(row, word::origin)),
        valid_s: seconds(row, word::validS),
        preferred_s: seconds(row, word::preferredS),
    }
}

fn route_record(row: &Row) -> RouteRecord {
    let gateway = address_at(row, word::b0);
    RouteRecord {
        index: at(row, word::index),
        to: address_at(row, word::a0),
        prefix: at(row, word::prefixLength),
        gateway: Some(gateway).filter(|gateway| !gateway.is_unspecified()),
        origin: name(origin::NAMES, at(row, word::origin)),
        valid_s: seconds(row, word::validS),
    }
}

fn neighbor_record(row: &Row) -> NeighborRecord {
    NeighborRecord {
        address: address_at(row, word::a0),
        mac: mac_of(row),
        state: name(neighbor_state::NAMES, at(row, word::state)),
        queued: at(row, word::preferredS),
    }
}

impl Stack {
    /// Every link with its addresses, routes and neighbours.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn links(&self) -> Result<Vec<LinkRecord>, Error> {
        let mut inner = self.handle.shared.lock();
        let tables = [
            table::Addresses,
            table::Routes,
            table::Neighbors,
            table::Links,
        ];
        let [addresses, routes, neighbors, links] = tables.map(|table| rows(&mut inner, table));
        let (addresses, routes, neighbors) = (addresses?, routes?, neighbors?);
        let record = |row: &Row| {
            let id = at(row, word::index);
            let flags = at(row, word::state);
            let of = |row: &&Row| at(row, word::link) == id;
            LinkRecord {
                id,
                mtu: at(row, word::validS),
                up: flags & abi::LINK_UP != 0,
                mac: mac_of(row).filter(|_| flags & abi::LINK_ETHERNET != 0),
                vlan: at(row, word::preferredS),
                dhcp: name(dhcp::NAMES, at(row, word::origin)),
                addresses: addresses.iter().filter(of).map(address_record).collect(),
                routes: routes.iter().filter(of).map(route_record).collect(),
                neighbors: neighbors.iter().filter(of).map(neighbor_record).collect(),
            }
        };
        Ok(links?.iter().map(record).collect())
    }
}
