//! What a stack is told when it is brought up: one board.toml, the same words as the Node host's
//! (docs/board.md). Every mistake is one line with file, line and reason. Opens nothing but the
//! file and needs no privileges. Called by main.rs, and sysctl.rs judges the names of settings.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ackorn::{Cidr, Mac};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::sysctl;

/// The services that are a port and nothing else.
pub const SERVICES: [&str; 4] = ["echo", "discard", "chargen", "daytime"];

/// Words of the Node host that this one has not: said plainly instead of "unknown".
const ABSENT: [&str; 3] = ["impair", "iperf3", "pcap"];

const TEXTS: [&str; 5] = ["name", "link", "netns", "control", "mac"];

/// What the frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Tun,
    Tap,
    /// A card of the kernel.
    Packet,
}

/// Whose MAC the stack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardMac {
    Default,
    Card,
    Given(Mac),
}

/// A destination, and the gateway to it when it is not on the link.
pub type Route = (Cidr, Option<IpAddr>);

/// A board that was judged good.
#[derive(Debug, PartialEq)]
pub struct Board {
    pub name: String,
    pub kind: LinkKind,
    /// The device's name.
    pub device: String,
    pub mac: BoardMac,
    /// 0: no tags.
    pub vlan: u16,
    /// Addresses of the stack, and of the kernel's end.
    pub addresses: Vec<Cidr>,
    pub dhcp: bool,
    pub slaac: bool,
    pub routes: Vec<Route>,
    pub peer_addresses: Vec<Cidr>,
    pub offload: bool,
    /// None: 1500, or the card's.
    pub mtu: Option<u32>,
    /// Service and port.
    pub services: Vec<(&'static str, u16)>,
    /// Port and directory.
    pub http: Vec<(u16, PathBuf)>,
    pub control: Option<PathBuf>,
    /// Words of CONFIG by name.
    pub settings: Vec<(String, u32)>,
}

/// A mistake and its place.
#[derive(Debug, PartialEq)]
pub struct Mistake {
    file: PathBuf,
    /// From 1; none when the file could not be read.
    line: Option<usize>,
    why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            Some(line) => write!(formatter, "{file}:{line}: {}", self.why),
            None => write!(formatter, "{file}: {}", self.why),
        }
    }
}

/// What is wrong, and with which bytes of the text.
struct Wrong {
    span: Range<usize>,
    why: String,
}

fn wrong<T>(span: Range<usize>, why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        span,
        why: why.into(),
    })
}

/// A text, a whole number, or a list of them, as one text.
fn text_of(word: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Array(items) if !items.is_empty() => {
            let texts: Result<Vec<_>, _> = items.iter().map(|item| text_of(word, item)).collect();
            Ok(texts?.join(" "))
        }
        _ => wrong(
            value.span(),
            format!("{word} is neither a text nor a whole number"),
        ),
    }
}

/// The items of a list, or a single value; each with its place.
fn list_of(word: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Range<usize>)>, Wrong> {
    let one = |item: &Spanned<DeValue<'_>>| Ok((text_of(word, item)?, item.span()));
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn number_in(word: &str, value: &Spanned<DeValue<'_>>, low: u32, high: u32) -> Result<u32, Wrong> {
    let text = text_of(word, value)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| digits && (low..=high).contains(number));
    let wanted = || format!("{word} {text}: a number from {low} to {high} is wanted");
    number.map_or_else(|| wrong(value.span(), wanted()), Ok)
}

fn device_of(text: &str) -> Option<(LinkKind, &str)> {
    let (kind, name) = text.split_once(':')?;
    let kind = match kind {
        "tun" => LinkKind::Tun,
        "tap" => LinkKind::Tap,
        "packet" => LinkKind::Packet,
        _ => return None,
    };
    let good = |letter: char| !letter.is_whitespace() && !"/:%".contains(letter);
    ((1..=15).contains(&name.len()) && name.chars().all(good)).then_some((kind, name))
}

fn is_name(text: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    begins && text.len() <= 64 && text.chars().all(good)
}

fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(four) => (u128::from(four.to_bits()), 32),
        IpAddr::V6(six) => (six.to_bits(), 128),
    }
}

/// The network's first address that is not `cidr` itself; none when it has no room.
fn first_other(cidr: Cidr) -> Option<Cidr> {
    let (value, bits) = bits_of(cidr.address);
    let host_bits = bits - u32::from(cidr.prefix);
    if host_bits == 0 {
        return None;
    }
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    // In a /31 or /127 there is no network address to keep free (RFC 3021, RFC 6164).
    let mut first = (value & mask) + u128::from(host_bits > 1);
    if first == value {
        first += 1;
    }
    if first & mask != value & mask {
        return None;
    }
    let address = match cidr.address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first).ok()?)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
    };
    Some(Cidr {
        address,
        prefix: cidr.prefix,
    })
}

/// The addresses of a list; those of its words that `is_word` takes are not among them.
fn cidrs_of(
    word: &str,
    value: &Spanned<DeValue<'_>>,
    mut is_word: impl FnMut(&str) -> bool,
) -> Result<Vec<Cidr>, Wrong> {
    let mut cidrs = Vec::new();
    for (text, span) in list_of(word, value)? {
        match text.parse() {
            Ok(cidr) => cidrs.push(cidr),
            Err(_) if is_word(&text) => {}
            Err(why) => return wrong(span, format!("{word} {why}")),
        }
    }
    Ok(cidrs)
}

/// `ADDRESS`: the default route of its family.
fn gateway_of(text: &str) -> Result<Route, String> {
    let address = text
        .parse()
        .map_err(|_| format!("gateway {text}: an address is wanted"))?;
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let to = Cidr {
        address: any,
        prefix: 0,
    };
    Ok((to, Some(address)))
}

/// `CIDR=GATEWAY`, or `CIDR` for one on the link.
fn route_of(text: &str) -> Result<Route, String> {
    let wanted = || format!("route {text}: CIDR=GATEWAY is wanted, or CIDR for one on the link");
    let (to, gateway) = match text.split_once('=') {
        Some((to, gateway)) => (to, Some(gateway.parse().map_err(|_| wanted())?)),
        None => (text, None),
    };
    let to: Cidr = to.parse().map_err(|_| wanted())?;
    if gateway.is_some_and(|gateway: IpAddr| gateway.is_ipv4() != to.address.is_ipv4()) {
        return Err(format!("route {text}: a gateway of the other family"));
    }
    let (value, bits) = bits_of(to.address);
    let host_bits = bits - u32::from(to.prefix);
    if value & !u128::MAX.checked_shl(host_bits).unwrap_or(0) != 0 {
        return Err(format!("route {text}: address bits beyond the prefix"));
    }
    Ok((to, gateway))
}

/// The kernel's end where the board does not say.
fn peers_of(addresses: &[Cidr], span: Range<usize>) -> Result<Vec<Cidr>, Wrong> {
    let mut peers = Vec::new();
    for cidr in addresses {
        match first_other(*cidr) {
            Some(other) if !peers.contains(&other) => peers.push(other),
            Some(_) => {}
            None => {
                let why = format!("addr {cidr}: no room for the kernel's end; say peer-addr");
                return wrong(span, why);
            }
        }
    }
    Ok(peers)
}

impl Default for Board {
    fn default() -> Board {
        Board {
            name: "ackorn0".to_owned(),
            kind: LinkKind::Tun,
            device: "ackorn0".to_owned(),
            mac: BoardMac::Default,
            vlan: 0,
            addresses: Vec::new(),
            dhcp: false,
            slaac: false,
            routes: Vec::new(),
            peer_addresses: Vec::new(),
            offload: true,
            mtu: None,
            services: Vec::new(),
            http: Vec::new(),
            control: None,
            settings: Vec::new(),
        }
    }
}

impl Board {
    /// One of the words that are a text.
    fn text(&mut self, word: &str, value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        let text = text_of(word, value)?;
        let wanted = match word {
            "name" if is_name(&text) => {
                self.name = text;
                return Ok(());
            }
            "name" => "letters, digits, '.', '-' and '_' are wanted",
            "link" => match device_of(&text) {
                Some((kind, device)) => {
                    (self.kind, self.device) = (kind, device.to_owned());
                    return Ok(());
                }
                None => "tun:, tap: or packet:NAME is wanted, the name of at most 15 characters",
            },
            "mac" => match text.parse() {
                Ok(mac) => {
                    self.mac = BoardMac::Given(mac);
                    return Ok(());
                }
                Err(_) if text == "card" => {
                    self.mac = BoardMac::Card;
                    return Ok(());
                }
                Err(_) => "six bytes such as 02:00:00:00:00:01 are wanted",
            },
            "netns" if text == "host" => return Ok(()),
            "netns" => "host is wanted: this host stays in the namespace it is started in",
            _ => {
                self.control = Some(PathBuf::from(text));
                return Ok(());
            }
        };
        wrong(value.span(), format!("{word} {text}: {wanted}"))
    }

    fn addr(&mut self, value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        let (mut dhcp, mut slaac) = (false, false);
        self.addresses = cidrs_of("addr", value, |text| {
            dhcp |= text == "dhcp";
            slaac |= text == "slaac";
            text == "dhcp" || text == "slaac"
        })?;
        (self.dhcp, self.slaac) = (dhcp, slaac);
        if self.addresses.is_empty() && !dhcp && !slaac {
            return wrong(value.span(), "addr: an address is wanted");
        }
        Ok(())
    }

    fn routes(
        &mut self,
        word: &str,
        value: &Spanned<DeValue<'_>>,
        parse: fn(&str) -> Result<Route, String>,
    ) -> Result<(), Wrong> {
        for (text, span) in list_of(word, value)? {
            match parse(&text) {
                Ok(route) => self.routes.push(route),
                Err(why) => return wrong(span, why),
            }
        }
        Ok(())
    }

    /// Words that this kind of link has not.
    fn fits(&self, word: &str, span: Range<usize>) -> Result<(), Wrong> {
        let (tun, card) = (self.kind == LinkKind::Tun, self.kind == LinkKind::Packet);
        let why = match word {
            "mac" | "vlan" if tun => format!("{word}: only a tap: or packet: link has that"),
            "mac" if !card && self.mac == BoardMac::Card => {
                "mac card: only a packet: link has that".to_owned()
            }
            "addr" if tun && self.dhcp => "addr dhcp: only a tap: or packet: link has that".into(),
            "addr" if tun && self.slaac => {
                "addr slaac: only a tap: or packet: link has that".into()
            }
            "peer-addr" if card => "peer-addr: a packet: link has no kernel's end".to_owned(),
            "link" if card && self.addresses.is_empty() && !self.dhcp && !self.slaac => {
                "link packet: addr is wanted too".to_owned()
            }
            _ => return Ok(()),
        };
        wrong(span, why)
    }

    fn settings(&mut self, word: &str, value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        let DeValue::Table(table) = value.get_ref() else {
            return wrong(value.span(), format!("{word} is a table: [{word}]"));
        };
        for (name, item) in table {
            let text = text_of(&format!("{word}.{}", name.get_ref()), item)?;
            let judged = match word {
                "limit" => sysctl::limit(name.get_ref(), &text),
                _ => sysctl::sysctl(name.get_ref(), &text),
            };
            match judged {
                Ok(words) => self.settings.extend(words),
                Err(why) => return wrong(name.span(), why),
            }
        }
        Ok(())
    }

    /// Each port is wanted once.
    fn free(&self, service: &str, port: u16, span: Range<usize>) -> Result<(), Wrong> {
        let http = self.http.iter().map(|(taken, _)| ("http", *taken));
        let mut taken = self.services.iter().copied().chain(http);
        match taken.find(|(_, taken)| *taken == port) {
            Some((other, _)) => wrong(
                span,
                format!("port {port} is wanted by {other} and {service}"),
            ),
            None => Ok(()),
        }
    }

    /// `PORT=DIR`, any number of them.
    fn http(&mut self, value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        for (text, span) in list_of("http", value)? {
            let wanted = || format!("http {text}: PORT=DIR is wanted, the port from 1 to 65535");
            let Some((port, folder)) = text
                .split_once('=')
                .filter(|(_, folder)| !folder.is_empty())
            else {
                return wrong(span, wanted());
            };
            if folder.ends_with(":rw") {
                return wrong(span, "http with :rw: this host only reads");
            }
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            match port.parse().ok().filter(|port| digits && *port > 0) {
                Some(port) => {
                    self.free("http", port, span)?;
                    self.http.push((port, PathBuf::from(folder)));
                }
                None => return wrong(span, wanted()),
            }
        }
        Ok(())
    }

    fn service(
        &mut self,
        service: &'static str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Wrong> {
        let number = number_in(service, value, 1, 65_535)?;
        let port = u16::try_from(number).unwrap_or_default();
        self.free(service, port, value.span())?;
        self.services.push((service, port));
        Ok(())
    }

    fn word(
        &mut self,
        word: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Wrong> {
        let name = word.get_ref().as_ref();
        if let Some(service) = SERVICES.iter().find(|service| **service == name) {
            return self.service(service, value);
        }
        match name {
            _ if TEXTS.contains(&name) => self.text(name, value),
            "offload" => match value.get_ref() {
                DeValue::Boolean(on) => {
                    self.offload = *on;
                    Ok(())
                }
                _ => wrong(value.span(), "offload is true or false"),
            },
            "mtu" => {
                self.mtu = Some(number_in(name, value, 68, 65_535)?);
                Ok(())
            }
            "vlan" => {
                let number = number_in(name, value, 0, 4094)?;
                self.vlan = u16::try_from(number).unwrap_or_default();
                Ok(())
            }
            "addr" => self.addr(value),
            "peer-addr" => {
                self.peer_addresses = cidrs_of(name, value, |text| text == "none")?;
                Ok(())
            }
            "gateway" => self.routes(name, value, gateway_of),
            "route" => self.routes(name, value, route_of),
            "http" => self.http(value),
            "sysctl" | "limit" => self.settings(name, value),
            _ if ABSENT.contains(&name) => wrong(
                word.span(),
                format!("{name}: this host does not have it yet"),
            ),
            _ => {
                let mut known = vec![
                    "offload",
                    "mtu",
                    "vlan",
                    "gateway",
                    "route",
                    "addr",
                    "peer-addr",
                    "sysctl",
                    "limit",
                    "http",
                ];
                known.extend(TEXTS.iter().chain(&SERVICES));
                known.sort_unstable();
                let known = known.join(", ");
                wrong(
                    word.span(),
                    format!("unknown word '{name}' (known: {known})"),
                )
            }
        }
    }

    fn parse(text: &str) -> Result<Board, Wrong> {
        let table = DeTable::parse(text).map_err(|error| Wrong {
            span: error.span().unwrap_or(0..0),
            why: error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        })?;
        let mut board = Board::default();
        let mut addresses_at = 0..0;
        for (word, value) in table.get_ref() {
            board.word(word, value)?;
            if word.get_ref() == "addr" {
                addresses_at = value.span();
            }
        }
        for (word, value) in table.get_ref() {
            board.fits(word.get_ref(), value.span())?;
        }
        // The file's words come by their names, the list goes by what services are called first.
        let order = |(service, _): &(&str, u16)| SERVICES.iter().position(|name| name == service);
        board.services.sort_by_key(order);
        let given = |name: &str| {
            table
                .get_ref()
                .iter()
                .any(|(word, _)| word.get_ref() == name)
        };
        if !given("addr") {
            let address = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 2));
            board.addresses.push(Cidr {
                address,
                prefix: 24,
            });
        }
        if !given("peer-addr") && board.kind != LinkKind::Packet {
            board.peer_addresses = peers_of(&board.addresses, addresses_at)?;
        }
        Ok(board)
    }

    /// Reads and judges a board. Paths in it are relative to it.
    pub fn read(file: &Path) -> Result<Board, Mistake> {
        let mistake = |line: Option<usize>, why: String| Mistake {
            file: file.to_owned(),
            line,
            why,
        };
        let text = fs::read_to_string(file).map_err(|error| mistake(None, error.to_string()))?;
        let mut board = Board::parse(&text).map_err(|Wrong { span, why }| {
            let before = text.get(..span.start).unwrap_or(&text);
            mistake(Some(1 + before.matches('\n').count()), why)
        })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        board.control = board.control.map(|path| folder.join(path));
        for (_, directory) in &mut board.http {
            *directory = folder.join(&*directory);
        }
        Ok(board)
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
