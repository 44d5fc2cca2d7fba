//! Boards that are good, and boards that are not: each mistake with its line and its reason.

use super::*;

fn judged(text: &str) -> Result<Board, (usize, String)> {
    let name = format!("ackornd-{}-{:p}.toml", std::process::id(), text);
    let file = std::env::temp_dir().join(name);
    fs::write(&file, text).unwrap();
    let board = Board::read(&file);
    fs::remove_file(&file).unwrap();
    board.map_err(|mistake| (mistake.line.unwrap_or(0), mistake.why))
}

#[test]
fn an_empty_board_has_the_node_hosts_defaults() {
    let board = judged("").unwrap();
    assert_eq!(board.addresses, ["10.99.0.2/24".parse().unwrap()]);
    assert_eq!(board.peer_addresses, ["10.99.0.1/24".parse().unwrap()]);
    assert_eq!(
        (board.device.as_str(), board.mtu, board.offload),
        ("ackorn0", None, true)
    );
}

#[test]
fn every_word_is_read() {
    let board = judged(
        "name = \"web\"\nlink = \"tun:t0\"\naddr = [\"10.1.0.1/24\", \"fd99::2/64\"]\n\
         netns = \"host\"\noffload = false\nmtu = 1400\necho = 7\ndiscard = \"9\"\n\
         control = \"c.sock\"\nhttp = \"80=site\"\n[sysctl]\ntcp_rmem = [4096, 131072, 6291456]\n\
         tcp_congestion_control = \"reno\"\n[limit]\nconnectionsMax = 100\n",
    )
    .unwrap();
    assert_eq!((board.name.as_str(), board.device.as_str()), ("web", "t0"));
    let peers: Vec<_> = board
        .peer_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(peers, ["10.1.0.2/24", "fd99::1/64"]);
    assert_eq!((board.mtu, board.offload), (Some(1400), false));
    assert_eq!(board.services, [("echo", 7), ("discard", 9)]);
    assert_eq!(board.http, [(80, std::env::temp_dir().join("site"))]);
    assert_eq!(board.control, Some(std::env::temp_dir().join("c.sock")));
    assert!(
        board
            .settings
            .contains(&("tcp_rmem_default".to_owned(), 131_072))
    );
    assert!(board.settings.contains(&("connectionsMax".to_owned(), 100)));
}

#[test]
fn every_word_of_an_ethernet_link_is_read() {
    let board = judged(
        "link = \"tap:t0\"\naddr = [\"dhcp\", \"slaac\", \"10.1.0.2/24\"]\npeer-addr = \"none\"\n\
         gateway = [\"10.1.0.1\", \"fe80::1\"]\n\
         route = [\"10.9.0.0/16=10.1.0.7\", \"192.0.2.0/24\"]\n\
         mac = \"02:00:00:00:00:0a\"\nvlan = 7\n",
    )
    .unwrap();
    assert_eq!((board.kind, board.device.as_str()), (LinkKind::Tap, "t0"));
    assert_eq!((board.dhcp, board.slaac, board.vlan), (true, true, 7));
    assert_eq!(board.mac, BoardMac::Given(Mac([2, 0, 0, 0, 0, 10])));
    assert_eq!(board.addresses, ["10.1.0.2/24".parse().unwrap()]);
    assert_eq!(board.peer_addresses, []);
    let routes: Vec<_> = board
        .routes
        .iter()
        .map(|(to, gateway)| (to.to_string(), gateway.map(|gateway| gateway.to_string())))
        .collect();
    let route = |to: &str, gateway: Option<&str>| (to.to_owned(), gateway.map(str::to_owned));
    for wanted in [
        route("10.9.0.0/16", Some("10.1.0.7")),
        route("192.0.2.0/24", None),
        route("0.0.0.0/0", Some("10.1.0.1")),
        route("::/0", Some("fe80::1")),
    ] {
        assert!(routes.contains(&wanted), "{routes:?}");
    }
    assert_eq!(routes.len(), 4);
    let board = judged("link = \"packet:eth0\"\naddr = \"dhcp\"\nmac = \"card\"").unwrap();
    assert_eq!((board.kind, board.mac), (LinkKind::Packet, BoardMac::Card));
    assert_eq!((board.addresses, board.peer_addresses), (vec![], vec![]));
}

/// Text of a board, the line of its mistake, a part of the reason.
const BAD: &[(&str, usize, &str)] = &[
    ("ehco = 7", 1, "unknown word 'ehco'"),
    ("\n\necho = 7\necho = 8", 4, "duplicate key"),
    ("echo =", 1, ""),
    ("echo = 0", 1, "echo 0: a number from 1 to 65535"),
    ("echo = 65536", 1, "a number from 1 to 65535"),
    ("echo = -7", 1, "a number from 1 to 65535"),
    ("echo = 7.5", 1, "neither a text nor a whole number"),
    ("echo = true", 1, "neither a text nor a whole number"),
    ("echo = 0x7", 1, "neither a text nor a whole number"),
    ("echo = [7, 8]", 1, "a number from 1 to 65535"),
    (
        "echo = 7\ndiscard = 7",
        1,
        "port 7 is wanted by discard and echo",
    ),
    ("mtu = 67", 1, "a number from 68 to 65535"),
    ("mtu = \"big\"", 1, "a number from 68 to 65535"),
    ("offload = 1", 1, "offload is true or false"),
    ("offload = \"yes\"", 1, "offload is true or false"),
    ("name = \"a b\"", 1, "letters, digits"),
    ("name = \"\"", 1, "letters, digits"),
    ("link = \"eth0\"", 1, "packet:NAME is wanted"),
    ("link = \"tun:\"", 1, "packet:NAME is wanted"),
    (
        "link = \"tun:sixteenletters00\"",
        1,
        "packet:NAME is wanted",
    ),
    ("link = \"tun:a/b\"", 1, "packet:NAME is wanted"),
    ("netns = \"new\"", 1, "host is wanted"),
    ("addr = []", 1, "an address is wanted"),
    ("addr = \"10.0.0.1\"", 1, "an address and a prefix"),
    (
        "addr = [\"10.0.0.1/24\",\n \"10.0.0.300/24\"]",
        2,
        "10.0.0.300/24",
    ),
    ("addr = \"10.0.0.1/33\"", 1, "an address and a prefix"),
    ("addr = \"10.0.0.1/32\"", 1, "no room for the kernel's end"),
    ("peer-addr = \"fd00::/129\"", 1, "an address and a prefix"),
    ("sysctl = 1", 1, "sysctl is a table"),
    ("[sysctl]\ntcp_sakc = 1", 2, "unknown sysctl: tcp_sakc"),
    ("[sysctl]\ntcp_rmem = 4096", 2, "3 numbers are wanted"),
    ("[sysctl]\ntcp_sack = -1", 2, "a whole number from 0"),
    (
        "[sysctl]\ntcp_congestion_control = \"vegas\"",
        2,
        "a whole number from 0",
    ),
    ("[sysctl]\narenaBytes = 1", 2, "unknown sysctl: arenaBytes"),
    ("[limit]\ntcp_sack = 1", 2, "unknown limit: tcp_sack"),
    (
        "[limit]\nconnectionsMax = 4294967296",
        2,
        "a whole number from 0",
    ),
    ("iperf3 = 5201", 1, "this host does not have it yet"),
    ("http = [\"80=site\",\n\"x=site\"]", 2, "PORT=DIR is wanted"),
    ("http = \"80\"", 1, "PORT=DIR is wanted"),
    ("http = \"80=in:rw\"", 1, "this host only reads"),
    (
        "http = [\"80=a\", \"80=b\"]",
        1,
        "port 80 is wanted by http and http",
    ),
    (
        "echo = 80\nhttp = \"80=a\"",
        2,
        "port 80 is wanted by echo and http",
    ),
    ("impair = \"loss=1%\"", 1, "this host does not have it yet"),
    ("gateway = \"10.99.0\"", 1, "an address is wanted"),
    ("route = \"10.9.0.0\"", 1, "CIDR=GATEWAY is wanted"),
    ("route = \"10.9.0.0/16=x\"", 1, "CIDR=GATEWAY is wanted"),
    ("route = \"10.9.0.0/16=fe80::1\"", 1, "the other family"),
    ("route = \"10.9.0.1/16\"", 1, "bits beyond the prefix"),
    ("link = \"veth:ackorn0\"", 1, "packet:NAME is wanted"),
    ("link = \"packet:eth0\"", 1, "addr is wanted too"),
    (
        "link = \"packet:eth0\"\naddr = \"dhcp\"\npeer-addr = \"10.0.0.1/24\"",
        3,
        "has no kernel's end",
    ),
    ("addr = \"dhcp\"", 1, "addr dhcp: only a tap: or packet:"),
    (
        "addr = [\"slaac\"]",
        1,
        "addr slaac: only a tap: or packet:",
    ),
    (
        "mac = \"02:00:00:00:00:01\"",
        1,
        "mac: only a tap: or packet:",
    ),
    ("vlan = 7", 1, "vlan: only a tap: or packet:"),
    (
        "link = \"tap:t0\"\nvlan = 4095",
        2,
        "a number from 0 to 4094",
    ),
    (
        "link = \"tap:t0\"\nmac = \"03:00:00:00:00:01\"",
        2,
        "six bytes",
    ),
    (
        "link = \"tap:t0\"\nmac = \"card\"",
        2,
        "only a packet: link",
    ),
    ("echo = 7\n[limit\n", 2, ""),
];

#[test]
fn every_mistake_has_its_line_and_its_reason() {
    for (text, line, why) in BAD {
        let (at, said) = judged(text).expect_err(text);
        assert_eq!(at, *line, "{text}: {said}");
        assert!(
            said.contains(why) && !said.is_empty() && !said.contains('\n'),
            "{text}: {said}"
        );
    }
    let none = Board::read(Path::new("none.toml")).unwrap_err().to_string();
    assert!(none.starts_with("none.toml: "), "{none}");
}

#[test]
fn the_other_address_of_a_network() {
    let other = |text: &str| first_other(text.parse().unwrap()).map(|cidr| cidr.to_string());
    assert_eq!(other("10.0.0.1/24").as_deref(), Some("10.0.0.2/24"));
    assert_eq!(other("10.0.0.9/30").as_deref(), Some("10.0.0.10/30"));
    assert_eq!(other("10.0.0.0/31").as_deref(), Some("10.0.0.1/31"));
    assert_eq!(other("fd00::1/127").as_deref(), Some("fd00::/127"));
    assert_eq!(other("0.0.0.1/0").as_deref(), Some("0.0.0.2/0"));
    assert_eq!(other("10.0.0.1/32"), None);
}
