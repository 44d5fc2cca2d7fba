//! Internet addresses between std's types and the engine's four words: the 16 bytes of an IPv6
//! address as big-endian numbers, IPv4 as ::ffff:a.b.c.d, all zero for "any".

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address of a stack and the length of its network's prefix, bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    /// `10.0.0.2/24`, `fd00::2/64`.
    fn from_str(text: &str) -> Result<Cidr, String> {
        let wrong = || format!("'{text}': an address and a prefix such as 10.0.0.2/24 is wanted");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            return Err(wrong());
        }
        Ok(Cidr { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// The engine's words of an address; `0.0.0.0` and `::` are its "any".
pub(crate) fn words(address: IpAddr) -> [u32; 4] {
    if address.is_unspecified() {
        return [0; 4];
    }
    let six = match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    };
    let bits = six.to_bits();
    #[allow(clippy::cast_possible_truncation)]
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// The address of four words.
pub(crate) fn address(words: [u32; 4]) -> IpAddr {
    if words[..3] == [0, 0, 0xffff] {
        return IpAddr::V4(Ipv4Addr::from_bits(words[3]));
    }
    let bits = words
        .iter()
        .fold(0, |bits, word| bits << 32 | u128::from(*word));
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}

/// The end of a connection whose four words and port stand together.
pub(crate) fn endpoint(words: &[u32]) -> SocketAddr {
    let [a0, a1, a2, a3, port] = *words else {
        return SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
    };
    let port = u16::try_from(port).unwrap_or_default();
    SocketAddr::new(address([a0, a1, a2, a3]), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_words_and_back() {
        let cases: &[(&str, [u32; 4])] = &[
            ("10.0.0.2", [0, 0, 0xffff, 0x0a00_0002]),
            ("fd99::2", [0xfd99_0000, 0, 0, 2]),
            (
                "2001:db8:1:2:3:4:5:6",
                [0x2001_0db8, 0x0001_0002, 0x0003_0004, 0x0005_0006],
            ),
        ];
        for (text, expected) in cases {
            let parsed: IpAddr = text.parse().unwrap();
            assert_eq!(words(parsed), *expected);
            assert_eq!(address(*expected), parsed);
        }
        assert_eq!(words("0.0.0.0".parse().unwrap()), [0; 4]);
        assert_eq!(words("::".parse().unwrap()), [0; 4]);
    }

    #[test]
    fn only_an_address_with_a_prefix_is_a_cidr() {
        assert_eq!(
            "10.0.0.2/24".parse::<Cidr>().unwrap().to_string(),
            "10.0.0.2/24"
        );
        assert_eq!("fd99::2/64".parse::<Cidr>().unwrap().prefix, 64);
        for text in [
            "10.0.0.2",
            "10.0.0.2/33",
            "10.0.0/8",
            "fd99::/129",
            "10.0.0.2/+8",
            "/8",
            "",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
